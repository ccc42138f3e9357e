//! Where commands wait for their keeper: which goes first, which are one, which are no longer wanted.
//!
//! The wish is that of the command that came last, from the moment that it came. What has to be done for it may have to
//! wait for what is under way; a stop never does.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::{mpsc, oneshot};

use super::{Reason, Task};
use crate::command::{Ask, Command, Outcome};
use crate::status::Wish;

#[cfg(test)]
mod tests;

/// The commands that have come.
#[derive(Debug)]
pub(super) struct Desk {
    asks: mpsc::Receiver<Ask>,
    wish: Rc<Cell<Wish>>,
    stop: Wanted,
    restart: Wanted,
    start: Wanted,
    /// Those who want to hear how the present task ends.
    listening: Vec<oneshot::Sender<Outcome>>,
    /// What is to be done although nobody asked.
    begun: Option<Task>,
}

/// A task that is to be done once, however many asked for it.
#[derive(Debug, Default)]
struct Wanted {
    /// Whoever asked may have left, and it is to be done all the same.
    is_wanted: bool,
    by: Vec<oneshot::Sender<Outcome>>,
}

/// What a command means for the task under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It goes on.
    Later,
    /// It ends here.
    Now,
}

impl Desk {
    pub(super) fn new(asks: mpsc::Receiver<Ask>, wish: Rc<Cell<Wish>>) -> Self {
        Desk {
            asks,
            wish,
            stop: Wanted::default(),
            restart: Wanted::default(),
            start: Wanted::default(),
            listening: Vec::new(),
            begun: None,
        }
    }

    pub(super) fn wish(&self) -> Wish {
        self.wish.get()
    }

    /// The next command, from outside.
    pub(super) async fn receive(&mut self) -> Option<Ask> {
        self.asks.recv().await
    }

    /// Does something unasked next, unless somebody asks for something that does away with it.
    pub(super) fn begin(&mut self, task: Task) {
        self.begun = Some(task);
    }

    /// The next task that somebody wants. A start comes last: after a restart it has nothing to do.
    pub(super) fn next(&mut self) -> Option<Task> {
        let begun = self.begun.take();
        let (wanted, task) = if self.stop.is_wanted {
            (&mut self.stop, Task::Stop)
        } else if self.restart.is_wanted {
            (&mut self.restart, Task::Restart(Reason::Asked))
        } else if begun.is_some() {
            return begun;
        } else if self.start.is_wanted {
            (&mut self.start, Task::Start)
        } else {
            return None;
        };
        wanted.is_wanted = false;
        self.listening.append(&mut wanted.by);
        Some(task)
    }

    /// Takes a command while `task` is under way.
    pub(super) fn take(&mut self, ask: Ask, task: &Task) -> Taken {
        let wish = match ask.command {
            Command::Start | Command::Restart | Command::Monitor => Wish::Up,
            Command::Stop => Wish::Down,
            Command::Unmonitor => Wish::Alone,
        };
        let before = self.wish.replace(wish);
        let at_leisure = if *task == Task::Watch { Taken::Now } else { Taken::Later };
        match (ask.command, task) {
            (Command::Monitor | Command::Unmonitor, _) => {
                let words = if wish == Wish::Up { "is watched" } else { "is left as it is" };
                let outcome = if before == wish { Outcome::Already } else { Outcome::Done };
                // Whoever asked may have left.
                let _ = ask.reply.send(outcome(words.to_owned()));
                at_leisure
            }
            (Command::Start, Task::Start) => {
                listen(&mut self.listening, ask.reply);
                Taken::Later
            }
            (Command::Start, _) => {
                self.start.ask(ask.reply);
                at_leisure
            }
            (Command::Restart, _) => {
                self.restart.ask(ask.reply);
                at_leisure
            }
            (Command::Stop, Task::Stop) => {
                self.forget("stopped");
                listen(&mut self.listening, ask.reply);
                Taken::Later
            }
            (Command::Stop, _) => {
                let words = "stopped before it was done";
                self.forget(words);
                supersede(&mut self.listening, words);
                self.stop.ask(ask.reply);
                Taken::Now
            }
        }
    }

    /// The task under way has ended, or was dropped for another (`None`).
    pub(super) fn done(&mut self, outcome: Option<Outcome>) {
        if let Some(outcome) = outcome {
            for reply in self.listening.drain(..) {
                let _ = reply.send(outcome.clone());
            }
        }
    }

    /// Nobody who waits will get what they want.
    fn forget(&mut self, words: &str) {
        for wanted in [&mut self.restart, &mut self.start] {
            wanted.is_wanted = false;
            supersede(&mut wanted.by, words);
        }
    }
}

impl Wanted {
    fn ask(&mut self, reply: oneshot::Sender<Outcome>) {
        self.is_wanted = true;
        listen(&mut self.by, reply);
    }
}

/// Those who have left make room: there are never more than wait at the control socket.
fn listen(listening: &mut Vec<oneshot::Sender<Outcome>>, reply: oneshot::Sender<Outcome>) {
    listening.retain(|reply| !reply.is_closed());
    listening.push(reply);
}

fn supersede(listening: &mut Vec<oneshot::Sender<Outcome>>, words: &str) {
    for reply in listening.drain(..) {
        let _ = reply.send(Outcome::Superseded(words.to_owned()));
    }
}
