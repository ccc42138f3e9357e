//! Watching an application that runs, or waiting for one that does not.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use vestibule_config::Process;

use super::app::App;
use super::find::Found;
use super::trouble::Trouble;
use super::{Keeper, Reason, Task};
use crate::answer::Answers;
use crate::check::Verdict;
use crate::cpu::Cpu;
use crate::cycle::{Cycle, Due};
use crate::life::Life;
use crate::memory::{Glance, Reading};
use crate::pid_file::PidFile;
use crate::profile::{Profile, Recycle};
use crate::recognise::{self, Kind};
use crate::relief::{Relief, Step};
use crate::status::{Phase, Wish, Worker};
use crate::traffic::Traffic;
use crate::tree::Tree;

/// Between two looks when nothing is to be done sooner.
const TICK: Duration = Duration::from_secs(1);
/// Between two looks at all processes of the machine for those that belong to it.
const MEMBERS: Duration = Duration::from_secs(5);
/// Between two readings of memory that is shown and not judged.
const SHOWN: Duration = Duration::from_secs(30);
/// So long is a PID file gone that somebody removed.
const LOST: Duration = Duration::from_secs(3);
/// Longest that a command which recycles a worker may take.
const COMMAND: Duration = Duration::from_secs(30);

/// What is measured of an application that runs.
#[derive(Debug)]
pub(super) struct Watched {
    memory: Option<Relief<Life>>,
    /// Whether it is being restarted because of its memory.
    is_for_memory: bool,
    cpu: Cpu,
    judges_cpu: bool,
    answers: Option<Answers>,
    cycle: Option<Cycle>,
    /// A question on its way, and what the traffic had been answered before it.
    asked: Option<(JoinHandle<Result<Duration, String>>, u64)>,
    /// Memory being read.
    reading: Option<JoinHandle<(Tree, Reading, bool)>>,
    last_tick: Option<Instant>,
    last_shown: Option<Instant>,
    /// When its members were last looked for.
    last_members: Option<Instant>,
    /// Since when there is no PID file.
    lost_pid_file: Option<Instant>,
    /// And whether that was told.
    misses_pid_file: bool,
    /// Its turn to be restarted because its life was long enough.
    pub(super) turn: Option<OwnedSemaphorePermit>,
}

impl Watched {
    pub(super) fn new(process: &Process) -> Self {
        Watched {
            memory: process.memory.as_ref().map(Relief::new),
            is_for_memory: false,
            cpu: Cpu::new(&process.cpu.unwrap_or(vestibule_config::CpuCheck {
                above: u32::MAX,
                every: Duration::from_secs(10),
                times: vestibule_config::Times::default(),
            })),
            judges_cpu: process.cpu.is_some(),
            answers: process.answer.as_ref().map(Answers::new),
            cycle: process.cycle.as_ref().map(|rule| Cycle::new(rule, fastrand::u64(..))),
            asked: None,
            reading: None,
            last_tick: None,
            last_shown: None,
            last_members: None,
            lost_pid_file: None,
            misses_pid_file: false,
            turn: None,
        }
    }

    /// Goes by other settings. What is watched as before goes on with what it has seen.
    pub(super) fn follow(&mut self, before: &Process, process: &Process, answers: u64) {
        let new = Watched::new(process);
        if before.memory != process.memory {
            (self.memory, self.reading) = (new.memory, None);
        }
        if before.cpu != process.cpu {
            (self.cpu, self.judges_cpu) = (new.cpu, new.judges_cpu);
        }
        if before.answer != process.answer {
            (self.answers, self.asked) = (new.answers, None);
        }
        if before.cycle != process.cycle {
            self.cycle = new.cycle;
            if let Some(cycle) = &mut self.cycle {
                cycle.begin(Instant::now(), answers);
            }
        }
        // The PID file may be another.
        (self.lost_pid_file, self.misses_pid_file) = (None, false);
    }

    /// Another life of the application begins.
    pub(super) fn begin(&mut self, answers: u64) {
        let is_for_memory = std::mem::take(&mut self.is_for_memory);
        match &mut self.memory {
            Some(memory) if is_for_memory => memory.restarted(),
            Some(memory) => memory.forget(),
            None => {}
        }
        self.cpu.forget();
        if let Some(judge) = &mut self.answers {
            judge.forget();
        }
        if let Some(cycle) = &mut self.cycle {
            cycle.begin(Instant::now(), answers);
        }
        self.asked = None;
        self.reading = None;
        self.turn = None;
        self.last_shown = None;
    }

