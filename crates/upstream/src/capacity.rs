//! How many requests an application can really run at once, and finding it by measuring.
//!
//! What the application runs at once is what may be in flight: a request above it would wait in the server's accept
//! queue, where it can neither be cancelled nor kept in order, and is lost with the server. The guess comes from the
//! process ([`crate::peer`]). Measuring corrects it: the kernel knows whether the application has read a request
//! that we sent over a Unix socket. All in flight read, and more in line: it can take more. One that lies unread for
//! longer than [`SETTLED`]: it cannot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
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

/// A sample is read this long after it was asked for: by then every worker has had a tick.
const WINDOW: Duration = Duration::from_millis(180);

/// Where the workers leave what they see when the monitor asks for a sample.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    /// Counts the samples asked for.
    number: AtomicU32,
    /// The same, of all members of the upstream.
    of_all: Arc<AtomicU32>,
    read: AtomicU32,
    unread: AtomicU32,
    /// Unread as well, but sent only just now.
    young: AtomicU32,
}

impl Samples {
    /// Those of one member; `of_all` counts the samples of all of them.
    pub(crate) fn new(of_all: Arc<AtomicU32>) -> Self {
        Samples { of_all, ..Samples::default() }
    }

    /// The number of the sample asked for last.
    pub(crate) fn number(&self) -> u32 {
        self.number.load(Ordering::Relaxed)
    }

    /// One request in flight, sent `age` ago, of which the application has not read `unread` bytes.
    pub(crate) fn saw(&self, age: Duration, unread: Option<u32>) {
        let counter = match unread {
            Some(0) => &self.read,
            Some(_) if age >= SETTLED => &self.unread,
            _ => &self.young,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn ask(&self) {
        self.read.store(0, Ordering::Relaxed);
        self.unread.store(0, Ordering::Relaxed);
        self.young.store(0, Ordering::Relaxed);
        self.number.fetch_add(1, Ordering::Relaxed);
        self.of_all.fetch_add(1, Ordering::Relaxed);
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
    /// When the sample under way was asked for.
    asked: Option<Instant>,
    /// The cap before the trial under way, and how many samples it still has to prove itself.
    trial: Option<(u32, u32)>,
}

/// Samples within which a trial must show that all is read, or the cap goes back.
const TRIAL: u32 = 2;

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
            asked: None,
            trial: None,
        }
    }

    /// Reads the sample under way and asks for the next, as long as there is something to learn; the new cap, if it
    /// changes. To be called often.
    pub(crate) fn update(&mut self, samples: &Samples, load: Load, now: Instant) -> Option<u32> {
        let is_full = load.in_flight >= load.cap && load.is_waited_for;
        if !is_full || self.capacity.floor == self.capacity.ceiling {
            self.asked = None;
            self.unread_before = 0;
            return None;
        }
        let Some(asked) = self.asked else {
            self.asked = Some(now);
            self.trial = None;
            samples.ask();
            return None;
        };
        if now.saturating_duration_since(asked) < WINDOW {
            return None;
        }
        let [read, unread, young] =
            [&samples.read, &samples.unread, &samples.young].map(|count| count.load(Ordering::Relaxed));
        self.asked = Some(now);
        samples.ask();
        let lasting = unread.min(std::mem::replace(&mut self.unread_before, unread));
        if lasting > 0 {
            self.shrink(load.cap, lasting, now)
        } else if unread == 0 && young == 0 && read >= load.cap {
            self.grow(load.cap, now)
        } else {
            self.doubt(load.cap, now)
        }
    }

    /// A sample that says nothing clear: a trial does not live on that.
    fn doubt(&mut self, cap: u32, now: Instant) -> Option<u32> {
        match self.trial.take()? {
            (before, 0 | 1) => self.shrink(cap, cap.saturating_sub(before), now),
            (before, left) => {
                self.trial = Some((before, left - 1));
                None
            }
        }
    }

    fn grow(&mut self, cap: u32, now: Instant) -> Option<u32> {
        if cap >= self.capacity.ceiling || self.not_before.is_some_and(|time| now < time) {
            return None;
        }
        self.trial = Some((cap, TRIAL));
        let step = self.step;
        self.step = step.saturating_mul(2).min(cap.max(1));
        Some(cap.saturating_add(step).min(self.capacity.ceiling))
    }

    fn shrink(&mut self, cap: u32, unread: u32, now: Instant) -> Option<u32> {
        self.unread_before = 0;
        self.trial = None;
        self.step = 1;
        self.not_before = Some(now + self.rest);
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
        let (mut cap, mut now, mut last) = (capacity.guess, Instant::now(), 0);
        let mut caps = vec![];
        for _ in 0..rounds {
            now += WINDOW;
            let load = Load { cap, in_flight: cap, is_waited_for: true };
            if let Some(new) = estimate.update(&samples, load, now) {
                cap = new;
            }
            assert_ne!(std::mem::replace(&mut last, samples.number()), samples.number());
            (0..cap).for_each(|n| samples.saw(SETTLED, Some(if n < can { 0 } else { 100 })));
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
        let caps = settle(ADAPTIVE, 5, 12);
        assert!(caps.iter().all(|&cap| cap <= 6), "{caps:?}");
        assert_eq!(caps.last(), Some(&5));
        assert_eq!(caps.windows(2).filter(|pair| pair[1] > pair[0]).count(), 1, "{caps:?}");
    }

    #[test]
    fn too_high_a_guess_comes_down_but_not_below_what_is_certain() {
        let caps = settle(Capacity { guess: 64, ..ADAPTIVE }, 3, 20);
        assert!(caps.contains(&3), "{caps:?}");
        let fixed = Capacity { guess: 64, floor: 64, ceiling: 1000 };
        assert!(settle(fixed, 3, 20).iter().all(|&cap| cap >= 64));
    }

    #[test]
    fn a_trial_that_proves_nothing_is_taken_back() {
        let (mut estimate, samples, mut now) = (Estimate::new(ADAPTIVE), Samples::default(), Instant::now());
        let mut cap = 5;
        let mut caps = vec![];
        for round in 0..8 {
            now += WINDOW;
            cap = estimate
                .update(&samples, Load { cap, in_flight: cap, is_waited_for: true }, now)
                .unwrap_or(cap);
            (0..5).for_each(|_| samples.saw(SETTLED, Some(0)));
            (5..cap).for_each(|_| samples.saw(Duration::ZERO, Some(100)));
            caps.push(cap);
            assert!(round < 6 || cap == 5, "{caps:?}");
        }
        assert!(caps.contains(&6), "{caps:?}");
    }

    #[test]
    fn learns_nothing_from_requests_sent_just_now_or_from_a_gate_with_room() {
        let (mut estimate, samples, mut now, mut last) =
            (Estimate::new(ADAPTIVE), Samples::default(), Instant::now(), 0);
        let full = Load { cap: 5, in_flight: 5, is_waited_for: true };
        for _ in 0..5 {
            now += WINDOW;
            assert_eq!(estimate.update(&samples, full, now), None);
            (0..5).for_each(|_| samples.saw(Duration::ZERO, Some(100)));
        }
        assert_ne!(std::mem::replace(&mut last, samples.number()), samples.number());
        let room = Load { is_waited_for: false, ..full };
        assert_eq!(estimate.update(&samples, room, now + WINDOW), None);
        assert_eq!(last, samples.number(), "nothing is asked for");
    }
}
