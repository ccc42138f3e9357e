//! What the workers tell the monitor: that something looks wrong, and how the requests fare.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::error::Error;
use crate::gate::Refused;

const AWAY: u32 = 1;
const BUSY: u32 = 2;
const CHECK: u32 = 4;
const FAILING: u32 = 8;

/// Marks set by workers and taken by the monitor, and counters written by one worker each.
#[derive(Debug)]
pub(crate) struct Signals {
    marks: AtomicU32,
    notify: Notify,
    answered: Vec<Padded>,
    pub(crate) tally: Arc<Tally>,
}

/// What is counted of an upstream as a whole.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    failed: [AtomicU64; Reason::ALL.len()],
    held: AtomicU64,
}

/// A counter in a cache line of its own, so that workers do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded(AtomicU64);

/// What the monitor found in the marks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Marks {
    /// A connection was refused, or there was no socket; the gate has been closed.
    pub(crate) away: bool,
    /// The accept queue was full.
    pub(crate) busy: bool,
    /// A connection died without an answer.
    pub(crate) check: bool,
    /// Nothing but failures, several in a row.
    pub(crate) failing: bool,
}

/// Why a request failed at the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    NotHeld,
    HeldTooLong,
    Died,
    NoAnswer,
    Other,
}

impl Reason {
    pub(crate) const ALL: [Reason; 5] =
        [Reason::NotHeld, Reason::HeldTooLong, Reason::Died, Reason::NoAnswer, Reason::Other];

    /// Words for the log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Reason::NotHeld => "not held",
            Reason::HeldTooLong => "held too long",
            Reason::Died => "died unanswered",
            Reason::NoAnswer => "no answer in time",
            Reason::Other => "other",
        }
    }

    fn of(error: &Error) -> Option<Self> {
        match error {
            // The operator's wish.
            Error::NotHeld(Refused::Stopped) => None,
            Error::NotHeld(_) => Some(Reason::NotHeld),
            Error::HeldTooLong(_) => Some(Reason::HeldTooLong),
            Error::Died(_) => Some(Reason::Died),
            Error::NoAnswer(_) => Some(Reason::NoAnswer),
            Error::Connect(_)
            | Error::Invalid(_)
            | Error::Unasked
            | Error::EndlessInterim(_)
            | Error::Spool(_) => Some(Reason::Other),
            // The client's doing.
            Error::Client(_) => None,
        }
    }
}

impl Signals {
    pub(crate) fn new(workers: usize, tally: Arc<Tally>) -> Self {
        Signals {
            marks: AtomicU32::new(0),
            notify: Notify::new(),
            answered: (0..workers.max(1)).map(|_| Padded::default()).collect(),
            tally,
        }
    }

    fn mark(&self, mark: u32) {
        // Only the first of many wakes the monitor: that costs a system call.
        if self.marks.fetch_or(mark, Ordering::AcqRel) & mark == 0 {
            self.notify.notify_one();
        }
    }

    pub(crate) fn away(&self) {
        self.mark(AWAY);
    }

    pub(crate) fn busy(&self) {
        self.mark(BUSY);
    }

    pub(crate) fn check(&self) {
        self.mark(CHECK);
    }

    pub(crate) fn failing(&self) {
        self.mark(FAILING);
    }

    #[inline]
    pub(crate) fn answered(&self, worker: usize) {
        if let Some(counter) = self.answered.get(worker) {
            counter.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until a worker leaves a mark.
    pub(crate) async fn marked(&self) {
        self.notify.notified().await;
    }

    pub(crate) fn take(&self) -> Marks {
        let marks = self.marks.swap(0, Ordering::AcqRel);
        let is = |mark| marks & mark != 0;
        Marks { away: is(AWAY), busy: is(BUSY), check: is(CHECK), failing: is(FAILING) }
    }

    /// Answers since the start, of all workers.
    pub(crate) fn answers(&self) -> u64 {
        self.answered.iter().map(|counter| counter.0.load(Ordering::Relaxed)).sum()
    }
}

impl Tally {
    /// A request begins to wait for the application to come back.
    pub(crate) fn hold(&self) {
        self.held.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that waited for the application to come back, since the start.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    pub(crate) fn failed(&self, error: &Error) {
        if let Some(reason) = Reason::of(error) {
            self.failed[reason as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Failures since the start, by reason.
    pub(crate) fn failures(&self) -> [u64; Reason::ALL.len()] {
        self.failed.each_ref().map(|counter| counter.load(Ordering::Relaxed))
    }
}
