//! Who vouches for clients.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::RootCertStore;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use vestibule_config::ClientAuthority;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::tickets::Rules;
use crate::{Error, Warning, date, pem, provider};

/// Who vouches for clients, and for whom no more.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    pub(crate) verifier: Arc<dyn ClientCertVerifier>,
    /// The same for the same rules, and different for different ones.
    pub(crate) rules: Rules,
}

impl Clients {
    /// Reads the authorities and the revocations. Blocks.
    ///
    /// With revocations each certificate from the client's to the authority must be covered by a list, and each list be
    /// in its time: what is not known to be good is refused, as nginx does with `ssl_crl`.
    pub(crate) fn read(authority: &ClientAuthority) -> Result<(Self, Vec<Warning>), Error> {
        let file = &authority.authorities;
        let ders = pem::certificates(&pem::read(file, pem::AUTHORITIES_LIMIT)?, file)?;
        let mut digest = Context::new(&SHA256);
        digest.update(if authority.required { b"required" } else { b"optional" });
        let mut roots = RootCertStore::empty();
        for (index, der) in ders.into_iter().enumerate() {
            mark(&mut digest, &der);
            roots.add(der).map_err(|error| Error::BadCertificate {
                file: file.clone(),
                number: index + 1,
                reason: error.to_string(),
            })?;
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        if !authority.required {
            builder = builder.allow_unauthenticated();
        }
        let (mut named, mut warnings) = (file, Vec::new());
        if let Some(file) = &authority.revoked {
            let lists = pem::revocations(&pem::read(file, pem::REVOCATIONS_LIMIT)?, file)?;
            digest.update(b"revoked");
            for list in &lists {
                mark(&mut digest, list);
                warnings.extend(stale(list, SystemTime::now(), file));
            }
            builder = builder.with_crls(lists).enforce_revocation_expiration();
            named = file;
        }
        let verifier = builder
            .build()
            .map_err(|error| Error::Clients { file: named.clone(), reason: error.to_string() })?;
        let mut rules = Rules::default();
        rules.copy_from_slice(digest.finish().as_ref());
        Ok((Self { verifier, rules }, warnings))
    }
}

/// With its length, so that no two sequences of parts look the same.
fn mark(digest: &mut Context, part: &[u8]) {
    digest.update(&(part.len() as u64).to_be_bytes());
    digest.update(part);
}

fn stale(list: &CertificateRevocationListDer<'_>, now: SystemTime, file: &Path) -> Option<Warning> {
    // What cannot be read is refused, in words, by who builds the verifier.
    let (_, list) = CertificateRevocationList::from_der(list).ok()?;
    let since = date::moment(list.next_update()?);
    (since < now).then(|| Warning::StaleRevocations { file: file.to_owned(), since })
}
