//! One client connection over HTTP/1.
//!
//! Between two requests a connection is parked: a socket, a time limit and a task of a few hundred bytes. Everything a
//! request needs comes with its first byte, out of the worker's store, and goes back there.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Instant, SystemTime};

use vestibule_http1::{HeadLimits, Method, Version};
use vestibule_proxy::{
    Changed, Compression, Door, Outcome, Own, Peer, Record, Request, bad_head, bad_start, not_tls, slow_head,
    stack,
};
use vestibule_tls::Acceptor;
use vestibule_upstream::{Buffer, Deadline};

use crate::client_stream::ClientStream;
use crate::exchange::{By, Exchange};
use crate::handshake::{Handshake, Protocol, Shaken};
use crate::head::{self, Asked};
use crate::house::{Ground, House, Place};
use crate::http2;
use crate::idle::Seat;
use crate::inbound::{Inbound, READ_SIZE};
use crate::linger::{linger, linger_briefly};
use crate::listener::Manner;
use crate::outflow::write_with;
use crate::parking::{self, LAST_WAIT, LAST_WAIT_NEW};
use crate::proxy_header::ProxyHeader;
use crate::sink::Sink;

/// Requests that a client sent ahead which are answered before other connections have a turn. tokio itself would let it have
/// 128, times 61 connections before it looks for news.
const TURN: u32 = 16;

/// What becomes of a connection after its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing more was received: wait.
    Park,
    /// Nothing was received at all: wait on.
    Wait,
    /// Close it: all was said.
    Close,
    /// Close it at once: the client must not take what it got for the whole, or is gone.
    Abort,
    /// Close our side, and read for a moment what the client still sends, so that it reads our answer.
    Linger,
    /// Go on with HTTP/2, which the client speaks.
    Http2,
}

/// The other end of a connection.
#[derive(Debug)]
pub(crate) struct ClientSide {
    door: Door,
    /// Whether its PROXY protocol header is still to come.
    awaits_header: bool,
    /// By what TLS is spoken, as long as that is still to begin.
    acceptor: Option<Arc<Acceptor>>,
    /// Whether it may speak HTTP/2 without having asked.
    may_speak_http2: bool,
    /// What it sent before that was known.
    ahead: Option<Box<Buffer>>,
    /// Requests it has had.
    requests: u32,
    place: Place,
}

impl ClientSide {
    /// The one behind `door` of a listener that treats its connections in this `manner`.
    pub(crate) fn new(door: Door, manner: &Manner, place: Place) -> Self {
        let acceptor = manner.acceptor.clone();
        // Over TLS it asks (ALPN).
        let may_speak_http2 = manner.http2 && acceptor.is_none();
        let awaits_header = manner.proxy_protocol;
        ClientSide { door, awaits_header, acceptor, may_speak_http2, ahead: None, requests: 0, place }
    }

    /// What of it any protocol needs.
    pub(crate) fn into_parts(self) -> (Door, Place) {
        (self.door, self.place)
    }
}

/// Serves a client until its connection ends.
pub(crate) async fn serve(house: Rc<House>, mut stream: ClientStream, mut client: ClientSide) {
    let limits = house.limits();
    let first = if client.acceptor.is_some() { limits.handshake_timeout } else { limits.request_timeout };
    let deadline = Deadline::after(first);
    let seat = house.idle.seat();
    let mut next = Next::Park;
    let mut last_wait = LAST_WAIT_NEW;
    while matches!(next, Next::Park | Next::Wait) {
        let is_readable = parking::wait(&house, &mut stream, &seat, &deadline, last_wait).await;
        if !is_readable {
            // What a client sends from now on would make the kernel throw away what it has not taken yet.
            let has_more = house.is_draining() && stream.undelivered().is_some_and(|bytes| bytes > 0);
            next = if has_more { Next::Linger } else { Next::Close };
            break;
        }
        seat.leave();
        // Boxed, so that a parked connection does not carry the size of a busy one.
        next = Box::pin(requests(&house, &mut stream, &mut client, &deadline, &seat)).await;
        if next == Next::Park && client.acceptor.is_some() {
            // The header of a proxy came, and the time of the handshake runs on.
        } else if next == Next::Park && client.requests == 0 {
            // After the PROXY protocol header a connection is as new as one without it.
            deadline.reset(house.limits().request_timeout);
        } else if next == Next::Park {
            deadline.reset(house.limits().idle_timeout);
            last_wait = LAST_WAIT;
        }
    }
    match next {
        Next::Linger => linger(&house, &mut stream).await,
        Next::Close => stream.farewell(),
        Next::Http2 => {
            let received = client.ahead.take().map(|ahead| *ahead).unwrap_or_default();
            // A task of its own: this one is as large as HTTP/1 needs it.
            tokio::task::spawn_local(http2::serve(house, stream, client, received));
        }
        _ => {}
    }
}

