//! Who the client is, by a certificate of its own.

use rustls::ServerConnection;

use crate::Error;

/// The fields by which the application learns who the client is. Whatever a client sends under these names is dropped.
pub const FIELD_NAMES: [&str; 6] = [
    "X-SSL-Client-Verify",
    "X-SSL-Client-S-DN",
    "X-SSL-Client-I-DN",
    "X-SSL-Client-Serial",
    "X-SSL-Client-Fingerprint",
    "Client-Cert",
];

/// Who the client is, as the field lines that the application gets, rendered once per connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity;

impl Identity {
    /// The verified certificate of `connection`, if the client has one. Ask [`crate::Acceptor::identity`], which looks
    /// at resumed sessions too.
    ///
    /// # Errors
    /// It cannot be rendered.
    pub fn of(_connection: &ServerConnection) -> Result<Option<Self>, Error> {
        todo!()
    }

    /// Complete field lines, each with its CR LF: nothing but printable ASCII between.
    #[must_use]
    pub fn fields(&self) -> &[u8] {
        todo!()
    }
}
