//! What the connections of one worker share: its counts, its store of buffers, whether it drains.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;
use vestibule_coding::Encoders;
use vestibule_config::Limits;
use vestibule_proxy::{Peer, Scratch, Worker};
use vestibule_upstream::Buffer;

use crate::census::{Census, Network};
use crate::client_stream::ClientStream;
use crate::handshake::Failures;
use crate::idle::Idle;
use crate::refusal::Refusal;
use crate::turnstile::Turnstile;

/// Sets of buffers kept for the next requests.
const KEPT_GROUNDS: usize = 64;
/// Receive buffers above this are not kept.
const KEPT_RECEIVED: usize = 64 * 1024;
/// Refused connections that are given the time to read why. Others are closed at once.
const MOST_REFUSED: usize = 128;

/// One worker, as its connections see it. All on one thread.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) worker: Worker,
    /// The connections that wait for their client.
    pub(crate) idle: Rc<Idle>,
    /// What orders the handshakes that have something to compute.
    pub(crate) turnstile: Turnstile,
    /// What codes the bodies of answers.
    pub(crate) encoders: Encoders,
    /// Where the coded form of a short body stands until its head is written.
    coded: RefCell<Vec<u8>>,
    census: Arc<Census>,
    grounds: RefCell<Vec<Ground>>,
    received: RefCell<Vec<Buffer>>,
    connections: Cell<usize>,
    refused: Cell<usize>,
    requests: Cell<usize>,
    tunnels: Cell<usize>,
    is_draining: Cell<bool>,
    /// Somebody left: perhaps nobody is left at all.
    left: Notify,
}

/// What a connection needs only while it has a request.
#[derive(Debug, Default)]
pub(crate) struct Ground {
    pub(crate) received: Buffer,
    pub(crate) scratch: Scratch,
}

impl House {
    pub(crate) fn new(worker: Worker, census: Arc<Census>) -> Rc<Self> {
        Rc::new(House {
            worker,
            idle: Idle::new(),
            turnstile: Turnstile::default(),
            encoders: Encoders::default(),
            coded: RefCell::default(),
            census,
            grounds: RefCell::default(),
            received: RefCell::default(),
            connections: Cell::new(0),
            refused: Cell::new(0),
            requests: Cell::new(0),
            tunnels: Cell::new(0),
            is_draining: Cell::new(false),
            left: Notify::new(),
        })
    }

    pub(crate) fn limits(&self) -> Limits {
        self.worker.limits()
    }

