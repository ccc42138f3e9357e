//! The state of an upstream: written by its monitor alone, read by everybody.

use std::fmt;
use std::time::SystemTime;

/// What the traffic finds at an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It never answered in this life of Vestibule; traffic may try.
    Starting,
    /// It answers.
    Ready,
    /// Nobody is there to answer: requests are held.
    Away(Why, SystemTime),
    /// It takes nothing new on our order; what runs finishes.
    Draining,
    /// It restarts on our order: requests are held.
    Restarting,
    /// The operator holds its requests.
    Paused,
    /// The operator stopped it: 503 at once.
    Stopped,
}

/// Why an upstream is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// No socket at its path (ENOENT).
    Missing,
    /// A socket, and nobody who listens (ECONNREFUSED).
    Refused,
    /// The connection cannot be made for another reason: permission, no route, time.
    Unreachable,
    /// Somebody listens and nobody answers: probes fail and so does the traffic.
    Silent,
    /// The DNS has no address for its name.
    Unresolved,
}

impl Why {
    /// One word for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Missing => "missing",
            Why::Refused => "refused",
            Why::Unreachable => "unreachable",
            Why::Silent => "silent",
            Why::Unresolved => "unresolved",
        }
    }
}

impl State {
    /// Whether requests wait instead of being sent.
    pub fn holds(self) -> bool {
        matches!(self, State::Away(..) | State::Draining | State::Restarting | State::Paused)
    }

    /// Whether an order of ours or of the operator made it, which no probe may overwrite.
    pub fn is_ordered(self) -> bool {
        matches!(self, State::Draining | State::Restarting | State::Paused | State::Stopped)
    }

    /// One word for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Ready => "ready",
            State::Away(..) => "away",
            State::Draining => "draining",
            State::Restarting => "restarting",
            State::Paused => "paused",
            State::Stopped => "stopped",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Away(why, _) => write!(f, "away ({})", why.as_str()),
            other => f.write_str(other.as_str()),
        }
    }
}
