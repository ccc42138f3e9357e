//! A certificate that nobody vouches for.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};
use vestibule_config::CertificateFiles;

use crate::{Certificate, Error};

/// A clock may be wrong by so much, and the certificate count all the same.
pub(crate) const SKEW: Duration = Duration::from_secs(60 * 60);
const LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A certificate that nobody vouches for, and the same as PEM.
#[derive(Debug)]
pub struct SelfSigned {
    /// To be served.
    pub certificate: Certificate,
    /// The certificate, PEM.
    pub chain: String,
    /// Its key, PEM.
    pub key: String,
}

/// Makes a certificate for `names` (hosts, or IP addresses), ECDSA on P-256, for a year, signed by itself: it stands in
/// until there is another.
///
/// # Errors
/// There is no name, or one that no certificate can have.
pub fn self_signed(names: &[String]) -> Result<SelfSigned, Error> {
    if names.is_empty() {
        return Err(Error::Make { names: "nobody".to_owned(), reason: "it needs a name".to_owned() });
    }
    let failed = |error: rcgen::Error| Error::Make { names: names.join(", "), reason: error.to_string() };
    let params = server_params(names, LIFE).map_err(failed)?;
    let key = KeyPair::generate().map_err(failed)?;
    let (chain, key) = (params.self_signed(&key).map_err(failed)?.pem(), key.serialize_pem());
    let called = CertificateFiles {
        certificate: PathBuf::from("the self-signed certificate"),
        key: PathBuf::from("the self-signed certificate's key"),
    };
    let (certificate, _) = Certificate::from_pem(chain.as_bytes(), key.as_bytes(), &called)?;
    Ok(SelfSigned { certificate, chain, key })
}

/// What a server's certificate for `names` says, from now on for `life`.
pub(crate) fn server_params(names: &[String], life: Duration) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    if let Some(first) = names.first() {
        params.distinguished_name.push(DnType::CommonName, first.as_str());
    }
    let now = SystemTime::now();
    (params.not_before, params.not_after) = ((now - SKEW).into(), (now + life).into());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}
