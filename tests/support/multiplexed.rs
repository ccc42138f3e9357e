//! Requests of many threads over a few connections of HTTP/2 and TLS, as a browser's go: what is held shares its connection with
//! what is not.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::h2::{Answer, H2};
use super::tls::{NAME, over};

/// Requests that are open on one connection, of the 100 that Vestibule allows.
const AT_ONCE: usize = 50;
/// Requests on one connection: far less than Vestibule allows, so that none may ever be told to go.
const EACH: usize = 250;
/// A connection looks that often whether there is something new to be sent.
const TURN: Duration = Duration::from_millis(2);

/// A client that makes connections as it needs them.
pub(crate) struct Multiplexed {
    address: SocketAddr,
    settings: Arc<ClientConfig>,
    connections: Mutex<Vec<Connection>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Connection {
    wanted: Sender<Wanted>,
    open: Arc<AtomicUsize>,
    issued: usize,
}

struct Wanted {
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    answer: Sender<io::Result<Answer>>,
}

type Secure = StreamOwned<ClientConnection, TcpStream>;

impl Multiplexed {
    /// The settings have to ask for `h2`.
    pub(crate) fn new(address: SocketAddr, settings: Arc<ClientConfig>) -> Multiplexed {
        Multiplexed { address, settings, connections: Mutex::default(), threads: Mutex::default() }
    }

    /// A request and its answer. A reset is an error, and so is the end of the connection.
    pub(crate) fn request(&self, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
        let (sender, receiver) = mpsc::channel();
        let mut fields =
            vec![(":method", method), (":scheme", "https"), (":path", path), (":authority", NAME)];
        let length = body.len().to_string();
        if !body.is_empty() {
            fields.push(("content-length", &length));
        }
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        self.hand_over(Wanted { fields, body: body.to_vec(), answer: sender });
        let answer = receiver.recv().map_err(|_| io::Error::other("its connection is gone"))??;
        match answer.reset {
            Some(code) => Err(io::Error::other(format!("reset with {code}"))),
            None => Ok(answer),
        }
    }

    /// To the connection that is there, or to a new one when it has enough to do or has done enough.
    fn hand_over(&self, wanted: Wanted) {
        let mut connections = self.connections.lock().expect("connections");
        connections.retain(|connection| connection.issued < EACH);
        let mut wanted = wanted;
        for connection in connections.iter_mut() {
            if connection.open.load(Ordering::Relaxed) < AT_ONCE {
                connection.open.fetch_add(1, Ordering::Relaxed);
                connection.issued += 1;
                match connection.wanted.send(wanted) {
                    Ok(()) => return,
                    // It broke, which those who waited for it were told.
                    Err(back) => wanted = back.0,
                }
                connection.issued = EACH;
            }
        }
        let (sender, receiver) = mpsc::channel();
        let open = Arc::new(AtomicUsize::new(1));
        let (address, settings, theirs) = (self.address, Arc::clone(&self.settings), Arc::clone(&open));
        let thread = spawn(move || {
            let made = TcpStream::connect(address).and_then(|socket| over(socket, settings, NAME));
            match made.and_then(|client| serve(client.into_stream(), &receiver, &theirs)) {
                Ok(()) => {}
                // Whoever waits learns it by the end of its channel; this says why.
                Err(error) => eprintln!("a connection of HTTP/2 broke: {error}"),
            }
        });
        sender.send(wanted).expect("the thread waits for it");
        connections.push(Connection { wanted: sender, open, issued: 1 });
        self.threads.lock().expect("threads").push(thread);
    }
}

impl Drop for Multiplexed {
    fn drop(&mut self) {
        self.connections.lock().expect("connections").clear();
        for thread in self.threads.lock().expect("threads").drain(..) {
            let _ = thread.join();
        }
    }
}

/// Sends what is wanted and reads what comes, until nothing is wanted any more and everything is answered.
fn serve(socket: Secure, wanted: &Receiver<Wanted>, open: &AtomicUsize) -> io::Result<()> {
    if socket.conn.alpn_protocol() != Some(b"h2") {
        return Err(io::Error::other("HTTP/2 was not agreed on"));
    }
    socket.sock.set_read_timeout(Some(TURN))?;
    let mut client = H2::over(socket)?;
    let mut waiting = BTreeMap::new();
    let mut more = true;
    while more || !waiting.is_empty() {
        loop {
            match wanted.try_recv() {
                Ok(Wanted { fields, body, answer }) => {
                    let fields: Vec<(&str, &str)> =
                        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                    let stream = client.open(&fields, body.is_empty());
                    if !body.is_empty() {
                        // A few bytes: the windows are never an obstacle.
                        client.data(stream, &body, true)?;
                    }
                    waiting.insert(stream, answer);
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    more = false;
                    break;
                }
            }
        }
        match client.take_note() {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        let ended: Vec<u32> = waiting
            .keys()
            .copied()
            .filter(|stream| {
                let seen = client.seen(*stream);
                seen.has_ended || seen.reset.is_some()
            })
            .collect();
        for stream in ended {
            open.fetch_sub(1, Ordering::Relaxed);
            if let Some(answer) = waiting.remove(&stream) {
                let _ = answer.send(Ok(client.seen(stream)));
            }
            client.forget(stream);
        }
    }
    Ok(())
}
