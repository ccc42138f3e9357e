//! Header blocks: requests and trailers (RFC 9113 4.3, 5.1, 6.2, 6.10, 8.1).

use super::{Connection, Event, Kind, Leaving, StreamId};
use crate::error::{ConnectionError, ErrorCode};
use crate::frame::{self, FrameHead, flag};
use crate::head::Trailers;
use crate::hpack::Outcome;
use crate::stream::{Answer, Over, Stream};
use crate::streams::Place;
use crate::window::{ReceiveWindow, SendWindow};

/// Most CONTINUATION frames of one header block. One of them holds 16 KiB, which is more than most clients ever need; some
/// put each field in one of its own.
const CONTINUATIONS: u8 = 64;
/// How many times [`super::Limits::head`] a header block may be long, as it comes: an honest one is shorter than its fields,
/// and beyond the limit it is read only so that the client hears why (431).
const LONGEST_BLOCK: usize = 2;

/// A header block that goes on in CONTINUATION frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) stream: StreamId,
    end: bool,
    depends_on_itself: bool,
    continuations: u8,
}

impl Connection {
    pub(super) fn take_headers(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Option<Event>, ConnectionError> {
        let mut fragment = Self::without_padding(head, payload)?;
        let mut depends_on_itself = false;
        if head.has(flag::PRIORITY) {
            depends_on_itself = Self::dependency(fragment) == head.stream;
            fragment =
                fragment.get(5..).ok_or(ConnectionError::FrameSize("HEADERS ends within its priority"))?;
        }
        match self.streams.place(head.stream) {
            Place::Idle if head.stream.is_multiple_of(2) => {
                return Err(ConnectionError::Protocol("a client's stream has an even number"));
            }
            Place::Skipped => {
                return Err(ConnectionError::Protocol("a stream has a lower number than one before it"));
            }
            Place::Ended => {
                return Err(ConnectionError::StreamClosed("HEADERS is for a stream that has ended"));
            }
            Place::Idle | Place::Open(_) | Place::Reset => {}
        }
        let end = head.has(flag::END_STREAM);
        let block = Block { stream: head.stream, end, depends_on_itself, continuations: 0 };
        if head.has(flag::END_HEADERS) {
            return self.take_block(block, fragment);
        }
        self.check_length(fragment.len())?;
        self.fragments.extend_from_slice(fragment);
        self.block = Some(block);
        Ok(None)
    }

    pub(super) fn take_continuation(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Option<Event>, ConnectionError> {
        let Some(mut block) = self.block.take() else { return Ok(None) }; // checked with the frame's head
        block.continuations += 1;
        if block.continuations > CONTINUATIONS {
            return Err(ConnectionError::Flood("a header block has too many CONTINUATION frames"));
        }
        if payload.is_empty() {
            self.flood.control(1, "too many CONTINUATION frames are empty")?;
        }
        self.check_length(self.fragments.len() + payload.len())?;
        self.fragments.extend_from_slice(payload);
        if !head.has(flag::END_HEADERS) {
            self.block = Some(block);
            return Ok(None);
        }
        let mut fragments = std::mem::take(&mut self.fragments);
        let event = self.take_block(block, &fragments)?;
        fragments.clear();
        self.fragments = fragments;
        Ok(event)
    }

    fn check_length(&self, length: usize) -> Result<(), ConnectionError> {
        if length > self.limits.head.saturating_mul(LONGEST_BLOCK) {
            return Err(ConnectionError::Flood("a header block is far longer than a head may be"));
        }
        Ok(())
    }

    /// Takes a whole header block. Whatever comes of it, it is decoded: the next one depends on it.
    fn take_block(&mut self, block: Block, bytes: &[u8]) -> Result<Option<Event>, ConnectionError> {
        match self.streams.place(block.stream) {
            Place::Idle => self.take_request(block, bytes),
            _ => self.take_trailers(block, bytes),
        }
    }

    fn take_request(&mut self, block: Block, bytes: &[u8]) -> Result<Option<Event>, ConnectionError> {
        let id = block.stream;
        let Self { decoder, head, limits, .. } = self;
        let head = head.get_or_insert_default();
        head.begin(limits.fields);
        let outcome = decoder
            .decode(bytes, limits.head, |name, value| head.field(name, value))
            .map_err(ConnectionError::Compression)?;
        let outline = head.finish(block.end, outcome == Outcome::Whole);
        self.streams.use_up(id);
        if matches!(self.leaving, Leaving::After(last) if id > last) {
            // It has been told, or will be: not a word about it (RFC 9113 6.8).
            self.streams.remember_reset(id);
            self.flood.control(1, "too many streams after GOAWAY")?;
            return Ok(None);
        }
        let outline = match outline {
            _ if block.depends_on_itself => Err("a stream depends on itself"),
            outline => outline,
        };
        let outline = match outline {
            Ok(outline) => outline,
            Err(fault) => return self.refuse(block, ErrorCode::PROTOCOL_ERROR, fault),
        };
        if self.streams.len() >= self.limits.streams as usize {
            return self.refuse(block, ErrorCode::REFUSED_STREAM, "there are too many streams at a time");
        }
        self.streams.add(Stream {
            id,
            send: SendWindow::new(self.peer.initial_window),
            receive: ReceiveWindow::new(self.limits.body_window),
            held: 0,
            body_left: outline.length,
            request_ended: block.end,
            answer: Answer::Head,
            over: None,
            waits: false,
            is_tunnel: outline.kind == Kind::Tunnel,
        });
        Ok(Some(Event::Request { stream: id, end: block.end, kind: outline.kind }))
    }

    /// Resets a stream that never came to be one.
    fn refuse(
        &mut self,
        block: Block,
        code: ErrorCode,
        fault: &'static str,
    ) -> Result<Option<Event>, ConnectionError> {
        self.owe(|out| frame::write_reset(out, block.stream, code));
        if !block.end {
            self.streams.remember_reset(block.stream);
        }
        self.flood.reset()?;
        Ok(Some(Event::Refused { why: fault }))
    }

    fn take_trailers(&mut self, block: Block, bytes: &[u8]) -> Result<Option<Event>, ConnectionError> {
        let id = block.stream;
        let mut trailers = Trailers::default();
        self.decoder
            .decode(bytes, self.limits.head, |name, value| trailers.field(name, value))
            .map_err(ConnectionError::Compression)?;
        let Some(stream) = self.streams.get(id) else {
            return self.flood.control(1, "too many frames for streams that were reset").map(|()| None);
        };
        let fault = match stream.over {
            Some(Over::Us) => {
                return self.flood.control(1, "too many frames for streams that were reset").map(|()| None);
            }
            Some(Over::Client) => {
                return Err(ConnectionError::StreamClosed("HEADERS is for a stream that the client reset"));
            }
            None if stream.request_ended => {
                return self.stream_error(
                    id,
                    ErrorCode::STREAM_CLOSED,
                    "HEADERS comes after the end of a request",
                );
            }
            None if block.depends_on_itself => Err("a stream depends on itself"),
            None if !block.end => Err("trailers do not end the request"),
            None if stream.is_tunnel => Err("a tunnel has trailers"),
            None if stream.body_left.is_some_and(|left| left > 0) => {
                Err("a body is shorter than its content-length")
            }
            None => trailers.finish(),
        };
        if let Err(fault) = fault {
            return self.stream_error(id, ErrorCode::PROTOCOL_ERROR, fault);
        }
        stream.request_ended = true;
        Ok(Some(Event::End { stream: id }))
    }

    /// Resets a stream on which the client broke a rule (RFC 9113 5.4.2). It pays for that as if it had reset it itself.
    pub(super) fn stream_error(
        &mut self,
        id: StreamId,
        code: ErrorCode,
        fault: &'static str,
    ) -> Result<Option<Event>, ConnectionError> {
        self.fault = Some((id, fault));
        self.owe(|out| frame::write_reset(out, id, code));
        self.flood.reset()?;
        let Some(stream) = self.streams.get(id) else { return Ok(None) };
        if stream.over.replace(Over::Us).is_some() {
            return Ok(None);
        }
        Ok(Some(Event::Reset { stream: id, code }))
    }
}
