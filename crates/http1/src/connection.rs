//! What the Connection fields of a head say.

use crate::bytes::trim;
use crate::field::{Field, Name};

/// The connection options of a head, gathered over all its Connection fields (RFC 9110 7.6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    /// Whether any other option stands there, each naming a field for this hop alone.
    pub(crate) others: bool,
    /// How many options stand there.
    count: u32,
}

/// More options than any honest head has; each costs a comparison with each field.
const MOST_OPTIONS: u32 = 64;

impl Options {
    /// Adds the options of one Connection field.
    pub(crate) fn add(&mut self, value: &[u8]) {
        for option in members(value) {
            self.count = self.count.saturating_add(1);
            if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.others = true;
            }
        }
    }

    /// Whether there are more options than are looked at.
    pub(crate) fn are_too_many(&self) -> bool {
        self.count > MOST_OPTIONS
    }

    /// Whether one of the Connection fields among `fields`, whose options these are, names `name`.
    #[inline]
    pub(crate) fn nominates(&self, fields: &[Field], buf: &[u8], name: &[u8]) -> bool {
        if self.others {
            return fields
                .iter()
                .filter(|field| field.kind == Name::Connection)
                .any(|field| members(field.value.of(buf)).any(|option| option.eq_ignore_ascii_case(name)));
        }
        // With nothing but the usual options there, the flags know it all.
        match name.len() {
            5 => self.close && name.eq_ignore_ascii_case(b"close"),
            7 => self.upgrade && name.eq_ignore_ascii_case(b"upgrade"),
            10 => self.keep_alive && name.eq_ignore_ascii_case(b"keep-alive"),
            _ => false,
        }
    }
}

/// The members of a comma-separated list, trimmed, the empty ones left out (RFC 9110 5.6.1.2).
pub(crate) fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(trim).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(value: &str) -> Options {
        let mut options = Options::default();
        options.add(value.as_bytes());
        options
    }

    #[test]
    fn reads_the_usual_options_in_any_case() {
        assert_eq!(options("Close"), Options { close: true, count: 1, ..Options::default() });
        assert_eq!(options("keep-alive"), Options { keep_alive: true, count: 1, ..Options::default() });
        let both = Options { keep_alive: true, upgrade: true, count: 2, ..Options::default() };
        assert_eq!(options(" ,keep-alive,,\tUpgrade ,"), both);
    }

    #[test]
    fn counts_the_options_of_all_fields() {
        let mut many = Options::default();
        (0..MOST_OPTIONS).for_each(|_| many.add(b"a"));
        assert!(!many.are_too_many());
        many.add(b"b");
        assert!(many.are_too_many());
    }

    #[test]
    fn tells_when_a_field_is_named() {
        assert!(options("close, X-Secret").others);
        assert!(options("closed").others);
        assert!(!options("").others);
        assert!(!options(", ,").others);
    }
}
