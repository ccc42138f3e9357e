//! What can go wrong with certificates.

/// Why TLS cannot be spoken as the operator wants. Its text names the file and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {}
