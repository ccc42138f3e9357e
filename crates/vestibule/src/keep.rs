//! The keepers of all applications, and what they ask of the traffic.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinHandle};
use vestibule_config::{Config, Process, UpstreamAddress};
use vestibule_process::{Ending, Handle, Keeper, Surroundings, Traffic};
use vestibule_upstream::{Order, State, Upstream};

/// Longest that an order takes to hold: the monitor is a task of the same thread.
const OBEYED: Duration = Duration::from_secs(5);

/// Between two looks whether those that go have gone.
const LOOK: Duration = Duration::from_millis(50);

/// One keeper for each `[process.NAME]`.
pub(crate) struct Keepers {
    kept: Vec<Kept>,
    /// Those that are in the configuration no more, until they have ended.
    leaving: Vec<Leaving>,
    directory: PathBuf,
    turn: Arc<Semaphore>,
    /// What others have of each, in the order of the configuration.
    handles: Handles,
}

/// What others have of each keeper; a reload may change it.
pub(crate) type Handles = Rc<RefCell<Vec<Handle>>>;

/// One keeper.
struct Kept {
    name: String,
    /// The name of its upstream.
    upstream: Option<String>,
    way: Way,
    handle: Handle,
    task: JoinHandle<()>,
    ending: watch::Sender<Option<Ending>>,
}

/// One that is to end, though Vestibule goes on.
struct Leaving {
    kept: Kept,
    /// How it ends should Vestibule end first.
    otherwise: Ending,
}

impl Keepers {
    /// Starts them, on this thread. `directory` is where they keep what has to outlive us.
    ///
    /// # Errors
    /// When the output of an application cannot be followed.
    pub(crate) fn start(
        config: &Config,
        upstreams: &[Arc<Upstream>],
        directory: &Path,
    ) -> anyhow::Result<Self> {
        let mut keepers = Keepers {
            kept: Vec::new(),
            leaving: Vec::new(),
            directory: directory.to_owned(),
            turn: Arc::new(Semaphore::new(1)),
            handles: Handles::default(),
        };
        for process in config.processes.iter().flat_map(instances) {
            let kept = keepers.begin(process, upstreams)?;
            keepers.kept.push(kept);
        }
        keepers.show();
        Ok(keepers)
    }

    fn begin(&self, process: Process, upstreams: &[Arc<Upstream>]) -> anyhow::Result<Kept> {
        let upstream = upstream_of(&process, upstreams);
        let around = self.surroundings(upstream.as_ref());
        let (name, way) = (process.name.clone(), Way::to(upstream.clone()));
        let (keeper, handle) = Keeper::new(process, around, way.clone())?;
        let upstream = upstream.map(|upstream| upstream.config.name.clone());
        let (ending, ended) = watch::channel(None);
        // Two of one application would undo each other's work.
        let before: Vec<AbortHandle> = self.leaving_from(upstream.as_deref(), &name);
        let task = tokio::task::spawn_local(async move {
            while !before.iter().all(AbortHandle::is_finished) {
                tokio::time::sleep(LOOK).await;
            }
            keeper.run(ended).await;
        });
        Ok(Kept { name, upstream, way, handle, task, ending })
    }

    /// The keepers under way to their end that have this upstream, or this name.
    fn leaving_from(&self, upstream: Option<&str>, name: &str) -> Vec<AbortHandle> {
        let is_of = |leaving: &&Leaving| {
            leaving.kept.name == name || (upstream.is_some() && leaving.kept.upstream.as_deref() == upstream)
        };
        self.leaving.iter().filter(is_of).map(|leaving| leaving.kept.task.abort_handle()).collect()
    }

    fn surroundings(&self, upstream: Option<&Arc<Upstream>>) -> Surroundings {
        Surroundings {
            socket: upstream.and_then(|upstream| socket(upstream)),
            directory: self.directory.clone(),
            turn: Arc::clone(&self.turn),
        }
    }

    fn show(&self) {
        self.handles.replace(self.kept.iter().map(|kept| kept.handle.clone()).collect());
    }

    /// What others have of each.
    pub(crate) fn handles(&self) -> Handles {
        Rc::clone(&self.handles)
    }

    /// From now on what keepers ask of the traffic goes to these upstreams, too: an order that holds for an application
    /// holds for the new one before the first request gets there. To be called before requests go there.
    pub(crate) async fn meet(&self, config: &Config, upstreams: &[Arc<Upstream>]) {
        for process in config.processes.iter().flat_map(instances) {
            if let Some(kept) = self.kept.iter().find(|kept| kept.name == process.name) {
                kept.way.lead_to(upstream_of(&process, upstreams)).await;
            }
        }
    }

