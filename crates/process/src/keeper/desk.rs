//! Where commands wait for their keeper: which goes first, which are one, which are no longer wanted.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::{mpsc, oneshot};

use super::{Reason, Task};
use crate::command::{Ask, Command, Outcome};
use crate::status::Wish;

/// The commands that have come.
#[derive(Debug)]
pub(super) struct Desk {
    asks: mpsc::Receiver<Ask>,
    wish: Rc<Cell<Wish>>,
    /// Those that wait, in their order.
    waiting: VecDeque<Ask>,
    /// Those who want to hear how the present task ends.
    listening: Vec<oneshot::Sender<Outcome>>,
    /// What is to be done although nobody asked.
    begun: Option<Task>,
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
        Desk { asks, wish, waiting: VecDeque::new(), listening: Vec::new(), begun: None }
    }

    pub(super) fn wish(&self) -> Wish {
        self.wish.get()
    }

    /// The next command, from outside.
    pub(super) async fn receive(&mut self) -> Option<Ask> {
        self.asks.recv().await
    }

    /// Does something unasked next, unless somebody asks for something.
    pub(super) fn begin(&mut self, task: Task) {
        self.begun = Some(task);
    }

    /// The next task that somebody wants; the same ones behind it are done with it.
    pub(super) fn next(&mut self) -> Option<Task> {
        let begun = self.begun.take();
        let Some(first) = self.waiting.pop_front() else { return begun };
        let command = first.command;
        self.listening.push(first.reply);
        while self.waiting.front().is_some_and(|next| next.command == command) {
            self.listening.extend(self.waiting.pop_front().map(|same| same.reply));
        }
        Some(match command {
            Command::Start | Command::Monitor => {
                self.wish.set(Wish::Up);
                Task::Start
            }
            Command::Restart => {
                self.wish.set(Wish::Up);
                Task::Restart(Reason::Asked)
            }
            Command::Stop | Command::Unmonitor => {
                self.wish.set(Wish::Down);
                Task::Stop
            }
        })
    }

    /// Takes a command while `task` is under way.
    pub(super) fn take(&mut self, ask: Ask, task: &Task) -> Taken {
        let idle = *task == Task::Watch;
        match (ask.command, task) {
            (Command::Monitor | Command::Unmonitor, _) => {
                let wish = if ask.command == Command::Monitor { Wish::Up } else { Wish::Alone };
                let before = self.wish.replace(wish);
                let words = if wish == Wish::Up { "is watched" } else { "is left as it is" };
                let outcome = if before == wish { Outcome::Already } else { Outcome::Done };
                // Whoever asked may have left.
                let _ = ask.reply.send(outcome(words.to_owned()));
                if idle { Taken::Now } else { Taken::Later }
            }
            (Command::Start, Task::Start) | (Command::Stop, Task::Stop) => {
                if ask.command == Command::Stop {
                    self.forget("stopped");
                }
                self.wish.set(if ask.command == Command::Start { Wish::Up } else { Wish::Down });
                self.listening.push(ask.reply);
                Taken::Later
            }
            (Command::Stop, _) => {
                self.forget("stopped before it was done");
                for reply in self.listening.drain(..) {
                    let _ = reply.send(Outcome::Superseded("stopped before it was done".to_owned()));
                }
                self.waiting.push_back(ask);
                Taken::Now
            }
            _ => {
                self.waiting.push_back(ask);
                if idle { Taken::Now } else { Taken::Later }
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
        for ask in self.waiting.drain(..) {
            let _ = ask.reply.send(Outcome::Superseded(words.to_owned()));
        }
    }
}