/// Serves the requests that come one after the other without a pause.
async fn requests(
    house: &Rc<House>,
    stream: &mut ClientStream,
    client: &mut ClientSide,
    deadline: &Deadline,
    seat: &Seat,
) -> Next {
    let mut ground = house.take_ground();
    let mut served = 0_u32;
    let next = loop {
        let next = if client.awaits_header {
            introduction(house, stream, client, deadline, &mut ground).await
        } else if client.acceptor.is_some() {
            // Boxed: it is over soon, and its memory is not for the requests that follow.
            Box::pin(handshake(house, stream, client, (deadline, seat), &mut ground)).await
        } else {
            request(house, stream, client, deadline, &mut ground).await
        };
        match next {
            Next::Park if !ground.received.is_empty() => {
                // What we answer ourselves has nothing to wait for: others have their turn all the same.
                served += 1;
                if served.is_multiple_of(TURN) {
                    tokio::task::yield_now().await;
                }
            }
            next => break next,
        }
    };
    house.put_ground(ground);
    next
}

/// Reads the PROXY protocol header: from then on the client is the one that the proxy speaks for.
async fn introduction(
    house: &Rc<House>,
    stream: &mut ClientStream,
    client: &mut ClientSide,
    deadline: &Deadline,
    ground: &mut Ground,
) -> Next {
    let Ground { received, scratch } = ground;
    let header = match read_header(house, stream, deadline, received).await {
        Ok(header) => header,
        Err(NoHeader::Nothing) => return Next::Wait,
        Err(NoHeader::Gone) => return Next::Abort,
        Err(NoHeader::Refused(own)) if client.acceptor.is_some() => {
            // An answer in the clear is nothing to who expects TLS.
            log_refused(house, client, &own, 0);
            return Next::Abort;
        }
        Err(NoHeader::Refused(own)) => return refuse(house, stream, client, scratch, &own).await,
    };
    received.consume(header.len);
    client.awaits_header = false;
    client.door.is_tls |= header.is_tls;
    let Some(source) = header.source else { return Next::Park };
    client.door.peer = Peer::new(Some(source), &house.worker.plan().config.trusted_proxies);
    if !client.door.peer.is_trusted
        && let Err(refusal) = client.place.count_address(client.door.peer.address)
    {
        let in_the_clear = client.acceptor.is_none();
        if let Some(_refused) = house.refuse(stream, &client.door.peer, refusal, in_the_clear) {
            linger_briefly(house, stream).await;
        }
        return Next::Close;
    }
    Next::Park
}

/// Goes through the TLS handshake.
async fn handshake(
    house: &Rc<House>,
    stream: &mut ClientStream,
    client: &mut ClientSide,
    (deadline, seat): (&Deadline, &Seat),
    ground: &mut Ground,
) -> Next {
    let Some(acceptor) = client.acceptor.clone() else { return Next::Abort };
    let Ground { received, scratch } = ground;
    let address = client.door.peer.address;
    let under_way = Handshake { house, stream, acceptor: &acceptor, address, deadline, seat, received };
    match under_way.run(&mut client.door.certificate).await {
        Shaken::Done(protocol) => {
            client.acceptor = None;
            client.door.is_tls = true;
            match protocol {
                Protocol::Http1 => Next::Park,
                Protocol::Http2 => Next::Http2,
            }
        }
        Shaken::Nothing => Next::Wait,
        Shaken::Over => Next::Abort,
        Shaken::PlainHttp => refuse(house, stream, client, scratch, &not_tls()).await,
    }
}

/// Why there is no PROXY protocol header.
enum NoHeader {
    Nothing,
    /// The proxy went.
    Gone,
    Refused(Own),
}

/// Reads until the PROXY protocol header is whole. No byte of it extends the time limit.
async fn read_header(
    house: &House,
    stream: &mut ClientStream,
    deadline: &Deadline,
    received: &mut Buffer,
) -> Result<ProxyHeader, NoHeader> {
    poll_fn(|cx| {
        loop {
            match ProxyHeader::parse(received.filled()) {
                Ok(Some(header)) => return Poll::Ready(Ok(header)),
                Ok(None) => {}
                Err(error) => {
                    let own = bad_start(&house.worker.plan().config, 400, error.to_string());
                    return Poll::Ready(Err(NoHeader::Refused(own)));
                }
            }
            match received.poll_fill(stream, cx, READ_SIZE) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(NoHeader::Gone)),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending if received.is_empty() => return Poll::Ready(Err(NoHeader::Nothing)),
                Poll::Pending => {
                    let why = "the PROXY protocol header did not come in time";
                    let own = || bad_start(&house.worker.plan().config, 408, why);
                    return deadline.poll(cx).map(|()| Err(NoHeader::Refused(own())));
                }
            }
        }
    })
    .await
}

