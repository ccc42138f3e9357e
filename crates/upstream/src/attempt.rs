//! One attempt: one request on one connection, up to the head of its answer.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use vestibule_http1::BodyLength;

use crate::client::{Client, ClientError};
use crate::connection::{Connection, READ_SIZE};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::interim;
use crate::ledger::{End, Ledger};
use crate::send::{Outgoing, Rest};
use crate::upstream::Upstream;

/// Why an attempt brought no answer.
pub(crate) enum Failure {
    /// The connection died; the ledger says whether the request may go again.
    Died(End),
    /// No further attempt would help, or may be made.
    Fatal(Error),
}

/// One request on one connection, up to the head of its answer.
pub(crate) struct Attempt<'a, 'r> {
    upstream: &'a Arc<Upstream>,
    pub(crate) connection: Option<Box<Connection>>,
    request: &'a Outgoing<'r>,
    ledger: &'a mut Ledger,
    client: &'a mut dyn Client,
    /// The rest of the body, as read from the client and not yet written.
    rest: Vec<u8>,
    rest_written: usize,
    rest_ended: bool,
    is_writing: bool,
    /// How many bytes the whole answer has, when it is short enough to wait for.
    whole_at: Option<usize>,
    /// An interim answer on its way to the client, and how much of it is written.
    interim: Vec<u8>,
    interim_written: usize,
    pub(crate) deadline: Option<Deadline>,
    began: Option<Instant>,
}

/// An answer up to this length is taken whole before any of it is passed on.
const SHORT: u64 = 64 * 1024;

/// How much of a long body is under way at once.
const REST_SIZE: usize = 64 * 1024;

impl<'a, 'r> Attempt<'a, 'r> {
    pub(crate) fn new(
        upstream: &'a Arc<Upstream>,
        connection: Box<Connection>,
        request: &'a Outgoing<'r>,
        ledger: &'a mut Ledger,
        client: &'a mut dyn Client,
    ) -> Self {
        let deadline = Deadline::after(upstream.config.timeout.response);
        deadline.wake_for_samples();
        Attempt {
            connection: Some(connection),
            request,
            ledger,
            client,
            rest: Vec::new(),
            rest_written: 0,
            rest_ended: request.rest == Rest::Nothing,
            is_writing: true,
            whole_at: None,
            interim: Vec::new(),
            interim_written: 0,
            deadline: Some(deadline),
            began: None,
            upstream,
        }
    }

