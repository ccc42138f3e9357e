//! The monitor of one upstream, on the control thread: the only writer of its state.
//!
//! Workers report what they met ([`crate::signals`]), inotify what happened at the socket's path, probes what they
//! were answered, the operator what is wanted, by an order or by the maintenance file. From all of it the monitor makes one [`State`], and opens or closes the
//! gate accordingly.

use std::future::pending;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;
use vestibule_config::{Server, UpstreamAddress};
use vestibule_process::Life;

use crate::capacity::{Capacity, Estimate, Load};
use crate::connect::ConnectError;
use crate::episode::Episode;
use crate::gate::Entry;
use crate::maintenance::{Maintenance, News};
use crate::peer::{Peer, capacity_without_peer};
use crate::probe::{self, Outcome};
use crate::state::{State, Why};
use crate::stream::Stream;
use crate::upstream::{Order, Upstream};
use crate::watch::Watch;

/// Time between two looks when nothing is going on.
const CALM: Duration = Duration::from_millis(500);
/// While something is: away, starting, requests in line.
const ALERT: Duration = Duration::from_millis(100);
/// Just after the upstream went away or something stirred at its path; between bind and listen lie microseconds.
const EAGER: Duration = Duration::from_millis(10);
const EAGER_FOR: Duration = Duration::from_millis(500);
/// While its accept queue is full: between two requests that try.
const BUSY: Duration = Duration::from_millis(10);
/// Between two counts of the application's threads or processes.
const RECOUNT: Duration = Duration::from_secs(1);

/// One life of the listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    /// Inode and time of modification: file systems use inode numbers again.
    socket: Option<(u64, i64, i64)>,
    peer: Option<Life>,
}

/// Watches over one upstream.
#[derive(Debug)]
pub struct Monitor {
    upstream: Arc<Upstream>,
    orders: mpsc::Receiver<Order>,
    watch: Option<Watch>,
    maintenance: Option<Maintenance>,
    /// Whether an order made the state; the maintenance file does not overrule it, but for that of a restart.
    is_ordered: bool,
    /// Whether it was the order that holds for a restart: nobody is to wait for one in maintenance.
    is_restarting: bool,
    state: State,
    identity: Option<Identity>,
    peer: Option<Peer>,
    capacity: Option<Capacity>,
    estimate: Option<Estimate>,
    counted: Instant,
    /// Somebody listens whose accept queue was full when we wanted to know who it is.
    is_unseen: bool,
    /// When somebody was last let in to try a full accept queue.
    tried: Instant,
    eager_until: Instant,
    /// Answers when the present state began.
    answers_before: u64,
    episode: Option<Episode>,
    is_healthy: bool,
    /// Probes of one outcome in a row, and those without any answer.
    good: u32,
    bad: u32,
    silent: u32,
    answers_at_probe: u64,
}

impl Monitor {
    /// The monitor of `upstream`, which takes `orders`.
    pub fn new(upstream: Arc<Upstream>, orders: mpsc::Receiver<Order>) -> Self {
        let now = Instant::now();
        let watch = match &upstream.config.address {
            UpstreamAddress::Unix(path) => Some(Watch::new(path)),
            UpstreamAddress::Tcp(_) => None,
        };
        let mut monitor = Monitor {
            watch,
            maintenance: upstream.config.maintenance.as_deref().map(Maintenance::new),
            is_ordered: false,
            is_restarting: false,
            upstream,
            orders,
            state: State::Starting,
            identity: None,
            peer: None,
            capacity: None,
            estimate: None,
            counted: now,
            is_unseen: false,
            tried: now,
            eager_until: now,
            answers_before: 0,
            episode: None,
            is_healthy: true,
            good: 0,
            bad: 0,
            silent: 0,
            answers_at_probe: 0,
        };
        // Before anything is let in: the file may be there already.
        monitor.maintain();
        monitor
    }

