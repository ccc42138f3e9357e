//! The certificates of one listener, by name.

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::Certificate;

/// Where certificates of a listener come from; each source replaces its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The files that the operator named. They go before.
    Files,
    /// An authority that we ask ourselves, or what stands in for it.
    Acme,
}

/// The certificates of one listener, by name: exact, then by wildcard (one label, RFC 9525 6.3), then the first of all.
/// Of several for one name ECDSA goes before RSA, if the client can verify it. Looked up by hash, without a lock.
#[derive(Debug)]
pub struct Certificates;

impl Certificates {
    /// Puts `certificates` in the place of what `source` gave before. Handshakes under way keep what they had.
    pub fn replace(&self, _source: Source, _certificates: Vec<Arc<Certificate>>) {
        todo!()
    }

    /// All of them, as they stand now, files first.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Certificate>> {
        todo!()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        todo!()
    }
}
