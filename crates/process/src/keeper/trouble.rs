//! Why something that was wanted of an application did not come about.

use crate::error::Error;
use crate::status::{Failure, Release};

/// Why a task ended without what was wanted.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It was so already.
    Already(String),
    /// It cannot be done, and nothing was tried.
    Refused(String),
    /// It was tried.
    Failed(Failure),
}

impl Trouble {
    /// A failure of which there is nothing to tell but this.
    pub(crate) fn failed(words: impl Into<String>) -> Self {
        Trouble::Failed(Failure::new(words, None, Vec::new()))
    }

    /// A failure of this release, and what it said last.
    pub(crate) fn of_release(words: String, release: Option<Release>, output: Vec<String>) -> Self {
        Trouble::Failed(Failure::new(words, release, output))
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let words = error.in_full();
        match error {
            Error::Occupied { .. } | Error::MayNotSignal { .. } => Trouble::Refused(words),
            _ => Trouble::failed(words),
        }
    }
}
