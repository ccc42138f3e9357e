//! Whether an application answers within its time.

use std::time::{Duration, Instant};

use vestibule_config::AnswerCheck;

use crate::check::{Repeats, Verdict};

/// Judges what became of the requests that ask an application whether it lives. A crash loop behind a living master and a
/// hang look alike here: no answer, or one too late.
#[derive(Debug, Clone)]
pub struct Answers {
    check: AnswerCheck,
    repeats: Repeats,
    last: Option<Instant>,
}

impl Answers {
    /// Without samples yet.
    #[must_use]
    pub fn new(check: &AnswerCheck) -> Self {
        Answers { check: *check, repeats: Repeats::new(check.times), last: None }
    }

    /// Takes a sample: how long the answer took, or that none came. Whoever asks need not wait longer than
    /// [`Answers::within`].
    pub fn sample<E>(&mut self, now: Instant, answer: &Result<Duration, E>) -> Verdict {
        self.last = Some(now);
        self.repeats.sample(answer.as_ref().map_or(true, |took| *took > self.check.within))
    }

    /// How long until the next sample is due, counted from the end of the last.
    #[must_use]
    pub fn next(&self, now: Instant) -> Duration {
        let Some(last) = self.last else { return Duration::ZERO };
        self.check.every.saturating_sub(now.saturating_duration_since(last))
    }

    /// Longest that an answer may take.
    #[must_use]
    pub fn within(&self) -> Duration {
        self.check.within
    }

    /// How many of the last answers were too late or never came.
    #[must_use]
    pub fn bad(&self) -> usize {
        self.repeats.bad()
    }

    /// Forgets all samples: another life of the application begins.
    pub fn forget(&mut self) {
        self.repeats.forget();
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Result<Duration, ()> = Ok(Duration::from_millis(5));
    const LATE: Result<Duration, ()> = Ok(Duration::from_millis(10_001));
    const NONE: Result<Duration, ()> = Err(());

    /// As `answer = {}` has it: within 10 s, every 5 s, three of five.
    fn answers() -> Answers {
        Answers::new(&AnswerCheck::default())
    }

    #[test]
    fn no_answer_and_a_late_one_count_alike() {
        let (mut answers, now) = (answers(), Instant::now());
        let verdicts = [NONE, QUICK, LATE, QUICK, NONE].map(|answer| answers.sample(now, &answer));
        assert_eq!(verdicts[..4], [Verdict::Fine; 4]);
        assert_eq!(verdicts[4], Verdict::Above);
    }

    #[test]
    fn an_answer_in_the_last_moment_is_one() {
        let (mut answers, now) = (answers(), Instant::now());
        for _ in 0..100 {
            assert_eq!(answers.sample::<()>(now, &Ok(answers.within())), Verdict::Fine);
        }
        assert_eq!(answers.bad(), 0);
    }

    #[test]
    fn a_restart_is_not_blamed_on_the_life_after_it() {
        let (mut answers, now) = (answers(), Instant::now());
        answers.sample(now, &NONE);
        answers.sample(now, &NONE);
        answers.forget();
        assert_eq!(answers.sample(now, &NONE), Verdict::Fine);
        assert_eq!(answers.bad(), 1);
    }

    #[test]
    fn asks_to_be_called_every_so_often() {
        let (mut answers, now) = (answers(), Instant::now());
        assert_eq!(answers.next(now), Duration::ZERO);
        answers.sample(now, &QUICK);
        assert_eq!(answers.next(now + Duration::from_secs(2)), Duration::from_secs(3));
        assert_eq!(answers.next(now + Duration::from_secs(9)), Duration::ZERO);
    }
}