    /// Ready when the head of an answer is there, or when there will be none.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if self.is_writing {
            self.poll_write(cx)?;
        }
        loop {
            if !self.interim.is_empty() {
                match self.client.poll_interim(cx, &self.interim, &mut self.interim_written) {
                    Poll::Ready(Ok(())) => {
                        self.interim.clear();
                        self.interim_written = 0;
                    }
                    Poll::Ready(Err(_)) => return left(),
                    Poll::Pending => break,
                }
            }
            let Some(connection) = self.connection.as_mut() else { break };
            if let Some(whole_at) = self.whole_at {
                if connection.received.len() >= whole_at {
                    return Poll::Ready(Ok(()));
                }
            } else if !connection.received.is_empty() {
                match connection.parse_head(self.request.method) {
                    Ok(true) => match self.take_head() {
                        Some(outcome) => return Poll::Ready(outcome),
                        None => continue,
                    },
                    Ok(false) => {}
                    Err(error) => return Poll::Ready(Err(Failure::Fatal(Error::Invalid(error)))),
                }
            }
            match connection.poll_read(cx, READ_SIZE) {
                Poll::Ready(Ok(0)) => return self.died(End::Closed),
                Poll::Ready(Ok(_)) => {
                    self.ledger.response_began();
                    if let (Some(_), Some(deadline)) = (self.whole_at, &self.deadline) {
                        deadline.reset(self.upstream.config.timeout.idle);
                    }
                }
                Poll::Ready(Err(error)) => return self.died(End::Reset(error)),
                Poll::Pending => break,
            }
        }
        if !self.is_writing_rest() && self.client.poll_left(cx).is_ready() {
            return left();
        }
        self.sample();
        match self.deadline.as_ref().map(|deadline| deadline.poll(cx)) {
            Some(Poll::Ready(())) => {
                let limit = self.upstream.config.timeout.response;
                Poll::Ready(Err(Failure::Fatal(Error::NoAnswer(limit))))
            }
            _ => Poll::Pending,
        }
    }

    fn died(&self, end: End) -> Poll<Result<(), Failure>> {
        Poll::Ready(Err(Failure::Died(end)))
    }

    /// While the rest of the body is read from the client, reading it tells when the client leaves.
    fn is_writing_rest(&self) -> bool {
        self.is_writing && !self.rest_ended
    }

    /// A whole head was received: the answer, or an interim one after which we go on (`None`).
    fn take_head(&mut self) -> Option<Result<(), Failure>> {
        let connection = self.connection.as_mut()?;
        match connection.head.status {
            101 if !Self::was_asked_for(self.request, connection) => {
                Some(Err(Failure::Fatal(Error::Unasked)))
            }
            // The client's own `Expect` was answered by us, so a 100 says nothing to it.
            100 => {
                connection.skip_head();
                None
            }
            102..=199 => {
                interim::write(&mut self.interim, &connection.head, connection.received.filled());
                connection.skip_head();
                None
            }
            _ => {
                if !self.ledger.is_whole() {
                    // The application answered before the end of the body: nothing else can use the connection.
                    connection.head.keep_alive = false;
                } else if let BodyLength::Length(length) = connection.head.body
                    && length <= SHORT
                {
                    // Taken whole, it is passed on in one write; and as long as nothing of it was, it may be asked
                    // for again if it breaks off.
                    self.whole_at = Some(connection.head.len + length as usize);
                    return None;
                }
                Some(Ok(()))
            }
        }
    }

    /// Whether a 101 names a protocol that the client offered (RFC 9110 7.8).
    fn was_asked_for(request: &Outgoing<'_>, connection: &Connection) -> bool {
        let chosen = connection.head.upgrade.map(|span| span.of(connection.received.filled()));
        let (Some(offered), Some(chosen)) = (request.upgrade, chosen) else { return false };
        offered.split(|&byte| byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(chosen))
    }

    /// Writes what can be written now. An error only ends the writing: an answer may be there all the same.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        loop {
            let Some(connection) = self.connection.as_mut() else { return Ok(()) };
            let written = self.ledger.written();
            let from_rest = written >= self.request.bytes.len();
            let bytes = if from_rest {
                if self.rest_written == self.rest.len() {
                    if self.rest_ended {
                        self.is_writing = false;
                        self.ledger.sent_whole();
                        self.began = Some(Instant::now());
                        return Ok(());
                    }
                    self.rest.clear();
                    self.rest_written = 0;
                    match self.read_rest(cx)? {
                        Poll::Ready(()) => continue,
                        Poll::Pending => return Ok(()),
                    }
                }
                self.rest.get(self.rest_written..).unwrap_or_default()
            } else {
                self.request.bytes.get(written..).unwrap_or_default()
            };
            // The first write goes past the event loop, which has not heard yet that a new socket is writable.
            let outcome = if written == 0 {
                match connection.stream.write_now(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        connection.poll_write(cx, bytes)
                    }
                    outcome => Poll::Ready(outcome),
                }
            } else {
                connection.poll_write(cx, bytes)
            };
            match outcome {
                Poll::Ready(Ok(count)) if from_rest => {
                    self.rest_written += count;
                    self.ledger.wrote_rest();
                    if let Some(deadline) = &self.deadline {
                        deadline.reset(self.upstream.config.timeout.response);
                    }
                }
                Poll::Ready(Ok(count)) => self.ledger.wrote(count),
                Poll::Ready(Err(_)) => {
                    self.is_writing = false;
                    return Ok(());
                }
                Poll::Pending => return Ok(()),
            }
        }
    }

    /// More of the body from the client, framed as the head says.
    fn read_rest(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Failure> {
        let mut body = Vec::new();
        loop {
            match self.client.poll_body(cx, &mut body) {
                Poll::Ready(Ok(0)) => {
                    self.rest_ended = true;
                    break;
                }
                Poll::Ready(Ok(_)) if body.len() >= REST_SIZE => break,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Err(Failure::Fatal(Error::Client(error))),
                Poll::Pending if body.is_empty() => return Ok(Poll::Pending),
                Poll::Pending => break,
            }
        }
        match self.request.rest {
            Rest::Chunked => {
                if !body.is_empty() {
                    vestibule_http1::chunk_head(&mut self.rest, body.len());
                    self.rest.extend_from_slice(&body);
                    self.rest.extend_from_slice(b"\r\n");
                }
                if self.rest_ended {
                    self.rest.extend_from_slice(b"0\r\n\r\n");
                }
            }
            Rest::Plain | Rest::Nothing => self.rest = body,
        }
        Ok(Poll::Ready(()))
    }

    /// When the upstream's capacity is being sampled: has the application read this request?
    fn sample(&mut self) {
        if !self.deadline.as_ref().is_some_and(Deadline::take_sample_due) {
            return;
        }
        if let (Some(began), Some(connection)) = (self.began, &self.connection) {
            self.upstream.samples.saw(began.elapsed(), connection.stream.unread_by_peer());
        }
    }
}

fn left<T>() -> Poll<Result<T, Failure>> {
    Poll::Ready(Err(Failure::Fatal(Error::Client(ClientError::Left))))
}
