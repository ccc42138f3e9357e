//! Certificates for a test: an authority of its own, and what it signs.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate authority that only this test knows.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Kind of a key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Ecdsa,
    /// With 2048 bits.
    Rsa,
}

/// A certificate and its key.
pub(crate) struct Pair {
    pub(crate) certificate: CertificateDer<'static>,
    key: KeyPair,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "An authority for a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        Authority { issuer }
    }

    /// A certificate for these names of a server.
    pub(crate) fn server(&self, names: &[&str], kind: Kind) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.sign(CertificateParams::new(names).expect("names"), ExtendedKeyUsagePurpose::ServerAuth, kind)
    }

    /// A certificate for a client of this name.
    pub(crate) fn client(&self, name: &str) -> Pair {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth, Kind::Ecdsa)
    }

    fn sign(&self, mut params: CertificateParams, purpose: ExtendedKeyUsagePurpose, kind: Kind) -> Pair {
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let algorithm = match kind {
            Kind::Ecdsa => &PKCS_ECDSA_P256_SHA256,
            Kind::Rsa => &PKCS_RSA_SHA256,
        };
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair { pem: certificate.pem(), certificate: certificate.der().clone(), key }
    }

    /// What a client trusts that knows this authority and no other.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a root");
        roots
    }

    /// Its own certificate, as a file in `directory`.
    pub(crate) fn file(&self, directory: &Path) -> PathBuf {
        let file = directory.join("ca.pem");
        fs::write(&file, self.issuer.pem()).expect("written");
        file
    }
}

impl Pair {
    /// The key as rustls takes it.
    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    /// What names the public key: DER, a SubjectPublicKeyInfo (RFC 5280 4.1).
    pub(crate) fn public_key(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }

    /// Writes `NAME.pem` and `NAME.key`, each in the place of what was there, at once.
    pub(crate) fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let put = |end: &str, text: String| {
            let (file, new) =
                (directory.join(format!("{name}.{end}")), directory.join(format!("{name}.{end}.new")));
            fs::write(&new, text).expect("written");
            fs::rename(&new, &file).expect("renamed");
            file
        };
        (put("pem", self.pem.clone()), put("key", self.key.serialize_pem()))
    }
}
