//! One upstream as all threads share it: its members, and the line before them.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};
use vestibule_config::{Server, UpstreamAddress};

use crate::error::Error;
use crate::gate::{Line, Permit};
use crate::maintenance::MaintenancePage;
use crate::member::{Common, Manner, Member, Place};
use crate::roster::Roster;
use crate::signals::Tally;
use crate::state::State;

/// Tiers of backups begin here; below it are the priorities of a service's records, which have 16 bits.
const BACKUP: u32 = 1 << 16;

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
    /// Its state: with several members, the best that one of them has.
    pub state: State,
    /// Whether the probes are content, at one member at least; `true` without probes.
    pub is_healthy: bool,
    /// The server found behind the socket, or configured; with several members, that of the first.
    pub server: Server,
}

impl Status {
    pub(crate) fn starting(server: Server) -> Self {
        Status { state: State::Starting, is_healthy: true, server }
    }
}

/// A named application as traffic sees it: one server, or several of which each request goes to one.
#[derive(Debug)]
pub struct Upstream {
    /// What the operator wrote.
    pub config: vestibule_config::Upstream,
    pub(crate) common: Common,
    /// The only member, where there will never be another.
    only: Option<Arc<Member>>,
    /// All members.
    roster: ArcSwap<Roster>,
    /// Answers of members that have left.
    departed: AtomicU64,
    /// The status as a whole, where it is not that of the only member.
    pub(crate) status: watch::Sender<Status>,
    /// What is shown while it is stopped; asked for only then.
    maintenance: Mutex<Option<MaintenancePage>>,
    orders: mpsc::Sender<Order>,
}

impl Upstream {
    /// An upstream for `workers` threads, and the receiver of orders for its [`Monitor`](crate::Monitor). Members that
    /// the DNS has to be asked for come with the monitor.
    ///
    /// # Errors
    /// If an address cannot be one.
    pub fn new(
        config: vestibule_config::Upstream,
        workers: usize,
    ) -> io::Result<(Arc<Self>, mpsc::Receiver<Order>)> {
        let common = Common {
            config: Arc::new(config.clone()),
            line: Line::new(config.hold.requests, config.hold.memory),
            tally: Arc::new(Tally::default()),
            sampled: Arc::new(AtomicU32::new(0)),
            is_retired: Arc::default(),
            workers,
        };
        let is_alone = config.only_address().is_some();
        let manner = if is_alone { Manner::Alone } else { Manner::Among };
        let members: Vec<_> = fixed_places(&config)
            .map(|place| Member::new(place, &common, manner))
            .collect::<io::Result<_>>()?;
        let only = members.first().filter(|_| is_alone).cloned();
        let (orders, received) = mpsc::channel(16);
        let upstream = Upstream {
            only,
            roster: ArcSwap::from_pointee(Roster::of(members)),
            departed: AtomicU64::new(0),
            status: watch::Sender::new(Status::starting(config.server)),
            maintenance: Mutex::default(),
            orders,
            common,
            config,
        };
        Ok((Arc::new(upstream), received))
    }

    pub(crate) fn line(&self) -> &Arc<Line> {
        &self.common.line
    }

    /// Calls `each` with every member, in the order of their tiers.
    pub(crate) fn each(&self, mut each: impl FnMut(&Arc<Member>)) {
        match &self.only {
            Some(only) => each(only),
            None => self.roster.load().members().iter().for_each(each),
        }
    }

    fn all(&self, mut test: impl FnMut(&Member) -> bool) -> bool {
        match &self.only {
            Some(only) => test(only),
            None => self.roster.load().members().iter().all(|member| test(member)),
        }
    }

    fn sum(&self, mut count: impl FnMut(&Member) -> u64) -> u64 {
        let mut sum = 0;
        self.each(|member| sum += count(member));
        sum
    }

    pub(crate) fn first_member(&self) -> Option<Arc<Member>> {
        self.only.clone().or_else(|| self.roster.load().members().first().cloned())
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.only.is_some()
    }

    /// All members at this moment.
    pub(crate) fn members(&self) -> Vec<Arc<Member>> {
        self.roster.load().members().to_vec()
    }

    /// From now on these are the members. Those that are not among them any more have left already.
    pub(crate) fn set_members(&self, members: Vec<Arc<Member>>, left: &[Arc<Member>]) {
        let answers: u64 = left.iter().map(|member| member.signals.answers()).sum();
        self.departed.fetch_add(answers, Ordering::Relaxed);
        self.roster.store(Arc::new(Roster::of(members)));
    }

    /// A permit at once, and whose it is: of the member that is to get this request, if somebody can take it.
    #[inline]
    pub(crate) fn try_enter(&self, key: u64) -> Option<(Arc<Member>, Permit)> {
        if let Some(only) = &self.only {
            return only.gate.try_enter().map(|permit| (Arc::clone(only), permit));
        }
        self.roster.load().choose(self.common.line.tier(), &self.config.balance, key)
    }

