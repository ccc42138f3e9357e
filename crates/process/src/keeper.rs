//! The keeper of one application: the only one that starts it, stops it, restarts it, and says how it is.
//!
//! What is wanted is a [`Wish`]; what is done about it is a [`Task`], one at a time, each a function that reads top to
//! bottom: [`start`](Keeper::start), [`stop`](Keeper::stop), [`restart`](Keeper::restart), and in between
//! [`watch`](Keeper::watch). A task may be dropped at any of its waits, when a command comes that is stronger. So no task
//! trusts what the one before it left behind: each looks at the world first.

mod adjust;
mod app;
mod crash_loop;
mod desk;
mod drain;
mod fallen;
mod find;
mod replace;
mod restart;
mod start;
mod stop;
mod successor;
mod trouble;
mod watch;
mod workers;

pub(crate) use adjust::Adjust;

use std::cell::Cell;
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, watch as channel};
use vestibule_config::{OnExit, Process, Start};

use crate::alert::{Alert, Occasion};
use crate::command::{Ask, Handle, Outcome};
use crate::error::Error;
use crate::flapping::Flapping;
use crate::members::Members;
use crate::output::Output;
use crate::status::{Failure, Phase, Release, Status, Wish};
use crate::traffic::Traffic;

use adjust::Settings;
use app::App;
use desk::{Desk, Taken};
use fallen::Fallen;
use trouble::Trouble;

/// Commands on their way to a keeper.
const MOST_ASKS: usize = 16;

/// Between two looks at the numbers of the traffic.
const COUNTS: Duration = Duration::from_millis(500);

/// At the end, so long may it take to tell what happened last.
const LAST_ALERTS: Duration = Duration::from_secs(10);

/// What a keeper has beside its application.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The Unix socket that the traffic goes to, if it does and that is one.
    pub socket: Option<PathBuf>,
    /// Where it keeps what has to outlive us: which process is its own, and its output.
    pub directory: PathBuf,
    /// Held by the one application of all that is restarted because its life was long enough. That can wait for another's; who
    /// takes too much, or does not answer, cannot.
    pub turn: Arc<Semaphore>,
}

/// How a keeper ends, for its application: mostly with Vestibule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Each as its `on_exit` says.
    AsConfigured,
    /// The same, and nothing is waited for any more.
    AtOnce,
    /// All of them go on.
    Leave,
    /// The same; and the second of two that replace each other does not get the time to end.
    LeaveAtOnce,
    /// It is kept no more, while Vestibule goes on: as its `on_exit` says, after what is under way with it.
    Dismissed,
    /// It is kept no more, and goes on, after what is under way with it.
    HandedOver,
}

impl Ending {
    /// Whether the keeper is to end now, where it does this: a restart is not cut in the middle because a configuration changed.
    fn is_due(self, task: &Task) -> bool {
        !matches!(self, Ending::Dismissed | Ending::HandedOver) || *task == Task::Watch
    }
}

/// Keeps one application.
#[derive(Debug)]
pub struct Keeper<T> {
    process: Process,
    around: Surroundings,
    traffic: T,
    status: channel::Sender<Status>,
    asks: Option<mpsc::Receiver<Ask>>,
    /// Other settings, when there are any.
    settings: channel::Receiver<Option<Settings>>,
    wish: Rc<Cell<Wish>>,
    /// The application, as far as it is known.
    app: Option<App>,
    /// The one that is to take its place, while it is being replaced.
    second: Option<App>,
    /// One that ended by itself, until everything was done about it.
    fallen: Option<Fallen>,
    /// A command of the operator's that runs, with all that it started.
    command: Option<Members>,
    flapping: Flapping,
    /// Before this it is not started again.
    next_try: Option<Instant>,
    /// The last release that answered.
    good: Option<Release>,
    alerts: Option<Alert>,
    output: Output,
    /// How often it was started.
    starts: u64,
    watched: watch::Watched,
}

/// What a keeper does.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Task {
    Watch,
    Start,
    Stop,
    Restart(Reason),
}

/// Why an application is restarted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reason {
    /// Somebody wants it.
    Asked,
    /// What was noticed, for the log.
    Noticed(String),
    /// It does not answer any more, so that it is not asked to restart itself.
    Hangs(String),
}

