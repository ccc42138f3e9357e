//! Header blocks of a connection: decoded as the simplest reader decodes them, whatever of them is wanted, within bounds.

use std::sync::LazyLock;

use vestibule_http2::hpack::{Decoder, HpackError, Outcome, encode_field};

use super::pieces::Pieces;

/// Between two blocks. (As a size of the table it could be written in other ways.)
const CUT: &[u8] = b"\x3f\xff";
/// What a field counts beyond its bytes, in a list as in a table.
const OVERHEAD: usize = 32;
/// Fields in the static table.
const STATIC: usize = 61;

static PIECES: LazyLock<Pieces> = LazyLock::new(|| Pieces::of(include_str!("../hpack.dict")));

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Checks `data` as the blocks of a connection, the same with its bytes taken for pieces, and as fields to encode.
pub fn check(data: &[u8]) {
    check_blocks(data);
    let expanded = PIECES.expand(data);
    if expanded.len() != data.len() {
        check_blocks(&expanded);
    }
    let half = data.len() / 2;
    comes_back(&[(data.to_vec(), data.to_vec()), (data[..half].to_vec(), data[half..].to_vec())]);
}

/// The first byte says how large the table and the list may be, the others are blocks.
fn check_blocks(data: &[u8]) {
    let Some((first, mut rest)) = data.split_first() else { return };
    let bound = [0, 64, 200, 4096][usize::from(first & 3)];
    let most = [0, 70, 300, 5000][usize::from(first >> 2 & 3)];
    let (mut whole, mut part) = (Decoder::new(bound), Decoder::new(bound));
    let mut model = Model { table: Vec::new(), limit: bound as usize, bound: bound as usize };
    loop {
        let end = rest.windows(CUT.len()).position(|bytes| bytes == CUT);
        let block = &rest[..end.unwrap_or(rest.len())];
        let shown = block.escape_ascii();

        let decoded = decode(&mut whole, block, usize::MAX);
        let in_part = decode(&mut part, block, most);
        let expected = model.decode(block);
        for decoder in [&whole, &part] {
            assert!(decoder.table_size() <= bound as usize, "{} of {bound}: {shown}", decoder.table_size());
            // The bytes, and where each of the entries ends that may be there; these grow from four on by doubling.
            let memory = bound as usize + (bound as usize / OVERHEAD).next_power_of_two().max(4) * 8;
            assert!(decoder.memory() <= memory, "{} bytes for {bound}: {shown}", decoder.memory());
        }
        let fields = match (decoded, in_part) {
            (Ok((outcome, fields)), Ok((in_part, part))) => {
                assert_eq!(outcome, Outcome::Whole, "{shown}");
                is_a_part(&fields, in_part, &part, most);
                fields
            }
            (Err(error), Err(in_part)) => {
                assert!(error == in_part && expected.is_none(), "{error:?}, {in_part:?}: {shown}");
                return;
            }
            (decoded, in_part) => panic!("{decoded:?}, in part {in_part:?}: {shown}"),
        };
        assert_eq!(Some(&fields), expected.as_ref(), "{shown}");
        assert!(fields.len() <= block.len(), "{shown}");
        assert_eq!(table(&mut whole), model.table, "{shown}");
        assert_eq!(table(&mut part), model.table, "{shown}");
        assert_eq!(whole.table_size(), model.size(), "{shown}");
        comes_back(&fields);

        let Some(end) = end else { return };
        rest = &rest[end + CUT.len()..];
    }
}

fn decode(decoder: &mut Decoder, block: &[u8], most: usize) -> Result<(Outcome, Fields), HpackError> {
    let mut fields = Vec::new();
    let outcome = decoder.decode(block, most, |name, value| fields.push((name.to_vec(), value.to_vec())))?;
    Ok((outcome, fields))
}

/// What the dynamic table has, newest first.
fn table(decoder: &mut Decoder) -> Fields {
    let field = |index| decode(decoder, &number(0x80, 7, index), usize::MAX).ok();
    (STATIC + 1..).map_while(field).flat_map(|(_, fields)| fields).collect()
}

