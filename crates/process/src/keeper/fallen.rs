//! An application that ended though nobody had told it to: whether another has taken its place, what is told of it, and what it
//! has left behind.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::Keeper;
use super::app::App;
use super::find::Found;
use super::start::LAST_LINES;
use super::stop::sweep;
use crate::profile::Profile;
use crate::status::{Failure, Phase, Wish};
use crate::traffic::Traffic;

/// So long may another process take to come into the place of one that ended: a successor writes its PID file first.
const SUCCEEDS: Duration = Duration::from_secs(2);
/// Between two looks for it.
const LOOK: Duration = Duration::from_millis(50);

/// One that ended. The keeper has it until everything was done about it: whoever looks after it may be dropped for a command.
#[derive(Debug)]
pub(super) struct Fallen {
    pub(super) app: App,
    how: String,
    /// Until then another may come into its place.
    succeeded_until: Instant,
    /// Its end stands in the log and in the status.
    is_told: bool,
}

impl Fallen {
    /// Of one that has just been found dead; `is_owned` if we started it.
    pub(super) fn new(mut app: App, status: Option<ExitStatus>, is_owned: bool) -> Self {
        app.members.update();
        // Somebody else may have restarted it.
        let may_be_succeeded = !is_owned || !app.members.left_over().is_empty();
        let how = status.map_or_else(|| "ended".to_owned(), |status| format!("ended: {status}"));
        let wait = if may_be_succeeded { SUCCEEDS } else { Duration::ZERO };
        Fallen { app, how, succeeded_until: Instant::now() + wait, is_told: false }
    }

    /// Of one whose end is told of by whoever caused it.
    pub(super) fn told(app: App) -> Self {
        Fallen { app, how: String::new(), succeeded_until: Instant::now(), is_told: true }
    }
}

impl<T: Traffic> Keeper<T> {
    /// It ended, and nobody had told it to.
    pub(super) async fn died(&mut self, status: Option<ExitStatus>) {
        let Some(app) = self.app.take() else { return };
        self.fallen = Some(Fallen::new(app, status, self.process.is_owned()));
        self.see_to_the_fallen().await;
    }

    /// Whether something is to be done about one that ended. What it left behind is left alone where nothing is started in its
    /// place: until a stop, or somebody else's start.
    pub(super) fn is_fallen(&self) -> bool {
        self.fallen.as_ref().is_some_and(|fallen| !fallen.is_told || self.is_started_again())
    }

    fn is_started_again(&self) -> bool {
        self.wish.get() == Wish::Up && self.can_start()
    }

    /// Does what is to be done about it. Whoever drops this, the next one goes on with it.
    pub(super) async fn see_to_the_fallen(&mut self) {
        while let Some(fallen) = &self.fallen
            && !fallen.is_told
            && Instant::now() < fallen.succeeded_until
        {
            if let Found::It(life) = self.find()
                && !life.is_same_process(&fallen.app.master)
            {
                let (pid, how) = (fallen.app.pid(), &fallen.how);
                self.event(&format!("pid {pid} {how}; pid {} has taken its place", life.pid));
                if self.adopt(life, None).is_ok() {
                    self.up().await;
                }
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
        self.tell_of_the_fallen().await;
        if self.is_started_again()
            && let Some(fallen) = &mut self.fallen
        {
            let profile = Profile::of(fallen.app.kind(), &self.process);
            let swept = sweep(&mut fallen.app.members, &profile.stop).await;
            self.fallen = None;
            if let Err(trouble) = swept {
                self.trouble(trouble);
            }
        }
    }

    /// Says that it ended, once, and when it is started again.
    pub(super) async fn tell_of_the_fallen(&mut self) {
        if self.fallen.as_ref().is_none_or(|fallen| fallen.is_told) {
            return;
        }
        let output = self.output.last_lines(LAST_LINES).await;
        let Some(fallen) = &mut self.fallen else { return };
        fallen.is_told = true;
        let words = format!("pid {} {}", fallen.app.pid(), fallen.how);
        let failure = Failure::new(words, fallen.app.release.clone(), output);
        self.failed(failure);
        if self.is_started_again() {
            self.pause();
        } else {
            self.enter(Phase::Down);
        }
        self.record().remove();
        self.gone();
    }
}
