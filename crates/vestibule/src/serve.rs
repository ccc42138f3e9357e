//! `vestibule serve`: the order of starting up, the control thread, the order of ending.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::geteuid;
use rustix::process::{Resource, getrlimit};
use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use vestibule_config::{Config, Process};
use vestibule_process::raise_open_files;
use vestibule_process::{Ending, Reaper};
use vestibule_proxy::LogFile;
use vestibule_server::{Bound, Cut, Server};
use vestibule_upstream::{Monitor, Upstream};

use crate::certificates::{Renewals, Running};
use crate::command::find_config;
use crate::control::{self, Place, Quit};
use crate::keep::Keepers;
use crate::tls::Security;

/// Something outside of the configuration that the operator has to mend.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct CannotStart(String);

impl CannotStart {
    pub(crate) fn new(why: String) -> Self {
        CannotStart(why)
    }
}

/// Serves by the configuration that `named` names, or that is found.
///
/// # Errors
/// Whatever keeps it from starting, or a worker that failed.
pub(crate) fn from_file(named: Option<&Path>) -> anyhow::Result<ExitCode> {
    let config = match find_config(named) {
        Some(path) => {
            let config = vestibule_config::load(&path)?;
            tracing::info!(file = %path.display(), "configuration");
            config
        }
        None => Config::from_environment()?,
    };
    let control = Place::of(config.control.socket.as_deref());
    run(config, Some(control), |_| {})
}

/// Serves by `config` until a signal ends it, or a command over the control socket, if it is to have one. `beside` is called
/// on the control thread, inside its event loop, once everything runs.
///
/// # Errors
/// Whatever keeps it from starting, or a worker that failed.
pub(crate) fn run(
    config: Config,
    control_at: Option<Place>,
    beside: impl FnOnce(&[Arc<Upstream>]),
) -> anyhow::Result<ExitCode> {
    let security = Security::of(&config)?;
    let bound = bind(&config, &security)?;
    run_bound(config, (bound, security), control_at, Ends::Signalled, beside)
}

/// Who ends us.
pub(crate) enum Ends {
    /// SIGTERM and SIGINT; SIGUSR1 and SIGHUP are heard too.
    Signalled,
    /// What comes here, with a word for the log; no signal is heard. The first drains, the second cuts.
    Told(mpsc::Receiver<&'static str>),
}

/// The same on listeners that are bound already; `ends` says when to end.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_bound(
    config: Config,
    (bound, security): (Vec<Bound>, Security),
    control_at: Option<Place>,
    ends: Ends,
    beside: impl FnOnce(&[Arc<Upstream>]),
) -> anyhow::Result<ExitCode> {
    check_descriptors(&config, raise_descriptor_limit());
    let log = LogFile::open(&config.log).map_err(|error| CannotStart(with_cause(&error)))?;
    let config = Arc::new(config);
    // The control thread: everything that is not traffic.
    let control = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let code = control.block_on(async {
        let claim = match &control_at {
            Some(place) => control::open(place).await.map_err(|error| CannotStart(error.to_string()))?,
            None => None,
        };
        // What has to outlive us lies beside the socket: two that share it would take each other's applications for their own.
        if control_at.is_some() && claim.is_none() && config.processes.iter().any(Process::is_owned) {
            let words = "without a control socket no [process] can have a command: give it a place of its own, \
                         [control] socket = \"…\" or VESTIBULE_CONTROL";
            return Err(CannotStart(words.to_owned()).into());
        }
        let claim = claim.map(Rc::new);
        let mut upstreams = Vec::new();
        for settings in &config.upstreams {
            let (upstream, orders) = Upstream::new(settings.clone(), config.workers.get())
                .with_context(|| format!("upstream {}", settings.name))?;
            tokio::task::spawn_local(Monitor::new(Arc::clone(&upstream), orders).asking(&config.dns).run());
            upstreams.push(upstream);
        }
        // From here on signals wait for us instead of ending the process.
        let mut signals = Signals::new(ends, security.clone())?;
        let renewals = Renewals::of(&config, |index| security.acceptor(index), security.challenges());
        let addresses: Vec<String> = bound.iter().map(ToString::to_string).collect();
        let server = Server::start(&config, &upstreams, bound, security.challenges(), log.as_ref())?;
        tokio::task::spawn_local(security.look_after());
        for address in addresses {
            tracing::info!("listening on {address}");
        }
        let renewals = renewals.run();
        beside(&upstreams);
        let quit = Quit::default();
        let Some(claim) = &claim else {
            // Nobody can say anything about an application then, and there is none of ours.
            return until_ended(server, renewals, &config, log.as_ref(), &mut signals, &quit).await;
        };
        let reaper = Reaper::new().context("cannot look after processes")?;
        tokio::task::spawn_local(reaper.run());
        let keepers = Keepers::start(&config, &upstreams, &keepers_directory(claim.path())?)?;
        let handles = keepers.handles().to_vec();
        let answers = control::Server { handles, quit: quit.clone() };
        tokio::task::spawn_local(answers.serve(Rc::clone(claim)));
        let code = until_ended(server, renewals, &config, log.as_ref(), &mut signals, &quit).await;
        let ending = if quit.is_asked() { Ending::Leave } else { Ending::AsConfigured };
        keepers.end(ending, signals.end(log.as_ref())).await;
        // Whoever waits for our end, over this socket, may start the next one at once.
        claim.remove();
        code
    });
    if let Some(log) = log {
        log.close();
    }
    code
}

