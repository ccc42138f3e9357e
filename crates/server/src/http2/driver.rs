//! The task of a connection: reads its frames, starts its streams, writes what they answer.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use vestibule_http2::{Connection, ConnectionError, ErrorCode, Event, Kind, StreamId};
use vestibule_upstream::Deadline;

use super::link::{Link, State};
use super::slot::Slot;
use super::{refusal, stream};
use crate::client_stream::ClientStream;
use crate::outflow::WriteError;
use crate::pace::Pace;
use crate::parking::{self, LAST_WAIT_NEW};
use crate::sink::Sink;

/// Room offered to one read: a frame of the size that clients mostly send, and some.
const READ: usize = 16 * 1024;
/// The same once a client has filled that.
const LONG_READ: usize = 64 * 1024 - Connection::LONGEST_FRAME;
/// Reads of one connection before others have a turn.
const READS: usize = 8;

/// How the socket is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// At once: the client is gone, or takes nothing.
    Abort,
    /// So that the client reads what was written last.
    Linger,
}

/// What a connection comes to when it has nothing to do for now.
#[derive(Debug)]
enum Turn {
    Park,
    End(Ending),
}

/// How far a connection has said that it takes no more requests (RFC 9113 6.8).
#[derive(Debug)]
enum Farewell {
    None,
    /// Announced, and a moment is waited for what is on its way.
    Announced(Deadline),
    Said,
}

/// For what the connection's time limit runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    /// For nothing: each stream has its own.
    Streams,
    /// For the next request.
    Idle,
    /// For the rest of what has begun to come in.
    Rest,
}

struct Driver<'a> {
    link: &'a Rc<Link>,
    socket: &'a mut ClientStream,
    deadline: &'a Deadline,
    limit: Limit,
    requests: u32,
    farewell: Farewell,
    /// Whether the client knows of the farewell.
    has_heard: bool,
    /// Whether nothing is read any more: what was said last is to be written, and that is all.
    is_over: bool,
    room: usize,
    pace: Pace,
    /// Whether something of what was written may still wait on our side of the kernel.
    is_unsent: bool,
}

/// Serves the connection until it ends.
pub(super) async fn drive(link: &Rc<Link>, socket: &mut ClientStream) -> Ending {
    let house = link.house();
    let seat = house.idle.seat();
    let deadline = Deadline::after(house.limits().request_timeout);
    let mut driver = Driver {
        link,
        socket,
        deadline: &deadline,
        limit: Limit::Idle,
        requests: 0,
        farewell: Farewell::None,
        has_heard: false,
        is_over: false,
        room: READ,
        pace: Pace::new(&house.limits()),
        is_unsent: false,
    };
    driver.take_in();
    loop {
        let turn = poll_fn(|cx| driver.poll(cx)).await;
        house.put_received(std::mem::take(&mut link.state().received));
        match turn {
            Turn::Park => link.state().shrink(),
            Turn::End(ending) => return ending,
        }
        let is_readable = parking::wait(house, driver.socket, &seat, &deadline, Duration::ZERO).await;
        seat.leave();
        if house.is_draining() {
            // It has been told that there is no time; what it says last takes a moment.
            deadline.reset(house.limits().idle_timeout);
        } else if !is_readable {
            // Somebody else needs the place, or nothing came for too long.
            let is_called = !deadline.is_due();
            driver.break_off();
            if is_called {
                let _ = poll_fn(|cx| Poll::Ready(driver.write(cx))).await;
                return Ending::Abort;
            }
        }
        link.state().received = house.take_received();
        driver.room = READ;
    }
}