    /// It was not restarted after all, and goes on: what was noticed has to be noticed anew.
    pub(super) fn begin_again(&mut self, answers: u64) {
        self.is_for_memory = false;
        self.begin(answers);
    }

    /// Until there is something to do.
    fn pause(&self) -> Duration {
        let now = Instant::now();
        let tick = self.last_tick.map_or(Duration::ZERO, |last| TICK.saturating_sub(now - last));
        let memory = self.memory.as_ref().filter(|_| self.reading.is_none()).map(|memory| memory.next(now));
        tick.min(memory.unwrap_or(TICK))
    }
}

impl<T: Traffic> Keeper<T> {
    /// Watches it until something is to be done, which is what it gives; `None` when [`Keeper::next`] should decide.
    pub(super) async fn watch(&mut self) -> Option<Task> {
        loop {
            if self.app.is_some() && self.wish.get() != Wish::Down && self.phase() != Phase::Up {
                // Whoever found it, or was about to stop it, got no further.
                self.up().await;
            }
            let Some(app) = &mut self.app else {
                if self.is_fallen() {
                    self.see_to_the_fallen().await;
                    return None;
                }
                if self.wait_for_one().await {
                    continue;
                }
                return None;
            };
            let pause = self.watched.pause();
            let asked = self.watched.asked.as_mut().map(|(task, _)| task);
            let reading = self.watched.reading.as_mut();
            tokio::select! {
                status = app.exit.ended() => {
                    self.died(status).await;
                    return None;
                }
                answer = ready(asked) => {
                    let before = self.watched.asked.take().map_or(0, |(_, before)| before);
                    let answer = answer.unwrap_or_else(|error| Err(error.to_string()));
                    if let Some(task) = self.judge_answer(answer, before) {
                        return Some(task);
                    }
                }
                read = ready(reading) => {
                    self.watched.reading = None;
                    if let Ok((tree, reading, is_pss)) = read
                        && let Some(task) = self.judge_memory(&tree, reading, is_pss).await
                    {
                        return Some(task);
                    }
                }
                () = tokio::time::sleep(pause) => {
                    if let Some(task) = self.tick() {
                        return Some(task);
                    }
                }
            }
        }
    }

    /// Nobody is there: until it is time to start it, or somebody has. Whether there is one to watch now.
    async fn wait_for_one(&mut self) -> bool {
        if self.wish.get() != Wish::Up {
            self.next_try = None;
            self.enter(Phase::Down);
        }
        let starts_itself = self.process.is_owned() && self.wish.get() == Wish::Up;
        match self.next_try {
            Some(time) if self.wish.get() == Wish::Up => {
                tokio::time::sleep(time.saturating_duration_since(Instant::now()).min(TICK)).await;
            }
            _ if starts_itself => return false,
            _ => tokio::time::sleep(TICK).await,
        }
        if self.wish.get() != Wish::Down
            && matches!(self.find(), Found::It(_))
            && self.look().is_ok()
            && self.app.is_some()
        {
            let pid = self.app.as_ref().map_or(0, App::pid);
            self.event(&format!("found, pid {pid}"));
            self.up().await;
            return true;
        }
        let is_time = self.next_try.is_some_and(|time| Instant::now() >= time);
        !(is_time && self.wish.get() == Wish::Up)
    }

