//! Our own limit of open files: raised for us, and not for the applications.

use std::io;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit that we were started with.
static STARTED_WITH: OnceLock<Rlimit> = OnceLock::new();

/// Raises our limit of open files as far as we may, once. Applications are started with the limit that we were started
/// with: some programs look through all descriptors that they may have, or cannot use high ones (select(2)).
///
/// Gives how many files we may open now; `None` is any number.
///
/// # Errors
/// The kernel's, with the limit as it was.
pub fn raise_open_files() -> io::Result<Option<u64>> {
    let Rlimit { current, maximum } = *STARTED_WITH.get_or_init(|| getrlimit(Resource::Nofile));
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(maximum)
}

/// The limit of open files for an application of which nothing else is said.
pub(crate) fn open_files() -> Rlimit {
    STARTED_WITH.get().copied().unwrap_or_else(|| getrlimit(Resource::Nofile))
}
