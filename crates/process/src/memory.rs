//! Whether an application takes more memory than it may, noticed in time.
//!
//! What counts is the PSS of all its processes: pages that they share count once. To read it the kernel walks every page, some
//! 40 ms per GiB, while the process waits if it wants to map memory. The RSS is a number that the kernel keeps anyway. So RSS is
//! looked at often (a *glance*), and PSS read only every so often and before a verdict. In between, memory is taken to be the last PSS
//! and what RSS has grown since: what a process takes newly is its own.
//!
//! An application that leaks 10 MB in each request, at 20 requests per second, grows by 2 GB in the ten seconds between two
//! samples. So the samples come sooner
//!
//! - the nearer the bound is: never so late that it could be far exceeded by the next glance if growth of 256 MiB/s began
//!   right now, and
//! - the faster it grows: the samples that a verdict takes are so close together that, from the bound to the verdict, it grows by no
//!   more than half the *slack*, down to one each 100 ms.
//!
//! And where that is not soon enough, growth until the verdict and until the end of the worker that is recycled then is added to
//! what a sample shows, less the slack. The slack is half the largest worker. So the sum passes the bound by less than one worker, if recycling
//! can keep up at all. What grows slowly, or jumps and stays there, is judged every `every`, by what it has.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use vestibule_config::MemoryCheck;

use crate::check::{Repeats, Verdict};

/// Growth that is always reckoned with, in bytes per second. A core can fill more, a Ruby application hardly does.
const WORST: u64 = 256 << 20;

/// No two glances are closer.
const LEAST: Duration = Duration::from_millis(100);

/// Glances from which growth is told.
const GLANCES: usize = 5;

/// Reading PSS may take one part in so many of the time.
const SHARE: u32 = 10;

/// Until it has been seen: from asking a worker to end, to its end.
const REACTION: Duration = Duration::from_millis(500);

/// All of an application's memory, read in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// PSS of all its processes, in bytes; RSS where PSS cannot be read.
    pub bytes: u64,
    /// RSS of all its processes, in bytes, at the same time.
    pub resident: u64,
    /// The CPU time that the reading took.
    pub took: Duration,
}

/// Whether a glance was enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glance {
    /// Nothing more needs to be known now.
    Enough,
    /// All is to be read, and given to [`Memory::sample`].
    ReadAll,
}

/// Judges samples of the memory of a tree of processes. It has no clock and reads nothing itself.
#[derive(Debug, Clone)]
pub struct Memory {
    check: MemoryCheck,
    repeats: Repeats,
    full: Option<(Instant, Reading)>,
    /// When, and how many bytes it was taken to have; oldest first, at most [`GLANCES`].
    glances: VecDeque<(Instant, f64)>,
    /// Whether the last glance was not enough.
    is_reading: bool,
    /// When a sample was last counted.
    counted: Option<Instant>,
    slack: f64,
    reaction: Duration,
}

/// Bytes per second, never less than 0.
#[derive(Debug, Clone, Copy)]
struct Growth {
    /// The faster of lately and just now: it may go on like this.
    at_most: f64,
    /// The slower of both: a jump is over when it is seen, a leak is not.
    steady: f64,
}

impl Memory {
    /// Without samples yet.
    #[must_use]
    pub fn new(check: &MemoryCheck) -> Self {
        Memory {
            check: *check,
            repeats: Repeats::new(check.times),
            full: None,
            glances: VecDeque::with_capacity(GLANCES),
            is_reading: false,
            counted: None,
            slack: check.above as f64 / 16.0,
            reaction: REACTION,
        }
    }

    /// How long until the next glance is due: `every` at most, 100 ms at least.
    #[must_use]
    pub fn next(&self, now: Instant) -> Duration {
        let (Some(&(last, bytes)), Some((read, _))) = (self.glances.back(), self.full) else {
            return Duration::ZERO;
        };
        let (growth, room) = (self.growth(), self.room(bytes));
        let worst = growth.at_most.max(WORST as f64);
        let glance = self.bounded((room / 2.0).max(self.slack / 4.0) / worst).min(self.pace(growth, room));
        let glanced = now.saturating_duration_since(last);
        let reading = self.check.every.saturating_sub(now.saturating_duration_since(read));
        glance.saturating_sub(glanced).min(reading.max(LEAST.saturating_sub(glanced)))
    }

    /// Takes a glance: RSS of all its processes, in bytes.
    pub fn glance(&mut self, now: Instant, resident: u64) -> Glance {
        let Some((read, reading)) = self.full else { return Glance::ReadAll };
        let bytes = (reading.bytes as f64 + resident as f64 - reading.resident as f64).max(0.0);
        self.remember(now, bytes);
        let age = now.saturating_duration_since(read);
        // Where a process ended that shared pages, RSS fell by all of them, PSS only by its own.
        let has_fallen = reading.resident.saturating_sub(resident) as f64 > self.slack;
        let is_due = self.is_due(now, bytes);
        let is_bad = self.is_above(bytes);
        // No verdict without knowing.
        let is_verdict = is_due && is_bad && self.repeats.is_near();
        self.is_reading = age >= self.check.every
            || (age >= reading.took.saturating_mul(SHARE) && (has_fallen || is_verdict));
        if self.is_reading {
            return Glance::ReadAll;
        }
        if is_due && !is_verdict {
            self.counted = Some(now);
            self.repeats.sample(is_bad);
        }
        Glance::Enough
    }