impl Driver<'_> {
    /// Reads and writes until there is nothing to do.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        self.link.state().wait_for_streams(cx);
        for _ in 0..READS {
            let Ok(has_read) = self.read(cx) else { return Poll::Ready(Turn::End(Ending::Abort)) };
            self.say_farewell(cx);
            match self.write(cx) {
                Ok(()) => {}
                Err(WriteError::Left) => return Poll::Ready(Turn::End(Ending::Abort)),
                Err(WriteError::Slow) => {
                    tracing::debug!(peer = %self.link.door().peer.address, "an HTTP/2 client takes nothing of its answers");
                    // Else the kernel would keep what was written for as long as the client likes.
                    self.socket.reset_on_close();
                    return Poll::Ready(Turn::End(Ending::Abort));
                }
            }
            if let Some(turn) = self.turn() {
                return Poll::Ready(turn);
            }
            if !has_read {
                if self.deadline.poll(cx).is_ready() && !self.is_over {
                    self.break_off();
                    continue;
                }
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once; whether anything came. It fails when the client is gone.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, ()> {
        if self.is_over {
            return Ok(false);
        }
        let read = self.link.state().received.poll_fill(self.socket, cx, self.room);
        match read {
            Poll::Ready(Ok(0) | Err(_)) => Err(()),
            Poll::Ready(Ok(count)) => {
                if count >= self.room {
                    self.room = LONG_READ;
                }
                self.take_in();
                Ok(true)
            }
            Poll::Pending => Ok(false),
        }
    }

    /// Takes what it can use of what was received.
    fn take_in(&mut self) {
        let now = Instant::now();
        let link = self.link;
        let mut state = link.state();
        let mut received = std::mem::take(&mut state.received);
        let failed = loop {
            match state.connection.receive(received.filled(), now) {
                Ok((used, event)) => {
                    let is_all = event.is_none();
                    if let Some(event) = event {
                        self.hear(&mut state, event, received.filled());
                    }
                    received.consume(used);
                    if is_all {
                        break None;
                    }
                }
                Err(error) => {
                    received.clear();
                    break Some(error);
                }
            }
        };
        state.received = received;
        drop(state);
        if let Some(error) = failed {
            self.fail(error);
        }
    }

    fn hear(&mut self, state: &mut State, event: Event, received: &[u8]) {
        match event {
            Event::Request { stream, end, kind } => self.start(state, stream, end, kind),
            Event::Refused { why } => refusal::log(self.link.house(), self.link.door(), 400, why),
            Event::Data { stream, bytes, end } => {
                if let Some(slot) = state.slots.get(stream) {
                    slot.body.push(received.get(bytes).unwrap_or_default());
                    slot.has_ended |= end;
                    slot.wake();
                }
            }
            Event::End { stream } => {
                if let Some(slot) = state.slots.get(stream) {
                    slot.has_ended = true;
                    slot.wake();
                }
            }
            Event::Reset { stream, code } => {
                if let Some(slot) = state.slots.get(stream) {
                    slot.reset = Some(code);
                    slot.wake();
                }
            }
            Event::Opened(stream) => state.opened(stream),
            Event::Ping => self.has_heard = true,
            Event::GoAway => {}
        }
    }

    /// Gives a request a task of its own.
    fn start(&mut self, state: &mut State, stream: StreamId, end: bool, kind: Kind) {
        self.requests = self.requests.saturating_add(1);
        let mut ground = self.link.house().take_ground();
        ground.scratch.head_bytes.clear();
        ground.scratch.head_bytes.extend_from_slice(state.connection.head());
        state.open(Slot::new(stream, std::mem::take(&mut ground.received), end));
        tokio::task::spawn_local(stream::answer(Rc::clone(self.link), stream, kind, ground));
    }

    /// The client broke the rules of the connection.
    fn fail(&mut self, error: ConnectionError) {
        self.is_over = true;
        refusal::log(self.link.house(), self.link.door(), 400, &error.to_string());
        self.link.leave();
    }

    /// Ends a connection without streams: what the client has sent meanwhile it may send again elsewhere.
    fn break_off(&mut self) {
        self.link.state().connection.go_away(ErrorCode::NO_ERROR, false);
        self.is_over = true;
    }

    /// Says that no more requests are taken, when that is so: first that this is coming, then, when the client knows, which
    /// was the last.
    fn say_farewell(&mut self, cx: &mut Context<'_>) {
        let house = self.link.house();
        if self.is_over {
            return;
        }
        match &self.farewell {
            Farewell::None => {
                if house.is_draining() || self.requests >= house.limits().requests_per_connection {
                    self.link.state().connection.go_away(ErrorCode::NO_ERROR, true);
                    let patience = Deadline::after(LAST_WAIT_NEW);
                    let _ = patience.poll(cx);
                    self.farewell = Farewell::Announced(patience);
                }
            }
            Farewell::Announced(patience) => {
                if self.has_heard || patience.poll(cx).is_ready() {
                    self.link.state().connection.go_away(ErrorCode::NO_ERROR, true);
                    self.farewell = Farewell::Said;
                }
            }
            Farewell::Said => {}
        }
    }

    /// Writes what there is, of all streams at once.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), WriteError> {
        let mut state = self.link.state();
        while !state.connection.out().is_empty() {
            let out = state.connection.out();
            match self.socket.poll_send(cx, out) {
                Poll::Ready(Ok(count)) => {
                    out.drain(..count);
                    state.carried += count as u64;
                    self.pace.wrote(count);
                    self.is_unsent = true;
                    state.give_turns();
                }
                Poll::Ready(Err(_)) => return Err(WriteError::Left),
                Poll::Pending if self.pace.poll(self.socket, cx).is_ready() => return Err(WriteError::Slow),
                Poll::Pending => return Ok(()),
            }
        }
        if self.is_unsent {
            match self.socket.poll_sent(cx) {
                Poll::Ready(Ok(())) => self.is_unsent = false,
                Poll::Ready(Err(_)) => return Err(WriteError::Left),
                Poll::Pending if self.pace.poll(self.socket, cx).is_ready() => return Err(WriteError::Slow),
                Poll::Pending => return Ok(()),
            }
        }
        self.pace.caught_up();
        Ok(())
    }

    /// Whether there is nothing to do for now, or ever; sets the time limit for what is waited for.
    fn turn(&mut self) -> Option<Turn> {
        let mut state = self.link.state();
        let is_written = state.connection.out().is_empty() && !self.is_unsent;
        if is_written && (self.is_over || state.connection.has_ended()) {
            return Some(Turn::End(Ending::Linger));
        }
        let limits = self.link.house().limits();
        let limit = if state.connection.streams() > 0 {
            Limit::Streams
        } else if state.received.is_empty() && state.connection.is_idle() {
            Limit::Idle
        } else {
            Limit::Rest
        };
        if limit != self.limit {
            let time = match (limit, self.limit) {
                (Limit::Streams, _) => Some(Duration::MAX),
                (Limit::Idle, Limit::Streams) => Some(limits.idle_timeout),
                (Limit::Rest, _) => Some(limits.request_timeout),
                // A PING that is whole is no request.
                (Limit::Idle, _) => None,
            };
            if let Some(time) = time {
                self.deadline.reset(time);
            }
            self.limit = limit;
        }
        let may_park = limit == Limit::Idle && is_written && matches!(self.farewell, Farewell::None);
        (may_park && !self.link.house().is_draining()).then_some(Turn::Park)
    }
}
