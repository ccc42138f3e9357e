//! An origin that does what a real server cannot be made to do at the right moment.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use super::wait::{seconds, until};

/// An origin on a Unix socket; each connection is handed to a script in a thread of its own.
pub(crate) struct Fake {
    path: PathBuf,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    spoken: AtomicUsize,
    open: Mutex<Vec<UnixStream>>,
    requests: Mutex<Vec<Request>>,
}

impl Shared {
    fn connected(&self) -> usize {
        let now = Duration::ZERO.try_into().expect("a timespec");
        let is_there = |stream: &&UnixStream| {
            let mut files = [PollFd::new(*stream, PollFlags::empty())];
            let _ = poll(&mut files, Some(&now));
            !files[0].revents().contains(PollFlags::HUP)
        };
        self.open.lock().expect("open").iter().filter(is_there).count()
    }
}

/// A connection in the hands of a script.
pub(crate) struct Conversation {
    stream: UnixStream,
    buffer: Vec<u8>,
    shared: Arc<Shared>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Request line and fields, with the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The request line.
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The path and query.
    pub(crate) fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    /// The values of all fields of this name, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// The value of the only field of this name; panics when there are two.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} came more than once: {}", self.head);
        all.first().copied()
    }
}

impl Fake {
    /// Listens at `path` (which must be free) and runs `script` with each connection.
    pub(crate) fn start(path: &Path, script: impl Fn(&mut Conversation) + Send + Sync + 'static) -> Fake {
        Fake::listen(path, 1024, false, script)
    }

    /// Like [`Fake::start`], with a backlog of this length, and one connection at a time: the next is accepted when
    /// the script returns.
    pub(crate) fn serial(
        path: &Path,
        backlog: i32,
        script: impl Fn(&mut Conversation) + Send + Sync + 'static,
    ) -> Fake {
        Fake::listen(path, backlog, true, script)
    }

    /// Answers every request with 200 and its path as the body, on connections that stay open.
    pub(crate) fn echoing(path: &Path) -> Fake {
        Fake::start(path, |conversation| {
            while let Some(request) = conversation.request() {
                conversation.answer(request.target());
            }
        })
    }

    fn listen(
        path: &Path,
        backlog: i32,
        serial: bool,
        script: impl Fn(&mut Conversation) + Send + Sync + 'static,
    ) -> Fake {
        let listener = UnixListener::bind(path).expect("the socket is free");
        rustix::net::listen(&listener, backlog).expect("the backlog is set"); // a second listen() only changes it
        listener.set_nonblocking(true).expect("non-blocking");
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let acceptor = std::thread::spawn(move || {
            accept(&listener, &theirs, serial, &(Arc::new(script) as Arc<Script>));
        });
        Fake { path: path.to_owned(), shared, acceptor: Some(acceptor) }
    }

    /// The requests read so far, in the order of their ends.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().expect("requests").clone()
    }

    /// Waits for `count` requests.
    pub(crate) fn wait_for_requests(&self, count: usize) -> Vec<Request> {
        until(&format!("{count} requests at the origin"), seconds(20), || {
            let requests = self.shared.requests.lock().expect("requests");
            (requests.len() >= count).then(|| requests.clone())
        })
    }

    /// How many connections the other side has not closed.
    pub(crate) fn connected(&self) -> usize {
        self.shared.connected()
    }

    /// Ends as a killed server does: the listener and all connections close, the socket file stays.
    pub(crate) fn die(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().expect("the acceptor");
        }
        for stream in self.shared.open.lock().expect("open").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Ends, and removes the socket file.
    pub(crate) fn leave(mut self) {
        self.die();
        fs::remove_file(&self.path).expect("the socket file is removed");
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for stream in self.shared.open.lock().unwrap_or_else(|poison| poison.into_inner()).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

type Script = dyn Fn(&mut Conversation) + Send + Sync;

fn accept(listener: &UnixListener, shared: &Arc<Shared>, serial: bool, script: &Arc<Script>) {
    let tick = Duration::from_millis(10).try_into().expect("a timespec");
    while !shared.stop.load(Ordering::SeqCst) {
        let _ = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&tick));
        let Ok((stream, _)) = listener.accept() else { continue };
        stream.set_nonblocking(false).expect("blocking");
        shared.open.lock().expect("open").push(stream.try_clone().expect("a handle"));
        let script = Arc::clone(script);
        let mut conversation = Conversation { stream, buffer: Vec::new(), shared: Arc::clone(shared) };
        let mut run = move || {
            script(&mut conversation);
            conversation.forget();
        };
        if serial {
            run();
        } else {
            std::thread::spawn(run);
        }
    }
}

