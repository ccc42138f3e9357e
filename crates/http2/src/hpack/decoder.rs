//! Header blocks, read.

use std::cell::Cell;

use super::dynamic_table::DynamicTable;
use super::static_table::ENTRIES;
use super::text::{Scratch, Text};
use super::{HpackError, integer};

/// What a field counts beyond its bytes in the size of a list (RFC 9113 10.5.1).
const OVERHEAD: usize = 32;
/// Most changes of the table's size at the beginning of a block: the least that it was to be, and the last (RFC 7541 4.2).
const SIZE_UPDATES: u32 = 2;
/// Most memory that a thread keeps to decode strings in, in bytes.
const KEPT: usize = 32 * 1024;

thread_local! {
    /// Where Huffman-coded strings are decoded: one for a thread, so that a connection has none.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What became of a header block that was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All its fields were handed on.
    Whole,
    /// It is larger than was allowed: the fields up to there were handed on, the others only kept up with.
    TooLarge,
}

/// Decodes the header blocks of one direction of a connection: all of them, in the order in which they come.
///
/// It has the connection's dynamic table. As long as the peer adds nothing to that, it costs no memory but itself.
#[derive(Debug)]
pub struct Decoder {
    table: DynamicTable,
    /// What the peer may make of the table's size, in bytes.
    most_table: u32,
}

impl Decoder {
    /// One whose table counts at most `max_table_size` bytes: what our SETTINGS_HEADER_TABLE_SIZE says, 4096 if they say
    /// nothing.
    pub fn new(max_table_size: u32) -> Self {
        Decoder { table: DynamicTable::new(max_table_size), most_table: max_table_size }
    }

    /// Decodes a whole header block, and hands each field to `each`, name and value. Nothing is allocated for a field.
    ///
    /// `most` bounds the size of the list: names, values and 32 for each (RFC 9113 10.5.1). From the field on that exceeds
    /// it, none is handed on, and the work for those that follow does not grow with what they refer to.
    ///
    /// # Errors
    /// The first thing that is not as RFC 7541 wants it. The connection is lost then: call no further.
    pub fn decode(
        &mut self,
        block: &[u8],
        most: usize,
        each: impl FnMut(&[u8], &[u8]),
    ) -> Result<Outcome, HpackError> {
        // Taken and put back, so that `each` may decode something itself.
        let mut scratch = Scratch::new(SCRATCH.try_with(Cell::take).unwrap_or_default());
        let outcome = self.decode_in(&mut scratch, block, List { most, size: 0, each });
        if scratch.bytes.capacity() <= KEPT {
            // A thread that is ending has no place for it any more.
            let _ = SCRATCH.try_with(|kept| kept.set(scratch.bytes));
        }
        outcome
    }

    /// What the entries of the dynamic table count together, in bytes (RFC 7541 4.1).
    pub fn table_size(&self) -> usize {
        self.table.size()
    }

    /// The memory that the dynamic table has allocated, in bytes.
    pub fn memory(&self) -> usize {
        self.table.memory()
    }

    fn decode_in<E: FnMut(&[u8], &[u8])>(
        &mut self,
        scratch: &mut Scratch,
        mut block: &[u8],
        mut list: List<E>,
    ) -> Result<Outcome, HpackError> {
        self.update_size(&mut block)?;
        while let Some(&first) = block.first() {
            // Its highest bits tell what it is.
            match first {
                // An indexed field (RFC 7541 6.1).
                0x80.. => {
                    let (name, value) = self.field(integer::read(&mut block, 7)?)?;
                    list.add(name.len() + value.len(), || Some((name, value)));
                }
                // A literal that is added to the table (6.2.1).
                0x40.. => self.literal::<true, E>(scratch, &mut block, &mut list)?,
                // A change of the table's size (6.3).
                0x20.. => return Err(HpackError::LateSizeUpdate),
                // A literal that is not added (6.2.2), or never to be added by anybody (6.2.3).
                _ => self.literal::<false, E>(scratch, &mut block, &mut list)?,
            }
        }
        Ok(if list.is_whole() { Outcome::Whole } else { Outcome::TooLarge })
    }

    /// Reads the changes of the table's size at the beginning of a block (RFC 7541 4.2).
    fn update_size(&mut self, block: &mut &[u8]) -> Result<(), HpackError> {
        let mut updates = 0;
        while block.first().is_some_and(|byte| byte & 0xe0 == 0x20) {
            updates += 1;
            if updates > SIZE_UPDATES {
                return Err(HpackError::TooManySizeUpdates);
            }
            let size = integer::read(block, 5)?;
            if size > self.most_table {
                return Err(HpackError::SizeUpdateTooLarge { size, most: self.most_table });
            }
            self.table.set_limit(size);
        }
        Ok(())
    }

    fn literal<const ADDED: bool, E: FnMut(&[u8], &[u8])>(
        &mut self,
        scratch: &mut Scratch,
        block: &mut &[u8],
        list: &mut List<E>,
    ) -> Result<(), HpackError> {
        scratch.reset();
        // A text that is longer than this is of no use for the list, and too large for the table.
        let room = list.room().max(if ADDED { self.table.limit() } else { 0 });
        let name = match integer::read(block, if ADDED { 6 } else { 4 })? {
            0 => Text::read(block, room, scratch)?,
            index => self.name(index, room, scratch)?,
        };
        let value = Text::read(block, room, scratch)?;
        let field = name.bytes(scratch).zip(value.bytes(scratch));
        list.add(name.length() + value.length(), || field);
        if ADDED {
            match field {
                Some((name, value)) => self.table.insert(name, value),
                None => self.table.clear(),
            }
        }
        Ok(())
    }

    /// The field with an index in both tables (RFC 7541 2.3.3).
    #[inline]
    fn field(&self, index: u32) -> Result<(&[u8], &[u8]), HpackError> {
        let number = (index as usize).checked_sub(1).ok_or(HpackError::IndexZero)?;
        let field = match number.checked_sub(ENTRIES.len()) {
            None => ENTRIES.get(number).copied(),
            Some(number) => self.table.get(number),
        };
        field.ok_or(HpackError::BeyondTable(index))
    }

    /// The name with an index: a copy, if it is from the dynamic table, where it may have to go for the field that has it.
    fn name(&self, index: u32, room: usize, scratch: &mut Scratch) -> Result<Text<'static>, HpackError> {
        if let Some((name, _)) = ENTRIES.get((index as usize).wrapping_sub(1)) {
            return Ok(Text::Here(name));
        }
        let (name, _) = self.field(index)?;
        Ok(if name.len() > room { Text::TooLong(name.len()) } else { Text::Scratch(scratch.copy(name)) })
    }
}

/// The fields of a block as they are handed on.
struct List<E> {
    most: usize,
    /// Their size so far, those included that were not handed on.
    size: usize,
    each: E,
}

impl<E: FnMut(&[u8], &[u8])> List<E> {
    /// Takes a field, whose name and value are `length` bytes together.
    #[inline]
    fn add<'a>(&mut self, length: usize, field: impl FnOnce() -> Option<(&'a [u8], &'a [u8])>) {
        self.size = self.size.saturating_add(length).saturating_add(OVERHEAD);
        if self.is_whole()
            && let Some((name, value)) = field()
        {
            (self.each)(name, value);
        }
    }

    fn is_whole(&self) -> bool {
        self.size <= self.most
    }

    /// How many bytes more there is a use for.
    fn room(&self) -> usize {
        self.most.saturating_sub(self.size)
    }
}
