//! Starting an application, and knowing when it is there: when it answers, not when it has a PID or a socket.

use std::path::Path;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use vestibule_config::Start;

use super::Keeper;
use super::app::App;
use super::crash_loop::crash_loop;
use super::fallen::Fallen;
use super::find::{Found, follow_the_listener};
use super::successor::predecessor_of;
use super::trouble::Trouble;
use crate::exit;
use crate::identity;
use crate::launch::{Launch, Places, Prepared};
use crate::life::Life;
use crate::members::MEMBER_OF;
use crate::pid_file::PidFile;
use crate::place::Place;
use crate::status::{Failure, Phase, Release};
use crate::traffic::Traffic;
use crate::vacancy;

/// Between two questions whether it is there.
const ASK: Duration = Duration::from_millis(50);
/// Longest that one question may take: an application under load answers late.
const ANSWER: Duration = Duration::from_secs(10);
/// Without traffic, a process that lives so long has started.
const LIVES: Duration = Duration::from_secs(1);
/// An application that answers nothing but errors for so long is there all the same.
const NOTHING_BUT_ERRORS: Duration = Duration::from_secs(5);
/// When the process that we started has ended well: so long may the one that it left behind take to write its PID file.
const DAEMONISES: Duration = Duration::from_secs(10);
/// Lines of its output that are looked at for a failure, which is told with fewer: a trace of Rails has a hundred.
pub(super) const LAST_LINES: usize = 400;

/// Longest that looking up a user may take for the words about a failure.
const LOOKED_UP: Duration = Duration::from_secs(5);

/// How waiting for an application ended.
#[derive(Debug)]
pub(super) enum Wait {
    /// It answers.
    Answers,
    /// It answers, with errors only: this status.
    Errs(u16),
    /// It ended. The status is known of our children only.
    Ended(Option<ExitStatus>),
    /// Its workers end while they boot, one after the other.
    Crashes,
    /// Nothing came in time; the last try's words.
    Silent(String),
}

impl<T: Traffic> Keeper<T> {
    /// It is to run, whoever starts it.
    pub(super) async fn start(&mut self) -> Result<String, Trouble> {
        self.look()?;
        self.finish_what_was_begun().await?;
        if self.app.is_none() {
            self.see_to_the_fallen().await;
        }
        if let Some(app) = &mut self.app {
            // It may still boot, begun by an earlier Vestibule or by a start that was interrupted.
            let wait = until_it_answers(&self.traffic, app, None, self.process.start_timeout).await;
            if let Wait::Answers | Wait::Errs(_) = wait {
                let pid = app.pid();
                self.up().await;
                return Err(Trouble::Already(format!("runs, pid {pid}")));
            }
            let trouble = self.did_not_answer(&wait).await;
            if !self.can_start() {
                // Who is stopped would never come back. It may still answer.
                if self.app.as_ref().is_some_and(App::is_alive) {
                    self.up().await;
                } else {
                    self.app = None;
                    self.gone();
                    self.enter(Phase::Down);
                }
                return Err(Trouble::Failed(trouble));
            }
            if let Err(trouble) = self.stop_all().await {
                self.go_on().await;
                return Err(trouble);
            }
            self.failed(trouble);
        }
        self.enter(Phase::Starting);
        // Whoever comes waits for it, also after a stop.
        self.traffic.hold().await;
        let result = self.boot().await;
        if let Ok(wait @ Wait::Errs(_)) = &result {
            // It runs as was wanted, but not unnoticed.
            let failure = self.did_not_answer(wait).await;
            self.failed(failure);
        }
        self.settle(result.is_err()).await;
        result?;
        let pid = self.app.as_ref().map_or(0, App::pid);
        Ok(format!("started, pid {pid}"))
    }

    /// What a start or a restart ends in: up, if anything runs, also the old code or the release before; else down, until the next try
    /// where it failed.
    pub(super) async fn settle(&mut self, has_failed: bool) {
        if self.app.as_ref().is_some_and(App::is_alive) {
            return self.up().await;
        }
        if let Some(app) = self.app.take() {
            self.fallen = Some(Fallen::told(app));
        }
        self.gone();
        // The traffic finds out by itself that nobody is there, and waits for that.
        self.traffic.release().await;
        self.enter(Phase::Down);
        // Also when it could not even be tried: who is in the way may go.
        if has_failed {
            self.pause();
        }
    }

    /// A Vestibule before us may have been killed in the middle of a restart that leaves two of them.
    async fn finish_what_was_begun(&mut self) -> Result<(), Trouble> {
        if !self.process.is_owned() {
            return Ok(());
        }
        if self.is_being_succeeded() {
            self.event("a restart was under way");
            self.enter(Phase::Restarting);
            match self.be_succeeded(&[]).await {
                Err(Trouble::Failed(failure)) => self.failed(failure),
                other => _ = other?,
            }
            return self.look();
        }
        self.drop_left_over().await
    }

