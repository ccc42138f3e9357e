//! The gate before an upstream: how many requests may be in flight, and the line of those that wait.
//!
//! As long as nobody waits, a permit is one compare-and-swap on one word. As soon as somebody does, everything goes
//! through the line behind its lock, so that nobody overtakes: first in, first out by [`Ticket`] within a worker, and
//! over all workers but for [`HARDLY_SOONER`].

mod permit;
#[cfg(test)]
mod stress;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

pub use permit::{Permit, Waiting};

const NUMBER: u64 = (1 << 24) - 1;
const CAP_SHIFT: u32 = 24;
/// The upstream is away, paused or restarting: nobody enters.
const CLOSED: u64 = 1 << 48;
/// Its accept queue is full: nobody enters but by [`Gate::admit_one`].
const BUSY: u64 = 1 << 49;
/// Somebody is in line: no short cut past them.
const WAITING: u64 = 1 << 50;
/// Stopped by the operator: nobody enters and nobody waits.
const REFUSING: u64 = 1 << 51;

/// A request of the thread that gives a permit back goes before one of another that came sooner by no more than this.
const HARDLY_SOONER: Duration = Duration::from_millis(5);
/// So far from the front of the line it is looked for.
const NEAR: usize = 32;

/// The largest cap on requests in flight.
pub(crate) const MAX_CAP: u32 = NUMBER as u32;

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

/// The permits and the line of one upstream.
#[derive(Debug)]
pub struct Gate {
    /// Flags, cap and number in flight; changed by compare-and-swap, and under the line's lock while `WAITING`.
    word: AtomicU64,
    line: Mutex<Line>,
    most_waiting: usize,
    most_bytes: u64,
}

#[derive(Debug, Default)]
struct Line {
    waiters: VecDeque<Waiter>,
    bytes: u64,
    holds: Holds,
    /// Who was let in while the accept queue was full, and has neither connected nor come back: nobody else tries until
    /// then, or a second might find the room that the first just missed, and overtake it.
    trying: Option<Ticket>,
    /// How often there was reason meanwhile to let in one more; it is made up for afterwards.
    owed: u32,
}

#[derive(Debug)]
struct Waiter {
    ticket: Ticket,
    /// The thread that waits.
    thread: u32,
    bytes: u64,
    /// Told on entering whether it tries for the others.
    enter: oneshot::Sender<bool>,
}

impl Gate {
    /// An open gate for `cap` requests at once, before which at most `most_waiting` requests with `most_bytes` wait.
    pub fn new(cap: u32, most_waiting: u32, most_bytes: u64) -> Arc<Self> {
        Arc::new(Gate {
            word: AtomicU64::new(u64::from(cap.clamp(1, MAX_CAP)) << CAP_SHIFT),
            line: Mutex::default(),
            most_waiting: most_waiting as usize,
            most_bytes,
        })
    }

