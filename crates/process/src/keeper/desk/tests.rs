//! The desk against what is promised of it, with no application: any commands, in any order, at any moment of any task.

use proptest::prelude::*;
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;

use super::*;

/// What happens to a keeper.
#[derive(Debug, Clone)]
enum Happens {
    /// Somebody asks, and waits or has left by the time of the answer.
    Ask(Command, bool),
    /// What is under way ends, well or not. Watching ends when something is noticed.
    Ends(bool),
    /// While it is watched, and is to run: it should be restarted.
    Notices,
}

fn happens() -> impl Strategy<Value = Happens> {
    let command = prop::sample::select(vec![
        Command::Start,
        Command::Stop,
        Command::Restart,
        Command::Monitor,
        Command::Unmonitor,
    ]);
    prop_oneof![
        4 => (command, any::<bool>()).prop_map(|(command, waits)| Happens::Ask(command, waits)),
        2 => any::<bool>().prop_map(Happens::Ends),
        1 => Just(Happens::Notices),
    ]
}

/// Somebody who waits.
#[derive(Debug)]
struct Asked {
    command: Command,
    /// How many tasks had begun when they asked.
    at: usize,
    answer: Option<Receiver<Outcome>>,
}

/// A keeper of which only the desk is real: it does its tasks by writing them down.
struct Bench {
    desk: Desk,
    /// Those that began, and how they ended; the last is under way. An outcome has the number of its task as its words.
    tasks: Vec<Task>,
    asked: Vec<Asked>,
    replies: usize,
    last: Option<Wish>,
    runs: bool,
}

impl Bench {
    fn new(wish: Wish) -> Self {
        let (_asks, received) = mpsc::channel(1);
        let desk = Desk::new(received, Rc::new(Cell::new(wish)));
        let mut bench =
            Bench { desk, tasks: Vec::new(), asked: Vec::new(), replies: 0, last: None, runs: false };
        bench.begin();
        bench
    }

    fn under_way(&self) -> &Task {
        self.tasks.last().expect("there always is one")
    }

    /// As `Keeper::run` does.
    fn begin(&mut self) {
        let idle = if self.desk.wish() == Wish::Up && !self.runs { Task::Start } else { Task::Watch };
        let task = self.desk.next().unwrap_or(idle);
        self.tasks.push(task);
    }

    fn ask(&mut self, command: Command, waits: bool) -> Result<(), TestCaseError> {
        let (reply, answer) = oneshot::channel();
        let at = self.tasks.len();
        self.asked.push(Asked { command, at, answer: waits.then_some(answer) });
        self.last = Some(match command {
            Command::Stop => Wish::Down,
            Command::Unmonitor => Wish::Alone,
            _ => Wish::Up,
        });
        let task = self.under_way().clone();
        let taken = self.desk.take(Ask { command, reply }, &task);
        prop_assert_eq!(Some(self.desk.wish()), self.last, "the last wish wins, at once");
        if taken == Taken::Now {
            prop_assert!(task != Task::Stop, "a stop was dropped for {:?}", command);
            prop_assert!(task == Task::Watch || command == Command::Stop, "{:?} dropped {:?}", command, task);
            self.desk.done(None);
            self.begin();
        }
        if command == Command::Stop {
            prop_assert_eq!(self.under_way(), &Task::Stop, "a stop waits for nothing");
        }
        self.hear()
    }

    fn end(&mut self, is_good: bool) -> Result<(), TestCaseError> {
        let number = self.tasks.len().to_string();
        let outcome = if is_good { Outcome::Done(number) } else { Outcome::Failed(number) };
        match self.under_way() {
            Task::Watch => self.desk.done(None),
            Task::Stop => {
                self.runs &= !is_good;
                self.desk.done(Some(outcome));
            }
            Task::Start | Task::Restart(_) => {
                self.runs = is_good;
                self.desk.done(Some(outcome));
            }
        }
        self.begin();
        self.hear()
    }

    fn notice(&mut self) -> Result<(), TestCaseError> {
        if *self.under_way() == Task::Watch && self.desk.wish() == Wish::Up {
            self.desk.done(None);
            self.desk.begin(Task::Restart(Reason::Noticed("old".to_owned())));
            self.begin();
        }
        self.hear()
    }

