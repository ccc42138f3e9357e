//! A stretch of a buffer, kept as offsets.

/// A stretch of the buffer that a head was parsed from: `start` inclusive, `end` exclusive, in bytes.
///
/// Offsets rather than a slice, so that a head can outlive a growing (and therefore moving) read buffer.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte.
    pub end: u32,
}

impl Span {
    /// The span of `start..end`. Heads are limited to less than 4 GiB before any span is made.
    #[inline]
    pub(crate) fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end as u32 }
    }

    /// The bytes this span stands for in `buf`; empty when it does not lie within `buf`.
    #[inline]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Whether the span holds no byte.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// Length in bytes.
    #[inline]
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_bytes_it_stands_for() {
        let span = Span::new(2, 5);
        assert_eq!(span.of(b"abcdefg"), b"cde");
        assert_eq!(span.len(), 3);
        assert!(!span.is_empty());
    }

    #[test]
    fn is_empty_rather_than_out_of_range() {
        assert_eq!(Span::new(2, 50).of(b"abc"), b"");
        assert_eq!(Span { start: 5, end: 2 }.of(b"abcdefg"), b"");
        assert_eq!(Span { start: 5, end: 2 }.len(), 0);
        assert!(Span::default().is_empty());
    }
}
