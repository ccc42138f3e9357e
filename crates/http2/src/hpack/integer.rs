//! Integers (RFC 7541 5.1).

use super::HpackError;

/// Most bytes after the first: as many as 32 bits need. More of them, be they zeros, only make work.
const CONTINUATIONS: u32 = 5;

/// Reads an integer from the lowest `prefix` bits of the first byte on, and takes it off the front of `block`.
///
/// # Errors
/// It does not end within the block, or is too large.
#[inline]
pub(super) fn read(block: &mut &[u8], prefix: u32) -> Result<u32, HpackError> {
    let (&first, rest) = block.split_first().ok_or(HpackError::Truncated)?;
    *block = rest;
    let mask = u32::from(u8::MAX >> (8 - prefix));
    let value = u32::from(first) & mask;
    if value < mask { Ok(value) } else { read_on(block, value) }
}

/// Reads what follows a prefix that is all ones.
fn read_on(block: &mut &[u8], prefix: u32) -> Result<u32, HpackError> {
    let mut value = u64::from(prefix);
    for number in 0..CONTINUATIONS {
        let (&byte, rest) = block.split_first().ok_or(HpackError::Truncated)?;
        *block = rest;
        value += u64::from(byte & 0x7f) << (7 * number);
        if byte & 0x80 == 0 {
            return u32::try_from(value).map_err(|_| HpackError::IntegerTooLarge);
        }
    }
    Err(HpackError::IntegerTooLarge)
}

/// Appends `value` with its beginning in the lowest `prefix` bits of a byte whose other bits are those of `first`.
#[inline]
pub(super) fn write(out: &mut Vec<u8>, first: u8, prefix: u32, value: usize) {
    let mask = u8::MAX >> (8 - prefix);
    match u8::try_from(value) {
        Ok(value) if value < mask => out.push(first | value),
        _ => write_on(out, first | mask, value - usize::from(mask)),
    }
}

fn write_on(out: &mut Vec<u8>, first: u8, mut rest: usize) {
    out.push(first);
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
