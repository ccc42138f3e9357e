//! Whether an application uses more of the processors than it may.

use std::time::{Duration, Instant};

use vestibule_config::CpuCheck;

use crate::check::{Repeats, Verdict};

/// Judges samples of the processor time that a tree of processes has used. It has no clock and reads nothing itself.
#[derive(Debug, Clone)]
pub struct Cpu {
    check: CpuCheck,
    repeats: Repeats,
    last: Option<(Instant, Duration)>,
    percent: Option<u32>,
}

impl Cpu {
    /// Without samples yet.
    #[must_use]
    pub fn new(check: &CpuCheck) -> Self {
        Cpu { check: *check, repeats: Repeats::new(check.times), last: None, percent: None }
    }

    /// Takes a sample: `used` is the processor time that all its processes have used since each began. The first one is only
    /// what the next is compared with; so is one that is less than the last, as it is when a process has ended and its time
    /// no longer counts.
    pub fn sample(&mut self, now: Instant, used: Duration) -> Verdict {
        let last = self.last.replace((now, used));
        let share = last.and_then(|(then, before)| {
            let passed = now.checked_duration_since(then).filter(|passed| !passed.is_zero())?;
            Some(used.checked_sub(before)?.as_secs_f64() / passed.as_secs_f64() * 100.0)
        });
        let Some(share) = share else { return Verdict::Fine };
        // A cast from f64 saturates.
        self.percent = Some(share.round() as u32);
        self.repeats.sample(share > f64::from(self.check.above))
    }

    /// How long until the next sample is due.
    #[must_use]
    pub fn next(&self, now: Instant) -> Duration {
        let Some((last, _)) = self.last else { return Duration::ZERO };
        self.check.every.saturating_sub(now.saturating_duration_since(last))
    }

    /// Percent of one core between the last two samples.
    #[must_use]
    pub fn percent(&self) -> Option<u32> {
        self.percent
    }

    /// Forgets all samples: another life of the application begins.
    pub fn forget(&mut self) {
        self.repeats.forget();
        self.last = None;
        self.percent = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vestibule_config::Times;

    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    fn cpu(above: u32, bad: u32, of: u32) -> Cpu {
        Cpu::new(&CpuCheck { above, every: EVERY, times: Times { bad, of } })
    }

    /// The number of the sample that gives a verdict, when each interval has one of `percents`.
    fn first_above(mut cpu: Cpu, percents: &[u32]) -> Option<usize> {
        let start = Instant::now();
        let mut used = Duration::from_secs(1000);
        assert_eq!(cpu.sample(start, used), Verdict::Fine);
        percents.iter().zip(1..).position(|(&percent, turn)| {
            used += EVERY * percent / 100;
            cpu.sample(start + EVERY * turn, used) == Verdict::Above
        })
    }

    #[test]
    fn is_above_after_three_of_five() {
        assert_eq!(first_above(cpu(90, 3, 5), &[95, 100, 20, 20, 20, 95, 91, 91]), Some(7));
    }

    #[test]
    fn exactly_the_bound_is_not_above() {
        assert_eq!(first_above(cpu(90, 1, 1), &[90, 90, 90, 91]), Some(3));
    }

    #[test]
    fn several_cores_are_more_than_a_hundred_percent() {
        assert_eq!(first_above(cpu(250, 1, 1), &[200, 240, 260]), Some(2));
    }

    #[test]
    fn the_first_sample_says_nothing() {
        let mut cpu = cpu(1, 1, 1);
        assert_eq!(cpu.sample(Instant::now(), Duration::from_secs(100_000)), Verdict::Fine);
        assert_eq!(cpu.percent(), None);
    }

    #[test]
    fn a_worker_that_ended_with_its_time_does_not_count() {
        let (mut cpu, start) = (cpu(50, 1, 1), Instant::now());
        cpu.sample(start, Duration::from_secs(100));
        assert_eq!(cpu.sample(start + EVERY, Duration::from_secs(40)), Verdict::Fine);
        assert_eq!(cpu.sample(start + EVERY * 2, Duration::from_secs(44)), Verdict::Fine);
        assert_eq!(cpu.percent(), Some(40));
        assert_eq!(cpu.sample(start + EVERY * 3, Duration::from_secs(50)), Verdict::Above);
    }

    #[test]
    fn two_samples_at_one_moment_say_nothing() {
        let (mut cpu, start) = (cpu(50, 1, 1), Instant::now());
        cpu.sample(start, Duration::ZERO);
        assert_eq!(cpu.sample(start, Duration::from_secs(1)), Verdict::Fine);
    }

    #[test]
    fn another_life_begins_without_a_past() {
        let (mut cpu, start) = (cpu(50, 2, 2), Instant::now());
        cpu.sample(start, Duration::ZERO);
        cpu.sample(start + EVERY, EVERY);
        cpu.forget();
        assert_eq!(cpu.next(start + EVERY), Duration::ZERO);
        cpu.sample(start + EVERY * 2, Duration::from_secs(500));
        assert_eq!(cpu.sample(start + EVERY * 3, Duration::from_secs(510)), Verdict::Fine);
    }

    #[test]
    fn asks_to_be_called_every_so_often() {
        let (mut cpu, start) = (cpu(50, 1, 1), Instant::now());
        assert_eq!(cpu.next(start), Duration::ZERO);
        cpu.sample(start, Duration::ZERO);
        assert_eq!(cpu.next(start + Duration::from_secs(4)), Duration::from_secs(6));
        assert_eq!(cpu.next(start + Duration::from_secs(14)), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn is_never_above_while_it_stays_below(percents in prop::collection::vec(0u32..=90, 1..100)) {
            prop_assert_eq!(first_above(cpu(90, 1, 1), &percents), None);
        }
    }
}
