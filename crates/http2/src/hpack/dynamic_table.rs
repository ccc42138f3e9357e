//! The table that the peer's encoder fills (RFC 7541 2.3.2, 4).

use std::collections::VecDeque;

/// What an entry counts beyond its bytes (RFC 7541 4.1).
const OVERHEAD: usize = 32;
/// The least memory that is allocated for the bytes of entries; it doubles from there.
const LEAST: usize = 512;

/// The fields that a connection's peer told us to remember, newest first.
///
/// Names and values stand in one piece of memory, oldest first: a new one goes behind the others, an old one leaves a gap
/// before them, and when the end of the memory is reached all move to its beginning. So every field is one slice,
/// and there is no allocation for each. As an entry counts 32 bytes more than it has, that memory never needs to be
/// larger than the table is allowed to be, and a byte moves a few times at most before it goes.
#[derive(Debug, Default)]
pub(super) struct DynamicTable {
    bytes: Vec<u8>,
    /// Where the bytes of the oldest entry begin.
    front: u32,
    /// Oldest first.
    entries: VecDeque<Ends>,
    /// What the entries count together.
    size: usize,
    /// What they may count.
    limit: usize,
}

/// Where an entry's name and its value end in the bytes. The name begins where the entry before ends.
#[derive(Clone, Copy, Debug)]
struct Ends {
    name: u32,
    value: u32,
}

impl DynamicTable {
    /// An empty one that may grow to `limit`. It allocates nothing.
    pub(super) fn new(limit: u32) -> Self {
        DynamicTable { limit: limit as usize, ..DynamicTable::default() }
    }

    /// The name and value of the entry that is `number` entries older than the newest.
    #[inline]
    pub(super) fn get(&self, number: usize) -> Option<(&[u8], &[u8])> {
        let at = self.entries.len().checked_sub(number)?.checked_sub(1)?;
        let ends = self.entries.get(at)?;
        let start = if at == 0 { self.front } else { self.entries.get(at - 1)?.value };
        let name = self.bytes.get(start as usize..ends.name as usize)?;
        let value = self.bytes.get(ends.name as usize..ends.value as usize)?;
        Some((name, value))
    }

    /// Adds a field, in place of the oldest ones where there is not enough room; one that is larger than the table leaves
    /// it empty (RFC 7541 4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        let length = name.len() + value.len();
        if length + OVERHEAD > self.limit {
            self.clear();
            return;
        }
        self.shrink_to(self.limit - length - OVERHEAD);
        self.make_room(length);
        self.bytes.extend_from_slice(name);
        let name_end = self.bytes.len() as u32;
        self.bytes.extend_from_slice(value);
        self.entries.push_back(Ends { name: name_end, value: self.bytes.len() as u32 });
        self.size += length + OVERHEAD;
    }

    /// Empties the table, as a field does that is larger than it.
    pub(super) fn clear(&mut self) {
        self.shrink_to(0);
    }

    /// What the entries may count from now on, in bytes.
    pub(super) fn set_limit(&mut self, limit: u32) {
        self.limit = limit as usize;
        self.shrink_to(self.limit);
        if limit == 0 {
            // The peer uses no table: it need not cost anything.
            (self.bytes, self.entries) = (Vec::new(), VecDeque::new());
        }
    }

    /// What the entries may count now, in bytes.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// What the entries count together, in bytes (RFC 7541 4.1).
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The memory that it has allocated, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Ends>()
    }

    /// Drops the oldest entries until the others count no more than `size`.
    fn shrink_to(&mut self, size: usize) {
        while self.size > size {
            let Some(ends) = self.entries.pop_front() else { break };
            self.size -= (ends.value - self.front) as usize + OVERHEAD;
            self.front = ends.value;
        }
        if self.entries.is_empty() {
            self.bytes.clear();
            self.front = 0;
        }
    }

    /// Sees to it that `length` more bytes have room behind the others.
    fn make_room(&mut self, length: usize) {
        let dead = self.front as usize;
        let is_full = self.bytes.len() + length > self.bytes.capacity();
        // Memory of which half is a gap is large enough.
        if is_full && (dead * 2 >= self.bytes.len() || self.bytes.len() + length > self.limit) {
            self.bytes.drain(..dead);
            for ends in &mut self.entries {
                ends.name -= self.front;
                ends.value -= self.front;
            }
            self.front = 0;
        }
        let needed = self.bytes.len() + length;
        if needed > self.bytes.capacity() {
            let doubled = (self.bytes.capacity() * 2).max(LEAST).min(self.limit);
            self.bytes.reserve_exact(doubled.max(needed) - self.bytes.len());
        }
    }
}
