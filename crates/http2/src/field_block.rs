//! The fields of an answer, on their way into a header block.

use crate::bytes::{TOKEN, is_all, is_value};
use crate::hpack;

/// Takes the fields of a head or of trailers, one after the other, and encodes each at once.
///
/// What belongs to a connection and not to a message stays out by itself (RFC 9113 8.2.2): Connection, Keep-Alive,
/// Proxy-Connection, TE, Transfer-Encoding and Upgrade. Fields that a Connection field names are for the caller to leave out.
pub struct FieldBlock<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> FieldBlock<'a> {
    /// One that adds to a header block at the end of `out`.
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Adds a field: its name in any case (it is written in lower case), its value without the line end.
    ///
    /// A name that is no token, and a value with a control character other than HTAB, are left out; white space around the
    /// value too.
    #[inline]
    pub fn field(&mut self, name: &[u8], value: &[u8]) {
        let value = trim(value);
        if is_all(name, TOKEN) && is_value(value) && !is_of_a_connection(name) {
            hpack::encode_field(self.out, name, value);
        }
    }

    /// Adds a field whose value is a number, such as `content-length`.
    pub fn number(&mut self, name: &[u8], value: u64) {
        let mut digits = [b'0'; 20];
        let (mut at, mut rest) = (digits.len(), value);
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            at -= 1;
            if rest == 0 {
                break;
            }
        }
        self.field(name, digits.get(at..).unwrap_or_default());
    }
}

/// Whether it says something of an HTTP/1 connection (RFC 9113 8.2.2).
#[inline]
fn is_of_a_connection(name: &[u8]) -> bool {
    match name.len() {
        2 => name.eq_ignore_ascii_case(b"te"),
        7 => name.eq_ignore_ascii_case(b"upgrade"),
        10 => name.eq_ignore_ascii_case(b"connection") || name.eq_ignore_ascii_case(b"keep-alive"),
        16 => name.eq_ignore_ascii_case(b"proxy-connection"),
        17 => name.eq_ignore_ascii_case(b"transfer-encoding"),
        _ => false,
    }
}

/// `value` without the spaces and tabs around it.
#[inline]
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fill: impl FnOnce(&mut FieldBlock<'_>)) -> Vec<(String, String)> {
        let mut out = Vec::new();
        fill(&mut FieldBlock::new(&mut out));
        let mut fields = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        hpack::Decoder::new(4096)
            .decode(&out, 1 << 20, |name, value| fields.push((text(name), text(value))))
            .unwrap();
        fields
    }

    /// C36 (RFC 9113 8.2.2): what belongs to the connection with the application does not cross.
    #[test]
    fn leaves_out_what_belongs_to_a_connection() {
        let fields = written(|block| {
            for name in ["Connection", "keep-alive", "Proxy-Connection", "TRANSFER-ENCODING", "Upgrade", "TE"]
            {
                block.field(name.as_bytes(), b"x");
            }
            block.field(b"Content-Type", b"text/plain");
        });
        assert_eq!(fields, [("content-type".into(), "text/plain".into())]);
    }

    #[test]
    fn leaves_out_what_is_no_field() {
        let fields = written(|block| {
            for name in [&b""[..], b":status", b"a b", b"a\r", b"\xff"] {
                block.field(name, b"x");
            }
            for value in [&b"a\r\nb: c"[..], b"\0", b"\x7f"] {
                block.field(b"x", value);
            }
            block.field(b"X-Y", b" \t a\tb \t");
            block.number(b"content-length", 0);
            block.number(b"content-length", u64::MAX);
        });
        let expected = [("x-y", "a\tb"), ("content-length", "0"), ("content-length", "18446744073709551615")];
        assert_eq!(fields, expected.map(|(name, value)| (name.into(), value.into())));
    }
}