    pub(crate) fn take_ground(&self) -> Ground {
        self.grounds.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn put_ground(&self, mut ground: Ground) {
        let mut grounds = self.grounds.borrow_mut();
        if grounds.len() < KEPT_GROUNDS {
            ground.scratch.trim();
            ground.received.clear();
            if ground.received.capacity() > KEPT_RECEIVED {
                ground.received = Buffer::default();
            }
            grounds.push(ground);
        }
    }

    /// A buffer to receive into, for a connection whose requests have buffers of their own.
    pub(crate) fn take_received(&self) -> Buffer {
        self.received.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn put_received(&self, mut received: Buffer) {
        let mut kept = self.received.borrow_mut();
        if kept.len() < KEPT_GROUNDS && received.capacity() <= KEPT_RECEIVED {
            received.clear();
            kept.push(received);
        }
    }

    /// An empty buffer for a coded body.
    pub(crate) fn take_coded(&self) -> Vec<u8> {
        self.coded.take()
    }

    pub(crate) fn put_coded(&self, mut coded: Vec<u8>) {
        coded.clear();
        if coded.capacity() <= KEPT_RECEIVED {
            self.coded.replace(coded);
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.get()
    }

    /// From now on no connection is kept.
    pub(crate) fn drain(&self) {
        self.is_draining.set(true);
    }

    /// A place for one more connection, if there is one. Where few are left, the longest idle connection is asked to
    /// go.
    pub(crate) fn place(self: &Rc<Self>) -> Result<Place, Refusal> {
        self.census.enter()?;
        self.connections.set(self.connections.get() + 1);
        if self.census.excess() > 0 {
            self.idle.make_room(1);
        }
        Ok(Place { house: Rc::clone(self), network: None })
    }

    /// Has this worker's part of the idle connections that stand in the way of new ones go, wherever those arrive.
    pub(crate) fn make_room(&self) {
        let excess = self.census.excess();
        if excess > 0 {
            self.idle.make_room(excess.div_ceil(self.worker.plan().config.workers.get()));
        }
    }

    /// Tells a connection from `peer` why it is refused, without reading a request: one write to a socket that has room
    /// for it, or else none. What is given back is the right to read for a moment what the client sends; without it the
    /// connection has to be closed at once. So is one that is not `in_the_clear`: see [`Refusal`].
    pub(crate) fn refuse(
        self: &Rc<Self>,
        stream: &mut ClientStream,
        peer: &Peer,
        refusal: Refusal,
        in_the_clear: bool,
    ) -> Option<Counted> {
        self.census.tally.count(refusal, peer.address);
        if refusal == Refusal::Untrusted || !in_the_clear || self.refused.get() >= MOST_REFUSED {
            return None;
        }
        let mut ground = self.take_ground();
        ground.scratch.answer.clear();
        refusal.write(&mut ground.scratch.answer, &self.worker);
        let written = stream.socket().write_now(&ground.scratch.answer);
        self.put_ground(ground);
        written.is_ok().then(|| Counted::new(self, |house| &house.refused))
    }

    /// The handshakes that failed, of all workers.
    pub(crate) fn failed_handshakes(&self) -> &Failures {
        &self.census.failed_handshakes
    }

    /// Logs what all workers refused, and which handshakes failed; whether there was anything.
    pub(crate) fn report_refusals(&self) -> bool {
        let refused = self.census.tally.report();
        self.census.failed_handshakes.report() || refused
    }

    pub(crate) fn count_request(self: &Rc<Self>) -> Counted {
        Counted::new(self, |house| &house.requests)
    }

    pub(crate) fn count_tunnel(&self) -> TunnelCount<'_> {
        // A tunnel is no request any more that could be finished or cut.
        self.tunnels.set(self.tunnels.get() + 1);
        TunnelCount(self)
    }

    /// Requests and tunnels under way.
    pub(crate) fn under_way(&self) -> (usize, usize) {
        (self.requests.get() - self.tunnels.get(), self.tunnels.get())
    }

    /// Waits until the last connection has ended.
    pub(crate) async fn empty(&self) {
        while self.connections.get() > 0 {
            self.left.notified().await;
        }
    }
}

/// Counts something for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted {
    house: Rc<House>,
    counter: fn(&House) -> &Cell<usize>,
}

impl Counted {
    fn new(house: &Rc<House>, counter: fn(&House) -> &Cell<usize>) -> Self {
        let cell = counter(house);
        cell.set(cell.get() + 1);
        Counted { house: Rc::clone(house), counter }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let cell = (self.counter)(&self.house);
        cell.set(cell.get() - 1);
    }
}

/// A connection's place among those that there may be, over all workers.
#[derive(Debug)]
pub(crate) struct Place {
    house: Rc<House>,
    network: Option<Network>,
}

impl Place {
    /// Counts it among the connections of `address`, if that may have one more.
    pub(crate) fn count_address(&mut self, address: IpAddr) -> Result<(), Refusal> {
        let network = Network::from(address);
        self.house.census.enter_from(network)?;
        self.network = Some(network);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let house = &self.house;
        if let Some(network) = self.network {
            house.census.leave_from(network);
        }
        house.census.leave();
        house.connections.set(house.connections.get() - 1);
        house.left.notify_waiters();
    }
}

/// Counts a tunnel for as long as it lives.
#[derive(Debug)]
pub(crate) struct TunnelCount<'a>(&'a House);

impl Drop for TunnelCount<'_> {
    fn drop(&mut self) {
        self.0.tunnels.set(self.0.tunnels.get() - 1);
    }
}
