//! When an application is restarted though nothing is wrong with it.

use std::time::{Duration, Instant};

use vestibule_config::Cycle as Rule;

/// Why a restart is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// It is so old.
    Age(Duration),
    /// It gave so many answers.
    Requests(u64),
}

/// The life that an application is allowed, by age, by answers, or by whichever comes first. Each life has its own, longer by
/// up to `jitter` percent, so that applications started together are not restarted together.
#[derive(Debug, Clone)]
pub struct Cycle {
    rule: Rule,
    random: fastrand::Rng,
    life: Option<Life>,
}

/// What one life may be.
#[derive(Debug, Clone)]
struct Life {
    began: Instant,
    age: Option<Duration>,
    /// How many answers there had been when it began, and how many there may have been.
    answers: u64,
    most: Option<u64>,
}

impl Cycle {
    /// Without a life yet. The same seed gives the same lives.
    #[must_use]
    pub fn new(rule: &Rule, seed: u64) -> Self {
        Cycle { rule: *rule, random: fastrand::Rng::with_seed(seed), life: None }
    }

    /// A life begins. `answers` is how many the application has given until now, in all its lives: a count that only grows.
    pub fn begin(&mut self, now: Instant, answers: u64) {
        let longest = 1.0 + f64::from(self.rule.jitter) / 100.0;
        let mut lengthened = |whole: f64| whole * (1.0 + self.random.f64() * (longest - 1.0));
        let age = self.rule.age.map(|age| {
            // Beyond what a Duration can hold, it is as good as never.
            Duration::try_from_secs_f64(lengthened(age.as_secs_f64())).unwrap_or(Duration::MAX)
        });
        // A cast from f64 saturates.
        let requests = self.rule.requests.map(|requests| lengthened(requests as f64) as u64);
        let most = requests.map(|requests| answers.saturating_add(requests.max(1)));
        self.life = Some(Life { began: now, age, answers, most });
    }

    /// Whether the life is over, and why. It stays over until the next begins, so that a restart may wait for its turn.
    #[must_use]
    pub fn due(&self, now: Instant, answers: u64) -> Option<Due> {
        let life = self.life.as_ref()?;
        let age = now.saturating_duration_since(life.began);
        if life.age.is_some_and(|most| age >= most) {
            return Some(Due::Age(age));
        }
        let given = answers.saturating_sub(life.answers);
        life.most.is_some_and(|most| answers >= most).then_some(Due::Requests(given))
    }

    /// How long until it is due by its age; `None` if it never is, or has no life. By answers it may be due before.
    #[must_use]
    pub fn next(&self, now: Instant) -> Option<Duration> {
        let life = self.life.as_ref()?;
        Some(life.age?.saturating_sub(now.saturating_duration_since(life.began)))
    }

    /// The life ended; nothing is due until the next begins.
    pub fn end(&mut self) {
        self.life = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn rule(age: Option<Duration>, requests: Option<u64>, jitter: u32) -> Rule {
        Rule { age, requests, jitter }
    }

    #[test]
    fn is_due_at_its_age() {
        let (mut cycle, start) = (Cycle::new(&rule(Some(HOUR), None, 0), 1), Instant::now());
        cycle.begin(start, 0);
        assert_eq!(cycle.due(start + HOUR - Duration::from_nanos(1), u64::MAX), None);
        assert_eq!(cycle.next(start + HOUR / 4), Some(HOUR / 4 * 3));
        assert_eq!(cycle.due(start + HOUR, 0), Some(Due::Age(HOUR)));
        assert_eq!(cycle.next(start + HOUR * 2), Some(Duration::ZERO));
    }

    #[test]
    fn is_due_after_so_many_answers_of_this_life() {
        let (mut cycle, start) = (Cycle::new(&rule(None, Some(100), 0), 1), Instant::now());
        cycle.begin(start, 5000);
        assert_eq!(cycle.due(start + HOUR * 1000, 5099), None);
        assert_eq!(cycle.due(start, 5103), Some(Due::Requests(103)));
        assert_eq!(cycle.next(start), None);
        cycle.begin(start, 5103);
        assert_eq!(cycle.due(start, 5103), None);
    }

    #[test]
    fn whichever_comes_first() {
        let (mut cycle, start) = (Cycle::new(&rule(Some(HOUR), Some(100), 0), 1), Instant::now());
        cycle.begin(start, 0);
        assert_eq!(cycle.due(start + HOUR / 2, 100), Some(Due::Requests(100)));
        assert_eq!(cycle.due(start + HOUR, 1), Some(Due::Age(HOUR)));
    }

    #[test]
    fn what_does_not_live_is_not_due() {
        let (mut cycle, start) = (Cycle::new(&rule(Some(HOUR), Some(1), 0), 1), Instant::now());
        assert_eq!((cycle.due(start + HOUR * 2, 9), cycle.next(start)), (None, None));
        cycle.begin(start, 0);
        cycle.end();
        assert_eq!((cycle.due(start + HOUR * 2, 9), cycle.next(start)), (None, None));
    }

    #[test]
    fn applications_started_together_are_not_restarted_together() {
        let start = Instant::now();
        let mut lives: Vec<_> = (0..20)
            .map(|seed| {
                let mut cycle = Cycle::new(&rule(Some(HOUR * 10), None, 10), seed);
                cycle.begin(start, 0);
                cycle.next(start).expect("an age")
            })
            .collect();
        lives.sort();
        assert!(lives[19] - lives[0] > HOUR / 4, "all within {:?}", lives[19] - lives[0]);
    }

    #[test]
    fn each_life_has_a_length_of_its_own() {
        let (mut cycle, start) = (Cycle::new(&rule(Some(HOUR), None, 50), 7), Instant::now());
        let mut life = || {
            cycle.begin(start, 0);
            cycle.next(start)
        };
        assert_ne!(life(), life());
    }

    proptest! {
        #[test]
        fn is_lengthened_by_no_more_than_the_jitter(
            seed in any::<u64>(), age in 1u64..10_000_000, requests in 1u64..1_000_000_000, jitter in 0u32..=100, before in any::<u32>(),
        ) {
            let before = u64::from(before);
            let (mut cycle, start) = (Cycle::new(&rule(Some(Duration::from_secs(age)), Some(requests), jitter), seed), Instant::now());
            cycle.begin(start, before);
            let life = cycle.next(start).expect("an age").as_secs_f64();
            let longest = 1.0 + f64::from(jitter) / 100.0;
            prop_assert!(life >= age as f64 - 0.001 && life <= age as f64 * longest + 0.001, "{} for {}", life, age);
            prop_assert_eq!(cycle.due(start, before + requests - 1), None);
            let most = before + (requests as f64 * longest) as u64 + 1;
            prop_assert!(cycle.due(start, most).is_some());
        }

        #[test]
        fn no_rule_is_too_large(seed in any::<u64>(), age in any::<u64>(), requests in any::<u64>(), jitter in any::<u32>(), before in any::<u64>()) {
            let (mut cycle, start) = (Cycle::new(&rule(Some(Duration::from_secs(age)), Some(requests), jitter), seed), Instant::now());
            cycle.begin(start, before);
            prop_assert!(cycle.next(start).is_some());
            let _any = cycle.due(start, u64::MAX);
        }
    }
}
