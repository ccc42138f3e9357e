//! One client connection over HTTP/1.
//!
//! Between two requests a connection is parked: a socket, a time limit and a task of a few hundred bytes. Everything a
//! request needs comes with its first byte, out of the worker's store, and goes back there.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use tokio::io::AsyncWrite;
use vestibule_http1::{BodyLength, CHUNK_END, HeadLimits, LAST_CHUNK, Method, Version, chunk_head};
use vestibule_proxy::{
    CLIENT_LEFT, Entry, Outcome, Own, Peer, Record, Request, Response, bad_head, slow_head, stack,
};
use vestibule_upstream::{Answer, Client, Deadline, Stream};

use crate::head::{self, Asked, BodyFraming};
use crate::house::{Counted, Ground, House};
use crate::inbound::{Inbound, READ_SIZE};
use crate::tunnel;

/// Answer bytes are written to the client when this much has come together, or when no more is there.
const FLUSH: usize = 64 * 1024;
/// Bounds on the lingering close (RFC 9112 9.6): it lets a client that still sends read our last answer.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

/// In a drain a parked connection is still listened to for this long: a request may be on its way.
const LAST_WAIT: Duration = Duration::from_millis(100);
/// The same for a connection that has not had a request yet.
const LAST_WAIT_NEW: Duration = Duration::from_secs(1);

/// What becomes of a connection after its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Nothing more was received: wait.
    Park,
    /// Nothing was received at all: wait on.
    Wait,
    /// Close it.
    Close,
    /// Close our side, and read for a moment what the client still sends, so that it reads our answer.
    Linger,
}

/// Serves a client until its connection ends.
pub(crate) async fn serve(house: Rc<House>, mut stream: Stream, peer: Peer, _counted: Counted) {
    let deadline = Deadline::after(house.limits().request_timeout);
    let mut next = Next::Park;
    let mut last_wait = LAST_WAIT_NEW;
    while matches!(next, Next::Park | Next::Wait) {
        let mut is_last = false;
        let is_readable = poll_fn(|cx| {
            if stream.poll_readable(cx).is_ready() {
                return Poll::Ready(true);
            }
            if house.is_draining() && !std::mem::replace(&mut is_last, true) {
                deadline.reset(last_wait);
            }
            deadline.poll(cx).map(|()| false)
        })
        .await;
        if !is_readable {
            return;
        }
        // Boxed, so that a parked connection does not carry the size of a busy one.
        next = Box::pin(requests(&house, &mut stream, &peer, &deadline)).await;
        if next == Next::Park {
            deadline.reset(house.limits().idle_timeout);
            last_wait = LAST_WAIT;
        }
    }
    if next == Next::Linger {
        linger(&mut stream).await;
    }
}

/// Serves the requests that come one after the other without a pause.
async fn requests(house: &Rc<House>, stream: &mut Stream, peer: &Peer, deadline: &Deadline) -> Next {
    let mut ground = house.take_ground();
    let next = loop {
        match request(house, stream, peer, deadline, &mut ground).await {
            Next::Park if !ground.received.is_empty() => {}
            next => break next,
        }
    };
    house.put_ground(ground);
    next
}

/// Reads one request and answers it.
async fn request(
    house: &Rc<House>,
    stream: &mut Stream,
    peer: &Peer,
    deadline: &Deadline,
    ground: &mut Ground,
) -> Next {
    let Ground { received, scratch } = ground;
    match read_head(house, stream, deadline, received, scratch).await {
        Ok(Head::Whole) => {}
        Ok(Head::Nothing) => return Next::Wait,
        Ok(Head::Gone) => return Next::Close,
        Err(own) => return refuse(house, stream, peer, deadline, scratch, &own).await,
    }
    let _active = house.count_request();
    let (arrived, arrived_at) = (Instant::now(), SystemTime::now());
    // The head leaves the receive buffer, where the body, or the next request, takes its place.
    scratch.head_bytes.clear();
    scratch.head_bytes.extend_from_slice(received.filled().get(..scratch.head.len).unwrap_or_default());
    received.consume(scratch.head.len);
    let (request_head, bytes) = (std::mem::take(&mut scratch.head), std::mem::take(&mut scratch.head_bytes));
    let request = Request {
        head: &request_head,
        bytes: &bytes,
        peer,
        is_tls: false,
        arrived,
        arrived_at,
        serial: house.worker.next_serial(),
    };
    let mut inbound = Inbound::new(stream, received, deadline, &request_head, house.limits());
    let (response, record) = stack(&house.worker, &request, scratch, &mut inbound).await;
    let mut exchange = Exchange { house, request: &request, record: &record, deadline, sent: 0, status: 0 };
    let next = exchange.respond(response, inbound, &mut scratch.answer).await;
    scratch.head = request_head;
    scratch.head_bytes = bytes;
    next
}

