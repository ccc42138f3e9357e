//! The control socket as a file: bound where nobody else listens, removed when we end.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::geteuid;
use tokio::net::{UnixListener, UnixStream};
use vestibule_process::Running;

use super::place::Place;

#[cfg(test)]
mod tests;

/// Connections that the kernel keeps for us, beside those that are served.
const BACKLOG: i32 = 128;

/// How long another Vestibule, which begins at the same moment, may take for its own binding.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unclaimed {
    /// Somebody listens there.
    #[error("another Vestibule has the control socket {}{by}", path.display())]
    Occupied { path: PathBuf, by: String },
    /// It cannot be there.
    #[error("cannot make the control socket {}: {why}", path.display())]
    Impossible { path: PathBuf, why: String },
}

/// A listening control socket. Its file is removed when this goes.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    pub(super) listener: UnixListener,
    /// Device and inode of its file. They are not given to another as long as the listener is open.
    identity: (u64, u64),
}

impl Claim {
    /// Binds it, in place of one that a dead Vestibule left. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// Whatever is there and is not ours to remove.
    pub(crate) async fn new(place: &Place) -> Result<Self, Unclaimed> {
        let path = place.path();
        let impossible = |why: String| Unclaimed::Impossible { path: path.to_owned(), why };
        let directory = directory(place).map_err(impossible)?;
        // Until we listen, another that begins now would take our socket for a stale one.
        take_turn(&directory).await;
        vacate(path).await?;
        let bound = bind(path).and_then(|listener| {
            let found = fs::symlink_metadata(path)?;
            Ok(Claim { path: path.to_owned(), listener, identity: (found.dev(), found.ino()) })
        });
        bound.map_err(|error| impossible(error.to_string()))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes its file, if that is still ours. Who is connected stays so.
    pub(crate) fn remove(&self) {
        let found = fs::symlink_metadata(&self.path).map(|found| (found.dev(), found.ino()));
        if found.is_ok_and(|found| found == self.identity) {
            // Whoever else has removed it meanwhile did what we want.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Makes the directory where it may have to be made, and opens it. In a directory that everybody may write to, only one that
/// is ours alone will do: others may have made it, or a link in its place, before us.
fn directory(place: &Place) -> Result<OwnedFd, String> {
    let directory = place.path().parent().unwrap_or(Path::new("/"));
    let at = directory.display();
    if !matches!(place, Place::Run(_)) {
        match fs::DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(format!("cannot make the directory {at}: {error}"));
            }
            _ => {}
        }
    }
    let is_own = matches!(place, Place::Own(_));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let flags = if is_own { flags | OFlags::NOFOLLOW } else { flags };
    let unusable = |why: &dyn std::fmt::Display| format!("the directory {at} cannot be used: {why}");
    let open = rustix::fs::open(directory, flags, Mode::empty()).map_err(|error| unusable(&error))?;
    if is_own {
        let found = rustix::fs::fstat(&open).map_err(|error| unusable(&error))?;
        if found.st_uid != geteuid().as_raw() {
            return Err(unusable(&format_args!("it belongs to user {}, not to us", found.st_uid)));
        }
        if found.st_mode & 0o077 != 0 {
            let mode = found.st_mode & 0o7777;
            return Err(unusable(&format_args!("others may enter it (mode {mode:04o}): chmod 700 {at}")));
        }
    }
    Ok(open)
}

/// One Vestibule at a time binds in a directory: the lock goes with the descriptor. After [`PATIENCE`] we go on without it, since
/// anybody who may open a directory may lock it.
async fn take_turn(directory: &OwnedFd) {
    let late = tokio::time::Instant::now() + PATIENCE;
    while rustix::fs::flock(directory, FlockOperation::NonBlockingLockExclusive).is_err()
        && tokio::time::Instant::now() < late
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Removes a socket that nobody listens behind; what else may be there is left alone.
async fn vacate(path: &Path) -> Result<(), Unclaimed> {
    let impossible = |why: String| Unclaimed::Impossible { path: path.to_owned(), why };
    let occupied = |by: String| Unclaimed::Occupied { path: path.to_owned(), by };
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => return Err(impossible("something is there that is no socket".to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(impossible(error.to_string())),
    }
    match UnixStream::connect(path).await {
        Ok(stream) => Err(occupied(whose(&stream))),
        // Its accept queue is full.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(occupied(String::new())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| impossible(format!("cannot remove the stale one: {error}")))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(impossible(format!("cannot tell whether somebody listens there: {error}"))),
    }
}

fn whose(stream: &UnixStream) -> String {
    let pid = stream.peer_cred().ok().and_then(|peer| peer.pid()).and_then(|pid| u32::try_from(pid).ok());
    match pid.and_then(Running::find) {
        Some(Running { pid, command }) => format!(": process {pid}, {command}"),
        None => String::new(),
    }
}

/// Binds and listens. Linux gives the file the mode of the socket, so there is no moment at which others could open it.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    UnixListener::from_std(socket.into())
}
