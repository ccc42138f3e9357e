//! What is said over the control socket: one line of JSON in, lines of JSON out, the last of them [`Reply::End`] or
//! [`Reply::Error`].

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vestibule_process::{Command, Outcome, Status};

/// What the lines look like. Another number means that the two sides are of different releases, and may not
/// understand each other.
pub(crate) const VERSION: u32 = 1;

/// Longest request, in bytes, with its newline.
pub(crate) const LONGEST_REQUEST: usize = 64 * 1024;

/// Longest reply that a client takes, in bytes: a status has up to 64 KiB of output in it, and JSON may make six bytes of one.
pub(crate) const LONGEST_REPLY: usize = 1024 * 1024;

/// Most lines of a log that can be asked for.
pub(crate) const MOST_LINES: u32 = 10_000;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// [`VERSION`].
    pub(crate) version: u32,
    pub(crate) verb: Verb,
    /// Which process; `None` is all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Commands: whether to tell how it ended, too, and not only that it was accepted.
    #[serde(default = "yes")]
    pub(crate) wait: bool,
    /// `log`: how many lines of what was.
    #[serde(default = "some_lines")]
    pub(crate) lines: u32,
    /// `log`: whether to go on with what comes.
    #[serde(default)]
    pub(crate) follow: bool,
    /// `reload`: the configuration that is meant; `None` is the one that is served by, whatever it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) config: Option<PathBuf>,
}

fn yes() -> bool {
    true
}

fn some_lines() -> u32 {
    50
}

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verb {
    Start,
    Stop,
    Restart,
    Monitor,
    Unmonitor,
    Status,
    Log,
    Quit,
    Reload,
}

impl Verb {
    /// All of them, for errors.
    const ALL: [Verb; 9] = [
        Verb::Start,
        Verb::Stop,
        Verb::Restart,
        Verb::Monitor,
        Verb::Unmonitor,
        Verb::Status,
        Verb::Log,
        Verb::Quit,
        Verb::Reload,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Verb::Start => "start",
            Verb::Stop => "stop",
            Verb::Restart => "restart",
            Verb::Monitor => "monitor",
            Verb::Unmonitor => "unmonitor",
            Verb::Status => "status",
            Verb::Log => "log",
            Verb::Quit => "quit",
            Verb::Reload => "reload",
        }
    }

    /// The command that it gives a keeper, if it gives one.
    pub(crate) fn command(self) -> Option<Command> {
        match self {
            Verb::Start => Some(Command::Start),
            Verb::Stop => Some(Command::Stop),
            Verb::Restart => Some(Command::Restart),
            Verb::Monitor => Some(Command::Monitor),
            Verb::Unmonitor => Some(Command::Unmonitor),
            Verb::Status | Verb::Log | Verb::Quit | Verb::Reload => None,
        }
    }
}

impl Request {
    /// With everything but the verb as by default.
    pub(crate) fn new(verb: Verb) -> Self {
        Request {
            version: VERSION,
            verb,
            name: None,
            wait: yes(),
            lines: some_lines(),
            follow: false,
            config: None,
        }
    }

    /// Reads one from a line.
    ///
    /// # Errors
    /// What is wrong with it, as it is to be answered.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, Reply> {
        // What another release may have changed is looked at before the rest, which then need not be understood.
        #[derive(Deserialize)]
        struct Envelope {
            version: u32,
            verb: String,
        }
        let malformed =
            |error: serde_json::Error| Reply::error(Kind::Malformed, format!("this is no request: {error}"));
        let Envelope { version, verb } = serde_json::from_slice(line).map_err(malformed)?;
        if version != VERSION {
            let words = format!(
                "this Vestibule ({}) speaks version {VERSION} of the control protocol, and was asked in version {version}: \
                 use the `vestibule` of the same release",
                env!("CARGO_PKG_VERSION")
            );
            return Err(Reply::error(Kind::Version, words));
        }
        if !Verb::ALL.iter().any(|known| known.as_str() == verb) {
            let known = Verb::ALL.map(Verb::as_str).join(", ");
            return Err(Reply::error(Kind::Unknown, format!("there is no verb {verb:?}: there are {known}")));
        }
        serde_json::from_slice(line).map_err(malformed)
    }
}

/// What is answered, one to a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "lowercase")]
pub(crate) enum Reply {
    /// How a process is.
    Status { status: Box<Status> },
    /// A command is on its way to a process: it will be carried out, whether somebody waits for that or not.
    Accepted { name: String },
    /// A command has ended.
    Ended {
        name: String,
        #[serde(flatten)]
        outcome: Outcome,
        /// How long it took.
        milliseconds: u64,
    },
    /// A line of a log.
    Line(Entry),
    /// Another configuration is served by.
    Reloaded(Reloaded),
    /// Why there will be no other answer.
    Error { kind: Kind, words: String },
    /// That was all.
    End,
}

