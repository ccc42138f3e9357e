//! DATA: the bytes of bodies and of tunnels (RFC 9113 6.1, 6.9, 8.1.1).

use super::receive::Reading;
use super::{Connection, Event, StreamId};
use crate::error::{ConnectionError, ErrorCode};
use crate::frame::FrameHead;
use crate::stream::Over;
use crate::streams::Place;

impl Connection {
    /// Takes the head of a DATA frame, and the byte that says how long its padding is.
    pub(super) fn begin_data(
        &mut self,
        head: FrameHead,
        padding: Option<u8>,
    ) -> Result<Option<Event>, ConnectionError> {
        let rest = head.length - u32::from(padding.is_some());
        let padding = u32::from(padding.unwrap_or(0));
        let data = rest
            .checked_sub(padding)
            .ok_or(ConnectionError::Protocol("the padding is longer than its frame"))?;
        let end = head.has(crate::frame::flag::END_STREAM);
        if self.receive.take(head.length).is_err() {
            return Err(ConnectionError::FlowControl(
                "more data came than the connection's window was open for",
            ));
        }
        if data == 0 && !end {
            self.flood.control(1, "too many DATA frames are empty")?;
        }
        // Until it is known that somebody wants them.
        self.reading = Reading::Skip { left: rest };
        let found = match self.streams.place(head.stream) {
            Place::Open(at) => self.streams.at(at),
            Place::Reset => None,
            Place::Idle | Place::Skipped => {
                return Err(ConnectionError::Protocol("DATA is for a stream that was never opened"));
            }
            Place::Ended => return Err(ConnectionError::StreamClosed("DATA is for a stream that has ended")),
        };
        let Some(stream) = found.filter(|stream| stream.over != Some(Over::Us)) else {
            self.release_of_all(head.length); // it came too late to be wanted
            return Ok(None);
        };
        let id = head.stream;
        let left = stream.body_left.map(|left| left.checked_sub(u64::from(data)));
        let fault = match (stream.over, left) {
            (Some(_), _) => {
                return Err(ConnectionError::StreamClosed("DATA is for a stream that the client reset"));
            }
            _ if stream.request_ended => {
                Some((ErrorCode::STREAM_CLOSED, "DATA comes after the end of a request"))
            }
            _ if stream.receive.take(head.length).is_err() => {
                Some((ErrorCode::FLOW_CONTROL_ERROR, "more data came than the stream's window was open for"))
            }
            (None, Some(None)) => {
                Some((ErrorCode::PROTOCOL_ERROR, "a body is longer than its content-length"))
            }
            (None, Some(Some(1..))) if end => {
                Some((ErrorCode::PROTOCOL_ERROR, "a body is shorter than its content-length"))
            }
            (None, _) => None,
        };
        if let Some((code, words)) = fault {
            self.release_of_all(head.length);
            return self.stream_error(id, code, words);
        }
        stream.body_left = left.flatten();
        // What is not data is used up at once.
        let used = head.length - data;
        stream.held += used;
        self.reading = Reading::Data { stream: id, left: data, padding, end };
        if used > 0 {
            self.release(id, used as usize);
        }
        Ok(None)
    }

    /// Takes what there is of a DATA frame's rest, and gives what is of interest in it: its place is that in `rest`.
    pub(super) fn take_data(
        &mut self,
        rest: &[u8],
        id: StreamId,
        left: u32,
        padding: u32,
        end: bool,
    ) -> (usize, Option<Event>) {
        let data = rest.len().min(left as usize);
        let padded = if data == left as usize { (rest.len() - data).min(padding as usize) } else { 0 };
        let (left, padding) = (left - data as u32, padding - padded as u32);
        let is_through = left == 0 && padding == 0;
        self.reading =
            if is_through { Reading::Frame } else { Reading::Data { stream: id, left, padding, end } };
        let used = data + padded;
        let end = end && is_through;
        let Some(stream) = self.streams.get(id).filter(|stream| stream.over.is_none()) else {
            // It ended between two pieces of the frame.
            self.release_of_all(data as u32);
            return (used, None);
        };
        stream.held += data as u32;
        stream.request_ended |= end;
        let event = match (data, end) {
            (0, false) => None,
            (0, true) => Some(Event::End { stream: id }),
            (_, end) => Some(Event::Data { stream: id, bytes: 0..data, end }),
        };
        (used, event)
    }
}