impl<T: Traffic> Keeper<T> {
    /// A keeper of `process`, and what others have of it.
    ///
    /// # Errors
    /// [`Error::Output`] when its output cannot be followed, [`Error::NoAlert`] when the command of its alerts is empty.
    pub fn new(process: Process, around: Surroundings, traffic: T) -> Result<(Self, Handle), Error> {
        let wish = if process.is_started { Wish::Up } else { Wish::Alone };
        let (status, seen) = channel::channel(Status::new(&process.name, process.is_owned(), wish));
        let (asks, received) = mpsc::channel(MOST_ASKS);
        let (adjust, settings) = Adjust::new();
        let keeper = Keeper {
            flapping: Flapping::new(&process.flapping),
            alerts: process.alert.as_ref().map(|command| Alert::start(&process.name, command)).transpose()?,
            watched: watch::Watched::new(&process),
            output: Output::new(&process.name, &around.directory, &process.output)?,
            starts: 0,
            around,
            traffic,
            status,
            asks: Some(received),
            settings,
            wish: Rc::new(Cell::new(wish)),
            app: None,
            second: None,
            fallen: None,
            command: None,
            next_try: None,
            good: None,
            process,
        };
        let handle = Handle::new(asks, seen).with_output(keeper.output.clone()).adjusted_by(adjust);
        Ok((keeper, handle))
    }

    /// Keeps it until `ending` says that Vestibule ends; then stops it or leaves it.
    pub async fn run(mut self, mut ending: channel::Receiver<Option<Ending>>) {
        let Some(asks) = self.asks.take() else { return };
        let wish = Rc::clone(&self.wish);
        let mut desk = Desk::new(asks, wish);
        let mut counts = pin!(show_counts(self.traffic.clone(), self.status.clone()));
        let status = self.status.clone();
        let mut settings = self.settings.clone();
        loop {
            if let Some(Settings { process, around }) = settings.borrow_and_update().clone() {
                self.adjust(process, around, &desk);
            }
            let task = match desk.next() {
                Some(task) => {
                    if matches!(task, Task::Start | Task::Restart(Reason::Asked)) {
                        // Whoever asks may have mended what it died of.
                        self.flapping.forget();
                    }
                    task
                }
                None => self.next(),
            };
            let mut next = None;
            let outcome = {
                let mut flow = pin!(self.perform(task.clone()));
                loop {
                    tokio::select! {
                        biased;
                        _ = ending.wait_for(|how| how.is_some_and(|how| how.is_due(&task))) => break None,
                        Ok(()) = settings.changed(), if task == Task::Watch => break None,
                        (outcome, noticed) = &mut flow => {
                            next = noticed;
                            break outcome;
                        }
                        Some(ask) = desk.receive() => {
                            let taken = desk.take(ask, &task);
                            note_wish(&status, desk.wish());
                            if taken == Taken::Now {
                                break None;
                            }
                        }
                        () = &mut counts => {}
                    }
                }
            };
            let is_ending = *ending.borrow_and_update();
            if let Some(how) = is_ending {
                self.end(how, &mut ending).await;
                return;
            }
            desk.done(outcome);
            if let Some(noticed) = next {
                desk.begin(noticed);
            }
        }
    }

    /// What is to be done when nobody asks for anything.
    fn next(&self) -> Task {
        let is_wanted = self.wish.get() == Wish::Up && self.app.is_none() && self.can_start();
        let is_time = self.next_try.is_none_or(|time| Instant::now() >= time);
        // Before the one that ended is seen to, it is not known when the next may start.
        if is_wanted && is_time && self.fallen.is_none() { Task::Start } else { Task::Watch }
    }

    /// Whether it can be started at all, by us or at our request.
    fn can_start(&self) -> bool {
        !matches!(self.process.start, Start::Adopted { command: None })
    }

    /// Does it; what came of it, and what is to be done next because of what was noticed.
    async fn perform(&mut self, task: Task) -> (Option<Outcome>, Option<Task>) {
        let began = Instant::now();
        let is_unasked = matches!(task, Task::Restart(Reason::Noticed(_) | Reason::Hangs(_)));
        let result = match task {
            Task::Watch => return (None, self.watch().await),
            Task::Start => self.start().await,
            Task::Stop => self.stop().await,
            Task::Restart(reason) => self.restart(reason).await,
        };
        // Whatever came of it, it is another's turn.
        self.watched.turn = None;
        if is_unasked && matches!(result, Err(Trouble::Refused(_))) {
            // Or it would be noticed again the next second, and be refused again.
            self.watched.begin_again(self.traffic.answers());
        }
        let outcome = match result {
            Ok(words) => {
                self.event(&format!("{words} ({:.1} s)", began.elapsed().as_secs_f32()));
                Outcome::Done(words)
            }
            Err(trouble) => self.trouble(trouble),
        };
        (Some(outcome), None)
    }

