//! `tls` and `redirect` of a listener: what they mean.

use std::path::PathBuf;
use std::time::Duration;

mod acme;
mod certbot;
mod certificates;
mod client;
mod contact;
mod directory;
mod domain;
mod eab;
mod file;
mod fitness;
mod hsts;
mod redirect;
mod version;
mod written;

pub(crate) use file::WrittenFile;
pub(crate) use fitness::settle;
pub(crate) use redirect::redirect;
pub(crate) use written::{WrittenTls, read};

/// `tls = { … }`. At least one pair of files, or `acme`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificates; the first is for clients that name no host, or one that we have no certificate for.
    pub certificates: Vec<CertificateFiles>,
    /// Certificates that are fetched and renewed by themselves.
    pub acme: Option<Acme>,
    /// Who may prove who he is by a certificate of his own; `None` asks nobody.
    pub client: Option<ClientAuthority>,
    /// The lowest version that is spoken. Default 1.2.
    pub minimum: TlsVersion,
    /// `Strict-Transport-Security` (RFC 6797) of answers that have none of their own. Default none.
    pub hsts: Option<Hsts>,
}

/// A certificate with its chain, and its key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// The certificate, and behind it those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// `tls.client = { authorities = "ca.pem", required = true }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAuthority {
    /// Who signs the clients' certificates, PEM.
    pub authorities: PathBuf,
    /// Whether a client without one is refused. Default true.
    pub required: bool,
    /// Certificates that count no more (CRL), PEM.
    pub revoked: Option<PathBuf>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246
    V12,
    /// RFC 8446
    V13,
}

/// `tls.hsts = { age = "1y", subdomains = true, preload = true }`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hsts {
    /// How long a browser keeps to https.
    pub age: Duration,
    /// Whether for all names below this one too.
    pub subdomains: bool,
    /// Whether browsers may have it built in.
    pub preload: bool,
}

/// `tls.acme = { domains = ["example.com"], contact = "ops@example.com" }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// The names that the certificate is for, in lower case; the first is its common name.
    pub domains: Vec<String>,
    /// Mail addresses that the authority may write to.
    pub contact: Vec<String>,
    /// URL of the directory. Default Let's Encrypt's.
    pub directory: String,
    /// Where account and certificates are kept. Default `/var/lib/vestibule/acme`.
    pub store: PathBuf,
    /// The ways to prove that the names are ours, the preferred first. Default: tls-alpn-01, and http-01 where a listener is
    /// without TLS; that one first unless a listener with these names is on port 443.
    pub challenges: Vec<Challenge>,
    /// Roots for the directory's own certificate, PEM; `None` for those that are known everywhere.
    pub authorities: Option<PathBuf>,
    /// The certificate's key. Default ECDSA.
    pub key: KeyKind,
    /// External account binding (RFC 8555 7.3.4), for authorities that ask for it.
    pub eab: Option<Eab>,
}

/// A way to prove that a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// RFC 8555 8.3: an answer over plain HTTP, on port 80.
    Http01,
    /// RFC 8737: a certificate made for it, on port 443.
    TlsAlpn01,
}

/// Kind of a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256.
    Ecdsa,
    /// RSA with 2048 bits.
    Rsa,
}

/// `eab = { id = "…", key = "…" }`
#[derive(Clone, PartialEq, Eq)]
pub struct Eab {
    /// The authority's name for the account.
    pub id: String,
    /// The secret, base64url as the authority gives it.
    pub key: String,
}

impl std::fmt::Debug for Eab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A secret does not belong in a log.
        f.debug_struct("Eab").field("id", &self.id).finish_non_exhaustive()
    }
}

/// `redirect = "https"`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redirect {
    /// The port of the https address; 443 is not written into it.
    pub port: u16,
}

impl Acme {
    /// The directory of Let's Encrypt.
    pub const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
    /// Where account and certificates are kept by default.
    pub const STORE: &str = "/var/lib/vestibule/acme";
}
