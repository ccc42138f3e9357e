//! One connection to an upstream: its socket, what was received on it, and the answer being read from it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::AsyncWrite;
use vestibule_http1::{ChunkDecoder, HeadLimits, Method, ResponseError, ResponseHead};

use crate::buffer::Buffer;
use crate::pool::Counted;
use crate::stream::Stream;

/// Room offered to one read of an answer.
pub(crate) const READ_SIZE: usize = 8 * 1024;
/// Room offered once an answer proves to be long.
pub(crate) const LONG_READ_SIZE: usize = 64 * 1024;
/// Buffers above this are not kept with an idle connection.
const KEPT_CAPACITY: usize = 16 * 1024;
/// Bounds on an answer's head.
const HEAD_LIMITS: HeadLimits = HeadLimits { bytes: 256 * 1024, fields: 512 };

/// A connection to an upstream.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) received: Buffer,
    pub(crate) head: ResponseHead,
    pub(crate) chunks: ChunkDecoder,
    scanned: usize,
    /// The upstream's generation when the connection was made.
    pub(crate) generation: u64,
    counted: Counted,
}

impl Connection {
    pub(crate) fn new(stream: Stream, generation: u64, counted: Counted) -> Box<Self> {
        Box::new(Connection {
            stream,
            received: Buffer::default(),
            head: ResponseHead::default(),
            chunks: ChunkDecoder::default(),
            scanned: 0,
            generation,
            counted,
        })
    }

    /// Writes what it can of `bytes`.
    #[inline]
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    /// Reads once; 0 means that the upstream closed.
    #[inline]
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        self.received.poll_fill(&mut self.stream, cx, room)
    }

    /// Parses the head of the answer from what was received; `true` when it is whole.
    pub(crate) fn parse_head(&mut self, method: Method) -> Result<bool, ResponseError> {
        self.head.parse(self.received.filled(), &mut self.scanned, &HEAD_LIMITS, method)
    }

    /// Forgets the head just parsed, an interim one, and its bytes.
    pub(crate) fn skip_head(&mut self) {
        self.received.consume(self.head.len);
        self.scanned = 0;
    }

    /// Makes the connection ready for its next request.
    pub(crate) fn finish_answer(&mut self) {
        self.scanned = 0;
        self.chunks = ChunkDecoder::default();
        if self.received.capacity() > KEPT_CAPACITY {
            self.received = Buffer::default();
        }
    }

    /// Moves the connection into the event loop of this thread.
    pub(crate) fn adopt(self) -> io::Result<Box<Self>> {
        let Connection { stream, received, head, chunks, scanned, generation, counted } = self;
        let stream = stream.detach()?;
        stream.check_quiet()?;
        let stream = stream.attach()?;
        Ok(Box::new(Connection { stream, received, head, chunks, scanned, generation, counted }))
    }
}

/// A connection without a request on it, kept for the next.
#[derive(Debug)]
pub(crate) struct Idle {
    pub(crate) connection: Box<Connection>,
    pub(crate) since: Instant,
}

impl Idle {
    /// Whether the upstream closed it, or sent something that nobody asked for; as far as the event loop has heard.
    pub(crate) fn is_stale(&self) -> bool {
        !self.connection.stream.is_quiet()
    }
}
