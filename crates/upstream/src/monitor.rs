//! The monitor of one upstream, on the control thread: hears the operator and the DNS, and has a [`Lookout`] for each
//! member, which is the only writer of that member's state.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use vestibule_config::Dns;

use crate::lookout::Lookout;
use crate::maintenance::{Maintenance, News};
use crate::member::{Manner, Member};
use crate::naming::{Found, Naming};
use crate::state::{State, Why};
use crate::upstream::{Order, Status, Upstream};
use crate::watch::Watch;

/// Time between two looks at what is not told at once.
const CALM: Duration = Duration::from_millis(500);

/// Watches over one upstream.
#[derive(Debug)]
pub struct Monitor {
    upstream: Arc<Upstream>,
    orders: mpsc::Receiver<Order>,
    maintenance: Option<Maintenance>,
    /// The order that stands; the maintenance file does not overrule it, but for that of a restart: nobody is to wait for
    /// one in maintenance.
    order: Option<Order>,
    /// The state that all members are to have, whatever the traffic finds.
    wish: watch::Sender<Option<State>>,
    /// A member has another status.
    news: Arc<Notify>,
    lookouts: Vec<Looking>,
    /// Those made before [`run`](Self::run), so that what is wished holds from the first request on.
    ready: Vec<Lookout>,
    names: Naming,
}