    /// Whose permit it is; `None` when that member has left.
    pub(crate) fn member_of(&self, permit: &Permit) -> Option<Arc<Member>> {
        match &self.only {
            Some(only) => Some(Arc::clone(only)),
            None => self
                .roster
                .load()
                .members()
                .iter()
                .find(|member| Arc::ptr_eq(&member.gate, permit.gate()))
                .cloned(),
        }
    }

    /// Whether nobody is there to take a request.
    pub(crate) fn is_closed(&self) -> bool {
        self.all(|member| member.gate.is_closed())
    }

    pub(crate) fn count_hold(&self) {
        self.common.tally.hold();
    }

    /// Number of the present generation; the first is 1. Of several members, the highest.
    #[inline]
    pub fn generation(&self) -> u64 {
        let mut highest = 1;
        self.each(|member| highest = highest.max(member.generation()));
        highest
    }

    /// The server recognised or configured; of several members, that of the first.
    pub fn server(&self) -> Server {
        self.first_member().map_or(self.config.server, |member| member.server())
    }

    /// Whether connections to all its members are kept.
    #[inline]
    pub fn keeps_connections(&self) -> bool {
        self.all(Member::keeps_connections)
    }

    /// Whether all its members take a chunked body apart.
    pub fn takes_chunks(&self) -> bool {
        self.all(Member::takes_chunks)
    }

    /// No further request will come: those that there are, also in line, get their answers, and no connection is kept for others.
    /// Its [`Monitor`](crate::Monitor) is needed until the last of them has ended.
    pub fn retire(&self) {
        self.common.is_retired.store(true, Ordering::Relaxed);
        // One that is put there at this moment stays until this is called again, or the upstream goes.
        self.each(|member| member.pool.clear());
    }

    /// Closes what need not stay open of this worker's idle connections. For the worker's clock.
    pub fn tidy(&self, worker: usize) {
        self.each(|member| member.tidy(worker));
    }

    /// Whether a sample of the capacity is asked for after the one with the number `last`: requests in flight should
    /// then be woken, to look after themselves. For the worker's clock.
    pub fn is_sample_due(&self, last: &mut u32) -> bool {
        let number = self.common.sampled.load(Ordering::Relaxed);
        std::mem::replace(last, number) != number
    }

    /// Counts a failure for the report of the restart it belongs to.
    pub fn count_failure(&self, error: &Error) {
        self.common.tally.failed(error);
    }

    /// Whether the operator stopped it: requests are refused, and need not be read to their end first.
    #[inline]
    pub fn is_stopped(&self) -> bool {
        match &self.only {
            Some(only) => only.gate.is_refusing(),
            None => {
                let roster = self.roster.load();
                // Without a member there is no traffic to slow down by asking behind a lock.
                roster.is_refusing() || roster.members().is_empty() && self.common.line.is_refusing()
            }
        }
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
        self.only.as_ref().map_or(&self.status, |only| &only.status).subscribe()
    }

    /// Gives an order, to all members.
    ///
    /// # Errors
    /// When the monitor is gone.
    pub async fn order(&self, order: Order) -> Result<(), mpsc::error::SendError<Order>> {
        self.orders.send(order).await
    }

    /// How many requests are in flight now.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.sum(|member| member.gate.in_flight().into()) as u32
    }

    /// How many requests are in line now.
    pub fn waiting(&self) -> u64 {
        self.common.line.waiting() as u64
    }

    /// How many answers there were since the start.
    pub fn answers(&self) -> u64 {
        self.sum(|member| member.signals.answers()) + self.departed.load(Ordering::Relaxed)
    }

    /// Numbers for a status page: in flight, waiting, cap, answered.
    pub fn counts(&self) -> Counts {
        Counts {
            in_flight: self.in_flight(),
            waiting: self.waiting(),
            cap: self.sum(|member| member.gate.cap().into()) as u32,
            answered: self.answers(),
            failed: self.common.tally.failures().iter().sum(),
            held: self.common.tally.held(),
        }
    }
}

/// The servers whose addresses are written.
pub(crate) fn fixed_places(config: &vestibule_config::Upstream) -> impl Iterator<Item = Place> {
    let fixed = config
        .members
        .iter()
        .filter(|member| matches!(member.address, UpstreamAddress::Unix(_) | UpstreamAddress::Tcp(_)));
    fixed.map(|member| place(member, member.address.clone(), member.weight, 0))
}

/// A server at `address`, as `member` has it; `priority` is that of its record among those of its service, from 0.
pub(crate) fn place(
    member: &vestibule_config::Member,
    address: UpstreamAddress,
    weight: u32,
    priority: u32,
) -> Place {
    let tier = priority + if member.backup { BACKUP } else { 0 };
    Place { address, weight, tier, slow_start: member.slow_start }
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
