//! What the keeper promises, in a few lines: what somebody wants, and what follows from it when nothing more happens.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::world::{Answer, Ground, Life, World};
use super::{Step, Verb};
use crate::support::app::Kind;
use crate::support::process::{self, Signal};
use crate::support::wait::{seconds, until_true};

/// Until it comes to rest: more than any one thing in it takes.
const REST: Duration = Duration::from_secs(20);
/// A refusal waits for nothing; a hold would take 10 s.
const AT_ONCE: Duration = Duration::from_secs(8);
/// Files that Vestibule may have open beside those that it has when all is calm: connections of the visitor, of the keeper, of us.
const MORE_FILES: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Up,
    Down,
    Alone,
}

pub(super) struct Model {
    ground: Ground,
    world: World,
    wish: Wish,
    is_broken: bool,
    /// Since it came up last somebody removed or changed it.
    pid_file_is_spoilt: bool,
    socket_is_gone: bool,
    files: usize,
}

/// A command that was given in this turn.
struct Given {
    verb: Verb,
    waits: bool,
    /// The wish before it.
    before: Wish,
    answer: Option<Answer>,
    /// What came after it in the turn: a stop supersedes it, and with Vestibule its outcome is lost.
    was_stopped: bool,
    is_lost: bool,
}

/// What a turn may do to the application.
struct Course {
    before: Option<Life>,
    /// Something happened that may let a start or a restart fail, or the application change.
    is_disturbed: bool,
    /// Nothing happened that should change which process it is.
    is_calm: bool,
    commands: usize,
    is_restarted: bool,
}

impl Model {
    /// A world in which it has come up.
    pub(super) fn new(ground: Ground) -> Model {
        let world = World::new(ground);
        let mut model = Model {
            ground,
            world,
            wish: Wish::Up,
            is_broken: false,
            pid_file_is_spoilt: false,
            socket_is_gone: false,
            files: 0,
        };
        model.come_to_rest();
        model.files = model.world.vestibule.open_files();
        model
    }

    /// Does all of a turn, and sees that it ends as it should.
    pub(super) fn take(&mut self, turn: &[Step]) {
        let mut course = Course {
            before: self.world.life(),
            is_disturbed: self.is_broken || self.socket_is_gone,
            is_calm: true,
            commands: 0,
            is_restarted: false,
        };
        let mut given = Vec::new();
        for step in turn {
            self.do_step(*step, &mut given, &mut course);
        }
        // Who stands still at the end of a turn goes on: a wish that it be left alone would leave it so for ever.
        if turn.contains(&Step::FreezeOn) {
            sleep(Duration::from_millis(50));
        }
        let stands_still = turn.contains(&Step::FreezeOn);
        if stands_still {
            self.world.thaw();
        }
        let waiting: Vec<(Given, Vec<Value>)> = given
            .into_iter()
            .map(|mut given| {
                let answer = given.answer.take().map(|answer| answer.all(given.verb.as_str()));
                let replies = answer.unwrap_or_default();
                (given, replies)
            })
            .collect();
        let mut was_restarted = false;
        for (given, replies) in &waiting {
            was_restarted |= self.judge(given, replies, &course);
        }
        self.come_to_rest();
        let after = self.world.life();
        if was_restarted && course.before.is_some() && after.is_some() {
            assert_ne!(after, course.before, "it was restarted, and is the same");
        }
        if course.is_calm && course.before.is_some() && self.wish != Wish::Down {
            assert_eq!(after, course.before, "nothing happened that should change it");
        }
    }

