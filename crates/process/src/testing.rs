//! What the tests of this crate share.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longer than anything takes on a machine that is not stuck.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Waits for a condition, on this thread.
pub(crate) fn until(otherwise: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "{otherwise}");
        sleep(Duration::from_millis(2));
    }
}
