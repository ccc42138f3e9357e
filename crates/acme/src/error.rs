//! What can go wrong on the way to a certificate.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use vestibule_config::Challenge;

use crate::problem;

/// Why there is no certificate. Its text is whole: it has what the authority or the system said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Account and certificates cannot be kept.
    #[error(
        "the store of certificates cannot be used: {}: {why}; give Vestibule's user a directory that it may write to, \
         tls.acme.store = \"…\"",
        path.display()
    )]
    Store {
        /// What cannot be written or read.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// Others could change what lies there.
    #[error("the store of certificates {} may be written by others: chmod go-w, or choose another directory", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
    },
    /// A file of the store has something else in it than it should.
    #[error("{} is broken: {why}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The directory's address is none.
    #[error("tls.acme.directory = \"{directory}\" is no https address")]
    Directory {
        /// What stands there.
        directory: String,
    },
    /// The roots for the directory's own certificate cannot be used.
    #[error("tls.acme.authorities = \"{}\": {why}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The roots that the system knows cannot be used.
    #[error(
        "no roots to check the directory's certificate by: {why}; install the package ca-certificates, or name them, \
         tls.acme.authorities = \"…\""
    )]
    Roots {
        /// What is wrong with them.
        why: String,
    },
    /// The secret of the external account is none.
    #[error("tls.acme.eab.key is no base64url")]
    ExternalAccount,
    /// The directory cannot be reached, or does not answer as RFC 8555 wants.
    #[error("{0}")]
    Unreachable(String),
    /// The authority refused.
    #[error("while {step}: the authority says: {}", problem::in_words(problem))]
    Refused {
        /// What we wanted.
        step: &'static str,
        /// What it says.
        problem: Box<instant_acme::Problem>,
    },
    /// The answer cannot be understood.
    #[error("while {step}: {why}")]
    Nonsense {
        /// What we wanted.
        step: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The authority offers no challenge that we may take.
    #[error(
        "the authority offers no challenge for {domain} that tls.acme.challenges allows; it offers {offered}"
    )]
    NoChallenge {
        /// The name.
        domain: String,
        /// What it offers.
        offered: String,
    },
    /// The authority did not find its challenge answered.
    #[error("{domain} could not be validated by {challenge}: {why}", challenge = name_of(*challenge))]
    Unproven {
        /// The name.
        domain: String,
        /// How it was to be proven.
        challenge: Challenge,
        /// What the authority found.
        why: String,
    },
    /// It took too long.
    #[error("while {step}: no end after {} s", after.as_secs())]
    TooLong {
        /// What we wanted.
        step: &'static str,
        /// After which time.
        after: Duration,
    },
    /// The certificate is not what we asked for.
    #[error("the certificate that came is of no use: {0}")]
    Unfit(String),
    /// A key could not be made, or a request signed.
    #[error("cannot make a key and a request: {0}")]
    Key(String),
    /// A challenge or a certificate could not be put up.
    #[error(transparent)]
    Tls(#[from] vestibule_tls::Error),
}

impl Error {
    /// Whether the authority said that this was too often (RFC 8555 6.6).
    pub(crate) fn is_rate_limit(&self) -> bool {
        matches!(self, Error::Refused { problem, .. } if problem::is(problem, "rateLimited"))
    }

    /// Whether the authority knows nothing of our account.
    pub(crate) fn is_unknown_account(&self) -> bool {
        matches!(self, Error::Refused { problem, .. } if problem::is(problem, "accountDoesNotExist"))
    }
}

/// What a challenge is called, everywhere.
pub(crate) fn name_of(challenge: Challenge) -> &'static str {
    match challenge {
        Challenge::Http01 => "http-01",
        Challenge::TlsAlpn01 => "tls-alpn-01",
    }
}