    /// Once a second, or when memory is to be looked at.
    fn tick(&mut self) -> Option<Task> {
        let now = Instant::now();
        let app = self.app.as_mut()?;
        let is_watched = self.wish.get() == Wish::Up;
        let tree = app.tree();
        if is_watched
            && self.watched.reading.is_none()
            && let Some(memory) = &mut self.watched.memory
            && memory.next(now).is_zero()
        {
            let resident = tree.members().iter().map(|member| member.rss).sum();
            if memory.glance(now, resident) == Glance::ReadAll {
                self.watched.reading = Some(read_memory(tree.clone()));
            }
        }
        if self.watched.last_tick.is_some_and(|last| now - last < TICK) {
            return None;
        }
        self.watched.last_tick = Some(now);
        // Who left its tree is found this late at most: at its end, and at each stop, they are looked for anyway.
        if self.watched.last_members.is_none_or(|last| now - last >= MEMBERS) {
            self.watched.last_members = Some(now);
            app.members.update();
        }
        app.kind_in(&tree);
        if let Some(life) = Life::of(app.master.pid)
            && life != app.master
            && life.is_same_process(&app.master)
        {
            // Somebody had it replace its program.
            app.master = life;
            self.event("runs its program anew");
        }
        self.show_workers(&tree);
        if self.watched.memory.is_none()
            && self.watched.reading.is_none()
            && self.watched.last_shown.is_none_or(|last| now - last >= SHOWN)
        {
            self.watched.last_shown = Some(now);
            self.watched.reading = Some(read_memory(tree.clone()));
        }
        if !is_watched {
            return None;
        }
        self.look_after_pid_file(now);
        self.ask_for_an_answer(now);
        if self.watched.cpu.next(now).is_zero() {
            let verdict = self.watched.cpu.sample(now, tree.cpu());
            let percent = self.watched.cpu.percent();
            self.quietly(|status| status.cpu = percent);
            if verdict == Verdict::Above && self.watched.judges_cpu {
                let words = format!("uses {} % of a core", percent.unwrap_or_default());
                return Some(Task::Restart(Reason::Noticed(words)));
            }
        }
        self.cycle(now)
    }

    /// Whether its life has been long enough, and it is its turn.
    fn cycle(&mut self, now: Instant) -> Option<Task> {
        let due = self.watched.cycle.as_ref()?.due(now, self.traffic.answers())?;
        self.watched.turn = Some(std::sync::Arc::clone(&self.around.turn).try_acquire_owned().ok()?);
        let words = match due {
            Due::Age(age) => format!("{} s old", age.as_secs()),
            Due::Requests(requests) => format!("{requests} requests old"),
        };
        Some(Task::Restart(Reason::Noticed(words)))
    }

    fn ask_for_an_answer(&mut self, now: Instant) {
        let Some(answers) = &self.watched.answers else { return };
        if self.watched.asked.is_none() && answers.next(now).is_zero() && self.traffic.has_upstream() {
            let (traffic, within) = (self.traffic.clone(), answers.within());
            let before = self.traffic.answers();
            let task = tokio::task::spawn_local(async move {
                let began = Instant::now();
                traffic.probe(None, within).await.map(|_| began.elapsed())
            });
            self.watched.asked = Some((task, before));
        }
    }

    /// A request that was answered meanwhile is as good as the one that asked: under load that one only stands behind others.
    fn judge_answer(&mut self, answer: Result<Duration, String>, before: u64) -> Option<Task> {
        let answer = if self.traffic.answers() > before { Ok(Duration::ZERO) } else { answer };
        let judge = self.watched.answers.as_mut()?;
        let words = match &answer {
            Ok(took) => format!("answers only after {:.1} s", took.as_secs_f32()),
            Err(words) => format!("does not answer: {words}"),
        };
        let verdict = judge.sample(Instant::now(), &answer);
        if verdict == Verdict::Above && self.wish.get() == Wish::Up {
            self.alert("silent", &words);
            return Some(Task::Restart(Reason::Hangs(words)));
        }
        None
    }

    /// All its memory was read: whether that is too much, and what is done about it.
    async fn judge_memory(&mut self, tree: &Tree, reading: Reading, is_pss: bool) -> Option<Task> {
        self.show_workers(tree);
        self.quietly(|status| {
            status.memory = Some(reading.bytes);
            status.memory_is_pss = is_pss;
        });
        let kind = Kind::of(tree);
        let recycle = Profile::of(kind, &self.process).recycle;
        let workers: Vec<(Life, u64)> = match recycle {
            // Nothing to choose from.
            Recycle::Never => Vec::new(),
            _ => recognise::workers(tree, kind)
                .into_iter()
                .map(|member| (member.life, member.memory()))
                .collect(),
        };
        let relief = self.watched.memory.as_mut()?;
        if self.wish.get() != Wish::Up {
            return None;
        }
        let words = format!("takes {} MiB of memory", reading.bytes >> 20);
        match relief.sample(Instant::now(), reading, &workers) {
            Step::Nothing => None,
            Step::Recycle(worker) => {
                self.recycle(&worker, &recycle, &words).await;
                None
            }
            Step::Restart => {
                self.watched.is_for_memory = true;
                Some(Task::Restart(Reason::Noticed(words)))
            }
            Step::Pause { until } => {
                let pause = until.saturating_duration_since(Instant::now()).as_secs();
                let words = format!(
                    "{words} right after its restart: its bound is too low; left alone for {pause} s"
                );
                self.alert("memory", &words);
                self.event(&words);
                None
            }
        }
    }

