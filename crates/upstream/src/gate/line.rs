//! The line before the gates of one upstream: one for all of them, so that who waits goes to the first that has room.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::oneshot;

use super::{
    ASIDE, BUSY, CAP_SHIFT, CLOSED, Gate, HARDLY_SOONER, Holds, MAX_CAP, NEAR, REFUSING, Refused, Ticket,
    WAITING, Waiting, cap, in_flight, this_thread,
};

/// The line of those that wait, before one gate or several.
#[derive(Debug)]
pub struct Line {
    queue: Mutex<Queue>,
    most_waiting: usize,
    most_bytes: u64,
    /// The tier whose gates let in: the lowest that has one open.
    tier: AtomicU32,
}

/// Who waits, and at which gates.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiters: VecDeque<Waiter>,
    bytes: u64,
    holds: Holds,
    doors: Vec<Door>,
    next_id: u32,
    /// The operator's stop, for a line that has no gate to say so.
    is_refusing: bool,
}

/// A gate as its line sees it.
#[derive(Debug)]
struct Door {
    gate: Weak<Gate>,
    id: u32,
    /// Gates of a higher one are backups: they let in when none of a lower one is open.
    tier: u32,
    is_ill: bool,
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
    /// The gate that it has just come from in vain: any other is better.
    avoids: Option<u32>,
    /// Told on entering through which gate, and whether it tries for the others.
    enter: oneshot::Sender<(Arc<Gate>, bool)>,
}

impl Line {
    /// A line without a gate, in which at most `most_waiting` requests with `most_bytes` wait.
    pub fn new(most_waiting: u32, most_bytes: u64) -> Arc<Self> {
        Arc::new(Line {
            queue: Mutex::default(),
            most_waiting: most_waiting as usize,
            most_bytes,
            tier: AtomicU32::new(0),
        })
    }

    /// One more gate, open for `cap` requests at once. Those of a higher `tier` are backups of those of a lower one;
    /// `weight` is in thousandths.
    pub(crate) fn open_gate(self: &Arc<Self>, cap: u32, tier: u32, weight: u32) -> Arc<Gate> {
        self.gate(cap, tier, weight, 0)
    }

    /// The same, closed for the time being.
    pub(crate) fn closed_gate(self: &Arc<Self>, cap: u32, tier: u32, weight: u32) -> Arc<Gate> {
        self.gate(cap, tier, weight, CLOSED)
    }

    fn gate(self: &Arc<Self>, cap: u32, tier: u32, weight: u32, flags: u64) -> Arc<Gate> {
        let mut queue = self.lock();
        let id = queue.next_id;
        queue.next_id += 1;
        // Aside until all have been compared.
        let mut word = u64::from(cap.clamp(1, MAX_CAP)) << CAP_SHIFT | ASIDE | flags;
        if !queue.waiters.is_empty() {
            word |= WAITING;
        }
        let gate = Arc::new(Gate {
            word: AtomicU64::new(word),
            weight: AtomicU32::new(weight.max(1)),
            id,
            line: Arc::clone(self),
        });
        let door = Door { gate: Arc::downgrade(&gate), id, tier, is_ill: false, trying: None, owed: 0 };
        queue.doors.push(door);
        self.changed(&mut queue);
        gate
    }

    /// A place in the line for a request that keeps `bytes` in memory; await it for the permit of any of the gates.
    ///
    /// A request that had a permit and could not connect comes back with its old ticket and `returning`: it
    /// stands where it stood before and is never refused for want of room. It `avoids` the gate with this number as
    /// long as there is another.
    ///
    /// # Errors
    /// [`Refused`] when it may not wait.
    pub fn wait(
        self: &Arc<Self>,
        ticket: Ticket,
        bytes: u64,
        returning: bool,
        avoids: Option<u32>,
    ) -> Result<Waiting, Refused> {
        let mut queue = self.lock();
        let mut tried = None;
        let is_alone = queue.waiters.is_empty() && !returning;
        for door in &mut queue.doors {
            if door.trying == Some(ticket) {
                door.trying = None;
                tried = Some(door.gate.clone());
            } else if is_alone && door.trying.is_some() {
                // It waits for nothing but the end of that try.
                door.owed = door.owed.saturating_add(1);
            }
        }
        let tried = tried.and_then(|gate| gate.upgrade());
        if queue.refuses() {
            queue.settle_all();
            return Err(Refused::Stopped);
        }
        if !returning && queue.waiters.len() >= self.most_waiting {
            return Err(Refused::Full);
        }
        if !returning && queue.bytes.saturating_add(bytes) > self.most_bytes {
            return Err(Refused::Memory);
        }
        let (enter, entered) = oneshot::channel();
        let place = queue.waiters.partition_point(|waiter| waiter.ticket < ticket);
        queue.waiters.insert(place, Waiter { ticket, thread: this_thread(), bytes, avoids, enter });
        queue.bytes += bytes;
        queue.flag_waiting();
        queue.let_in();
        if let Some(gate) = tried {
            gate.let_in_owed(&mut queue);
        }
        Ok(Waiting { line: Arc::clone(self), ticket, entered: Some(entered) })
    }

