//! One upstream as all threads share it.

use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use vestibule_config::Server;

use crate::capacity::Samples;
use crate::connect::Target;
use crate::connection::Connection;
use crate::error::Error;
use crate::gate::Gate;
use crate::maintenance::MaintenancePage;
use crate::peer::capacity_without_peer;
use crate::pool::Pool;
use crate::signals::Signals;
use crate::state::State;

/// Idle connections are closed after this: below the 20 s after which Puma closes them, and Thin's 30 s.
const LONGEST_IDLE: Duration = Duration::from_secs(15);
/// In flight at a TCP upstream, about whose process nothing can be found out.
const TCP_CAP: u32 = 1024;

/// What the operator, or Vestibule itself, wants of an upstream. No probe overrules it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Hold its requests until further notice.
    Pause,
    /// Refuse its requests, 503, until further notice.
    Stop,
    /// Hold new requests and let those in flight finish.
    Drain,
    /// Hold new requests: the application is being restarted.
    Restart,
    /// Back to what the traffic finds.
    Resume,
}

/// What is known of an upstream; written by its monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Its state.
    pub state: State,
    /// Whether the probes are content; `true` without probes.
    pub is_healthy: bool,
    /// The server found behind the socket, or configured.
    pub server: Server,
}

/// A named application as traffic sees it.
#[derive(Debug)]
pub struct Upstream {
    /// What the operator wrote.
    pub config: vestibule_config::Upstream,
    pub(crate) target: Target,
    pub(crate) gate: Arc<Gate>,
    pub(crate) pool: Pool,
    pub(crate) signals: Signals,
    pub(crate) samples: Samples,
    generation: AtomicU64,
    /// The generation that sent bytes behind an answer, if it was the present one.
    distrusted: AtomicU64,
    /// `Server`, as a number.
    server: AtomicU8,
    pub(crate) status: watch::Sender<Status>,
    /// What is shown while it is stopped; asked for only then.
    maintenance: Mutex<Option<MaintenancePage>>,
    pub(crate) orders: mpsc::Sender<Order>,
}

const SERVERS: [Server; 5] = [Server::Auto, Server::Puma, Server::Unicorn, Server::Thin, Server::Passenger];

impl Upstream {
    /// An upstream for `workers` threads, and the receiver of orders for its [`Monitor`](crate::Monitor).
    ///
    /// # Errors
    /// If the address cannot be one.
    pub fn new(
        config: vestibule_config::Upstream,
        workers: usize,
    ) -> io::Result<(Arc<Self>, mpsc::Receiver<Order>)> {
        let target = Target::new(&config.address)?;
        let guess = match (&config.in_flight, &target) {
            (Some(cap), _) => *cap,
            (None, Target::Tcp(_)) => TCP_CAP,
            (None, Target::Unix(_)) => capacity_without_peer(config.server).guess,
        };
        let (orders, received) = mpsc::channel(16);
        let status = Status { state: State::Starting, is_healthy: true, server: config.server };
        let upstream = Upstream {
            target,
            gate: Gate::new(guess, config.hold.requests, config.hold.memory),
            pool: Pool::new(workers),
            signals: Signals::new(workers),
            samples: Samples::default(),
            generation: AtomicU64::new(1),
            distrusted: AtomicU64::new(0),
            server: AtomicU8::new(0),
            status: watch::Sender::new(status),
            maintenance: Mutex::default(),
            orders,
            config,
        };
        upstream.set_server(upstream.config.server);
        Ok((Arc::new(upstream), received))
    }

