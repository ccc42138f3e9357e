//! The permit, and the wait for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::{Gate, Refused, Ticket};

/// The right to be in flight; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    was_in_vain: bool,
    is_trying: bool,
}

impl Permit {
    pub(super) fn new(gate: &Arc<Gate>, is_trying: bool) -> Self {
        Permit { gate: Arc::clone(gate), was_in_vain: false, is_trying }
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
    /// line ([`Gate::wait`]) at once.
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
    pub(super) gate: Arc<Gate>,
    pub(super) ticket: Ticket,
    pub(super) entered: Option<oneshot::Receiver<bool>>,
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
                    Ok(is_trying) => Ok(Permit::new(&self.gate, is_trying)),
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
        if let Ok(is_trying) = entered.try_recv() {
            // Let in at the very moment of leaving: the permit goes to the next.
            self.gate.leave(false, is_trying);
            return;
        }
        let mut line = self.gate.lock();
        let place = line.waiters.partition_point(|waiter| waiter.ticket < self.ticket);
        if line.waiters.get(place).is_some_and(|waiter| waiter.ticket == self.ticket)
            && let Some(waiter) = line.waiters.remove(place)
        {
            line.bytes -= waiter.bytes;
        }
        self.gate.settle(&mut line);
    }
}
