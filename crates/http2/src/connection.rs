//! One connection: bytes and the time in, events out, frames to be written in a Vec.
//!
//! What comes in is in `receive.rs` (frames), `headers.rs` (header blocks), `body.rs` (DATA) and `control.rs` (the frames about
//! streams and windows); what goes out is in `answer.rs`.
//!
//! Beside what the design names there are: [`Connection::shrink`], [`Connection::memory`]; [`Connection::take_fault`], what a
//! client did wrong on a stream, in words for a log; [`Event::Ping`], which says that the client has answered the PING that the
//! first, gentle [`Connection::go_away`] sends with its GOAWAY, so that a round trip has gone by and the second may follow.
//! `None` from [`Connection::receive`] always means that it needs more.

use std::ops::Range;
use std::time::Instant;

use crate::error::{ConnectionError, ErrorCode};
use crate::flood::Flood;
use crate::frame;
use crate::head::Head;
use crate::hpack;
use crate::settings::{self, PeerSettings};
use crate::stream::{Answer, Over};
use crate::streams::Streams;
use crate::window::{INITIAL, ReceiveWindow, SendWindow};

mod answer;
mod body;
mod control;
mod headers;
mod receive;

use headers::Block;
use receive::Reading;

#[cfg(test)]
mod tests;

/// The table that our decoder has, as it is at first (RFC 9113 6.5.2).
const TABLE: u32 = 4096;
/// Most bytes of frames that we owe the client (acknowledgements, resets, window updates) and that it does not read.
const MOST_OWED: usize = 64 << 10;
/// What the PING says that goes with the first, gentle GOAWAY.
const GOODBYE: [u8; 8] = *b"goodbye.";

/// The number of a stream (RFC 9113 5.1.1): odd, as clients open them.
pub type StreamId = u32;

/// What one connection may take. Sizes are in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Streams at a time: SETTINGS_MAX_CONCURRENT_STREAMS. One more is refused (REFUSED_STREAM).
    pub streams: u32,
    /// The fields of a head, counted as SETTINGS_MAX_HEADER_LIST_SIZE counts them (RFC 9113 6.5.2). The head in HTTP/1 form
    /// is never longer.
    pub head: usize,
    /// The number of fields in a head.
    pub fields: usize,
    /// How much of a body a stream may send ahead of [`Connection::release`]; at least 65,535.
    pub body_window: u32,
    /// The same for all streams together; at least 65,535.
    pub connection_window: u32,
}

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request; its head is in [`Connection::head`] until the next [`Connection::receive`]. The stream is the caller's
    /// until it calls [`Connection::close`], whatever else happens.
    Request {
        /// Its stream.
        stream: StreamId,
        /// Whether that was all: no body follows.
        end: bool,
        /// What kind of request.
        kind: Kind,
    },
    /// What was to be a request and is none, as it is malformed or one too many: its stream has been reset, and is not the
    /// caller's. For the log alone.
    Refused {
        /// Why, in words.
        why: &'static str,
    },
    /// Bytes of a body. They count against the windows until they are released.
    Data {
        /// Its stream.
        stream: StreamId,
        /// Where they stand in the input that was handed to [`Connection::receive`]; never empty.
        bytes: Range<usize>,
        /// Whether the body ends with them.
        end: bool,
    },
    /// The body ends, after what [`Event::Data`] brought: by an empty frame, or by trailers, which are checked and dropped.
    End {
        /// Its stream.
        stream: StreamId,
    },
    /// The stream is over, and its request is not to be ended as if it were whole: the client reset it, or broke a rule on it
    /// (then it has been sent this code). Nothing can be sent on it. [`Connection::close`] is still to be called.
    Reset {
        /// Its stream.
        stream: StreamId,
        /// The client's code, or that of the rule it broke.
        code: ErrorCode,
    },
    /// A window has opened on which this stream waits; without a stream: any of those that wait may look again.
    Opened(Option<StreamId>),
    /// The client has answered the PING of the gentle [`Connection::go_away`]: it knows, so that the second may follow.
    Ping,
    /// The client is about to leave: it opens no more streams. Those that are open go on.
    GoAway,
}

/// What kind of request a head is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any but the following.
    Usual,
    /// Extended CONNECT (RFC 8441), mostly a WebSocket. The head is that of an HTTP/1.1 Upgrade; what would be 101 there is
    /// 200 here, and the bytes both ways are DATA.
    Tunnel,
    /// CONNECT (RFC 9113 8.5). The head is `CONNECT AUTHORITY HTTP/1.1`, which no origin serves: 405 or 501.
    Connect,
    /// The head is larger than [`Limits::head`], or has more fields than [`Limits::fields`]. It was read, not kept
    /// ([`Connection::head`] is empty): 431.
    TooLarge,
}

