//! A restart by a second master beside the first, on the same socket: Unicorn's USR2.
//!
//! Many configurations have a `before_fork` that sends the old master home as soon as the new one forks. Where there is
//! none, both serve until somebody does: we, when the new one has shown that it answers.

use std::path::{Path, PathBuf};
use std::time::Instant;

use vestibule_config::{Server, Signal};

use super::Keeper;
use super::app::App;
use super::restart::{CRASH_LOOP, LOOK};
use super::start::{LAST_LINES, Wait, until_it_answers};
use super::trouble::Trouble;
use crate::holder;
use crate::life::Life;
use crate::pid_file::PidFile;
use crate::profile::Profile;
use crate::recognise::recognise;
use crate::status::Release;
use crate::title::Title;
use crate::traffic::Traffic;
use crate::tree::Tree;

impl<T: Traffic> Keeper<T> {
    /// Has it start a successor, and sends it home when that one answers. If it does not, the old one goes on.
    pub(super) async fn restart_by_successor(&mut self, signal: Signal) -> Result<Wait, Trouble> {
        if self.is_being_succeeded() {
            // Two masters: a Vestibule was killed in the middle of it. That has to be at its end before another can begin.
            self.event("a restart was under way");
            match self.be_succeeded(&[]).await {
                Err(Trouble::Failed(failure)) if self.app.as_ref().is_some_and(App::is_alive) => {
                    self.failed(failure);
                }
                other => _ = other?,
            }
        }
        let Some(app) = &self.app else { return Err(Trouble::failed("ended before it was restarted")) };
        let before = children_of(&app.master);
        self.output.mark().await;
        app.signal(signal)?;
        self.be_succeeded(&before).await
    }

    /// Whether somebody has begun such a restart: a Vestibule before us that was killed in the middle of it, say.
    pub(super) fn is_being_succeeded(&self) -> bool {
        let predecessor = self.process.pid_file.as_deref().and_then(predecessor_of);
        predecessor.is_some() && predecessor == self.app.as_ref().map(App::pid)
    }

    /// The successor is on its way, or will be in a moment: takes it for the application when it answers. It is none of the
    /// children that the master had `before`.
    pub(super) async fn be_succeeded(&mut self, before: &[Life]) -> Result<Wait, Trouble> {
        let Some(app) = &self.app else { return Err(Trouble::failed("ended before it was restarted")) };
        let old = app.master;
        let old_workers = self.workers_of(&old);
        let kind = app.kind();
        let new = match self.successor_of(&old, before).await {
            // A hook may have sent it home before the new one had workers that last.
            Err(Trouble::Failed(failure)) if self.leaves(&old).await => {
                return Err(self.recover(failure).await);
            }
            Err(Trouble::Failed(mut failure)) => {
                failure.words = format!("{}; the old code goes on", failure.words);
                return Err(Trouble::Failed(failure));
            }
            found => found?,
        };

        // With a hook the old one leaves by itself now. Without, its workers are sent home first: as long as they answer,
        // it is not known whether the new ones do, and it can still have others.
        if old.is_alive() {
            let _ = old.signal(crate::Signal::WINCH);
        }
        let end = Instant::now() + Profile::of(kind, &self.process).stop_time();
        while old_workers.iter().any(Life::is_alive) && Instant::now() < end {
            tokio::time::sleep(LOOK).await;
        }
        let before = self.app.take();
        self.adopt(new, before)?;
        if let Some(app) = &mut self.app {
            app.release = self.process.directory.as_deref().and_then(Release::of).or(app.release.take());
            let within = self.process.start_timeout;
            let wait = until_it_answers(&self.traffic, app, None, within).await;
            if let Wait::Ended(_) | Wait::Crashes | Wait::Silent(_) = wait {
                let mut failure = self.did_not_answer(&wait).await;
                if old.is_alive() {
                    self.revive(old, new, old_workers.len()).await?;
                    failure.words = format!("{}; the old code goes on", failure.words);
                    return Err(Trouble::Failed(failure));
                }
                return Err(self.recover(failure).await);
            }
            let _ = old.signal(crate::Signal::QUIT);
            let end = Instant::now() + Profile::of(kind, &self.process).stop_time();
            while old.is_alive() && Instant::now() < end {
                tokio::time::sleep(LOOK).await;
            }
            self.write_down();
            return Ok(wait);
        }
        Err(Trouble::failed("its successor ended"))
    }

