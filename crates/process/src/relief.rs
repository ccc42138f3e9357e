//! What is done about an application that takes too much memory: one worker after the other, and all of it when that does not help.

use std::time::{Duration, Instant};

use vestibule_config::MemoryCheck;

use crate::check::Verdict;
use crate::memory::{Glance, Memory, Reading};

/// How long a worker that was asked to end may take, before it counts as one that cannot be recycled. Its last request
/// may be a long one.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at whether a worker has ended.
const LOOK: Duration = Duration::from_millis(250);

/// The first pause after a restart that did not help; each further one is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<I> {
    /// Nothing.
    Nothing,
    /// This worker is to end gently, so that a new one takes its place. It is not asked for twice.
    Recycle(I),
    /// The whole application is to be restarted. [`Relief::restarted`] when that is done.
    Restart,
    /// It is above its bound, and was so right after its last restart: the bound is too low for it. Nothing more is done
    /// until then. Said once for each pause.
    Pause {
        /// When it will be tried again.
        until: Instant,
    },
}

/// Watches the memory of an application and says which worker to recycle, or that only a restart is left. `I` tells one life of a
/// worker from all others.
///
/// Above its bound, the largest worker is recycled. That helped if the application then stays below for as long as the growth before lets
/// one expect: a quarter of that at least. If not (it is the server's first process that leaks, say, or all are as large as
/// they have to be), the largest of the others is next. When each of the workers has been recycled once and none of it helped, a restart follows,
/// at once where there are no workers, or where they have less than a quarter of the bound between them.
///
/// One worker is recycled at a time. A further one, up to half of them, only when the sum is above the bound by half a worker already.
#[derive(Debug, Clone)]
pub struct Relief<I> {
    memory: Memory,
    /// Workers that were asked to end and have not been replaced yet.
    under_way: Vec<Recycling<I>>,
    round: Option<Round<I>>,
    /// The least that it had since the last worker was recycled, and since when that counts.
    low: Option<Low>,
    /// The least that it had since it was restarted because of its memory.
    fresh: Option<u64>,
    pause: Option<Pause>,
    last_reading: Option<(Instant, Duration)>,
}

#[derive(Debug, Clone, Copy)]
struct Recycling<I> {
    worker: I,
    asked: Instant,
    /// When it was seen to be gone.
    gone: Option<Instant>,
    /// How many workers there were.
    workers: usize,
}

/// From a first verdict until something helps.
#[derive(Debug, Clone)]
struct Round<I> {
    /// The workers that have not been recycled in it.
    left: Vec<I>,
    /// Bytes per second by which it grew before.
    rate: f64,
    /// Bytes when the last worker was asked to end.
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Low {
    since: Instant,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    length: Duration,
}

impl<I: Copy + Eq> Relief<I> {
    /// Without samples yet.
    #[must_use]
    pub fn new(check: &MemoryCheck) -> Self {
        Relief {
            memory: Memory::new(check),
            under_way: Vec::new(),
            round: None,
            low: None,
            fresh: None,
            pause: None,
            last_reading: None,
        }
    }

    /// What it takes.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// How long until the next glance is due.
    #[must_use]
    pub fn next(&self, now: Instant) -> Duration {
        let next = self.memory.next(now);
        let look = self.look().map(|at| at.saturating_duration_since(now));
        look.map_or(next, |look| next.min(look))
    }

    /// Takes a glance: RSS of all its processes, in bytes. See [`Memory::glance`].
    pub fn glance(&mut self, now: Instant, resident: u64) -> Glance {
        let glance = self.memory.glance(now, resident);
        if self.look().is_none_or(|at| now < at) {
            return glance;
        }
        self.memory.read_anyway();
        Glance::ReadAll
    }

    /// Takes a sample: all memory, and each worker with its bytes.
    pub fn sample(&mut self, now: Instant, reading: Reading, workers: &[(I, u64)]) -> Step<I> {
        self.last_reading = Some((now, reading.took));
        self.memory.largest_worker(workers.iter().map(|&(_, bytes)| bytes).max());
        self.look_after(now, reading.bytes, workers);
        let low = self.low.get_or_insert(Low { since: now, bytes: reading.bytes });
        low.bytes = low.bytes.min(reading.bytes);
        self.fresh = self.fresh.map(|fresh| fresh.min(reading.bytes));
        if self.memory.sample(now, reading) == Verdict::Fine {
            return Step::Nothing;
        }
        if !self.under_way.is_empty() {
            return self.one_more(now, reading.bytes, workers);
        }
        if let Some(pause) = self.pause
            && now < pause.until
        {
            return Step::Nothing;
        }
        if let Some(fresh) = self.fresh {
            if fresh / 7 > self.memory.above() / 8 {
                return self.pause(now);
            }
            self.pause = None;
        }
        self.begin_or_go_on(now, reading.bytes, workers);
        let own = workers.iter().map(|&(_, bytes)| bytes).sum::<u64>();
        let target = if own < self.memory.above() / 4 { None } else { self.largest_left(workers) };
        match target {
            Some(worker) => self.recycle(now, worker, reading.bytes, workers.len()),
            None => Step::Restart,
        }
    }

