//! PEM files: certificates, keys, revocations.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustls::pki_types::pem::{Error as PemError, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use crate::Error;

/// The most that is read of a chain or a key: a hundred long chains would fit.
pub(crate) const PAIR_LIMIT: u64 = 1 << 20;
/// The most that is read of clients' authorities: the web's roots, all of them, are a quarter of a MiB.
pub(crate) const AUTHORITIES_LIMIT: u64 = 16 << 20;
/// The most that is read of revocations; lists of 100 MiB have been seen.
pub(crate) const REVOCATIONS_LIMIT: u64 = 256 << 20;

/// What a file holds, if it is a file, not empty, and not larger than `limit` bytes.
pub(crate) fn read(file: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let fault = |source| Error::Read { file: file.to_owned(), source };
    // Asked before it is opened: to open a pipe would wait for who writes into it.
    if !file.metadata().map_err(fault)?.is_file() {
        return Err(Error::NoFile { file: file.to_owned() });
    }
    let mut bytes = Vec::new();
    File::open(file).map_err(fault)?.take(limit + 1).read_to_end(&mut bytes).map_err(fault)?;
    if bytes.len() as u64 > limit {
        return Err(Error::TooLarge { file: file.to_owned(), limit });
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Error::Empty { file: file.to_owned() });
    }
    Ok(bytes)
}

/// The certificates in `pem`, in their order; at least one.
pub(crate) fn certificates(pem: &[u8], file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = sections(pem, file, "x509", |kind, der| {
        (kind == SectionKind::Certificate).then(|| CertificateDer::from(der))
    })?;
    if found.is_empty() {
        return Err(Error::NoCertificate { file: file.to_owned(), has_key: holds(pem, "PRIVATE KEY-----") });
    }
    Ok(found)
}

/// The first key in `pem`.
pub(crate) fn key(pem: &[u8], file: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    // As PKCS#8 says it, and as OpenSSL did before.
    if holds(pem, "-----BEGIN ENCRYPTED PRIVATE KEY-----") || holds(pem, "Proc-Type: 4,ENCRYPTED") {
        return Err(Error::EncryptedKey { file: file.to_owned() });
    }
    let found = sections(pem, file, "pkey", PrivateKeyDer::from_pem)?;
    found.into_iter().next().ok_or_else(|| Error::NoKey {
        file: file.to_owned(),
        has_certificate: holds(pem, "-----BEGIN CERTIFICATE-----"),
    })
}

/// The revocation lists in `pem`; at least one.
pub(crate) fn revocations(
    pem: &[u8],
    file: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let found = sections(pem, file, "crl", |kind, der| {
        (kind == SectionKind::Crl).then(|| CertificateRevocationListDer::from(der))
    })?;
    if found.is_empty() {
        return Err(Error::NoRevocations { file: file.to_owned() });
    }
    Ok(found)
}

fn sections<T>(
    pem: &[u8],
    file: &Path,
    command: &'static str,
    mut wanted: impl FnMut(SectionKind, Vec<u8>) -> Option<T>,
) -> Result<Vec<T>, Error> {
    // DER of everything that we look for begins with a SEQUENCE longer than 127 bytes.
    if pem.starts_with(&[0x30, 0x82]) || pem.starts_with(&[0x30, 0x81]) {
        return Err(Error::Der { file: file.to_owned(), command });
    }
    // Written by an editor of Windows.
    let pem = pem.strip_prefix(b"\xef\xbb\xbf").unwrap_or(pem);
    let mut found = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let (kind, der) =
            section.map_err(|error| Error::Pem { file: file.to_owned(), reason: in_words(&error) })?;
        found.extend(wanted(kind, der));
    }
    Ok(found)
}

fn in_words(error: &PemError) -> String {
    match error {
        PemError::MissingSectionEnd { end_marker } => {
            format!(
                "the line `-----END {}-----` is missing; is it cut off?",
                String::from_utf8_lossy(end_marker)
            )
        }
        PemError::IllegalSectionStart { line } => {
            format!("the line `{}` begins nothing", String::from_utf8_lossy(line).escape_default())
        }
        PemError::Base64Decode(reason) => format!("what stands between the lines is not base64 ({reason})"),
        other => other.to_string(),
    }
}

fn holds(text: &[u8], what: &str) -> bool {
    text.windows(what.len()).any(|part| part == what.as_bytes())
}