    /// The new master, when it has workers that last.
    async fn successor_of(&mut self, old: &Life, before: &[Life]) -> Result<Life, Trouble> {
        let end = Instant::now() + self.process.start_timeout;
        let mut new: Option<Life> = None;
        let mut seen: Vec<Life> = Vec::new();
        let mut steady_since = Instant::now();
        loop {
            let is_old_alive = old.is_alive();
            // What has shown no workers may turn out to be another: a helper, or a worker of the old one before it has its title.
            new = match new.filter(|new| !is_old_alive || !self.workers_of(new).is_empty()) {
                Some(new) => Some(new),
                None => self.new_master(old, before).or(new.filter(|new| !is_old_alive || !new.is_alive())),
            };
            if let Some(new) = &new {
                let workers = self.workers_of(new);
                for worker in &workers {
                    if !seen.contains(worker) {
                        seen.push(*worker);
                        steady_since = Instant::now();
                    }
                }
                let died = seen.iter().filter(|worker| !worker.is_alive()).count();
                // As many as there were need not come: their number may be what was changed.
                let is_steady = steady_since.elapsed() >= STEADY && !workers.is_empty();
                // Without the old one there is nothing to go back to: whether it answers is all that counts.
                let is_all_there_is = !old.is_alive() && (died >= CRASH_LOOP || Instant::now() >= end);
                if new.is_alive() && (is_steady && died == 0 || is_all_there_is) {
                    return Ok(*new);
                }
                if !new.is_alive() || died >= CRASH_LOOP {
                    let words = "the new master, or its workers, end while they boot";
                    return Err(self.no_successor(old, Some(*new), before, words).await);
                }
            } else if !old.is_alive() {
                return Err(Trouble::failed("ended, and left no successor"));
            }
            if Instant::now() >= end {
                let time = self.process.start_timeout.as_secs();
                let words = format!("no new workers within {time} s (start_timeout)");
                return Err(self.no_successor(old, new, before, &words).await);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A new child of the old master that is a Unicorn and no worker, at best one with workers; or, when the old one has gone, whom
    /// the PID file names.
    fn new_master(&mut self, old: &Life, before: &[Life]) -> Option<Life> {
        let mut masters = self.new_children(old, before);
        masters.retain(|life| Title::of(life.pid).is_some_and(|title| recognise(&title) == Server::Unicorn));
        let with_workers = masters.iter().find(|life| !self.workers_of(life).is_empty());
        let child = with_workers.or(masters.first()).copied();
        // The file may name anybody, and who does not turn out to be a successor is ended.
        child.or_else(|| {
            let named = self.named().filter(|life| !life.is_same_process(old))?;
            let members = &mut self.app.as_mut()?.members;
            members.update();
            members.all().any(|member| member.is_same_process(&named)).then_some(named)
        })
    }

    /// The children that a master has got since, without its own workers.
    fn new_children(&self, old: &Life, before: &[Life]) -> Vec<Life> {
        let workers = self.workers_of(old);
        let is_known = |life: &Life| before.iter().chain(&workers).any(|one| one.is_same_process(life));
        children_of(old).into_iter().filter(|life| !is_known(life)).collect()
    }

    /// The new one is ended, if it has not ended by itself. Where none was recognised, it may be any of the new
    /// children.
    async fn no_successor(&self, old: &Life, new: Option<Life>, before: &[Life], why: &str) -> Trouble {
        let new = new.map_or_else(|| self.new_children(old, before), |new| vec![new]);
        let end = Instant::now() + std::time::Duration::from_secs(10);
        for life in &new {
            let _ = life.signal(crate::Signal::TERM);
        }
        while new.iter().any(Life::is_alive) && Instant::now() < end {
            tokio::time::sleep(LOOK).await;
        }
        for life in &new {
            let _ = life.signal(crate::Signal::KILL);
        }
        let release = self.process.directory.as_deref().and_then(Release::of);
        Trouble::of_release(why.to_owned(), release, self.output.last_lines(LAST_LINES).await)
    }

    /// Whether the old master is on its way home, or has gone: on its way it has closed its socket, and lets its workers finish.
    async fn leaves(&self, old: &Life) -> bool {
        let end = Instant::now() + STAYS;
        loop {
            let has_closed = |socket: &PathBuf| holder::has_open(socket, old.pid) == Some(false);
            if !old.is_alive() || self.around.socket.as_ref().is_some_and(has_closed) {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The old master gets its workers back, and the new one goes.
    async fn revive(&mut self, old: Life, new: Life, workers: usize) -> Result<(), Trouble> {
        for _ in 0..workers {
            old.signal(crate::Signal::TTIN)?;
            // One signal at a time: two that are pending are one.
            tokio::time::sleep(LOOK).await;
        }
        let _ = new.signal(crate::Signal::QUIT);
        let before = self.app.take();
        self.adopt(old, before)?;
        let Some(app) = &mut self.app else { return Ok(()) };
        let within = self.process.start_timeout;
        match until_it_answers(&self.traffic, app, None, within).await {
            Wait::Answers | Wait::Errs(_) => Ok(()),
            wait => {
                let failure = self.did_not_answer(&wait).await;
                Err(self.recover(failure).await)
            }
        }
    }
}

/// The children that a process has now.
fn children_of(master: &Life) -> Vec<Life> {
    let tree = Tree::of(master.pid);
    let children = tree.members().iter().filter(|member| member.parent == master.pid);
    children.map(|member| member.life).collect()
}

/// The living master whose place another is about to take: it has moved its PID to a file beside the PID file, and would find its
/// own back in there to be a rival's.
pub(super) fn predecessor_of(pid_file: &Path) -> Option<u32> {
    let mut beside = pid_file.as_os_str().to_owned();
    beside.push(".oldbin");
    let pid = PidFile::new(beside).read().ok()??;
    Life::of(pid).filter(Life::is_alive).map(|life| life.pid)
}

/// Workers that boot after the fork (without preloading) and do not end for so long are taken for ready.
const STEADY: std::time::Duration = std::time::Duration::from_millis(500);
/// A master that was told to go shows it within this time.
const STAYS: std::time::Duration = std::time::Duration::from_secs(1);
