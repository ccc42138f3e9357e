//! What one worker thread has at hand for its requests.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use vestibule_config::{Config, Limits};
use vestibule_files::Shelf;
use vestibule_http1::RequestHead;
use vestibule_tls::Challenges;
use vestibule_upstream::{Store, Upstream};

use crate::access_log::AccessLog;
use crate::shared::Shared;

/// Most bytes of files in memory, of all workers together.
const SHELF: usize = 64 << 20;

/// What a reload replaces, as one worker has it. A request keeps the plan that it began with.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the operator wrote.
    pub config: Arc<Config>,
    /// The upstreams, as [`vestibule_config::UpstreamId`] counts them.
    pub upstreams: Vec<Arc<Upstream>>,
    /// What the requests of all workers share: one for all of them, and of a later plan [`Shared::renewed`].
    pub shared: Arc<Shared>,
}

/// The things of one worker thread.
#[derive(Debug)]
pub struct Worker {
    /// Its number, from 0.
    pub id: usize,
    plan: RefCell<Rc<Plan>>,
    /// Where bodies go that memory does not take.
    pub store: Arc<Store>,
    /// The files that it has at hand.
    pub shelf: Shelf,
    /// The answers to ACME challenges that stand now.
    pub challenges: Arc<Challenges>,
    /// Where its access log lines go.
    pub access_log: AccessLog,
    serial: Cell<u64>,
    date: RefCell<Date>,
}

impl Worker {
    /// The worker with number `id`.
    pub fn new(
        id: usize,
        plan: Plan,
        store: Arc<Store>,
        challenges: Arc<Challenges>,
        access_log: AccessLog,
    ) -> Self {
        let shelf = Shelf::new(SHELF / plan.config.workers);
        Worker {
            id,
            shelf,
            plan: RefCell::new(Rc::new(plan)),
            store,
            challenges,
            access_log,
            serial: Cell::new(0),
            date: RefCell::default(),
        }
    }

    /// What it serves by now.
    #[must_use]
    pub fn plan(&self) -> Rc<Plan> {
        Rc::clone(&self.plan.borrow())
    }

    /// The bounds on what one client may use, now.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.plan.borrow().config.limits
    }

    /// From now on serves by `plan`. Requests under way end by the one that they began with.
    pub fn replace(&self, plan: Plan) {
        self.plan.replace(Rc::new(plan));
        // What it has is known by what the old plan says of it.
        self.shelf.clear();
    }

    /// A number that no other request of the process has.
    pub fn next_serial(&self) -> u64 {
        let serial = self.serial.get() + 1;
        self.serial.set(serial);
        serial << 16 | (self.id as u64 & 0xffff)
    }

    /// Writes a `Date` field (RFC 9110 6.6.1).
    pub fn write_date(&self, out: &mut Vec<u8>, now: SystemTime) {
        self.with_date(now, |date| vestibule_http1::field(out, b"Date", date));
    }

    /// Hands the value of a `Date` field to `use_it`.
    pub fn with_date(&self, now: SystemTime, use_it: impl FnOnce(&[u8])) {
        let mut date = self.date.borrow_mut();
        let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if date.second != second {
            date.second = second;
            date.value.clear();
            // Writing to a Vec cannot fail.
            let _ = write!(date.value, "{}", httpdate::HttpDate::from(now));
        }
        use_it(&date.value);
    }
}

#[derive(Debug, Default)]
struct Date {
    second: u64,
    value: Vec<u8>,
}

/// Memory that a connection uses while it has a request, and then leaves to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The head being parsed.
    pub head: RequestHead,
    /// Its bytes.
    pub head_bytes: Vec<u8>,
    /// What goes to the client.
    pub answer: Vec<u8>,
    /// What goes to the application.
    pub(crate) outgoing: Vec<u8>,
    /// A chunked body, decoded.
    pub(crate) body: Vec<u8>,
}

/// What one set of buffers may keep between two requests.
const KEPT: usize = 64 * 1024;

impl Scratch {
    /// Makes it fit for keeping: what an unusual request made large is given back.
    pub fn trim(&mut self) {
        for buffer in [&mut self.head_bytes, &mut self.answer, &mut self.outgoing, &mut self.body] {
            buffer.clear();
            if buffer.capacity() > KEPT {
                *buffer = Vec::new();
            }
        }
    }
}
