//! The gate before a member: how many requests may be in flight there, and the line of those that wait for any gate of
//! their upstream.
//!
//! As long as nobody waits, a permit is one compare-and-swap on one word. As soon as somebody does, everything goes
//! through the line behind its lock, so that nobody overtakes: first in, first out by [`Ticket`] within a worker, and
//! over all workers but for [`HARDLY_SOONER`]. Several gates share one line: who waits goes where there is room first.

mod line;
mod permit;
#[cfg(test)]
mod several;
#[cfg(test)]
mod stress;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub use line::Line;
use line::Queue;
pub use permit::{Permit, Waiting};

const NUMBER: u64 = (1 << 24) - 1;
const CAP_SHIFT: u32 = 24;
/// The member is away, paused or restarting: nobody enters.
const CLOSED: u64 = 1 << 48;
/// Its accept queue is full: nobody enters but by [`Gate::admit_one`].
const BUSY: u64 = 1 << 49;
/// Somebody is in line: no short cut past them.
const WAITING: u64 = 1 << 50;
/// Stopped by the operator: nobody enters and nobody waits.
const REFUSING: u64 = 1 << 51;
/// Others go first: it is ill, or a backup, and there is somebody better.
const ASIDE: u64 = 1 << 52;

/// A request of the thread that gives a permit back goes before one of another that came sooner by no more than this.
const HARDLY_SOONER: Duration = Duration::from_millis(5);
/// So far from the front of the line it is looked for.
const NEAR: usize = 32;

/// The largest cap on requests in flight.
pub(crate) const MAX_CAP: u32 = NUMBER as u32;

/// What a weight of 1 is in the measure of [`Gate::weight`], which has to tell parts of it.
pub(crate) const FULL_WEIGHT: u32 = 1000;

/// A request's place in the line: when it arrived, and its number among those of its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    /// When the request arrived.
    pub arrived: Instant,
    /// Tells apart what arrived in the same instant; unique within the process for that instant.
    pub serial: u64,
}

/// Why a request may not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As many requests wait as may.
    #[error("too many requests are waiting for the application")]
    Full,
    /// The waiting requests hold as much memory as they may.
    #[error("the requests waiting for the application fill the memory they may use")]
    Memory,
    /// The operator stopped the application.
    #[error("the application is stopped")]
    Stopped,
}

/// What becomes of requests at the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// They enter as far as the cap allows it.
    Free,
    /// All wait.
    Held,
    /// All are refused: the operator's stop.
    Refused,
}

/// What the line has seen since it was last asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Holds {
    /// Requests that waited and were let in.
    pub released: u64,
    /// The longest that one of them waited.
    pub longest: Duration,
}

/// The permits of one member.
#[derive(Debug)]
pub struct Gate {
    /// Flags, cap and number in flight; changed by compare-and-swap, and under the line's lock while `WAITING`.
    word: AtomicU64,
    /// How much it is to get beside others, in thousandths.
    weight: AtomicU32,
    /// Tells it from the others of its line.
    id: u32,
    line: Arc<Line>,
}

impl Gate {
    /// An open gate for `cap` requests at once, with a line of its own in which at most `most_waiting` requests with
    /// `most_bytes` wait.
    pub fn new(cap: u32, most_waiting: u32, most_bytes: u64) -> Arc<Self> {
        Line::new(most_waiting, most_bytes).open_gate(cap, 0, FULL_WEIGHT)
    }

