//! Clients on slow lines: many at once, each with its pace.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};

use super::client::{Client, Response};
use super::wait::{seconds, until_true};

/// How often a slow client sends or takes a piece.
const TICK: Duration = Duration::from_millis(100);
/// A receive buffer small enough for the kernel not to take the answer for its reader.
const RECEIVE_BUFFER: usize = 16 * 1024;

/// What the clients of one crowd share.
struct Shared {
    address: SocketAddr,
    /// Bytes per second of each client.
    rate: usize,
    /// Clients that have begun: sent the first piece, or received it.
    begun: AtomicUsize,
    hurry: AtomicBool,
}

/// Many clients that do the same, slowly.
pub(crate) struct Crowd {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<io::Result<Response>>>,
}

impl Crowd {
    /// Begins `count` uploads of `body` to `path`, each at `rate` bytes per second.
    pub(crate) fn uploading(
        address: SocketAddr,
        path: &str,
        body: Vec<u8>,
        count: usize,
        rate: usize,
    ) -> Crowd {
        let (path, body) = (path.to_owned(), Arc::new(body));
        Crowd::start(address, count, rate, move |shared, _| upload(shared, &path, &body))
    }

    /// Begins `count` downloads, the path of each given by its number, each at `rate` bytes per second.
    pub(crate) fn downloading(
        address: SocketAddr,
        path: impl Fn(usize) -> String + Send + Sync + 'static,
        count: usize,
        rate: usize,
    ) -> Crowd {
        Crowd::start(address, count, rate, move |shared, number| download(shared, &path(number)))
    }

    fn start(
        address: SocketAddr,
        count: usize,
        rate: usize,
        client: impl Fn(&Shared, usize) -> io::Result<Response> + Send + Sync + 'static,
    ) -> Crowd {
        let shared =
            Arc::new(Shared { address, rate, begun: AtomicUsize::new(0), hurry: AtomicBool::new(false) });
        let client = Arc::new(client);
        let begin = |number| {
            let (shared, client) = (Arc::clone(&shared), Arc::clone(&client));
            let thread = std::thread::Builder::new().stack_size(256 * 1024);
            thread.spawn(move || client(&shared, number)).expect("a thread")
        };
        let clients: Vec<_> = (0..count).map(begin).collect();
        let crowd = Crowd { shared, clients };
        until_true("all slow clients have begun", seconds(60), || {
            crowd.shared.begun.load(Ordering::Relaxed) == count
        });
        crowd
    }

    /// Lets them go on at full speed.
    pub(crate) fn hurry(&self) {
        self.shared.hurry.store(true, Ordering::Relaxed);
    }

    /// How many are still at it.
    pub(crate) fn busy(&self) -> usize {
        self.clients.iter().filter(|client| !client.is_finished()).count()
    }

    /// Waits for all; the answer of each.
    pub(crate) fn join(self) -> Vec<io::Result<Response>> {
        self.clients.into_iter().map(|client| client.join().expect("a client's thread")).collect()
    }
}

impl Shared {
    /// Bytes of one piece.
    fn piece(&self) -> usize {
        self.rate * usize::try_from(TICK.as_millis()).expect("a short time") / 1000
    }

    /// Waits until piece number `index` is due, counted from `start`.
    fn pace(&self, start: Instant, index: u32) {
        let due = start + TICK * index;
        while !self.hurry.load(Ordering::Relaxed) {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(TICK));
        }
    }
}

fn upload(shared: &Shared, path: &str, body: &[u8]) -> io::Result<Response> {
    let mut client = Client::connect(shared.address)?.patience(seconds(120));
    client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()))?;
    let start = Instant::now();
    for (index, piece) in (0..).zip(body.chunks(shared.piece())) {
        shared.pace(start, index);
        client.send(piece)?;
        if index == 0 {
            shared.begun.fetch_add(1, Ordering::Relaxed);
        }
    }
    client.response()
}

fn download(shared: &Shared, path: &str) -> io::Result<Response> {
    let stream = connect_narrow(shared.address)?;
    stream.set_read_timeout(Some(seconds(120)))?;
    (&stream).write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())?;
    let start = Instant::now();
    let mut client = Client::over(Paced { shared, stream, start, index: 0 });
    client.response()
}

/// A connection that is read slowly.
struct Paced<'a> {
    shared: &'a Shared,
    stream: TcpStream,
    start: Instant,
    index: u32,
}

impl Read for Paced<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.shared.pace(self.start, self.index);
        let most = if self.shared.hurry.load(Ordering::Relaxed) { into.len() } else { self.shared.piece() };
        let most = most.min(into.len());
        let count = self.stream.read(&mut into[..most])?;
        if self.index == 0 {
            self.shared.begun.fetch_add(1, Ordering::Relaxed);
        }
        self.index += 1;
        Ok(count)
    }
}

impl Write for Paced<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection whose receive buffer was small from the first packet on.
pub(crate) fn connect_narrow(address: SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, None)?;
    sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER)?;
    connect(&socket, &address)?;
    Ok(TcpStream::from(socket))
}
