//! What an application consists of, and what others are shown of it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Keeper;
use super::start::{LAST_LINES, prepare};
use super::trouble::Trouble;
use crate::exit;
use crate::life::Life;
use crate::members::{MEMBER_OF, Members};
use crate::recognise::{self, Kind};
use crate::status::Worker;
use crate::traffic::Traffic;
use crate::tree::Tree;

/// So long may a command take to end when it is told to.
const ENDS: Duration = Duration::from_secs(2);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(20);

impl<T: Traffic> Keeper<T> {
    /// The workers of the application, without those of a successor.
    pub(super) fn workers(&self) -> Vec<Life> {
        self.app.as_ref().map_or_else(Vec::new, |app| self.workers_of(&app.master))
    }

    /// The workers of this master.
    pub(super) fn workers_of(&self, master: &Life) -> Vec<Life> {
        let tree = Tree::of(master.pid);
        let kind = Kind::of(&tree);
        let all = recognise::workers(&tree, kind);
        // A successor's workers hang below it, and it hangs below its predecessor. Passenger's hang below helpers of its own.
        let is_own = |parent: u32| kind != Kind::Unicorn || parent == master.pid;
        all.into_iter().filter(|member| is_own(member.parent)).map(|member| member.life).collect()
    }

    /// The directory that its code lies in: where it is started, or where it runs.
    pub(super) fn directory(&self) -> Option<PathBuf> {
        self.process.directory.clone().or_else(|| self.app.as_ref().and_then(|app| runs_in(&app.tree())))
    }

    /// Shows who it is now.
    pub(super) fn show(&self) {
        let Some(app) = &self.app else { return self.gone() };
        let tree = app.tree();
        let kind = app.kind_in(&tree);
        let workers = recognise::workers(&tree, kind);
        let workers: Vec<Worker> =
            workers.into_iter().map(|member| Worker { pid: member.life.pid, memory: member.pss }).collect();
        self.status.send_modify(|status| {
            status.pid = Some(app.pid());
            status.server = (kind != Kind::Unknown).then(|| kind.as_str().to_owned());
            status.release = app.release.clone();
            status.workers = workers;
            status.next_try = None;
        });
    }

    /// Shows that it does not run.
    pub(super) fn gone(&self) {
        self.status.send_modify(|status| {
            status.pid = None;
            status.workers.clear();
            status.memory = None;
            status.cpu = None;
        });
    }

    /// Runs a command of the operator's with the application's directory and environment, and waits for its end. One that takes too
    /// long is ended with all that it started; so is, by the next stop, one whose task was dropped.
    pub(super) async fn run_command(&mut self, command: &[String], within: Duration) -> Result<(), Trouble> {
        self.end_command().await?;
        let words = command.join(" ");
        let directory = self.directory();
        // A name of its own: an orphan of the application is none of the command's.
        let name = format!("{}/command", self.member_name());
        let launch = self.launch(command, &self.public(), directory.as_deref())?.variable(MEMBER_OF, &name);
        let mut prepared = prepare(launch).await?;
        let (life, mut exit) = exit::spawn(&mut prepared.command)?;
        self.command = Some(Members::new(&name, life));
        match tokio::time::timeout(within, exit.ended()).await {
            Ok(status) => {
                // What it has left running is the application.
                self.command = None;
                if status.is_some_and(|status| status.success()) {
                    return Ok(());
                }
                let how = status.map_or_else(|| "ended".to_owned(), |status| status.to_string());
                let output = self.output.last_lines(LAST_LINES).await;
                Err(Trouble::of_release(format!("{words}: {how}"), None, output))
            }
            Err(_) => {
                self.end_command().await?;
                Err(Trouble::failed(format!("{words} has not ended after {} s", within.as_secs())))
            }
        }
    }

    /// Ends a command that has not ended, with all that it started.
    pub(super) async fn end_command(&mut self) -> Result<(), Trouble> {
        let Some(members) = &mut self.command else { return Ok(()) };
        members.signal_all(crate::Signal::TERM).ok();
        let end = Instant::now() + ENDS;
        while members.all().any(|life| life.is_alive()) && Instant::now() < end {
            tokio::time::sleep(LOOK).await;
        }
        let killed = members.signal_all(crate::Signal::KILL);
        self.command = None;
        killed?;
        Ok(())
    }
}

/// The directory that an application runs in. Of Passenger's processes only the workers run where the code lies.
pub(super) fn runs_in(tree: &Tree) -> Option<PathBuf> {
    let first = match Kind::of(tree) {
        // The youngest: an older one may still finish what it runs.
        Kind::Passenger => recognise::workers(tree, Kind::Passenger)
            .into_iter()
            .max_by_key(|worker| (worker.life.started(), worker.life.pid))?,
        _ => tree.members().first()?,
    };
    std::fs::read_link(format!("/proc/{}/cwd", first.life.pid)).ok()
}
