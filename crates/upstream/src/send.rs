//! Sending one request to its upstream: permit or hold, connection, attempt, and the decision to replay.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use vestibule_http1::Method;

use crate::answer::Answer;
use crate::client::{Client, ClientError};
use crate::connect::ConnectError;
use crate::connection::{Connection, READ_SIZE};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::gate::{Permit, Ticket};
use crate::interim;
use crate::ledger::{End, Ledger};
use crate::upstream::Upstream;

/// Longest pause between two attempts of one request.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// One request as it goes to the application.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The method, which decides what may be replayed.
    pub method: Method,
    /// The head in its one canonical form, and as much of the body as was read.
    pub bytes: &'a [u8],
    /// How many of `bytes` are the head.
    pub head_len: usize,
    /// How the rest of the body, still with the client, is sent.
    pub rest: Rest,
    /// The protocols that the client would change to, so that the application may answer 101 with one of them.
    pub upgrade: Option<&'a [u8]>,
}

/// The part of a body that was not read before sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// None: the body is whole.
    Nothing,
    /// It follows as it is; the head says how long it is.
    Plain,
    /// It follows in chunks.
    Chunked,
}

/// What happened to one request on its way, for the access log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trace {
    /// Attempts that sent at least a byte.
    pub attempts: u32,
    /// Time in the line.
    pub held: Duration,
    /// From the request's arrival to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// The upstream's generation that answered.
    pub generation: u64,
}

