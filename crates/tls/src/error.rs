//! What can go wrong with certificates.

use std::io;
use std::path::{Path, PathBuf};

/// Why TLS cannot be spoken as the operator wants, or a client not be believed. Its text names the file and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("{}: cannot be read: {source}{}", file.display(), what_to_do(source))]
    Read {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A directory, a pipe or a device stands where a file should.
    #[error("{}: is no regular file; name a PEM file", file.display())]
    NoFile {
        /// What stands there.
        file: PathBuf,
    },
    /// A file has nothing in it.
    #[error("{}: is empty; has its writing failed, on a full disk perhaps?", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// A file is larger than anything of its kind.
    #[error("{}: is larger than {limit} bytes; that is no file of certificates", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// The most that is read.
        limit: u64,
    },
    /// A file is not text.
    #[error(
        "{}: is not PEM but, it seems, DER; turn it into PEM with `openssl {command} -inform der -in FILE -out FILE.pem`",
        file.display()
    )]
    Der {
        /// The file.
        file: PathBuf,
        /// The command of openssl for what it seems to be.
        command: &'static str,
    },
    /// A PEM file is damaged.
    #[error("{}: is damaged: {reason}", file.display())]
    Pem {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// There is no certificate in a file.
    #[error("{}: has no certificate in it, no line `-----BEGIN CERTIFICATE-----`{}", file.display(), also(*has_key, "but a private key; are `certificate` and `key` swapped?"))]
    NoCertificate {
        /// The file.
        file: PathBuf,
        /// Whether a key is in it instead.
        has_key: bool,
    },
    /// There is no key in a file.
    #[error("{}: has no private key in it, no line `-----BEGIN PRIVATE KEY-----`{}", file.display(), also(*has_certificate, "but a certificate; are `certificate` and `key` swapped?"))]
    NoKey {
        /// The file.
        file: PathBuf,
        /// Whether a certificate is in it instead.
        has_certificate: bool,
    },
    /// A certificate cannot be understood.
    #[error("{}: certificate {number} in it cannot be understood: {reason}", file.display())]
    BadCertificate {
        /// The file.
        file: PathBuf,
        /// Which of those in the file, from 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
    /// A key is locked by a passphrase.
    #[error(
        "{}: is locked by a passphrase, which nobody could type in at a restart; unlock it with \
         `openssl pkey -in FILE -out FILE.unlocked` and keep that readable by Vestibule's user alone",
        file.display()
    )]
    EncryptedKey {
        /// The file.
        file: PathBuf,
    },
    /// A key cannot be used.
    #[error(
        "{}: the key cannot be used: {reason}; usable are ECDSA (P-256, P-384, P-521), RSA from 2048 bits, and Ed25519",
        file.display()
    )]
    BadKey {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Certificate and key are not a pair.
    #[error("{} is not the key of {}: they are not a pair; name the key that the certificate was asked for with", key.display(), certificate.display())]
    NotAPair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The chain begins with something else than the server's own certificate.
    #[error("{}: the server's own certificate must be the first: it is certificate {number} in the file ({subject}), the first is {first}; put it first, and behind each certificate the one that signed it, as in certbot's fullchain.pem", file.display())]
    LeafNotFirst {
        /// The file.
        file: PathBuf,
        /// Which of those in the file belongs to the key, from 1.
        number: usize,
        /// Whose it is.
        subject: String,
        /// Whose the first one is.
        first: String,
    },
    /// A certificate of the chain did not sign the one before it.
    #[error(
        "{}: certificate {number} in the file ({subject}) did not sign the one before it, which was signed by {issuer}{}; \
         put behind each certificate the one that signed it, or use the file as the authority gave it",
        file.display(), signer.map_or_else(String::new, |signer| format!(", which is certificate {signer} in the file"))
    )]
    NotLinked {
        /// The file.
        file: PathBuf,
        /// Which of those in the file, from 1.
        number: usize,
        /// Whose it is.
        subject: String,
        /// Who signed the one before.
        issuer: String,
        /// Where in the file that one is, from 1.
        signer: Option<usize>,
    },
    /// There is no revocation list in a file.
    #[error("{}: has no revocation list in it, no line `-----BEGIN X509 CRL-----`", file.display())]
    NoRevocations {
        /// The file.
        file: PathBuf,
    },
    /// Client certificates cannot be verified with what the files say.
    #[error("{}: cannot serve to verify clients: {reason}", file.display())]
    Clients {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// rustls refuses what we want of it.
    #[error("TLS cannot be set up: {0}")]
    Settings(#[source] rustls::Error),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes for session tickets: {0}")]
    Random(#[source] rustls::Error),
    /// A certificate of our own cannot be made.
    #[error("cannot make a certificate for {names}: {reason}")]
    Make {
        /// For whom.
        names: String,
        /// What is wrong.
        reason: String,
    },
    /// A file cannot be written.
    #[error("{}: cannot be written: {source}", file.display())]
    Write {
        /// The file, or the directory.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Others could put a key of their own where we keep ours.
    #[error("{}: others may write there (mode {mode:03o}), and could put in keys of their own; `chmod 700` it, or name another", directory.display())]
    OpenToOthers {
        /// The directory.
        directory: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another Vestibule keeps the directory locked.
    #[error("{}: is in use by another Vestibule; wait until it has started", directory.display())]
    Busy {
        /// The directory.
        directory: PathBuf,
    },
    /// The client has no certificate, where one is required.
    #[error("the client has no certificate")]
    NoClientCertificate,
    /// The client's certificate counts no more.
    #[error("the client's certificate counts no more: {0}")]
    ClientCertificate(#[source] rustls::Error),
    /// The client's certificate cannot be handed on.
    #[error("the client's certificate cannot be handed to the application: {reason}")]
    Identity {
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    /// The file that it is about, if it is about one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Error::Read { file, .. }
            | Error::NoFile { file }
            | Error::Empty { file }
            | Error::TooLarge { file, .. }
            | Error::Der { file, .. }
            | Error::Pem { file, .. }
            | Error::NoCertificate { file, .. }
            | Error::NoKey { file, .. }
            | Error::BadCertificate { file, .. }
            | Error::EncryptedKey { file }
            | Error::BadKey { file, .. }
            | Error::NotAPair { key: file, .. }
            | Error::LeafNotFirst { file, .. }
            | Error::NotLinked { file, .. }
            | Error::NoRevocations { file }
            | Error::Clients { file, .. }
            | Error::Write { file, .. }
            | Error::OpenToOthers { directory: file, .. }
            | Error::Busy { directory: file } => Some(file),
            _ => None,
        }
    }
}

fn also(said: bool, what: &'static str) -> String {
    if said { format!(", {what}") } else { String::new() }
}

fn what_to_do(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => "; is the path right, and has the certificate been fetched?",
        io::ErrorKind::PermissionDenied => {
            "; let Vestibule's user read it, and enter each directory above it"
        }
        _ => "",
    }
}