/// What was read of a request's head.
enum Head {
    Whole,
    /// Nothing: the event loop takes a new socket for readable until it knows better.
    Nothing,
    /// The client went.
    Gone,
}

/// Reads until the head of a request is whole.
async fn read_head(
    house: &House,
    stream: &mut Stream,
    deadline: &Deadline,
    received: &mut vestibule_upstream::Buffer,
    scratch: &mut vestibule_proxy::Scratch,
) -> Result<Head, Own> {
    let limits = house.limits();
    let limits = HeadLimits { bytes: limits.head as usize, fields: limits.fields as usize };
    let mut scanned = 0;
    let mut has_begun = false;
    poll_fn(|cx| {
        loop {
            if !received.is_empty() {
                if !std::mem::replace(&mut has_begun, true) {
                    deadline.reset(house.limits().request_timeout);
                }
                match scratch.head.parse(received.filled(), &mut scanned, &limits) {
                    Ok(true) => return Poll::Ready(Ok(Head::Whole)),
                    Ok(false) => {}
                    Err(error) => return Poll::Ready(Err(bad_head(&error))),
                }
            }
            match received.poll_fill(stream, cx, READ_SIZE) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ok(Head::Gone)),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending if !has_begun => return Poll::Ready(Ok(Head::Nothing)),
                Poll::Pending => return deadline.poll(cx).map(|()| Err(slow_head())),
            }
        }
    })
    .await
}

/// Answers what is not a request.
async fn refuse(
    house: &House,
    stream: &mut Stream,
    peer: &Peer,
    deadline: &Deadline,
    scratch: &mut vestibule_proxy::Scratch,
    own: &Own,
) -> Next {
    let asked = Asked { version: Version::Http11, method: Method::Other };
    scratch.answer.clear();
    head::write_own(&mut scratch.answer, own, asked, false, &house.worker);
    let _ = write_all(stream, &mut scratch.answer, deadline, house.limits().send_timeout).await;
    // What cannot be read has no method and no path; who sent it, when and why it was refused is all there is to log.
    let head = vestibule_http1::RequestHead::default();
    let (arrived, arrived_at, serial) = (Instant::now(), SystemTime::now(), 0);
    let request = Request { head: &head, bytes: b"", peer, is_tls: false, arrived, arrived_at, serial };
    let record = Record::of_refused(&request);
    let (status, sent) = (own.status, own.body.len() as u64);
    Exchange { house, request: &request, record: &record, deadline, sent, status }
        .log(Outcome::Refused, &own.why);
    Next::Linger
}

/// Why an answer could not be written.
enum WriteError {
    Left,
    Slow,
}

/// Writes `bytes` and empties it.
async fn write_all(
    stream: &mut Stream,
    bytes: &mut Vec<u8>,
    deadline: &Deadline,
    limit: Duration,
) -> Result<(), WriteError> {
    let mut written = 0;
    deadline.reset(limit);
    let outcome = poll_fn(|cx| poll_write_all(stream, bytes, &mut written, (deadline, limit), cx)).await;
    bytes.clear();
    outcome
}

