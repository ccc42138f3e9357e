//! What the connections of one worker share: its counts, its store of buffers, whether it drains.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;
use vestibule_config::Limits;
use vestibule_proxy::{Scratch, Worker};
use vestibule_upstream::Buffer;

/// Sets of buffers kept for the next requests.
const KEPT_GROUNDS: usize = 64;
/// Receive buffers above this are not kept.
const KEPT_RECEIVED: usize = 64 * 1024;

/// One worker, as its connections see it. All on one thread.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) worker: Worker,
    grounds: RefCell<Vec<Ground>>,
    connections: Cell<usize>,
    most_connections: usize,
    requests: Cell<usize>,
    tunnels: Cell<usize>,
    is_draining: Cell<bool>,
    /// Somebody left: there is room for a connection, or perhaps nobody left at all.
    left: Notify,
}

/// What a connection needs only while it has a request.
#[derive(Debug, Default)]
pub(crate) struct Ground {
    pub(crate) received: Buffer,
    pub(crate) scratch: Scratch,
}

impl House {
    pub(crate) fn new(worker: Worker, most_connections: usize) -> Rc<Self> {
        Rc::new(House {
            worker,
            grounds: RefCell::default(),
            connections: Cell::new(0),
            most_connections,
            requests: Cell::new(0),
            tunnels: Cell::new(0),
            is_draining: Cell::new(false),
            left: Notify::new(),
        })
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.worker.config.limits
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

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.get()
    }

    /// From now on no connection is kept.
    pub(crate) fn drain(&self) {
        self.is_draining.set(true);
    }

    pub(crate) fn count_connection(self: &Rc<Self>) -> Counted {
        Counted::new(self, |house| &house.connections)
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

    /// Waits until there is room for another connection.
    pub(crate) async fn room(&self) {
        while self.connections.get() >= self.most_connections {
            self.left.notified().await;
        }
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
        if std::ptr::eq(cell, &raw const self.house.connections) {
            self.house.left.notify_waiters();
        }
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
