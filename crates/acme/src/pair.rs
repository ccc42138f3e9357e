//! A certificate with its key as it lies in the store: both in one file, so that they are never of two orders.

use std::path::Path;
use std::sync::Arc;

use instant_acme::CertificateIdentifier;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use vestibule_config::{Acme, CertificateFiles, KeyKind};
use vestibule_tls::Certificate;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::Error;
use crate::attempts::Seconds;
use crate::problem::printable;
use crate::record::{now, seconds};
use crate::schedule::Held;
use crate::store::{Stamp, Store};

/// The end of the name of a file with a certificate.
pub(crate) const ENDING: &str = ".pem";
/// More certificates than this lead nowhere.
const LONGEST_CHAIN: usize = 20;

/// A certificate with its key.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: Arc<Certificate>,
    kind: Option<KeyKind>,
    /// Its name where renewals are asked about (RFC 9773 4.1); `None` where it says nothing of who signed it.
    pub(crate) id: Option<CertificateIdentifier<'static>>,
}

impl Pair {
    /// Takes key and chain from PEM, checked against each other; `path` is what errors call them.
    pub(crate) fn parse(pem: &[u8], path: &Path) -> Result<Self, Error> {
        let broken = |why: String| Error::Broken { path: path.to_owned(), why: printable(&why) };
        // Cut off in its middle it may still have a certificate, without those that lead to its authority.
        if !pem.trim_ascii_end().ends_with(b"-----END CERTIFICATE-----") {
            return Err(broken("it has no end".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|why| broken(format!("its key: {why}")))?;
        let chain = CertificateDer::pem_slice_iter(pem).take(LONGEST_CHAIN).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|why| broken(format!("its certificates: {why}")))?;
        let Some(first) = chain.first() else {
            return Err(broken("there is no certificate in it".to_owned()));
        };
        let id = CertificateIdentifier::try_from(first).ok().map(CertificateIdentifier::into_owned);
        let kind = kind_of(first);
        let called = CertificateFiles { certificate: path.to_owned(), key: path.to_owned() };
        let (certificate, _) =
            Certificate::from_der(chain, key, &called).map_err(|why| broken(why.to_string()))?;
        Ok(Pair { certificate: Arc::new(certificate), kind, id })
    }

    /// Whether it is what `settings` ask for, and counts at `now`.
    pub(crate) fn fits(&self, settings: &Acme, now: Seconds) -> Result<(), Error> {
        let mut names: Vec<&str> = self.certificate.names().iter().map(AsRef::as_ref).collect();
        let mut wanted: Vec<&str> = settings.domains.iter().map(String::as_str).collect();
        for list in [&mut names, &mut wanted] {
            list.sort_unstable();
            list.dedup();
        }
        if names != wanted {
            let (names, wanted) = (names.join(", "), wanted.join(", "));
            return Err(Error::Unfit(format!("it is for {} and not for {wanted}", printable(&names))));
        }
        if self.kind != Some(settings.key) {
            return Err(Error::Unfit("its key is of another kind".to_owned()));
        }
        // That it does not count yet is no reason: then our clock is slow, and those of the clients are not.
        if !self.counts(now) {
            return Err(Error::Unfit("it has expired, or the clock of this machine is wrong".to_owned()));
        }
        Ok(())
    }

    /// Whether it has not expired.
    pub(crate) fn counts(&self, now: Seconds) -> bool {
        seconds(self.certificate.not_after()) > now
    }

    /// How long it counts.
    pub(crate) fn life(&self) -> Seconds {
        let Held { not_before, not_after, .. } = self.held(None);
        not_after.saturating_sub(not_before)
    }

    /// What the schedule wants to know of it.
    pub(crate) fn held(&self, window: Option<(Seconds, Seconds)>) -> Held {
        Held {
            not_before: seconds(self.certificate.not_before()),
            not_after: seconds(self.certificate.not_after()),
            window,
        }
    }

    /// The same text for the same certificate.
    pub(crate) fn id(&self) -> String {
        self.id.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

/// RFC 5480 2.1.1, RFC 3279 2.3.1.
fn kind_of(certificate: &CertificateDer<'_>) -> Option<KeyKind> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    match parsed.public_key().algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.10045.2.1" => Some(KeyKind::Ecdsa),
        "1.2.840.113549.1.1.1" => Some(KeyKind::Rsa),
        _ => None,
    }
}

/// Reads `file`; gives what is in it if that is what `settings` ask for and counts, and what to know the file again by.
/// A broken one is moved aside.
pub(crate) fn read(
    store: &Store,
    file: &str,
    settings: &Acme,
) -> Result<(Option<Pair>, Option<Stamp>), Error> {
    // Before it is read: what comes between is seen next time.
    let stamp = store.stamp(file);
    let found =
        store.read(file).and_then(|pem| pem.map(|pem| Pair::parse(&pem, &store.path(file))).transpose());
    match found {
        Ok(None) => Ok((None, stamp)),
        Ok(Some(pair)) => match pair.fits(settings, now()) {
            Ok(()) => Ok((Some(pair), stamp)),
            Err(error) => {
                tracing::warn!(file = %store.path(file).display(), "the stored certificate is not served: {error}");
                Ok((None, stamp))
            }
        },
        Err(Error::Broken { path, why }) => {
            let aside = store.set_aside(file)?;
            tracing::error!(file = %path.display(), aside = %aside.display(), "the stored certificate is broken: {why}");
            Ok((None, None))
        }
        Err(error) => Err(error),
    }
}

/// All certificates of the store, as far as they can be read.
pub(crate) fn others(store: &Store) -> Vec<Pair> {
    let read = |file: String| Pair::parse(&store.read(&file).ok()??, &store.path(&file)).ok();
    store.files(ENDING).into_iter().filter_map(read).collect()
}