    /// Number of the present generation; the first is 1.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Idle connections of the old generation are evicted as they are met.
    pub(crate) fn begin_generation(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The server recognised or configured.
    #[inline]
    pub fn server(&self) -> Server {
        SERVERS.get(usize::from(self.server.load(Ordering::Relaxed))).copied().unwrap_or(Server::Auto)
    }

    pub(crate) fn set_server(&self, server: Server) {
        let index = SERVERS.iter().position(|&known| known == server).unwrap_or_default();
        self.server.store(index as u8, Ordering::Relaxed);
    }

    /// Whether connections are kept. Unicorn closes after each answer, so that is said from the outset. Thin, told to
    /// stop, closes kept connections whose last answer it has computed and not yet written (measured: POSTs executed
    /// and cut at every stop); those that end with their answer it finishes.
    #[inline]
    pub fn keeps_connections(&self) -> bool {
        !matches!(self.server(), Server::Unicorn | Server::Thin)
    }

    /// Whether the application runs only when the whole body is there: not so with Unicorn (measured),
    /// and not known of others.
    pub(crate) fn reads_whole_bodies(&self) -> bool {
        matches!(self.server(), Server::Puma | Server::Thin)
    }

    /// Whether it takes a chunked body apart: Thin and Passenger hand it to the application as it is (measured).
    pub fn takes_chunks(&self) -> bool {
        !matches!(self.server(), Server::Thin | Server::Passenger)
    }

    pub(crate) fn is_unix(&self) -> bool {
        matches!(self.target, Target::Unix(_))
    }

    /// Keeps a connection whose answer was read to its end, if it may be used again.
    pub(crate) fn keep(&self, worker: usize, mut connection: Box<Connection>) {
        let is_current = connection.generation == self.generation();
        // More connections than requests in flight would leave some waiting for a thread that waits for us.
        let is_distrusted = self.distrusted.load(Ordering::Relaxed) == connection.generation;
        if is_current
            && !is_distrusted
            && self.keeps_connections()
            && self.pool.connections() <= self.gate.cap()
        {
            connection.finish_answer();
            self.pool.put(worker, connection);
        }
    }

    /// The application sent more than its answer's length. What came with the answer is thrown away; the next time
    /// it may come later, and be taken for the next answer, so that no connection of this generation is kept.
    pub(crate) fn distrust(&self) {
        let generation = self.generation();
        if self.distrusted.swap(generation, Ordering::Relaxed) != generation {
            tracing::warn!(
                upstream = self.config.name,
                "the application sends more than its Content-Length says: its connections are not kept any more"
            );
        }
    }

    /// Closes what need not stay open of this worker's idle connections. For the worker's clock.
    pub fn tidy(&self, worker: usize) {
        self.pool.tidy(worker, self.generation(), LONGEST_IDLE);
    }

    /// Whether a sample of the capacity is asked for after the one with the number `last`: requests in flight should
    /// then be woken, to look after themselves. For the worker's clock.
    pub fn is_sample_due(&self, last: &mut u32) -> bool {
        self.samples.is_due(last)
    }

    /// Counts a failure for the report of the restart it belongs to.
    pub fn count_failure(&self, error: &Error) {
        self.signals.failed(error);
    }

    /// Whether the operator stopped it: requests are refused, and need not be read to their end first.
    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.gate.is_refusing()
    }

    /// The page that the operator shows while it is stopped, if there is one.
    pub fn maintenance_page(&self) -> Option<MaintenancePage> {
        self.maintenance.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_maintenance_page(&self, page: Option<MaintenancePage>) {
        *self.maintenance.lock().unwrap_or_else(PoisonError::into_inner) = page;
    }

    /// What is known of it, and news when that changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Gives an order.
    ///
    /// # Errors
    /// When the monitor is gone.
    pub async fn order(&self, order: Order) -> Result<(), mpsc::error::SendError<Order>> {
        self.orders.send(order).await
    }

    /// How many requests are in flight now.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.gate.in_flight()
    }

    /// How many requests are in line now.
    pub fn waiting(&self) -> u64 {
        self.gate.waiting() as u64
    }

    /// How many answers there were since the start.
    pub fn answers(&self) -> u64 {
        self.signals.answers()
    }

    /// Numbers for a status page: in flight, waiting, cap, answered.
    pub fn counts(&self) -> Counts {
        Counts {
            in_flight: self.in_flight(),
            waiting: self.waiting(),
            cap: self.gate.cap(),
            answered: self.answers(),
            failed: self.signals.failures().iter().sum(),
            held: self.signals.held(),
        }
    }
}

/// Numbers of one upstream, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests in line.
    pub waiting: u64,
    /// Most requests in flight.
    pub cap: u32,
    /// Answers since the start.
    pub answered: u64,
    /// Requests since the start that got no answer of the application.
    pub failed: u64,
    /// Requests since the start that waited for the application to come back.
    pub held: u64,
}
