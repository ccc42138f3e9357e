//! A client that says what it likes, and a server that writes down what it hears.

use std::time::{Duration, Instant};

use crate::connection::{Connection, Event, Kind, Limits, StreamId};
use crate::error::{ConnectionError, ErrorCode};
use crate::frame::{FrameHead, HEAD, flag, kind};
use crate::hpack;

pub(crate) const LIMITS: Limits =
    Limits { streams: 100, head: 16 << 10, fields: 100, body_window: 256 << 10, connection_window: 1 << 20 };

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An event, with what it points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Request { stream: StreamId, end: bool, kind: Kind, head: String },
    Refused,
    Data { stream: StreamId, bytes: Vec<u8>, end: bool },
    End { stream: StreamId },
    Reset { stream: StreamId, code: ErrorCode },
    Opened(Option<StreamId>),
    Ping,
    GoAway,
}

/// A connection, and what was sent to it that it has not used yet.
pub(crate) struct Client {
    pub(crate) connection: Connection,
    pub(crate) now: Instant,
    input: Vec<u8>,
}

impl Client {
    /// One of which nothing was sent yet, and whose own settings were read.
    pub(crate) fn silent(limits: Limits) -> Self {
        let now = Instant::now();
        let mut client = Self { connection: Connection::new(limits, now), now, input: Vec::new() };
        assert_eq!(client.frames()[0].0.kind, kind::SETTINGS);
        client
    }

    /// One that has sent its preface and its settings.
    pub(crate) fn with(limits: Limits) -> Self {
        let mut client = Self::silent(limits);
        assert_eq!(client.send(&[PREFACE, &frame(kind::SETTINGS, 0, 0, b"")].concat()), Ok(vec![]));
        let ack = FrameHead { length: 0, kind: kind::SETTINGS, flags: flag::ACK, stream: 0 };
        assert_eq!(client.frames(), [(ack, vec![])]);
        client
    }

    pub(crate) fn new() -> Self {
        Self::with(LIMITS)
    }

    /// Sends bytes; gives what the server hears.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<Vec<Heard>, ConnectionError> {
        let mut heard = Vec::new();
        self.send_for(bytes, &mut heard).map(|()| heard)
    }

    /// Sends bytes; adds what the server hears, up to an error.
    pub(crate) fn send_for(&mut self, bytes: &[u8], heard: &mut Vec<Heard>) -> Result<(), ConnectionError> {
        self.input.extend_from_slice(bytes);
        let mut start = 0;
        loop {
            let input = &self.input[start..];
            let (used, event) = self.connection.receive(input, self.now)?;
            let bytes = &input[..used];
            start += used;
            heard.push(match event {
                None => break,
                Some(Event::Request { stream, end, kind }) => {
                    let head = String::from_utf8_lossy(self.connection.head()).into_owned();
                    Heard::Request { stream, end, kind, head }
                }
                Some(Event::Data { stream, bytes: place, end }) => {
                    Heard::Data { stream, bytes: bytes[place].to_vec(), end }
                }
                Some(Event::Refused { .. }) => Heard::Refused,
                Some(Event::End { stream }) => Heard::End { stream },
                Some(Event::Reset { stream, code }) => Heard::Reset { stream, code },
                Some(Event::Opened(stream)) => Heard::Opened(stream),
                Some(Event::Ping) => Heard::Ping,
                Some(Event::GoAway) => Heard::GoAway,
            });
        }
        self.input.drain(..start);
        assert!(self.input.len() < Connection::LONGEST_FRAME, "{} bytes left", self.input.len());
        Ok(())
    }

    /// Reads the frames that were sent to it.
    pub(crate) fn frames(&mut self) -> Vec<(FrameHead, Vec<u8>)> {
        let out = std::mem::take(self.connection.out());
        let (mut frames, mut rest) = (Vec::new(), out.as_slice());
        while let Some((head, behind)) = rest.split_first_chunk::<HEAD>() {
            let head = FrameHead::read(*head);
            let (payload, behind) = behind.split_at(head.length as usize);
            frames.push((head, payload.to_vec()));
            rest = behind;
        }
        assert!(rest.is_empty());
        frames
    }

    /// The streams that were reset since the last reading, with the codes.
    pub(crate) fn resets(&mut self) -> Vec<(StreamId, ErrorCode)> {
        let frames = self.frames();
        let resets = frames.iter().filter(|(head, _)| head.kind == kind::RST_STREAM);
        resets.map(|(head, payload)| (head.stream, ErrorCode(crate::frame::number(payload)))).collect()
    }

    /// Time goes by.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// Opens a stream with a request that has a body.
    pub(crate) fn post(&mut self, stream: StreamId) {
        let heard = self.send(&headers(stream, 0, &POST)).unwrap();
        assert!(matches!(heard[..], [Heard::Request { end: false, .. }]), "{heard:?}");
    }

    /// Opens a stream with a request that is whole.
    pub(crate) fn get(&mut self, stream: StreamId) {
        let heard = self.send(&headers(stream, flag::END_STREAM, &GET)).unwrap();
        assert!(matches!(heard[..], [Heard::Request { end: true, .. }]), "{heard:?}");
    }

    /// Answers a stream in full, as the server.
    pub(crate) fn answer(&mut self, stream: StreamId) {
        self.connection.send_head(stream, 204, |_| (), true).unwrap();
        self.connection.close(stream);
    }
}

pub(crate) const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "a")];
pub(crate) const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "https"), (":path", "/"), (":authority", "a")];
pub(crate) const TUNNEL: [(&str, &str); 5] = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "https"),
    (":path", "/chat"),
    (":authority", "a"),
];

pub(crate) fn frame(kind: u8, flags: u8, stream: StreamId, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    FrameHead { length: payload.len() as u32, kind, flags, stream }.write(&mut out);
    out.extend_from_slice(payload);
    out
}

pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        hpack::encode_field(&mut out, name.as_bytes(), value.as_bytes());
    }
    out
}

pub(crate) fn headers(stream: StreamId, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(kind::HEADERS, flags | flag::END_HEADERS, stream, &block(fields))
}

pub(crate) fn data(stream: StreamId, flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(kind::DATA, flags, stream, bytes)
}

pub(crate) fn reset(stream: StreamId, code: ErrorCode) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &code.0.to_be_bytes())
}

pub(crate) fn window(stream: StreamId, increment: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

pub(crate) fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut out = Vec::new();
    crate::frame::write_settings(&mut out, settings);
    out
}
