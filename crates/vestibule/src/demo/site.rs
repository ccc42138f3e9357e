//! A small HTTP server on a Unix socket that ends without losing a request.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use vestibule_process::Running;

use super::Refused;

/// After an accept that failed: most likely there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(50);

/// A listening socket; its file is removed when it goes.
#[derive(Debug)]
pub(crate) struct Site {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of its file, which may have become another's.
    identity: Option<(u64, u64)>,
}

/// Sees whether `path` is free to listen at, or has only what a dead server left there.
///
/// # Errors
/// When somebody listens there, when something else than a socket is there, or when that cannot be found out.
pub(crate) fn look(path: &Path) -> Result<(), Refused> {
    let at = path.display();
    let unclear = |error: io::Error| Refused(format!("cannot tell whether {at} is free: {error}"));
    match path.symlink_metadata() {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        // Connecting would be refused as with a dead server's socket, but this is somebody's file.
        Ok(_) => return Err(Refused(format!("{at} is there, and is not a socket"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unclear(error)),
    }
    let address = SocketAddrUnix::new(path).map_err(|error| unclear(error.into()))?;
    // Not to wait where the accept queue is full.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(|error| unclear(error.into()))?;
    match connect(&socket, &address) {
        Ok(()) => Err(Refused(format!("an application listens at {at} already{}", whose(&socket)))),
        Err(Errno::AGAIN) => Err(Refused(format!("an application listens at {at} already, and is busy"))),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(()),
        Err(error) => Err(unclear(error.into())),
    }
}

fn whose(socket: impl AsFd) -> String {
    let peer = sockopt::socket_peercred(socket).ok().map(|peer| peer.pid.as_raw_nonzero().get());
    match peer.and_then(|pid| u32::try_from(pid).ok()).and_then(Running::find) {
        Some(Running { pid, command }) => format!(": process {pid}, {command}"),
        None => String::new(),
    }
}

impl Site {
    /// Listens at `path`, in place of a dead server's socket. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// As [`look`], and when nobody may listen there.
    pub(crate) fn claim(path: &Path) -> Result<Self, Refused> {
        look(path)?;
        let refused = |error: io::Error| Refused(format!("cannot listen at {}: {error}", path.display()));
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(refused)?;
        Ok(Site { listener, path: path.to_owned(), identity: identity(path) })
    }

    /// Answers until `end`, then whatever has come until then, and returns when all of that is done.
    pub(crate) async fn serve<Answer, Answered>(self, answer: Answer, end: impl Future<Output = ()>)
    where
        Answer: Fn(Request<Incoming>) -> Answered + Clone + 'static,
        Answered: Future<Output = Response<Full<Bytes>>> + 'static,
    {
        let (ending, ends) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn_local(converse(stream, answer.clone(), ends.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
        // First nobody new can come, then those who are at the door are let in, and only then is it closed.
        self.remove();
        while let Some(stream) = self.waiting().await {
            connections.spawn_local(converse(stream, answer.clone(), ends.clone()));
        }
        drop(self);
        // With nobody left to hear it, there is nothing to end.
        let _ = ending.send(true);
        while connections.join_next().await.is_some() {}
    }

    /// A connection out of the accept queue, if there is one.
    async fn waiting(&self) -> Option<UnixStream> {
        poll_fn(|context| match self.listener.poll_accept(context) {
            Poll::Ready(Ok((stream, _))) => Poll::Ready(Some(stream)),
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    fn remove(&self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            // Whoever else has removed it meanwhile did what we want.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.remove();
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    path.symlink_metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Serves one connection.
async fn converse<Answer, Answered>(stream: UnixStream, answer: Answer, mut ends: watch::Receiver<bool>)
where
    Answer: Fn(Request<Incoming>) -> Answered,
    Answered: Future<Output = Response<Full<Bytes>>>,
{
    let is_busy = Cell::new(false);
    let is_busy = Rc::new(is_busy);
    let service = service_fn(|request| {
        is_busy.set(true);
        let (answered, is_busy) = (answer(request), Rc::clone(&is_busy));
        async move {
            let response = answered.await;
            is_busy.set(false);
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let mut connection =
        std::pin::pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    let outcome = tokio::select! {
        biased;
        outcome = &mut connection => outcome,
        _ = ends.wait_for(|ending| *ending) => {
            // An idle connection is closed just so. If a request comes at the same moment, the kernel then tells the
            // client that nobody has read it; a farewell (hyper shuts down the sending half) would hide that.
            if !is_busy.get() {
                return;
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "connection");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_place_and_a_dead_servers_socket_may_be_taken() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("app.sock");
        assert!(look(&path).is_ok());
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
        assert!(path.exists());
        assert!(look(&path).is_ok());
    }

    #[test]
    fn a_place_in_use_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("app.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        let Refused(why) = look(&path).expect_err("somebody listens");
        assert!(why.contains("listens") && why.contains(&format!("process {}", std::process::id())), "{why}");
        assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn a_full_accept_queue_is_somebody_too() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("app.sock");
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let socket = socket.expect("a socket");
        rustix::net::bind(&socket, &SocketAddrUnix::new(&path).expect("an address")).expect("bound");
        rustix::net::listen(&socket, 0).expect("listening");
        let _first = std::os::unix::net::UnixStream::connect(&path).expect("room for one");
        let Refused(why) = look(&path).expect_err("somebody listens");
        assert!(why.contains("busy"), "{why}");
    }

    #[test]
    fn a_file_of_another_kind_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notes.txt");
        std::fs::write(&path, "precious").expect("written");
        let Refused(why) = look(&path).expect_err("it is a file");
        assert!(why.contains("not a socket"), "{why}");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "precious");
    }
}
