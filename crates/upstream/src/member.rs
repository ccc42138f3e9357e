//! One member of an upstream as all threads share it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use vestibule_config::{Server, UpstreamAddress};

use crate::capacity::Samples;
use crate::connect::Target;
use crate::connection::Connection;
use crate::gate::{FULL_WEIGHT, Gate, Line};
use crate::ledger::Reading;
use crate::peer::capacity_without_peer;
use crate::pool::Pool;
use crate::signals::{Signals, Tally};
use crate::upstream::Status;

/// Idle connections are closed after this: below the 20 s after which Puma closes them, and Thin's 30 s.
const LONGEST_IDLE: Duration = Duration::from_secs(15);
/// In flight at a TCP upstream, about whose process nothing can be found out.
const TCP_CAP: u32 = 1024;

/// Failures in a row, without an answer between them, that put a member aside.
const MOST_FAILURES: u32 = 3;

/// One server of an upstream: an address, a gate, a pool, a state.
#[derive(Debug)]
pub(crate) struct Member {
    /// What the operator wrote about its upstream.
    pub(crate) config: Arc<vestibule_config::Upstream>,
    /// Where it listens: `unix:/path` or `host:port`.
    pub(crate) address: UpstreamAddress,
    /// The same, for logs; `None` for the only member of its upstream, which needs no telling.
    pub(crate) label: Option<Arc<str>>,
    pub(crate) target: Target,
    pub(crate) gate: Arc<Gate>,
    pub(crate) pool: Pool,
    pub(crate) signals: Signals,
    pub(crate) samples: Samples,
    /// How much it gets beside the others of its tier, when it gets all that it is to get.
    weight: AtomicU32,
    /// Members of a higher tier are backups.
    pub(crate) tier: u32,
    pub(crate) slow_start: Duration,
    /// A number that its address makes; the same in each life of Vestibule, so that hashing finds the same member.
    pub(crate) identity: u64,
    /// Fresh connections and answers that failed, since the last answer.
    failures: AtomicU32,
    generation: AtomicU64,
    /// The generation that sent bytes behind an answer, if it was the present one.
    distrusted: AtomicU64,
    /// `Server`, as a number.
    server: AtomicU8,
    is_retired: Arc<AtomicBool>,
    pub(crate) status: watch::Sender<Status>,
}

/// What all members of an upstream share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) config: Arc<vestibule_config::Upstream>,
    pub(crate) line: Arc<Line>,
    pub(crate) tally: Arc<Tally>,
    /// Counts the samples of the capacity that were asked for, of any of them.
    pub(crate) sampled: Arc<AtomicU32>,
    /// No further request will come.
    pub(crate) is_retired: Arc<AtomicBool>,
    pub(crate) workers: usize,
}

/// How a member comes to its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The only one, now and later.
    Alone,
    /// With others, at the start.
    Among,
    /// To an upstream that has its traffic already.
    Joining,
}

/// One server as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// `unix:/path` or `host:port`.
    pub(crate) address: UpstreamAddress,
    pub(crate) weight: u32,
    pub(crate) tier: u32,
    pub(crate) slow_start: Duration,
}

const SERVERS: [Server; 5] = [Server::Auto, Server::Puma, Server::Unicorn, Server::Thin, Server::Passenger];

