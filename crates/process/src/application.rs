//! An application that we started.

use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;

use crate::error::Error;
use crate::exit::{self, Exit};
use crate::launch::{Launch, Prepared};

/// A process that we started. Dropping it neither ends nor signals the process, but closes its lifeline
/// ([`Launch::lifeline`]), if it has one.
#[derive(Debug)]
pub struct Application {
    exit: Exit,
    _lifeline: Option<OwnedFd>,
}

/// How an application ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// What it said, or the signal that ended it.
    pub status: ExitStatus,
    /// Whether it outlasted our patience, so that SIGKILL ended it.
    pub was_killed: bool,
}

impl Application {
    /// Starts it. May wait, as [`Launch::prepare`].
    ///
    /// # Errors
    /// As [`Launch::prepare`], and [`Error::Start`] when there is no process to be had.
    pub fn start(launch: &Launch) -> Result<Self, Error> {
        let Prepared { mut command, lifeline } = launch.prepare()?;
        let (_, exit) = exit::spawn(&mut command).map_err(|error| match error {
            // Of which it is the launcher that could not be started.
            Error::Start { source, .. } => Error::Start { program: launch.program().to_owned(), source },
            other => other,
        })?;
        Ok(Application { exit, _lifeline: lifeline })
    }

    /// Its PID; after its end, the one that it had.
    pub fn pid(&self) -> u32 {
        self.exit.life().pid
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// [`Error::HasEnded`], and [`Error::Signal`] when it may not be sent.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.exit.life().signal(signal)
    }

    /// Waits for its end; at once when it has ended. May be abandoned and called again. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Wait`] when somebody else has waited for it.
    pub async fn ended(&mut self) -> Result<ExitStatus, Error> {
        let status = self.exit.ended().await;
        self.known(status)
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// [`Error::Wait`] when somebody else has waited for it.
    pub fn has_ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.exit.try_ended().map(|status| self.known(status)).transpose()
    }

    fn known(&self, status: Option<ExitStatus>) -> Result<ExitStatus, Error> {
        let taken = || io::Error::other("somebody else has taken its status");
        status.ok_or_else(|| Error::Wait { pid: self.pid(), source: taken() })
    }

    /// Asks it by `signal` to end and waits; when `patience` is over, by SIGKILL.
    ///
    /// # Errors
    /// [`Error::Wait`] and [`Error::Signal`], never because it has ended already.
    pub async fn stop(&mut self, signal: Signal, patience: Duration) -> Result<Ended, Error> {
        self.send_unless_ended(signal)?;
        if let Ok(ended) = tokio::time::timeout(patience, self.ended()).await {
            return Ok(Ended { status: ended?, was_killed: false });
        }
        self.send_unless_ended(Signal::KILL)?;
        Ok(Ended { status: self.ended().await?, was_killed: true })
    }

    fn send_unless_ended(&self, signal: Signal) -> Result<(), Error> {
        match self.signal(signal) {
            Err(Error::HasEnded { .. }) => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::time::Instant;

    use rustix::thread::{disable_transparent_huge_pages, transparent_huge_pages_are_disabled};

    use super::*;
    use crate::running::Running;

    const LONG: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Launch {
        Launch::new("sh").argument("-c").argument(script)
    }

    /// Waits until the process runs `program`: between fork and exec it is still a copy of us.
    async fn until_runs(pid: u32, program: &str) {
        let start = Instant::now();
        while !Running::find(pid).is_some_and(|running| running.command.starts_with(program)) {
            assert!(start.elapsed() < LONG, "process {pid} never ran {program}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    #[tokio::test]
    async fn does_not_pass_on_that_huge_pages_are_off() {
        disable_transparent_huge_pages(true).expect("they are turned off");
        let mut application =
            Application::start(&shell("grep -q '^THP_enabled:[[:space:]]*1' /proc/self/status"))
                .expect("it starts");
        assert!(application.ended().await.expect("its status").success(), "they are off in the application");
        assert!(transparent_huge_pages_are_disabled().expect("the flag"), "they are on in us");
    }

    #[tokio::test]
    async fn stops_by_the_signal_that_is_asked_for() {
        let mut sleeper = Application::start(&Launch::new("sleep").argument("600")).expect("it starts");
        until_runs(sleeper.pid(), "sleep").await;
        assert_eq!(sleeper.has_ended().expect("its status"), None);
        let ended = sleeper.stop(Signal::TERM, LONG).await.expect("it stops");
        assert_eq!(ended.status.signal(), Some(Signal::TERM.as_raw()));
        assert!(!ended.was_killed);
        assert!(Running::find(sleeper.pid()).is_none());
    }

    #[tokio::test]
    async fn kills_what_outlasts_the_patience() {
        let dir = tempfile::tempdir().expect("a directory");
        let trapped = dir.path().join("trapped");
        let script = format!("trap '' TERM; : > {}; while :; do sleep 0.05; done", trapped.display());
        let mut stubborn = Application::start(&shell(&script)).expect("it starts");
        let start = Instant::now();
        while !trapped.exists() {
            assert!(start.elapsed() < LONG, "the shell never set its trap");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let ended = stubborn.stop(Signal::TERM, Duration::from_millis(50)).await.expect("it stops");
        assert_eq!(ended.status.signal(), Some(Signal::KILL.as_raw()));
        assert!(ended.was_killed);
    }

    #[tokio::test]
    async fn stopping_what_has_ended_gives_its_status() {
        let mut short = Application::start(&shell("exit 7")).expect("it starts");
        assert_eq!(short.ended().await.expect("its status").code(), Some(7));
        assert!(matches!(short.signal(Signal::TERM), Err(Error::HasEnded { pid }) if pid == short.pid()));
        let ended = short.stop(Signal::TERM, LONG).await.expect("nothing to do");
        assert_eq!((ended.status.code(), ended.was_killed), (Some(7), false));
    }

    #[tokio::test]
    async fn waiting_leaves_the_lifeline_open_and_dropping_closes_it() {
        let mut reader = Application::start(&Launch::new("cat").lifeline()).expect("it starts");
        let pid = reader.pid();
        until_runs(pid, "cat").await;
        let waited = tokio::time::timeout(Duration::from_millis(100), reader.ended()).await;
        assert!(waited.is_err(), "its input ended though we are here: {waited:?}");
        drop(reader);
        let start = Instant::now();
        while Running::find(pid).is_some() {
            assert!(start.elapsed() < LONG, "it lives on without its lifeline");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    #[tokio::test]
    async fn has_an_empty_input_without_a_lifeline() {
        let mut reader = Application::start(&Launch::new("cat")).expect("it starts");
        let status = tokio::time::timeout(LONG, reader.ended()).await.expect("its input is empty");
        assert!(status.expect("its status").success());
    }

    #[tokio::test]
    async fn says_which_program_cannot_be_started() {
        let error = Application::start(&Launch::new("/nowhere/at-all")).expect_err("there is none");
        assert_eq!(error.to_string(), "there is no program /nowhere/at-all");
    }
}
