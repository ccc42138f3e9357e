//! All that is served by one configuration, as the control thread has it: what a reload swaps, and how.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::Semaphore;
use vestibule_config::{Config, Origins, Process};
use vestibule_proxy::LogFile;
use vestibule_server::{Bound, Server};
use vestibule_upstream::Upstream;

use crate::certificates::{self, Renewals};
use crate::command::find_config;
use crate::control::protocol::{Change, Reloaded};
use crate::keep::{Handles, Keepers};
use crate::reload::{changes, settle};
use crate::serve::{CannotStart, check_descriptors, with_cause};
use crate::tls::{self, Security};
use crate::upstreams::{self, Upstreams};

/// Where the configuration is read from, each time.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The file, from the root. Once there is one it stays: if another were looked for, one that is gone for a moment would swap
    /// the site for another, or for the defaults.
    file: Option<PathBuf>,
}

impl Source {
    /// The file that the command line names, or that lies where it is looked for.
    pub(crate) fn find(named: Option<&Path>) -> Self {
        let absolute = |file: PathBuf| std::path::absolute(&file).unwrap_or(file);
        Source { file: find_config(named).map(absolute) }
    }

    /// Where it is read from now: where there was no file yet, one may have come.
    fn now(&self) -> Self {
        if self.file.is_some() { self.clone() } else { Self::find(None) }
    }

    /// The file, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads it. Blocks.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn read(&self) -> Result<Config, vestibule_config::Error> {
        match &self.file {
            Some(path) => vestibule_config::load(path),
            None => Config::from_environment(),
        }
    }
}

/// Longest that a reload waits for what it reads, and for its turn before that.
const LONGEST_READING: Duration = Duration::from_secs(60);

/// All that is served by one configuration.
pub(crate) struct Site {
    source: Option<Source>,
    /// Whose turn it is to read: a disk that hangs has one thread, not one more with each reload.
    turn: Arc<Semaphore>,
    config: Arc<Config>,
    pub(crate) security: Security,
    upstreams: Upstreams,
    pub(crate) server: Server,
    renewals: Renewals,
    pub(crate) log: Option<LogFile>,
    keepers: Option<Keepers>,
}

/// Another configuration, with all that can fail behind it. If it is dropped, nothing has happened.
pub(crate) struct Prepared {
    read: Read,
    upstreams: upstreams::Next,
    listeners: vestibule_server::Prepared,
    began: Instant,
}

/// Why there is no other configuration, and everything is as before.
#[derive(Debug)]
pub(crate) struct Unprepared {
    pub(crate) why: anyhow::Error,
    /// What it was read from: when that changes, it may be right.
    pub(crate) tried: Origins,
}

impl From<anyhow::Error> for Unprepared {
    fn from(why: anyhow::Error) -> Self {
        Unprepared { why, tried: Origins::default() }
    }
}

/// What of it comes from disks.
struct Read {
    source: Source,
    config: Arc<Config>,
    security: Security,
    renewals: certificates::Next,
    /// Another access log, or none from now on.
    log: Option<Option<LogFile>>,
    changes: Vec<Change>,
    warnings: Vec<String>,
}

impl Site {
    /// Serves by `config` on listeners that are bound already. It is read anew from `source`, where that is possible.
    ///
    /// # Errors
    /// Whatever keeps it from starting.
    pub(crate) fn open(
        config: Config,
        (bound, security): (Vec<Bound>, Security),
        log: Option<LogFile>,
        source: Option<Source>,
    ) -> anyhow::Result<Self> {
        let config = Arc::new(config);
        let upstreams = Upstreams::start(&config)?;
        let acceptor = |index| security.acceptor(index);
        let next = certificates::Next::of(&config, acceptor, security.challenges(), &[]);
        let server = Server::start(&config, &upstreams.all(), bound, security.challenges(), log.as_ref())?;
        tokio::task::spawn_local(security.look_after());
        for address in server.addresses() {
            tracing::info!("listening on {address}");
        }
        let mut renewals = Renewals::default();
        renewals.change(next);
        let turn = Arc::new(Semaphore::new(1));
        Ok(Site { source, turn, config, security, upstreams, server, renewals, log, keepers: None })
    }