    /// All is going to be read though the last glance was enough.
    pub(crate) fn read_anyway(&mut self) {
        self.is_reading = self.full.is_some();
    }

    /// Takes a sample.
    pub fn sample(&mut self, now: Instant, reading: Reading) -> Verdict {
        let bytes = reading.bytes as f64;
        // The glance that led to it is the same moment, and this is the truth about it. A worker that is born makes RSS jump by all that
        // it shares, and that was no growth.
        if std::mem::take(&mut self.is_reading) {
            self.glances.pop_back();
        }
        self.remember(now, bytes);
        self.full = Some((now, reading));
        if !self.is_due(now, bytes) {
            return Verdict::Fine;
        }
        self.counted = Some(now);
        self.repeats.sample(self.is_above(bytes))
    }

    /// What it takes, in bytes, as far as is known; `None` before the first sample.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        self.glances.back().map(|&(_, bytes)| bytes as u64)
    }

    /// By how many bytes it would be above its bound with so many more: with one worker more, say, while a new one boots and the
    /// old one is still there. What it is expected to grow by is in it, as in a sample. 0 if it would not be, or nothing is known yet.
    #[must_use]
    pub fn excess(&self, with: u64) -> u64 {
        let Some(&(_, bytes)) = self.glances.back() else { return 0 };
        // A cast from f64 saturates, at 0 too.
        (bytes + self.lead() + with as f64 - self.check.above as f64) as u64
    }

    /// The bound, in bytes.
    #[must_use]
    pub fn above(&self) -> u64 {
        self.check.above
    }

    /// The largest worker has so many bytes: half of it is the slack. Without workers it is a sixteenth of the bound; more than a
    /// quarter of the bound it never is.
    pub fn largest_worker(&mut self, bytes: Option<u64>) {
        let above = self.check.above as f64;
        self.slack =
            bytes.map_or(above / 16.0, |bytes| (bytes as f64 / 2.0).clamp(above / 64.0, above / 4.0));
    }

    /// So long did it take from a verdict until something was better.
    pub fn reacted(&mut self, took: Duration) {
        // At once when it takes longer, slowly when it takes less.
        self.reaction = took.max((self.reaction.saturating_mul(3).saturating_add(took)) / 4);
    }

    /// Forgets all samples: another life of the application begins.
    pub fn forget(&mut self) {
        self.repeats.forget();
        self.full = None;
        self.glances.clear();
        self.is_reading = false;
        self.counted = None;
    }

    fn remember(&mut self, now: Instant, bytes: f64) {
        if self.glances.len() == GLANCES {
            self.glances.pop_front();
        }
        self.glances.push_back((now, bytes));
    }

    fn growth(&self) -> Growth {
        let since = |glance: Option<&(Instant, f64)>| {
            let (Some(&(then, before)), Some(&(now, bytes))) = (glance, self.glances.back()) else {
                return 0.0;
            };
            let passed = now.saturating_duration_since(then).as_secs_f64();
            if passed > 0.0 { ((bytes - before) / passed).max(0.0) } else { 0.0 }
        };
        let (just_now, lately) = (since(self.glances.iter().rev().nth(1)), since(self.glances.front()));
        // Of two glances nobody can tell whether it goes on.
        let steady = if self.glances.len() > 2 { just_now.min(lately) } else { 0.0 };
        Growth { at_most: just_now.max(lately), steady }
    }

    /// Bytes to the bound, not less than 0.
    fn room(&self, bytes: f64) -> f64 {
        (self.check.above as f64 - self.lead() - bytes).max(0.0)
    }

    fn is_above(&self, bytes: f64) -> bool {
        bytes + self.lead() > self.check.above as f64
    }

    /// What it will have grown by when a verdict has had its effect, beyond the slack; at most a quarter of the bound.
    fn lead(&self) -> f64 {
        let growth = self.growth();
        let verdict = self.pace(growth, 0.0).as_secs_f64() * self.repeats.needed() as f64;
        let grown = growth.steady * (verdict + self.reaction.as_secs_f64());
        (grown - self.slack).clamp(0.0, self.check.above as f64 / 4.0)
    }

    /// Between two samples that count, with so much room to the bound.
    fn pace(&self, growth: Growth, room: f64) -> Duration {
        let step = (room / 2.0).max(self.slack / 2.0 / self.repeats.needed() as f64);
        self.bounded(step / growth.steady)
    }

    /// A time in seconds, not shorter than [`LEAST`] and not longer than `every`.
    fn bounded(&self, seconds: f64) -> Duration {
        let every = self.check.every;
        if seconds < every.as_secs_f64() {
            Duration::from_secs_f64(seconds).max(LEAST.min(every))
        } else {
            every
        }
    }

    fn is_due(&self, now: Instant, bytes: f64) -> bool {
        let pace = self.pace(self.growth(), self.room(bytes));
        self.counted.is_none_or(|last| now.saturating_duration_since(last) >= pace)
    }
}

#[cfg(test)]
mod tests;
