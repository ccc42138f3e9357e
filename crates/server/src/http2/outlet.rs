//! Where the bytes of one stream's answer go.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use vestibule_http2::{ErrorCode, FieldBlock, StreamId};

use super::link::Link;
use crate::outflow::WriteError;
use crate::sink::Sink;

/// One stream's side towards the client.
pub(super) struct Outlet<'a> {
    pub(super) link: &'a Link,
    pub(super) stream: StreamId,
    /// Bytes of the body that are still to be sent, where that is known: the last of them ends the stream.
    pub(super) left: Option<u64>,
}

impl Outlet<'_> {
    /// Sends a head, when there is room for it.
    ///
    /// # Errors
    /// When the stream, or the client, is gone.
    pub(super) async fn head(
        &mut self,
        status: u16,
        fields: impl FnOnce(&mut FieldBlock<'_>),
        end: bool,
    ) -> Result<(), WriteError> {
        let has_room = poll_fn(|cx| self.link.state().poll_room(cx, self.stream)).await;
        let sent = has_room.and_then(|()| self.link.state().head(self.stream, status, fields, end));
        sent.map_err(|_| WriteError::Left)
    }

    /// Ends the answer, if its last byte has not done that.
    ///
    /// # Errors
    /// When the stream, or the client, is gone.
    pub(super) fn end(&mut self) -> Result<(), WriteError> {
        if self.left == Some(0) {
            return Ok(());
        }
        let mut state = self.link.state();
        // Without bytes it needs neither room nor a window.
        match state.poll_data(&Context::from_waker(std::task::Waker::noop()), self.stream, b"", true) {
            Poll::Ready(Ok(_)) => Ok(()),
            _ => Err(WriteError::Left),
        }
    }

    /// Ends the answer with trailers.
    ///
    /// # Errors
    /// When the stream, or the client, is gone.
    pub(super) fn trailers(&mut self, fields: impl FnOnce(&mut FieldBlock<'_>)) -> Result<(), WriteError> {
        self.link.state().trailers(self.stream, fields).map_err(|_| WriteError::Left)
    }

    /// Ends the stream before its time.
    pub(super) fn reset(&mut self, code: ErrorCode) {
        self.link.state().reset(self.stream, code);
    }
}

impl Sink for Outlet<'_> {
    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.link.state();
        ready!(state.poll_room(cx, self.stream))?;
        let is_last = self.left.is_some_and(|left| left <= bytes.len() as u64);
        let count = ready!(state.poll_data(cx, self.stream, bytes, is_last))?;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(count as u64);
        }
        Poll::Ready(Ok(count))
    }

    /// What the connection has taken of a stream is bounded, and the connection is watched for itself.
    fn poll_sent(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// None: what may be sent is what the client's window says that it takes.
    fn undelivered(&self) -> Option<u32> {
        None
    }

    fn is_in_line(&self) -> bool {
        self.link.state().is_in_line(self.stream)
    }

    fn carried(&self) -> u64 {
        self.link.state().carried
    }
}
