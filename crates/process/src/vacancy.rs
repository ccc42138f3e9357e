//! A socket's path, free for who is to be started.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::Error;
use crate::knock::Knock;
use crate::life::Life;

/// Between bind and listen a socket refuses, too. One that is older than this will not listen any more.
const NEWBORN: Duration = Duration::from_secs(1);
/// Between two looks at one that may be about to listen.
const PAUSE: Duration = Duration::from_millis(20);

/// Makes the path free for a server to bind: removes a socket there if nobody listens any more, which only a connection that
/// is refused shows. Says whether there was one to remove. Behind a link, the socket that it leads to is meant; the link stays.
/// Waits up to a second for a socket that was only just bound.
///
/// # Errors
/// [`Error::Occupied`] when somebody listens, [`Error::NotASocket`] when something else is there, [`Error::Vacate`] when it cannot
/// be looked at or removed.
pub async fn vacate(path: &Path) -> Result<bool, Error> {
    let failed = |source| Error::Vacate { path: path.to_owned(), source };
    let Some(socket) = resolve(path).map_err(failed)? else { return Ok(false) };
    loop {
        let metadata = match fs::symlink_metadata(&socket) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        if !metadata.file_type().is_socket() {
            return Err(Error::NotASocket { path: path.to_owned() });
        }
        match Knock::at(&socket).map_err(failed)? {
            Knock::Missing => return Ok(false),
            Knock::Full => return Err(Error::Occupied { path: path.to_owned(), pid: None }),
            Knock::Open(pid) => {
                let pid = pid.filter(|&pid| Life::of(pid).is_some_and(|life| life.is_alive()));
                return Err(Error::Occupied { path: path.to_owned(), pid });
            }
            Knock::Refused if is_newborn(&metadata) => tokio::time::sleep(PAUSE).await,
            // The one that refused, and not one that was bound there since.
            Knock::Refused if is_same(&socket, &metadata) => return remove(&socket).map_err(failed),
            Knock::Refused => {}
        }
    }
}

/// What the path leads to; `None` when there is nothing, or a link to nothing.
fn resolve(path: &Path) -> io::Result<Option<PathBuf>> {
    match fs::canonicalize(path) {
        Ok(path) => Ok(Some(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_newborn(metadata: &fs::Metadata) -> bool {
    // One from the future is an old one, after the clock was set back.
    let age = metadata.modified().ok().and_then(|bound| SystemTime::now().duration_since(bound).ok());
    age.is_some_and(|age| age < NEWBORN)
}

/// Inode numbers are given again at once (ext4), so the time has to agree, too.
fn is_same(path: &Path, metadata: &fs::Metadata) -> bool {
    let identity =
        |metadata: &fs::Metadata| (metadata.dev(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec());
    fs::symlink_metadata(path).is_ok_and(|now| identity(&now) == identity(metadata))
}

fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};

    use super::*;
    use crate::testing::{LONG, until_refused};

    fn path() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s");
        (dir, path)
    }

    async fn vacated(path: &Path) -> Result<bool, Error> {
        tokio::time::timeout(LONG, vacate(path)).await.expect("it ends")
    }

    #[tokio::test]
    async fn removes_a_socket_that_nobody_listens_on() {
        let (_dir, path) = path();
        drop(UnixListener::bind(&path).expect("bound"));
        until_refused(&path);
        assert!(vacated(&path).await.expect("removed"));
        assert!(!path.exists());
        assert!(!vacated(&path).await.expect("nothing to do"));
    }

    #[tokio::test]
    async fn leaves_one_that_somebody_listens_on_and_names_him() {
        let (_dir, path) = path();
        let listener = UnixListener::bind(&path).expect("bound");
        let us = std::process::id();
        let error = vacated(&path).await.expect_err("it is ours");
        assert!(matches!(&error, Error::Occupied { pid, .. } if *pid == Some(us)), "{error:?}");
        assert_eq!(error.to_string(), format!("process {us} listens on {}", path.display()));
        listen(&listener, 0).expect("a shorter queue");
        while Knock::at(&path).expect("an answer") != Knock::Full {}
        let error = vacated(&path).await.expect_err("it is full");
        assert!(matches!(error, Error::Occupied { pid: None, .. }), "{error:?}");
        assert!(path.exists());
    }

    #[tokio::test]
    async fn leaves_what_is_no_socket() {
        let (dir, path) = path();
        fs::write(&path, "precious").expect("written");
        for path in [path.as_path(), dir.path()] {
            assert!(matches!(vacated(path).await, Err(Error::NotASocket { .. })));
        }
        assert_eq!(fs::read_to_string(&path).expect("read"), "precious");
    }

    #[tokio::test]
    async fn leaves_a_socket_of_another_type() {
        let (_dir, path) = path();
        let _datagrams = UnixDatagram::bind(&path).expect("bound");
        let error = vacated(&path).await.expect_err("it is in use");
        assert!(matches!(error, Error::Vacate { .. }), "{error:?}");
        assert!(path.exists());
    }

    #[tokio::test]
    async fn waits_for_one_that_is_about_to_listen() {
        let (_dir, path) = path();
        let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
        bind(&socket, &SocketAddrUnix::new(&path).expect("an address")).expect("bound");
        let late = async {
            tokio::time::sleep(PAUSE * 3).await;
            listen(&socket, 1).expect("listening");
        };
        let (vacated, ()) = tokio::join!(vacated(&path), late);
        assert!(matches!(vacated, Err(Error::Occupied { .. })), "{vacated:?}");
        assert!(path.exists());
    }

    #[tokio::test]
    async fn follows_a_link_and_leaves_it() {
        let (dir, path) = path();
        let link = dir.path().join("link");
        symlink(&path, &link).expect("linked");
        assert!(!vacated(&link).await.expect("it leads nowhere"));
        let listener = UnixListener::bind(&path).expect("bound");
        assert!(matches!(vacated(&link).await, Err(Error::Occupied { .. })));
        drop(listener);
        until_refused(&path);
        assert!(vacated(&link).await.expect("removed"));
        assert!(!path.exists() && link.is_symlink());
    }
}