    /// Has it started by whoever does that. With an error and `self.app` it was rolled back.
    pub(super) async fn boot(&mut self) -> Result<Wait, Trouble> {
        match self.process.start.clone() {
            Start::Owned(_) => self.start_or_roll_back().await,
            Start::Adopted { command: Some(command) } => self.have_started(&command).await,
            Start::Adopted { command: None } => Err(Trouble::Refused(format!(
                "is not ours to start: start it where that is done (requests wait for it), or write its `command` or \
                 `start_command`{}",
                self.whom_it_names()
            ))),
        }
    }

    /// Starts what lies in its directory now; when that does not boot and another release did before, that one.
    async fn start_or_roll_back(&mut self) -> Result<Wait, Trouble> {
        match self.start_release(None).await {
            Err(Trouble::Failed(mut failure)) => {
                self.roll_back(&mut failure).await;
                Err(Trouble::Failed(failure))
            }
            other => other,
        }
    }

    /// Starts the last release that answered, if it lies in another directory than the one that failed and is still there;
    /// what came of it is added to the failure. Whether it was tried.
    pub(super) async fn roll_back(&mut self, failure: &mut Failure) -> bool {
        let failed = failure.release.as_ref().map(|release| &release.directory);
        // The same directory has the same code, whatever its REVISION said before.
        let good = self.good.clone().filter(|good| Some(&good.directory) != failed);
        let Some(good) = good.filter(|good| good.directory.is_dir()) else { return false };
        self.event(&format!("{}: rolling back to {good}", failure.words));
        let how = match self.start_release(Some(&good.directory)).await {
            Ok(Wait::Errs(_)) => "which runs again, and answers only errors",
            Ok(_) => "which runs again",
            Err(_) => "which does not start any more",
        };
        failure.words = format!("{}; rolled back to {good}, {how}", failure.words);
        true
    }

    /// Starts it in this directory, or its own, and waits until it answers.
    async fn start_release(&mut self, directory: Option<&Path>) -> Result<Wait, Trouble> {
        let place = self.first_place();
        self.make_room(&place).await?;
        self.app = Some(self.spawn(&place, directory).await?);
        self.show();
        let is_replacing = place != self.public();
        let Some(app) = &mut self.app else { return Err(Trouble::failed("ended")) };
        let socket = place.socket.as_deref().filter(|_| is_replacing);
        let mut wait = until_it_answers(&self.traffic, app, socket, self.process.start_timeout).await;
        if let Wait::Ended(Some(status)) = &wait
            && status.success()
            && self.find_daemon().await
            && let Some(app) = &mut self.app
        {
            wait = until_it_answers(&self.traffic, app, socket, self.process.start_timeout).await;
        }
        match wait {
            // Of one that answers only errors nobody can say whether it will do better, and it may be meant to: it runs.
            Wait::Answers | Wait::Errs(_) => {}
            Wait::Ended(_) | Wait::Crashes | Wait::Silent(_) => {
                let failure = self.did_not_answer(&wait).await;
                self.stop_all().await?;
                return Err(Trouble::Failed(failure));
            }
        }
        if let Some(app) = &mut self.app {
            follow_the_listener(app);
            self.write_down();
        }
        if is_replacing {
            self.public().lead_to(&place).map_err(|error| {
                Trouble::failed(format!("the socket cannot be made to lead to the new instance: {error}"))
            })?;
        }
        Ok(wait)
    }

    /// Starts a process at `place`, and that is all.
    pub(super) async fn spawn(&mut self, place: &Place, directory: Option<&Path>) -> Result<App, Trouble> {
        let Start::Owned(command) = &self.process.start else {
            return Err(Trouble::Refused("is not ours to start".to_owned()));
        };
        self.starts += 1;
        let launch = self.launch(command, place, directory)?;
        let elsewhere = directory.map(Path::to_owned);
        let directory = elsewhere.clone().or_else(|| self.directory());
        let release = directory.and_then(|directory| Release::of(&directory));
        let (life, exit) = exit::spawn(&mut prepare(launch).await?.command)?;
        self.status.send_modify(|status| status.starts += 1);
        let mut app = App::new(&self.member_name(), exit, place.clone(), release);
        app.directory = elsewhere;
        self.write_down_as(&life, &[], app.directory.as_deref());
        Ok(app)
    }

