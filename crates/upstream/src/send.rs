//! Sending one request to its upstream: permit or hold, connection, attempt, and the decision to replay.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use vestibule_config::Timeouts;
use vestibule_http1::Method;

use crate::answer::Answer;
use crate::attempt::{Attempt, Failure};
use crate::client::{Client, ClientError};
use crate::connect::ConnectError;
use crate::connection::Connection;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::gate::{Permit, Refused, Ticket};
use crate::ledger::Ledger;
use crate::member::Member;
use crate::offer::Offer;
use crate::spool::{Spool, Store};
use crate::upstream::Upstream;

/// Longest pause between two attempts of one request.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// One request as it goes to the application.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The method, which decides what may be replayed.
    pub method: Method,
    /// The head in its one canonical form, and the body if it is in memory.
    pub bytes: &'a mut Vec<u8>,
    /// How many of `bytes` are the head.
    pub head_len: usize,
    /// The part of the body that is not in memory.
    pub rest: Rest,
    /// What the client would change the protocol to, so that the application may answer 101.
    pub upgrade: Option<Offer<'a>>,
    /// Whether the application's server may refuse to parse it. It then goes over a new connection: Puma answers there
    /// with 400, while on one that had an answer within the last 200 ms it swallows its own error (5.6.5,
    /// `Client#reset` rescues `IOError`, which its parser's error is), and is silent until it closes after 20 s.
    pub is_unusual: bool,
    /// Where the body goes if the line takes no more memory.
    pub store: &'a Arc<Store>,
    /// What decides which of several members gets it, where the upstream hashes; 0 is nothing.
    pub key: u64,
    /// Its time limits: the upstream's, but for those that its route has itself.
    pub timeout: Timeouts,
}

/// The part of a body that is not in memory.
#[derive(Debug)]
pub enum Rest {
    /// None: the body is whole.
    Nothing,
    /// It is on disk, whole; the head says how long it is.
    Spooled(Spool),
    /// It comes from the client as it is; the head says how long it is.
    Plain,
    /// It comes from the client, and goes in chunks.
    Chunked,
}

impl Outgoing<'_> {
    /// Takes the body out of memory. `false` when there is none there.
    async fn move_body_to_disk(&mut self) -> Result<bool, Error> {
        let body = self.bytes.get(self.head_len..).unwrap_or_default();
        if body.is_empty() || !matches!(self.rest, Rest::Nothing) {
            return Ok(false);
        }
        let mut spool = Spool::new(self.store);
        spool.write(body.to_vec()).await.map_err(|(error, _)| Error::Spool(error))?;
        self.bytes.truncate(self.head_len);
        self.bytes.shrink_to_fit();
        self.rest = Rest::Spooled(spool);
        Ok(true)
    }
}

