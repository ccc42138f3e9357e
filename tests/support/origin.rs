//! An origin that records every byte of every connection and takes nothing but canonical requests.
//!
//! One thread serves all connections, and reads what has arrived on all of them before it answers on any: when a request
//! is answered, whatever was sent to this origin before it has been recorded.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use super::canonical::{Canonical, Chunks, Reading, read};
use super::wait::{seconds, until_true};

/// A field in each answer that this origin gives by itself: who sees it knows that a request was forwarded.
pub(crate) const MARK: &str = "X-Origin";

/// How often the thread looks whether it should stop.
const TICK: Duration = Duration::from_millis(10);

/// Acts of one connection before the others have their turn.
const ROUND: usize = 16;

/// An origin on a Unix socket.
pub(crate) struct Origin {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    record: Mutex<Record>,
}

/// All that was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    pub(crate) wires: Vec<Wire>,
    /// The whole requests, in the order of their ends.
    pub(crate) requests: Vec<Canonical>,
}

/// What was seen of one connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wire {
    /// Every byte received.
    pub(crate) bytes: Vec<u8>,
    /// How many of them are whole canonical requests.
    pub(crate) read: usize,
    /// Why the rest is not canonical.
    pub(crate) fault: Option<String>,
    /// Whether the other side has closed it.
    pub(crate) has_ended: bool,
}

/// One step of an answer.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Write(Vec<u8>),
    /// Writes these bytes again and again, until the other side closes.
    Repeat(Vec<u8>),
    Pause(Duration),
    /// Closes the connection.
    Close,
}

