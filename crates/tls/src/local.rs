//! An authority of this machine, for development.

use std::path::Path;

use vestibule_config::CertificateFiles;

use crate::Error;

/// An authority of this machine, for development: it can vouch for `localhost`, `127.0.0.1` and `::1` and no other name.
#[derive(Debug)]
pub struct LocalAuthority;

impl LocalAuthority {
    /// The authority kept in `directory`; made when there is none. The directory is for its owner alone (0700), the keys
    /// too (0600).
    ///
    /// # Errors
    /// The directory cannot be used, or others may write to it.
    pub fn open(_directory: &Path) -> Result<Self, Error> {
        todo!()
    }

    /// The authority's certificate, to be trusted by browsers of this machine.
    #[must_use]
    pub fn certificate(&self) -> &Path {
        todo!()
    }

    /// A certificate for `localhost`, `127.0.0.1` and `::1`; made anew when it ends in less than 7 days.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn localhost(&self) -> Result<CertificateFiles, Error> {
        todo!()
    }
}