    fn do_step(&mut self, step: Step, given: &mut Vec<Given>, course: &mut Course) {
        match step {
            Step::Give(verb, waits) => {
                let before = self.wish;
                let answer = Some(self.world.give(verb, waits));
                self.wish = match verb {
                    Verb::Start | Verb::Restart | Verb::Monitor => Wish::Up,
                    Verb::Stop => Wish::Down,
                    Verb::Unmonitor => Wish::Alone,
                };
                if verb == Verb::Stop {
                    for earlier in given.iter_mut() {
                        earlier.was_stopped = true;
                    }
                }
                // It comes up again, and puts its files right.
                if matches!(verb, Verb::Start | Verb::Restart) {
                    self.pid_file_is_spoilt |= self.is_broken;
                }
                course.is_calm &= matches!(verb, Verb::Monitor | Verb::Unmonitor | Verb::Start);
                course.commands += 1;
                course.is_restarted |= verb == Verb::Restart;
                given.push(Given { verb, waits, before, answer, was_stopped: false, is_lost: false });
                return;
            }
            Step::Wait(milliseconds) => return sleep(Duration::from_millis(milliseconds)),
            Step::Kill => self.world.signal(Signal::KILL),
            Step::Freeze(milliseconds) => {
                self.world.signal(Signal::STOP);
                sleep(Duration::from_millis(milliseconds));
                self.world.thaw();
            }
            Step::FreezeOn => self.world.signal(Signal::STOP),
            Step::RemovePidFile => {
                let _ = fs::remove_file(self.world.pid_file());
                self.spoil(course);
                return;
            }
            // Unicorn moves its PID file aside when it restarts, whoever that names, and the usual hook ends whom it then
            // names: what is written there in the middle of a restart, that hook kills.
            Step::ForeignPid if self.ground == Ground::Real(Kind::Unicorn) && course.is_restarted => {}
            Step::ForeignPid => {
                fs::write(self.world.pid_file(), self.world.stranger().to_string()).expect("written");
                self.spoil(course);
                return;
            }
            Step::RemoveSocket => {
                let _ = fs::remove_file(self.world.socket());
                self.socket_is_gone = true;
            }
            Step::KillVestibule => {
                for earlier in given.iter_mut() {
                    earlier.is_lost = true;
                }
                self.world.kill_vestibule();
                self.wish = Wish::Up;
            }
            Step::Break => {
                self.world.set_broken(true);
                self.is_broken = true;
            }
            Step::Mend => {
                self.world.set_broken(false);
                self.is_broken = false;
            }
        }
        course.is_calm &= matches!(step, Step::Break | Step::Mend);
        course.is_disturbed |= step != Step::Mend;
    }

    fn spoil(&mut self, course: &mut Course) {
        self.pid_file_is_spoilt = true;
        // A server whose PID file changes while it boots takes that for a rival's, and leaves the place to the rival.
        course.is_disturbed |= matches!(self.ground, Ground::Real(_));
    }

    /// A command has exactly one outcome, and one that it may have. Whether it restarted what ran before the turn.
    fn judge(&self, given: &Given, replies: &[Value], course: &Course) -> bool {
        let verb = given.verb;
        let ended: Vec<&Value> = replies.iter().filter(|reply| reply["reply"] == "ended").collect();
        if given.is_lost && ended.is_empty() {
            return false;
        }
        if !given.waits {
            let told: Vec<&Value> = replies.iter().filter(|reply| reply["reply"] != "end").collect();
            assert!(told.is_empty(), "nobody waits for {verb:?}: {told:?}");
            return false;
        }
        let [ended] = ended[..] else { panic!("{verb:?} has {} outcomes: {replies:?}", ended.len()) };
        let outcome = ended["outcome"].as_str().unwrap_or_default();
        let refused = self.ground == Ground::Replace && self.socket_is_gone;
        let fits = match (verb, outcome) {
            (Verb::Monitor, "already") => given.before == Wish::Up,
            (Verb::Monitor, "done") => given.before != Wish::Up,
            (Verb::Unmonitor, "already") => given.before == Wish::Alone,
            (Verb::Unmonitor, "done") => given.before != Wish::Alone,
            (Verb::Start | Verb::Restart, "superseded") => given.was_stopped,
            (Verb::Start | Verb::Restart, "failed") => course.is_disturbed,
            (Verb::Start, "done" | "already") if course.is_disturbed || course.commands > 1 => true,
            (Verb::Start, "done") => course.before.is_none(),
            (Verb::Start, "already") => course.before.is_some(),
            (Verb::Restart, "done") => true,
            (Verb::Restart, "refused") => refused,
            (Verb::Stop, "done" | "already") if course.is_disturbed || course.commands > 1 => true,
            (Verb::Stop, "done") => course.before.is_some(),
            (Verb::Stop, "already") => course.before.is_none(),
            _ => false,
        };
        assert!(fits, "{verb:?}: {ended}");
        verb == Verb::Restart && outcome == "done"
    }

