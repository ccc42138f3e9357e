//! Kinds of keys.

use rustls::SignatureAlgorithm;
use rustls::sign::SigningKey;

/// Kind of a key, the preferred first: the smaller and faster, of those that every client knows, before the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Ecdsa,
    Ed25519,
    Rsa,
    Other,
}

impl Kind {
    pub(crate) fn of(key: &dyn SigningKey) -> Self {
        match key.algorithm() {
            SignatureAlgorithm::ECDSA => Self::Ecdsa,
            SignatureAlgorithm::ED25519 => Self::Ed25519,
            SignatureAlgorithm::RSA => Self::Rsa,
            _ => Self::Other,
        }
    }
}
