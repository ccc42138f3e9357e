//! What ends threads of a test, though the test has failed.

use std::sync::atomic::{AtomicBool, Ordering};

/// Is set when it goes: threads of a scope that wait for it would keep a panic waiting for ever.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
