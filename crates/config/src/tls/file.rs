//! The paths in `tls`: of certificates, keys and authorities.

use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::certbot;
use crate::document::Found;
use crate::path;
use crate::problem::Problem;

/// A path, and where it is written.
pub(crate) type WrittenFile = Found<PathBuf>;

/// The path of a certificate with its chain.
pub(super) fn certificate(value: &DeValue<'_>, directory: &Path) -> Result<PathBuf, Problem> {
    let path = path::file(value, directory, "/etc/vestibule/fullchain.pem")?;
    certbot::refuse(value.as_str(), certbot::FULLCHAIN).map_or(Ok(path), Err)
}

/// The path of a private key.
pub(super) fn key(value: &DeValue<'_>, directory: &Path) -> Result<PathBuf, Problem> {
    let path = path::file(value, directory, "/etc/vestibule/privkey.pem")?;
    certbot::refuse(value.as_str(), certbot::PRIVKEY).map_or(Ok(path), Err)
}