/// Where keepers lay down what has to outlive us: beside the control socket, so that the next Vestibule with that socket finds it,
/// and under its name, so that no other does.
fn keepers_directory(socket: &Path) -> anyhow::Result<PathBuf> {
    // Behind the whole name: `site.blue` and `site.green` are two.
    let mut directory = socket.as_os_str().to_owned();
    directory.push(".d");
    let directory = PathBuf::from(directory);
    let cannot = |why: &dyn std::fmt::Display| {
        CannotStart(format!(
            "cannot use the directory {} beside the control socket: {why}",
            directory.display()
        ))
    };
    match DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(cannot(&error).into()),
        _ => {}
    }
    // In a directory like /tmp somebody else could have made it, to say which processes are ours.
    let found = std::fs::symlink_metadata(&directory).map_err(|error| cannot(&error))?;
    if !found.is_dir() || found.uid() != geteuid().as_raw() || found.mode() & 0o022 != 0 {
        return Err(cannot(&"it has to be a directory of ours that nobody else may write to").into());
    }
    Ok(directory)
}

/// Binds all listeners; what is wrong with any of them is said at once.
///
/// # Errors
/// [`CannotStart`].
pub(crate) fn bind(config: &Config, security: &Security) -> anyhow::Result<Vec<Bound>> {
    let mut bound = Vec::new();
    let mut wrong = Vec::new();
    for (index, listener) in config.listeners.iter().enumerate() {
        match Bound::bind(listener, security.acceptor(index), config.workers.get()) {
            Ok(listener) => bound.push(listener),
            Err(error) => {
                let instead = match error.kind() {
                    io::ErrorKind::AddrInUse => {
                        "another program listens there: end it, or choose another address"
                    }
                    io::ErrorKind::PermissionDenied => {
                        "ports below 1024 need the capability CAP_NET_BIND_SERVICE, or root"
                    }
                    io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
                    _ => "choose another address",
                };
                wrong.push(config.listener_error(index, error.to_string(), instead.to_owned()).to_string());
            }
        }
    }
    if wrong.is_empty() { Ok(bound) } else { Err(CannotStart(wrong.join("\n")).into()) }
}

fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Every client and every upstream connection is a descriptor, so we take what we may have. Gives how many that are;
/// `None` is any number.
fn raise_descriptor_limit() -> Option<u64> {
    raise_open_files().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot raise the limit of open files");
        getrlimit(Resource::Nofile).current
    })
}

/// Descriptors of a client that is served: its own, that of the upstream connection, and of the file that its body or
/// answer is in.
const DESCRIPTORS_EACH: u64 = 3;
/// Those of the whole and of each worker: listeners, event loops, logs; and connections being refused.
const DESCRIPTORS_OWN: u64 = 256;

