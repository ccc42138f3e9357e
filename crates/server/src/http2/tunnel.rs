//! A stream that has become a tunnel (RFC 8441): DATA both ways, END_STREAM for the end of either.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::outlet::Outlet;
use crate::sink::Sink;
use crate::tunnel::Side;

/// The client's end of it.
pub(super) struct Ends<'a, 'b>(pub(super) &'a mut Outlet<'b>);

impl Side for Ends<'_, '_> {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0.link.state().slots.get(self.0.stream) {
            Some(slot) if slot.reset.is_none() && slot.body.is_empty() && !slot.has_ended => {
                slot.wait(cx);
                Poll::Pending
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncRead for Ends<'_, '_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Outlet { link, stream, .. } = *self.get_mut().0;
        let mut state = link.state();
        let Some(slot) = state.slots.get(stream).filter(|slot| slot.reset.is_none()) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        let count = slot.body.len().min(buf.remaining());
        if count == 0 && !slot.has_ended {
            slot.wait(cx);
            return Poll::Pending;
        }
        buf.put_slice(slot.body.filled().get(..count).unwrap_or_default());
        slot.body.consume(count);
        if count > 0 {
            state.release(stream, count);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Ends<'_, '_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().0.poll_send(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.get_mut().0.end().map_err(|_| io::ErrorKind::BrokenPipe.into()))
    }
}
