//! The client's side of a stream: its body, its leaving, interim answers.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use vestibule_config::Limits;
use vestibule_http1::RequestHead;
use vestibule_upstream::{Client, ClientError, Deadline};

use super::outlet::Outlet;
use crate::arrival::Arrival;
use crate::sink::Exit;

/// Most bytes of a body that are taken at a time.
const PIECE: usize = 32 * 1024;

/// One exchange, as the forwarding sees its client.
pub(super) struct Inbound<'a> {
    pub(super) outlet: Outlet<'a>,
    arrival: Arrival,
    /// For the arrival, once the body is waited for.
    deadline: Option<Deadline>,
    came: u64,
    most_body: u64,
    /// Whether the client waits to be told to go on.
    awaits_continue: bool,
}

impl<'a> Inbound<'a> {
    pub(super) fn new(outlet: Outlet<'a>, head: &RequestHead, limits: &Limits) -> Self {
        Inbound {
            outlet,
            arrival: Arrival::new(limits),
            deadline: None,
            came: 0,
            most_body: limits.body,
            awaits_continue: head.expect_continue,
        }
    }
}

impl Client for Inbound<'_> {
    fn limit_body(&mut self, most: u64) {
        self.most_body = most;
    }

    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.outlet.link.state().slots.get(self.outlet.stream) {
            Some(slot) if slot.reset.is_none() => {
                slot.wait(cx);
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Result<usize, ClientError>> {
        let stream = self.outlet.stream;
        let mut state = self.outlet.link.state();
        let Some(slot) = state.slots.get(stream).filter(|slot| slot.reset.is_none()) else {
            return Poll::Ready(Err(ClientError::Left));
        };
        let count = slot.body.len().min(PIECE);
        if count > 0 {
            out.extend_from_slice(slot.body.filled().get(..count).unwrap_or_default());
            slot.body.consume(count);
            state.release(stream, count);
            self.came += count as u64;
            if self.came > self.most_body {
                return Poll::Ready(Err(ClientError::TooLarge));
            }
            self.arrival.came(count)?;
            return Poll::Ready(Ok(count));
        }
        if slot.has_ended {
            return Poll::Ready(Ok(0));
        }
        slot.wait(cx);
        if std::mem::take(&mut self.awaits_continue) {
            // So little, and once for a stream, that it waits for no room: a turn that it was given might not be used, if
            // the body is asked for no more.
            let sent = state.head(stream, 100, |_| {}, false);
            if sent.is_err() {
                return Poll::Ready(Err(ClientError::Left));
            }
        }
        let deadline = self.deadline.get_or_insert_with(|| Deadline::after(Duration::MAX));
        self.arrival.poll(deadline, cx).map(Err)
    }

    fn poll_interim(
        &mut self,
        cx: &mut Context<'_>,
        head: &[u8],
        written: &mut usize,
    ) -> Poll<io::Result<()>> {
        if *written >= head.len() {
            return Poll::Ready(Ok(()));
        }
        let mut state = self.outlet.link.state();
        ready!(state.poll_room(cx, self.outlet.stream))?;
        *written = head.len();
        let mut lines = super::head::lines(head);
        let status = lines.next().and_then(super::head::status);
        let Some(status) = status else { return Poll::Ready(Err(io::ErrorKind::InvalidData.into())) };
        let fields = |block: &mut vestibule_http2::FieldBlock<'_>| super::head::add_lines(block, lines);
        Poll::Ready(state.head(self.outlet.stream, status, fields, false))
    }
}

impl<'a> Exit for Inbound<'a> {
    type Sink = Outlet<'a>;

    fn sink(&mut self) -> &mut Outlet<'a> {
        &mut self.outlet
    }

    fn client(&mut self) -> &mut dyn Client {
        self
    }
}