    /// Ends a worker, after what it runs; its master starts another.
    async fn recycle(&mut self, worker: &Life, how: &Recycle, words: &str) {
        self.event(&format!("{words}: worker {} is recycled", worker.pid));
        let result = match how {
            Recycle::Signal(signal) => worker.signal(crate::signal::of(*signal)).map_err(Trouble::from),
            Recycle::Command(command) => {
                let pid = worker.pid.to_string();
                let words: Vec<String> = command.iter().map(|word| (*word).to_owned()).chain([pid]).collect();
                self.run_command(&words, COMMAND).await
            }
            Recycle::Never => Ok(()),
        };
        if let Err(Trouble::Failed(failure)) = result {
            self.failed(failure);
        }
    }

    /// A PID file that is gone is written again where it is ours to write, and missed once where it is not. Not at once: a
    /// server that starts its successor removes the file for a moment, and would take ours for that of a rival.
    fn look_after_pid_file(&mut self, now: Instant) {
        let (Some(path), Some(app)) = (&self.process.pid_file, &self.app) else { return };
        let mut old = path.as_os_str().to_owned();
        old.push(".oldbin");
        let is_right = match PidFile::new(path).read() {
            Ok(Some(pid)) => !self.process.is_owned() || app.members.all().any(|member| member.pid == pid),
            Ok(None) => Path::new(&old).exists(),
            Err(_) => !self.process.is_owned(),
        };
        if is_right {
            (self.watched.lost_pid_file, self.watched.misses_pid_file) = (None, false);
            return;
        }
        let since = *self.watched.lost_pid_file.get_or_insert(now);
        if now.saturating_duration_since(since) >= LOST && !self.watched.misses_pid_file {
            let how = if path.exists() { "names somebody else" } else { "vanished" };
            let words = format!("the PID file {} {how}; pid {} still runs", path.display(), app.pid());
            self.event(&words);
            self.write_pid_file();
            // What cannot be put right is told once.
            let is_right = PidFile::new(path).read().ok().flatten() == Some(app.pid());
            self.watched.misses_pid_file = !is_right;
            self.watched.lost_pid_file = self.watched.lost_pid_file.filter(|_| !is_right);
        }
    }

    /// Its workers as they are now.
    fn show_workers(&self, tree: &Tree) {
        let workers: Vec<Worker> = recognise::workers(tree, Kind::of(tree))
            .into_iter()
            .map(|member| Worker { pid: member.life.pid, memory: member.pss })
            .collect();
        self.quietly(|status| {
            for worker in &workers {
                let known = status.workers.iter().find(|known| known.pid == worker.pid);
                let memory = worker.memory.or_else(|| known.and_then(|known| known.memory));
                let shown = Worker { pid: worker.pid, memory };
                match status.workers.iter_mut().find(|known| known.pid == worker.pid) {
                    Some(known) => *known = shown,
                    None => status.workers.push(shown),
                }
            }
            status.workers.retain(|known| workers.iter().any(|worker| worker.pid == known.pid));
        });
    }

    /// Numbers that change all the time are no news.
    fn quietly(&self, change: impl FnOnce(&mut crate::status::Status)) {
        self.status.send_if_modified(|status| {
            change(status);
            false
        });
    }
}

/// Reads the memory of a tree on a thread that may wait: for each GiB the kernel takes some 40 ms.
fn read_memory(mut tree: Tree) -> JoinHandle<(Tree, Reading, bool)> {
    tokio::task::spawn_blocking(move || {
        // What it costs, and not how long it waited for its turn: on a busy machine memory would hardly be looked at.
        let began = used_by_thread();
        let memory = tree.memory();
        let took = used_by_thread().saturating_sub(began);
        let resident = tree.members().iter().map(|member| member.rss).sum();
        (tree, Reading { bytes: memory.bytes, resident, took }, memory.is_pss)
    })
}

/// CPU time that this thread has used.
fn used_by_thread() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

/// What a task gives, if there is one.
async fn ready<R>(task: Option<&mut JoinHandle<R>>) -> Result<R, tokio::task::JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}