impl Member {
    /// A member at this place. The gate of one that joins is closed until it has joined.
    ///
    /// # Errors
    /// If the address cannot be one.
    pub(crate) fn new(place: Place, common: &Common, manner: Manner) -> io::Result<Arc<Self>> {
        let is_alone = manner == Manner::Alone;
        let config = &common.config;
        let target = Target::new(&place.address)?;
        let guess = match (&config.in_flight, &target) {
            (Some(cap), _) => *cap,
            (None, Target::Tcp(_)) => TCP_CAP,
            (None, Target::Unix(_)) => capacity_without_peer(config.server).guess,
        };
        let text = place.address.to_string();
        let weight = place.weight.saturating_mul(FULL_WEIGHT);
        let member = Member {
            target,
            gate: match manner {
                Manner::Joining => common.line.closed_gate(guess, place.tier, weight),
                Manner::Alone | Manner::Among => common.line.open_gate(guess, place.tier, weight),
            },
            pool: Pool::new(common.workers),
            signals: Signals::new(common.workers, Arc::clone(&common.tally)),
            samples: Samples::new(Arc::clone(&common.sampled)),
            weight: AtomicU32::new(place.weight),
            tier: place.tier,
            slow_start: if is_alone { Duration::ZERO } else { place.slow_start },
            identity: identity(text.as_bytes()),
            failures: AtomicU32::new(0),
            generation: AtomicU64::new(1),
            distrusted: AtomicU64::new(0),
            server: AtomicU8::new(0),
            is_retired: Arc::clone(&common.is_retired),
            status: watch::Sender::new(Status::starting(config.server)),
            label: (!is_alone).then(|| text.into()),
            address: place.address,
            config: Arc::clone(config),
        };
        member.set_server(config.server);
        Ok(Arc::new(member))
    }

    /// Whether its upstream has no other, now or later.
    #[inline]
    pub(crate) fn is_alone(&self) -> bool {
        self.label.is_none()
    }

    /// How much it gets beside the others of its tier, when it gets all that it is to get.
    #[inline]
    pub(crate) fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    /// Another weight from now on; what it gets of it at this moment follows.
    pub(crate) fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Ordering::Relaxed);
        self.gate.set_weight(weight.saturating_mul(FULL_WEIGHT));
    }

    /// An answer came.
    #[inline]
    pub(crate) fn answered(&self, worker: usize) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        self.signals.answered(worker);
    }

    /// An attempt on a fresh connection brought no answer, or none that is valid, by the member's doing.
    pub(crate) fn failed(&self) {
        if !self.is_alone() && self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_FAILURES {
            self.signals.failing();
        }
    }

    /// Its failures count anew.
    pub(crate) fn forgive(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// Number of the present generation; the first is 1.
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Idle connections of the old generation are evicted as they are met.
    pub(crate) fn begin_generation(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The server recognised or configured.
    #[inline]
    pub(crate) fn server(&self) -> Server {
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
    pub(crate) fn keeps_connections(&self) -> bool {
        !matches!(self.server(), Server::Unicorn | Server::Thin)
    }

    /// How it reads: Unicorn runs the application before the whole body is there (measured), of others it is not known.
    pub(crate) fn reading(&self) -> Reading {
        let server = self.server();
        Reading {
            whole_bodies: matches!(server, Server::Puma | Server::Thin),
            much_at_once: server != Server::Auto,
        }
    }

    /// Whether it takes a chunked body apart: Thin and Passenger hand it to the application as it is (measured).
    pub(crate) fn takes_chunks(&self) -> bool {
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
            && !self.is_retired()
            && self.keeps_connections()
            && self.pool.connections() <= self.gate.cap()
        {
            connection.finish_answer();
            self.pool.put(worker, connection);
        }
    }

    /// Whether no further request will come to its upstream.
    pub(crate) fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Relaxed)
    }

    /// The application sent more than its answer's length. What came with the answer is thrown away; the next time
    /// it may come later, and be taken for the next answer, so that no connection of this generation is kept.
    pub(crate) fn distrust(&self) {
        let generation = self.generation();
        if self.distrusted.swap(generation, Ordering::Relaxed) != generation {
            tracing::warn!(
                upstream = self.config.name,
                member = self.label.as_deref(),
                "the application sends more than its Content-Length says: its connections are not kept any more"
            );
        }
    }

    /// Closes what need not stay open of this worker's idle connections. For the worker's clock.
    pub(crate) fn tidy(&self, worker: usize) {
        self.pool.tidy(worker, self.generation(), LONGEST_IDLE);
    }
}

/// FNV-1a: the same for the same bytes for ever.
fn identity(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
