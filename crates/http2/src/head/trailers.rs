//! The fields behind a body. They are dropped, but a message whose trailers are malformed is malformed (RFC 9113 8.1).

use super::check;

/// Checks trailers.
#[derive(Debug, Default)]
pub(crate) struct Trailers {
    fault: Option<&'static str>,
}

impl Trailers {
    /// Takes one field.
    pub(crate) fn field(&mut self, name: &[u8], value: &[u8]) {
        if self.fault.is_none() {
            self.fault = match name {
                [b':', ..] => Some("trailers have a pseudo-field"),
                _ => check(name, value).err(),
            };
        }
    }

    /// What is wrong with them, if anything is.
    pub(crate) fn finish(self) -> Result<(), &'static str> {
        self.fault.map_or(Ok(()), Err)
    }
}
