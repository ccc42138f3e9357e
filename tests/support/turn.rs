//! Turns: how many heavy tests run at once, so that they measure Vestibule and not each other.

use std::sync::{Condvar, Mutex};

/// Heavy tests that may run side by side.
const PLACES: usize = 2;

static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

/// The right to run, given back when it goes (in a panic too).
pub(crate) struct Turn(usize);

/// Waits for one of the places.
pub(crate) fn heavy() -> Turn {
    take(1)
}

/// Waits for all of the places: no other heavy test runs beside this one.
pub(crate) fn alone() -> Turn {
    take(PLACES)
}

fn take(places: usize) -> Turn {
    let taken = TAKEN.lock().unwrap_or_else(|poison| poison.into_inner());
    let mut taken = FREED
        .wait_while(taken, |taken| *taken + places > PLACES)
        .unwrap_or_else(|poison| poison.into_inner());
    *taken += places;
    Turn(places)
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(|poison| poison.into_inner()) -= self.0;
        FREED.notify_all();
    }
}
