//! What each server understands: the signal that restarts one kills the next.
//!
//! All of it was measured on Puma 5.6.5, Unicorn 6.0, Thin 1.8.1 and Passenger 6.0.17 with the builtin engine. Passenger
//! Enterprise's rolling restart could not be tested: it is reached by the same command, `passenger-config restart-app`,
//! with an option of its own (`--rolling-restart`), which `restart_command` can add.

use std::time::Duration;

use vestibule_config::{Process, Restart, Signal, StopStep};

use crate::recognise::Kind;

/// How an application is treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    /// How it is stopped: signals, and how long each is given. What outlasts it is killed.
    pub(crate) stop: Vec<StopStep>,
    pub(crate) restart: Method,
    pub(crate) recycle: Recycle,
}

/// How an application gets to run new code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Method {
    /// It replaces itself by exec, under its PID and with its socket, when what it runs has finished.
    Exec(Signal),
    /// It replaces its workers one after the other; without preloading. With it, it does as for `Exec`.
    Phased(Signal),
    /// It starts a second master beside the first, which serves the same socket.
    Successor(Signal),
    /// It does something on this signal, of which nothing is known.
    Signal(Signal),
    /// A command makes it restart.
    Command(Vec<String>),
    /// It is stopped and started, and requests wait.
    StopStart,
    /// A second one on a socket of its own takes over.
    Replace,
}

/// How one worker is replaced by a fresh one, after what it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recycle {
    /// By a signal to the worker: its master starts another.
    Signal(Signal),
    /// By a command to which the worker's PID is added.
    Command(&'static [&'static str]),
    /// There are no workers, or nothing is known of how they are recycled.
    Never,
}

impl Profile {
    /// That of a server of this kind, but for what the operator wrote.
    pub(crate) fn of(kind: Kind, process: &Process) -> Self {
        let restart = match &process.restart {
            Restart::Auto => usual_restart(kind),
            Restart::Signal(signal) => on_signal(kind, *signal),
            Restart::Command(command) => Method::Command(command.clone()),
            Restart::StopStart => Method::StopStart,
            Restart::Replace => Method::Replace,
        };
        Profile {
            stop: process.stop_sequence.clone().unwrap_or_else(|| usual_stop(kind)),
            restart,
            recycle: recycle(kind),
        }
    }

    /// Longest that a stop takes.
    pub(crate) fn stop_time(&self) -> Duration {
        let waits = self.stop.iter().map(|step| match step {
            StopStep::Wait(time) => *time,
            StopStep::Signal(_) => Duration::ZERO,
        });
        waits.sum::<Duration>() + AFTER_KILL
    }
}

/// A killed process is gone after this, or hangs in the kernel.
pub(crate) const AFTER_KILL: Duration = Duration::from_secs(10);

/// Why a server must not be sent a signal as a restart; `None` if it may.
pub(crate) fn harm(kind: Kind, signal: Signal) -> Option<&'static str> {
    match (kind, signal) {
        (_, Signal::Kill) => Some("KILL cuts what runs and restarts nothing"),
        (Kind::Puma | Kind::PumaCluster, Signal::Quit) => Some("Puma dies of QUIT on the spot"),
        (Kind::Puma | Kind::PumaCluster, Signal::Hup) => Some("Puma stops on HUP"),
        (Kind::Thin, Signal::Usr2) => Some("Thin dies of USR2"),
        (Kind::Thin, Signal::Hup) => Some("Thin cuts what runs on HUP"),
        (Kind::Passenger, Signal::Usr2) => Some("Passenger dies of USR2"),
        (Kind::Passenger, Signal::Hup) => Some("Passenger dies of HUP"),
        (Kind::Passenger, Signal::Usr1) => Some("Passenger ignores USR1"),
        (_, Signal::Term | Signal::Int) => Some("TERM and INT stop a server"),
        _ => None,
    }
}

fn usual_restart(kind: Kind) -> Method {
    match kind {
        Kind::Puma => Method::Exec(Signal::Usr2),
        Kind::PumaCluster => Method::Phased(Signal::Usr1),
        Kind::Unicorn => Method::Successor(Signal::Usr2),
        Kind::Passenger => Method::Command(passenger_restart()),
        Kind::Thin | Kind::Unknown => Method::StopStart,
    }
}

fn passenger_restart() -> Vec<String> {
    ["passenger-config", "restart-app", "--ignore-app-not-running", "{directory}"].map(str::to_owned).to_vec()
}

fn on_signal(kind: Kind, signal: Signal) -> Method {
    match (kind, signal) {
        (Kind::Puma, Signal::Usr1 | Signal::Usr2) | (Kind::PumaCluster, Signal::Usr2) => Method::Exec(signal),
        (Kind::PumaCluster, Signal::Usr1) => Method::Phased(signal),
        (Kind::Unicorn, Signal::Usr2) => Method::Successor(signal),
        _ => Method::Signal(signal),
    }
}

fn usual_stop(kind: Kind) -> Vec<StopStep> {
    use StopStep::{Signal as Send, Wait};
    let seconds = Duration::from_secs;
    match kind {
        // Graceful, with its own bound for workers of a cluster (30 s).
        Kind::Puma | Kind::PumaCluster => {
            vec![Send(Signal::Term), Wait(seconds(60)), Send(Signal::Kill)]
        }
        // QUIT is the graceful one; TERM cuts.
        Kind::Unicorn => vec![
            Send(Signal::Quit),
            Wait(seconds(75)),
            Send(Signal::Term),
            Wait(seconds(15)),
            Send(Signal::Kill),
        ],
        Kind::Thin => vec![
            Send(Signal::Quit),
            Wait(seconds(75)),
            Send(Signal::Int),
            Wait(seconds(15)),
            Send(Signal::Kill),
        ],
        // It has no graceful one: what must not be cut has to have finished before.
        Kind::Passenger | Kind::Unknown => vec![Send(Signal::Term), Wait(seconds(30)), Send(Signal::Kill)],
    }
}

fn recycle(kind: Kind) -> Recycle {
    match kind {
        Kind::PumaCluster => Recycle::Signal(Signal::Term),
        Kind::Unicorn => Recycle::Signal(Signal::Quit),
        Kind::Passenger => Recycle::Command(&["passenger-config", "detach-process"]),
        Kind::Puma | Kind::Thin | Kind::Unknown => Recycle::Never,
    }
}
