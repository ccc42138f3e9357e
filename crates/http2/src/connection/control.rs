//! The frames about the connection, its windows and the ends of streams (RFC 9113 6.3 to 6.9).

use super::{Connection, Event, GOODBYE};
use crate::error::{ConnectionError, ErrorCode};
use crate::flood::WIDE;
use crate::frame::{self, FrameHead, LOW_31, flag};
use crate::stream::{Answer, Over};
use crate::streams::Place;

impl Connection {
    /// PRIORITY means nothing here (RFC 9113 5.3), but is still to be well formed.
    pub(super) fn take_priority(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Option<Event>, ConnectionError> {
        self.flood.control(1, "too many PRIORITY frames")?;
        let (code, fault) = if payload.len() != 5 {
            (ErrorCode::FRAME_SIZE_ERROR, "a PRIORITY frame has not 5 bytes")
        } else if Self::dependency(payload) == head.stream {
            (ErrorCode::PROTOCOL_ERROR, "a stream depends on itself")
        } else {
            return Ok(None);
        };
        match self.streams.place(head.stream) {
            // An idle stream cannot be reset.
            Place::Idle if code == ErrorCode::FRAME_SIZE_ERROR => Err(ConnectionError::FrameSize(fault)),
            Place::Idle => Err(ConnectionError::Protocol(fault)),
            _ => self.stream_error(head.stream, code, fault),
        }
    }

    pub(super) fn take_reset(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Option<Event>, ConnectionError> {
        let found = match self.streams.place(head.stream) {
            Place::Idle => return Err(ConnectionError::Protocol("RST_STREAM is for a stream that is idle")),
            Place::Open(at) => self.streams.at(at),
            _ => None,
        };
        let code = ErrorCode(frame::number(payload));
        let Some(stream) = found.filter(|stream| stream.over.is_none()) else {
            self.flood.control(1, "too many RST_STREAM frames for streams that are over")?;
            return Ok(None);
        };
        stream.over = Some(Over::Client);
        if stream.answer == Answer::Ended {
            self.flood.control(1, "too many RST_STREAM frames for streams that are over")?;
        } else {
            self.flood.reset()?;
        }
        Ok(Some(Event::Reset { stream: head.stream, code }))
    }

    pub(super) fn take_settings(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Option<Event>, ConnectionError> {
        // A frame may hold 2,730 settings.
        self.flood.control(1 + payload.len() as u32 / 64, "too many SETTINGS frames")?;
        if head.has(flag::ACK) {
            return Ok(None); // of our only ones
        }
        let before = self.peer.initial_window;
        self.peer.apply(payload)?;
        self.owe(frame::write_settings_ack);
        let by = i64::from(self.peer.initial_window) - i64::from(before);
        if by == 0 {
            return Ok(None);
        }
        // The windows of open streams change too, and can go below 0 (RFC 9113 6.9.2).
        for stream in self.streams.iter_mut() {
            stream
                .send
                .shift(by)
                .map_err(|_| ConnectionError::FlowControl("the initial window makes a window too large"))?;
        }
        Ok(self.opened_for_all())
    }

    pub(super) fn take_ping(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Option<Event>, ConnectionError> {
        self.flood.control(1, "too many PING frames")?;
        let data = payload.first_chunk().copied().unwrap_or_default();
        if !head.has(flag::ACK) {
            self.owe(|out| frame::write_ping(out, true, data));
            return Ok(None);
        }
        let answers_us = self.leaving != super::Leaving::No && data == GOODBYE;
        Ok(answers_us.then_some(Event::Ping))
    }

    pub(super) fn take_go_away(&mut self) -> Result<Option<Event>, ConnectionError> {
        self.flood.control(1, "too many GOAWAY frames")?;
        let again = std::mem::replace(&mut self.peer_leaves, true);
        Ok((!again).then_some(Event::GoAway))
    }

    pub(super) fn take_window_update(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Option<Event>, ConnectionError> {
        let increment = frame::number(payload) & LOW_31;
        self.flood.control(u32::from(increment < WIDE), "too many small WINDOW_UPDATE frames")?;
        if head.stream == 0 {
            return self.open_for_all(increment);
        }
        let found = match self.streams.place(head.stream) {
            Place::Idle => {
                return Err(ConnectionError::Protocol("WINDOW_UPDATE is for a stream that is idle"));
            }
            Place::Open(at) => self.streams.at(at),
            _ => None,
        };
        // On a stream that is over it is late, not wrong.
        let Some(stream) = found.filter(|stream| stream.over.is_none()) else { return Ok(None) };
        if increment == 0 {
            let fault = "WINDOW_UPDATE opens a window by 0";
            return self.stream_error(head.stream, ErrorCode::PROTOCOL_ERROR, fault);
        }
        if stream.send.shift(increment.into()).is_err() {
            let fault = "WINDOW_UPDATE opens a window beyond 2^31-1";
            return self.stream_error(head.stream, ErrorCode::FLOW_CONTROL_ERROR, fault);
        }
        let may_go_on = stream.waits && stream.send.available() > 0 && self.send.available() > 0;
        if may_go_on {
            stream.waits = false;
        }
        Ok(may_go_on.then_some(Event::Opened(Some(head.stream))))
    }

    /// Opens the window of all streams.
    fn open_for_all(&mut self, increment: u32) -> Result<Option<Event>, ConnectionError> {
        if increment == 0 {
            return Err(ConnectionError::Protocol("WINDOW_UPDATE opens the connection's window by 0"));
        }
        let was_shut = self.send.available() == 0;
        self.send.shift(increment.into()).map_err(|_| {
            ConnectionError::FlowControl("WINDOW_UPDATE opens the connection's window beyond 2^31-1")
        })?;
        Ok(if was_shut { self.opened_for_all() } else { None })
    }

    /// The event for those that wait and can go on, if there are any.
    fn opened_for_all(&mut self) -> Option<Event> {
        if self.send.available() == 0 {
            return None;
        }
        let mut any = false;
        for stream in self.streams.iter_mut().filter(|stream| stream.waits && stream.send.available() > 0) {
            stream.waits = false;
            any = true;
        }
        any.then_some(Event::Opened(None))
    }
}