    /// Which process is ours, for a Vestibule after us: the one in front, or the one that is to take its place.
    pub(super) fn write_down(&self) {
        if let Some(app) = self.second.as_ref().or(self.app.as_ref()) {
            self.write_down_as(&app.master, &app.members.left_over(), app.directory.as_deref());
        }
    }

    fn write_down_as(&self, life: &Life, beside: &[Life], directory: Option<&Path>) {
        if let Err(error) = self.record().write(life, beside, directory) {
            tracing::warn!(process = self.process.name, %error, "cannot write down which process is ours");
        }
    }

    /// `command`, as the application is started: its directory, user, environment.
    pub(super) fn launch(
        &self,
        command: &[String],
        place: &Place,
        directory: Option<&Path>,
    ) -> Result<Launch, Trouble> {
        let places = Places {
            name: self.process.name.clone(),
            socket: place.socket.clone(),
            pid_file: place.pid_file.clone(),
        };
        // `{directory}` is where this start is to run, which for an earlier release is not what is written.
        let mut process = self.process.clone();
        process.directory = directory.map(Path::to_owned).or(process.directory);
        let launch = Launch::of(&process, command, &places);
        let launch = launch.ok_or_else(|| Trouble::Refused("its command is empty".to_owned()))?;
        Ok(launch.output(&self.output).variable(MEMBER_OF, self.member_name()))
    }

    /// What the environment of all that belong to the present start says.
    pub(super) fn member_name(&self) -> String {
        format!("{}/{}/{}", self.process.name, std::process::id(), self.starts)
    }

    /// The place that it is started at: with `restart = "replace"` one of two.
    fn first_place(&self) -> Place {
        let public = self.public();
        if self.is_replaced() { public.instance(public.present().unwrap_or(1)) } else { public }
    }

    /// Nobody may be robbed of a socket; one that is left over goes. So does a PID file: whoever it names is something else, and a
    /// server that finds him alive takes him for itself, and does not start.
    pub(super) async fn make_room(&self, place: &Place) -> Result<(), Trouble> {
        let public = self.public();
        for socket in [&place.socket, &public.socket].into_iter().flatten() {
            vacancy::vacate(socket).await?;
        }
        if let Err(error) = public.withdraw() {
            tracing::warn!(process = self.process.name, %error, "a link that leads to nothing is in the way");
        }
        for path in [&place.pid_file, &public.pid_file].into_iter().flatten() {
            PidFile::new(path).clear()?;
        }
        Ok(())
    }

    /// It put itself into the background: whether its daemon was found.
    async fn find_daemon(&mut self) -> bool {
        let end = Instant::now() + DAEMONISES.min(self.process.start_timeout);
        while Instant::now() < end {
            if let Found::It(life) = self.find()
                && self.app.as_ref().is_none_or(|app| app.pid() != life.pid)
            {
                let before = self.app.take();
                return self.adopt(life, before).is_ok();
            }
            tokio::time::sleep(ASK).await;
        }
        false
    }

    /// Has it started by somebody else.
    async fn have_started(&mut self, command: &[String]) -> Result<Wait, Trouble> {
        let end = Instant::now() + self.process.start_timeout;
        self.run_command(command, self.process.start_timeout).await?;
        loop {
            self.look()?;
            if let Some(app) = &mut self.app {
                let left = end.saturating_duration_since(Instant::now());
                let wait = until_it_answers(&self.traffic, app, None, left).await;
                if matches!(wait, Wait::Answers | Wait::Errs(_)) {
                    return Ok(wait);
                }
                let failure = self.did_not_answer(&wait).await;
                self.app = None;
                return Err(Trouble::Failed(failure));
            }
            if Instant::now() >= end {
                let time = self.process.start_timeout.as_secs();
                return Err(Trouble::failed(format!(
                    "nobody was there {time} s after {}",
                    command.join(" ")
                )));
            }
            tokio::time::sleep(ASK).await;
        }
    }

    /// It answers: the traffic goes there, and what others go by is put right.
    pub(super) async fn up(&mut self) {
        self.traffic.release().await;
        self.next_try = None;
        // One that was taken up while it booted may have been the script in front of it.
        if let Some(app) = self.app.as_mut().filter(|_| self.process.is_owned()) {
            let before = app.master;
            follow_the_listener(app);
            if !app.master.is_same_process(&before) {
                self.write_down();
            }
        }
        if let Some(app) = &mut self.app {
            // The program that answers, and not the one that it began as.
            app.master = app.master.now().unwrap_or(app.master);
            app.members.update();
            // One that answers only errors is nothing to go back to.
            if app.is_proved {
                self.good = app.release.clone().or(self.good.take());
            }
        }
        self.write_pid_file();
        self.enter(Phase::Up);
        self.show();
        self.watched.begin(self.traffic.answers());
    }

