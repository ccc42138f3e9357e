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
use tokio::runtime::LocalRuntime;
use vestibule_config::{Config, Origins};
use vestibule_process::raise_open_files;
use vestibule_process::{Ending, Reaper};
use vestibule_proxy::LogFile;
use vestibule_server::{Bound, Cut};
use vestibule_upstream::Upstream;

use crate::control::protocol::Reloaded;
use crate::control::{self, Place, Quit};
use crate::reload::{Asked, Desk, Files, Refusal, Reloads};
use crate::signals::{Early, Ends, Signals};
use crate::site::{Site, Source, cannot_bind, open_log, refuse_keepers};
use crate::tls::Security;

/// Longest that our end waits for what waits for a disk.
const LAST_WAIT: Duration = Duration::from_secs(1);

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
    let early = Early::hear()?;
    let source = Source::find(named);
    let config = source.read()?;
    if let Some(path) = source.file() {
        tracing::info!(file = %path.display(), "configuration");
    }
    let control = Place::of(config.control.socket.as_deref());
    let security = Security::of(&config)?;
    let bound = bind(&config, &security)?;
    serve(
        Start {
            config,
            bound,
            security,
            control: Some(control),
            ends: Ends::Signalled(Box::new(early)),
            source: Some(source),
        },
        |_| {},
    )
}

/// Serves by `config` until a signal ends it, or a command over the control socket, if it is to have one. `beside` is called
/// on the control thread, inside its event loop, once everything runs.
///
/// # Errors
/// Whatever keeps it from starting, or a worker that failed.
pub(crate) fn run(
    config: Config,
    control: Option<Place>,
    beside: impl FnOnce(&[Arc<Upstream>]),
) -> anyhow::Result<ExitCode> {
    let ends = Ends::Signalled(Box::new(Early::hear()?));
    let security = Security::of(&config)?;
    let bound = bind(&config, &security)?;
    serve(Start { config, bound, security, control, ends, source: None }, beside)
}

/// What serving begins with.
pub(crate) struct Start {
    pub(crate) config: Config,
    pub(crate) bound: Vec<Bound>,
    pub(crate) security: Security,
    /// Where the control socket is to be, if there is to be one.
    pub(crate) control: Option<Place>,
    pub(crate) ends: Ends,
    /// Where the configuration can be read anew.
    pub(crate) source: Option<Source>,
}

/// The same on listeners that are bound already.
///
/// # Errors
/// As [`run`].
pub(crate) fn serve(start: Start, beside: impl FnOnce(&[Arc<Upstream>])) -> anyhow::Result<ExitCode> {
    let Start { config, bound, security, control: place, ends, source } = start;
    check_descriptors(&config);
    let log = open_log(&config)?;
    // The control thread: everything that is not traffic.
    let (control, heard) = ends.begin()?;
    let ended = control.block_on(async {
        let claim = match &place {
            Some(place) => control::open(place).await.map_err(|error| CannotStart(error.to_string()))?,
            None => None,
        };
        if place.is_some() && claim.is_none() {
            refuse_keepers(&config)?;
        }
        let claim = claim.map(Rc::new);
        let (reloads, desk) = Reloads::new();
        let mut signals = Signals::new(heard, source.is_some().then(|| reloads.clone()))?;
        let mut site = Site::open(config, (bound, security), log, source)?;
        beside(&site.upstreams());
        let quit = Quit::default();
        if let Some(claim) = &claim {
            let reaper = Reaper::new().context("cannot look after processes")?;
            tokio::task::spawn_local(reaper.run());
            let handles = site.keep(&keepers_directory(claim.path())?)?;
            let answers = control::Server { handles, quit: quit.clone(), reloads };
            tokio::task::spawn_local(answers.serve(Rc::clone(claim)));
        }
        let code = until_ended(&mut site, desk, &mut signals, &quit).await;
        let ending = if quit.is_asked() { Ending::Leave } else { Ending::AsConfigured };
        let (keepers, log, security) = site.into_parts();
        if let Some(keepers) = keepers {
            keepers.end(ending, signals.end(log.as_ref(), &security)).await;
        }
        if let Some(claim) = claim {
            // Whoever waits for our end, over this socket, may start the next one at once.
            claim.remove();
        }
        if let Some(log) = log {
            log.close();
        }
        code
    });
    finish(control);
    ended
}

