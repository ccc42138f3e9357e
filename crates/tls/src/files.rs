//! The files behind one listener: whether they changed.

use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use crate::Error;

/// The files behind one listener: certificates, keys, client authorities, revocations. What changed is read, checked and
/// swapped; what is broken leaves the old in place. It logs what it does, so its caller need not.
#[derive(Debug)]
pub struct Files;

impl Files {
    /// Looks whether a file changed: one `stat` per file, and reading only where it differs. To be called about once per
    /// second, from where blocking does no harm. What is wrong is tried again for 5 s before it is told, once per change:
    /// certificate and key are not replaced at the same instant.
    pub fn check(&mut self, _now: Instant) -> Vec<Result<Changed, Error>> {
        todo!()
    }

    /// Reads all files at once, changed or not, and tells at once what is wrong: the operator asked (SIGHUP).
    pub fn reload_now(&mut self) -> Vec<Result<Changed, Error>> {
        todo!()
    }
}

/// What was taken anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// A certificate.
    Certificate {
        /// Its file.
        file: PathBuf,
        /// The hosts that it is for.
        names: Vec<Box<str>>,
        /// Until when it counts.
        not_after: SystemTime,
    },
    /// Who may sign clients' certificates, or which of them are revoked.
    Clients {
        /// The authorities' file.
        file: PathBuf,
    },
}
