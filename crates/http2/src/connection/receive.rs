//! Frames as they come: in which order, how long, for whom (RFC 9113 3.4, 4, 6).

use super::{Connection, Event, MOST_OWED, StreamId};
use crate::error::ConnectionError;
use crate::frame::{self, FrameHead, HEAD, LONGEST, flag, kind};

/// What a client begins with (RFC 9113 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is read next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading {
    /// The client's preface.
    Preface,
    /// The first frame, which has to be SETTINGS.
    FirstFrame,
    /// A frame.
    Frame,
    /// The rest of a DATA frame: of its data, then of its padding.
    Data { stream: StreamId, left: u32, padding: u32, end: bool },
    /// The rest of a frame that is of no interest.
    Skip { left: u32 },
}

impl Connection {
    /// Takes from the front of `input` up to the first event.
    pub(super) fn take(&mut self, input: &[u8]) -> Result<(usize, Option<Event>), ConnectionError> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let (used, event) = match self.reading {
                Reading::Frame | Reading::FirstFrame => match self.take_frame(rest)? {
                    // Not one more byte than what came may be needed: see `LONGEST_FRAME`.
                    (0, event) => return Ok((at, event)),
                    taken => taken,
                },
                Reading::Data { stream, left, padding, end } => {
                    if rest.is_empty() && left + padding > 0 {
                        return Ok((at, None));
                    }
                    self.take_data(rest, stream, left, padding, end)
                }
                Reading::Skip { left } => {
                    let used = rest.len().min(left as usize);
                    let left = left - used as u32;
                    self.reading = if left == 0 { Reading::Frame } else { Reading::Skip { left } };
                    if left > 0 {
                        return Ok((at + used, None));
                    }
                    (used, None)
                }
                Reading::Preface => match rest.first_chunk::<24>() {
                    Some(PREFACE) => {
                        self.reading = Reading::FirstFrame;
                        (PREFACE.len(), None)
                    }
                    None if PREFACE.starts_with(rest) => return Ok((at, None)),
                    _ => return Err(ConnectionError::Protocol("the preface of HTTP/2 is missing")),
                },
            };
            if self.owed > MOST_OWED {
                return Err(ConnectionError::Flood("too many frames make answers that are not read"));
            }
            at += used;
            if let Some(event) = event {
                // The places of data are those in all of the input.
                let event = match event {
                    Event::Data { stream, bytes, end } => {
                        let bytes = bytes.start + at - used..bytes.end + at - used;
                        Event::Data { stream, bytes, end }
                    }
                    other => other,
                };
                return Ok((at, Some(event)));
            }
        }
    }

    /// Takes one frame, or of DATA and of what is ignored only the beginning. Nothing is used if more is needed.
    fn take_frame(&mut self, rest: &[u8]) -> Result<(usize, Option<Event>), ConnectionError> {
        let Some((head, behind)) = rest.split_first_chunk::<HEAD>() else { return Ok((0, None)) };
        let head = FrameHead::read(*head);
        self.check_head(head)?;
        match head.kind {
            kind::DATA => {
                let padding = match behind.first() {
                    _ if !head.has(flag::PADDED) => None,
                    Some(padding) => Some(*padding),
                    None => return Ok((0, None)),
                };
                let event = self.begin_data(head, padding)?;
                return Ok((HEAD + usize::from(padding.is_some()), event));
            }
            kind::HEADERS..=kind::CONTINUATION => {}
            // Of others, PRIORITY_UPDATE among them, nothing is wanted.
            _ => {
                self.flood.control(1, "too many frames of types that mean nothing here")?;
                self.reading = Reading::Skip { left: head.length };
                return Ok((HEAD, None));
            }
        }
        let Some(payload) = behind.get(..head.length as usize) else { return Ok((0, None)) };
        self.reading = Reading::Frame;
        let event = match head.kind {
            kind::HEADERS => self.take_headers(head, payload)?,
            kind::CONTINUATION => self.take_continuation(head, payload)?,
            kind::PRIORITY => self.take_priority(head, payload)?,
            kind::RST_STREAM => self.take_reset(head, payload)?,
            kind::SETTINGS => self.take_settings(head, payload)?,
            kind::PING => self.take_ping(head, payload)?,
            kind::GOAWAY => self.take_go_away()?,
            kind::WINDOW_UPDATE => self.take_window_update(head, payload)?,
            _ => return Err(ConnectionError::Protocol("a client pushes")),
        };
        Ok((HEAD + payload.len(), event))
    }

    /// Checks all that a frame's head tells by itself: what may come now, with which length, for the connection or a stream.
    fn check_head(&self, head: FrameHead) -> Result<(), ConnectionError> {
        use ConnectionError::{FrameSize, Protocol};
        if head.length > LONGEST {
            return Err(FrameSize("a frame is longer than 16384 bytes"));
        }
        if matches!(self.reading, Reading::FirstFrame) && (head.kind != kind::SETTINGS || head.has(flag::ACK))
        {
            return Err(Protocol("the first frame is not SETTINGS"));
        }
        match &self.block {
            Some(block) if head.kind != kind::CONTINUATION || head.stream != block.stream => {
                return Err(Protocol("a header block is interrupted by another frame"));
            }
            None if head.kind == kind::CONTINUATION => {
                return Err(Protocol("CONTINUATION stands without a header block"));
            }
            _ => {}
        }
        // RFC 9113 6.1 to 6.10, RFC 9218 7.1.
        let (length_fits, is_of_a_stream) = match head.kind {
            kind::DATA => (!head.has(flag::PADDED) || head.length >= 1, true),
            kind::HEADERS | kind::CONTINUATION => (true, true),
            // The wrong length is an error of its stream: see there.
            kind::PRIORITY => (true, true),
            kind::RST_STREAM => (head.length == 4, true),
            kind::SETTINGS if head.has(flag::ACK) => (head.length == 0, false),
            kind::SETTINGS => (head.length.is_multiple_of(6), false),
            kind::PUSH_PROMISE => return Err(Protocol("a client pushes")),
            kind::PING => (head.length == 8, false),
            kind::GOAWAY => (head.length >= 8, false),
            kind::WINDOW_UPDATE => (head.length == 4, head.stream != 0),
            kind::PRIORITY_UPDATE => (head.length >= 4, false),
            _ => (true, head.stream != 0),
        };
        if is_of_a_stream != (head.stream != 0) {
            return Err(Protocol("a frame is for a stream that its type is not for"));
        }
        if !length_fits {
            return Err(FrameSize("a frame has a length that its type cannot have"));
        }
        Ok(())
    }

    /// Takes off the padding of a frame that is there as a whole (RFC 9113 6.1, 6.2).
    pub(super) fn without_padding(head: FrameHead, payload: &[u8]) -> Result<&[u8], ConnectionError> {
        if !head.has(flag::PADDED) {
            return Ok(payload);
        }
        let (padding, rest) =
            payload.split_first().ok_or(ConnectionError::FrameSize("a padded frame is empty"))?;
        let length = rest.len().checked_sub(usize::from(*padding));
        length
            .and_then(|length| rest.get(..length))
            .ok_or(ConnectionError::Protocol("the padding is longer than its frame"))
    }

    /// Which stream a priority depends on, at the front of a payload (RFC 9113 5.3.2): what else it says means nothing here.
    pub(super) fn dependency(payload: &[u8]) -> StreamId {
        frame::number(payload) & frame::LOW_31
    }
}
