//! A certificate with its chain and its key, checked against each other.

use std::time::SystemTime;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use vestibule_config::CertificateFiles;

use crate::Error;

/// A certificate with its chain and its key, checked against each other.
#[derive(Debug)]
pub struct Certificate;

impl Certificate {
    /// Reads the pair from its files, and says what is odd about it. Blocks.
    ///
    /// # Errors
    /// A file is missing, unreadable, empty, too large or has nothing of the kind in it; the key is encrypted, of a kind
    /// that is not spoken or another certificate's; the chain is out of order.
    pub fn read(_files: &CertificateFiles) -> Result<(Self, Vec<Warning>), Error> {
        todo!()
    }

    /// As [`Self::read`], from PEM in memory; `called` is what errors call the two.
    ///
    /// # Errors
    /// As [`Self::read`], without what only files have.
    pub fn from_pem(
        _chain: &[u8],
        _key: &[u8],
        _called: &CertificateFiles,
    ) -> Result<(Self, Vec<Warning>), Error> {
        todo!()
    }

    /// As [`Self::from_pem`], from DER: the certificate first, then its chain.
    ///
    /// # Errors
    /// As [`Self::from_pem`].
    pub fn from_der(
        _chain: Vec<CertificateDer<'static>>,
        _key: PrivateKeyDer<'static>,
        _called: &CertificateFiles,
    ) -> Result<(Self, Vec<Warning>), Error> {
        todo!()
    }

    /// The hosts that it is for, in lower case, without a final dot; `*.example.com` as written.
    #[must_use]
    pub fn names(&self) -> &[Box<str>] {
        todo!()
    }

    /// The certificate and those that lead to its authority, DER.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        todo!()
    }

    /// From when on it counts.
    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        todo!()
    }

    /// Until when it counts.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        todo!()
    }
}

/// What is odd about a certificate that is served all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {}
