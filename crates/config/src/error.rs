//! What can go wrong with a configuration.

use std::io;
use std::path::PathBuf;

use crate::problem::{Problem, Problems};

/// Why there is no [`Config`](crate::Config). Its text is meant for the operator as it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read at all.
    #[error("{}: cannot be read: {source}", file.display())]
    Read {
        /// The file asked for.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file was read, and what it says is wrong: every problem found, in order of position.
    #[error("{0}")]
    Invalid(Problems),
}

impl Error {
    /// The problems found in the file; none when it could not be read.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Read { .. } => &[],
            Self::Invalid(problems) => &problems.0,
        }
    }

    /// What these say, as one; `None` of none. Where a file could not be read, that is all.
    #[must_use]
    pub fn all(errors: Vec<Error>) -> Option<Error> {
        let mut whole: Option<Error> = None;
        for error in errors {
            match (&mut whole, error) {
                (Some(Self::Invalid(problems)), Self::Invalid(further)) => problems.0.extend(further.0),
                (Some(_), Self::Invalid(_)) => {}
                (_, error) => whole = Some(error),
            }
        }
        whole
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Invalid(Problems(vec![problem]))
    }
}
