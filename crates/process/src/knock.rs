//! Finding out who is behind a socket's path, by connecting to it. Nothing is sent.

use std::io;
use std::path::Path;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// What a Unix socket says to who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Knock {
    /// Somebody listens: the process that last called listen(2) for this socket (`SO_PEERCRED`, unix(7)), which need not be
    /// the one that accepts, and may have ended. `None` when it lives where we cannot see it (another PID namespace).
    Open(Option<u32>),
    /// Somebody listens, and the accept queue is full.
    Full,
    /// Nobody listens, but the path is there; the kernel says the same of a file that is no socket.
    Refused,
    /// There is no such path.
    Missing,
}

impl Knock {
    /// Connects without waiting. To the server it is a client that leaves at once.
    ///
    /// # Errors
    /// Whatever else the kernel says: no permission, a path too long, no descriptors.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        match connect(&socket, &SocketAddrUnix::new(path)?) {
            Ok(()) => {
                let peer = getsockopt(&socket, PeerCredentials)?.pid();
                Ok(Knock::Open(u32::try_from(peer).ok().filter(|&pid| pid > 0)))
            }
            Err(Errno::AGAIN) => Ok(Knock::Full),
            Err(Errno::CONNREFUSED) => Ok(Knock::Refused),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(Knock::Missing),
            Err(errno) => Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use rustix::net::{bind, listen};

    use super::*;
    use crate::testing::until_refused;

    #[test]
    fn tells_open_full_refused_and_missing_apart() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s");
        let knock = || Knock::at(&path).expect("an answer");
        assert_eq!(knock(), Knock::Missing);
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .expect("a socket");
        bind(&socket, &SocketAddrUnix::new(&path).expect("an address")).expect("bound");
        assert_eq!(knock(), Knock::Refused, "bound, and nobody listens yet");
        listen(&socket, 0).expect("listening");
        assert_eq!(knock(), Knock::Open(Some(std::process::id())));
        // The one that left stands in the queue still.
        assert!((0..3).any(|_| knock() == Knock::Full), "its queue of one was never full");
        drop(socket);
        until_refused(&path);
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(knock(), Knock::Missing);
        assert_eq!(Knock::at(&path.join("below")).expect("an answer"), Knock::Missing);
    }

    #[test]
    fn an_impossible_path_is_an_error() {
        let long = "x".repeat(200);
        assert!(Knock::at(Path::new(&long)).is_err());
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s");
        let _listener = UnixListener::bind(&path).expect("bound");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        assert!(matches!(Knock::at(&link), Ok(Knock::Open(Some(_)))), "a link leads to the socket behind it");
    }
}