    /// A permit at once, if there is one and nobody waits for it.
    #[inline]
    pub fn try_enter(self: &Arc<Self>) -> Option<Permit> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & (CLOSED | BUSY | WAITING | REFUSING | ASIDE) != 0 || in_flight(word) >= cap(word) {
                return None;
            }
            match self.word.compare_exchange_weak(word, word + 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Some(Permit::new(Arc::clone(self), false)),
                Err(now) => word = now,
            }
        }
    }

    /// As [`Line::wait`], at the line of this gate.
    ///
    /// # Errors
    /// [`Refused`] when it may not wait.
    pub fn wait(self: &Arc<Self>, ticket: Ticket, bytes: u64, returning: bool) -> Result<Waiting, Refused> {
        self.line.wait(ticket, bytes, returning, None)
    }

    /// Lets in as many as may be, first come first.
    fn let_in(self: &Arc<Self>, queue: &mut Queue) {
        while self.word.load(Ordering::Acquire) & BUSY == 0 && self.let_one_in(queue) {}
        queue.settle(self);
    }

    /// Lets the first of the line in if the cap allows it and the gate is not closed; while the accept queue is full,
    /// only if nobody else is trying.
    fn let_one_in(self: &Arc<Self>, queue: &mut Queue) -> bool {
        let word = self.word.load(Ordering::Acquire);
        if queue.is_empty() || word & (CLOSED | REFUSING | ASIDE) != 0 || in_flight(word) >= cap(word) {
            return false;
        }
        let is_busy = word & BUSY != 0;
        if is_busy && queue.is_trying(self) {
            return false;
        }
        // WAITING is set, so nobody but the holder of the line's lock changes the number in flight.
        self.word.fetch_add(1, Ordering::AcqRel);
        while let Some(ticket) = queue.release_next(self, is_busy) {
            let Some(ticket) = ticket else { continue };
            if is_busy {
                queue.begin_try(self, ticket);
            }
            return true;
        }
        self.word.fetch_sub(1, Ordering::AcqRel);
        false
    }

    /// Who was let in while the accept queue was full has a connection: the next may try.
    fn end_try(self: &Arc<Self>) {
        let mut queue = self.line.lock();
        queue.end_try(self);
        self.let_in_owed(&mut queue);
        queue.settle(self);
    }

    /// A try is over: lets in the next if there was reason to during that try.
    fn let_in_owed(self: &Arc<Self>, queue: &mut Queue) {
        if queue.is_owed(self) && self.let_one_in(queue) {
            queue.pay(self);
        }
    }

    /// A permit comes back. `was_trying`: of one for which all others wait. In vain, it goes on to do so until it is back
    /// in the line, in its old place.
    fn leave(self: &Arc<Self>, was_in_vain: bool, was_trying: bool) {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & WAITING == 0 {
            match self.word.compare_exchange_weak(word, word - 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
        let mut queue = self.line.lock();
        self.word.fetch_sub(1, Ordering::AcqRel);
        if was_trying && !was_in_vain {
            queue.end_try(self);
        }
        if self.word.load(Ordering::Acquire) & BUSY != 0 {
            // An answer ended, so there may be room for one in the accept queue: try with one, not with all.
            if !was_in_vain && !self.let_one_in(&mut queue) && queue.is_trying(self) {
                queue.owe(self);
            }
            queue.settle(self);
        } else {
            self.let_in(&mut queue);
        }
    }

    /// Closes (nobody enters, all wait) or opens the gate; a stop stays one.
    pub fn set_closed(self: &Arc<Self>, closed: bool) {
        let mut queue = self.line.lock();
        if closed {
            self.word.fetch_or(CLOSED, Ordering::AcqRel);
        } else {
            self.word.fetch_and(!CLOSED, Ordering::AcqRel);
        }
        self.line.changed(&mut queue);
    }

    /// The accept queue is full, or no longer. While it is, requests enter one by one.
    pub(crate) fn set_busy(self: &Arc<Self>, busy: bool) {
        let mut queue = self.line.lock();
        if busy {
            self.word.fetch_or(BUSY, Ordering::AcqRel);
        } else {
            self.word.fetch_and(!BUSY, Ordering::AcqRel);
            self.let_in(&mut queue);
        }
    }

    /// What becomes of everybody from now on, those in line too. For the member's monitor.
    pub(crate) fn set_entry(self: &Arc<Self>, entry: Entry) {
        let flag = match entry {
            Entry::Free => 0,
            Entry::Held => CLOSED,
            Entry::Refused => REFUSING,
        };
        let mut queue = self.line.lock();
        // In one step: who comes between two would find the gate open on the way from one to the other.
        self.change(|word| word & !(CLOSED | REFUSING) | flag);
        self.line.changed(&mut queue);
    }

    /// Whether it is ill: then others go first, as long as there are others.
    pub(crate) fn set_ill(self: &Arc<Self>, ill: bool) {
        let mut queue = self.line.lock();
        queue.set_ill(self, ill);
        self.line.changed(&mut queue);
    }

    /// While the accept queue is full: lets the first of the line try.
    pub(crate) fn admit_one(self: &Arc<Self>) {
        let mut queue = self.line.lock();
        self.let_one_in(&mut queue);
        queue.settle(self);
    }

    /// Changes how many may be in flight at once. Those in flight above a smaller cap run to their end.
    pub(crate) fn set_cap(self: &Arc<Self>, new: u32) {
        let new = u64::from(new.clamp(1, MAX_CAP)) << CAP_SHIFT;
        let mut queue = self.line.lock();
        self.change(|word| word & !(NUMBER << CAP_SHIFT) | new);
        self.let_in(&mut queue);
    }

    fn change(&self, change: impl Fn(u64) -> u64) {
        let mut word = self.word.load(Ordering::Relaxed);
        while let Err(now) =
            self.word.compare_exchange_weak(word, change(word), Ordering::AcqRel, Ordering::Relaxed)
        {
            word = now;
        }
    }

    /// Leaves its upstream for good: nobody enters any more, and who is in flight ends in peace.
    pub(crate) fn part(self: &Arc<Self>) {
        let mut queue = self.line.lock();
        self.word.fetch_or(CLOSED, Ordering::AcqRel);
        queue.remove(self);
        self.word.fetch_and(!(WAITING | BUSY), Ordering::AcqRel);
        self.line.changed(&mut queue);
    }

    /// How many may be in flight at once.
    #[inline]
    pub(crate) fn cap(&self) -> u32 {
        cap(self.word.load(Ordering::Relaxed)) as u32
    }

    /// How many are.
    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        in_flight(self.word.load(Ordering::Relaxed)) as u32
    }

    /// How much it is to get beside others, in thousandths.
    #[inline]
    pub(crate) fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    pub(crate) fn set_weight(&self, weight: u32) {
        self.weight.store(weight.max(1), Ordering::Relaxed);
    }

    /// Tells it from the others of its line.
    #[inline]
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Whether somebody is in line.
    #[inline]
    pub(crate) fn is_waited_for(&self) -> bool {
        self.word.load(Ordering::Relaxed) & WAITING != 0
    }

    /// Whether nobody may enter for now.
    pub(crate) fn is_closed(&self) -> bool {
        self.word.load(Ordering::Relaxed) & CLOSED != 0
    }

    /// Whether new requests are meant for it: it is neither closed nor busy, nor do others go first.
    #[inline]
    pub(crate) fn is_in_service(&self) -> bool {
        self.word.load(Ordering::Relaxed) & (CLOSED | BUSY | REFUSING | ASIDE) == 0
    }

    /// Whether others go first.
    #[cfg(test)]
    pub(crate) fn is_aside(&self) -> bool {
        self.word.load(Ordering::Relaxed) & ASIDE != 0
    }

    /// Whether everybody is refused.
    #[inline]
    pub(crate) fn is_refusing(&self) -> bool {
        self.word.load(Ordering::Relaxed) & REFUSING != 0
    }

    /// Whether the accept queue was found full.
    pub(crate) fn is_busy(&self) -> bool {
        self.word.load(Ordering::Relaxed) & BUSY != 0
    }

    /// How many are in line.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        if self.is_waited_for() { self.line.waiting() } else { 0 }
    }

    /// What the line has seen since the last call.
    pub(crate) fn take_holds(&self) -> Holds {
        self.line.take_holds()
    }
}