    /// The application was restarted, because of its memory, and has answered.
    pub fn restarted(&mut self) {
        self.forget();
        self.fresh = Some(u64::MAX);
    }

    /// Another life of the application begins, for another reason.
    pub fn forget(&mut self) {
        self.memory.forget();
        self.under_way.clear();
        self.round = None;
        self.low = None;
        self.fresh = None;
        self.last_reading = None;
    }

    /// When to look whether a worker has ended. PSS is read with it, which has its price.
    fn look(&self) -> Option<Instant> {
        let (last, took) = self.last_reading.filter(|_| !self.under_way.is_empty())?;
        Some(last + LOOK.max(took.saturating_mul(10)))
    }

    /// Sees which workers are gone and replaced.
    fn look_after(&mut self, now: Instant, bytes: u64, workers: &[(I, u64)]) {
        if self.under_way.is_empty() {
            return;
        }
        let memory = &mut self.memory;
        self.under_way.retain_mut(|recycling| {
            let is_here = workers.iter().any(|&(worker, _)| worker == recycling.worker);
            let took = now.saturating_duration_since(recycling.asked);
            if !is_here && recycling.gone.is_none() {
                recycling.gone = Some(now);
                memory.reacted(took.min(PATIENCE));
            }
            let is_replaced = !is_here && workers.len() >= recycling.workers;
            !is_replaced && took < PATIENCE
        });
        if self.under_way.is_empty() {
            self.low = Some(Low { since: now, bytes });
        }
    }

    /// It is above though workers are being recycled.
    fn one_more(&mut self, now: Instant, bytes: u64, workers: &[(I, u64)]) -> Step<I> {
        let largest = workers.iter().map(|&(_, bytes)| bytes).max().unwrap_or(0);
        let is_far = bytes > self.memory.above().saturating_add(largest / 2);
        if !is_far || (self.under_way.len() + 1) * 2 > workers.len() {
            return Step::Nothing;
        }
        match self.largest_left(workers) {
            Some(worker) => self.recycle(now, worker, bytes, workers.len()),
            None => Step::Nothing,
        }
    }

    fn pause(&mut self, now: Instant) -> Step<I> {
        let length = self.pause.map_or(FIRST_PAUSE, |pause| (pause.length * 2).min(LONGEST_PAUSE));
        let until = now + length;
        self.pause = Some(Pause { until, length });
        // When it is over, one more try, from the beginning.
        self.fresh = None;
        Step::Pause { until }
    }

    /// Ends the round if the last recycling helped, and begins one if there is none.
    fn begin_or_go_on(&mut self, now: Instant, bytes: u64, workers: &[(I, u64)]) {
        let low = self.low.unwrap_or(Low { since: now, bytes });
        let passed = now.saturating_duration_since(low.since).as_secs_f64();
        if let Some(round) = &self.round {
            let freed = round.bytes.saturating_sub(low.bytes) as f64;
            // Without growth before nothing is expected but that it frees something.
            let expected = if round.rate > 0.0 { freed / round.rate } else { 0.0 };
            if freed <= 0.0 || passed < expected / 4.0 {
                return;
            }
        }
        let risen = bytes.saturating_sub(low.bytes) as f64;
        let rate = if passed > 0.0 { risen / passed } else { 0.0 };
        let left = workers.iter().map(|&(worker, _)| worker).collect();
        self.round = Some(Round { left, rate, bytes });
    }

    fn largest_left(&self, workers: &[(I, u64)]) -> Option<I> {
        let round = self.round.as_ref()?;
        let left = workers.iter().filter(|(worker, _)| round.left.contains(worker));
        left.max_by_key(|&&(_, bytes)| bytes).map(|&(worker, _)| worker)
    }

    fn recycle(&mut self, now: Instant, worker: I, bytes: u64, workers: usize) -> Step<I> {
        if let Some(round) = &mut self.round {
            round.left.retain(|&left| left != worker);
            round.bytes = bytes;
        }
        self.under_way.push(Recycling { worker, asked: now, gone: None, workers });
        Step::Recycle(worker)
    }
}

#[cfg(test)]
mod tests;