/// What a script is asked about.
pub(crate) enum Seen<'a> {
    /// A head, whose body is not all there. No acts: wait for the rest.
    Head(&'a Canonical),
    /// A whole request.
    Whole(&'a Canonical),
}

type Script = dyn Fn(Seen<'_>) -> Vec<Act> + Send;

impl Origin {
    /// Answers as `script` says, which is asked until it gives acts for a request.
    pub(crate) fn scripted(
        path: &Path,
        chunks: Chunks,
        script: impl Fn(Seen<'_>) -> Vec<Act> + Send + 'static,
    ) -> Origin {
        let listener = UnixListener::bind(path).expect("the socket is free");
        rustix::net::listen(&listener, 1024).expect("the backlog is set");
        listener.set_nonblocking(true).expect("non-blocking");
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || serve(&listener, &theirs, chunks, &script));
        Origin { shared, thread: Some(thread) }
    }

    /// All that was seen so far.
    pub(crate) fn record(&self) -> Record {
        self.shared.record.lock().expect("the record").clone()
    }

    /// The whole requests so far.
    pub(crate) fn requests(&self) -> Vec<Canonical> {
        self.record().requests
    }

    /// Waits until the record is as it should be.
    pub(crate) fn wait_for(&self, what: &str, is_so: impl Fn(&Record) -> bool) {
        until_true(what, seconds(20), || is_so(&self.shared.record.lock().expect("the record")));
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Record {
    /// What is not canonical about it: faults, bytes behind a request, requests that are not whole.
    pub(crate) fn faults(&self) -> Vec<String> {
        let faults = self.wires.iter().enumerate().filter_map(|(number, wire)| {
            let rest = &wire.bytes[wire.read..];
            let rest = String::from_utf8_lossy(&rest[..rest.len().min(500)]);
            match &wire.fault {
                Some(fault) => Some(format!("connection {number} of the origin: {fault}; it got {rest:?}")),
                None if rest.is_empty() => None,
                None => Some(format!("connection {number} of the origin: no whole request: {rest:?}")),
            }
        });
        faults.collect()
    }
}

/// An answer with the method and the target of a request, marked as this origin's.
pub(crate) fn echo(request: &Canonical) -> Act {
    let text = format!("{} {}", request.method, request.target);
    let body = if request.method == "HEAD" { "" } else { &text };
    Act::Write(
        format!("HTTP/1.1 200 OK\r\n{MARK}: 1\r\nContent-Length: {}\r\n\r\n{body}", text.len()).into_bytes(),
    )
}

/// One open connection.
struct Line {
    number: usize,
    stream: UnixStream,
    /// What is still to be done, in order.
    acts: VecDeque<Act>,
    pause: Option<Instant>,
    /// Whether the present request has its acts already.
    is_answered: bool,
    is_closed: bool,
}

fn serve(listener: &UnixListener, shared: &Shared, chunks: Chunks, script: &Script) {
    let mut lines: Vec<Line> = Vec::new();
    while !shared.stop.load(Ordering::SeqCst) {
        wait(listener, &lines);
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true).expect("non-blocking");
            let mut record = shared.record.lock().expect("the record");
            lines.push(Line {
                number: record.wires.len(),
                stream,
                acts: VecDeque::new(),
                pause: None,
                is_answered: false,
                is_closed: false,
            });
            record.wires.push(Wire::default());
        }
        let mut record = shared.record.lock().expect("the record");
        for line in &mut lines {
            line.receive(&mut record.wires[line.number]);
        }
        for line in &mut lines {
            line.read(&mut record, chunks, script);
        }
        drop(record);
        for line in &mut lines {
            line.act();
        }
        lines.retain(|line| !line.is_closed);
    }
}

/// Waits until something can be done.
fn wait(listener: &UnixListener, lines: &[Line]) {
    let mut files = vec![PollFd::new(listener, PollFlags::IN)];
    let now = Instant::now();
    let mut limit = TICK;
    for line in lines {
        let flags = match (&line.pause, line.acts.front()) {
            (Some(until), _) => {
                limit = limit.min(until.saturating_duration_since(now));
                PollFlags::IN
            }
            (None, Some(_)) => PollFlags::IN | PollFlags::OUT,
            (None, None) => PollFlags::IN,
        };
        files.push(PollFd::new(&line.stream, flags));
    }
    let _ = poll(&mut files, Some(&limit.try_into().expect("a timespec")));
}

impl Line {
    fn receive(&mut self, wire: &mut Wire) {
        let mut block = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut block) {
                Ok(0) => break,
                Ok(count) => wire.bytes.extend_from_slice(&block[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        wire.has_ended = true;
        self.is_closed = true;
    }

    /// Reads the request that the connection is at, and has the script say what to do.
    fn read(&mut self, record: &mut Record, chunks: Chunks, script: &Script) {
        loop {
            let wire = &mut record.wires[self.number];
            if wire.fault.is_some() || wire.read == wire.bytes.len() {
                return;
            }
            match read(&wire.bytes[wire.read..], chunks) {
                Ok(Reading::Nothing) => return,
                Ok(Reading::Head(mut request)) => {
                    request.connection = self.number;
                    if !self.is_answered {
                        let acts = script(Seen::Head(&request));
                        self.is_answered = !acts.is_empty();
                        self.acts.extend(acts);
                    }
                    return;
                }
                Ok(Reading::Whole(mut request, length)) => {
                    request.connection = self.number;
                    wire.read += length;
                    // What was answered at its head may be followed by the next.
                    if !std::mem::take(&mut self.is_answered) {
                        if wire.read < wire.bytes.len() {
                            wire.fault = Some("bytes behind a request that was not answered".to_owned());
                        }
                        self.acts.extend(script(Seen::Whole(&request)));
                    }
                    record.requests.push(request);
                }
                Err(fault) => {
                    wire.fault = Some(fault);
                    self.acts.clear();
                    self.acts.push_back(Act::Close);
                }
            }
        }
    }

    /// Does what can be done now.
    fn act(&mut self) {
        if self.pause.is_some_and(|until| Instant::now() < until) {
            return;
        }
        self.pause = None;
        for _ in 0..ROUND {
            let Some(act) = self.acts.pop_front() else { return };
            match act {
                Act::Write(mut bytes) => match self.stream.write(&bytes) {
                    Ok(count) => {
                        bytes.drain(..count);
                        if !bytes.is_empty() {
                            self.acts.push_front(Act::Write(bytes));
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.acts.push_front(Act::Write(bytes));
                        return;
                    }
                    Err(_) => return self.acts.clear(), // reading tells that the other side is gone
                },
                Act::Repeat(bytes) => {
                    self.acts.push_front(Act::Repeat(bytes.clone()));
                    self.acts.push_front(Act::Write(bytes));
                }
                Act::Pause(time) => {
                    self.pause = Some(Instant::now() + time);
                    return;
                }
                Act::Close => {
                    let _ = self.stream.shutdown(Shutdown::Both);
                    self.is_closed = true;
                    return;
                }
            }
        }
    }
}
