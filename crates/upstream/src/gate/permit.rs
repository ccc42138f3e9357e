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
}

impl Permit {
    pub(super) fn new(gate: &Arc<Gate>) -> Self {
        Permit { gate: Arc::clone(gate), was_in_vain: false }
    }

    /// Gives it back unused: the accept queue is full, so that this makes room for nobody.
    pub(crate) fn give_up(mut self) {
        self.was_in_vain = true;
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        self.gate.leave(self.was_in_vain);
    }
}

/// A place in the line. Resolves to the permit, or to `Err` when the operator stops the application. Dropping it
/// leaves the line.
#[derive(Debug)]
pub struct Waiting {
    pub(super) gate: Arc<Gate>,
    pub(super) ticket: Ticket,
    pub(super) entered: Option<oneshot::Receiver<()>>,
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
                    Ok(()) => Ok(Permit::new(&self.gate)),
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
        if entered.try_recv().is_ok() {
            // Let in at the very moment of leaving: the permit goes to the next.
            self.gate.leave(false);
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