    /// Takes the answers that have come, and judges each.
    fn hear(&mut self) -> Result<(), TestCaseError> {
        for asked in &mut self.asked {
            let Some(answer) = &mut asked.answer else { continue };
            let outcome = match answer.try_recv() {
                Ok(outcome) => outcome,
                Err(TryRecvError::Empty) => continue,
                Err(TryRecvError::Closed) => {
                    return Err(TestCaseError::fail(format!("{asked:?} was thrown away")));
                }
            };
            asked.answer = None;
            self.replies += 1;
            match (asked.command, &outcome) {
                (Command::Monitor | Command::Unmonitor, Outcome::Done(_) | Outcome::Already(_)) => {}
                (Command::Start | Command::Restart, Outcome::Superseded(_)) => {
                    let later = self.tasks[asked.at - 1..].contains(&Task::Stop);
                    prop_assert!(later, "superseded by nothing: {:?}", asked);
                }
                (command, Outcome::Done(number) | Outcome::Failed(number)) => {
                    let number: usize = number.parse().expect("a number of a task");
                    let task = &self.tasks[number - 1];
                    let fits = match command {
                        // One that was under way will do.
                        Command::Start => *task == Task::Start && number >= asked.at,
                        Command::Stop => *task == Task::Stop && number >= asked.at,
                        // Not one that may have loaded the old code already.
                        Command::Restart => matches!(task, Task::Restart(_)) && number > asked.at,
                        _ => false,
                    };
                    prop_assert!(fits, "{:?} heard of task {}, {:?}", asked, number, task);
                }
                _ => return Err(TestCaseError::fail(format!("{asked:?} heard {outcome:?}"))),
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_command_has_one_outcome_and_the_last_wish_wins(
        wish in prop::sample::select(vec![Wish::Up, Wish::Down, Wish::Alone]),
        story in prop::collection::vec(happens(), 0..60),
    ) {
        let mut bench = Bench::new(wish);
        for happens in &story {
            match happens {
                Happens::Ask(command, waits) => bench.ask(*command, *waits)?,
                Happens::Ends(is_good) => bench.end(*is_good)?,
                Happens::Notices => bench.notice()?,
            }
        }
        // Everything comes to an end: three kinds of tasks can be wanted, beside the one under way and one begun unasked.
        for _ in 0..6 {
            bench.end(true)?;
        }
        prop_assert_eq!(bench.under_way(), &Task::Watch, "it never comes to rest");
        let unheard: Vec<_> = bench.asked.iter().filter(|asked| asked.answer.is_some()).collect();
        prop_assert!(unheard.is_empty(), "no answer: {:?}", unheard);
        let waited = story.iter().filter(|happens| matches!(happens, Happens::Ask(_, true))).count();
        prop_assert_eq!(bench.replies, waited);
        let wish = bench.last.unwrap_or(wish);
        prop_assert_eq!(bench.desk.wish(), wish);
        match wish {
            Wish::Up => prop_assert!(bench.runs),
            Wish::Down if bench.last.is_some() => {
                let last = bench.tasks.iter().rfind(|task| **task != Task::Watch);
                prop_assert_eq!(last, Some(&Task::Stop), "something came after the stop");
            }
            _ => {}
        }
        prop_assert!(bench.desk.listening.is_empty());
    }

    #[test]
    fn those_who_left_are_not_kept(
        commands in prop::collection::vec(
            prop::sample::select(vec![Command::Start, Command::Restart]), 100..300,
        ),
    ) {
        let mut bench = Bench::new(Wish::Up);
        bench.ask(Command::Restart, false)?;
        for command in commands {
            bench.ask(command, false)?;
        }
        prop_assert!(bench.desk.restart.by.len() + bench.desk.start.by.len() + bench.desk.listening.len() <= 4);
        prop_assert!(bench.tasks.len() <= 3, "{:?}", bench.tasks);
    }
}

#[test]
fn a_restart_that_nobody_waits_for_is_done_all_the_same() {
    let mut bench = Bench::new(Wish::Up);
    bench.runs = true;
    bench.ask(Command::Restart, false).expect("taken");
    bench.end(true).expect("the start ends");
    assert_eq!(*bench.under_way(), Task::Restart(Reason::Asked));
}