    /// Keeps the applications of another configuration. Those of the same name go by their new settings as soon as they are not in
    /// the middle of something, and are not restarted for it. One that is not in it any more ends as if Vestibule did (`on_exit`),
    /// after its requests; but where its upstream is still there, requests go on to it, and so it goes on.
    pub(crate) fn change(&mut self, config: &Config, upstreams: &[Arc<Upstream>]) {
        self.leaving.retain(|leaving| !leaving.kept.task.is_finished());
        let wanted: Vec<Process> = config.processes.iter().flat_map(instances).collect();
        let mut before = Vec::new();
        for kept in std::mem::take(&mut self.kept) {
            if wanted.iter().any(|process| process.name == kept.name) {
                before.push(kept);
            } else {
                let is_served = kept
                    .upstream
                    .as_ref()
                    .is_some_and(|name| upstreams.iter().any(|one| one.config.name == *name));
                self.leaving.push(kept.leave(is_served));
            }
        }
        for process in wanted {
            if let Some(at) = before.iter().position(|kept| kept.name == process.name) {
                let mut kept = before.swap_remove(at);
                let upstream = upstream_of(&process, upstreams);
                kept.upstream = upstream.as_ref().map(|upstream| upstream.config.name.clone());
                kept.handle.adjust(process, self.surroundings(upstream.as_ref()));
                self.kept.push(kept);
                continue;
            }
            let name = process.name.clone();
            match self.begin(process, upstreams) {
                Ok(kept) => self.kept.push(kept),
                Err(error) => tracing::error!(process = name, "it cannot be kept: {error:#}"),
            }
        }
        self.show();
    }

    /// Vestibule ends: stops the applications that are to be stopped, and waits for them; not for what they run once `hurry` is over.
    pub(crate) async fn end<R>(self, ending: Ending, hurry: impl Future<Output = R>) {
        let all: Vec<(Kept, Ending)> = self
            .kept
            .into_iter()
            .map(|kept| (kept, ending))
            .chain(self.leaving.into_iter().map(|Leaving { kept, otherwise }| {
                let how = if ending == Ending::Leave { ending } else { otherwise };
                (kept, how)
            }))
            .collect();
        let (mut tasks, mut endings) = (Vec::new(), Vec::new());
        for (kept, how) in all {
            kept.ending.send_replace(Some(how));
            tasks.push(kept.task);
            endings.push((kept.ending, how));
        }
        let ended = async {
            for task in tasks {
                if let Err(error) = task.await {
                    tracing::error!(%error, "a keeper failed");
                }
            }
        };
        let mut ended = pin!(ended);
        tokio::select! {
            () = &mut ended => {}
            _ = hurry => {
                for (ending, how) in endings {
                    let at_once = if how == Ending::AsConfigured { Ending::AtOnce } else { Ending::LeaveAtOnce };
                    ending.send_replace(Some(at_once));
                }
                ended.await;
            }
        }
    }
}

impl Kept {
    /// Ends it, in the background.
    fn leave(self, is_served: bool) -> Leaving {
        let otherwise = if is_served {
            tracing::warn!(
                process = self.name,
                upstream = self.upstream,
                "not kept any more; it goes on, since requests go on to its upstream"
            );
            self.ending.send_replace(Some(Ending::HandedOver));
            Ending::Leave
        } else {
            tracing::warn!(process = self.name, "not kept any more; it ends as its on_exit says");
            let (way, ending) = (self.way.clone(), self.ending.clone());
            tokio::task::spawn_local(async move {
                let finished = async {
                    while way.in_flight() + way.waiting() > 0 {
                        tokio::time::sleep(LOOK).await;
                    }
                };
                // What takes longer than this is cut, as at the end of Vestibule.
                let _ = tokio::time::timeout(way.patience(), finished).await;
                // Unless Vestibule ends by now.
                ending.send_if_modified(|how| {
                    let is_first = how.is_none();
                    if is_first {
                        *how = Some(Ending::Dismissed);
                    }
                    is_first
                });
            });
            Ending::AsConfigured
        };
        Leaving { kept: self, otherwise }
    }
}

fn upstream_of(process: &Process, upstreams: &[Arc<Upstream>]) -> Option<Arc<Upstream>> {
    process.upstream.and_then(|id| upstreams.get(id.0)).cloned()
}

/// As many processes of their own as `instances` says.
fn instances(process: &Process) -> Vec<Process> {
    if process.instances <= 1 {
        return vec![process.clone()];
    }
    let one = |number: u32| {
        let mut name = PathBuf::from(&process.pid_file.clone().unwrap_or_default()).into_os_string();
        name.push(format!(".{number}"));
        Process {
            name: format!("{}.{number}", process.name),
            pid_file: process.pid_file.as_ref().map(|_| name.into()),
            ..process.clone()
        }
    };
    (1..=process.instances).map(one).collect()
}

