//! The client's side of an HTTP/1 exchange: reading its body, noticing that it leaves, interim answers.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use vestibule_http1::{Chunk, ChunkDecoder, Framing, RequestHead, Version};
use vestibule_upstream::{Buffer, Client, ClientError, Deadline};

use crate::arrival::Arrival;
use crate::client_stream::ClientStream;
use crate::sink::{Exit, Sink};

/// Room offered to one read from a client.
pub(crate) const READ_SIZE: usize = 4 * 1024;
const BODY_READ_SIZE: usize = 32 * 1024;
/// What a client may send ahead while its request is under way.
const MOST_AHEAD: usize = 16 * 1024;
/// How often we look whether a client is there that has sent as much, and of which we therefore read no more.
const LOOK: Duration = Duration::from_secs(1);
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The part of a request's body that is still to come.
#[derive(Debug)]
enum Body {
    Ended,
    Length(u64),
    Chunked(ChunkDecoder, u64),
}

/// One exchange, as the forwarding sees its client.
#[derive(Debug)]
pub(crate) struct Inbound<'a> {
    pub(crate) stream: &'a mut ClientStream,
    pub(crate) buffer: &'a mut Buffer,
    deadline: &'a Deadline,
    body: Body,
    most_body: u64,
    arrival: Arrival,
    /// Room for the next read of the body: little, until the client shows that it fills it.
    room: usize,
    /// When to look again whether the client is there.
    look: Option<Deadline>,
    version: Version,
    /// What of the `100 Continue` is still to be written.
    to_continue: &'static [u8],
    /// Whether the last interim answer is written in part only.
    is_inside_interim: bool,
    /// Whether something of the `100 Continue` may still wait on our side of the kernel.
    is_unsent: bool,
}

impl<'a> Inbound<'a> {
    pub(crate) fn new(
        stream: &'a mut ClientStream,
        buffer: &'a mut Buffer,
        deadline: &'a Deadline,
        head: &RequestHead,
        limits: &vestibule_config::Limits,
    ) -> Self {
        let body = match head.framing {
            Framing::None | Framing::Length(0) => Body::Ended,
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked(ChunkDecoder::default(), 0),
        };
        let expects = head.expect_continue && head.version == Version::Http11;
        Inbound {
            stream,
            buffer,
            deadline,
            body,
            most_body: limits.body,
            arrival: Arrival::new(limits),
            room: READ_SIZE,
            look: None,
            version: head.version,
            to_continue: if expects { CONTINUE } else { b"" },
            is_inside_interim: false,
            is_unsent: false,
        }
    }

    /// Whether an interim answer is written in part only: nothing else may be written then.
    pub(crate) fn is_inside_interim(&self) -> bool {
        self.is_inside_interim || (1..CONTINUE.len()).contains(&self.to_continue.len())
    }

    /// Whether the whole request has been read. What was received of the body already is skipped.
    pub(crate) fn is_read(&mut self) -> bool {
        let mut skipped = Vec::new();
        while !matches!(self.body, Body::Ended) && !self.buffer.is_empty() {
            skipped.clear();
            match self.take(&mut skipped) {
                Ok(0) if self.buffer.is_empty() => break,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        matches!(self.body, Body::Ended)
    }

    /// Moves what was received of the body to `out`; 0 when nothing was, or at the end of the body.
    fn take(&mut self, out: &mut Vec<u8>) -> Result<usize, ClientError> {
        match &mut self.body {
            Body::Ended => Ok(0),
            Body::Length(left) => {
                let count = self.buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                out.extend_from_slice(self.buffer.filled().get(..count).unwrap_or_default());
                self.buffer.consume(count);
                *left -= count as u64;
                if *left == 0 {
                    self.body = Body::Ended;
                }
                Ok(count)
            }
            Body::Chunked(decoder, total) => {
                let before = out.len();
                let mut position = 0;
                let filled = self.buffer.filled();
                let is_ended = loop {
                    match decoder.next(filled, &mut position).map_err(ClientError::Chunks)? {
                        Chunk::Data(range) => out.extend_from_slice(filled.get(range).unwrap_or_default()),
                        Chunk::More => break false,
                        Chunk::End => break true,
                    }
                };
                self.buffer.consume(position);
                let count = out.len() - before;
                *total += count as u64;
                if *total > self.most_body {
                    return Err(ClientError::TooLarge);
                }
                if is_ended {
                    self.body = Body::Ended;
                }
                Ok(count)
            }
        }
    }
}

impl Client for Inbound<'_> {
    fn limit_body(&mut self, most: u64) {
        self.most_body = most;
    }

    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Reading is the only way to hear of it; what comes instead is the next request, or the body, and is kept.
        while self.buffer.len() < MOST_AHEAD {
            match ready!(self.buffer.poll_fill(self.stream, cx, READ_SIZE)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        loop {
            let look = self.look.get_or_insert_with(|| Deadline::after(LOOK));
            ready!(look.poll(cx));
            if self.stream.has_ended() {
                return Poll::Ready(());
            }
            look.reset(LOOK);
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Result<usize, ClientError>> {
        loop {
            if !self.buffer.is_empty() {
                let count = self.take(out)?;
                if count > 0 {
                    return Poll::Ready(Ok(count));
                }
            }
            if matches!(self.body, Body::Ended) {
                return Poll::Ready(Ok(0));
            }
            while !self.to_continue.is_empty() {
                match ready!(self.stream.poll_send(cx, self.to_continue)) {
                    Ok(count) => self.to_continue = self.to_continue.get(count..).unwrap_or_default(),
                    Err(_) => return Poll::Ready(Err(ClientError::Left)),
                }
                self.is_unsent = true;
            }
            if self.is_unsent {
                match ready!(self.stream.poll_sent(cx)) {
                    Ok(()) => self.is_unsent = false,
                    Err(_) => return Poll::Ready(Err(ClientError::Left)),
                }
            }
            match self.buffer.poll_fill(self.stream, cx, self.room) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(ClientError::Left)),
                Poll::Ready(Ok(count)) => {
                    if count >= self.room {
                        self.room = BODY_READ_SIZE;
                    }
                    self.arrival.came(count)?;
                }
                Poll::Pending => return self.arrival.poll(self.deadline, cx).map(Err),
            }
        }
    }

    fn poll_interim(
        &mut self,
        cx: &mut Context<'_>,
        head: &[u8],
        written: &mut usize,
    ) -> Poll<io::Result<()>> {
        // RFC 9110 15.2: none to a client of HTTP/1.0.
        while self.version == Version::Http11 && *written < head.len() {
            let rest = head.get(*written..).unwrap_or_default();
            *written += ready!(self.stream.poll_send(cx, rest))?;
            self.is_inside_interim = *written < head.len();
        }
        self.stream.poll_sent(cx)
    }
}

impl Exit for Inbound<'_> {
    type Sink = ClientStream;

    fn sink(&mut self) -> &mut ClientStream {
        self.stream
    }

    fn client(&mut self) -> &mut dyn Client {
        self
    }
}
