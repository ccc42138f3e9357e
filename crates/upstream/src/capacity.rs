//! How many requests an application can really run at once, and finding it by measuring.
//!
//! What the application runs at once is what may be in flight: a request above it would wait in the server's accept
//! queue, where it can neither be cancelled nor kept in order, and is lost with the server. The guess comes from the
//! process ([`crate::peer`]). Measuring corrects it: the kernel knows whether the application has read a request
//! that we sent over a Unix socket. All in flight read, and more in line: it can take more. One that lies unread for
//! longer than [`SETTLED`]: it cannot.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A request unread for this long waits for something else than its turn of the processor.
const SETTLED: Duration = Duration::from_millis(8);
/// After a failed trial the next comes no sooner than this, doubled for each further failure.
const FIRST_REST: Duration = Duration::from_secs(2);
const LONGEST_REST: Duration = Duration::from_secs(120);

/// What is known of an application's capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Requests at once, to begin with.
    pub guess: u32,
    /// What it runs at once for certain: measuring goes no lower.
    pub floor: u32,
    /// What it cannot exceed: measuring goes no higher.
    pub ceiling: u32,
}

/// Where the workers leave what they see while the monitor samples.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    epoch: AtomicU32,
    is_sampling: AtomicBool,
    unread: AtomicU32,
    /// Unread as well, but sent only just now.
    young: AtomicU32,
}

impl Samples {
    #[inline]
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Whether workers should wake their requests in flight, so that each looks after its own.
    pub(crate) fn is_running(&self) -> bool {
        self.is_sampling.load(Ordering::Relaxed)
    }

    /// One request in flight, sent `age` ago, of which the application has not read `unread` bytes.
    pub(crate) fn saw(&self, age: Duration, unread: Option<u32>) {
        match unread {
            Some(0) => {}
            Some(_) if age >= SETTLED => {
                self.unread.fetch_add(1, Ordering::Relaxed);
            }
            _ => {
                self.young.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn start(&self) {
        self.unread.store(0, Ordering::Relaxed);
        self.young.store(0, Ordering::Relaxed);
        self.epoch.fetch_add(1, Ordering::Relaxed);
        self.is_sampling.store(true, Ordering::Relaxed);
    }

    fn stop(&self) {
        self.is_sampling.store(false, Ordering::Relaxed);
    }
}

/// Turns samples into a cap; belongs to the monitor.
#[derive(Debug)]
pub(crate) struct Estimate {
    capacity: Capacity,
    /// How much the next trial adds.
    step: u32,
    rest: Duration,
    not_before: Option<Instant>,
    /// Unread requests in the sample before, when there were any.
    unread_before: u32,
    has_sample: bool,
}

/// What the gate looked like when a sample was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) cap: u32,
    pub(crate) in_flight: u32,
    pub(crate) is_waited_for: bool,
}

impl Estimate {
    pub(crate) fn new(capacity: Capacity) -> Self {
        Estimate {
            capacity,
            step: 1,
            rest: FIRST_REST,
            not_before: None,
            unread_before: 0,
            has_sample: false,
        }
    }

    /// Reads the running sample and starts the next, as long as there is something to learn; the new cap, if it
    /// changes. To be called every other tick or so.
    pub(crate) fn update(&mut self, samples: &Samples, load: Load) -> Option<u32> {
        let is_full = load.in_flight >= load.cap && load.is_waited_for;
        let had_sample = std::mem::replace(&mut self.has_sample, is_full);
        if !is_full || self.capacity.floor == self.capacity.ceiling {
            self.has_sample = false;
            self.unread_before = 0;
            samples.stop();
            return None;
        }
        let unread = samples.unread.load(Ordering::Relaxed);
        let young = samples.young.load(Ordering::Relaxed);
        samples.start();
        if !had_sample {
            return None;
        }
        let lasting = unread.min(std::mem::replace(&mut self.unread_before, unread));
        if unread == 0 && young == 0 {
            return self.grow(load.cap);
        }
        if lasting > 0 { self.shrink(load.cap, lasting) } else { None }
    }

    fn grow(&mut self, cap: u32) -> Option<u32> {
        if cap >= self.capacity.ceiling || self.not_before.is_some_and(|time| Instant::now() < time) {
            return None;
        }
        let step = self.step;
        self.step = step.saturating_mul(2).min(cap.max(1));
        Some(cap.saturating_add(step).min(self.capacity.ceiling))
    }

    fn shrink(&mut self, cap: u32, unread: u32) -> Option<u32> {
        self.unread_before = 0;
        self.step = 1;
        self.not_before = Some(Instant::now() + self.rest);
        self.rest = (self.rest * 2).min(LONGEST_REST);
        let smaller = cap.saturating_sub(unread).max(self.capacity.floor);
        (smaller < cap).then_some(smaller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADAPTIVE: Capacity = Capacity { guess: 5, floor: 1, ceiling: 1000 };

    /// An application that reads `can` requests at once and leaves the others; requests last long.
    fn settle(capacity: Capacity, can: u32, rounds: u32) -> Vec<u32> {
        let (mut estimate, samples) = (Estimate::new(capacity), Samples::default());
        let mut cap = capacity.guess;
        let mut caps = vec![];
        for _ in 0..rounds {
            let load = Load { cap, in_flight: cap, is_waited_for: true };
            if let Some(new) = estimate.update(&samples, load) {
                cap = new;
            }
            for _ in can..cap {
                samples.saw(SETTLED, Some(100));
            }
            caps.push(cap);
        }
        caps
    }

    #[test]
    fn an_application_that_takes_more_is_given_more() {
        let caps = settle(ADAPTIVE, 64, 20);
        assert!(caps.iter().any(|&cap| cap >= 64), "{caps:?}");
    }

    #[test]
    fn a_right_guess_is_left_after_one_small_trial() {
        let caps = settle(ADAPTIVE, 5, 20);
        assert!(caps.iter().all(|&cap| cap <= 6), "{caps:?}");
        assert_eq!(caps.last(), Some(&5));
        assert_eq!(caps.windows(2).filter(|pair| pair[1] > pair[0]).count(), 1, "{caps:?}");
    }

    #[test]
    fn too_high_a_guess_comes_down() {
        let caps = settle(Capacity { guess: 64, ..ADAPTIVE }, 3, 20);
        assert_eq!(caps.last(), Some(&3), "{caps:?}");
        let fixed = Capacity { guess: 64, floor: 64, ceiling: 1000 };
        assert_eq!(settle(fixed, 3, 20).last(), Some(&64));
    }

    #[test]
    fn learns_nothing_from_requests_sent_just_now_or_from_a_gate_with_room() {
        let (mut estimate, samples) = (Estimate::new(ADAPTIVE), Samples::default());
        let full = Load { cap: 5, in_flight: 5, is_waited_for: true };
        for _ in 0..5 {
            assert_eq!(estimate.update(&samples, full), None);
            samples.saw(Duration::ZERO, Some(100));
        }
        let room = Load { is_waited_for: false, ..full };
        assert_eq!(estimate.update(&samples, room), None);
        assert!(!samples.is_running());
    }
}
