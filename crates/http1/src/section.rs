//! The lines of a head: where it ends, and its fields.

use crate::bytes::{TOKEN, UNDERSCORE, class, skip_text};
use crate::connection::Options;
use crate::error::FieldError;
use crate::field::{Field, Name};
use crate::span::Span;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, from the first to the end of its empty line.
    pub bytes: usize,
    /// Number of field lines.
    pub fields: usize,
}

/// The protocol version of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
}

/// A field that may stand once: its last value, and how often it stood there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Single {
    pub(crate) value: Span,
    pub(crate) count: u32,
}

impl Single {
    #[inline]
    fn add(&mut self, value: Span) {
        self.value = value;
        self.count = self.count.saturating_add(1);
    }

    /// The value if the field stood exactly once and is not empty.
    #[inline]
    pub(crate) fn only(self) -> Option<Span> {
        (self.count == 1 && !self.value.is_empty()).then_some(self.value)
    }
}

/// What the fields of one head say about the message itself, noted as they pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    pub(crate) host: Single,
    pub(crate) content_length: Single,
    pub(crate) transfer_encoding: Single,
    pub(crate) upgrade: Single,
    pub(crate) expect: Single,
    pub(crate) connection: Options,
}

/// Parses the field lines of `buf` from `start` on into `fields`, with the empty line that ends them.
///
/// Gives the offset after that empty line and what the fields say, or `None` when `buf` ends before it.
#[inline]
pub(crate) fn parse_fields(
    buf: &[u8],
    start: usize,
    limit: usize,
    fields: &mut Vec<Field>,
) -> Result<Option<(usize, Notes)>, FieldError> {
    let mut notes = Notes::default();
    let mut at = start;
    loop {
        if buf.get(at) == Some(&b'\r') {
            return Ok(end_of_line(buf, at)?.map(|end| (end, notes)));
        }
        let name_start = at;
        let mut classes = 0;
        let stop = loop {
            let Some(&byte) = buf.get(at) else { return Ok(None) };
            let class = class(byte);
            if class & TOKEN == 0 {
                break byte;
            }
            classes |= class;
            at += 1;
        };
        if stop != b':' || at == name_start {
            return bad_name(buf, at, stop, at == name_start);
        }
        let name = Span::new(name_start, at);
        at += 1;
        while let Some(b' ' | b'\t') = buf.get(at) {
            at += 1;
        }
        let value_start = at;
        at = skip_text(buf, at);
        let mut value_end = at;
        let Some(next) = end_of_line(buf, at)? else { return Ok(None) };
        while value_end > value_start && matches!(buf.get(value_end - 1), Some(b' ' | b'\t')) {
            value_end -= 1;
        }
        let value = Span::new(value_start, value_end);
        at = next;

        if fields.len() >= limit {
            return Err(FieldError::TooMany);
        }
        let kind = Name::classify(name.of(buf));
        match kind {
            Name::Host => notes.host.add(value),
            Name::ContentLength => notes.content_length.add(value),
            Name::TransferEncoding => notes.transfer_encoding.add(value),
            Name::Upgrade => notes.upgrade.add(value),
            Name::Expect => notes.expect.add(value),
            Name::Connection => notes.connection.add(value.of(buf)),
            _ => {}
        }
        fields.push(Field { name, value, kind, underscore: classes & UNDERSCORE != 0 });
    }
}

/// What is wrong with a name that ends at `at` in `stop`, which is no colon, or with an empty name.
#[cold]
fn bad_name<T>(buf: &[u8], at: usize, stop: u8, empty: bool) -> Result<Option<T>, FieldError> {
    Err(match (stop, empty) {
        (b' ' | b'\t', true) => FieldError::Folded,
        (b':', true) => FieldError::EmptyName,
        // `Name  : value`, against `two words` with no colon at all.
        (b' ' | b'\t', false) => {
            let rest = buf.get(at..).unwrap_or_default();
            match rest.iter().find(|b| !matches!(b, b' ' | b'\t')) {
                Some(b':') => FieldError::SpaceBeforeColon,
                _ => FieldError::BadName,
            }
        }
        (b'\n', _) => FieldError::BareLf,
        (b'\r', _) => match buf.get(at + 1) {
            Some(b'\n') => FieldError::NoColon,
            Some(_) => FieldError::BareCr,
            None => return Ok(None),
        },
        _ => FieldError::BadName,
    })
}

