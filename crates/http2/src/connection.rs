//! One connection: bytes and the time in, events out, frames to be written in a Vec.
//!
//! Beside what the design names there are: [`Connection::shrink`]; [`Event::Ping`] says that the client has answered the PING
//! that the first, gentle [`Connection::go_away`] sends with its GOAWAY, so that a round trip has gone by and the second may
//! follow; [`Limits`] are fixed for a connection's life. `None` from [`Connection::receive`] always means that it needs more.

use std::ops::Range;
use std::time::Instant;

use crate::error::{ConnectionError, ErrorCode};
use crate::field_block::FieldBlock;

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
    out: Vec<u8>,
    head: Vec<u8>,
}

impl Connection {
    /// What a caller's buffer has to hold for [`Connection::receive`] to come to an end: the longest frame that is taken, with
    /// its head.
    pub const LONGEST_FRAME: usize = 9 + 16_384;

    /// A connection of which nothing has come yet, not even the client's preface. Our SETTINGS stand in [`Connection::out`].
    pub fn new(limits: Limits, now: Instant) -> Self {
        let _ = now;
        Self { limits, out: Vec::new(), head: Vec::new() }
    }

    /// Takes what it can use from the front of `input`, which begins where what the call before used up ended, and is stopped
    /// by the first event.
    ///
    /// Gives how many bytes are used up, and the event. Without an event everything is taken that can be: call again when
    /// there is more behind what is left. At most [`Connection::LONGEST_FRAME`] bytes are ever left. Of DATA nothing is left:
    /// it is handed on as it comes.
    ///
    /// # Errors
    /// The client broke the connection's rules, or floods it. A GOAWAY that says so stands in [`Connection::out`]; write that,
    /// and close. Every further call gives the same error, and sending on a stream gives [`Gone`].
    pub fn receive(&mut self, input: &[u8], now: Instant) -> Result<(usize, Option<Event>), ConnectionError> {
        let _ = (input, now);
        Ok((0, None))
    }

    /// The head of the request that the last [`Connection::receive`] gave, in HTTP/1 form:
    /// `METHOD PATH HTTP/1.1`, `host`, then the fields in their order, in lower case, cookies joined into one, and an empty
    /// line. When a body follows whose length is not given, `transfer-encoding: chunked` says so, though no chunks come.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The frames that are to be written. The caller takes away from the front what it has written.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Sends the head of an answer: an interim one (status 100 to 199, but never 101), any number of times, then the final
    /// one. `end` is for a final one alone: nothing follows it.
    ///
    /// # Errors
    /// The stream is gone, or has had its final head.
    pub fn send_head(
        &mut self,
        stream: StreamId,
        status: u16,
        fields: impl FnOnce(&mut FieldBlock<'_>),
        end: bool,
    ) -> Result<(), Gone> {
        let _ = (stream, status, fields, end);
        Err(Gone)
    }

    /// Sends as much of `bytes` as one frame and both windows take, and `end` with the last of them. Gives how much: 0 of some
    /// bytes, when a window is shut; then [`Event::Opened`] comes when it is worth while to try again. No bytes and `end` need
    /// no window.
    ///
    /// # Errors
    /// The stream is gone, has ended, or has had no final head.
    pub fn send_data(&mut self, stream: StreamId, bytes: &[u8], end: bool) -> Result<usize, Gone> {
        let _ = (stream, bytes, end);
        Err(Gone)
    }

    /// Sends trailers, and with them ends the answer.
    ///
    /// # Errors
    /// The stream is gone, has ended, or has had no final head.
    pub fn send_trailers(
        &mut self,
        stream: StreamId,
        fields: impl FnOnce(&mut FieldBlock<'_>),
    ) -> Result<(), Gone> {
        let _ = (stream, fields);
        Err(Gone)
    }

    /// Ends a stream before its time, in both directions; does nothing to one that is over. [`Connection::close`] is still to
    /// be called.
    pub fn reset(&mut self, stream: StreamId, code: ErrorCode) {
        let _ = (stream, code);
    }

    /// Says that so many bytes of a body, which [`Event::Data`] brought, are used: the client may send as many again. The
    /// windows are opened when enough came together.
    pub fn release(&mut self, stream: StreamId, bytes: usize) {
        let _ = (stream, bytes);
    }

    /// Says that the caller is done with a stream: it counts no longer, and what was not released of it is.
    ///
    /// If the answer has not ended it is reset with INTERNAL_ERROR; if the request has not, with NO_ERROR, which asks the
    /// client to stop sending (RFC 9113 8.1).
    pub fn close(&mut self, stream: StreamId) {
        let _ = stream;
    }

    /// Says that this connection takes no more requests. `gently` (RFC 9113 6.8): the first call only announces it, and sends a
    /// PING beside; new streams are still taken. A second call, when [`Event::Ping`] came or after a while, and every call that
    /// is not gentle, names the last stream that is served; later ones are ignored.
    pub fn go_away(&mut self, code: ErrorCode, gently: bool) {
        let _ = (code, gently);
    }

    /// Whether nothing is open or half read or to be written, so that the connection could wait for long: see
    /// [`Connection::shrink`]. What the caller still has of its input is for the caller to know.
    pub fn is_idle(&self) -> bool {
        self.out.is_empty()
    }

    /// Gives back all memory that a connection without streams needs not; what it takes afterwards is had again as needed.
    pub fn shrink(&mut self) {}

    /// The streams that are not closed yet.
    pub fn streams(&self) -> usize {
        self.limits.streams as usize
    }

    /// Whether nothing will come of this connection any more, so that it can be closed once [`Connection::out`] is written: it
    /// failed, or either side said that it goes away, for good, and no stream is left.
    pub fn has_ended(&self) -> bool {
        false
    }
}
