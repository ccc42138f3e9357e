//! What a keeper may be told, and what it answers.

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use vestibule_config::Process;

use crate::keeper::{Adjust, Surroundings};
use crate::output::{Line, Output};
use crate::status::Status;

/// What somebody wants of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Command {
    /// It is to run, and to be watched.
    Start,
    /// It is to stop, after what it runs, and not to be watched.
    Stop,
    /// It is to run the code that is there now, without failing a request.
    Restart,
    /// It is to be watched from now on.
    Monitor,
    /// It is to be left as it is, whatever happens.
    Unmonitor,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "words", rename_all = "lowercase")]
pub enum Outcome {
    /// It is done: what came of it, for a person.
    Done(String),
    /// There was nothing to do: it was so already.
    Already(String),
    /// It was tried, and failed: why, and what holds now.
    Failed(String),
    /// It cannot be done at all: why, and what to do instead.
    Refused(String),
    /// Another command came before it was done.
    Superseded(String),
}

impl Outcome {
    /// Whether what was wanted holds.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self, Outcome::Done(_) | Outcome::Already(_))
    }

    /// What is said of it.
    #[must_use]
    pub fn words(&self) -> &str {
        let (Outcome::Done(words)
        | Outcome::Already(words)
        | Outcome::Failed(words)
        | Outcome::Refused(words)
        | Outcome::Superseded(words)) = self;
        words
    }
}

/// A command on its way to a keeper.
#[derive(Debug)]
pub struct Ask {
    /// What is wanted.
    pub command: Command,
    /// Answered when the command has ended. Whoever asked may have left by then.
    pub reply: oneshot::Sender<Outcome>,
}

/// What others have of a keeper.
#[derive(Debug, Clone)]
pub struct Handle {
    asks: mpsc::Sender<Ask>,
    status: watch::Receiver<Status>,
    output: Option<Output>,
    adjust: Adjust,
}

impl Handle {
    /// For whoever takes the commands from the other end of `asks`, and writes the status.
    #[must_use]
    pub fn new(asks: mpsc::Sender<Ask>, status: watch::Receiver<Status>) -> Self {
        Handle { asks, status, output: None, adjust: Adjust::of_nobody() }
    }

    /// The same, with what the application writes.
    #[must_use]
    pub fn with_output(self, output: Output) -> Self {
        Handle { output: Some(output), ..self }
    }

    pub(crate) fn adjusted_by(self, adjust: Adjust) -> Self {
        Handle { adjust, ..self }
    }

    /// Has its keeper go by other settings, of the same name, as soon as it is not in the middle of something. None of them restarts
    /// the application.
    pub fn adjust(&self, process: Process, around: Surroundings) {
        self.adjust.to(process, around);
    }

    /// The last `count` lines that it wrote since it was started, oldest first; see [`Output::recent`]. None without an output.
    pub async fn last_lines(&self, count: usize) -> Vec<Line> {
        match &self.output {
            Some(output) => output.recent(count).await,
            None => Vec::new(),
        }
    }

    /// Gives a command and waits until it has ended, which may take minutes. Whoever stops waiting does not stop the command.
    pub async fn ask(&self, command: Command) -> Outcome {
        match self.give(command).await {
            Ok(answer) => Handle::outcome(answer).await,
            Err(outcome) => outcome,
        }
    }

    /// Gives a command, which is carried out from then on. How it ends comes by what is returned; see [`Handle::outcome`].
    ///
    /// # Errors
    /// How it ended at once: there is nobody any more who would carry it out.
    pub async fn give(&self, command: Command) -> Result<oneshot::Receiver<Outcome>, Outcome> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask { command, reply }).await.map_err(|_| gone())?;
        Ok(answer)
    }

    /// Waits until a command that was given has ended.
    pub async fn outcome(answer: oneshot::Receiver<Outcome>) -> Outcome {
        answer.await.unwrap_or_else(|_| gone())
    }

    /// How the application is now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }
}

fn gone() -> Outcome {
    Outcome::Refused("Vestibule is ending".to_owned())
}
