//! Coarse time limits for everything on a worker's thread.
//!
//! Almost no time limit of a request ever fires, so setting one must cost next to nothing: here it is a slot in a
//! table, and one sweep of the table every [`TICK`] finds what is due. A limit fires up to two ticks late.

use std::cell::RefCell;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Time between two sweeps.
pub const TICK: Duration = Duration::from_millis(100);

const NEVER: u64 = u64::MAX;

#[derive(Default)]
struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Ticks since the thread's table came to be.
    now: u64,
}

struct Slot {
    due: u64,
    /// Woken for samples too, not only when due.
    takes_samples: bool,
    /// A sample is asked for and not taken yet.
    sample_due: bool,
    waker: Option<Waker>,
}

impl Slot {
    fn new(due: u64) -> Self {
        Slot { due, takes_samples: false, sample_due: false, waker: None }
    }
}

thread_local! {
    static TABLE: RefCell<Table> = RefCell::default();
}

/// A time limit; it belongs to the thread that made it.
#[derive(Debug)]
pub struct Deadline {
    slot: u32,
    /// Slots are numbered per thread, so the limit must not leave it.
    _thread: std::marker::PhantomData<*const ()>,
}

impl Deadline {
    /// A limit that fires after `limit`, at least one tick.
    #[inline]
    pub fn after(limit: Duration) -> Self {
        TABLE.with_borrow_mut(|table| {
            let due = table.due(limit);
            let slot = if let Some(free) = table.free.pop() {
                free
            } else {
                table.slots.push(Slot::new(NEVER));
                (table.slots.len() - 1) as u32
            };
            if let Some(entry) = table.slots.get_mut(slot as usize) {
                *entry = Slot::new(due);
            }
            Deadline { slot, _thread: std::marker::PhantomData }
        })
    }

    /// Starts the limit anew.
    #[inline]
    pub fn reset(&self, limit: Duration) {
        TABLE.with_borrow_mut(|table| {
            let due = table.due(limit);
            if let Some(slot) = table.slots.get_mut(self.slot as usize) {
                slot.due = due;
            }
        });
    }

    /// Has the task woken when the capacity of an upstream is sampled.
    pub(crate) fn wake_for_samples(&self) {
        TABLE.with_borrow_mut(|table| {
            if let Some(slot) = table.slots.get_mut(self.slot as usize) {
                slot.takes_samples = true;
            }
        });
    }

    /// Whether a sample was asked for since the last call.
    #[inline]
    pub(crate) fn take_sample_due(&self) -> bool {
        TABLE.with_borrow_mut(|table| {
            let slot = table.slots.get_mut(self.slot as usize);
            slot.is_some_and(|slot| std::mem::take(&mut slot.sample_due))
        })
    }

    /// Whether the limit has passed.
    pub fn is_due(&self) -> bool {
        TABLE
            .with_borrow(|table| table.slots.get(self.slot as usize).is_none_or(|slot| slot.due <= table.now))
    }

    /// Ready when the limit has passed.
    #[inline]
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        TABLE.with_borrow_mut(|table| {
            let now = table.now;
            let Some(slot) = table.slots.get_mut(self.slot as usize) else { return Poll::Ready(()) };
            if slot.due <= now {
                return Poll::Ready(());
            }
            match &slot.waker {
                Some(waker) if waker.will_wake(cx.waker()) => {}
                _ => slot.waker = Some(cx.waker().clone()),
            }
            Poll::Pending
        })
    }
}

impl Drop for Deadline {
    #[inline]
    fn drop(&mut self) {
        // The table may be gone already when the thread ends.
        let _ = TABLE.try_with(|table| {
            let mut table = table.borrow_mut();
            if let Some(slot) = table.slots.get_mut(self.slot as usize) {
                slot.due = NEVER;
                let waker = slot.waker.take();
                table.free.push(self.slot);
                drop(table);
                drop(waker);
            }
        });
    }
}

impl Table {
    fn due(&self, limit: Duration) -> u64 {
        let ticks = limit.as_millis().div_ceil(TICK.as_millis());
        self.now.saturating_add(u64::try_from(ticks).unwrap_or(NEVER)).saturating_add(1)
    }
}

/// Sweeps this thread's table for as long as it is polled; `each_tick` runs after every tick and says whether the tasks
/// that take part in sampling are to be woken.
pub async fn sweep(mut each_tick: impl FnMut() -> bool) {
    let start = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut due = Vec::new();
    loop {
        ticks.tick().await;
        let sample = each_tick();
        TABLE.with_borrow_mut(|table| {
            table.now = (start.elapsed().as_millis() / TICK.as_millis()) as u64;
            let now = table.now;
            for slot in &mut table.slots {
                slot.sample_due |= sample && slot.takes_samples;
                if slot.due <= now || slot.sample_due {
                    due.extend(slot.waker.take());
                }
            }
        });
        // Outside the borrow: waking may run code that sets a limit.
        due.drain(..).for_each(Waker::wake);
    }
}

/// Wakes every task of this thread that waits under a limit, so that it looks around: when a drain begins.
pub fn wake_all() {
    let wakers: Vec<Waker> =
        TABLE.with_borrow_mut(|table| table.slots.iter_mut().filter_map(|slot| slot.waker.take()).collect());
    wakers.into_iter().for_each(Waker::wake);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fires_after_its_limit_and_not_before() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                tokio::task::spawn_local(sweep(|| false));
                let start = Instant::now();
                let deadline = Deadline::after(Duration::from_millis(250));
                std::future::poll_fn(|cx| deadline.poll(cx)).await;
                assert!(start.elapsed() >= Duration::from_millis(250), "{:?}", start.elapsed());
                deadline.reset(Duration::from_secs(3600));
                let mut cx = Context::from_waker(Waker::noop());
                assert!(deadline.poll(&mut cx).is_pending());
            })
            .await;
    }
}