    /// Runs for ever.
    pub async fn run(mut self) {
        let upstream = Arc::clone(&self.upstream);
        let (heard, mut outcomes) = mpsc::channel(1);
        tokio::task::spawn_local(probes(Arc::clone(&upstream), heard));
        if !self.state.is_ordered() {
            self.examine().await;
        }
        loop {
            let pause = self.pause();
            tokio::select! {
                () = upstream.signals.marked() => {}
                () = changed(self.watch.as_mut()) => self.eager_until = Instant::now() + EAGER_FOR,
                () = changed(self.maintenance.as_mut().map(|it| &mut it.watch)) => {}
                Some(order) = self.orders.recv() => self.obey(order).await,
                Some(outcome) = outcomes.recv() => self.heard(outcome),
                () = tokio::time::sleep(pause) => {}
            }
            self.turn().await;
        }
    }

    fn pause(&self) -> Duration {
        if self.state.is_ordered() {
            return CALM;
        }
        if self.upstream.gate.is_busy() {
            return BUSY;
        }
        match self.state {
            State::Away(..) if Instant::now() < self.eager_until => EAGER,
            State::Away(..) | State::Starting => ALERT,
            _ if self.upstream.gate.is_waited_for() => ALERT,
            _ => CALM,
        }
    }

    async fn turn(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.ensure();
        }
        let marks = self.upstream.signals.take();
        let is_back = self.maintain();
        if self.state.is_ordered() {
            return;
        }
        if self.upstream.gate.is_busy() && self.tried.elapsed() >= BUSY {
            self.tried = Instant::now();
            self.upstream.gate.admit_one();
        }
        let is_away = matches!(self.state, State::Away(why, _) if why != Why::Silent);
        let is_shut = self.upstream.gate.is_closed() && !self.state.holds();
        let is_unseen = self.is_unseen && self.counted.elapsed() >= RECOUNT;
        if is_back || marks.away || marks.check || is_away || is_shut || is_unseen || self.is_another_life() {
            self.examine().await;
        }
        if marks.away || marks.busy || marks.check {
            self.eager_until = Instant::now() + EAGER_FOR;
        }
        self.notice_answers();
        self.measure();
    }

    /// Whether the socket at the path or the process behind it is no longer the one we knew.
    fn is_another_life(&self) -> bool {
        let Some(known) = self.identity else { return true };
        known.socket != self.socket() || known.peer != known.peer.and_then(|life| Life::of(life.pid))
    }

    fn socket(&self) -> Option<(u64, i64, i64)> {
        let UpstreamAddress::Unix(path) = &self.upstream.config.address else { return None };
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
    }

    /// Connects, to see whether somebody listens and who it is. Nothing is sent.
    async fn examine(&mut self) {
        let socket = self.socket();
        match self.upstream.target.connect(self.upstream.config.timeout.connect).await {
            Ok(stream) => {
                self.is_unseen = false;
                self.found(socket, peer_of(&stream));
            }
            // Full means that somebody listens; who it is will be seen when there is room.
            Err(ConnectError::Busy) => {
                self.is_unseen = true;
                self.found(socket, self.peer.clone());
            }
            Err(ConnectError::Away(why, error)) => self.lost(why, &error),
            Err(ConnectError::Ours(error)) => {
                tracing::error!(upstream = self.upstream.config.name, %error, "cannot look after the upstream");
            }
        }
    }

    /// Somebody listens.
    fn found(&mut self, socket: Option<(u64, i64, i64)>, peer: Option<Peer>) {
        if let (None, Some(known)) = (&peer, self.identity)
            && known.peer.is_some()
            && known.socket == socket
        {
            // The one we know, dying: who comes after it will be seen.
            return;
        }
        let identity = Identity { socket, peer: peer.as_ref().map(|peer| peer.life) };
        let is_new = self.identity != Some(identity);
        if is_new {
            let is_first = self.identity.replace(identity).is_none();
            self.peer = peer;
            self.recognise();
            if !is_first {
                self.begin_episode("replaced");
                let generation = self.upstream.begin_generation();
                tracing::debug!(upstream = self.upstream.config.name, generation, "a new generation");
            }
        }
        match self.state {
            // Only an answer, or somebody new, ends a silence.
            State::Away(Why::Silent, _) if !is_new => {}
            State::Away(..) => self.open(),
            State::Ready if is_new => self.open(),
            // A worker may have shut the gate over an error that has passed.
            _ => self.upstream.gate.set_closed(self.state.holds()),
        }
    }

    /// Requests may try; the first answer makes it ready.
    fn open(&mut self) {
        self.answers_before = self.upstream.signals.answers();
        self.set_state(State::Starting);
    }

    fn lost(&mut self, why: Why, error: &io::Error) {
        match self.state {
            State::Away(before, _) if before == why => {}
            _ => {
                self.begin_episode(why.as_str());
                tracing::debug!(upstream = self.upstream.config.name, %error, "nobody listens");
                self.set_state(State::Away(why, SystemTime::now()));
            }
        }
        self.upstream.gate.set_closed(true);
    }

    fn set_state(&mut self, state: State) {
        if self.state != state {
            tracing::debug!(upstream = self.upstream.config.name, from = %self.state, to = %state, "state");
        }
        self.state = state;
        self.upstream.gate.set_entry(match state {
            State::Stopped => Entry::Refused,
            _ if state.holds() => Entry::Held,
            _ => Entry::Free,
        });
        self.publish();
    }

    fn publish(&self) {
        let (state, is_healthy, server) = (self.state, self.is_healthy, self.upstream.server());
        self.upstream.status.send_if_modified(|status| {
            let before = *status;
            (status.state, status.is_healthy, status.server) = (state, is_healthy, server);
            *status != before
        });
    }

    fn notice_answers(&mut self) {
        let answers = self.upstream.signals.answers();
        if self.state == State::Starting && answers > self.answers_before {
            self.set_state(State::Ready);
        }
        if self.state == State::Ready
            && let Some(episode) = &mut self.episode
            && episode.is_over(&self.upstream)
            && let Some(episode) = self.episode.take()
        {
            episode.report(&self.upstream);
        }
    }

    fn begin_episode(&mut self, why: &'static str) {
        if self.episode.is_none() && self.upstream.signals.answers() > 0 {
            self.episode = Some(Episode::begin(&self.upstream, why));
        }
    }

    /// Which server it is, and from that how it is treated.
    fn recognise(&mut self) {
        let server = match (self.upstream.config.server, &self.peer) {
            (Server::Auto, Some(peer)) => peer.server,
            (configured, _) => configured,
        };
        self.upstream.set_server(server);
        self.capacity = None;
        self.estimate = None;
        self.count();
        tracing::info!(
            upstream = self.upstream.config.name,
            server = ?server,
            pid = self.peer.as_ref().map(|peer| peer.life.pid),
            in_flight = self.upstream.gate.cap(),
            "found the application"
        );
        self.publish();
    }

    /// Counts what the application can run at once; a changed count begins the measuring anew.
    fn count(&mut self) {
        self.counted = Instant::now();
        if self.upstream.config.in_flight.is_some() || !self.upstream.is_unix() {
            return;
        }
        let server = self.upstream.server();
        let capacity = match &self.peer {
            Some(peer) => peer.capacity(server),
            None => capacity_without_peer(server),
        };
        if self.capacity != Some(capacity) {
            let guess_before = self.capacity.replace(capacity).map(|before| before.guess);
            self.estimate = Some(Estimate::new(capacity));
            if guess_before != Some(capacity.guess) {
                self.upstream.gate.set_cap(capacity.guess);
            }
        }
    }

    fn measure(&mut self) {
        if self.counted.elapsed() >= RECOUNT {
            self.count();
        }
        let gate = &self.upstream.gate;
        let load = Load { cap: gate.cap(), in_flight: gate.in_flight(), is_waited_for: gate.is_waited_for() };
        if self.state == State::Ready
            && let Some(estimate) = &mut self.estimate
            && let Some(cap) = estimate.update(&self.upstream.samples, load, Instant::now())
        {
            tracing::debug!(upstream = self.upstream.config.name, from = load.cap, to = cap, "in flight");
            gate.set_cap(cap);
        }
    }

    async fn obey(&mut self, order: Order) {
        self.is_ordered = order != Order::Resume;
        self.is_restarting = order == Order::Restart;
        let is_in_maintenance = self.maintenance.as_ref().is_some_and(Maintenance::is_on);
        match order {
            Order::Pause => self.set_state(State::Paused),
            Order::Stop => self.set_state(State::Stopped),
            Order::Drain => self.set_state(State::Draining),
            Order::Restart | Order::Resume if is_in_maintenance => self.set_state(State::Stopped),
            Order::Restart => self.set_state(State::Restarting),
            Order::Resume => {
                self.open();
                self.examine().await;
            }
        }
    }

    /// Does what the maintenance file says; whether the traffic is let in again, so that it should be seen who is there.
    fn maintain(&mut self) -> bool {
        let Some(maintenance) = &mut self.maintenance else { return false };
        let was_on = maintenance.is_on();
        let name = &self.upstream.config.name;
        match maintenance.look() {
            News::None => false,
            News::On(page) => {
                // There before the first who is to see it.
                self.upstream.set_maintenance_page(page);
                tracing::info!(
                    upstream = name,
                    "{}",
                    if was_on { "another maintenance page" } else { "maintenance begins" }
                );
                if !self.is_ordered || self.is_restarting {
                    self.set_state(State::Stopped);
                }
                false
            }
            News::Off => {
                tracing::info!(upstream = name, "maintenance ends");
                if self.is_restarting {
                    self.set_state(State::Restarting);
                } else if !self.is_ordered {
                    self.open();
                }
                self.upstream.set_maintenance_page(None);
                !self.is_ordered
            }
        }
    }

    /// A probe came back. It changes how the upstream is reported; whether it gets traffic only when nothing at all
    /// is answered.
    fn heard(&mut self, outcome: Outcome) {
        let Some(health) = &self.upstream.config.health else { return };
        let answers = self.upstream.signals.answers();
        let traffic_answered = std::mem::replace(&mut self.answers_at_probe, answers) != answers;
        let is_answer = !matches!(outcome, Outcome::Silent(_));
        (self.good, self.bad) = if outcome == Outcome::Good { (self.good + 1, 0) } else { (0, self.bad + 1) };
        self.silent = if is_answer || traffic_answered { 0 } else { self.silent + 1 };
        let (rise, fall) = (health.rise, health.fall);
        let was_healthy = self.is_healthy;
        if self.good >= rise {
            self.is_healthy = true;
        } else if self.bad >= fall {
            self.is_healthy = false;
        }
        if was_healthy != self.is_healthy {
            let healthy = self.is_healthy;
            tracing::warn!(upstream = self.upstream.config.name, healthy, last = ?outcome, "health changed");
            self.publish();
        }
        match self.state {
            State::Away(Why::Silent, _) if is_answer => self.open(),
            State::Starting if is_answer => self.set_state(State::Ready),
            State::Starting | State::Ready if self.silent >= fall => {
                self.begin_episode(Why::Silent.as_str());
                self.set_state(State::Away(Why::Silent, SystemTime::now()));
            }
            _ => {}
        }
    }
}

fn peer_of(stream: &Stream) -> Option<Peer> {
    let Stream::Unix(stream) = stream else { return None };
    Peer::of(rustix::process::Pid::from_raw(stream.peer_cred().ok()?.pid()?))
}

async fn changed(watch: Option<&mut Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => pending().await,
    }
}

/// Sends probe after probe. One that waits for its answer delays the next, so that they never pile up at an ill
/// application.
async fn probes(upstream: Arc<Upstream>, heard: mpsc::Sender<Outcome>) {
    let Some(health) = upstream.config.health.clone() else { return };
    let mut ticks = tokio::time::interval(health.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let outcome = probe::probe(&upstream.target, &health, upstream.pool.count()).await;
        if heard.send(outcome).await.is_err() {
            return;
        }
    }
}
