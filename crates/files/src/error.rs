//! What can go wrong with a file that is there.

use std::io;

use rustix::io::Errno;

/// Why a file cannot be read. All of them are ours: what a client may do wrong leads to no file at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It became shorter while it was sent: the answer cannot be ended as promised.
    #[error("the file became shorter while it was sent")]
    Shorter,
    /// It was written to in place while it was sent: what was sent may be of both.
    #[error("the file was written to while it was sent")]
    Changed,
    /// The kernel cannot read it.
    #[error("the file cannot be read")]
    Read(#[source] io::Error),
}

/// What an attempt to open or read says of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It would have to wait for the disk: a thread that may wait has to do it.
    Wait,
    /// There is no such file, or none that may be seen.
    Nothing,
    /// It is there, and we may not open it, or cannot.
    Refused(Errno),
}

impl Trouble {
    pub(crate) fn of(error: Errno) -> Self {
        match error {
            Errno::AGAIN => Trouble::Wait,
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG | Errno::INVAL => {
                Trouble::Nothing
            }
            // A socket, or a device without a driver.
            Errno::NXIO | Errno::NODEV => Trouble::Nothing,
            other => Trouble::Refused(other),
        }
    }
}
