//! A connection that changed its protocol (101): bytes both ways until both sides are done.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use vestibule_upstream::{Buffer, Deadline, Stream};

use crate::client_stream::ClientStream;

/// One side of a tunnel.
pub(crate) trait Side: AsyncRead + AsyncWrite + Unpin {
    /// Ready when there is something to read, or perhaps.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Side for Stream {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Stream::poll_readable(self, cx)
    }
}

impl Side for ClientStream {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ClientStream::poll_readable(self, cx)
    }
}

/// Room offered to one read.
const READ_SIZE: usize = 16 * 1024;

/// Carries bytes both ways; `early` is what the client sent before it knew. Gives the bytes that went to the client.
///
/// A side that closes its sending is passed on as that, and the other may go on. A tunnel in which nothing moves holds no
/// buffer.
///
/// # Errors
/// The socket's that failed first; `TimedOut` after `silence` in which nothing moved either way.
pub(crate) async fn run(
    client: &mut impl Side,
    early: &mut Buffer,
    upstream: &mut Stream,
    silence: Duration,
) -> io::Result<u64> {
    let mut to_upstream = Direction { bytes: std::mem::take(early), ..Direction::default() };
    let mut to_client = Direction::default();
    let deadline = Deadline::after(silence);
    poll_fn(|cx| {
        loop {
            let mut has_moved = to_upstream.poll(client, upstream, cx)?;
            has_moved |= to_client.poll(upstream, client, cx)?;
            if to_upstream.is_done && to_client.is_done {
                return Poll::Ready(Ok(to_client.carried));
            }
            if !has_moved {
                return deadline.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
            }
            deadline.reset(silence);
        }
    })
    .await
}

/// One of the two ways.
#[derive(Debug, Default)]
struct Direction {
    /// Read and not yet written.
    bytes: Buffer,
    carried: u64,
    /// Whether something of what was written may still wait on our side of the kernel.
    is_unsent: bool,
    /// The sender will send no more.
    has_ended: bool,
    /// And the receiver has been told.
    is_done: bool,
}

impl Direction {
    /// Moves what can be moved at once, one read at most. Gives whether anything moved; if not, the task is woken when
    /// something can.
    fn poll(&mut self, from: &mut impl Side, to: &mut impl Side, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut has_moved = false;
        if self.bytes.is_empty() && !self.has_ended {
            // The buffer comes with the bytes: most tunnels are silent most of the time.
            if from.poll_readable(cx).is_ready()
                && let Poll::Ready(read) = self.bytes.poll_fill(from, cx, READ_SIZE)
            {
                self.has_ended = read? == 0;
                has_moved = true;
            }
        }
        while !self.bytes.is_empty() {
            match Pin::new(&mut *to).poll_write(cx, self.bytes.filled()) {
                Poll::Ready(count) => {
                    let count = count?;
                    self.carried += count as u64;
                    self.bytes.consume(count);
                    self.is_unsent = true;
                    has_moved = true;
                }
                Poll::Pending => return Ok(has_moved),
            }
        }
        self.bytes = Buffer::default();
        if self.is_unsent {
            match Pin::new(&mut *to).poll_flush(cx) {
                Poll::Ready(sent) => sent?,
                Poll::Pending => return Ok(has_moved),
            }
            self.is_unsent = false;
        }
        if self.has_ended && !self.is_done && Pin::new(&mut *to).poll_shutdown(cx)?.is_ready() {
            self.is_done = true;
            has_moved = true;
        }
        Ok(has_moved)
    }
}
