//! The keepers of all applications, and what they ask of the traffic.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use vestibule_config::{Config, UpstreamAddress};
use vestibule_process::{Ending, Handle, Keeper, Surroundings, Traffic};
use vestibule_upstream::{Order, State, Upstream};

/// Longest that an order takes to hold: the monitor is a task of the same thread.
const OBEYED: Duration = Duration::from_secs(5);

/// One keeper for each `[process.NAME]`.
pub(crate) struct Keepers {
    handles: Vec<Handle>,
    tasks: Vec<JoinHandle<()>>,
    ending: watch::Sender<Option<Ending>>,
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
        let (ending, ended) = watch::channel(None);
        let turn = Arc::new(Semaphore::new(1));
        let mut keepers = Keepers { handles: Vec::new(), tasks: Vec::new(), ending };
        for process in config.processes.iter().flat_map(instances) {
            let upstream = process.upstream.and_then(|id| upstreams.get(id.0)).cloned();
            let around = Surroundings {
                socket: upstream.as_deref().and_then(socket),
                directory: directory.to_owned(),
                turn: Arc::clone(&turn),
            };
            let (keeper, handle) = Keeper::new(process, around, Way(upstream))?;
            keepers.handles.push(handle);
            keepers.tasks.push(tokio::task::spawn_local(keeper.run(ended.clone())));
        }
        Ok(keepers)
    }

    /// What others have of each.
    pub(crate) fn handles(&self) -> &[Handle] {
        &self.handles
    }

    /// Vestibule ends: stops the applications that are to be stopped, and waits for them; not for what they run once `hurry` is over.
    pub(crate) async fn end<R>(self, ending: Ending, hurry: impl Future<Output = R>) {
        self.ending.send_replace(Some(ending));
        let ended = async {
            for task in self.tasks {
                if let Err(error) = task.await {
                    tracing::error!(%error, "a keeper failed");
                }
            }
        };
        let mut ended = pin!(ended);
        tokio::select! {
            () = &mut ended => {}
            _ = hurry => {
                let at_once = if ending == Ending::AsConfigured { Ending::AtOnce } else { Ending::LeaveAtOnce };
                self.ending.send_replace(Some(at_once));
                ended.await;
            }
        }
    }
}

/// As many processes of their own as `instances` says.
fn instances(process: &vestibule_config::Process) -> Vec<vestibule_config::Process> {
    if process.instances <= 1 {
        return vec![process.clone()];
    }
    let one = |number: u32| {
        let mut name = PathBuf::from(&process.pid_file.clone().unwrap_or_default()).into_os_string();
        name.push(format!(".{number}"));
        vestibule_config::Process {
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

/// The way of an application's requests, as far as a keeper may bar it. `None` for one in the background.
#[derive(Debug, Clone)]
struct Way(Option<Arc<Upstream>>);

impl Way {
    /// Gives an order, and waits until its state holds.
    async fn order(&self, order: Order, until: impl FnMut(&vestibule_upstream::Status) -> bool) {
        let Some(upstream) = &self.0 else { return };
        let mut status = upstream.status();
        if upstream.order(order).await.is_err()
            || tokio::time::timeout(OBEYED, status.wait_for(until)).await.is_err()
        {
            tracing::error!(upstream = upstream.config.name, ?order, "the monitor does not obey");
        }
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
        self.0.is_some()
    }

    fn in_flight(&self) -> u64 {
        self.0.as_ref().map_or(0, |upstream| upstream.counts().in_flight.into())
    }

    fn waiting(&self) -> u64 {
        self.0.as_ref().map_or(0, |upstream| upstream.counts().waiting)
    }

    fn answers(&self) -> u64 {
        self.0.as_ref().map_or(0, |upstream| upstream.counts().answered)
    }

    fn patience(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |upstream| upstream.config.drain_timeout)
    }

    async fn probe(&self, socket: Option<&Path>, within: Duration) -> Result<u16, String> {
        match &self.0 {
            Some(upstream) => upstream.probe(socket, within).await,
            None => Err("it has no traffic".to_owned()),
        }
    }

    fn is_good(&self, status: u16) -> bool {
        let is_asked_for_health = self.0.as_ref().is_some_and(|upstream| upstream.config.health.is_some());
        if is_asked_for_health { (200..400).contains(&status) } else { status < 500 }
    }
}