impl Upstream {
    /// Sends `request` and resolves to the head of its answer. `ticket` is the request's place in every line that it
    /// may have to wait in; `worker` the number of this thread.
    ///
    /// # Errors
    /// [`Error`] when there is no answer to give; the request then ran at most once.
    pub async fn send(
        self: &Arc<Self>,
        worker: usize,
        ticket: Ticket,
        request: &Outgoing<'_>,
        client: &mut dyn Client,
        trace: &mut Trace,
    ) -> Result<Answer, Error> {
        let mut patience = Patience::new(self, ticket);
        let mut returning = false;
        let mut repeated = false;
        let mut needs_fresh = false;
        loop {
            let permit = match self.gate.try_enter() {
                Some(permit) if !returning => permit,
                early => {
                    drop(early);
                    self.enter_in_turn(request, returning, &mut patience, client, trace).await?
                }
            };
            let (connection, reused) = match self.connection(worker, needs_fresh).await {
                Ok(connection) => connection,
                Err(error) => {
                    self.on_connect_error(error)?;
                    permit.give_up();
                    returning = true;
                    continue;
                }
            };
            let mut ledger = Ledger::new(request, self.is_unix());
            trace.generation = connection.generation;
            let mut attempt = Attempt::new(self, connection, request, &mut ledger, client);
            let outcome = std::future::poll_fn(|cx| attempt.poll(cx)).await;
            let (connection, deadline) = (attempt.connection.take(), attempt.deadline.take());
            if ledger.has_sent() {
                trace.attempts += 1;
            }
            match (outcome, connection, deadline) {
                (Ok(()), Some(connection), Some(deadline)) => {
                    trace.first_byte = Some(ticket.arrived.elapsed());
                    self.signals.answered(worker);
                    return Ok(Answer::new(Arc::clone(self), worker, connection, permit, deadline));
                }
                (Err(Failure::Died(end)), _, _) => {
                    self.signals.check();
                    if !ledger.may_replay(&end, self.reads_whole_bodies(), &mut repeated) {
                        return Err(Error::Died(end.into_error()));
                    }
                    drop(permit);
                    returning = true;
                    // Of the connections kept, more may have died the same way.
                    needs_fresh = true;
                    if !reused {
                        patience.pause(client).await?;
                    }
                }
                (Err(Failure::Fatal(error)), _, _) => return Err(error),
                (Ok(()), ..) => return Err(Error::Died(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }

    /// Waits in the line, for as long as a request may and its client stays.
    async fn enter_in_turn(
        self: &Arc<Self>,
        request: &Outgoing<'_>,
        returning: bool,
        patience: &mut Patience,
        client: &mut dyn Client,
        trace: &mut Trace,
    ) -> Result<Permit, Error> {
        let since = patience.begin();
        if self.gate.is_closed() {
            self.signals.hold();
        }
        let mut waiting =
            self.gate.wait(patience.ticket, request.bytes.len() as u64, returning).map_err(Error::NotHeld)?;
        let outcome = std::future::poll_fn(|cx| {
            if let Poll::Ready(entered) = Pin::new(&mut waiting).poll(cx) {
                return Poll::Ready(entered.map_err(Error::NotHeld));
            }
            patience.poll(cx, client).map(Err)
        })
        .await;
        trace.held += patience.end(since);
        outcome
    }

    /// A connection to send on, and whether it has carried a request before.
    async fn connection(
        self: &Arc<Self>,
        worker: usize,
        needs_fresh: bool,
    ) -> Result<(Box<Connection>, bool), ConnectError> {
        let generation = self.generation();
        if !needs_fresh && let Some(connection) = self.pool.take(worker, generation) {
            return Ok((connection, true));
        }
        if !needs_fresh
            && self.pool.connections() >= self.gate.cap()
            && let Some(connection) = self.pool.steal(worker, generation)
        {
            return Ok((connection, true));
        }
        let counted = self.pool.count();
        let stream = self.target.connect(self.config.timeout.connect).await?;
        Ok((Connection::new(stream, generation, counted), false))
    }

    fn on_connect_error(self: &Arc<Self>, error: ConnectError) -> Result<(), Error> {
        match error {
            ConnectError::Away(why, error) => {
                tracing::debug!(upstream = self.config.name, why = why.as_str(), %error, "cannot connect");
                // Closed at once, so that nobody else tries in vain; the monitor, told, decides what it means.
                self.gate.set_closed(true);
                self.signals.away();
                Ok(())
            }
            ConnectError::Busy => {
                self.gate.set_busy(true);
                self.signals.busy();
                Ok(())
            }
            ConnectError::Ours(error) => Err(Error::Connect(error)),
        }
    }
}

/// How long a request may still wait, in all its waits together.
struct Patience {
    ticket: Ticket,
    limit: Duration,
    /// What is left of it: only waiting uses it up, not the time in flight between two waits.
    left: Duration,
    deadline: Option<Deadline>,
    pause: Duration,
}

impl Patience {
    fn new(upstream: &Upstream, ticket: Ticket) -> Self {
        let limit = upstream.config.hold.timeout;
        Patience { ticket, limit, left: limit, deadline: None, pause: Duration::ZERO }
    }

    /// A wait begins.
    fn begin(&mut self) -> Instant {
        self.deadline = Some(Deadline::after(self.left));
        Instant::now()
    }

    /// The wait that began at `since` is over; how long it was.
    fn end(&mut self, since: Instant) -> Duration {
        let waited = since.elapsed();
        self.left = self.left.saturating_sub(waited);
        self.deadline = None;
        waited
    }

    /// Ready with the reason when the wait is over.
    fn poll(&mut self, cx: &mut Context<'_>, client: &mut dyn Client) -> Poll<Error> {
        if client.poll_left(cx).is_ready() {
            return Poll::Ready(Error::Client(ClientError::Left));
        }
        match &self.deadline {
            Some(deadline) => deadline.poll(cx).map(|()| Error::HeldTooLong(self.limit)),
            None => Poll::Pending,
        }
    }

    /// Waits before a further attempt: not before the first, then ever longer.
    async fn pause(&mut self, client: &mut dyn Client) -> Result<(), Error> {
        let pause = self.pause;
        self.pause = (pause * 2).clamp(Duration::from_millis(10), LONGEST_PAUSE);
        if pause.is_zero() {
            return Ok(());
        }
        let since = self.begin();
        let mut sleep = std::pin::pin!(tokio::time::sleep(pause));
        let outcome = std::future::poll_fn(|cx| match sleep.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => self.poll(cx, client).map(Err),
        })
        .await;
        self.end(since);
        outcome
    }
}

/// Why an attempt brought no answer.
enum Failure {
    /// The connection died; the ledger says whether the request may go again.
    Died(End),
    /// No further attempt would help, or may be made.
    Fatal(Error),
}

/// One request on one connection, up to the head of its answer.
struct Attempt<'a, 'r> {
    upstream: &'a Arc<Upstream>,
    connection: Option<Box<Connection>>,
    request: &'a Outgoing<'r>,
    ledger: &'a mut Ledger,
    client: &'a mut dyn Client,
    /// The rest of the body, as read from the client and not yet written.
    rest: Vec<u8>,
    rest_written: usize,
    rest_ended: bool,
    is_writing: bool,
    /// An interim answer on its way to the client, and how much of it is written.
    interim: Vec<u8>,
    interim_written: usize,
    deadline: Option<Deadline>,
    began: Option<Instant>,
}

/// How much of a long body is under way at once.
const REST_SIZE: usize = 64 * 1024;

impl<'a, 'r> Attempt<'a, 'r> {
    fn new(
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
            interim: Vec::new(),
            interim_written: 0,
            deadline: Some(deadline),
            began: None,
            upstream,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
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
            if !connection.received.is_empty() {
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
                Poll::Ready(Ok(_)) => self.ledger.response_began(),
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
            101 if !Self::was_asked_for(self.request, connection) => Some(Err(Failure::Fatal(Error::Unasked))),
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