    /// The PID file of what we started names it, whether the server writes one or not.
    pub(super) fn write_pid_file(&self) {
        let (Some(app), Some(path)) = (&self.app, &self.process.pid_file) else { return };
        if !self.process.is_owned() || predecessor_of(path).is_some() {
            return;
        }
        let file = PidFile::new(path);
        if file.read().ok().flatten() != Some(app.pid())
            && let Err(error) = file.write_for(&app.master)
        {
            tracing::warn!(process = self.process.name, error = error.in_full(), "PID file");
        }
    }

    /// What there is to tell of an application that did not come.
    pub(super) async fn did_not_answer(&self, wait: &Wait) -> Failure {
        let app = self.second.as_ref().or(self.app.as_ref());
        let denied = match app.filter(|_| self.process.is_owned()) {
            Some(app) => {
                denied(self.process.user.clone(), self.process.group.clone(), app.place.clone()).await
            }
            None => None,
        };
        let words = match wait {
            Wait::Ended(Some(status)) => format!("ended before it answered: {status}"),
            Wait::Ended(None) => "ended before it answered".to_owned(),
            Wait::Crashes => "its workers end while they boot".to_owned(),
            Wait::Silent(words) => {
                let time = self.process.start_timeout.as_secs();
                format!("no answer within {time} s (start_timeout): {words}")
            }
            Wait::Errs(status) => format!("answers only errors: status {status}"),
            Wait::Answers => "answers".to_owned(),
        };
        let words = match denied {
            Some(why) => format!("{words}; {why}"),
            None => words,
        };
        let release = app.and_then(|app| app.release.clone());
        Failure::new(words, release, self.output.last_lines(LAST_LINES).await)
    }
}

/// Why its user cannot have its socket or its PID file at this place, if that is so and shows in time. Servers put it in many ways.
async fn denied(user: Option<String>, group: Option<String>, place: Place) -> Option<String> {
    // The name service and the disk may take their time, and everything else of the control thread would stand behind them.
    let found = tokio::task::spawn_blocking(move || {
        let identity = identity::resolve(user.as_deref(), group.as_deref()).ok()?.identity?;
        let paths = [("socket", &place.socket), ("PID file", &place.pid_file)];
        paths.into_iter().find_map(|(what, path)| {
            let directory = path.as_ref()?.parent()?;
            (!identity.may_write_to(directory)).then(|| {
                format!(
                    "user {} may not write to {}, where its {what} belongs",
                    identity.name,
                    directory.display()
                )
            })
        })
    });
    tokio::time::timeout(LOOKED_UP, found).await.ok()?.ok()?
}

/// Looks up what a start needs on a thread that may wait for the disk and for the name service.
pub(super) async fn prepare(launch: Launch) -> Result<Prepared, Trouble> {
    let prepared = tokio::task::spawn_blocking(move || launch.prepare()).await;
    Ok(prepared.map_err(|error| Trouble::failed(error.to_string()))??)
}

/// Waits until an application answers at `socket`, or where its traffic goes, with something that does not say that it is broken.
pub(super) async fn until_it_answers<T: Traffic>(
    traffic: &T,
    app: &mut App,
    socket: Option<&Path>,
    within: Duration,
) -> Wait {
    let end = Instant::now() + within;
    let mut errs_since: Option<Instant> = None;
    app.is_proved = false;
    let has_traffic = app.place.socket.is_some() || traffic.has_upstream();
    let mut crashes = pin!(crash_loop(app.pid()));
    loop {
        let asked = async {
            if !has_traffic {
                tokio::time::sleep(LIVES).await;
                return Ok(200);
            }
            let left = end.saturating_duration_since(Instant::now());
            traffic.probe(socket, left.clamp(ASK, ANSWER)).await
        };
        let answer = tokio::select! {
            status = app.exit.ended() => return Wait::Ended(status),
            () = &mut crashes => return Wait::Crashes,
            answer = asked => answer,
        };
        let why = match answer {
            Ok(status) if traffic.is_good(status) => {
                app.is_proved = true;
                return Wait::Answers;
            }
            Ok(status) => {
                let since = *errs_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= NOTHING_BUT_ERRORS || Instant::now() >= end {
                    return Wait::Errs(status);
                }
                String::new()
            }
            Err(words) => {
                errs_since = None;
                words
            }
        };
        if Instant::now() >= end {
            return Wait::Silent(why);
        }
        tokio::select! {
            status = app.exit.ended() => return Wait::Ended(status),
            () = &mut crashes => return Wait::Crashes,
            () = tokio::time::sleep(ASK) => {}
        }
    }
}