/// A lookout at work; it ends with this.
#[derive(Debug)]
struct Looking {
    member: Arc<Member>,
    task: JoinHandle<()>,
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Monitor {
    /// The monitor of `upstream`, which takes `orders`.
    pub fn new(upstream: Arc<Upstream>, orders: mpsc::Receiver<Order>) -> Self {
        let names = Naming::of(&upstream.config);
        let mut monitor = Monitor {
            maintenance: upstream.config.maintenance.as_deref().map(Maintenance::new),
            upstream,
            orders,
            order: None,
            wish: watch::Sender::new(None),
            news: Arc::default(),
            lookouts: Vec::new(),
            ready: Vec::new(),
            names,
        };
        // Before anything is let in: the file may be there already.
        monitor.maintain();
        let members = monitor.upstream.members();
        monitor.ready = members.into_iter().map(|member| monitor.lookout(member, false)).collect();
        monitor
    }

    /// Has it look up names as `dns` says. To be called before it runs.
    #[must_use]
    pub fn asking(mut self, dns: &Dns) -> Self {
        self.names.set_config(dns);
        self
    }

    fn lookout(&self, member: Arc<Member>, is_late: bool) -> Lookout {
        Lookout::new(member, self.wish.subscribe(), Arc::clone(&self.news), is_late)
    }

    /// Runs for ever; all that it has begun ends when this is dropped.
    pub async fn run(mut self) {
        for lookout in std::mem::take(&mut self.ready) {
            self.start(lookout);
        }
        self.names.start(&self.upstream.config);
        self.publish();
        let looks = self.maintenance.is_some();
        loop {
            tokio::select! {
                Some(order) = self.orders.recv() => self.order = Some(order).filter(|order| *order != Order::Resume),
                () = changed(self.maintenance.as_mut().map(|it| &mut it.watch)) => {}
                () = self.news.notified() => {}
                Some(found) = self.names.found() => self.rename(found),
                () = tick(looks) => {}
            }
            self.maintain();
            self.publish();
        }
    }

    /// A name has been looked up: who is there now, joins, and who is not, leaves.
    fn rename(&mut self, found: Found) {
        let is_late = self.names.keep(found);
        let wanted = self.names.places(&self.upstream.config);
        let is_wanted = |member: &Member| {
            wanted.iter().any(|place| place.address == member.address && place.tier == member.tier)
        };
        let (mut members, left): (Vec<_>, Vec<_>) =
            self.upstream.members().into_iter().partition(|member| is_wanted(member));
        let name = self.upstream.config.name.clone();
        let mut joined = Vec::new();
        for place in wanted {
            let is_it = |member: &&Arc<Member>| member.address == place.address && member.tier == place.tier;
            if let Some(known) = members.iter().find(is_it) {
                known.set_weight(place.weight);
                continue;
            }
            match Member::new(place, &self.upstream.common, Manner::Joining) {
                Ok(member) => joined.push(member),
                Err(error) => tracing::error!(upstream = name, %error, "a member cannot be added"),
            }
        }
        for member in &left {
            tracing::info!(
                upstream = name,
                member = member.label.as_deref(),
                "a member left: the DNS has it no more"
            );
            member.gate.part();
        }
        members.extend(joined.iter().cloned());
        self.upstream.set_members(members, &left);
        self.lookouts.retain(|looking| !left.iter().any(|member| Arc::ptr_eq(member, &looking.member)));
        for member in joined {
            tracing::info!(
                upstream = name,
                member = member.label.as_deref(),
                "a member joined: the DNS has it"
            );
            let lookout = self.lookout(Arc::clone(&member), is_late);
            // Open now that who is let in finds whose gate it was.
            if self.wish.borrow().is_none() {
                member.gate.set_closed(false);
            }
            self.start(lookout);
        }
    }

    fn start(&mut self, lookout: Lookout) {
        let member = Arc::clone(lookout.member());
        let task = tokio::task::spawn_local(lookout.run());
        self.lookouts.push(Looking { member, task });
    }

    /// Looks at the maintenance file, and tells the lookouts what is wished by it and by the order.
    fn maintain(&mut self) {
        let news = self.maintenance.as_mut().map_or((News::None, false), |maintenance| {
            let was_on = maintenance.is_on();
            (maintenance.look(), was_on)
        });
        let name = &self.upstream.config.name;
        match news {
            (News::None, _) => {}
            (News::On(page), was_on) => {
                // There before the first who is to see it.
                self.upstream.set_maintenance_page(page);
                let words = if was_on { "another maintenance page" } else { "maintenance begins" };
                tracing::info!(upstream = name, "{words}");
            }
            (News::Off, _) => tracing::info!(upstream = name, "maintenance ends"),
        }
        let is_in_maintenance = self.maintenance.as_ref().is_some_and(Maintenance::is_on);
        let wish = match self.order {
            Some(Order::Pause) => Some(State::Paused),
            Some(Order::Stop) => Some(State::Stopped),
            Some(Order::Drain) => Some(State::Draining),
            Some(Order::Restart | Order::Resume) | None if is_in_maintenance => Some(State::Stopped),
            Some(Order::Restart) => Some(State::Restarting),
            Some(Order::Resume) | None => None,
        };
        let is_new = self.wish.send_if_modified(|known| std::mem::replace(known, wish) != wish);
        if is_new {
            self.upstream.line().set_refusing(wish == Some(State::Stopped));
        }
        // Whoever is still refused sees the page.
        if !is_in_maintenance && self.maintenance.is_some() && !self.upstream.is_stopped() {
            self.upstream.set_maintenance_page(None);
        }
    }

    /// Tells what is known of the upstream as a whole.
    fn publish(&self) {
        if self.upstream.is_alone() {
            return;
        }
        let statuses: Vec<_> = self.lookouts.iter().map(|looking| *looking.member.status.borrow()).collect();
        let wish = *self.wish.borrow();
        let status = Status {
            state: together(&statuses, wish, self.names.since),
            is_healthy: statuses.is_empty() || statuses.iter().any(|status| status.is_healthy),
            server: self.upstream.server(),
        };
        self.upstream.status.send_if_modified(|known| std::mem::replace(known, status) != status);
    }
}

/// The best state of all. An order holds when it holds at each of them.
fn together(statuses: &[Status], wish: Option<State>, since: SystemTime) -> State {
    let rank = |state: State| match state {
        State::Ready => 0,
        State::Starting => 1,
        State::Away(..) => 2,
        State::Draining | State::Restarting | State::Paused | State::Stopped => 3,
    };
    let best = statuses.iter().map(|status| status.state).min_by_key(|&state| rank(state));
    best.or(wish).unwrap_or(State::Away(Why::Unresolved, since))
}

async fn changed(watch: Option<&mut Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => pending().await,
    }
}

async fn tick(is_needed: bool) {
    if is_needed { tokio::time::sleep(CALM).await } else { pending().await }
}
