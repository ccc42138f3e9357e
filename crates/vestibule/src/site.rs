//! All that is served by one configuration, as the control thread has it: what a reload swaps, and how.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use vestibule_config::{Config, Process};
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
    /// What the command line names.
    pub(crate) named: Option<PathBuf>,
}

impl Source {
    /// The file, if there is one now.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        find_config(self.named.as_deref())
    }

    /// Reads it. Blocks.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn read(&self) -> Result<Config, vestibule_config::Error> {
        match self.file() {
            Some(path) => vestibule_config::load(&path),
            None => Config::from_environment(),
        }
    }
}

/// All that is served by one configuration.
pub(crate) struct Site {
    source: Option<Source>,
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

/// What of it comes from disks.
struct Read {
    file: Option<PathBuf>,
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
        Ok(Site { source, config, security, upstreams, server, renewals, log, keepers: None })
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
        self.source.as_ref().and_then(Source::file)
    }

    /// The files that are watched, if any are to be, and the directories in which others may come.
    pub(crate) fn watched(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        if self.config.reload.watch && self.source.is_some() {
            (self.config.files(), self.config.include_directories())
        } else {
            Default::default()
        }
    }

    /// Reads the configuration anew and does all for it that can fail. Everything is as before until that is
    /// [applied](Self::apply).
    ///
    /// # Errors
    /// What is wrong with it, as `vestibule check` says it; or with this machine.
    pub(crate) async fn prepare(&self) -> anyhow::Result<Prepared> {
        let began = Instant::now();
        let Some(source) = self.source.clone() else {
            return Err(CannotStart::new("there is no configuration to be read anew".to_owned()).into());
        };
        let (present, security) = (Arc::clone(&self.config), self.security.clone());
        let kept = self.renewals.settings();
        // Elsewhere: a disk that hangs must keep nothing waiting but this.
        let reading = tokio::task::spawn_blocking(move || read(&source, &present, &security, &kept));
        let read = reading.await.context("cannot read the configuration")??;
        if self.keepers.is_none() {
            refuse_keepers(&read.config)?;
        }
        let upstreams = self.upstreams.next(&read.config)?;
        let prepared = self.server.prepare(&read.config, read.security.acceptors()).await;
        let listeners = prepared.map_err(|wrong| cannot_bind(&read.config, wrong))?;
        Ok(Prepared { read, upstreams, listeners, began })
    }

    /// From now on serves by what was prepared. What is under way ends as it began.
    pub(crate) async fn apply(&mut self, prepared: Prepared) -> Reloaded {
        let Prepared { read, upstreams, listeners, began } = prepared;
        let Read { file, config, security, renewals, log, changes, warnings } = read;
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

fn read(
    source: &Source,
    present: &Config,
    security: &Security,
    kept: &[vestibule_config::Acme],
) -> anyhow::Result<Read> {
    let file = source.file();
    let mut config = source.read()?;
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
    Ok(Read { file, config: Arc::new(config), security, renewals, log, changes, warnings })
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
