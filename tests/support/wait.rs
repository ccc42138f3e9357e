//! Waiting for a condition, with a deadline and a name for what did not come.

use std::time::{Duration, Instant};

/// Returns the first `Some` of `look`; panics naming `what` when `limit` passes before.
pub(crate) fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Like [`until`], for a condition.
pub(crate) fn until_true(what: &str, limit: Duration, mut look: impl FnMut() -> bool) {
    until(what, limit, || look().then_some(()));
}

/// Seconds, for short lines in the tests.
pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