    /// Keeps the applications, too, with what has to outlive us in `directory`.
    ///
    /// # Errors
    /// When one cannot be kept.
    pub(crate) fn keep(&mut self, directory: &Path) -> anyhow::Result<Handles> {
        let keepers = Keepers::start(&self.config, &self.upstreams.all(), directory)?;
        let handles = keepers.handles();
        self.keepers = Some(keepers);
        Ok(handles)
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn upstreams(&self) -> Vec<Arc<Upstream>> {
        self.upstreams.all()
    }

    /// The file of its configuration, if there is one.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.source.as_ref().and_then(Source::file).map(Path::to_owned)
    }

    /// What is watched, if that is wanted: what the configuration was read from, and `tried`.
    pub(crate) fn watched(&self, tried: Origins) -> Origins {
        if !self.config.reload.watch || self.source.is_none() {
            return Origins::default();
        }
        let mut origins = self.config.origins();
        origins.add(tried);
        origins
    }

    /// Reads the configuration anew and does all for it that can fail. Everything is as before until that is
    /// [applied](Self::apply).
    ///
    /// # Errors
    /// What is wrong with it, as `vestibule check` says it; or with this machine.
    pub(crate) async fn prepare(&self) -> Result<Prepared, Unprepared> {
        let began = Instant::now();
        let Some(source) = self.source.clone() else {
            let why = CannotStart::new("there is no configuration to be read anew".to_owned());
            return Err(anyhow::Error::from(why).into());
        };
        let (present, security) = (Arc::clone(&self.config), self.security.clone());
        let kept = self.renewals.settings();
        let reading = move || {
            let source = source.now();
            let tried = source.clone();
            read(source, &present, &security, &kept).map_err(|why| Unprepared {
                why,
                tried: tried.file().filter(|_| present.reload.watch).map(Origins::of).unwrap_or_default(),
            })
        };
        let read = in_time(LONGEST_READING, &self.turn, reading).await??;
        match self.acquire(&read).await {
            Ok((upstreams, listeners)) => Ok(Prepared { read, upstreams, listeners, began }),
            Err(why) => Err(Unprepared { why, tried: read.config.origins() }),
        }
    }

    /// What it needs of this machine, besides what it reads.
    async fn acquire(&self, read: &Read) -> anyhow::Result<(upstreams::Next, vestibule_server::Prepared)> {
        if self.keepers.is_none() {
            refuse_keepers(&read.config)?;
        }
        let upstreams = self.upstreams.next(&read.config)?;
        let prepared = self.server.prepare(&read.config, read.security.acceptors()).await;
        let listeners = prepared.map_err(|wrong| cannot_bind(&read.config, wrong))?;
        Ok((upstreams, listeners))
    }

    /// From now on serves by what was prepared. What is under way ends as it began.
    pub(crate) async fn apply(&mut self, prepared: Prepared) -> Reloaded {
        let Prepared { read, upstreams, listeners, began } = prepared;
        let Read { source, config, security, renewals, log, changes, warnings } = read;
        // First what is new, so that requests find it when they come.
        self.renewals.give(&renewals);
        let leaving = self.upstreams.change(upstreams, &config);
        let upstreams = self.upstreams.all();
        if let Some(keepers) = &self.keepers {
            keepers.meet(&config, &upstreams).await;
        }
        if config.limits.connections != self.config.limits.connections {
            check_descriptors(&config);
        }
        let new_addresses = listeners.new_addresses();
        self.config = config;
        let new_log = log.as_ref().map(Option::as_ref);
        self.server.replace(listeners, &self.config, &upstreams, security.acceptors(), new_log).await;
        for address in new_addresses {
            tracing::info!("listening on {address}");
        }
        // Then what nobody comes to any more.
        self.upstreams.dismiss(leaving);
        security.look_after_these();
        self.security = security;
        if let Some(log) = log
            && let Some(before) = std::mem::replace(&mut self.log, log)
        {
            // Its output may take its time for the last lines.
            tokio::task::spawn_blocking(move || before.close());
        }
        self.renewals.change(renewals);
        if let Some(keepers) = &mut self.keepers {
            keepers.change(&self.config, &upstreams);
        }
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let file = source.file.clone();
        self.source = Some(source);
        Reloaded { file, changes, warnings, milliseconds }
    }

    /// Takes nothing new: certificates are not ordered any more, the workers drain.
    pub(crate) fn drain(&mut self) {
        self.renewals = Renewals::default();
        self.server.drain();
    }