/// Warns where `limits.connections` promises more than the system gives.
fn check_descriptors(config: &Config, limit: Option<u64>) {
    let connections = u64::from(config.limits.connections);
    let own = DESCRIPTORS_OWN * (1 + config.workers.get() as u64);
    let needed = connections * DESCRIPTORS_EACH + own;
    if let Some(limit) = limit.filter(|limit| *limit < needed) {
        let enough_for = limit.saturating_sub(own) / DESCRIPTORS_EACH;
        tracing::warn!(
            limit,
            needed,
            "too few open files are allowed for limits.connections = {connections}: raise LimitNOFILE (ulimit -Hn) to \
             {needed}, or set limits.connections to {enough_for}"
        );
    }
}

enum Signals {
    Heard { terminate: Signal, interrupt: Signal, reopen: Signal, hangup: Signal, security: Security },
    Told(mpsc::Receiver<&'static str>),
}

impl Signals {
    fn new(ends: Ends, security: Security) -> io::Result<Self> {
        Ok(match ends {
            Ends::Signalled => Signals::Heard {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                reopen: signal(SignalKind::user_defined1())?,
                hangup: signal(SignalKind::hangup())?,
                security,
            },
            Ends::Told(end) => Signals::Told(end),
        })
    }

    /// Waits for the signal to end; does what the others ask meanwhile.
    async fn end(&mut self, log: Option<&LogFile>) -> &'static str {
        let (terminate, interrupt, reopen, hangup, security) = match self {
            Signals::Heard { terminate, interrupt, reopen, hangup, security } => {
                (terminate, interrupt, reopen, hangup, security)
            }
            Signals::Told(end) => match end.recv().await {
                Some(why) => return why,
                // Nobody is left who could tell: then the patience of the draining is the bound.
                None => return std::future::pending().await,
            },
        };
        loop {
            tokio::select! {
                _ = terminate.recv() => return "SIGTERM",
                _ = interrupt.recv() => return "SIGINT",
                _ = reopen.recv() => {
                    if let Some(log) = log {
                        log.reopen();
                    }
                }
                _ = hangup.recv() => {
                    tracing::info!(
                        "SIGHUP: certificates and keys are read anew; the rest of the configuration is not yet"
                    );
                    security.reload();
                }
            }
        }
    }
}

/// Waits for the end, drains, and says what was cut.
async fn until_ended(
    mut server: Server,
    renewals: Running,
    config: &Config,
    log: Option<&LogFile>,
    signals: &mut Signals,
    quit: &Quit,
) -> anyhow::Result<ExitCode> {
    tokio::select! {
        name = signals.end(log) => tracing::info!(signal = name, "draining"),
        () = quit.asked() => tracing::info!("draining, as `vestibule app quit` wants it"),
        failed = server.ended() => {
            failed.context("a worker failed")?;
            anyhow::bail!("the workers ended by themselves");
        }
    }
    let patience =
        config.upstreams.iter().map(|upstream| upstream.drain_timeout).max().unwrap_or(Duration::ZERO);
    drop(renewals);
    server.drain();
    let why = tokio::select! {
        cut = server.ended() => return Ok(ended(cut.context("a worker failed")?, "drained")),
        name = signals.end(log) => name,
        () = tokio::time::sleep(patience) => "drain.timeout",
    };
    server.cut();
    Ok(ended(server.ended().await.context("a worker failed")?, why))
}

/// The last line of the log. Tunnels have no end of their own, so that closing them is no failure.
fn ended(cut: Cut, why: &str) -> ExitCode {
    let Cut { requests, tunnels } = cut;
    if requests == 0 {
        tracing::info!(why, requests_cut = requests, tunnels_closed = tunnels, "stopped");
        ExitCode::SUCCESS
    } else {
        tracing::error!(why, requests_cut = requests, tunnels_closed = tunnels, "stopped");
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_differ_in_their_endings_have_directories_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let [blue, green] =
            ["site.blue", "site.green"].map(|name| keepers_directory(&dir.path().join(name)).unwrap());
        assert_ne!(blue, green);
        assert!(blue.is_dir() && green.is_dir());
        assert_eq!(blue, keepers_directory(&dir.path().join("site.blue")).unwrap(), "and find it again");
    }
}
