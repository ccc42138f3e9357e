//! The lookout over one member, on the control thread: the only writer of its state.
//!
//! Workers report what they met ([`crate::signals`]), inotify what happened at the socket's path, probes what they
//! were answered, the upstream's monitor what is wished. From all of it the lookout makes one [`State`], and opens or closes the
//! gate accordingly.

mod ejection;

use std::future::pending;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use vestibule_config::{Server, UpstreamAddress};
use vestibule_process::Life;

use crate::capacity::{Capacity, Estimate, Load};
use crate::connect::ConnectError;
use crate::episode::Episode;
use crate::gate::{Entry, FULL_WEIGHT};
use crate::member::Member;
use crate::peer::{Peer, capacity_without_peer};
use crate::probe::{self, Outcome};
use crate::state::{State, Why};
use crate::stream::Stream;
use crate::watch::Watch;

use ejection::Ejection;

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

/// The least part of its weight that a member gets in a slow start.
const LEAST_PART: f64 = 0.02;
/// Between two steps of a slow start.
const STEP: Duration = Duration::from_millis(50);

/// Watches over one member.
#[derive(Debug)]
pub(crate) struct Lookout {
    member: Arc<Member>,
    /// The state that it is to have, whatever the traffic finds.
    wish: watch::Receiver<Option<State>>,
    /// Told when the status changes.
    news: Arc<Notify>,
    watch: Option<Watch>,
    ejection: Ejection,
    /// When its slow start began, if it is in one.
    ramp: Option<Instant>,
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

impl Lookout {
    /// The lookout over `member`, which follows `wish` and tells `news`. `is_late`: it joins others that are there already.
    pub(crate) fn new(
        member: Arc<Member>,
        mut wish: watch::Receiver<Option<State>>,
        news: Arc<Notify>,
        is_late: bool,
    ) -> Self {
        let now = Instant::now();
        let watch = match &member.address {
            UpstreamAddress::Unix(path) => Some(Watch::new(path)),
            _ => None,
        };
        let wished = *wish.borrow_and_update();
        let mut lookout = Lookout {
            watch,
            ejection: Ejection::default(),
            ramp: None,
            member,
            wish,
            news,
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
        if let Some(state) = wished {
            lookout.set_state(state);
        }
        if is_late {
            lookout.begin_slowly();
        }
        lookout
    }

    pub(crate) fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// Runs for ever.
    pub(crate) async fn run(mut self) {
        let member = Arc::clone(&self.member);
        let (heard, mut outcomes) = mpsc::channel(1);
        let mut probing = JoinSet::new();
        probing.spawn_local(probes(Arc::clone(&member), heard));
        if !self.state.is_ordered() {
            self.examine().await;
        }
        loop {
            let pause = self.pause();
            tokio::select! {
                () = member.signals.marked() => {}
                () = changed(self.watch.as_mut()) => self.eager_until = Instant::now() + EAGER_FOR,
                Ok(()) = self.wish.changed() => self.follow().await,
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
        if self.member.gate.is_busy() {
            return BUSY;
        }
        match self.state {
            _ if self.ramp.is_some() => STEP,
            State::Away(..) if Instant::now() < self.eager_until => EAGER,
            State::Away(..) | State::Starting => ALERT,
            _ if self.member.gate.is_waited_for() => ALERT,
            _ => CALM,
        }
    }

    async fn turn(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.ensure();
        }
        let marks = self.member.signals.take();
        if self.state.is_ordered() {
            return;
        }
        if self.member.gate.is_busy() && self.tried.elapsed() >= BUSY {
            self.tried = Instant::now();
            self.member.gate.admit_one();
        }
        let is_away = matches!(self.state, State::Away(why, _) if why != Why::Silent);
        self.climb();
        if marks.failing {
            self.eject();
        } else if self.ejection.end(Instant::now()) {
            self.readmit();
        }
        let is_shut = self.member.gate.is_closed() && !self.state.holds();
        let is_unseen = self.is_unseen && self.counted.elapsed() >= RECOUNT;
        if marks.away || marks.check || is_away || is_shut || is_unseen || self.is_another_life() {
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
        let UpstreamAddress::Unix(path) = &self.member.address else { return None };
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
    }

    /// Connects, to see whether somebody listens and who it is. Nothing is sent.
    async fn examine(&mut self) {
        let socket = self.socket();
        match self.member.target.connect(self.member.config.timeout.connect).await {
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
                tracing::error!(upstream = self.member.config.name, member = self.member.label.as_deref(), %error, "cannot look after the upstream");
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
                let generation = self.member.begin_generation();
                if self.ejection.forget() {
                    self.readmit();
                }
                tracing::debug!(
                    upstream = self.member.config.name,
                    member = self.member.label.as_deref(),
                    generation,
                    "a new generation"
                );
            }
        }
        match self.state {
            // Only an answer, or somebody new, ends a silence.
            State::Away(Why::Silent, _) if !is_new => {}
            State::Away(..) => self.open(),
            State::Ready if is_new => self.open(),
            // A worker may have shut the gate over an error that has passed.
            _ => self.member.gate.set_closed(self.state.holds()),
        }
    }

    /// Requests may try; the first answer makes it ready.
    fn open(&mut self) {
        self.answers_before = self.member.signals.answers();
        self.set_state(State::Starting);
        self.begin_slowly();
    }

    fn lost(&mut self, why: Why, error: &io::Error) {
        match self.state {
            State::Away(before, _) if before == why => {}
            _ => {
                self.begin_episode(why.as_str());
                tracing::debug!(upstream = self.member.config.name, member = self.member.label.as_deref(), %error, "nobody listens");
                self.set_state(State::Away(why, SystemTime::now()));
            }
        }
        self.member.gate.set_closed(true);
    }

    fn set_state(&mut self, state: State) {
        if self.state != state {
            tracing::debug!(upstream = self.member.config.name, member = self.member.label.as_deref(), from = %self.state, to = %state, "state");
        }
        self.state = state;
        self.member.gate.set_entry(match state {
            State::Stopped => Entry::Refused,
            _ if state.holds() => Entry::Held,
            _ => Entry::Free,
        });
        self.publish();
    }

    fn publish(&self) {
        let (state, is_healthy, server) = (self.state, self.is_healthy, self.member.server());
        self.member.status.send_if_modified(|status| {
            let before = *status;
            (status.state, status.is_healthy, status.server) = (state, is_healthy, server);
            *status != before
        });
        self.news.notify_one();
    }

    fn notice_answers(&mut self) {
        let answers = self.member.signals.answers();
        if self.state == State::Starting && answers > self.answers_before {
            self.set_state(State::Ready);
        }
        if self.state == State::Ready
            && let Some(episode) = &mut self.episode
            && episode.is_over(&self.member)
            && let Some(episode) = self.episode.take()
        {
            episode.report(&self.member);
        }
    }

    fn begin_episode(&mut self, why: &'static str) {
        if self.episode.is_none() && self.member.signals.answers() > 0 {
            self.episode = Some(Episode::begin(&self.member, why));
        }
    }

    /// Which server it is, and from that how it is treated.
    fn recognise(&mut self) {
        let server = match (self.member.config.server, &self.peer) {
            (Server::Auto, Some(peer)) => peer.server,
            (configured, _) => configured,
        };
        self.member.set_server(server);
        self.capacity = None;
        self.estimate = None;
        self.count();
        tracing::info!(
            upstream = self.member.config.name,
            member = self.member.label.as_deref(),
            server = ?server,
            pid = self.peer.as_ref().map(|peer| peer.life.pid),
            in_flight = self.member.gate.cap(),
            "found the application"
        );
        self.publish();
    }

    /// Counts what the application can run at once; a changed count begins the measuring anew.
    fn count(&mut self) {
        self.counted = Instant::now();
        if self.member.config.in_flight.is_some() || !self.member.is_unix() {
            return;
        }
        let server = self.member.server();
        let capacity = match &self.peer {
            Some(peer) => peer.capacity(server),
            None => capacity_without_peer(server),
        };
        if self.capacity != Some(capacity) {
            let guess_before = self.capacity.replace(capacity).map(|before| before.guess);
            self.estimate = Some(Estimate::new(capacity));
            if guess_before != Some(capacity.guess) {
                self.member.gate.set_cap(capacity.guess);
            }
        }
    }

    fn measure(&mut self) {
        if self.counted.elapsed() >= RECOUNT {
            self.count();
        }
        let gate = &self.member.gate;
        let load = Load { cap: gate.cap(), in_flight: gate.in_flight(), is_waited_for: gate.is_waited_for() };
        if self.state == State::Ready
            && let Some(estimate) = &mut self.estimate
            && let Some(cap) = estimate.update(&self.member.samples, load, Instant::now())
        {
            tracing::debug!(
                upstream = self.member.config.name,
                member = self.member.label.as_deref(),
                from = load.cap,
                to = cap,
                "in flight"
            );
            gate.set_cap(cap);
        }
    }

    /// Does what is wished by now.
    async fn follow(&mut self) {
        let wish = *self.wish.borrow_and_update();
        match wish {
            Some(state) => self.set_state(state),
            None => {
                self.open();
                self.examine().await;
            }
        }
    }

    /// Failures in a row: others go first for a while, each time longer.
    fn eject(&mut self) {
        if self.ejection.is_on() || self.member.is_alone() || self.state.holds() {
            return;
        }
        let pause = self.ejection.begin(Instant::now());
        tracing::warn!(
            upstream = self.member.config.name,
            member = self.member.label.as_deref(),
            seconds = pause.as_secs(),
            "put aside: it failed several times in a row"
        );
        self.tell_illness();
    }

    /// The time aside is over, or another life began.
    fn readmit(&mut self) {
        self.member.forgive();
        tracing::info!(
            upstream = self.member.config.name,
            member = self.member.label.as_deref(),
            "gets requests again"
        );
        self.tell_illness();
        self.begin_slowly();
    }

    /// Whether others go first. Of one that is alone nothing is told: it gets all the same.
    fn tell_illness(&self) {
        if !self.member.is_alone() {
            self.member.gate.set_ill(!self.is_healthy || self.ejection.is_on());
        }
    }

    /// From now on it gets more and more, up to all that it is to get.
    fn begin_slowly(&mut self) {
        if !self.member.slow_start.is_zero() {
            self.ramp = Some(Instant::now());
            self.climb();
        }
    }

    /// One step of a slow start.
    fn climb(&mut self) {
        let Some(since) = self.ramp else { return };
        let full = self.member.weight().saturating_mul(FULL_WEIGHT);
        let part = since.elapsed().as_secs_f64() / self.member.slow_start.as_secs_f64();
        if part >= 1.0 {
            self.ramp = None;
        }
        self.member.gate.set_weight((f64::from(full) * part.clamp(LEAST_PART, 1.0)) as u32);
    }

    /// A probe came back. It changes how the upstream is reported; whether it gets traffic only when nothing at all
    /// is answered.
    fn heard(&mut self, outcome: Outcome) {
        let Some(health) = &self.member.config.health else { return };
        let answers = self.member.signals.answers();
        let traffic_answered = std::mem::replace(&mut self.answers_at_probe, answers) != answers;
        let is_answer = !matches!(outcome, Outcome::Silent(_));
        (self.good, self.bad) = if outcome == Outcome::Good { (self.good + 1, 0) } else { (0, self.bad + 1) };
        // Where nobody asks, only the probe goes unanswered: its page may be slow, and nobody else's. Others of several go first then anyway.
        let is_asked = self.member.gate.in_flight() > 0;
        self.silent = if is_answer || traffic_answered || !is_asked { 0 } else { self.silent + 1 };
        let (rise, fall) = (health.rise, health.fall);
        let was_healthy = self.is_healthy;
        if self.good >= rise {
            self.is_healthy = true;
        } else if self.bad >= fall {
            self.is_healthy = false;
        }
        if was_healthy != self.is_healthy {
            let healthy = self.is_healthy;
            tracing::warn!(upstream = self.member.config.name, member = self.member.label.as_deref(), healthy, last = ?outcome, "health changed");
            self.tell_illness();
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
async fn probes(member: Arc<Member>, heard: mpsc::Sender<Outcome>) {
    let Some(health) = member.config.health.clone() else { return };
    let mut ticks = tokio::time::interval(health.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if member.is_retired() && member.gate.in_flight() == 0 && !member.gate.is_waited_for() {
            continue;
        }
        let outcome = probe::probe(&member.target, &health, member.pool.count()).await;
        if heard.send(outcome).await.is_err() {
            return;
        }
    }
}