/// Ends the event loop of the control thread. Without the bound it would wait for all that waits for a disk, for ever if that hangs.
fn finish(control: LocalRuntime) {
    control.shutdown_timeout(LAST_WAIT);
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
    let (mut bound, mut wrong) = (Vec::new(), Vec::new());
    for (index, listener) in config.listeners.iter().enumerate() {
        match Bound::bind(listener, security.acceptor(index), config.workers.get()) {
            Ok(listener) => bound.push(listener),
            Err(error) => wrong.push((index, error)),
        }
    }
    if wrong.is_empty() { Ok(bound) } else { Err(cannot_bind(config, wrong).into()) }
}

pub(crate) fn with_cause(error: &dyn std::error::Error) -> String {
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
/// Those of the whole and of each worker: listeners, event loops, logs, files that are held open; and connections being refused.
const DESCRIPTORS_OWN: u64 = 512;

/// Takes all that there may be, and warns where `limits.connections` promises more than the system gives.
pub(crate) fn check_descriptors(config: &Config) {
    let limit = raise_descriptor_limit();
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

/// Waits for the end, taking other configurations meanwhile; drains, and says what was cut.
async fn until_ended(
    site: &mut Site,
    mut desk: Desk,
    signals: &mut Signals,
    quit: &Quit,
) -> anyhow::Result<ExitCode> {
    let mut files = Files::watch(site.watched(Origins::default()));
    loop {
        let file = site.file();
        let asked = tokio::select! {
            () = told_to_end(signals, quit, (site.log.as_ref(), &site.security)) => break,
            failed = site.server.ended() => {
                failed.context("a worker failed")?;
                anyhow::bail!("the workers ended by themselves");
            }
            asked = desk.asked(file.as_deref()) => asked,
            () = files.changed() => {
                tracing::info!("the configuration has changed");
                Asked::default()
            }
        };
        files.begin();
        let prepared = tokio::select! {
            // Who waits for it is told that there is no time for it any more.
            () = told_to_end(signals, quit, (site.log.as_ref(), &site.security)) => break,
            prepared = site.prepare() => prepared,
        };
        let mut tried = Origins::default();
        asked.tell(&match prepared {
            Ok(prepared) => Ok(reloaded(site.apply(prepared).await)),
            Err(unprepared) => {
                tried = unprepared.tried;
                Err(refused(&unprepared.why))
            }
        });
        files.follow(site.watched(tried));
    }
    drop(desk);
    let config = site.config();
    let patience =
        config.upstreams.iter().map(|upstream| upstream.drain_timeout).max().unwrap_or(Duration::ZERO);
    site.drain();
    let why = tokio::select! {
        cut = site.server.ended() => return Ok(ended(cut.context("a worker failed")?, "drained")),
        name = signals.end(site.log.as_ref(), &site.security) => name,
        () = tokio::time::sleep(patience) => "drain.timeout",
    };
    site.server.cut();
    Ok(ended(site.server.ended().await.context("a worker failed")?, why))
}

/// Waits until somebody wants it to end, and says who.
async fn told_to_end(signals: &mut Signals, quit: &Quit, (log, security): (Option<&LogFile>, &Security)) {
    tokio::select! {
        name = signals.end(log, security) => tracing::info!(signal = name, "draining"),
        () = quit.asked() => tracing::info!("draining, as `vestibule app quit` wants it"),
    }
}

fn reloaded(reloaded: Reloaded) -> Reloaded {
    let Reloaded { file, changes, warnings, milliseconds } = &reloaded;
    let file = file.as_ref().map(|file| file.display().to_string());
    let words = if changes.is_empty() {
        "nothing changed".to_owned()
    } else {
        changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    tracing::info!(file, milliseconds, "reloaded: {words}");
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    reloaded
}

fn refused(error: &anyhow::Error) -> Refusal {
    let refusal = Refusal::invalid(error);
    tracing::error!("not reloaded, everything is as before: {refusal}");
    refusal
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
    fn a_disk_that_hangs_keeps_nobody_from_ending() {
        let (_release, held) = std::sync::mpsc::channel::<()>();
        let (_, heard) = tokio::sync::mpsc::channel(1);
        let (control, _) = Ends::Told(heard).begin().unwrap();
        control.block_on(async {
            let (begun, has_begun) = tokio::sync::oneshot::channel();
            tokio::task::spawn_blocking(move || {
                let _ = begun.send(());
                let _ = held.recv_timeout(Duration::from_secs(120));
            });
            has_begun.await.unwrap();
        });
        let began = std::time::Instant::now();
        finish(control);
        assert!(began.elapsed() < Duration::from_secs(60));
    }

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