/// What a reload did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reloaded {
    /// The file; `None` where there is none, and all is as by default.
    pub(crate) file: Option<PathBuf>,
    /// What is otherwise now.
    pub(crate) changes: Vec<Change>,
    /// What waits for a restart, and why.
    pub(crate) warnings: Vec<String>,
    /// How long it took.
    pub(crate) milliseconds: u64,
}

/// One thing that a reload changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    /// What kind of thing: `listener`, `upstream`, `process`, or the name of a section or a key.
    pub(crate) what: String,
    /// Which one, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// What became of it.
    pub(crate) became: Became,
}

/// What became of something in a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Became {
    Added,
    Changed,
    Removed,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let became = match self.became {
            Became::Added => "added",
            Became::Changed => "changed",
            Became::Removed => "removed",
        };
        match &self.name {
            Some(name) => write!(f, "{} {name}: {became}", self.what),
            None => write!(f, "{}: {became}", self.what),
        }
    }
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// When, in seconds since 1970.
    pub(crate) when: u64,
    /// Which process.
    pub(crate) name: String,
    /// Who says it.
    pub(crate) source: Source,
    pub(crate) words: String,
}

/// Who says a line of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// Vestibule, of what happened to the application.
    Event,
    /// The application, on its standard output or error.
    Output,
}

/// Of what kind an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The peer may not ask.
    Denied,
    /// The line is no request.
    Malformed,
    /// It is one of another release.
    Version,
    /// The verb or the process is not known.
    Unknown,
    /// There are too many others.
    Busy,
    /// The configuration is not taken: what is wrong with it.
    Invalid,
    /// Vestibule is ending.
    Ending,
}

impl Reply {
    pub(crate) fn error(kind: Kind, words: impl Into<String>) -> Self {
        Reply::Error { kind, words: words.into() }
    }

    /// As it goes out: a line with its newline. (Nothing in it can fail to become JSON.)
    pub(crate) fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> (Kind, String) {
        match Request::parse(line.as_bytes()) {
            Err(Reply::Error { kind, words }) => (kind, words),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_request_of_few_words_means_the_usual() {
        let request = Request::parse(br#"{"version":1,"verb":"restart"}"#).expect("a request");
        assert_eq!(request, Request::new(Verb::Restart));
        assert!(request.wait && request.name.is_none() && !request.follow);
    }

    #[test]
    fn every_verb_is_read_as_it_is_written() {
        for verb in Verb::ALL {
            let line = serde_json::to_vec(&Request::new(verb)).expect("JSON");
            assert_eq!(Request::parse(&line), Ok(Request::new(verb)));
        }
    }

    #[test]
    fn another_version_is_told_before_anything_else_is_looked_at() {
        let (kind, words) = refused(r#"{"version":2,"verb":"dance","with":"me"}"#);
        assert_eq!(kind, Kind::Version);
        assert!(words.contains("version 1") && words.contains("version 2"), "{words}");
    }

    #[test]
    fn an_unknown_verb_is_told_with_those_that_there_are() {
        let (kind, words) = refused(r#"{"version":1,"verb":"dance"}"#);
        assert_eq!(kind, Kind::Unknown);
        assert!(words.contains("dance") && words.contains("restart"), "{words}");
    }

    #[test]
    fn what_is_no_request_is_told_so() {
        for line in [
            "",
            "null",
            "[]",
            "GET / HTTP/1.1\r",
            r#"{"verb":"start"}"#,
            r#"{"version":1}"#,
            r#"{"version":1,"verb":7}"#,
            r#"{"version":-1,"verb":"start"}"#,
            r#"{"version":1,"verb":"start","nmae":"app"}"#,
            r#"{"version":1,"verb":"start","name":["app"]}"#,
            r#"{"version":1,"verb":"start"} {"version":1,"verb":"stop"}"#,
            "\u{0}\u{1}",
        ] {
            assert_eq!(refused(line).0, Kind::Malformed, "{line}");
        }
    }

    #[test]
    fn replies_are_read_as_they_are_written_and_stand_in_one_line() {
        let entry =
            Entry { when: 7, name: "app".to_owned(), source: Source::Output, words: "a\nb".to_owned() };
        for reply in [
            Reply::Accepted { name: "app".to_owned() },
            Reply::Ended {
                name: "app".to_owned(),
                outcome: Outcome::Done("restarted".to_owned()),
                milliseconds: 12,
            },
            Reply::Line(entry),
            Reply::error(Kind::Busy, "later"),
            Reply::End,
        ] {
            let line = reply.to_line();
            assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
            assert_eq!(serde_json::from_slice::<Reply>(&line).expect("a reply"), reply);
        }
    }
}
