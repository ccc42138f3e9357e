//! How long to wait before an application that keeps dying is started again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use vestibule_config::Flapping as Rule;

/// The first pause; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(1);

/// Deaths that are remembered, whatever `times` says.
const MOST: usize = 1000;

/// Counts the deaths of an application and its failed starts. It never gives up: however often it has died, it is started
/// again, after a pause that grows to `most` and no further. A life that was long enough ends the pauses: as long as
/// `within`, and as the last pause.
#[derive(Debug, Clone)]
pub struct Flapping {
    times: usize,
    within: Duration,
    most: Duration,
    /// Those that may still count, oldest first, at most `times`.
    deaths: VecDeque<Instant>,
    /// The pause after the last death, if there was one.
    pause: Option<Duration>,
}

impl Flapping {
    /// Without deaths yet.
    #[must_use]
    pub fn new(rule: &Rule) -> Self {
        Flapping {
            times: (rule.times as usize).clamp(1, MOST),
            within: rule.within,
            most: rule.most,
            deaths: VecDeque::new(),
            pause: None,
        }
    }

    /// It died, or its start failed. To be started again at once (`None`), or after so long.
    pub fn died(&mut self, now: Instant) -> Option<Duration> {
        if self.lived(now) >= self.within.max(self.pause.unwrap_or_default()) {
            self.forget();
        }
        if self.deaths.len() == self.times {
            self.deaths.pop_front();
        }
        self.deaths.push_back(now);
        self.pause = match self.pause {
            Some(pause) => Some(pause.saturating_mul(2).min(self.most)),
            None if self.is_often(now) => Some(FIRST.min(self.most)),
            None => None,
        };
        self.pause
    }

    /// The pause after the last death; `None` while it does not flap.
    #[must_use]
    pub fn pause(&self) -> Option<Duration> {
        self.pause
    }

    /// Forgets all deaths: an operator starts it, or another release is there.
    pub fn forget(&mut self) {
        self.deaths.clear();
        self.pause = None;
    }

    /// How long it was not dead: since the end of the pause after its last death.
    fn lived(&self, now: Instant) -> Duration {
        let Some(&last) = self.deaths.back() else { return Duration::ZERO };
        now.saturating_duration_since(last).saturating_sub(self.pause.unwrap_or_default())
    }

    fn is_often(&self, now: Instant) -> bool {
        let first = self.deaths.front().map_or(Duration::MAX, |&first| now.saturating_duration_since(first));
        self.deaths.len() == self.times && first <= self.within
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// As by default: 5 in 60 s, at most 5 minutes.
    fn flapping() -> Flapping {
        Flapping::new(&Rule::default())
    }

    /// Dies after each of these lives (in seconds) and is started again when it may: the pauses, in seconds.
    fn pauses(mut flapping: Flapping, lives: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut now = Instant::now();
        let pause = |life| {
            now += SECOND * life;
            let pause = flapping.died(now).unwrap_or_default();
            now += pause;
            pause.as_secs()
        };
        lives.into_iter().map(|life| u32::try_from(life).expect("short")).map(pause).collect()
    }

    #[test]
    fn starts_at_once_until_it_dies_often() {
        assert_eq!(pauses(flapping(), [1; 6]), [0, 0, 0, 0, 1, 2]);
    }

    #[test]
    fn deaths_far_apart_are_no_flapping() {
        assert_eq!(pauses(flapping(), [16; 40]), [0; 40]);
    }

    #[test]
    fn pauses_grow_to_the_most_and_it_never_gives_up() {
        let pauses = pauses(flapping(), [0; 1000]);
        assert_eq!(pauses[4..14], [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert!(pauses[14..].iter().all(|&pause| pause == 300));
    }

    #[test]
    fn a_calm_life_ends_the_pauses() {
        assert_eq!(pauses(flapping(), [1, 1, 1, 1, 1, 1, 60, 1, 1]), [0, 0, 0, 0, 1, 2, 0, 0, 0]);
    }

    #[test]
    fn a_pause_is_not_taken_for_a_life() {
        // After pauses of more than `within` its deaths are further apart than that, and it still flaps.
        let pauses = pauses(flapping(), [2; 13]);
        assert_eq!(pauses[10..], [64, 128, 256]);
    }

    #[test]
    fn a_life_shorter_than_the_last_pause_is_not_calm() {
        let lives = [0; 12].into_iter().chain([100, 100, 400, 0]);
        assert_eq!(pauses(flapping(), lives)[11..], [128, 256, 300, 0, 0]);
    }

    #[test]
    fn an_operator_begins_anew() {
        let (mut flapping, now) = (flapping(), Instant::now());
        for _ in 0..10 {
            flapping.died(now);
        }
        assert_eq!(flapping.pause(), Some(SECOND * 32));
        flapping.forget();
        assert_eq!(flapping.pause(), None);
        assert_eq!(flapping.died(now), None);
    }

    #[test]
    fn no_pause_is_longer_than_the_most() {
        let rule = Rule { times: 1, within: SECOND, most: SECOND / 2 };
        let (mut flapping, now) = (Flapping::new(&rule), Instant::now());
        assert_eq!(flapping.died(now), Some(SECOND / 2));
        assert_eq!(flapping.died(now), Some(SECOND / 2));
    }

    proptest! {
        #[test]
        fn starts_no_more_often_than_the_rule_lets_it(
            times in 1u32..10, within in 1u64..120, most in 1u64..600,
            lives in prop::collection::vec(0u64..200, 0..200),
        ) {
            let rule = Rule { times, within: SECOND * u32::try_from(within).unwrap(), most: SECOND * u32::try_from(most).unwrap() };
            let pauses = pauses(Flapping::new(&rule), lives.iter().copied());
            let mut at_once = 0;
            for (pause, life) in pauses.iter().zip(&lives) {
                prop_assert!(*pause <= most);
                // Lives that end within a fraction of the time cannot all be followed by a start at once.
                at_once = if *pause == 0 && *life * u64::from(times) < within { at_once + 1 } else { 0 };
                prop_assert!(at_once < times.max(2), "{at_once} starts at once, {pauses:?}");
            }
        }
    }
}
