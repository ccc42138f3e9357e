//! The connections of a worker that wait for their client, oldest first, so that they can make room for new ones.
//!
//! A list whose links are indices into a table: parking, leaving and finding the oldest take a few writes each, however
//! many there are, and no memory beyond one slot per connection.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use vestibule_upstream::deadline::TICK;

/// What was parked less than this many ticks ago may have its next request on the way, and stays.
const LEAST_TICKS: u32 = (1000 / TICK.as_millis()) as u32 + 1;

const NONE: u32 = u32::MAX;

/// The table of one worker.
#[derive(Debug)]
pub(crate) struct Idle {
    list: RefCell<List>,
    /// Ticks since the worker began.
    now: Cell<u32>,
}

#[derive(Debug)]
struct List {
    slots: Vec<Slot>,
    free: Vec<u32>,
    oldest: u32,
    newest: u32,
}

#[derive(Debug)]
struct Slot {
    older: u32,
    newer: u32,
    since: u32,
    state: State,
    waker: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Busy,
    Parked,
    /// Its place is wanted.
    Called,
}

/// The slot of one connection.
#[derive(Debug)]
pub(crate) struct Seat {
    idle: Rc<Idle>,
    slot: u32,
}

impl Idle {
    pub(crate) fn new() -> Rc<Self> {
        let list = List { slots: Vec::new(), free: Vec::new(), oldest: NONE, newest: NONE };
        Rc::new(Idle { list: RefCell::new(list), now: Cell::new(0) })
    }

    /// A slot for a connection, which is busy to begin with.
    pub(crate) fn seat(self: &Rc<Self>) -> Seat {
        let new = Slot { older: NONE, newer: NONE, since: 0, state: State::Busy, waker: None };
        let mut list = self.list.borrow_mut();
        let slot = list.free.pop().unwrap_or(list.slots.len() as u32);
        match list.slots.get_mut(slot as usize) {
            Some(old) => *old = new,
            None => list.slots.push(new),
        }
        Seat { idle: Rc::clone(self), slot }
    }

    /// One tick ([`TICK`]) has passed.
    pub(crate) fn tick(&self) {
        self.now.set(self.now.get().wrapping_add(1));
    }

    /// Asks up to `count` of the connections that have been parked for longest, and for a second at least, to close.
    pub(crate) fn make_room(&self, count: usize) {
        for _ in 0..count {
            let called = self.list.borrow_mut().call_oldest(self.now.get());
            // Outside the borrow: waking may run code that parks.
            let Some(waker) = called else { return };
            waker.wake();
        }
    }
}

impl Seat {
    /// Parks the connection, if it is not yet; ready when its place is wanted.
    #[inline]
    pub(crate) fn poll_called(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut list = self.idle.list.borrow_mut();
        let Some(slot) = list.slots.get_mut(self.slot as usize) else { return Poll::Pending };
        match slot.state {
            State::Called => return Poll::Ready(()),
            State::Parked => {}
            State::Busy => {
                slot.since = self.idle.now.get();
                list.link(self.slot);
            }
        }
        let Some(slot) = list.slots.get_mut(self.slot as usize) else { return Poll::Pending };
        // The same task all the time: after the first request this only compares.
        let old = match &slot.waker {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            _ => slot.waker.replace(cx.waker().clone()),
        };
        drop(list);
        drop(old);
        Poll::Pending
    }

    /// The connection is busy again.
    #[inline]
    pub(crate) fn leave(&self) {
        self.idle.list.borrow_mut().unlink(self.slot);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut list = self.idle.list.borrow_mut();
        list.unlink(self.slot);
        list.free.push(self.slot);
        let waker = list.slots.get_mut(self.slot as usize).and_then(|slot| slot.waker.take());
        drop(list);
        drop(waker);
    }
}

