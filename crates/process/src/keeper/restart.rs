//! Restarting an application, so that it runs the code that is there now and no request fails: each server has its own way.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use vestibule_config::{Restart, Signal};

use super::app::App;
use super::start::{Wait, until_it_answers};
use super::trouble::Trouble;
use super::workers::runs_in;
use super::{Keeper, Reason};
use crate::life::Life;
use crate::profile::{Method, Profile, harm};
use crate::recognise::Kind;
use crate::status::{Failure, Phase, Release};
use crate::title::Title;
use crate::traffic::Traffic;

/// Between two looks at its processes.
pub(super) const LOOK: Duration = Duration::from_millis(20);
/// Longest that the application may take to answer before it is restarted, so that its answer afterwards can be compared.
const BEFORE: Duration = Duration::from_secs(5);

impl<T: Traffic> Keeper<T> {
    /// Has it run the code that is there now.
    pub(super) async fn restart(&mut self, reason: Reason) -> Result<String, Trouble> {
        self.look()?;
        let Some(app) = &self.app else { return self.start().await };
        // A Unicorn that finds somebody else's PID there does not let its successor start.
        self.write_pid_file();
        let kind = app.kind();
        let profile = Profile::of(kind, &self.process);
        let mut method = profile.restart;
        let mut drains = true;
        if let Restart::Signal(signal) = self.process.restart
            && let Some(harm) = harm(kind, signal)
        {
            return Err(Trouble::Refused(format!("{harm}: write another `restart_signal`")));
        }
        if !matches!(method, Method::Command(_)) {
            self.check_signals()?;
        }
        if app.directory.is_some() && method != Method::Replace {
            // Started in an earlier release, it knows no other: asked to restart itself it would run that once more.
            method = Method::StopStart;
        }
        match reason {
            Reason::Asked => {}
            Reason::Noticed(words) => self.event(&format!("is restarted: {words}")),
            Reason::Hangs(words) => {
                self.event(&format!("is stopped and started: {words}"));
                method = Method::StopStart;
                // What it has in its hands does not finish; its stop sequence still asks it to.
                drains = false;
            }
        }
        self.enter(Phase::Restarting);
        let was_good = match method {
            // It hangs: there is nothing to wait for.
            Method::StopStart if !drains => None,
            _ => self.traffic.probe(None, BEFORE).await.ok().map(|status| self.traffic.is_good(status)),
        };
        if was_good == Some(true) {
            // Also one that was there before us is something to go back to.
            self.good = self.app.as_ref().and_then(|app| app.release.clone()).or(self.good.take());
        }
        let lies_in = self.lies_in();
        let mut result = match &method {
            Method::Exec(signal) => self.restart_by_exec(*signal).await,
            Method::Phased(signal) => self.restart_workers(*signal).await,
            Method::Successor(signal) => self.restart_by_successor(*signal).await,
            Method::Signal(signal) => self.restart_by_signal(*signal).await,
            Method::Command(command) => self.restart_by_command(command, kind).await,
            Method::StopStart => self.stop_and_start(drains).await,
            Method::Replace => self.replace().await,
        };
        if result.is_ok()
            && self.process.is_owned()
            && let Some(lies_in) = &lies_in
            && self.stays_in(lies_in)
        {
            // After a roll back it knows only the directory that it was started in, whatever its own leads to by now.
            self.event(&format!("still runs what lies in {}: stopped and started", lies_in.display()));
            result = self.stop_and_start(drains).await;
        }
        if result.is_ok()
            && lies_in.is_some()
            && let Some(app) = &mut self.app
        {
            // The link may have moved since the new code was loaded.
            let runs = runs_in(&app.tree()).and_then(|directory| Release::of(&directory));
            app.release = runs.or(app.release.take());
        }
        // What answered only errors before is no worse now.
        let result = match result {
            Ok(Wait::Errs(status)) if was_good == Some(true) => {
                let failure = self.did_not_answer(&Wait::Errs(status)).await;
                Err(Trouble::Failed(failure))
            }
            Ok(wait @ Wait::Errs(_)) if matches!(method, Method::StopStart) => {
                let failure = self.did_not_answer(&wait).await;
                self.failed(failure);
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(trouble) => Err(trouble),
        };
        self.settle(result.is_err()).await;
        result?;
        let pid = self.app.as_ref().map_or(0, App::pid);
        Ok(format!("restarted, pid {pid}"))
    }

    /// The directory of its release, if that is where it runs: then it can be seen whether a restart took another.
    fn lies_in(&self) -> Option<PathBuf> {
        let app = self.app.as_ref()?;
        let release = app.release.as_ref()?.directory.clone();
        runs_in(&app.tree()).filter(|directory| *directory == release)
    }

    /// Whether it runs there still, although its own directory leads elsewhere.
    fn stays_in(&self, before: &Path) -> bool {
        let own = self.process.directory.as_deref().and_then(Release::of);
        let now = self.app.as_ref().and_then(|app| runs_in(&app.tree()));
        now.as_deref() == Some(before) && own.is_some_and(|own| own.directory != before)
    }

    /// It finishes what runs, replaces its program and keeps its socket: requests wait until the new one answers.
    async fn restart_by_exec(&mut self, signal: Signal) -> Result<Wait, Trouble> {
        self.quiesce().await;
        let patience = self.patience();
        let Some(app) = &mut self.app else { return Err(Trouble::failed("ended before it was restarted")) };
        let before = app.master;
        let title = Title::of(before.pid);
        app.signal(signal)?;
        let end = Instant::now() + patience;
        loop {
            match before.now() {
                Some(life) if life != before => {
                    app.master = life;
                    break;
                }
                // Another user's: a new program shows only by the command line, until that makes a title of it.
                Some(life) if !life.shows_program() && Title::of(before.pid) != title => break,
                Some(_) => {}
                None => break,
            }
            if Instant::now() >= end {
                let words = format!("took no notice of {} for {} s", signal.as_str(), patience.as_secs());
                self.event(&format!("{words}: stopped and started"));
                return self.stop_and_start(true).await;
            }
            tokio::time::sleep(LOOK).await;
        }
        self.output.mark().await;
        self.prove_new().await
    }

    /// It sent itself home or answers: what runs now is the new release, or nothing.
    async fn prove_new(&mut self) -> Result<Wait, Trouble> {
        let within = self.process.start_timeout;
        let directory = self.directory();
        let Some(app) = &mut self.app else { return Err(Trouble::failed("ended")) };
        app.release = directory.as_deref().and_then(Release::of).or(app.release.take());
        app.since = Instant::now();
        let wait = until_it_answers(&self.traffic, app, None, within).await;
        match wait {
            Wait::Answers | Wait::Errs(_) => Ok(wait),
            Wait::Ended(_) | Wait::Crashes | Wait::Silent(_) => {
                let failure = self.did_not_answer(&wait).await;
                Err(self.recover(failure).await)
            }
        }
    }

    /// The old code is gone and the new does not run: starts it again, or the release before it.
    pub(super) async fn recover(&mut self, mut failure: Failure) -> Trouble {
        if !self.can_start() {
            // Who is stopped would never come back. It may still answer, and others may be waiting for that.
            return Trouble::Failed(failure);
        }
        if let Err(trouble) = self.stop_all().await {
            return trouble;
        }
        self.enter(Phase::Restarting);
        // When the release before does not start either, the next try is the back-off's.
        let is_rolled_back = self.process.is_owned() && self.roll_back(&mut failure).await;
        if !is_rolled_back {
            match self.boot().await {
                Ok(_) => failure.words = format!("{}; it was started again and answers", failure.words),
                // Words of the second failure say what became of it, too.
                Err(Trouble::Failed(again)) => failure = again,
                Err(_) => {}
            }
        }
        Trouble::Failed(failure)
    }

    /// Its workers are replaced one after the other, and the others answer meanwhile.
    async fn restart_workers(&mut self, signal: Signal) -> Result<Wait, Trouble> {
        let Some(app) = &self.app else { return Err(Trouble::failed("ended before it was restarted")) };
        let master = app.master;
        let before = self.workers();
        self.output.mark().await;
        app.signal(signal)?;
        let each = self.process.start_timeout + Duration::from_secs(30);
        let end = Instant::now() + each * u32::try_from(before.len().max(1)).unwrap_or(1);
        let mut new: Vec<Life> = Vec::new();
        loop {
            match master.now() {
                // It preloads its code, so that it did as for USR2.
                Some(life) if life != master => {
                    if let Some(app) = &mut self.app {
                        app.master = life;
                    }
                    return self.prove_new().await;
                }
                Some(_) => {}
                None => return self.prove_new().await,
            }
            let workers = self.workers();
            new.extend(
                workers
                    .iter()
                    .filter(|life| !before.contains(life) && !new.contains(life))
                    .copied()
                    .collect::<Vec<_>>(),
            );
            let old = workers.iter().filter(|life| before.contains(life)).count();
            if old == 0 && workers.len() >= before.len() {
                return self.prove_new().await;
            }
            let died = new.iter().filter(|life| !life.is_alive()).count();
            if died >= CRASH_LOOP || Instant::now() >= end {
                let release = self.directory().as_deref().and_then(Release::of);
                let how = if died >= CRASH_LOOP { "end while they boot" } else { "do not boot" };
                let words = format!(
                    "its new workers {how}; {old} of {} workers with the old code go on",
                    before.len()
                );
                let output = self.output.last_lines(super::start::LAST_LINES).await;
                return Err(Trouble::of_release(words, release, output));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What it does on this signal is its own matter: it has to answer afterwards.
    async fn restart_by_signal(&mut self, signal: Signal) -> Result<Wait, Trouble> {
        self.quiesce().await;
        self.output.mark().await;
        if let Some(app) = &self.app {
            app.signal(signal)?;
        }
        self.find_after().await
    }

    /// Somebody else restarts it.
    async fn restart_by_command(&mut self, command: &[String], kind: Kind) -> Result<Wait, Trouble> {
        let before = self.workers();
        self.output.mark().await;
        self.run_command(command, self.process.start_timeout).await?;
        if kind == Kind::Passenger {
            // It starts the new ones before it ends the old: as long as one of those is there, who answered is not known.
            let end = Instant::now() + self.process.start_timeout;
            let is_old = |worker: &Life| before.contains(worker);
            while self.workers().iter().any(is_old) && Instant::now() < end {
                tokio::time::sleep(LOOK).await;
            }
            // An old one may finish what runs for longer. But if none is new, nothing was restarted, whatever the command said.
            let workers = self.workers();
            if !workers.is_empty() && workers.iter().all(is_old) {
                let time = self.process.start_timeout.as_secs();
                let words = format!("{}: no new workers within {time} s (start_timeout)", command.join(" "));
                let output = self.output.last_lines(super::start::LAST_LINES).await;
                return Err(Trouble::of_release(words, None, output));
            }
        }
        self.find_after().await
    }

    /// After something of which it is not known what it does to the process.
    async fn find_after(&mut self) -> Result<Wait, Trouble> {
        let end = Instant::now() + self.process.start_timeout;
        loop {
            self.look()?;
            if self.app.is_some() {
                return self.prove_new().await;
            }
            if Instant::now() >= end {
                let failure = self.did_not_answer(&Wait::Ended(None)).await;
                return Err(self.recover(failure).await);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// It is stopped, after what it runs if it `drains`, and started: requests wait meanwhile.
    async fn stop_and_start(&mut self, drains: bool) -> Result<Wait, Trouble> {
        if let vestibule_config::Start::Adopted { command: None } = self.process.start {
            return Err(Trouble::Refused(
                "restarts only by a stop and a start, and is not ours to start: write its `command` or `start_command`"
                    .to_owned(),
            ));
        }
        if drains {
            self.quiesce().await;
        } else {
            self.traffic.hold().await;
        }
        self.stop_all().await?;
        self.enter(Phase::Restarting);
        self.boot().await
    }

    /// Longest that it may take to finish what runs, by itself.
    fn patience(&self) -> Duration {
        self.app.as_ref().map_or(Duration::ZERO, |app| Profile::of(app.kind(), &self.process).stop_time())
    }
}

/// So many new workers that end while they boot are no accident.
pub(super) const CRASH_LOOP: usize = 3;
