//! How long a member that failed several times in a row is put aside.

use std::time::{Duration, Instant};

/// The first time aside; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(300);

/// The times aside of one member.
#[derive(Debug, Default)]
pub(super) struct Ejection {
    until: Option<Instant>,
    /// How long the last one was, and when it was over.
    last: Option<(Duration, Instant)>,
}

impl Ejection {
    /// Whether it is put aside.
    pub(super) fn is_on(&self) -> bool {
        self.until.is_some()
    }

    /// Puts it aside; how long. Who was fine for as long as it was aside begins anew.
    pub(super) fn begin(&mut self, now: Instant) -> Duration {
        let pause = match self.last {
            Some((pause, over)) if now.saturating_duration_since(over) < pause => (pause * 2).min(LONGEST),
            _ => FIRST,
        };
        self.until = Some(now + pause);
        self.last = Some((pause, now + pause));
        pause
    }

    /// Whether the time is over just now.
    pub(super) fn end(&mut self, now: Instant) -> bool {
        self.until.take_if(|until| *until <= now).is_some()
    }

    /// Another life began, of which nothing bad is known. Whether it was put aside.
    pub(super) fn forget(&mut self) -> bool {
        self.last = None;
        self.until.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_aside_is_longer_until_it_was_fine_for_as_long() {
        let (mut ejection, mut now) = (Ejection::default(), Instant::now());
        for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(ejection.begin(now).as_secs(), seconds);
            assert!(ejection.is_on() && !ejection.end(now));
            now += Duration::from_secs(seconds);
            assert!(ejection.end(now) && !ejection.is_on() && !ejection.end(now));
        }
        now += Duration::from_secs(300);
        assert_eq!(ejection.begin(now), FIRST);
        assert!(ejection.forget() && !ejection.is_on() && !ejection.forget());
        assert_eq!(ejection.begin(now), FIRST, "another life");
    }
}