/// The stream can be sent nothing more: it was reset, by either side, or has ended. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream is gone")]
pub struct Gone;

/// One connection with a client, on the server's side.
pub struct Connection {
    limits: Limits,
    reading: Reading,
    /// A header block of which the end has not come.
    block: Option<Block>,
    /// The part of it that has.
    fragments: Vec<u8>,
    decoder: hpack::Decoder,
    /// Only while requests come: it is large for a connection that waits.
    head: Option<Box<Head>>,
    peer: PeerSettings,
    /// What the client may send, and what it lets us send, on all streams together.
    receive: ReceiveWindow,
    send: SendWindow,
    streams: Streams,
    flood: Flood,
    out: Vec<u8>,
    /// How many bytes in `out` are at most of frames that we owe.
    owed: usize,
    leaving: Leaving,
    /// Whether the client has said that it leaves.
    peer_leaves: bool,
    fault: Option<(StreamId, &'static str)>,
    failed: Option<ConnectionError>,
}

/// How far we have come in leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    No,
    Announced,
    /// Streams above this one are ignored.
    After(StreamId),
}

impl Connection {
    /// What a caller's buffer has to hold for [`Connection::receive`] to come to an end: the longest frame that is taken, with
    /// its head.
    pub const LONGEST_FRAME: usize = frame::HEAD + frame::LONGEST as usize;

    /// A connection of which nothing has come yet, not even the client's preface. Our SETTINGS stand in [`Connection::out`].
    pub fn new(mut limits: Limits, now: Instant) -> Self {
        // Until the client has read our settings its windows are the initial ones.
        limits.body_window = limits.body_window.clamp(INITIAL, frame::LOW_31);
        limits.connection_window = limits.connection_window.clamp(INITIAL, frame::LOW_31);
        let mut out = Vec::with_capacity(64);
        settings::write_own(&mut out, limits.streams, limits.body_window, limits.head);
        if limits.connection_window > INITIAL {
            frame::write_window_update(&mut out, 0, limits.connection_window - INITIAL);
        }
        Self {
            reading: Reading::Preface,
            block: None,
            fragments: Vec::new(),
            decoder: hpack::Decoder::new(TABLE),
            head: None,
            peer: PeerSettings::default(),
            receive: ReceiveWindow::new(limits.connection_window),
            send: SendWindow::new(INITIAL),
            streams: Streams::default(),
            flood: Flood::new(limits.streams, now),
            owed: out.len(),
            out,
            leaving: Leaving::No,
            peer_leaves: false,
            fault: None,
            failed: None,
            limits,
        }
    }

