//! What a client may cost without getting anything done (RFC 9113 10.5).
//!
//! Two budgets, which refill with time and with what is answered. They are wide enough for what honest clients were seen to
//! do at their worst, and what a client can cost on them for good is a small, constant rate.
//!
//! | Budget | Pays for | Has at most | Gets back |
//! |---|---|---|---|
//! | resets | a stream that ends before it is answered: RST_STREAM, any error on a stream that the client provokes (MadeYouReset), one more stream than is allowed | four times the streams of a connection, at least 100: a browser that leaves a page of 100 pictures, four times in a row | a twentieth of the streams each 0.1 s; 1 with each answer |
//! | control | SETTINGS, PING, PRIORITY and unknown frames, empty frames, small window updates, frames for streams that are over, frames of ours that a tiny window makes tiny | 1,000 | 20 each 0.1 s; 8 with each answer; 2 with each DATA frame of ours, which a client may answer with two window updates and, as gRPC does, a PING now and then |

use std::time::{Duration, Instant};

use crate::error::ConnectionError;

/// How often the budgets are refilled.
const STEP: Duration = Duration::from_millis(100);
/// The control budget when it is full, and what it gets each [`STEP`], with each answer, with each DATA frame of ours.
const CONTROL: u32 = 1000;
const CONTROL_STEP: u32 = 20;
const CONTROL_ANSWER: u32 = 8;
const CONTROL_DATA: u32 = 2;
/// A DATA frame of ours that is shorter than this because of the client's windows is paid for, not rewarded.
pub(crate) const TINY: u32 = 512;
/// A window update of this and more costs nothing: 2^31 are soon used up by such.
pub(crate) const WIDE: u32 = 16_384;

/// The budgets of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Flood {
    refilled: Instant,
    resets: u32,
    most_resets: u32,
    control: u32,
    /// Frames that came to be paid for where no error could be given.
    overdrawn: bool,
}

impl Flood {
    pub(crate) fn new(streams: u32, now: Instant) -> Self {
        let most_resets = streams.saturating_mul(4).max(100);
        Self { refilled: now, resets: most_resets, most_resets, control: CONTROL, overdrawn: false }
    }

    /// Gives back what time gives back.
    #[inline]
    pub(crate) fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.refilled);
        if passed >= STEP {
            self.refill_by(passed, now);
        }
    }

    #[cold]
    fn refill_by(&mut self, passed: Duration, now: Instant) {
        let steps = u32::try_from(passed.as_millis() / STEP.as_millis()).unwrap_or(u32::MAX);
        self.resets =
            self.resets.saturating_add(steps.saturating_mul(self.most_resets / 80)).min(self.most_resets);
        self.control = self.control.saturating_add(steps.saturating_mul(CONTROL_STEP)).min(CONTROL);
        self.refilled = now;
    }

    /// A stream has ended before it was answered, and it was the client's doing.
    pub(crate) fn reset(&mut self) -> Result<(), ConnectionError> {
        self.resets = self
            .resets
            .checked_sub(1)
            .ok_or(ConnectionError::Flood("too many streams were opened and reset, or broke the rules"))?;
        Ok(())
    }

    /// A frame came that gets nothing done; `words` say which, if it is the one too many.
    #[inline]
    pub(crate) fn control(&mut self, cost: u32, words: &'static str) -> Result<(), ConnectionError> {
        if self.overdrawn {
            return Err(ConnectionError::Flood(
                "windows so small that answers go out in too many tiny frames",
            ));
        }
        self.control = self.control.checked_sub(cost).ok_or(ConnectionError::Flood(words))?;
        Ok(())
    }

    /// An answer is whole.
    #[inline]
    pub(crate) fn answered(&mut self) {
        self.resets = (self.resets + 1).min(self.most_resets);
        self.control = (self.control + CONTROL_ANSWER).min(CONTROL);
    }

    /// A DATA frame of ours goes out; `squeezed`: it is tiny because the client's windows are.
    #[inline]
    pub(crate) fn sent_data(&mut self, squeezed: bool) {
        if !squeezed {
            self.control = (self.control + CONTROL_DATA).min(CONTROL);
        } else if self.control == 0 {
            self.overdrawn = true;
        } else {
            self.control -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_gives_back_what_was_spent() {
        let start = Instant::now();
        let mut flood = Flood::new(100, start);
        let spend = |flood: &mut Flood| (0..10_000).take_while(|_| flood.reset().is_ok()).count();
        assert_eq!(spend(&mut flood), 400);
        flood.refill(start + STEP / 2);
        assert_eq!(spend(&mut flood), 0);
        flood.refill(start + Duration::from_secs(1));
        assert_eq!(spend(&mut flood), 50);
        flood.refill(start + Duration::from_secs(3600));
        assert_eq!(spend(&mut flood), 400);
    }

    #[test]
    fn answers_give_back_what_was_spent() {
        let mut flood = Flood::new(1, Instant::now());
        while flood.reset().is_ok() {}
        flood.answered();
        assert!(flood.reset().is_ok());
        assert!(flood.reset().is_err());
    }

    #[test]
    fn tiny_frames_that_windows_force_are_paid_for() {
        let mut flood = Flood::new(1, Instant::now());
        for _ in 0..CONTROL {
            flood.sent_data(true);
        }
        assert!(!flood.overdrawn);
        flood.sent_data(true);
        assert!(matches!(flood.control(0, "more"), Err(ConnectionError::Flood(_))));
    }
}