    /// The keepers, to be ended; and the log and the certificates, for the last signals.
    pub(crate) fn into_parts(self) -> (Option<Keepers>, Option<LogFile>, Security) {
        (self.keepers, self.log, self.security)
    }
}

/// Does what reads from disks elsewhere: one that hangs must keep nothing waiting but this, and this no longer than so long.
///
/// # Errors
/// [`CannotStart`] when it takes longer.
async fn in_time<T: Send + 'static>(
    longest: Duration,
    turn: &Arc<Semaphore>,
    reading: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    let turn = Arc::clone(turn);
    let reading = async {
        let turn = turn.acquire_owned().await?;
        let reading = tokio::task::spawn_blocking(move || {
            // Until it has ended, also when nobody waits for it any more.
            let _turn = turn;
            reading()
        });
        reading.await.context("cannot read the configuration")
    };
    tokio::time::timeout(longest, reading).await.unwrap_or_else(|_| {
        let words = format!(
            "the configuration could not be read within {} s: a disk that it names, or one of its files, hangs",
            longest.as_secs()
        );
        Err(CannotStart::new(words).into())
    })
}

fn read(
    source: Source,
    present: &Config,
    security: &Security,
    kept: &[vestibule_config::Acme],
) -> anyhow::Result<Read> {
    let mut config = source.read()?;
    if let Some(file) = source.file()
        && config.is_empty()
        && !present.is_empty()
    {
        let words = format!(
            "{}: nothing is written in it: to serve by the defaults alone from now on, restart Vestibule",
            file.display()
        );
        return Err(CannotStart::new(words).into());
    }
    let wrong = [tls::check(&config), certificates::check(&config)];
    if let Some(error) = vestibule_config::Error::all(wrong.into_iter().flatten().collect()) {
        return Err(error.into());
    }
    let security = security.next(&config)?;
    let warnings = settle(present, &mut config);
    let log = if config.log == present.log { None } else { Some(open_log(&config)?) };
    let acceptor = |index| security.acceptor(index);
    let renewals = certificates::Next::of(&config, acceptor, security.challenges(), kept);
    let changes = changes(present, &config);
    Ok(Read { source, config: Arc::new(config), security, renewals, log, changes, warnings })
}

/// Opens the access log.
///
/// # Errors
/// [`CannotStart`].
pub(crate) fn open_log(config: &Config) -> Result<Option<LogFile>, CannotStart> {
    LogFile::open(&config.log).map_err(|error| CannotStart::new(with_cause(&error)))
}

/// Where there is no control socket nothing can be laid down that outlives us: two that share it would take each other's applications
/// for their own.
///
/// # Errors
/// [`CannotStart`] when an application is to be started all the same.
pub(crate) fn refuse_keepers(config: &Config) -> Result<(), CannotStart> {
    if config.processes.iter().any(Process::is_owned) {
        let words = "without a control socket no [process] can have a command: give it a place of its own, \
                     [control] socket = \"…\" or VESTIBULE_CONTROL";
        return Err(CannotStart::new(words.to_owned()));
    }
    Ok(())
}

/// What is wrong with listeners, by their places in `config`.
pub(crate) fn cannot_bind(config: &Config, wrong: Vec<(usize, io::Error)>) -> CannotStart {
    let told = |(index, error): (usize, io::Error)| {
        let instead = match error.kind() {
            io::ErrorKind::AddrInUse => "another program listens there: end it, or choose another address",
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need the capability CAP_NET_BIND_SERVICE, or root"
            }
            io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
            _ => "choose another address",
        };
        config.listener_error(index, error.to_string(), instead.to_owned()).to_string()
    };
    CannotStart::new(wrong.into_iter().map(told).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn a_reading_that_hangs_is_given_up_and_has_one_thread() {
        let turn = Arc::new(Semaphore::new(1));
        let (release, held) = channel::<()>();
        let short = Duration::from_millis(50);
        let hanging = in_time(short, &turn, move || held.recv().is_ok()).await;
        let words = hanging.expect_err("it hangs").to_string();
        assert!(words.contains("could not be read within"), "{words}");
        let (begun, has_begun) = channel::<()>();
        in_time(short, &turn, move || begun.send(())).await.expect_err("it is not its turn");
        assert!(has_begun.try_recv().is_err());
        drop(release);
        assert!(in_time(Duration::from_secs(60), &turn, || true).await.expect("the disk is back"));
    }
}
