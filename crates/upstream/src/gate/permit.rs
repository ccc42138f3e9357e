//! The permit, and the wait for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::{Gate, Line, Refused, Ticket};

/// The right to be in flight; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    was_in_vain: bool,
    is_trying: bool,
}

impl Permit {
    pub(super) fn new(gate: Arc<Gate>, is_trying: bool) -> Self {
        Permit { gate, was_in_vain: false, is_trying }
    }

    /// The gate that it was let in by.
    #[inline]
    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Whether a new connection may be made with it: always, but while the accept queue is full only with the permit of
    /// the one that tries for all others. Who was let in before goes back to its place in the line.
    #[inline]
    pub(crate) fn may_connect(&self) -> bool {
        self.is_trying || !self.gate.is_busy()
    }

    /// There is a connection.
    #[inline]
    pub(crate) fn connected(&mut self) {
        if std::mem::take(&mut self.is_trying) {
            self.gate.end_try();
        }
    }

    /// Gives it back unused: the accept queue is full, so that this makes room for nobody. Who gives up goes back to the
    /// line ([`Line::wait`]) at once.
    pub(crate) fn give_up(mut self) {
        self.was_in_vain = true;
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        self.gate.leave(self.was_in_vain, self.is_trying);
    }
}

/// A place in the line. Resolves to the permit, or to `Err` when the operator stops the application. Dropping it
/// leaves the line.
#[derive(Debug)]
pub struct Waiting {
    pub(super) line: Arc<Line>,
    pub(super) ticket: Ticket,
    pub(super) entered: Option<oneshot::Receiver<(Arc<Gate>, bool)>>,
}

impl Future for Waiting {
    type Output = Result<Permit, Refused>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(entered) = self.entered.as_mut() else { return Poll::Pending };
        match Pin::new(entered).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(outcome) => {
                self.entered = None;
                Poll::Ready(match outcome {
                    Ok((gate, is_trying)) => Ok(Permit::new(gate, is_trying)),
                    Err(_) => Err(Refused::Stopped),
                })
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(mut entered) = self.entered.take() else { return };
        entered.close();
        if let Ok((gate, is_trying)) = entered.try_recv() {
            // Let in at the very moment of leaving: the permit goes to the next.
            gate.leave(false, is_trying);
            return;
        }
        self.line.forget(self.ticket);
    }
}
