//! How an application is: written by its keeper alone, read by everybody.

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::backtrace::shortened;

/// What an application is doing, as far as its keeper knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It does not run.
    Down,
    /// It was started and has not answered yet.
    Starting,
    /// It runs, and answered.
    Up,
    /// It is being restarted.
    Restarting,
    /// It is being stopped.
    Stopping,
    /// It failed, and will be started again after a pause.
    Waiting,
}

impl Phase {
    /// One word, for a person.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Down => "down",
            Phase::Starting => "starting",
            Phase::Up => "up",
            Phase::Restarting => "restarting",
            Phase::Stopping => "stopping",
            Phase::Waiting => "waiting",
        }
    }
}

/// What is wanted of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wish {
    /// It is to run: started again whenever it ends.
    Up,
    /// It is not to run.
    Down,
    /// It is left as it is.
    Alone,
}

/// How an application is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The NAME of `[process.NAME]`.
    pub name: String,
    /// What it is doing.
    pub phase: Phase,
    /// What is wanted of it.
    pub wish: Wish,
    /// Whether Vestibule starts it, or adopted it.
    pub is_owned: bool,
    /// The server's first process, if it runs.
    pub pid: Option<u32>,
    /// Which server it is, in a word.
    pub server: Option<String>,
    /// When the present phase began, in seconds since 1970.
    pub since: u64,
    /// The release that runs: the directory behind its links, and its revision.
    pub release: Option<Release>,
    /// Its workers, if the server has any.
    pub workers: Vec<Worker>,
    /// Bytes of memory of all its processes, when it was last looked at.
    pub memory: Option<u64>,
    /// Whether shared pages count once in `memory` (PSS) or for each (RSS).
    pub memory_is_pss: bool,
    /// Percent of one core, since the last look but one.
    pub cpu: Option<u32>,
    /// How often it was started, or restarted, since Vestibule runs.
    pub starts: u64,
    /// Requests that wait for it, and that it has.
    pub waiting: u64,
    /// Requests in flight.
    pub in_flight: u64,
    /// When it will be started again, in seconds since 1970.
    pub next_try: Option<u64>,
    /// The last time that it failed.
    pub last_failure: Option<Failure>,
    /// What happened lately, oldest first.
    pub events: VecDeque<Event>,
}

/// A release: what a deploy puts there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The directory behind all links.
    pub directory: PathBuf,
    /// The first line of the file REVISION in it.
    pub revision: Option<String>,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "release {}", self.directory.display())?;
        match &self.revision {
            Some(revision) => write!(f, " ({revision})"),
            None => Ok(()),
        }
    }
}

/// A worker of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its PID.
    pub pid: u32,
    /// Its bytes of memory, when they were last looked at.
    pub memory: Option<u64>,
}

/// A failure, with what is needed to understand it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When, in seconds since 1970.
    pub when: u64,
    /// What failed, in one line.
    pub words: String,
    /// Which release it was.
    pub release: Option<Release>,
    /// The last lines of its output.
    pub output: Vec<String>,
}

/// Lines of output that a failure is told with.
const MOST_LINES: usize = 20;

impl Failure {
    /// One of now. What release it was stands before the words.
    pub(crate) fn new(words: impl Into<String>, release: Option<Release>, output: Vec<String>) -> Self {
        let words = words.into();
        let words = release.as_ref().map_or_else(|| words.clone(), |release| format!("{release}: {words}"));
        let output = shortened(output, MOST_LINES);
        Failure { when: now(), words, release, output }
    }
}

/// Something that happened to an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in seconds since 1970.
    pub when: u64,
    /// What, in one line.
    pub words: String,
}

/// Events that are remembered.
const MOST_EVENTS: usize = 50;

impl Status {
    /// That of an application of which nothing is known yet.
    #[must_use]
    pub fn new(name: &str, is_owned: bool, wish: Wish) -> Self {
        Status {
            name: name.to_owned(),
            phase: Phase::Down,
            wish,
            is_owned,
            pid: None,
            server: None,
            since: now(),
            release: None,
            workers: Vec::new(),
            memory: None,
            memory_is_pss: true,
            cpu: None,
            starts: 0,
            waiting: 0,
            in_flight: 0,
            next_try: None,
            last_failure: None,
            events: VecDeque::new(),
        }
    }

    /// Remembers that something happened.
    pub fn record(&mut self, words: String) {
        if self.events.len() == MOST_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(Event { when: now(), words });
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