fn socket(upstream: &Upstream) -> Option<PathBuf> {
    match upstream.config.only_address() {
        Some(UpstreamAddress::Unix(path)) => Some(path.clone()),
        _ => None,
    }
}

/// The way of an application's requests, as far as a keeper may bar it. Cloned, it is the same.
#[derive(Debug, Clone)]
struct Way(Rc<Lane>);

#[derive(Debug)]
struct Lane {
    /// Where requests go; `None` for an application in the background.
    upstream: RefCell<Option<Arc<Upstream>>>,
    /// Where they went before a reload, as long as some are still there.
    before: RefCell<Vec<Weak<Upstream>>>,
    /// What was ordered last.
    order: Cell<Order>,
    /// Answers of those before.
    answered: Cell<u64>,
}

impl Way {
    fn to(upstream: Option<Arc<Upstream>>) -> Self {
        Way(Rc::new(Lane {
            upstream: RefCell::new(upstream),
            before: RefCell::default(),
            order: Cell::new(Order::Resume),
            answered: Cell::new(0),
        }))
    }

    fn upstream(&self) -> Option<Arc<Upstream>> {
        self.0.upstream.borrow().clone()
    }

    /// All that have requests of it.
    fn all(&self) -> Vec<Arc<Upstream>> {
        let before = self.0.before.borrow().iter().filter_map(Weak::upgrade).collect::<Vec<_>>();
        self.upstream().into_iter().chain(before).collect()
    }

    /// From now on requests go here. Returns when what was ordered last holds there, too.
    async fn lead_to(&self, upstream: Option<Arc<Upstream>>) {
        let present = self.upstream();
        if present.as_ref().map(Arc::as_ptr) == upstream.as_ref().map(Arc::as_ptr) {
            return;
        }
        if let Some(present) = present {
            self.0.answered.set(self.0.answered.get() + present.counts().answered);
            let mut before = self.0.before.borrow_mut();
            before.retain(|before| before.strong_count() > 0);
            before.push(Arc::downgrade(&present));
        }
        self.0.upstream.replace(upstream.clone());
        let order = self.0.order.get();
        if let Some(upstream) = upstream.filter(|_| order != Order::Resume) {
            order_one(&upstream, order, |status| status.state.is_ordered()).await;
        }
    }

    /// Gives an order, and waits until its state holds.
    async fn order(&self, order: Order, mut until: impl FnMut(&vestibule_upstream::Status) -> bool) {
        self.0.order.set(order);
        for upstream in self.all() {
            order_one(&upstream, order, &mut until).await;
        }
    }

    fn sum(&self, count: impl Fn(&Upstream) -> u64) -> u64 {
        self.all().iter().map(|upstream| count(upstream)).sum()
    }
}

async fn order_one(
    upstream: &Upstream,
    order: Order,
    until: impl FnMut(&vestibule_upstream::Status) -> bool,
) {
    let mut status = upstream.status();
    if upstream.order(order).await.is_err() {
        // Its last request has ended, and with it its monitor: a reload took it away.
        return;
    }
    if tokio::time::timeout(OBEYED, status.wait_for(until)).await.is_err() {
        tracing::error!(upstream = upstream.config.name, ?order, "the monitor does not obey");
    }
}

impl Traffic for Way {
    async fn hold(&self) {
        // Nobody waits in maintenance, and nobody gets in either.
        self.order(Order::Restart, |status| matches!(status.state, State::Restarting | State::Stopped)).await;
    }

    async fn refuse(&self) {
        self.order(Order::Stop, |status| status.state == State::Stopped).await;
    }

    async fn release(&self) {
        // What comes then is the monitor's to find out; a maintenance page may still refuse everybody.
        self.order(Order::Resume, |status| status.state != State::Restarting).await;
    }

    fn has_upstream(&self) -> bool {
        self.0.upstream.borrow().is_some()
    }

    fn in_flight(&self) -> u64 {
        self.sum(|upstream| upstream.counts().in_flight.into())
    }

    fn waiting(&self) -> u64 {
        self.sum(|upstream| upstream.counts().waiting)
    }

    fn answers(&self) -> u64 {
        self.0.answered.get() + self.upstream().map_or(0, |upstream| upstream.counts().answered)
    }

    fn patience(&self) -> Duration {
        self.upstream().map_or(Duration::ZERO, |upstream| upstream.config.drain_timeout)
    }

    async fn probe(&self, socket: Option<&Path>, within: Duration) -> Result<u16, String> {
        match self.upstream() {
            Some(upstream) => upstream.probe(socket, within).await,
            None => Err("it has no traffic".to_owned()),
        }
    }

    fn is_good(&self, status: u16) -> bool {
        let is_asked_for_health = self.upstream().is_some_and(|upstream| upstream.config.health.is_some());
        if is_asked_for_health { (200..400).contains(&status) } else { status < 500 }
    }
}
