//! The certificate that every proxy serves alike.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use tempfile::TempDir;

/// A self-signed pair on disk: ECDSA P-256, as most sites have today.
#[derive(Debug)]
pub(crate) struct Certificate {
    directory: TempDir,
}

impl Certificate {
    /// Makes one for `localhost` and 127.0.0.1: load generators that connect to an address name nobody, and Caddy
    /// then looks for a certificate of the address.
    pub(crate) fn make() -> Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("cannot make a key")?;
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let certificate = CertificateParams::new(names)
            .and_then(|parameters| parameters.self_signed(&key))
            .context("cannot make a certificate")?;
        let made = Self { directory: tempfile::tempdir()? };
        std::fs::write(made.certificate(), certificate.pem())?;
        std::fs::write(made.key(), key.serialize_pem())?;
        std::fs::write(made.both(), certificate.pem() + &key.serialize_pem())?;
        Ok(made)
    }

    /// The certificate, PEM.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.file("certificate.pem")
    }

    /// Its key, PEM.
    pub(crate) fn key(&self) -> PathBuf {
        self.file("key.pem")
    }

    /// Both in one file, as HAProxy wants them.
    pub(crate) fn both(&self) -> PathBuf {
        self.file("both.pem")
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(self.directory.path()).join(name)
    }
}