impl List {
    /// Puts a slot at the end.
    fn link(&mut self, index: u32) {
        let newest = std::mem::replace(&mut self.newest, index);
        if let Some(slot) = self.slots.get_mut(index as usize) {
            (slot.older, slot.newer, slot.state) = (newest, NONE, State::Parked);
        }
        match self.slots.get_mut(newest as usize) {
            Some(slot) => slot.newer = index,
            None => self.oldest = index,
        }
    }

    /// Takes a slot out, if it is in; it is busy then.
    fn unlink(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        let (older, newer) = (slot.older, slot.newer);
        if std::mem::replace(&mut slot.state, State::Busy) != State::Parked {
            return;
        }
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
        match self.slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
    }

    /// Takes the oldest out, if it is old enough.
    fn call_oldest(&mut self, now: u32) -> Option<Waker> {
        let oldest = self.oldest;
        let since = self.slots.get(oldest as usize)?.since;
        if now.wrapping_sub(since) < LEAST_TICKS {
            return None;
        }
        self.unlink(oldest);
        let slot = self.slots.get_mut(oldest as usize)?;
        slot.state = State::Called;
        slot.waker.take()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn pass(idle: &Idle, ticks: u32) {
        (0..ticks).for_each(|_| idle.tick());
    }

    fn is_called(seat: &Seat) -> bool {
        seat.poll_called(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn calls_the_oldest_first_and_wakes_it() {
        let idle = Idle::new();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let seats: Vec<_> = (0..4).map(|_| idle.seat()).collect();
        for seat in &seats {
            assert!(seat.poll_called(&mut Context::from_waker(&waker)).is_pending());
            pass(&idle, LEAST_TICKS);
        }
        // The oldest had a request since, and is the newest now.
        seats[0].leave();
        assert!(!is_called(&seats[0]));
        idle.make_room(1);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert_eq!(seats.iter().map(is_called).collect::<Vec<_>>(), [false, true, false, false]);
        // Too many asked for: the one that was parked a moment ago stays.
        idle.make_room(9);
        assert_eq!(seats.iter().map(is_called).collect::<Vec<_>>(), [false, true, true, true]);
    }

    #[test]
    fn calls_nobody_who_is_busy_or_was_parked_within_a_second() {
        let idle = Idle::new();
        let (busy, parked) = (idle.seat(), idle.seat());
        pass(&idle, 100);
        assert!(!is_called(&parked));
        pass(&idle, LEAST_TICKS - 1);
        idle.make_room(2);
        assert!(!is_called(&parked));
        pass(&idle, 1);
        idle.make_room(2);
        assert!(is_called(&parked));
        // Its request came first, and it is served: that ends the call.
        parked.leave();
        assert!(!is_called(&parked) && !is_called(&busy));
    }

    #[test]
    fn is_whole_after_any_order_of_events() {
        let mut random = 7_u32;
        let mut next = |below: usize| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random as usize / 7 % below
        };
        let idle = Idle::new();
        let mut seats: Vec<(Seat, bool)> = Vec::new();
        for _ in 0..20_000 {
            let index = next(seats.len().max(1));
            let (event, room) = (next(5), seats.len() < 50);
            match (event, seats.get_mut(index)) {
                (0, _) if room => seats.push((idle.seat(), false)),
                (1, Some(_)) => drop(seats.swap_remove(index)),
                (2 | 3, Some((seat, parked))) => {
                    assert!(!is_called(seat));
                    *parked = true;
                }
                (4, Some((seat, parked))) => {
                    seat.leave();
                    *parked = false;
                }
                _ => {}
            }
            idle.tick();
            let list = idle.list.borrow();
            let mut forwards = Vec::new();
            let mut at = list.oldest;
            while let Some(slot) = list.slots.get(at as usize) {
                assert!(forwards.len() <= seats.len(), "a loop");
                forwards.push(at);
                at = slot.newer;
            }
            let mut expected: Vec<_> =
                seats.iter().filter(|(_, parked)| *parked).map(|(seat, _)| seat.slot).collect();
            expected.sort_by_key(|slot| list.slots[*slot as usize].since);
            assert_eq!(forwards, expected);
            assert!(list.slots.len() <= 50);
        }
    }
}
