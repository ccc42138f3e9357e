//! A certificate that nobody vouches for.

use crate::{Certificate, Error};

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

/// Makes a certificate for `names` (hosts, or IP addresses), ECDSA on P-256, signed by itself: it stands in until there
/// is another.
///
/// # Errors
/// There is no name, or one that no certificate can have.
pub fn self_signed(_names: &[String]) -> Result<SelfSigned, Error> {
    todo!()
}