fn poll_write_all(
    stream: &mut Stream,
    bytes: &[u8],
    written: &mut usize,
    (deadline, limit): (&Deadline, Duration),
    cx: &mut Context<'_>,
) -> Poll<Result<(), WriteError>> {
    while *written < bytes.len() {
        let rest = bytes.get(*written..).unwrap_or_default();
        match Pin::new(&mut *stream).poll_write(cx, rest) {
            Poll::Ready(Ok(count)) => {
                *written += count;
                deadline.reset(limit);
            }
            Poll::Ready(Err(_)) => return Poll::Ready(Err(WriteError::Left)),
            Poll::Pending => return deadline.poll(cx).map(|()| Err(WriteError::Slow)),
        }
    }
    Poll::Ready(Ok(()))
}

/// A request and what becomes of it, up to its line in the access log.
struct Exchange<'a> {
    house: &'a House,
    request: &'a Request<'a>,
    record: &'a Record,
    deadline: &'a Deadline,
    status: u16,
    sent: u64,
}

impl Exchange<'_> {
    async fn respond(&mut self, response: Response, mut inbound: Inbound<'_>, out: &mut Vec<u8>) -> Next {
        out.clear();
        match response {
            Response::Own(own) => self.respond_own(&own, inbound, out).await,
            Response::Upstream(answer) => {
                let may_keep = self.request.head.keep_alive && !self.house.is_draining() && inbound.is_read();
                self.respond_upstream(answer, inbound, out, may_keep).await
            }
        }
    }

    fn asked(&self) -> Asked {
        Asked { version: self.request.head.version, method: self.request.head.method_kind }
    }

    async fn respond_own(&mut self, own: &Own, mut inbound: Inbound<'_>, out: &mut Vec<u8>) -> Next {
        self.status = own.status;
        if own.status == CLIENT_LEFT {
            self.log(Outcome::ClientLeft, &own.why);
            return Next::Close;
        }
        let is_read = inbound.is_read();
        let keep = self.request.head.keep_alive && !own.close && is_read && !self.house.is_draining();
        head::write_own(out, own, self.asked(), keep, &self.house.worker);
        self.sent = if self.request.head.method_kind == Method::Head { 0 } else { own.body.len() as u64 };
        match write_all(inbound.stream, out, self.deadline, self.house.limits().send_timeout).await {
            Ok(()) => {
                self.log(Outcome::Answered, &own.why);
                match (keep, is_read) {
                    (true, _) => Next::Park,
                    (false, true) => Next::Close,
                    (false, false) => Next::Linger,
                }
            }
            Err(error) => self.fail(&error),
        }
    }

    async fn respond_upstream(
        &mut self,
        mut answer: Answer,
        mut inbound: Inbound<'_>,
        out: &mut Vec<u8>,
        may_keep: bool,
    ) -> Next {
        let Some((head, bytes)) = answer.head() else { return Next::Close };
        let asked = self.asked();
        let framing = BodyFraming::of(head.body, asked);
        let keep = may_keep && framing != BodyFraming::UntilClose;
        let is_small = matches!(head.body, BodyLength::Length(length) if length <= FLUSH as u64);
        self.status = head.status;
        head::write(out, (head, bytes), asked, keep, &self.house.worker);
        if head.status == 101 {
            return self.tunnel(answer, inbound, out).await;
        }
        loop {
            let step =
                poll_fn(|cx| self.poll_step(cx, &mut answer, &mut inbound, out, framing, is_small)).await;
            let outcome = match step {
                Step::Left => Err(WriteError::Left),
                Step::Flush | Step::End => {
                    write_all(inbound.stream, out, self.deadline, self.house.limits().send_timeout).await
                }
                Step::Broken(error) => {
                    // What came is passed on; that the end is missing shows by the missing end.
                    let _ =
                        write_all(inbound.stream, out, self.deadline, self.house.limits().send_timeout).await;
                    if framing == BodyFraming::UntilClose {
                        // An orderly end would make what came look whole (RFC 9112 8).
                        inbound.stream.reset_on_close();
                    }
                    self.log(Outcome::Broken, &error.to_string());
                    return Next::Close;
                }
            };
            match outcome {
                Ok(()) if matches!(step, Step::End) => {
                    self.log(Outcome::Answered, "");
                    return if keep {
                        Next::Park
                    } else if inbound.is_read() {
                        Next::Close
                    } else {
                        Next::Linger
                    };
                }
                Ok(()) => {}
                Err(error) => return self.fail(&error),
            }
        }
    }

    /// Collects what there is of the answer's body in `out`, framed for the client, until it should be written.
    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        answer: &mut Answer,
        inbound: &mut Inbound<'_>,
        out: &mut Vec<u8>,
        framing: BodyFraming,
        is_small: bool,
    ) -> Poll<Step> {
        loop {
            match answer.poll_data(cx) {
                Poll::Ready(Ok(true)) => {
                    let data = answer.data();
                    self.sent += data.len() as u64;
                    if framing == BodyFraming::Chunked {
                        chunk_head(out, data.len());
                        out.extend_from_slice(data);
                        out.extend_from_slice(CHUNK_END);
                    } else {
                        out.extend_from_slice(data);
                    }
                    if out.len() >= FLUSH {
                        return Poll::Ready(Step::Flush);
                    }
                }
                Poll::Ready(Ok(false)) => {
                    if framing == BodyFraming::Chunked {
                        out.extend_from_slice(LAST_CHUNK);
                    }
                    return Poll::Ready(Step::End);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Step::Broken(error)),
                // A small answer of known length follows at once and is written as one.
                Poll::Pending if !out.is_empty() && !is_small => return Poll::Ready(Step::Flush),
                Poll::Pending => {
                    ready!(inbound.poll_left(cx));
                    return Poll::Ready(Step::Left);
                }
            }
        }
    }

    async fn tunnel(&mut self, answer: Answer, inbound: Inbound<'_>, out: &mut Vec<u8>) -> Next {
        let Some((mut upstream, early)) = answer.into_tunnel() else { return Next::Close };
        out.extend_from_slice(early.filled());
        let Inbound { stream, buffer, .. } = inbound;
        let _tunnel = self.house.count_tunnel();
        let outcome = match write_all(stream, out, self.deadline, self.house.limits().send_timeout).await {
            Ok(()) => tunnel::run(stream, buffer, &mut upstream).await,
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        };
        match outcome {
            Ok(sent) => {
                self.sent = sent + early.len() as u64;
                self.log(Outcome::Tunnel, "");
            }
            Err(error) => self.log(Outcome::Tunnel, &error.to_string()),
        }
        Next::Close
    }

    fn fail(&mut self, error: &WriteError) -> Next {
        match error {
            WriteError::Left => self.log(Outcome::ClientLeft, "the client left inside its answer"),
            WriteError::Slow => self.log(Outcome::ClientSlow, "the client did not take its answer"),
        }
        Next::Close
    }

    fn log(&self, outcome: Outcome, why: &str) {
        let worker = &self.house.worker;
        if !worker.access_log.is_on() {
            return;
        }
        let upstream = self.record.upstream.and_then(|index| worker.upstreams.get(index));
        worker.access_log.write(&Entry {
            request: self.request,
            record: self.record,
            status: self.status,
            bytes: self.sent,
            outcome,
            why,
            upstream: upstream.map(|upstream| upstream.config.name.as_str()),
        });
    }
}

/// What is to be done with what was collected of an answer.
#[derive(Debug)]
enum Step {
    Flush,
    End,
    Left,
    Broken(vestibule_upstream::BodyError),
}

/// Closes our side and reads for a moment: a reset, which unread bytes would cause, takes our answer away from the
/// client.
async fn linger(stream: &mut Stream) {
    if poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx)).await.is_err() {
        return;
    }
    let deadline = Deadline::after(LINGER_TIME);
    let mut waste = vestibule_upstream::Buffer::default();
    let mut total = 0;
    while total < LINGER_BYTES {
        let read = poll_fn(|cx| match waste.poll_fill(stream, cx, READ_SIZE) {
            Poll::Ready(Ok(count)) => Poll::Ready(count),
            Poll::Ready(Err(_)) => Poll::Ready(0),
            Poll::Pending => deadline.poll(cx).map(|()| 0),
        })
        .await;
        if read == 0 {
            return;
        }
        total += read;
        waste.clear();
    }
}
