//! Which byte may stand where in the parts of a request. A byte that is not listed is one that could be understood as an end of
//! what it stands in once the head is written in HTTP/1 form.

/// May stand in a token (RFC 9110 5.6.2).
pub(crate) const TOKEN: u8 = 1;
/// May stand in the name of a field: a token without upper case (RFC 9113 8.2.1).
pub(crate) const NAME: u8 = 2;
/// May stand in a path with its query: printable ASCII but `#`.
pub(crate) const TARGET: u8 = 4;
/// May stand in an authority (RFC 3986 3.2), which here is a host and a port: no user before an `@` (RFC 9113 8.3.1).
pub(crate) const AUTHORITY: u8 = 8;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        let b = byte as u8;
        let mut class = 0;
        if b.is_ascii_alphanumeric()
            || matches!(b, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
        {
            class |= TOKEN;
            if !b.is_ascii_uppercase() {
                class |= NAME;
            }
        }
        if b != b'#' {
            class |= TARGET;
        }
        if b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'%' | b'&'
                    ..=b'+' | b';' | b'=' | b':' | b'[' | b']'
            )
        {
            class |= AUTHORITY;
        }
        table[byte] = class;
        byte += 1;
    }
    table
}

/// Whether `text` has at least one byte, and only such as are of `class`.
#[inline]
pub(crate) fn is_all(text: &[u8], class: u8) -> bool {
    !text.is_empty() && text.iter().fold(class, |all, byte| all & CLASS[usize::from(*byte)]) != 0
}

/// Whether `value` may be a field's (RFC 9113 8.2.1, RFC 9110 5.5): no control character but HTAB, no white space around it.
#[inline]
pub(crate) fn is_value(value: &[u8]) -> bool {
    let is_control = |byte: u8| ((byte < 0x20) & (byte != b'\t')) | (byte == 0x7f);
    let around = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !value.iter().fold(false, |bad, byte| bad | is_control(*byte))
        && !around(value.first())
        && !around(value.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(class: u8) -> Vec<u8> {
        (0..=0xff).filter(|byte| is_all(&[*byte], class)).collect()
    }

    #[test]
    fn a_name_is_a_token_in_lower_case() {
        let mut expected: Vec<u8> = b"!#$%&'*+-.^_`|~".to_vec();
        expected.extend((b'0'..=b'9').chain(b'a'..=b'z'));
        expected.sort_unstable();
        assert_eq!(of(NAME), expected);
        expected.extend(b'A'..=b'Z');
        expected.sort_unstable();
        assert_eq!(of(TOKEN), expected);
        assert!(!is_all(b"", NAME) && !is_all(b"a b", NAME) && is_all(b"a-b", NAME));
    }

    #[test]
    fn nothing_that_ends_a_target_or_an_authority_stands_in_one() {
        for bad in [b' ', b'\t', b'\r', b'\n', 0, b'#', 0x7f, 0x80] {
            assert!(!of(TARGET).contains(&bad), "{bad:#x}");
        }
        for bad in *b" \t\r\n\0#/?@\\,\"<>^`{|}\x7f\x80" {
            assert!(!of(AUTHORITY).contains(&bad), "{bad:#x}");
        }
    }

    #[test]
    fn a_value_holds_text_and_tabs_within() {
        for good in [&b""[..], b"a", b"a\tb", b"a b", b"\xff\x80", b"\"", b":"] {
            assert!(is_value(good), "{good:?}");
        }
        for bad in [&b" a"[..], b"a ", b"\ta", b"a\t", b" ", b"a\r", b"a\nb", b"a\0b", b"\x01", b"\x7f"] {
            assert!(!is_value(bad), "{bad:?}");
        }
    }
}
