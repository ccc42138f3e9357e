//! A certificate with its chain and its key, checked against each other.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::SignatureScheme;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use vestibule_config::CertificateFiles;
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use crate::host::{Pattern, canonical};
use crate::kind::Kind;
use crate::{Error, Warning, date, distinguished, pem, provider};

/// A certificate with its chain and its key, checked against each other.
#[derive(Debug)]
pub struct Certificate {
    file: PathBuf,
    certified: Arc<CertifiedKey>,
    kind: Kind,
    schemes: Vec<SignatureScheme>,
    names: Vec<Box<str>>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Certificate {
    /// Reads the pair from its files, and says what is odd about it. Blocks.
    ///
    /// # Errors
    /// A file is missing, unreadable, empty, too large or has nothing of the kind in it; the key is encrypted, of a kind
    /// that is not spoken or another certificate's; the chain is out of order.
    pub fn read(files: &CertificateFiles) -> Result<(Self, Vec<Warning>), Error> {
        let chain = pem::read(&files.certificate, pem::PAIR_LIMIT)?;
        let key = pem::read(&files.key, pem::PAIR_LIMIT)?;
        let (certificate, mut warnings) = Self::from_pem(&chain, &key, files)?;
        warnings.extend(open_to_others(&files.key));
        Ok((certificate, warnings))
    }

    /// As [`Self::read`], from PEM in memory; `called` is what errors call the two.
    ///
    /// # Errors
    /// As [`Self::read`], without what only files have.
    pub fn from_pem(
        chain: &[u8],
        key: &[u8],
        called: &CertificateFiles,
    ) -> Result<(Self, Vec<Warning>), Error> {
        let chain = pem::certificates(chain, &called.certificate)?;
        let key = pem::key(key, &called.key)?;
        Self::from_der(chain, key, called)
    }

    /// As [`Self::from_pem`], from DER: the certificate first, then its chain.
    ///
    /// # Errors
    /// As [`Self::from_pem`].
    pub fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        called: &CertificateFiles,
    ) -> Result<(Self, Vec<Warning>), Error> {
        let key = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|error| Error::BadKey { file: called.key.clone(), reason: error.to_string() })?;
        let file = &called.certificate;
        let parsed = chain
            .iter()
            .enumerate()
            .map(|(index, der)| parse(der, file, index + 1))
            .collect::<Result<Vec<_>, _>>()?;
        let Some(leaf) = parsed.first() else {
            return Err(Error::NoCertificate { file: file.clone(), has_key: false });
        };
        check_key(&*key, &parsed, called)?;
        check_links(&parsed, file)?;

        let (names, mut warnings) = names_of(leaf, file)?;
        let (not_before, not_after) =
            (date::moment(leaf.validity().not_before), date::moment(leaf.validity().not_after));
        warnings.extend(out_of_date(not_before, not_after, SystemTime::now(), file));
        if parsed.len() == 1 && names_its_issuer(leaf) {
            warnings
                .push(Warning::Alone { file: file.clone(), issuer: distinguished::written(leaf.issuer()) });
        }
        let (kind, schemes) = (Kind::of(&*key), schemes_of(&*key));
        let certified = Arc::new(CertifiedKey::new(chain, key));
        // What rustls cannot read (a certificate of version 1) its clients cannot either.
        if let Err(error @ (rustls::Error::InvalidCertificate(_) | rustls::Error::General(_))) =
            certified.keys_match()
        {
            return Err(Error::BadCertificate { file: file.clone(), number: 1, reason: error.to_string() });
        }
        Ok((Self { file: file.clone(), certified, kind, schemes, names, not_before, not_after }, warnings))
    }

    /// What it is called: its file, where it has one.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The hosts that it is for, in lower case, without a final dot; `*.example.com` as written. IP addresses are not
    /// among them: a client that wants an address names nobody.
    #[must_use]
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// The certificate and those that lead to its authority, DER.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// From when on it counts.
    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// Until when it counts.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// Whether a client that verifies `offered` can verify this.
    pub(crate) fn suits(&self, offered: &[SignatureScheme]) -> bool {
        self.schemes.iter().any(|scheme| offered.contains(scheme))
    }
}

fn parse<'a>(der: &'a CertificateDer<'_>, file: &Path, number: usize) -> Result<X509Certificate<'a>, Error> {
    let bad = |reason: String| Error::BadCertificate { file: file.to_owned(), number, reason };
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(bad("something follows it".to_owned())),
        Err(error) => Err(bad(error.to_string())),
    }
}