    /// A permit at once, if there is one and nobody waits for it.
    #[inline]
    pub fn try_enter(self: &Arc<Self>) -> Option<Permit> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & (CLOSED | BUSY | WAITING | REFUSING) != 0 || in_flight(word) >= cap(word) {
                return None;
            }
            match self.word.compare_exchange_weak(word, word + 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Some(Permit::new(self, false)),
                Err(now) => word = now,
            }
        }
    }

    /// A place in the line for a request that keeps `bytes` in memory; await it for the permit.
    ///
    /// A request that had a permit and could not connect comes back with its old ticket and `returning`: it
    /// stands where it stood before and is never refused for want of room.
    ///
    /// # Errors
    /// [`Refused`] when it may not wait.
    pub fn wait(self: &Arc<Self>, ticket: Ticket, bytes: u64, returning: bool) -> Result<Waiting, Refused> {
        let mut line = self.lock();
        let was_trying = line.trying == Some(ticket);
        if was_trying {
            line.trying = None;
        } else if !returning && line.trying.is_some() && line.waiters.is_empty() {
            // It waits for nothing but the end of that try.
            line.owed = line.owed.saturating_add(1);
        }
        if self.word.load(Ordering::Acquire) & REFUSING != 0 {
            self.settle(&mut line);
            return Err(Refused::Stopped);
        }
        if !returning && line.waiters.len() >= self.most_waiting {
            return Err(Refused::Full);
        }
        if !returning && line.bytes.saturating_add(bytes) > self.most_bytes {
            return Err(Refused::Memory);
        }
        let (enter, entered) = oneshot::channel();
        let place = line.waiters.partition_point(|waiter| waiter.ticket < ticket);
        line.waiters.insert(place, Waiter { ticket, thread: this_thread(), bytes, enter });
        line.bytes += bytes;
        self.word.fetch_or(WAITING, Ordering::AcqRel);
        self.let_in(&mut line);
        if was_trying {
            self.let_in_owed(&mut line);
        }
        Ok(Waiting { gate: Arc::clone(self), ticket, entered: Some(entered) })
    }

    /// Lets in as many as may be, first come first.
    fn let_in(self: &Arc<Self>, line: &mut Line) {
        while self.word.load(Ordering::Acquire) & BUSY == 0 && self.let_one_in(line) {}
        self.settle(line);
    }

    /// Lets the first of the line in if the cap allows it and the gate is not closed; while the accept queue is full,
    /// only if nobody else is trying.
    fn let_one_in(self: &Arc<Self>, line: &mut Line) -> bool {
        let word = self.word.load(Ordering::Acquire);
        if line.waiters.is_empty() || word & (CLOSED | REFUSING) != 0 || in_flight(word) >= cap(word) {
            return false;
        }
        let is_busy = word & BUSY != 0;
        if is_busy && line.trying.is_some() {
            return false;
        }
        // WAITING is set, so nobody but the holder of the line's lock changes the number in flight.
        self.word.fetch_add(1, Ordering::AcqRel);
        while let Some(waiter) = line.next() {
            line.bytes -= waiter.bytes;
            if waiter.enter.send(is_busy).is_ok() {
                if is_busy {
                    line.trying = Some(waiter.ticket);
                }
                line.holds.released += 1;
                line.holds.longest = line.holds.longest.max(waiter.ticket.arrived.elapsed());
                return true;
            }
        }
        self.word.fetch_sub(1, Ordering::AcqRel);
        false
    }

    /// An empty line opens the short cut again; nobody is left who found the accept queue full. (Who is trying may yet
    /// come back, to its place before all others.)
    fn settle(&self, line: &mut Line) {
        if line.waiters.is_empty() && line.trying.is_none() {
            line.owed = 0;
            self.word.fetch_and(!(WAITING | BUSY), Ordering::AcqRel);
        }
    }

    /// Who was let in while the accept queue was full has a connection: the next may try.
    fn end_try(self: &Arc<Self>) {
        let mut line = self.lock();
        line.trying = None;
        self.let_in_owed(&mut line);
        self.settle(&mut line);
    }

    /// A try is over: lets in the next if there was reason to during that try.
    fn let_in_owed(self: &Arc<Self>, line: &mut Line) {
        if line.owed > 0 && self.let_one_in(line) {
            line.owed -= 1;
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
        let mut line = self.lock();
        self.word.fetch_sub(1, Ordering::AcqRel);
        if was_trying && !was_in_vain {
            line.trying = None;
        }
        if self.word.load(Ordering::Acquire) & BUSY != 0 {
            // An answer ended, so there may be room for one in the accept queue: try with one, not with all.
            if !was_in_vain && !self.let_one_in(&mut line) && line.trying.is_some() {
                line.owed = line.owed.saturating_add(1);
            }
            self.settle(&mut line);
        } else {
            self.let_in(&mut line);
        }
    }

    /// Closes (nobody enters, all wait) or opens the gate; a stop stays one.
    pub fn set_closed(self: &Arc<Self>, closed: bool) {
        self.set(CLOSED, closed);
    }

    /// The accept queue is full, or no longer. While it is, requests enter one by one.
    pub(crate) fn set_busy(self: &Arc<Self>, busy: bool) {
        self.set(BUSY, busy);
    }

    /// What becomes of everybody from now on, those in line too. For the upstream's monitor.
    pub(crate) fn set_entry(self: &Arc<Self>, entry: Entry) {
        let flag = match entry {
            Entry::Free => 0,
            Entry::Held => CLOSED,
            Entry::Refused => REFUSING,
        };
        let mut line = self.lock();
        // In one step: who comes between two would find the gate open on the way from one to the other.
        let mut word = self.word.load(Ordering::Relaxed);
        while let Err(now) = self.word.compare_exchange_weak(
            word,
            word & !(CLOSED | REFUSING) | flag,
            Ordering::AcqRel,
            Ordering::Relaxed,
        ) {
            word = now;
        }
        if entry == Entry::Refused {
            line.waiters.clear();
            line.bytes = 0;
        }
        self.let_in(&mut line);
    }

    fn set(self: &Arc<Self>, flag: u64, on: bool) {
        let mut line = self.lock();
        if on {
            self.word.fetch_or(flag, Ordering::AcqRel);
        } else {
            self.word.fetch_and(!flag, Ordering::AcqRel);
            self.let_in(&mut line);
        }
    }

    /// While the accept queue is full: lets the first of the line try.
    pub(crate) fn admit_one(self: &Arc<Self>) {
        let mut line = self.lock();
        self.let_one_in(&mut line);
        self.settle(&mut line);
    }

    /// Changes how many may be in flight at once. Those in flight above a smaller cap run to their end.
    pub(crate) fn set_cap(self: &Arc<Self>, new: u32) {
        let new = u64::from(new.clamp(1, MAX_CAP)) << CAP_SHIFT;
        let mut line = self.lock();
        let mut word = self.word.load(Ordering::Relaxed);
        while let Err(now) = self.word.compare_exchange_weak(
            word,
            word & !(NUMBER << CAP_SHIFT) | new,
            Ordering::AcqRel,
            Ordering::Relaxed,
        ) {
            word = now;
        }
        self.let_in(&mut line);
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

    /// Whether somebody is in line.
    #[inline]
    pub(crate) fn is_waited_for(&self) -> bool {
        self.word.load(Ordering::Relaxed) & WAITING != 0
    }

    /// Whether nobody may enter for now.
    pub(crate) fn is_closed(&self) -> bool {
        self.word.load(Ordering::Relaxed) & CLOSED != 0
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
    pub(crate) fn waiting(&self) -> usize {
        if self.is_waited_for() { self.lock().waiters.len() } else { 0 }
    }

    /// What the line has seen since the last call.
    pub(crate) fn take_holds(&self) -> Holds {
        std::mem::take(&mut self.lock().holds)
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        // The line is left consistent at every point where a panic could happen.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Takes out who is next: the first of all, or the first of this thread if the first of all came hardly sooner.
    /// To hand a permit to another thread costs a wake-up, and a connection that changes its event loop.
    fn next(&mut self) -> Option<Waiter> {
        let first = self.waiters.front()?;
        let thread = this_thread();
        if first.thread == thread {
            return self.waiters.pop_front();
        }
        let latest = first.ticket.arrived + HARDLY_SOONER;
        let near = self.waiters.iter().take(NEAR).take_while(|waiter| waiter.ticket.arrived <= latest);
        let own = near.enumerate().find(|(_, waiter)| waiter.thread == thread).map(|(place, _)| place);
        self.waiters.remove(own.unwrap_or(0))
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
