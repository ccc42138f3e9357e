//! Strings in the Huffman code of HPACK (RFC 7541 5.2).

use super::HpackError;
use super::huffman_code::{CODES, LONG, LONGEST, SHORT, SHORT_BITS};

/// Most bits of padding at the end of a string.
const MOST_PADDING: u32 = 7;
/// Bits of the shortest code.
const SHORTEST: usize = 5;

/// How many bytes a string of `length` bytes may decode to at most.
#[inline]
pub(super) fn most_decoded(length: usize) -> usize {
    length.saturating_mul(8) / SHORTEST
}

/// Decodes `string` to the front of `out`; gives how many bytes the whole of it is, though there may be less room for it.
///
/// # Errors
/// It contains the end-of-string symbol, or is wrongly padded.
#[inline]
pub(super) fn decode(string: &[u8], out: &mut [u8]) -> Result<usize, HpackError> {
    let mut length = 0;
    each_symbol(string, |symbol| {
        if let Some(byte) = out.get_mut(length) {
            *byte = symbol;
        }
        length += 1;
    })?;
    Ok(length)
}

/// How many bytes `string` decodes to.
///
/// # Errors
/// As [`decode`].
pub(super) fn decoded_length(string: &[u8]) -> Result<usize, HpackError> {
    decode(string, &mut [])
}

/// Hands on each symbol in turn.
#[inline]
fn each_symbol(mut rest: &[u8], mut each: impl FnMut(u8)) -> Result<(), HpackError> {
    // What comes next stands at the top of `window`; `have` bits of it are taken from the string.
    let mut window: u64 = 0;
    let mut have: u32 = 0;
    loop {
        if let Some(word) = rest.first_chunk::<8>() {
            window |= u64::from_be_bytes(*word) >> have;
            let bytes = (63 - have) / 8;
            have += bytes * 8;
            rest = &rest[bytes as usize..];
        } else {
            while have <= 56 {
                let Some((&byte, after)) = rest.split_first() else { break };
                window |= u64::from(byte) << (56 - have);
                have += 8;
                rest = after;
            }
            if have < LONGEST {
                break;
            }
        }
        while have >= LONGEST {
            let (symbol, bits) = symbol(window).ok_or(HpackError::EndOfString)?;
            each(symbol);
            window <<= bits;
            have -= bits;
        }
    }
    // The last bits, with ones after them, as if the end-of-string symbol followed.
    window |= u64::MAX >> have;
    while have > 0 {
        match symbol(window) {
            Some((symbol, bits)) if bits <= have => {
                each(symbol);
                window = window << bits | ((1 << bits) - 1);
                have -= bits;
            }
            _ => break,
        }
    }
    let is_padding = have <= MOST_PADDING && window == u64::MAX;
    if is_padding { Ok(()) } else { Err(HpackError::Padding) }
}

/// The symbol at the top of `window` and the length of its code; `None` if it is the end of string.
#[inline]
fn symbol(window: u64) -> Option<(u8, u32)> {
    let short = SHORT[(window >> (64 - SHORT_BITS)) as usize];
    if short != 0 { Some((short as u8, u32::from(short >> 8))) } else { long_symbol((window >> 32) as u32) }
}

#[inline(never)]
fn long_symbol(window: u32) -> Option<(u8, u32)> {
    let length = LONG.iter().find(|length| window < length.end)?;
    let number = (window - length.first) >> (32 - length.bits);
    Some((*length.symbols.get(number as usize)?, length.bits))
}

/// Encodes `string`, each of its bytes as `fold` makes it, to the front of `out`; gives how many bytes that is, or `None` if
/// it is more than there is room for.
#[inline]
pub(super) fn encode(string: &[u8], out: &mut [u8], fold: impl Fn(u8) -> u8) -> Option<usize> {
    // The lowest `have` bits of `window` are yet to be written; between symbols these are fewer than 32.
    let mut window: u64 = 0;
    let mut have: u32 = 0;
    let mut at = 0;
    for byte in string {
        let code = CODES[usize::from(fold(*byte))];
        window = window << code.bits | u64::from(code.code);
        have += code.bits;
        if have >= 32 {
            have -= 32;
            out.get_mut(at..at + 4)?.copy_from_slice(&((window >> have) as u32).to_be_bytes());
            at += 4;
        }
    }
    // The rest, and ones behind it.
    let padded = window << (32 - have) | (u64::from(u32::MAX) >> have);
    let rest = have.div_ceil(8) as usize;
    out.get_mut(at..at + rest)?.copy_from_slice(&(padded as u32).to_be_bytes()[..rest]);
    Some(at + rest)
}
