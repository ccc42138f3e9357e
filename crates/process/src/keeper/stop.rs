//! Stopping an application: after what it runs, and so that nothing of it is left.

use std::time::{Duration, Instant};

use vestibule_config::{Signal, StopStep};

use super::app::App;
use super::find::Found;
use super::trouble::Trouble;
use super::{Keeper, note_wish};
use crate::error::Error;
use crate::life::Life;
use crate::members::Members;
use crate::pid_file::PidFile;
use crate::place::Place;
use crate::profile::{AFTER_KILL, Profile};
use crate::running::Running;
use crate::signal;
use crate::status::{Phase, Wish};
use crate::traffic::Traffic;
use crate::vacancy;

/// Between two looks at what is left.
const LOOK: Duration = Duration::from_millis(20);
/// Longest that it is asked whether it still answers, when it could not be stopped.
const ANSWER: Duration = Duration::from_secs(5);
/// What a master leaves behind gets so long to go by itself, and so long after each signal.
const LEFT_OVER: Duration = Duration::from_secs(5);
/// So long after the command that starts it may an application show itself.
const SHOWS: Duration = Duration::from_secs(2);

impl<T: Traffic> Keeper<T> {
    /// Somebody wants it to stop.
    pub(super) async fn stop(&mut self) -> Result<String, Trouble> {
        self.look()?;
        if let Err(error) = self.check_signals() {
            self.is_not_stopped();
            return Err(error.into());
        }
        self.tell_of_the_fallen().await;
        self.enter(Phase::Stopping);
        self.next_try = None;
        self.end_errand().await?;
        let pid = self.app.as_ref().map(App::pid);
        let fallen = self.fallen.as_ref().map(|fallen| fallen.app.pid());
        // Nobody new comes in; what runs finishes, as far as the traffic's patience goes.
        self.traffic.refuse().await;
        if pid.or(fallen).is_some() {
            self.drained(Instant::now() + self.traffic.patience()).await;
        }
        if let Err(trouble) = self.stop_all().await {
            self.go_on().await;
            return Err(trouble);
        }
        match (pid, fallen) {
            (Some(pid), _) => Ok(format!("stopped, pid {pid}")),
            (None, Some(pid)) => Ok(format!("stopped; pid {pid} had ended by itself")),
            (None, None) => Err(Trouble::Already("does not run".to_owned())),
        }
    }

    /// That its first process may be sent signals, if there is one. Otherwise nothing is begun for which they are needed.
    pub(super) fn check_signals(&self) -> Result<(), Error> {
        self.app.as_ref().map_or(Ok(()), |app| app.master.check_signals())
    }

    /// It runs on, and is followed as before.
    fn is_not_stopped(&self) {
        let wish = if self.process.is_started { Wish::Up } else { Wish::Alone };
        self.wish.set(wish);
        note_wish(&self.status, wish);
    }

    /// After a stop that failed: what still answers gets its traffic back.
    pub(super) async fn go_on(&mut self) {
        let lives = self.app.as_ref().is_some_and(App::is_alive);
        if lives && (!self.traffic.has_upstream() || self.traffic.probe(None, ANSWER).await.is_ok()) {
            self.is_not_stopped();
            self.up().await;
        } else {
            self.enter(Phase::Down);
        }
    }

    /// Stops what there is, both instances if there are two, and clears up behind it. What cannot be stopped keeps nothing else
    /// from it, and stays the application as long as it lives.
    pub(super) async fn stop_all(&mut self) -> Result<(), Trouble> {
        self.check_signals()?;
        self.enter(Phase::Stopping);
        // Passenger ends whom it names.
        if self.app.as_ref().is_some_and(App::is_alive) {
            self.write_pid_file();
        }
        // First of all: it may be about to start what is stopped here.
        let mut result = self.end_command().await;
        let mut gone = Vec::new();
        if let Some(fallen) = &mut self.fallen {
            let profile = Profile::of(fallen.app.kind(), &self.process);
            result = result.and(sweep(&mut fallen.app.members, &profile.stop).await);
            gone.extend(self.fallen.take().map(|fallen| fallen.app));
        }
        for instance in [&mut self.second, &mut self.app] {
            let Some(app) = instance else { continue };
            let profile = Profile::of(app.kind(), &self.process);
            let stopped = stop_one(app, &profile.stop).await;
            // A status that is not taken while somebody wants it is taken seconds later.
            let _ = app.exit.try_ended();
            if !app.is_alive() {
                gone.extend(instance.take());
            }
            result = result.and(stopped);
        }
        for app in &gone {
            clear_up(app).await;
            self.clear_up_in_front(app);
        }
        if self.app.is_none() {
            if self.process.is_owned() {
                // One that an earlier Vestibule knew may have left these, or one that was about to be cleared up after when
                // that was interrupted.
                for place in self.places() {
                    clear_up_place(&place, None).await;
                }
            }
            self.record().remove();
            self.gone();
            self.enter(Phase::Down);
        }
        result
    }

    /// Where it may have been.
    fn places(&self) -> Vec<Place> {
        let public = self.public();
        let instances = [1, 2].map(|number| public.instance(number));
        let instances = instances.into_iter().filter(|_| self.is_replaced());
        instances.chain([public]).collect()
    }