/// Reads one request and answers it.
async fn request(
    house: &Rc<House>,
    stream: &mut ClientStream,
    client: &mut ClientSide,
    deadline: &Deadline,
    ground: &mut Ground,
) -> Next {
    let Ground { received, scratch } = ground;
    match read_head(house, stream, client.may_speak_http2, deadline, received, scratch).await {
        Ok(Head::Whole) => client.may_speak_http2 = false,
        Ok(Head::Http2) => {
            client.ahead = Some(Box::new(std::mem::take(received)));
            return Next::Http2;
        }
        Ok(Head::Nothing) => return Next::Wait,
        Ok(Head::Gone) => return Next::Abort,
        Err(own) => return refuse(house, stream, client, scratch, &own).await,
    }
    let _active = house.count_request();
    let (arrived, arrived_at) = (Instant::now(), SystemTime::now());
    // The head leaves the receive buffer, where the body, or the next request, takes its place.
    scratch.head_bytes.clear();
    scratch.head_bytes.extend_from_slice(received.filled().get(..scratch.head.len).unwrap_or_default());
    received.consume(scratch.head.len);
    let (mut request_head, bytes) =
        (std::mem::take(&mut scratch.head), std::mem::take(&mut scratch.head_bytes));
    client.requests += 1;
    let is_last = client.requests >= house.limits().requests_per_connection;
    // As if the client had asked for it: then the answer says so.
    request_head.keep_alive &= !is_last;
    let request = Request {
        head: &request_head,
        bytes: &bytes,
        door: &client.door,
        arrived,
        arrived_at,
        serial: house.worker.next_serial(),
    };
    let plan = house.worker.plan();
    let mut inbound = Inbound::new(stream, received, deadline, &request_head, &plan.config.limits);
    let (response, record) = stack((&house.worker, &plan), &request, scratch, &mut inbound).await;
    let mut exchange =
        Exchange { house, by: By::Plan(plan), request: &request, record: &record, sent: 0, status: 0 };
    let next = exchange.respond(response, inbound, &mut scratch.answer).await;
    scratch.head = request_head;
    scratch.head_bytes = bytes;
    match next {
        // The client did not know, and may have sent its next request already, or does so now. To close with that unread
        // would take the end of our answer away from it.
        Next::Close if is_last || house.is_draining() || !received.is_empty() || !stream.is_quiet() => {
            Next::Linger
        }
        next => next,
    }
}

/// What was read of a request's head.
enum Head {
    Whole,
    /// Nothing: the event loop takes a new socket for readable until it knows better.
    Nothing,
    /// The client went.
    Gone,
    /// It speaks HTTP/2.
    Http2,
}

/// Reads until the head of a request is whole.
async fn read_head(
    house: &House,
    stream: &mut ClientStream,
    mut may_be_http2: bool,
    deadline: &Deadline,
    received: &mut Buffer,
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
                // Its first bytes are those of `POST` too.
                let is_http2 = if may_be_http2 { http2::is_begun_by(received.filled()) } else { Some(false) };
                if is_http2 == Some(true) {
                    return Poll::Ready(Ok(Head::Http2));
                }
                may_be_http2 = is_http2.is_none();
                if !may_be_http2 {
                    match scratch.head.parse(received.filled(), &mut scanned, &limits) {
                        Ok(true) => return Poll::Ready(Ok(Head::Whole)),
                        Ok(false) => {}
                        Err(error) => return Poll::Ready(Err(bad_head(&house.worker.plan().config, &error))),
                    }
                }
            }
            match received.poll_fill(stream, cx, READ_SIZE) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ok(Head::Gone)),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending if !has_begun => return Poll::Ready(Ok(Head::Nothing)),
                Poll::Pending => {
                    return deadline.poll(cx).map(|()| Err(slow_head(&house.worker.plan().config)));
                }
            }
        }
    })
    .await
}

/// Answers what is not a request.
async fn refuse(
    house: &House,
    stream: &mut ClientStream,
    client: &ClientSide,
    scratch: &mut vestibule_proxy::Scratch,
    own: &Own,
) -> Next {
    let hsts = client.door.hsts();
    let asked = Asked {
        version: Version::Http11,
        method: Method::Other,
        takes_trailers: false,
        hsts,
        changed: Changed::NONE,
        compression: Compression::default(),
    };
    scratch.answer.clear();
    let rest = head::write_own(&mut scratch.answer, own, asked, false, &house.worker);
    let _ = write_with(stream, &mut scratch.answer, rest, &house.limits()).await;
    log_refused(house, client, own, own.body.len() as u64);
    Next::Linger
}

/// Logs what was not a request.
fn log_refused(house: &House, client: &ClientSide, own: &Own, sent: u64) {
    // What cannot be read has no method and no path; who sent it, when and why it was refused is all there is to log.
    let head = vestibule_http1::RequestHead::default();
    let (arrived, arrived_at, serial) = (Instant::now(), SystemTime::now(), 0);
    let request = Request { head: &head, bytes: b"", door: &client.door, arrived, arrived_at, serial };
    let record = Record::of_refused(&request);
    let (status, by) = (own.status, By::Plan(house.worker.plan()));
    Exchange { house, by, request: &request, record: &record, sent, status }.log(Outcome::Refused, &own.why);
}
