//! What proves to an authority that a name is ours.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::host::{Pattern, canonical};
use crate::{Error, provider};

/// What proves to an authority that a name is ours, while it asks. One for the process: it may ask on any listener. As
/// many stand as orders are under way, each with a [`Standing`] that its order keeps.
#[derive(Debug, Default)]
pub struct Challenges {
    /// How many tokens stand.
    tokens_standing: AtomicUsize,
    tokens: ArcSwap<Map<Arc<str>>>,
    certificates: ArcSwap<Map<Arc<CertifiedKey>>>,
    next: AtomicU64,
}

impl Challenges {
    /// Answers `token` on plain HTTP (RFC 8555 8.3) with `key_authorization` as long as the guard lives.
    pub fn stand_http(self: &Arc<Self>, token: &str, key_authorization: &str) -> Standing {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let authorization: Arc<str> = key_authorization.into();
        // Counted before it stands, and until it is gone: `is_empty` never hides one that stands.
        self.tokens_standing.fetch_add(1, Ordering::AcqRel);
        put(&self.tokens, token, number, &authorization);
        Standing { challenges: Arc::clone(self), number, what: What::Token(token.into()) }
    }

    /// Answers `acme-tls/1` (RFC 8737) for `name` with a certificate that carries `digest`, the SHA-256 of the key
    /// authorization, as long as the guard lives.
    ///
    /// # Errors
    /// `name` is no name, or `digest` is not of 32 bytes.
    pub fn stand_tls(self: &Arc<Self>, name: &str, digest: &[u8]) -> Result<Standing, Error> {
        let name = canonical(name);
        let certified = Arc::new(challenge_certificate(&name, digest)?);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        put(&self.certificates, &name, number, &certified);
        Ok(Standing { challenges: Arc::clone(self), number, what: What::Name(name.into()) })
    }

    /// What `/.well-known/acme-challenge/TOKEN` answers.
    #[must_use]
    pub fn key_authorization(&self, token: &str) -> Option<Arc<str>> {
        self.tokens.load().get(token).map(|(_, authorization)| Arc::clone(authorization))
    }

    /// Whether no token stands. One atomic load.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens_standing.load(Ordering::Acquire) == 0
    }
}

impl ResolvesServerCert for Challenges {
    /// The challenge's certificate for the name that the client asks for; without one the handshake is refused.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = canonical(hello.server_name()?);
        self.certificates.load().get(&*name).map(|(_, certified)| Arc::clone(certified))
    }
}

/// A challenge that stands; dropped, it stands no more. Of two for the same token or name the later one answers.
#[derive(Debug)]
#[must_use = "dropped, the challenge stands no more"]
pub struct Standing {
    challenges: Arc<Challenges>,
    number: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Token(Box<str>),
    Name(Box<str>),
}

impl Drop for Standing {
    fn drop(&mut self) {
        match &self.what {
            What::Token(token) => {
                take(&self.challenges.tokens, token, self.number);
                self.challenges.tokens_standing.fetch_sub(1, Ordering::AcqRel);
            }
            What::Name(name) => take(&self.challenges.certificates, name, self.number),
        }
    }
}

/// What answers, with the number of its guard.
type Map<T> = HashMap<Box<str>, (u64, T)>;

fn put<T: Clone>(map: &ArcSwap<Map<T>>, key: &str, number: u64, value: &T) {
    map.rcu(|old| {
        let mut new = Map::clone(old);
        new.insert(key.into(), (number, value.clone()));
        new
    });
}

/// Takes away what was put under this number; a later one under the same key stays.
fn take<T: Clone>(map: &ArcSwap<Map<T>>, key: &str, number: u64) {
    map.rcu(|old| {
        let mut new = Map::clone(old);
        if new.get(key).is_some_and(|(standing, _)| *standing == number) {
            new.remove(key);
        }
        new
    });
}

/// Self-signed, for this name alone, with the digest in a critical extension (RFC 8737 3).
fn challenge_certificate(name: &str, digest: &[u8]) -> Result<CertifiedKey, Error> {
    let failed = |reason: String| Error::Make { names: name.to_owned(), reason };
    if !matches!(Pattern::of(name), Some(Pattern::Exact(_))) {
        return Err(failed("that is no name of a host".to_owned()));
    }
    if digest.len() != 32 {
        return Err(failed(format!("a SHA-256 has 32 bytes, not {}", digest.len())));
    }
    let mut params = CertificateParams::new([name.to_owned()]).map_err(|error| failed(error.to_string()))?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().map_err(|error| failed(error.to_string()))?;
    let certificate = params.self_signed(&key).map_err(|error| failed(error.to_string()))?;
    let der = PrivatePkcs8KeyDer::from(key.serialize_der());
    let key =
        provider().key_provider.load_private_key(der.into()).map_err(|error| failed(error.to_string()))?;
    // Not compared by rustls: to it the critical extension is unknown, and the certificate thus unreadable.
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}