    /// Waits until everything is as it should be; panics with what is not.
    fn come_to_rest(&mut self) {
        let start = Instant::now();
        loop {
            match self.wrong() {
                None => break,
                Some(wrong) => assert!(start.elapsed() < REST, "wish {:?}: {wrong}", self.wish),
            }
            sleep(Duration::from_millis(10));
        }
        let status = self.world.status();
        if self.world.pid_in_file().map(u64::from) == status["pid"].as_u64() {
            self.pid_file_is_spoilt = false;
        }
        self.check_traffic(&status);
        assert!(process::alive(self.world.stranger()), "somebody else's process was hit");
        until_true("no zombie is left", seconds(30), || self.world.zombies().is_empty());
        until_true("nothing else is left running", seconds(30), || self.world.strangers_below().is_empty());
        let complaints = self.world.complaints();
        assert!(complaints.is_empty(), "a visitor met {complaints:?}");
        if self.files > 0 {
            let most = self.files + MORE_FILES;
            until_true("the files are closed", seconds(30), || self.world.vestibule.open_files() <= most);
        }
    }

    /// What is not as it should be now, if anything.
    fn wrong(&mut self) -> Option<String> {
        let status = self.world.status();
        let masters = self.world.masters();
        let (phase, pid) = (status["phase"].as_str().unwrap_or_default(), status["pid"].as_u64());
        let wish = match self.wish {
            Wish::Up => "up",
            Wish::Down => "down",
            Wish::Alone => "alone",
        };
        let named = self.world.pid_in_file();
        let seen = format!(
            "phase {phase}, wish {}, pid {pid:?}, PID file {named:?}, processes {:?}",
            status["wish"],
            self.world.processes()
        );
        if status["wish"] != wish {
            return Some(seen);
        }
        let is_up = phase == "up" && masters.len() == 1 && pid == masters.first().copied().map(u64::from);
        let is_tried = phase == "starting" && masters.len() <= 1;
        let is_gone = masters.is_empty() && pid.is_none();
        let is_down = is_gone && phase == "down" && status["next_try"].is_null();
        let fits = match self.wish {
            // It is tried again and again.
            Wish::Up if self.is_broken => is_up || is_gone && phase == "waiting" || is_tried,
            Wish::Up => is_up,
            Wish::Down => is_down,
            Wish::Alone => is_up || is_down,
        };
        if !fits {
            return Some(seen);
        }
        let is_stranger = named == Some(self.world.stranger());
        let names_it = match named {
            Some(named) if is_up => pid == Some(u64::from(named)) || is_stranger && self.pid_file_is_spoilt,
            None if is_up => self.pid_file_is_spoilt,
            // Somebody else's stays; a server that did not boot may leave its own until the next start, and one that is left
            // alone has nobody who clears up behind it.
            Some(_) => is_stranger || self.wish != Wish::Down,
            None => true,
        };
        if !names_it {
            return Some(format!("the PID file: {seen}"));
        }
        if self.wish == Wish::Down
            && let Some(left) = self.world.has_leavings()
        {
            return Some(format!("{} is left: {seen}", left.display()));
        }
        if is_up && (self.wish == Wish::Up || !self.socket_is_gone) {
            if !self.world.socket().exists() {
                return Some(format!("its socket is gone: {seen}"));
            }
            self.socket_is_gone = false;
        }
        if is_down {
            self.socket_is_gone = false;
        }
        None
    }

    /// Those who come now are let in, or refused.
    fn check_traffic(&self, status: &Value) {
        let wanted = match self.wish {
            Wish::Down => 503,
            _ if self.socket_is_gone || status["phase"] != "up" => return,
            _ => 200,
        };
        let (got, took) = self.world.get();
        assert_eq!(got, wanted, "wish {:?}, after {took:?}: {status:#}", self.wish);
        assert!(wanted != 503 || took < AT_ONCE, "refused only after {took:?}");
    }

    /// When nothing happens any more and it is to run, it does, with all that it should have.
    pub(super) fn end(&mut self) {
        self.take(&[Step::Mend, Step::Give(Verb::Monitor, true)]);
        until_true("the PID file is put right", seconds(20), || {
            self.world.pid_in_file().map(u64::from) == self.world.status()["pid"].as_u64()
        });
        let roots = self.world.processes().len();
        if !matches!(self.ground, Ground::Real(Kind::Unicorn)) {
            assert_eq!(roots, 1, "one process");
        }
        assert!(self.world.visits() > 0, "nobody came");
        println!("{:?}: {} visits", self.ground, self.world.visits());
    }
}