    /// Ends a command of the operator's, interrupted while we waited for it, that starts or restarts the application. What it has
    /// had somebody else begin comes after it: gives that a moment to show itself.
    async fn end_errand(&mut self) -> Result<(), Trouble> {
        if self.command.is_none() {
            return Ok(());
        }
        self.end_command().await?;
        let end = Instant::now() + SHOWS;
        while matches!(self.find(), Found::Nobody) && Instant::now() < end {
            tokio::time::sleep(LOOK).await;
        }
        self.look()
    }

    /// Where others found one that had a place of its own: nothing leads to it any more.
    fn clear_up_in_front(&self, app: &App) {
        let public = self.public();
        if app.place == public {
            return;
        }
        if let Err(error) = public.withdraw() {
            tracing::warn!(process = self.process.name, %error, "cannot clear up");
        }
        if let Some(path) = &public.pid_file
            && let Err(error) = PidFile::new(path).remove(app.pid())
        {
            tracing::warn!(process = self.process.name, %error, "cannot clear up");
        }
    }

    /// Ends everything of it now, without waiting.
    pub(super) fn kill(&mut self) {
        let fallen = self.fallen.as_mut().map(|fallen| &mut fallen.app);
        for app in self.app.iter_mut().chain(fallen) {
            kill_one(&self.process.name, app);
        }
        self.kill_second();
    }

    /// Ends everything of the instance that is not the one in front, without waiting.
    pub(super) fn kill_second(&mut self) {
        if let Some(app) = &mut self.second {
            kill_one(&self.process.name, app);
        }
    }
}

fn kill_one(name: &str, app: &mut App) {
    tracing::error!(process = name, pid = app.pid(), "killed");
    if let Err(error) = app.members.signal_all(signal::of(Signal::Kill)) {
        tracing::error!(process = name, %error, "something of it is left");
    }
}

/// Sends one signal after the other until it has ended, and then whatever it left behind.
///
/// # Errors
/// [`Trouble::Refused`] at once when it may not be sent its signals, [`Trouble::Failed`] when something outlasts SIGKILL.
pub(super) async fn stop_one(app: &mut App, sequence: &[StopStep]) -> Result<(), Trouble> {
    app.members.update();
    let mut steps = sequence.iter().chain(&[StopStep::Signal(Signal::Kill), StopStep::Wait(AFTER_KILL)]);
    while app.is_alive() {
        match steps.next() {
            Some(StopStep::Signal(Signal::Kill)) => {
                if app.members.signal_all(signal::of(Signal::Kill)).is_err() {
                    // That of others is seen when it has ended.
                    send(app, Signal::Kill)?;
                }
            }
            Some(StopStep::Signal(signal)) => send(app, *signal)?,
            Some(StopStep::Wait(time)) => {
                let end = Instant::now() + *time;
                while app.is_alive() && Instant::now() < end {
                    app.members.update();
                    let left = end.saturating_duration_since(Instant::now());
                    let _ = tokio::time::timeout(left.min(LEFT_OVER), app.exit.ended()).await;
                }
            }
            None => return Err(Trouble::failed(format!("pid {} outlasts SIGKILL", app.pid()))),
        }
    }
    sweep(&mut app.members, sequence).await
}

/// Sends its first process a signal, unless it ended this moment.
fn send(app: &App, signal: Signal) -> Result<(), Error> {
    match app.signal(signal) {
        Err(Error::HasEnded { .. }) => Ok(()),
        sent => sent,
    }
}

/// Ends what a master has left behind: workers that finish, daemons that it started. The first signal of `sequence` is
/// the gentle one.
pub(super) async fn sweep(members: &mut Members, sequence: &[StopStep]) -> Result<(), Trouble> {
    let gentle = sequence.iter().find_map(|step| match step {
        StopStep::Signal(signal) => Some(*signal),
        StopStep::Wait(_) => None,
    });
    for signal in [None, gentle, Some(Signal::Term), Some(Signal::Kill)] {
        if let Some(signal) = signal {
            // Those that it may not be sent to are seen below.
            let _ = members.signal_all(signal::of(signal));
        }
        let end = Instant::now() + LEFT_OVER;
        members.update();
        loop {
            // To see that those who are known are there still is cheap; that there are no others takes a look at all processes.
            if !members.left_over().iter().any(Life::is_alive) {
                members.update();
            }
            let left = members.left_over();
            if left.is_empty() {
                return Ok(());
            }
            // One that may not be signalled may still end by itself; but not for anything that we do.
            if signal.is_some() && left.iter().all(|life| life.check_signals().is_err()) {
                left.iter().try_for_each(Life::check_signals)?;
            }
            if Instant::now() >= end {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Err(Trouble::failed("something of it outlasts SIGKILL"))
}

/// What servers leave lying about: a socket that refuses, a PID file that names nobody.
pub(super) async fn clear_up(app: &App) {
    clear_up_place(&app.place, Some(app.pid())).await;
}

/// The same, where one with this PID was, or somebody who is not known any more.
async fn clear_up_place(place: &Place, pid: Option<u32>) {
    if let Some(socket) = &place.socket
        // Somebody else may have come to its place by now.
        && let Err(error) = vacancy::vacate(socket).await
        && !matches!(error, Error::Occupied { .. })
    {
        tracing::warn!(socket = %socket.display(), error = error.in_full(), "cannot clear up");
    }
    let Some(path) = &place.pid_file else { return };
    let file = PidFile::new(path);
    let named = file.read().ok().flatten();
    let gone = named.filter(|named| Some(*named) == pid || Running::find(*named).is_none());
    if let Some(gone) = gone
        && let Err(error) = file.remove(gone)
    {
        tracing::warn!(error = error.in_full(), "cannot clear up");
    }
}