    /// The operator's stop, or its end, for a line that may have no gate.
    pub(crate) fn set_refusing(&self, refusing: bool) {
        let mut queue = self.lock();
        queue.is_refusing = refusing;
        self.changed(&mut queue);
    }

    /// Whether the operator's stop stands and there is no gate to say so.
    pub(crate) fn is_refusing(&self) -> bool {
        self.lock().refuses()
    }

    /// The tier whose gates let in.
    #[inline]
    pub(crate) fn tier(&self) -> u32 {
        self.tier.load(Ordering::Relaxed)
    }

    /// How many are in line.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiters.len()
    }

    /// What the line has seen since the last call.
    pub(crate) fn take_holds(&self) -> Holds {
        std::mem::take(&mut self.lock().holds)
    }

    /// A gate came, went, opened, closed, or fell ill: decides anew which of them let in, and lets in.
    pub(super) fn changed(&self, queue: &mut Queue) {
        if let Some(tier) = queue.sort_out() {
            self.tier.store(tier, Ordering::Relaxed);
        }
        if queue.refuses() {
            queue.waiters.clear();
            queue.bytes = 0;
        }
        queue.let_in();
    }

    /// Who leaves the line takes its place with it.
    pub(super) fn forget(&self, ticket: Ticket) {
        let mut queue = self.lock();
        let place = queue.waiters.partition_point(|waiter| waiter.ticket < ticket);
        if queue.waiters.get(place).is_some_and(|waiter| waiter.ticket == ticket)
            && let Some(waiter) = queue.waiters.remove(place)
        {
            queue.bytes -= waiter.bytes;
        }
        if queue.waiters.is_empty() {
            queue.settle_all();
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        // The queue is left consistent at every point where a panic could happen.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Door {
    /// The word of its gate; a gate that is gone is closed.
    fn word(&self) -> u64 {
        self.gate.upgrade().map_or(CLOSED, |gate| gate.word.load(Ordering::Acquire))
    }

    fn is_open(&self) -> bool {
        self.word() & (CLOSED | REFUSING) == 0
    }
}

impl Queue {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    fn door(&mut self, gate: &Gate) -> Option<&mut Door> {
        self.doors.iter_mut().find(|door| door.id == gate.id)
    }

    pub(super) fn is_trying(&mut self, gate: &Gate) -> bool {
        self.door(gate).is_some_and(|door| door.trying.is_some())
    }

    pub(super) fn begin_try(&mut self, gate: &Gate, ticket: Ticket) {
        if let Some(door) = self.door(gate) {
            door.trying = Some(ticket);
        }
    }

    pub(super) fn end_try(&mut self, gate: &Gate) {
        if let Some(door) = self.door(gate) {
            door.trying = None;
        }
    }

    pub(super) fn is_owed(&mut self, gate: &Gate) -> bool {
        self.door(gate).is_some_and(|door| door.owed > 0)
    }

    pub(super) fn owe(&mut self, gate: &Gate) {
        if let Some(door) = self.door(gate) {
            door.owed = door.owed.saturating_add(1);
        }
    }

    pub(super) fn pay(&mut self, gate: &Gate) {
        if let Some(door) = self.door(gate) {
            door.owed = door.owed.saturating_sub(1);
        }
    }

    pub(super) fn set_ill(&mut self, gate: &Gate, ill: bool) {
        if let Some(door) = self.door(gate) {
            door.is_ill = ill;
        }
    }

    pub(super) fn remove(&mut self, gate: &Gate) {
        self.doors.retain(|door| door.id != gate.id);
    }

    /// Whether nobody may wait: every gate refuses.
    fn refuses(&self) -> bool {
        match self.doors.as_slice() {
            [] => self.is_refusing,
            doors => doors.iter().all(|door| door.word() & REFUSING != 0),
        }
    }

    /// Decides which gates let in: those of the lowest tier that has a good one. Where none is good, the ill ones are better
    /// than nobody: the last one is never put aside. Gives that tier; `None` when all are closed.
    fn sort_out(&mut self) -> Option<u32> {
        let lowest = |takes: &dyn Fn(&&Door) -> bool| {
            self.doors.iter().filter(|door| door.is_open()).filter(takes).map(|door| door.tier).min()
        };
        let (tier, takes_ill) = match lowest(&|door| !door.is_ill) {
            Some(tier) => (tier, false),
            None => (lowest(&|_| true)?, true),
        };
        for door in &self.doors {
            let Some(gate) = door.gate.upgrade() else { continue };
            if door.tier == tier && (takes_ill || !door.is_ill) {
                gate.word.fetch_and(!ASIDE, Ordering::AcqRel);
            } else {
                gate.word.fetch_or(ASIDE, Ordering::AcqRel);
            }
        }
        Some(tier)
    }

    /// From now on nobody takes a short cut past the line.
    fn flag_waiting(&self) {
        for gate in self.doors.iter().filter_map(|door| door.gate.upgrade()) {
            gate.word.fetch_or(WAITING, Ordering::AcqRel);
        }
    }

    /// Lets in as many as may be, first come first, each where there is most room.
    fn let_in(&mut self) {
        // All near the front may have come from one gate in vain; what they avoid, none of them avoids elsewhere.
        let mut avoided = None;
        while let Some(gate) = self.roomiest(avoided) {
            if gate.let_one_in(self) {
                avoided = None;
            } else if avoided.replace(gate.id).is_some() {
                break;
            }
        }
        if self.waiters.is_empty() {
            self.settle_all();
        }
    }

    /// The gate that has the least in flight for its weight, of those with room.
    fn roomiest(&self, but: Option<u32>) -> Option<Arc<Gate>> {
        if self.waiters.is_empty() {
            return None;
        }
        let mut best: Option<(u64, u64, Arc<Gate>)> = None;
        for door in self.doors.iter().filter(|door| Some(door.id) != but) {
            let Some(gate) = door.gate.upgrade() else { continue };
            let word = gate.word.load(Ordering::Acquire);
            if word & (CLOSED | REFUSING | ASIDE | BUSY) != 0 || in_flight(word) >= cap(word) {
                continue;
            }
            let (load, weight) = (in_flight(word), u64::from(gate.weight()));
            if best.as_ref().is_none_or(|(least, of, _)| load * of < least * weight) {
                best = Some((load, weight, gate));
            }
        }
        best.map(|(_, _, gate)| gate)
    }

    /// Takes out who is next for this gate and lets it in: its ticket, or `Some(None)` if it has just left. `None` when
    /// there is nobody for it.
    pub(super) fn release_next(&mut self, gate: &Arc<Gate>, is_trying: bool) -> Option<Option<Ticket>> {
        let waiter = self.next(gate)?;
        self.bytes -= waiter.bytes;
        if waiter.enter.send((Arc::clone(gate), is_trying)).is_err() {
            return Some(None);
        }
        self.holds.released += 1;
        self.holds.longest = self.holds.longest.max(waiter.ticket.arrived.elapsed());
        Some(Some(waiter.ticket))
    }

    /// The first of all, or the first of this thread if the first of all came hardly sooner. To hand a permit to another
    /// thread costs a wake-up, and a connection that changes its event loop. Who avoids the gate waits for another, if
    /// there is one.
    fn next(&mut self, gate: &Gate) -> Option<Waiter> {
        let first = self.waiters.front()?;
        let thread = this_thread();
        if first.avoids == Some(gate.id) && self.has_another(gate) {
            let near = self.waiters.iter().take(NEAR);
            let place = near.enumerate().find(|(_, waiter)| waiter.avoids != Some(gate.id))?.0;
            return self.waiters.remove(place);
        }
        if first.thread == thread {
            return self.waiters.pop_front();
        }
        let latest = first.ticket.arrived + HARDLY_SOONER;
        let near = self.waiters.iter().take(NEAR).take_while(|waiter| waiter.ticket.arrived <= latest);
        let own = near
            .enumerate()
            .find(|(_, waiter)| waiter.thread == thread && waiter.avoids != Some(gate.id))
            .map(|(place, _)| place);
        self.waiters.remove(own.unwrap_or(0))
    }

    /// Whether another gate lets in, now or when it has room.
    fn has_another(&self, gate: &Gate) -> bool {
        self.doors.iter().any(|door| door.id != gate.id && door.word() & (CLOSED | REFUSING | ASIDE) == 0)
    }

    /// An empty line opens the short cut again; nobody is left who found the accept queue full. (Who is trying may yet
    /// come back, to its place before all others.)
    pub(super) fn settle(&mut self, gate: &Gate) {
        if !self.waiters.is_empty() {
            return;
        }
        if let [door] = self.doors.as_mut_slice()
            && door.id == gate.id
        {
            if door.trying.is_none() {
                door.owed = 0;
                gate.word.fetch_and(!(WAITING | BUSY), Ordering::AcqRel);
            }
            return;
        }
        self.settle_all();
    }

    fn settle_all(&mut self) {
        if !self.waiters.is_empty() {
            return;
        }
        for door in self.doors.iter_mut().filter(|door| door.trying.is_none()) {
            door.owed = 0;
            if let Some(gate) = door.gate.upgrade() {
                gate.word.fetch_and(!(WAITING | BUSY), Ordering::AcqRel);
            }
        }
    }
}