impl Conversation {
    /// Reads one request, whole, and records it. `None` when the connection ended before.
    pub(crate) fn request(&mut self) -> Option<Request> {
        let head = self.head()?;
        let request = Request { head, body: Vec::new() };
        let body = if request.field("transfer-encoding").is_some() {
            self.through(b"0\r\n\r\n")?
        } else {
            let length = request.field("content-length").map_or(0, |value| value.parse().expect("a length"));
            self.exact(length)?
        };
        let request = Request { body, ..request };
        self.shared.requests.lock().expect("requests").push(request.clone());
        Some(request)
    }

    /// Reads the head of a request only, and records nothing.
    pub(crate) fn head(&mut self) -> Option<String> {
        self.through(b"\r\n\r\n").map(|head| String::from_utf8_lossy(&head).into_owned())
    }

    /// Reads this many bytes.
    pub(crate) fn exact(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill()?;
        }
        let rest = self.buffer.split_off(length);
        Some(std::mem::replace(&mut self.buffer, rest))
    }

    /// Reads through these bytes.
    pub(crate) fn through(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|bytes| bytes == end) {
                return self.exact(at + end.len());
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Option<()> {
        let mut block = [0; 64 * 1024];
        let count = self.stream.read(&mut block).ok().filter(|count| *count > 0)?;
        self.buffer.extend_from_slice(&block[..count]);
        Some(())
    }

    /// Waits until bytes have arrived and leaves them unread (what closes then answers with ECONNRESET). Gives the
    /// place of this connection among those that have sent something, from 0; `None` when it ended before. (A
    /// front-end may connect only to see who listens.)
    pub(crate) fn wait_for_bytes(&self) -> Option<usize> {
        poll(&mut [PollFd::new(&self.stream, PollFlags::IN)], None).ok()?;
        let waiting = rustix::io::ioctl_fionread(&self.stream).ok()?;
        (waiting > 0).then(|| self.shared.spoken.fetch_add(1, Ordering::SeqCst))
    }

    /// Writes these bytes.
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Answers 200 with this body; that the peer is gone is not this side's fault.
    pub(crate) fn answer(&mut self, body: &str) {
        let _ = self.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    }

    /// Closes the sending side only.
    pub(crate) fn close_sending(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends both ways at once: the other side reads an end, and can write no more.
    pub(crate) fn hang_up(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// How many of the origin's connections the other side has not closed, this one included.
    pub(crate) fn connected(&self) -> usize {
        self.shared.connected()
    }

    /// Waits until the other side closes, and says whether it did (and did not send more).
    pub(crate) fn wait_for_close(&mut self) -> bool {
        self.fill().is_none() && self.buffer.is_empty()
    }

    /// Waits until the other side closes, and reads nothing.
    pub(crate) fn wait_for_hangup(&self) {
        let _ = poll(&mut [PollFd::new(&self.stream, PollFlags::empty())], None);
    }

    /// The harness keeps a handle of every open connection, so a script that returns must give it back:
    /// a socket closes with its last handle.
    fn forget(&mut self) {
        let mut open = self.shared.open.lock().unwrap_or_else(|poison| poison.into_inner());
        let own = inode(&self.stream);
        open.retain(|stream| inode(stream) != own);
    }
}

fn inode(stream: &UnixStream) -> Option<u64> {
    rustix::fs::fstat(stream).ok().map(|stat| stat.st_ino)
}
