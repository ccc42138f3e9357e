//! Which byte may stand where, and finding the first that may not.

/// May stand in a token (RFC 9110 5.6.2): methods and field names.
pub(crate) const TOKEN: u8 = 1;
/// May stand in a request target: printable ASCII but `#`.
pub(crate) const TARGET: u8 = 2;
/// May stand in a registered name (RFC 3986 3.2.2) as itself. The comma is left out: no host name has it, and
/// where fields are joined it makes two hosts of one.
pub(crate) const HOST: u8 = 4;
/// The underscore: one with the hyphen once an application server has made `HTTP_…` of a field's name.
pub(crate) const UNDERSCORE: u8 = 8;

/// The classes of each byte, as a sum of the constants above.
pub(crate) static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        let b = byte as u8;
        let mut class = 0;
        if b.is_ascii_alphanumeric() {
            class |= TOKEN | HOST;
        }
        if matches!(b, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~') {
            class |= TOKEN;
        }
        if matches!(b, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&'..=b'+' | b';' | b'=') {
            class |= HOST;
        }
        if b != b'#' {
            class |= TARGET;
        }
        if b == b'_' {
            class |= UNDERSCORE;
        }
        table[byte] = class;
        byte += 1;
    }
    table
}

/// The classes of `byte`.
#[inline]
pub(crate) fn class(byte: u8) -> u8 {
    CLASS[byte as usize]
}

/// Offset, from `start` on, of the first byte of `buf` that is not of `class`, or the length of `buf`.
#[inline]
pub(crate) fn skip_class(buf: &[u8], start: usize, wanted: u8) -> usize {
    let rest = buf.get(start..).unwrap_or_default();
    start + rest.iter().position(|&b| class(b) & wanted == 0).unwrap_or(rest.len())
}

/// Offset, from `start` on, of the first byte of `buf` that may not stand in a field value (RFC 9110 5.5: a
/// control other than HTAB, or DEL), or the length of `buf`. In a well-formed head that byte is the line's CR.
#[inline]
pub(crate) fn skip_text(buf: &[u8], start: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut at = start;
    // Eight bytes at a time. A borrow can flag a good byte wrongly, but only above one that is flagged rightly,
    // and the first (lowest) one is what counts.
    while let Some((word, _)) = buf.get(at..).and_then(|rest| rest.split_first_chunk::<8>()) {
        let word = u64::from_le_bytes(*word);
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        let del = word ^ (ONES * 0x7f);
        let flagged = (controls | (del.wrapping_sub(ONES) & !del)) & HIGH;
        if flagged == 0 {
            at += 8;
            continue;
        }
        at += flagged.trailing_zeros() as usize / 8;
        if buf.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
    let rest = buf.get(at..).unwrap_or_default();
    at + rest.iter().position(|&b| !is_text(b)).unwrap_or(rest.len())
}

/// Whether `byte` may stand in a field value (RFC 9110 5.5).
#[inline]
pub(crate) fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

/// `bytes` without the spaces and tabs around it (RFC 9110 5.6.3), and no other kind of white space.
#[inline]
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = bytes;
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The number that `digits` writes: decimal digits only, at least one. The error says which rule was broken.
pub(crate) fn decimal(digits: &[u8]) -> Result<u64, NotDecimal> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NotDecimal::Malformed);
    }
    digits
        .iter()
        .try_fold(0u64, |sum, d| sum.checked_mul(10)?.checked_add(u64::from(d - b'0')))
        .ok_or(NotDecimal::TooLarge)
}

/// Why [`decimal`] refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotDecimal {
    /// Something other than digits, or nothing at all.
    Malformed,
    /// Digits, but more than 64 bits hold.
    TooLarge,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_byte_that_no_value_may_hold_wherever_it_stands() {
        for bad in (0u8..=0xff).filter(|b| (*b < 0x20 && *b != b'\t') || *b == 0x7f) {
            for at in 0..40 {
                let mut line = vec![b'a'; 40];
                line[at] = bad;
                assert_eq!(skip_text(&line, 0), at, "byte {bad:#x} at {at}");
                assert_eq!(skip_text(&line, at / 2), at, "byte {bad:#x} at {at}, from the middle");
            }
        }
    }

    #[test]
    fn passes_every_byte_that_a_value_may_hold() {
        for good in (0u8..=0xff).filter(|b| *b == b'\t' || (*b >= 0x20 && *b != 0x7f)) {
            for length in 0..40 {
                assert_eq!(skip_text(&vec![good; length], 0), length, "byte {good:#x} × {length}");
            }
        }
    }

    #[test]
    fn agrees_with_the_plain_definition_on_random_bytes() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..50_000 {
            let line: Vec<u8> = (0..random.usize(..60))
                .map(|_| if random.u8(..20) == 0 { random.u8(..) } else { random.u8(0x20..0x7f) })
                .collect();
            let expected = line.iter().position(|b| !is_text(*b)).unwrap_or(line.len());
            assert_eq!(skip_text(&line, 0), expected, "{line:x?}");
        }
    }

    #[test]
    fn a_token_holds_what_the_rfc_lists() {
        let tokens: Vec<u8> = (0..=0xff).filter(|b| class(*b) & TOKEN != 0).collect();
        let mut expected: Vec<u8> = b"!#$%&'*+-.^_`|~".to_vec();
        expected.extend((b'0'..=b'9').chain(b'a'..=b'z').chain(b'A'..=b'Z'));
        expected.sort_unstable();
        assert_eq!(tokens, expected);
    }

    #[test]
    fn a_host_holds_unreserved_and_sub_delims_but_the_comma() {
        let hosts: Vec<u8> = (0..=0xff).filter(|b| class(*b) & HOST != 0).collect();
        let mut expected: Vec<u8> = b"-._~!$&'()*+;=".to_vec();
        expected.extend((b'0'..=b'9').chain(b'a'..=b'z').chain(b'A'..=b'Z'));
        expected.sort_unstable();
        assert_eq!(hosts, expected);
    }

    #[test]
    fn reads_decimals_and_nothing_else() {
        assert_eq!(decimal(b"0"), Ok(0));
        assert_eq!(decimal(b"005"), Ok(5));
        assert_eq!(decimal(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(decimal(b"18446744073709551616"), Err(NotDecimal::TooLarge));
        assert_eq!(decimal(&[b'9'; 500]), Err(NotDecimal::TooLarge));
        for bad in ["", "+5", "-1", "-0", "0x5", "1_0", "5.0", "1 0", "abc", "\u{664}"] {
            assert_eq!(decimal(bad.as_bytes()), Err(NotDecimal::Malformed), "{bad:?}");
        }
    }
}
