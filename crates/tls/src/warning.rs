//! What is odd about a certificate that is served all the same.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::date;

/// What is odd about a certificate that is served all the same; its text says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// It is over.
    Expired {
        /// Its file.
        file: PathBuf,
        /// Since when.
        not_after: SystemTime,
    },
    /// It begins later.
    NotYet {
        /// Its file.
        file: PathBuf,
        /// When.
        not_before: SystemTime,
    },
    /// It is for no name and no address.
    Nameless {
        /// Its file.
        file: PathBuf,
        /// What its subject says.
        subject: String,
    },
    /// A name in it stands for no host.
    OddName {
        /// Its file.
        file: PathBuf,
        /// The name.
        name: String,
    },
    /// The certificate that signed it is missing.
    Alone {
        /// Its file.
        file: PathBuf,
        /// Who signed it.
        issuer: String,
    },
    /// Everybody on the machine may use its key.
    OpenKey {
        /// The key's file.
        file: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another certificate of the same kind is for the same name.
    Shadowed {
        /// The file of the one that is not used for it.
        file: PathBuf,
        /// The name.
        name: Box<str>,
        /// The file of the one that is.
        by: PathBuf,
    },
    /// A list of revocations is over.
    StaleRevocations {
        /// Its file.
        file: PathBuf,
        /// Since when.
        since: SystemTime,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { file, not_after } => {
                let since = date::written(*not_after);
                write!(
                    f,
                    "{}: the certificate expired on {since}; clients will refuse it: renew it",
                    file.display()
                )
            }
            Self::NotYet { file, not_before } => {
                let from = date::written(*not_before);
                write!(
                    f,
                    "{}: the certificate counts only from {from} on; is this machine's clock right?",
                    file.display()
                )
            }
            Self::Nameless { file, subject } => write!(
                f,
                "{}: the certificate ({subject}) has no name and no address among its subject alternative names; \
                 clients look nowhere else and will refuse it: have it issued with them",
                file.display()
            ),
            Self::OddName { file, name } => write!(
                f,
                "{}: the certificate's name {name} stands for no host; an asterisk must be the whole first label",
                file.display()
            ),
            Self::Alone { file, issuer } => write!(
                f,
                "{}: only the certificate itself is in it, not the one that signed it ({issuer}); many clients will not \
                 find that by themselves: use the file with the whole chain (fullchain.pem)",
                file.display()
            ),
            Self::OpenKey { file, mode } => {
                write!(
                    f,
                    "{}: everybody on this machine may use the key (mode {mode:03o}); `chmod 600` it",
                    file.display()
                )
            }
            Self::Shadowed { file, name, by } => write!(
                f,
                "{}: not used for {name}, which {} is for as well, with the same kind of key; the first wins",
                file.display(),
                by.display()
            ),
            Self::StaleRevocations { file, since } => {
                let since = date::written(*since);
                write!(
                    f,
                    "{}: the revocations were to be renewed by {since}; until they are, client certificates are refused",
                    file.display()
                )
            }
        }
    }
}