/// The key must be that of the first certificate; if it is another's of the file, that is said.
fn check_key(
    key: &dyn SigningKey,
    chain: &[X509Certificate<'_>],
    called: &CertificateFiles,
) -> Result<(), Error> {
    // A key that does not show its public half cannot be checked; none of aws-lc-rs' is such.
    let Some(public) = key.public_key() else { return Ok(()) };
    match chain.iter().position(|certificate| certificate.public_key().raw == public.as_ref()) {
        Some(0) => Ok(()),
        Some(index) => Err(Error::LeafNotFirst {
            file: called.certificate.clone(),
            number: index + 1,
            subject: chain.get(index).map(subject_of).unwrap_or_default(),
            first: chain.first().map(subject_of).unwrap_or_default(),
        }),
        None => Err(Error::NotAPair { certificate: called.certificate.clone(), key: called.key.clone() }),
    }
}

/// Each certificate must have signed the one before it: TLS 1.2 demands it (RFC 5246 7.4.2), and clients that do not sort
/// are many.
fn check_links(chain: &[X509Certificate<'_>], file: &Path) -> Result<(), Error> {
    for (index, pair) in chain.windows(2).enumerate() {
        let [signed, signer] = pair else { continue };
        if has_signed(signer, signed) {
            continue;
        }
        let other = chain.iter().enumerate().position(|(at, other)| at != index && has_signed(other, signed));
        return Err(Error::NotLinked {
            file: file.to_owned(),
            number: index + 2,
            subject: subject_of(signer),
            issuer: distinguished::written(signed.issuer()),
            signer: other.map(|at| at + 1),
        });
    }
    Ok(())
}

fn has_signed(signer: &X509Certificate<'_>, signed: &X509Certificate<'_>) -> bool {
    signer.subject().as_raw() == signed.issuer().as_raw()
        // An algorithm that cannot be checked here (P-521, post-quantum) is not held against it.
        && !matches!(signed.verify_signature(Some(signer.public_key())), Err(X509Error::SignatureVerificationError))
}

fn subject_of(certificate: &X509Certificate<'_>) -> String {
    distinguished::written(certificate.subject())
}

fn names_of(leaf: &X509Certificate<'_>, file: &Path) -> Result<(Vec<Box<str>>, Vec<Warning>), Error> {
    let alternative = leaf.subject_alternative_name().map_err(|error| Error::BadCertificate {
        file: file.to_owned(),
        number: 1,
        reason: error.to_string(),
    })?;
    let (mut names, mut warnings, mut addresses) = (Vec::<Box<str>>::new(), Vec::new(), 0);
    for name in alternative.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => {
                let name = canonical(name);
                if Pattern::of(&name).is_none() {
                    let name = name.escape_default().to_string();
                    warnings.push(Warning::OddName { file: file.to_owned(), name });
                } else if !names.iter().any(|known| **known == *name) {
                    names.push(name.into());
                }
            }
            GeneralName::IPAddress(_) => addresses += 1,
            _ => {}
        }
    }
    if names.is_empty() && addresses == 0 {
        warnings.push(Warning::Nameless { file: file.to_owned(), subject: subject_of(leaf) });
    }
    Ok((names, warnings))
}

/// A certificate out of date is served all the same, as nginx does: some clients do not look, and to refuse to start would
/// take down every other name.
fn out_of_date(
    not_before: SystemTime,
    not_after: SystemTime,
    now: SystemTime,
    file: &Path,
) -> Option<Warning> {
    if now > not_after {
        Some(Warning::Expired { file: file.to_owned(), not_after })
    } else if now < not_before {
        Some(Warning::NotYet { file: file.to_owned(), not_before })
    } else {
        None
    }
}

/// Whether it says where the certificate that signed it can be fetched (RFC 5280 4.2.2.1): so there is one between it and
/// what clients know.
fn names_its_issuer(leaf: &X509Certificate<'_>) -> bool {
    const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";
    leaf.subject().as_raw() != leaf.issuer().as_raw()
        && leaf.extensions().iter().any(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityInfoAccess(access) => access
                .accessdescs
                .iter()
                .any(|description| description.access_method.to_id_string() == CA_ISSUERS),
            _ => false,
        })
}

/// The schemes that the key can sign by: asked once, so that a handshake need not.
fn schemes_of(key: &dyn SigningKey) -> Vec<SignatureScheme> {
    let known = provider().signature_verification_algorithms.supported_schemes();
    known.into_iter().filter(|scheme| key.choose_scheme(&[*scheme]).is_some()).collect()
}

fn open_to_others(key: &Path) -> Option<Warning> {
    let mode = key.metadata().ok()?.permissions().mode() & 0o777;
    // A group may be meant to read it (Debian's ssl-cert), the world never is.
    (mode & 0o007 != 0).then(|| Warning::OpenKey { file: key.to_owned(), mode })
}
