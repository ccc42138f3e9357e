//! What has become of the application so far.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Restarts that are told one by one.
const RECENT: usize = 8;

/// What the application does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its first start, or another after a restart.
    Starting,
    /// It serves.
    Running {
        /// As what.
        pid: u32,
    },
    /// It was asked to end, and finishes what runs.
    Stopping {
        /// As what.
        pid: u32,
    },
    /// There is no application.
    Away,
}

/// One restart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Restart {
    /// When the new process served.
    pub(crate) at: Instant,
    /// The process that ended.
    pub(crate) old: u32,
    /// The process that began.
    pub(crate) new: u32,
    /// From the old one's end of listening (or the asking for it) to then.
    pub(crate) gap: Duration,
    /// Requests that waited for it.
    pub(crate) held: u64,
    /// Requests that failed since the restart before.
    pub(crate) failed: u64,
    /// Whether we asked for it; the application may have ended by itself.
    pub(crate) was_asked: bool,
}

/// What is told about the application.
#[derive(Debug)]
pub(crate) struct History {
    /// Now.
    pub(crate) phase: Phase,
    /// Since when.
    pub(crate) since: Instant,
    /// Time that it runs between two restarts.
    pub(crate) every: Duration,
    /// Restarts in all.
    pub(crate) restarts: u64,
    /// The last ones, the newest first.
    pub(crate) recent: VecDeque<Restart>,
}

impl History {
    /// An application that is started for the first time.
    pub(crate) fn new(every: Duration) -> Self {
        History {
            phase: Phase::Starting,
            since: Instant::now(),
            every,
            restarts: 0,
            recent: VecDeque::with_capacity(RECENT + 1),
        }
    }

    /// Something else begins.
    pub(crate) fn enter(&mut self, phase: Phase) {
        (self.phase, self.since) = (phase, Instant::now());
    }

    /// A restart is over.
    pub(crate) fn add(&mut self, restart: Restart) {
        self.restarts += 1;
        self.recent.push_front(restart);
        self.recent.truncate(RECENT);
    }
}
