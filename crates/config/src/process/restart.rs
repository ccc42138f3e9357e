//! `restart`, `restart_signal` and `restart_command` of `[process.NAME]`

use std::ops::Range;

use super::command::{self, Command};
use super::{Restart, Signal, stop_sequence};
use crate::document::{Found, Section};
use crate::problem::Problem;
use crate::value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Auto,
    Signal,
    Command,
    StopStart,
    Replace,
}

const KINDS: &[(&str, Kind)] = &[
    ("auto", Kind::Auto),
    ("signal", Kind::Signal),
    ("command", Kind::Command),
    ("stop-start", Kind::StopStart),
    ("replace", Kind::Replace),
];

/// What is written of restarts. The keys may contradict each other: that is reported.
pub(super) struct WrittenRestart {
    kind: Option<Found<Kind>>,
    pub(super) signal: Option<Found<Signal>>,
    pub(super) command: Option<Command>,
}

impl WrittenRestart {
    pub(super) fn read(section: &Section<'_>) -> Self {
        WrittenRestart {
            kind: section.read("restart", value::one_of(KINDS)),
            signal: section.read("restart_signal", stop_sequence::restart_signal),
            command: command::filled(section, "restart_command"),
        }
    }

    /// Where `restart = "replace"` is written, if it is.
    pub(super) fn replace(&self) -> Option<&Range<usize>> {
        self.kind.as_ref().filter(|kind| kind.value == Kind::Replace).map(|kind| &kind.span)
    }

    /// What they mean together. The command and the signal say which kind it is where `restart` does not.
    pub(super) fn meaning(&self, section: &Section<'_>) -> Restart {
        let Some(kind) = &self.kind else {
            return self.implied(section);
        };
        let others = [
            ("restart_signal", Kind::Signal, self.signal.as_ref().map(|found| &found.span)),
            ("restart_command", Kind::Command, self.command.as_ref().map(|found| &found.span)),
        ];
        for (key, its, span) in others {
            if let Some(span) = span.filter(|_| kind.value != its) {
                let problem = Problem::new(format!("`{key}` is for restart = \"{}\"", its.name()));
                let instead = format!("leave it out, or write that instead of \"{}\"", kind.value.name());
                section.report(span.clone(), problem.instead(instead));
            }
        }
        let needs = |key: &str, what: &str| {
            // What is written and wrong has been reported.
            if section.lacks(key) {
                let problem = Problem::new(format!("restart = \"{}\" needs `{key}`", kind.value.name()));
                section.report(kind.span.clone(), problem.instead(format!("write {key} = {what}")));
            }
            Restart::Auto
        };
        match kind.value {
            Kind::Auto => Restart::Auto,
            Kind::StopStart => Restart::StopStart,
            Kind::Replace => Restart::Replace,
            Kind::Signal => match &self.signal {
                Some(signal) => Restart::Signal(signal.value),
                None => needs("restart_signal", "\"USR2\", or which the server restarts itself on"),
            },
            Kind::Command => match &self.command {
                Some(command) => Restart::Command(words(command)),
                None => needs("restart_command", "[\"passenger-config\", \"restart-app\", \"{directory}\"]"),
            },
        }
    }

    fn implied(&self, section: &Section<'_>) -> Restart {
        match (&self.signal, &self.command) {
            (None, None) => Restart::Auto,
            (Some(signal), None) => Restart::Signal(signal.value),
            (None, Some(command)) => Restart::Command(words(command)),
            (Some(signal), Some(command)) => {
                let line = section.line(signal.span.start);
                let problem =
                    Problem::new(format!("a restart is by a command or by the signal on line {line}"));
                section.report(command.span.clone(), problem.instead("leave one of them out"));
                Restart::Auto
            }
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("auto", |(name, _)| name)
    }
}

pub(super) fn words(command: &Command) -> Vec<String> {
    command.value.iter().map(|word| word.value.clone()).collect()
}
