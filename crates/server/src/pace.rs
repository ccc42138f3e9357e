//! Whether a client takes what it is sent.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use vestibule_config::Limits;
use vestibule_upstream::Deadline;

use crate::sink::Sink;

/// Watches one client while it has bytes to take: over each `limits.send_timeout` it has to take some, and as many as
/// `limits.send_rate` asks.
#[derive(Debug)]
pub(crate) struct Pace {
    window: Duration,
    /// Bytes that it has to take in a second.
    rate: u64,
    /// Bytes given to the kernel.
    written: u64,
    /// Runs while the kernel takes no more.
    waiting: Option<Deadline>,
    /// Bytes that had reached the client when the window began; less than nothing when bytes of an earlier answer were
    /// still on their way.
    delivered: i64,
    /// Bytes that its connection had carried then, for all that share it.
    carried: u64,
}

impl Pace {
    pub(crate) fn new(limits: &Limits) -> Self {
        let (window, rate) = (limits.send_timeout, limits.send_rate);
        Pace { window, rate, written: 0, waiting: None, delivered: 0, carried: 0 }
    }

    #[inline]
    pub(crate) fn wrote(&mut self, count: usize) {
        self.written += count as u64;
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// There is nothing to take any more.
    #[inline]
    pub(crate) fn caught_up(&mut self) {
        self.waiting = None;
    }

    /// To be polled while the kernel takes no more; ready when the client has been too slow.
    ///
    /// The kernel asks for more only when a third of its megabytes is free, so what counts is what the client has
    /// acknowledged.
    pub(crate) fn poll(&mut self, sink: &impl Sink, cx: &mut Context<'_>) -> Poll<()> {
        if self.waiting.is_none() {
            self.waiting = Some(Deadline::after(self.window));
            self.delivered = self.delivered_by_now(sink);
            self.carried = sink.carried();
        }
        while let Some(waiting) = &self.waiting {
            ready!(waiting.poll(cx));
            let (now, carried) = (self.delivered_by_now(sink), sink.carried());
            // Who waits for others is not slow as long as those are not.
            let shared = if sink.is_in_line() { carried.saturating_sub(self.carried) } else { 0 };
            let taken = now.saturating_sub(self.delivered).max(i64::try_from(shared).unwrap_or(i64::MAX));
            if taken < self.least() {
                return Poll::Ready(());
            }
            (self.delivered, self.carried) = (now, carried);
            waiting.reset(self.window);
        }
        Poll::Pending
    }

    /// Bytes that it has to take in a window. Most answers never wait for their client, so nothing is computed before
    /// one has.
    fn least(&self) -> i64 {
        let least = u128::from(self.rate) * self.window.as_millis() / 1000;
        i64::try_from(least).unwrap_or(i64::MAX).max(1)
    }

    fn delivered_by_now(&self, sink: &impl Sink) -> i64 {
        let queued = sink.undelivered().unwrap_or_default();
        i64::try_from(self.written).unwrap_or(i64::MAX).saturating_sub(i64::from(queued))
    }
}
