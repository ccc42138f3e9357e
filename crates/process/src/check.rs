//! Whether samples are bad often enough to do something about them.

use std::collections::VecDeque;

use vestibule_config::Times;

/// What a sample, together with those before it, says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is to be done.
    Fine,
    /// Above what it may be, as often as it takes. What was seen until now is forgotten with it: the next verdict needs as
    /// many bad samples again.
    Above,
}

/// `times = [3, 5]`: three bad ones of the last five samples make a verdict. Five need not have been taken for that.
#[derive(Debug, Clone)]
pub struct Repeats {
    needed: usize,
    of: usize,
    /// The last samples, oldest first, at most `of`: whether each was bad.
    samples: VecDeque<bool>,
}

impl Repeats {
    /// Without samples yet. Nonsense is made sense of: at least one is needed, and no more than there are.
    #[must_use]
    pub fn new(times: Times) -> Self {
        let of = times.of.max(1) as usize;
        Repeats { needed: (times.bad as usize).clamp(1, of), of, samples: VecDeque::new() }
    }

    /// Takes a sample.
    pub fn sample(&mut self, is_bad: bool) -> Verdict {
        if self.samples.len() == self.of {
            self.samples.pop_front();
        }
        self.samples.push_back(is_bad);
        if self.bad() < self.needed {
            return Verdict::Fine;
        }
        self.forget();
        Verdict::Above
    }

    /// Whether a bad sample now would be the last that a verdict needs.
    #[must_use]
    pub fn is_near(&self) -> bool {
        let falls_out = usize::from(self.samples.len() == self.of && self.samples.front() == Some(&true));
        self.bad() - falls_out + 1 >= self.needed
    }

    /// How many of the last samples were bad.
    #[must_use]
    pub fn bad(&self) -> usize {
        self.samples.iter().filter(|&&is_bad| is_bad).count()
    }

    /// How many bad ones it takes.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// Forgets all samples: those to come are of another life.
    pub fn forget(&mut self) {
        self.samples.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdicts(bad: u32, of: u32, samples: &str) -> String {
        let mut repeats = Repeats::new(Times { bad, of });
        let word = |sample| if repeats.sample(sample == 'x') == Verdict::Above { '!' } else { '.' };
        samples.chars().map(word).collect()
    }

    #[test]
    fn three_of_the_last_five() {
        assert_eq!(verdicts(3, 5, "xx...xx....xx.x"), "..............!");
        assert_eq!(verdicts(3, 5, "x.x.x"), "....!");
    }

    #[test]
    fn needs_no_full_window() {
        assert_eq!(verdicts(3, 5, "xxx"), "..!");
    }

    #[test]
    fn starts_anew_after_a_verdict() {
        assert_eq!(verdicts(3, 5, "xxxxxxxx"), "..!..!..");
    }

    #[test]
    fn one_of_one_is_each() {
        assert_eq!(verdicts(1, 1, ".x.xx"), ".!.!!");
    }

    #[test]
    fn impossible_times_become_the_nearest_possible() {
        assert_eq!(verdicts(0, 0, ".x"), ".!");
        assert_eq!(verdicts(9, 2, "x.xx"), "...!");
    }

    #[test]
    fn what_is_forgotten_does_not_count() {
        let mut repeats = Repeats::new(Times { bad: 2, of: 3 });
        repeats.sample(true);
        repeats.forget();
        assert_eq!(repeats.sample(true), Verdict::Fine);
        assert_eq!(repeats.bad(), 1);
    }

    proptest! {
        #[test]
        fn agrees_with_counting_by_hand(of in 1u32..12, bad in 1u32..12, samples in prop::collection::vec(any::<bool>(), 0..200)) {
            let bad = bad.min(of);
            let mut repeats = Repeats::new(Times { bad, of });
            let mut since = 0;
            for (at, &sample) in samples.iter().enumerate() {
                let near = repeats.is_near();
                let window = &samples[since.max((at + 1).saturating_sub(of as usize))..=at];
                let expected = window.iter().filter(|&&bad| bad).count() >= bad as usize;
                let verdict = repeats.sample(sample);
                prop_assert_eq!(verdict == Verdict::Above, expected);
                prop_assert!(!sample || near == expected, "sample {}: near {}", at, near);
                if expected {
                    since = at + 1;
                }
            }
        }
    }
}
