//! The certificates of one listener, by name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::host::{Pattern, canonical};
use crate::{Certificate, Warning};

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
#[derive(Debug, Default)]
pub struct Certificates {
    table: ArcSwap<Table>,
    /// For those who replace something, one at a time.
    sources: Mutex<Sources>,
}

impl Certificates {
    /// Puts `certificates` in the place of what `source` gave before. Handshakes under way keep what they had.
    pub fn replace(&self, source: Source, certificates: Vec<Arc<Certificate>>) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        match source {
            Source::Files => sources.files = certificates,
            Source::Acme => sources.acme = certificates,
        }
        let (table, warnings) = Table::of(sources.files.iter().chain(&sources.acme));
        self.table.store(Arc::new(table));
        // A renewed certificate shadows what the old one did; that was told.
        for warning in warnings.iter().filter(|warning| !sources.told.contains(warning)) {
            tracing::warn!("{warning}");
        }
        sources.told = warnings;
    }

    /// All of them, as they stand now, files first.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Certificate>> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.files.iter().chain(&sources.acme).cloned().collect()
    }

    fn find(&self, name: Option<&str>, offered: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        let entry = table.entry(name)?;
        // If the client can verify none, the handshake fails with the alert that says so.
        let suitable =
            entry.0.iter().find(|certificate| certificate.suits(offered)).or_else(|| entry.0.first());
        suitable.map(|certificate| Arc::clone(certificate.certified()))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name(), hello.signature_schemes())
    }
}

#[derive(Debug, Default)]
struct Sources {
    files: Vec<Arc<Certificate>>,
    acme: Vec<Arc<Certificate>>,
    told: Vec<Warning>,
}

#[derive(Debug, Default)]
struct Table {
    exact: HashMap<Box<str>, Entry>,
    /// By what stands behind the asterisk and its dot.
    wildcard: HashMap<Box<str>, Entry>,
    /// For who names nobody, or nobody whom we know.
    default: Entry,
}

/// The certificates for one name, the preferred first, no two of one kind.
#[derive(Debug, Default)]
struct Entry(Vec<Arc<Certificate>>);

impl Table {
    fn of<'a>(certificates: impl Iterator<Item = &'a Arc<Certificate>>) -> (Self, Vec<Warning>) {
        let (mut table, mut warnings) = (Self::default(), Vec::new());
        let mut first: Option<&Arc<Certificate>> = None;
        for certificate in certificates {
            let companion = |first: &Arc<Certificate>| {
                first.names().first().is_some_and(|name| certificate.names().contains(name))
            };
            // One of another kind for the same name is the default too: not every client can verify the first.
            if first.is_none_or(companion) {
                let _ = table.default.add(certificate);
            }
            first.get_or_insert(certificate);
            for name in certificate.names() {
                let entry = match Pattern::of(name) {
                    Some(Pattern::Exact(host)) => table.exact.entry(host.into()).or_default(),
                    Some(Pattern::Wildcard(parent)) => table.wildcard.entry(parent.into()).or_default(),
                    None => continue,
                };
                if let Err(by) = entry.add(certificate) {
                    let (file, name, by) =
                        (certificate.file().to_owned(), name.clone(), by.file().to_owned());
                    warnings.push(Warning::Shadowed { file, name, by });
                }
            }
        }
        (table, warnings)
    }

    fn entry(&self, name: Option<&str>) -> Option<&Entry> {
        let found = name.and_then(|name| {
            let name = canonical(name);
            let wildcard = || self.wildcard.get(name.split_once('.')?.1);
            self.exact.get(&*name).or_else(wildcard)
        });
        Some(found.unwrap_or(&self.default)).filter(|entry| !entry.0.is_empty())
    }
}

impl Entry {
    /// Adds a certificate, unless one of its kind is there: that is given back.
    fn add(&mut self, certificate: &Arc<Certificate>) -> Result<(), Arc<Certificate>> {
        match self.0.binary_search_by_key(&certificate.kind(), |known| known.kind()) {
            Ok(at) => self.0.get(at).map_or(Ok(()), |known| Err(Arc::clone(known))),
            Err(at) => {
                self.0.insert(at, Arc::clone(certificate));
                Ok(())
            }
        }
    }
}