/// What happened to one request on its way, for the access log.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// Attempts that sent at least a byte.
    pub attempts: u32,
    /// Time in the line.
    pub held: Duration,
    /// From the request's arrival to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// The generation that answered, of the upstream or its member.
    pub generation: u64,
    /// The address of the member that was sent to last, where there are several.
    pub member: Option<Arc<str>>,
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
        request: &mut Outgoing<'_>,
        client: &mut dyn Client,
        trace: &mut Trace,
    ) -> Result<Answer, Error> {
        let mut patience = Patience::new(self.config.hold.timeout, ticket);
        let mut returning = false;
        // Whom the attempt before died at.
        let mut avoids = None;
        let mut repeated = false;
        let mut needs_fresh = request.is_unusual;
        loop {
            let at_once = if returning { None } else { self.try_enter(request.key) };
            let (member, mut permit) = match at_once {
                Some(entered) => entered,
                None => {
                    let line = Place { returning, avoids };
                    let permit = self.enter_in_turn(request, line, &mut patience, client, trace).await?;
                    match self.member_of(&permit) {
                        Some(member) => (member, permit),
                        // It has left the upstream since.
                        None => {
                            returning = true;
                            continue;
                        }
                    }
                }
            };
            let connect = request.timeout.connect;
            let (connection, reused) = match member.connection(worker, needs_fresh, &permit, connect).await {
                Ok(connection) => connection,
                Err(error) => {
                    member.on_connect_error(error)?;
                    permit.give_up();
                    returning = true;
                    continue;
                }
            };
            permit.connected();
            let mut ledger = Ledger::new(request, member.is_unix());
            trace.generation = connection.generation;
            trace.member.clone_from(&member.label);
            let reading = member.reading();
            let mut attempt = Attempt::new(&member, connection, request, &mut ledger, client);
            let outcome = std::future::poll_fn(|cx| attempt.poll(cx)).await;
            let (connection, deadline) = (attempt.connection.take(), attempt.deadline.take());
            let late = if outcome.is_ok() { attempt.take_upload() } else { None };
            if ledger.has_sent() {
                trace.attempts += 1;
            }
            match (outcome, connection, deadline) {
                (Ok(()), Some(connection), Some(deadline)) => {
                    trace.first_byte = Some(ticket.arrived.elapsed());
                    member.answered(worker);
                    let timed = (deadline, request.timeout.idle);
                    return Ok(Answer::new(member, worker, connection, permit, timed, late));
                }
                (Err(Failure::Died(end)), _, _) => {
                    member.signals.check();
                    // A kept connection that ends is in the order of things.
                    if !reused {
                        member.failed();
                    }
                    // Another kind of server may have taken the socket since: what it does says nothing of this one.
                    let reading = reading.and(member.reading());
                    if !ledger.may_replay(&end, reading, &mut repeated) {
                        return Err(Error::Died(end.into_error()));
                    }
                    drop(permit);
                    returning = true;
                    avoids = Some(member.gate.id());
                    // Of the connections kept, more may have died the same way.
                    needs_fresh = true;
                    if !reused {
                        patience.pause(client).await?;
                    }
                }
                (Err(Failure::Fatal(error)), _, _) => {
                    if error.is_of_the_member() {
                        member.failed();
                    }
                    return Err(error);
                }
                (Ok(()), ..) => return Err(Error::Died(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }

    /// Waits in the line, for as long as a request may and its client stays.
    async fn enter_in_turn(
        self: &Arc<Self>,
        request: &mut Outgoing<'_>,
        place: Place,
        patience: &mut Patience,
        client: &mut dyn Client,
        trace: &mut Trace,
    ) -> Result<Permit, Error> {
        let since = patience.begin();
        if self.is_closed() {
            self.count_hold();
        }
        let Place { returning, avoids } = place;
        let line = self.line();
        let wait = |bytes: &Vec<u8>| line.wait(patience.ticket, bytes.len() as u64, returning, avoids);
        let mut waiting = match wait(request.bytes) {
            Err(Refused::Memory) if request.move_body_to_disk().await? => wait(request.bytes),
            outcome => outcome,
        }
        .map_err(Error::NotHeld)?;
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
}

/// Where in the line a request is to stand.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// It stood there before.
    returning: bool,
    /// The gate that another is better than.
    avoids: Option<u32>,
}

impl Member {
    /// A connection to send on, and whether it has carried a request before.
    async fn connection(
        self: &Arc<Self>,
        worker: usize,
        needs_fresh: bool,
        permit: &Permit,
        within: Duration,
    ) -> Result<(Box<Connection>, bool), ConnectError> {
        let generation = self.generation();
        let is_full = || self.pool.connections() >= self.gate.cap();
        if needs_fresh {
            // One more than it has threads would wait for a thread that waits on an idle one.
            if is_full() {
                drop(self.pool.take(worker, generation).or_else(|| self.pool.steal(worker, generation)));
            }
        } else {
            if let Some(connection) = self.pool.take(worker, generation) {
                return Ok((connection, true));
            }
            if is_full()
                && let Some(connection) = self.pool.steal(worker, generation)
            {
                return Ok((connection, true));
            }
        }
        if !permit.may_connect() {
            return Err(ConnectError::Busy);
        }
        let counted = self.pool.count();
        let stream = self.target.connect(within).await?;
        Ok((Connection::new(stream, generation, counted), false))
    }

    fn on_connect_error(self: &Arc<Self>, error: ConnectError) -> Result<(), Error> {
        match error {
            ConnectError::Away(why, error) => {
                tracing::debug!(upstream = self.config.name, member = self.label.as_deref(), why = why.as_str(), %error, "cannot connect");
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
    fn new(limit: Duration, ticket: Ticket) -> Self {
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
