//! What proves to an authority that a name is ours.

use std::sync::Arc;

use crate::Error;

/// What proves to an authority that a name is ours, while it asks. One for the process: it may ask on any listener.
#[derive(Debug, Default)]
pub struct Challenges;

impl Challenges {
    /// Answers `token` on plain HTTP (RFC 8555 8.3) with `key_authorization` as long as the guard lives.
    #[must_use]
    pub fn stand_http(self: &Arc<Self>, _token: &str, _key_authorization: &str) -> Standing {
        todo!()
    }

    /// Answers `acme-tls/1` (RFC 8737) for `name` with a certificate that carries `digest`, the SHA-256 of the key
    /// authorization, as long as the guard lives.
    ///
    /// # Errors
    /// `name` is no name, or `digest` is not of 32 bytes.
    pub fn stand_tls(self: &Arc<Self>, _name: &str, _digest: &[u8]) -> Result<Standing, Error> {
        todo!()
    }

    /// What `/.well-known/acme-challenge/TOKEN` answers.
    #[must_use]
    pub fn key_authorization(&self, _token: &str) -> Option<Arc<str>> {
        todo!()
    }

    /// Whether no token stands. One atomic load.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        todo!()
    }
}

/// A challenge that stands; dropped, it stands no more.
#[derive(Debug)]
#[must_use = "dropped, the challenge stands no more"]
pub struct Standing;