    /// Vestibule ends.
    async fn end(&mut self, how: Ending, ending: &mut channel::Receiver<Option<Ending>>) {
        let is_left = matches!(how, Ending::Leave | Ending::LeaveAtOnce | Ending::HandedOver);
        let is_stopped = !is_left && self.process.on_exit == OnExit::Stop;
        // Alone because somebody wanted it so, and not because nobody says how to start it.
        let is_alone = self.wish.get() == Wish::Alone && self.process.is_started;
        let hurry = ending.wait_for(|how| matches!(how, Some(Ending::AtOnce | Ending::LeaveAtOnce)));
        if is_stopped && !is_alone {
            // It may be there without our having looked yet.
            if let Err(trouble) = self.look() {
                self.trouble(trouble);
            }
            let stopped = tokio::select! {
                biased;
                stopped = self.stop_all() => Some(stopped),
                _ = hurry => None,
            };
            match stopped {
                Some(Ok(())) => self.event("stopped"),
                Some(Err(trouble)) => _ = self.trouble(trouble),
                None => self.kill(),
            }
        } else {
            // Of two that replace each other one goes on.
            let dropped = tokio::select! {
                biased;
                dropped = self.drop_second() => Some(dropped),
                _ = hurry => None,
            };
            match dropped {
                Some(Ok(())) => {}
                Some(Err(trouble)) => _ = self.trouble(trouble),
                None => self.kill_second(),
            }
            if let Some(app) = &self.app {
                tracing::info!(process = self.process.name, pid = app.pid(), "left running");
            }
        }
        if let Some(alerts) = self.alerts.take() {
            alerts.finish(LAST_ALERTS).await;
        }
    }

    /// What came of a task that did not do what was wanted, after it was told to everybody who should know.
    fn trouble(&self, trouble: Trouble) -> Outcome {
        match trouble {
            Trouble::Already(words) => Outcome::Already(words),
            Trouble::Refused(words) => {
                tracing::warn!(process = self.process.name, "{words}");
                Outcome::Refused(words)
            }
            Trouble::Failed(failure) => {
                let words = failure.words.clone();
                self.failed(failure);
                Outcome::Failed(words)
            }
        }
    }

    /// It is loud about a failure: in the log, in the status, to the hook.
    fn failed(&self, failure: Failure) {
        let release = failure.release.as_ref().map(|release| release.directory.display().to_string());
        tracing::error!(
            process = self.process.name,
            release,
            output = failure.output.join("\n"),
            "{}",
            failure.words
        );
        self.alert("failed", &failure.words);
        self.status.send_modify(|status| {
            status.record(failure.words.clone());
            status.last_failure = Some(failure);
        });
    }

    /// Tells the operator's hook.
    fn alert(&self, event: &'static str, words: &str) {
        let Some(alerts) = &self.alerts else { return };
        let status = self.status.borrow();
        let facts = [
            ("phase", Some(status.phase.as_str().to_owned())),
            ("pid", status.pid.map(|pid| pid.to_string())),
            ("next_try", status.next_try.map(|when| when.to_string())),
            ("release", status.release.as_ref().map(|release| release.directory.display().to_string())),
        ];
        let facts = facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        alerts.tell(Occasion { event, message: words.to_owned(), facts });
    }

    fn event(&self, words: &str) {
        tracing::info!(process = self.process.name, "{words}");
        self.status.send_modify(|status| status.record(words.to_owned()));
    }

    fn phase(&self) -> Phase {
        self.status.borrow().phase
    }

    fn enter(&self, phase: Phase) {
        self.status.send_if_modified(|status| {
            let is_new = status.phase != phase;
            if is_new {
                status.phase = phase;
                status.next_try = None;
                status.since = crate::status::now();
            }
            is_new
        });
    }

    /// It died or did not start: when it may be started again, if that is ours to do.
    fn pause(&mut self) -> Duration {
        // It may be that nobody wants it started again any more.
        if !self.can_start() || self.wish.get() != Wish::Up {
            self.next_try = None;
            self.enter(Phase::Down);
            return Duration::ZERO;
        }
        let now = Instant::now();
        let pause = self.flapping.died(now).unwrap_or(Duration::ZERO);
        self.next_try = Some(now + pause);
        self.enter(Phase::Waiting);
        let next = crate::status::now() + pause.as_secs();
        self.status.send_modify(|status| status.next_try = Some(next));
        if !pause.is_zero() {
            let words = format!("flapping: started again in {} s", pause.as_secs());
            tracing::error!(process = self.process.name, "{words}");
            self.alert("flapping", &words);
            self.status.send_modify(|status| status.record(words));
        }
        pause
    }
}

/// Keeps the numbers of the traffic up to date, whatever else is done: they matter most while the application is away.
/// Never ends.
async fn show_counts(traffic: impl Traffic, status: channel::Sender<Status>) {
    loop {
        // Numbers that change all the time are no news.
        status.send_if_modified(|status| {
            (status.in_flight, status.waiting) = (traffic.in_flight(), traffic.waiting());
            false
        });
        tokio::time::sleep(COUNTS).await;
    }
}

fn note_wish(status: &channel::Sender<Status>, wish: Wish) {
    status.send_if_modified(|status| std::mem::replace(&mut status.wish, wish) != wish);
}