/// The offset after the CRLF that must stand at `at`; `None` when `buf` ends before it does.
#[inline]
pub(crate) fn end_of_line(buf: &[u8], at: usize) -> Result<Option<usize>, FieldError> {
    match (buf.get(at), buf.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(Some(at + 2)),
        (None, _) | (Some(b'\r'), None) => Ok(None),
        (Some(b'\r'), Some(_)) => Err(FieldError::BareCr),
        (Some(b'\n'), _) => Err(FieldError::BareLf),
        (Some(_), _) => Err(FieldError::BadValue),
    }
}

/// Looks for the end of a head that came in pieces: only at what `scanned` does not cover yet, and only at line
/// ends. `first` is where the head's first line begins.
///
/// Gives whether the head is complete, and moves `scanned` on when it is not.
pub(crate) fn scan_for_end(buf: &[u8], scanned: &mut usize, first: usize) -> Result<bool, FieldError> {
    let mut at = (*scanned).max(first);
    loop {
        let rest = buf.get(at..).unwrap_or_default();
        let Some(offset) = memchr::memchr2(b'\r', b'\n', rest) else {
            *scanned = buf.len();
            return Ok(false);
        };
        at += offset;
        let Some(next) = end_of_line(buf, at)? else {
            *scanned = at; // at its CR, so that the next call sees the pair
            return Ok(false);
        };
        if at >= first + 2 && buf.get(at - 2..at) == Some(b"\r\n") {
            return Ok(true);
        }
        at = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<Option<(usize, Vec<Field>)>, FieldError> {
        let mut fields = Vec::new();
        Ok(parse_fields(text, 0, 100, &mut fields)?.map(|(end, _)| (end, fields)))
    }

    #[test]
    fn trims_values_and_keeps_names_as_they_came() {
        let text = b"aB-c:\t v w \t\r\nE:\r\nX_y:1\r\n\r\nrest";
        let (end, fields) = parse(text).unwrap().unwrap();
        assert_eq!(&text[end..], b"rest");
        let pairs: Vec<_> =
            fields.iter().map(|f| (f.name.of(text), f.value.of(text), f.underscore)).collect();
        assert_eq!(
            pairs,
            [
                (b"aB-c".as_slice(), b"v w".as_slice(), false),
                (b"E".as_slice(), b"".as_slice(), false),
                (b"X_y".as_slice(), b"1".as_slice(), true)
            ]
        );
    }

    #[test]
    fn names_the_fault() {
        for (text, error) in [
            (&b"X : v\r\n\r\n"[..], FieldError::SpaceBeforeColon),
            (b"X\t: v\r\n\r\n", FieldError::SpaceBeforeColon),
            (b" X: v\r\n\r\n", FieldError::Folded),
            (b"A: v\r\n\tw\r\n\r\n", FieldError::Folded),
            (b": v\r\n\r\n", FieldError::EmptyName),
            (b"NoColon\r\n\r\n", FieldError::NoColon),
            (b"two words\r\n\r\n", FieldError::BadName),
            (b"A\0: v\r\n\r\n", FieldError::BadName),
            (b"A: v\n\r\n", FieldError::BareLf),
            (b"A: v\r\n\n", FieldError::BareLf),
            (b"A: v\rB: w\r\n\r\n", FieldError::BareCr),
            (b"A: v\r\n\rZ", FieldError::BareCr),
            (b"A\rB: v\r\n\r\n", FieldError::BareCr),
            (b"A: \x01\r\n\r\n", FieldError::BadValue),
        ] {
            assert_eq!(parse(text), Err(error), "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn refuses_one_field_more_than_the_limit() {
        let mut fields = Vec::new();
        assert!(parse_fields(b"A:1\r\nB:2\r\n\r\n", 0, 2, &mut fields).unwrap().is_some());
        fields.clear();
        assert_eq!(parse_fields(b"A:1\r\nB:2\r\nC:3\r\n\r\n", 0, 2, &mut fields), Err(FieldError::TooMany));
    }

    #[test]
    fn looks_at_each_byte_once_while_it_waits_for_the_end() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut scanned = 0;
        for end in 0..head.len() {
            assert_eq!(scan_for_end(&head[..end], &mut scanned, 0), Ok(false), "{end}");
            assert!(scanned + 1 >= end, "{scanned} of {end}");
        }
        assert_eq!(scan_for_end(head, &mut scanned, 0), Ok(true));
    }
}