    /// Takes what it can use from the front of `input`, which begins where what the call before used up ended, and is stopped
    /// by the first event.
    ///
    /// Gives how many bytes are used up, and the event. Without an event everything is taken that can be: call again when
    /// there is more behind what is left. Less than [`Connection::LONGEST_FRAME`] bytes are ever left. Of DATA nothing is
    /// left: it is handed on as it comes.
    ///
    /// # Errors
    /// The client broke the connection's rules, or floods it. A GOAWAY that says so stands in [`Connection::out`]; write that,
    /// and close. Every further call gives the same error, and sending on a stream gives [`Gone`].
    pub fn receive(&mut self, input: &[u8], now: Instant) -> Result<(usize, Option<Event>), ConnectionError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.flood.refill(now);
        self.owed = self.owed.min(self.out.len());
        let taken = self.take(input);
        if let Err(error) = taken {
            let last = self.last_served();
            frame::write_go_away(&mut self.out, last, error.code(), &error.to_string());
            self.failed = Some(error);
        }
        taken
    }

    /// The head of the request that the last [`Connection::receive`] gave, in HTTP/1 form:
    /// `METHOD PATH HTTP/1.1`, `host`, then the fields in their order, in lower case, cookies joined into one, and an empty
    /// line. When a body follows whose length is not given, `transfer-encoding: chunked` says so, though no chunks come.
    pub fn head(&self) -> &[u8] {
        self.head.as_ref().map_or(&[], |head| head.lines())
    }

    /// The frames that are to be written. The caller takes away from the front what it has written.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Ends a stream before its time, in both directions; does nothing to one that is over. [`Connection::close`] is still to
    /// be called.
    pub fn reset(&mut self, stream: StreamId, code: ErrorCode) {
        if let Some(found) = self.streams.get(stream)
            && found.over.is_none()
            && !(found.request_ended && found.answer == Answer::Ended)
        {
            found.over = Some(Over::Us);
            self.owe(|out| frame::write_reset(out, stream, code));
        }
    }

    /// Says that so many bytes of a body, which [`Event::Data`] brought, are used: the client may send as many again. The
    /// windows are opened when enough came together.
    pub fn release(&mut self, stream: StreamId, bytes: usize) {
        let Some(found) = self.streams.get(stream) else { return };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(found.held);
        found.held -= bytes;
        if found.over.is_none()
            && !found.request_ended
            && let Some(increment) = found.receive.release(bytes, self.limits.body_window)
        {
            self.owe(|out| frame::write_window_update(out, stream, increment));
        }
        self.release_of_all(bytes);
    }

    /// Says that the caller is done with a stream: it counts no longer, and what was not released of it is.
    ///
    /// If the answer has not ended it is reset with INTERNAL_ERROR; if the request has not, with NO_ERROR, which asks the
    /// client to stop sending (RFC 9113 8.1).
    pub fn close(&mut self, stream: StreamId) {
        let Some(found) = self.streams.get(stream) else { return };
        let ended = found.answer == Answer::Ended;
        self.reset(stream, if ended { ErrorCode::NO_ERROR } else { ErrorCode::INTERNAL_ERROR });
        let Some(closed) = self.streams.remove(stream) else { return };
        if closed.over == Some(Over::Us) && !closed.request_ended {
            self.streams.remember_reset(stream);
        }
        self.release_of_all(closed.held);
    }

    /// Says that this connection takes no more requests. `gently` (RFC 9113 6.8): the first call only announces it, and sends a
    /// PING beside; new streams are still taken. A second call, when [`Event::Ping`] came or after a while, and every call that
    /// is not gentle, names the last stream that is served; later ones are ignored.
    pub fn go_away(&mut self, code: ErrorCode, gently: bool) {
        if self.failed.is_some() {
            return;
        }
        match self.leaving {
            Leaving::No if gently => {
                frame::write_go_away(&mut self.out, frame::LOW_31, code, "");
                frame::write_ping(&mut self.out, false, GOODBYE);
                self.leaving = Leaving::Announced;
            }
            Leaving::After(_) if gently || code == ErrorCode::NO_ERROR => {}
            _ => {
                let last = self.last_served();
                frame::write_go_away(&mut self.out, last, code, "");
                self.leaving = Leaving::After(last);
            }
        }
    }

    /// Whether nothing is open or half read or to be written, so that the connection could wait for long: see
    /// [`Connection::shrink`]. What the caller still has of its input is for the caller to know.
    pub fn is_idle(&self) -> bool {
        self.streams() == 0
            && self.out.is_empty()
            && self.block.is_none()
            && matches!(self.reading, Reading::Frame)
    }

    /// Gives back all memory that a connection without streams needs not; what it takes afterwards is had again as needed.
    /// What stays is the table of the client's header compression, which is the client's to fill, up to 4 KiB.
    pub fn shrink(&mut self) {
        self.head = None;
        self.streams.shrink();
        self.out.shrink_to_fit();
        if self.block.is_none() {
            self.fragments = Vec::new();
        }
    }

    /// The memory that it takes now, in bytes, itself included.
    pub fn memory(&self) -> usize {
        size_of::<Self>()
            + self.head.as_ref().map_or(0, |head| size_of::<Head>() + head.memory())
            + self.streams.memory()
            + self.out.capacity()
            + self.fragments.capacity()
            + self.decoder.memory()
    }

    /// The streams that are not closed yet.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Whether nothing will come of this connection any more, so that it can be closed once [`Connection::out`] is written: it
    /// failed, or either side said that it goes away, for good, and no stream is left.
    pub fn has_ended(&self) -> bool {
        let leaves = self.peer_leaves || matches!(self.leaving, Leaving::After(_));
        self.failed.is_some() || (leaves && self.streams() == 0)
    }

    /// What the client did wrong on a stream when that was reset last for it ([`Event::Reset`]), in words for a log. Given
    /// once.
    pub fn take_fault(&mut self) -> Option<(StreamId, &'static str)> {
        self.fault.take()
    }

    /// The number that our GOAWAY gives.
    fn last_served(&self) -> StreamId {
        match self.leaving {
            Leaving::After(last) => last,
            Leaving::No | Leaving::Announced => self.streams.highest,
        }
    }

    /// Appends a frame that we owe the client, and counts it. Nothing follows the GOAWAY of a connection that failed.
    fn owe(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.failed.is_some() {
            return;
        }
        let before = self.out.len();
        write(&mut self.out);
        self.owed += self.out.len() - before;
    }

    /// Opens the window of all streams by bytes that were used.
    fn release_of_all(&mut self, bytes: u32) {
        if let Some(increment) = self.receive.release(bytes, self.limits.connection_window) {
            self.owe(|out| frame::write_window_update(out, 0, increment));
        }
    }
}