/// A number for this thread.
fn this_thread() -> u32 {
    static THREADS: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        static THREAD: u32 = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    THREAD.with(|thread| *thread)
}

fn in_flight(word: u64) -> u64 {
    word & NUMBER
}

fn cap(word: u64) -> u64 {
    (word >> CAP_SHIFT) & NUMBER
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::*;

    fn ticket(serial: u64) -> Ticket {
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        Ticket { arrived: *START, serial }
    }

    fn now(waiting: &mut Waiting) -> Option<Result<Permit, Refused>> {
        match Pin::new(waiting).poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }

    #[test]
    fn lets_in_no_more_than_the_cap_and_the_rest_in_order() {
        let gate = Gate::new(2, 10, 1000);
        let first = gate.try_enter().unwrap();
        let _second = gate.try_enter().unwrap();
        assert!(gate.try_enter().is_none());
        let mut later = gate.wait(ticket(2), 1, false).unwrap();
        let mut earlier = gate.wait(ticket(1), 1, false).unwrap();
        assert!(now(&mut earlier).is_none());
        drop(first);
        assert!(now(&mut later).is_none(), "the earlier ticket goes first");
        let permit = now(&mut earlier).unwrap().unwrap();
        assert!(gate.try_enter().is_none(), "nobody passes the line");
        drop(permit);
        assert!(now(&mut later).unwrap().is_ok());
    }

    #[test]
    fn a_thread_keeps_its_permit_unless_others_came_clearly_sooner() {
        for (ahead, own_first) in [(HARDLY_SOONER / 2, true), (HARDLY_SOONER * 2, false)] {
            let gate = Gate::new(1, 10, 1000);
            let permit = gate.try_enter().unwrap();
            let arrived = Instant::now();
            let mut other = std::thread::scope(|scope| {
                let wait = || gate.wait(Ticket { arrived, serial: 1 }, 1, false).unwrap();
                scope.spawn(wait).join().unwrap()
            });
            let mut own = gate.wait(Ticket { arrived: arrived + ahead, serial: 2 }, 1, false).unwrap();
            drop(permit);
            let (own, other) = (now(&mut own), now(&mut other));
            assert_eq!((own.is_some(), other.is_some()), (own_first, !own_first), "{ahead:?}");
        }
    }

    #[test]
    fn holds_while_closed_and_releases_no_more_than_the_cap_when_opened() {
        let gate = Gate::new(3, 10, 1000);
        gate.set_closed(true);
        let mut line: Vec<_> = (0..5).map(|n| gate.wait(ticket(n), 1, false).unwrap()).collect();
        assert!(line.iter_mut().all(|waiting| now(waiting).is_none()));
        gate.set_closed(false);
        let permits: Vec<_> = line.iter_mut().map_while(now).collect();
        assert_eq!((permits.len(), gate.in_flight(), gate.waiting()), (3, 3, 2));
        assert_eq!(gate.take_holds().released, 3);
    }

    #[test]
    fn refuses_what_is_too_many_or_too_large_but_not_what_returns() {
        let gate = Gate::new(1, 2, 100);
        gate.set_closed(true);
        let _one = gate.wait(ticket(1), 60, false).unwrap();
        assert_eq!(gate.wait(ticket(2), 60, false).unwrap_err(), Refused::Memory);
        let _two = gate.wait(ticket(2), 1, false).unwrap();
        assert_eq!(gate.wait(ticket(3), 1, false).unwrap_err(), Refused::Full);
        let _returning = gate.wait(ticket(0), 90, true).unwrap();
    }

    #[test]
    fn who_leaves_the_line_gives_up_place_and_permit() {
        let gate = Gate::new(1, 10, 100);
        let permit = gate.try_enter().unwrap();
        let left = gate.wait(ticket(1), 50, false).unwrap();
        let granted = gate.wait(ticket(2), 50, false).unwrap();
        let mut last = gate.wait(ticket(3), 0, false).unwrap();
        drop(left);
        drop(permit);
        assert!(now(&mut last).is_none());
        drop(granted);
        assert!(now(&mut last).unwrap().is_ok());
        assert_eq!((gate.waiting(), gate.in_flight()), (0, 0));
        assert!(gate.try_enter().is_some(), "the short cut is open again");
    }

    #[test]
    fn admits_one_by_one_while_the_accept_queue_is_full() {
        let gate = Gate::new(10, 10, 100);
        let permit = gate.try_enter().unwrap();
        gate.set_busy(true);
        let mut line: Vec<_> = (0..3).map(|n| gate.wait(ticket(n), 1, false).unwrap()).collect();
        assert!(line.iter_mut().all(|waiting| now(waiting).is_none()));
        gate.admit_one();
        let mut first = now(&mut line[0]).unwrap().unwrap();
        first.connected();
        assert!(now(&mut line[1]).is_none());
        drop(permit);
        let mut second = now(&mut line[1]).unwrap().unwrap();
        second.connected();
        assert!(now(&mut line[2]).is_none());
        drop(first);
        let mut third = now(&mut line[2]).unwrap().unwrap();
        third.connected();
        assert!(!gate.is_busy(), "an empty line ends it");
    }

    #[test]
    fn nobody_tries_beside_another_while_the_accept_queue_is_full() {
        let gate = Gate::new(10, 10, 100);
        let running: Vec<_> = (0..4).map(|_| gate.try_enter().unwrap()).collect();
        gate.set_busy(true);
        let mut line: Vec<_> = (0..4).map(|n| gate.wait(ticket(n), 1, false).unwrap()).collect();
        gate.admit_one();
        let first = now(&mut line[0]).unwrap().unwrap();
        assert!(first.may_connect() && !running[0].may_connect(), "who entered before the queue was full");
        gate.admit_one();
        drop(running);
        assert!(now(&mut line[1]).is_none(), "it could find the room that the first just missed");
        first.give_up();
        gate.admit_one();
        assert!(now(&mut line[1]).is_none(), "the first is not back in its place");
        // Answers ended while it tried, and each lets one in: the first again, and so on.
        let mut first = gate.wait(ticket(0), 1, true).unwrap();
        let mut permits = vec![now(&mut first).unwrap().unwrap()];
        for waiting in &mut line[1..] {
            assert!(now(waiting).is_none(), "one at a time");
            permits.last_mut().unwrap().connected();
            permits.push(now(waiting).unwrap().unwrap());
        }
        assert!(gate.try_enter().is_none(), "the last is still trying");
        permits.last_mut().unwrap().connected();
        assert!(!gate.is_busy() && gate.try_enter().is_some());
    }

    #[test]
    fn who_leaves_while_it_tries_lets_the_next_try() {
        let gate = Gate::new(10, 10, 100);
        gate.set_busy(true);
        let mut line: Vec<_> = (0..4).map(|n| gate.wait(ticket(n), 1, false).unwrap()).collect();
        gate.admit_one();
        drop(line.remove(0)); // let in, and has not heard of it
        drop(now(&mut line[0]).unwrap().unwrap()); // has heard, and ends without a connection
        let second = now(&mut line[1]).unwrap().unwrap();
        second.give_up();
        gate.set_entry(Entry::Refused);
        assert_eq!(gate.wait(ticket(2), 1, true).unwrap_err(), Refused::Stopped);
        assert_eq!(now(&mut line[2]).unwrap().unwrap_err(), Refused::Stopped);
        gate.set_entry(Entry::Free);
        assert!(gate.try_enter().is_some(), "the short cut is open again");
    }

    #[test]
    fn a_stop_refuses_those_in_line() {
        let gate = Gate::new(1, 10, 100);
        gate.set_closed(true);
        let mut waiting = gate.wait(ticket(1), 1, false).unwrap();
        gate.set_entry(Entry::Refused);
        assert_eq!(now(&mut waiting).unwrap().unwrap_err(), Refused::Stopped);
        assert_eq!(gate.wait(ticket(2), 1, false).unwrap_err(), Refused::Stopped);
    }
}
