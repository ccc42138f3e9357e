//! Clients that are slow: each sends or takes so many bytes a second, on a thread for all of them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::MissedTickBehavior;

/// How often a client sends or takes a little.
const TICK: Duration = Duration::from_millis(100);
/// What the kernel keeps for a client that reads slowly: across a slow line it would be as little.
const RECEIVE_BUFFER: usize = 64 * 1024;
/// Bytes of a segment, as on Ethernet. With the 64 KB of the loopback the kernel takes megabytes for each connection off
/// the proxy's hands, and what was to be measured would not happen.
const SEGMENT: u32 = 1460;

/// What each client does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Task {
    /// Send so many bytes to `/upload`.
    Upload(usize),
    /// Take so many bytes from `/long/N`.
    Download(usize),
}

/// A crowd of slow clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crowd {
    /// Where they go.
    pub(crate) address: SocketAddr,
    /// What each does, once.
    pub(crate) task: Task,
    /// How many they are.
    pub(crate) clients: u32,
    /// Bytes per second of each.
    pub(crate) rate: usize,
    /// Over which time they come, evenly.
    pub(crate) within: Duration,
}

/// What became of them.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Those that are done, with an answer 200.
    pub(crate) done: u64,
    /// Those that were not left to wait: their bytes came or went at 0.9 of their rate at least.
    pub(crate) at_rate: u64,
    /// Those that were refused or cut off, by what happened.
    pub(crate) failed: BTreeMap<String, u64>,
}

/// A crowd that is under way.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<Outcome>>,
}

impl Crowd {
    /// Begins.
    pub(crate) fn start(self) -> Running {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(LocalSet::new().block_on(&runtime, self.run(stopped)))
        });
        Running { stop, thread }
    }

    async fn run(self, stopped: oneshot::Receiver<()>) -> Outcome {
        let outcome = Rc::new(RefCell::new(Outcome::default()));
        let mut clients = Vec::new();
        for number in 0..self.clients {
            let moved = Rc::new(Cell::new(0));
            let due = Instant::now() + self.within * number / self.clients;
            let begin = tokio::time::sleep_until(due.into());
            let (outcome, counted) = (Rc::clone(&outcome), Rc::clone(&moved));
            let task = spawn_local(async move {
                begin.await;
                let result = match self.task {
                    Task::Upload(length) => self.upload(length, &counted).await,
                    Task::Download(length) => self.download(length, &counted).await,
                };
                let mut outcome = outcome.borrow_mut();
                match result {
                    Ok(()) => outcome.done += 1,
                    Err(reason) => *outcome.failed.entry(reason).or_default() += 1,
                }
            });
            clients.push((task, due, moved));
        }
        // It says the same when whoever holds the other end is gone.
        let _stop = stopped.await;
        let (Task::Upload(length) | Task::Download(length)) = self.task;
        let at_rate = clients.iter().filter(|(_, due, moved)| {
            let due_by_now = due.elapsed().as_secs_f64() * self.rate as f64;
            moved.get() as f64 >= 0.9 * due_by_now.min(length as f64)
        });
        let at_rate = at_rate.count() as u64;
        clients.iter().for_each(|(task, _, _)| task.abort());
        let mut outcome = outcome.take();
        outcome.at_rate = at_rate;
        outcome
    }

    fn piece(&self) -> Vec<u8> {
        vec![b'x'; self.rate / 10]
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_tcp_mss(SEGMENT)?;
        if matches!(self.task, Task::Download(_)) {
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        }
        socket.set_nonblocking(true)?;
        TcpSocket::from_std_stream(socket.into()).connect(self.address).await
    }

    async fn upload(&self, length: usize, moved: &Cell<usize>) -> Result<(), String> {
        let send = async {
            let mut stream = self.connect().await?;
            let head = format!(
                "POST /upload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await?;
            let piece = self.piece();
            let mut ticks = ticks();
            while moved.get() < length {
                ticks.tick().await;
                let count = piece.len().min(length - moved.get());
                stream.write_all(&piece[..count]).await?;
                moved.set(moved.get() + count);
            }
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        check(&send.await.map_err(|error| error.kind().to_string())?)
    }

    async fn download(&self, length: usize, moved: &Cell<usize>) -> Result<(), String> {
        let take = async {
            let mut stream = self.connect().await?;
            let request =
                format!("GET /long/{length} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut piece = self.piece();
            let mut start = Vec::new();
            let mut ticks = ticks();
            loop {
                ticks.tick().await;
                let mut filled = 0;
                while let Some(rest) = piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                    let count = stream.read(rest).await?;
                    filled += count;
                    moved.set(moved.get() + count);
                    if count == 0 {
                        // The head counts in `moved` too: less than the body means that it was cut off.
                        return if moved.get() < length {
                            Err(std::io::ErrorKind::UnexpectedEof.into())
                        } else {
                            Ok(start)
                        };
                    }
                }
                if start.is_empty() {
                    start = piece[..filled.min(64)].to_vec();
                }
            }
        };
        check(&take.await.map_err(|error: std::io::Error| error.kind().to_string())?)
    }
}

impl Running {
    /// Ends all that are not done, and counts.
    pub(crate) fn finish(self) -> Result<Outcome> {
        // A thread that has ended already says so itself.
        let _sent = self.stop.send(());
        self.thread.join().map_err(|_| anyhow!("the slow clients panicked"))?
    }
}

/// Those that come late do not catch up: a client is never faster than its rate.
fn ticks() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn check(answer: &[u8]) -> Result<(), String> {
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    match String::from_utf8_lossy(line).split(' ').nth(1) {
        Some("200") => Ok(()),
        other => Err(other.unwrap_or("empty answer").to_owned()),
    }
}