/// Of a list that may have `most`, the fields up to there are handed on.
fn is_a_part(fields: &Fields, outcome: Outcome, part: &Fields, most: usize) {
    let mut size = 0;
    let sizes = fields.iter().map(|(name, value)| {
        size += name.len() + value.len() + OVERHEAD;
        size
    });
    let fitting = sizes.take_while(|size| *size <= most).count();
    assert_eq!(part[..], fields[..fitting]);
    assert_eq!(outcome == Outcome::Whole, fitting == fields.len());
}

/// What is encoded is decoded as it was, but for the case of names, and asks for no table.
fn comes_back(fields: &[(Vec<u8>, Vec<u8>)]) {
    let mut block = Vec::new();
    for (name, value) in fields {
        encode_field(&mut block, name, value);
    }
    let expected = fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    let mut decoder = Decoder::new(0);
    assert_eq!(decode(&mut decoder, &block, usize::MAX), Ok((Outcome::Whole, expected)));
    assert_eq!(decoder.memory(), 0);
}

/// The simplest reader. What is in the static table, and what Huffman code means, it asks of a decoder that knows nothing
/// else.
struct Model {
    /// Newest first.
    table: Fields,
    limit: usize,
    bound: usize,
}

impl Model {
    fn decode(&mut self, block: &[u8]) -> Option<Fields> {
        let mut rest = block;
        let mut updates = 0;
        let mut fields = Fields::new();
        while let Some(&first) = rest.first() {
            if first & 0xe0 == 0x20 {
                updates += 1;
                let size = take_number(&mut rest, 5)?;
                if updates > 2 || !fields.is_empty() || size > self.bound {
                    return None;
                }
                self.limit = size;
                self.evict();
                continue;
            }
            let is_indexed = first & 0x80 != 0;
            let is_added = first & 0xc0 == 0x40;
            let index = take_number(
                &mut rest,
                if is_indexed {
                    7
                } else if is_added {
                    6
                } else {
                    4
                },
            )?;
            let field = if is_indexed {
                self.field(index)?
            } else {
                let name = if index == 0 { take_text(&mut rest)? } else { self.field(index)?.0 };
                (name, take_text(&mut rest)?)
            };
            if is_added {
                self.table.insert(0, field.clone());
                self.evict();
            }
            fields.push(field);
        }
        Some(fields)
    }

    fn field(&self, index: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        match index {
            0 => None,
            1..=STATIC => decode(&mut Decoder::new(0), &number(0x80, 7, index), usize::MAX).ok()?.1.pop(),
            _ => self.table.get(index - STATIC - 1).cloned(),
        }
    }

    fn size(&self) -> usize {
        self.table.iter().map(|(name, value)| name.len() + value.len() + OVERHEAD).sum()
    }

    fn evict(&mut self) {
        while self.size() > self.limit {
            self.table.pop();
        }
    }
}

fn take_number(rest: &mut &[u8], prefix: u32) -> Option<usize> {
    let mask = (1 << prefix) - 1;
    let mut value = u64::from(*rest.split_off_first()? & mask);
    if value < u64::from(mask) {
        return usize::try_from(value).ok();
    }
    for shift in [0, 7, 14, 21, 28] {
        let byte = *rest.split_off_first()?;
        value += u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(value).ok().map(|value| value as usize);
        }
    }
    None
}

fn take_text(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let is_coded = rest.first()? & 0x80 != 0;
    let length = take_number(rest, 7)?;
    let text = rest.split_off(..length)?;
    if !is_coded {
        return Some(text.to_vec());
    }
    let block = [&[0x00, 0x01, b'x'][..], &number(0x80, 7, length), text].concat();
    Some(decode(&mut Decoder::new(0), &block, usize::MAX).ok()?.1.pop()?.1)
}

/// A number behind the bits of `first`.
fn number(first: u8, prefix: u32, value: usize) -> Vec<u8> {
    let mask = (1_usize << prefix) - 1;
    if value < mask {
        return vec![first | value as u8];
    }
    let mut out = vec![first | mask as u8];
    let mut rest = value - mask;
    while rest > 0x7f {
        out.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    out.push(rest as u8);
    out
}
