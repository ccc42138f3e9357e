//! Whether the keys of one `[process.NAME]` go together.

use std::ops::Range;

use super::Signal;
use super::command::daemonizes;
use super::placeholder::Placeholder;
use super::written::{Serves, Written};
use crate::document::Found;
use crate::model::{Server, Upstream, UpstreamAddress};
use crate::problem::Problem;

/// Signals that end a server at once, or leave it dead, instead of restarting it (measured).
const DEADLY: &[(Server, &str, &[Signal])] = &[
    (Server::Thin, "Thin", &[Signal::Usr2]),
    (Server::Passenger, "Passenger", &[Signal::Usr2, Signal::Hup]),
    (Server::Puma, "Puma", &[Signal::Quit]),
];

/// One process as it is written, and what it is to serve.
pub(super) struct Fitness<'w, 'd> {
    pub(super) written: &'w Written<'d>,
    pub(super) name: &'w Found<String>,
    pub(super) serves: Serves,
    pub(super) upstream: Option<&'w Upstream>,
}

impl Fitness<'_, '_> {
    /// Reports each that does not fit. What is wrong by itself, or only misspelt, causes no second error.
    pub(super) fn check(&self) {
        let section = &self.written.section;
        if let Some(upstream) = self.upstream.filter(|upstream| upstream.only_address().is_none()) {
            let problem = Problem::new(format!(
                "the upstream `{}` has several members, and a process is one",
                upstream.name
            ));
            let instead = "have its servers kept by another program, such as systemd, or write one `address`";
            self.report(&self.name.span, problem, instead);
            return;
        }
        if section.has("command") {
            self.owned();
        } else if section.lacks("command") {
            self.adopted();
        }
        self.instances();
        self.placeholders();
        self.replace();
        self.signal();
        let asks = self.written.answer.as_ref().filter(|answer| answer.value.is_some());
        if let Some(answer) = asks.filter(|_| self.serves == Serves::Nobody) {
            let problem = Problem::new("a process in the background answers nothing");
            self.report(
                &answer.span,
                problem,
                "leave `answer` out, or name the `upstream` that it answers for",
            );
        }
    }

    fn owned(&self) {
        let section = &self.written.section;
        if let Some(written) = section.value("start_command") {
            let problem = Problem::new("`start_command` and `command` exclude each other");
            let instead = "leave `start_command` out if Vestibule is to run the application as its child, or `command` if \
                           another program does";
            self.report(&written.span(), problem, instead);
        }
        if let Some(option) = self.written.command.as_ref().and_then(daemonizes) {
            let problem = Problem::new(format!(
                "{:?} sends the application into the background, away from Vestibule",
                option.value
            ));
            self.report(&option.span, problem, "leave it out: what Vestibule starts stays in the foreground");
        }
    }

    fn adopted(&self) {
        let section = &self.written.section;
        let is_found = self.upstream.is_some_and(|upstream| upstream.pid_file.is_some());
        if section.lacks("pid_file") && !is_found && self.serves != Serves::Unclear {
            let problem = Problem::new(format!(
                "nothing says how to find the process `{}`: it has no `command`, and no PID file is known",
                self.name.value
            ));
            let instead =
                "write its `command` if Vestibule is to start it, or its `pid_file` if another program does";
            self.report(&self.name.span, problem, instead);
        }
        let starts = !section.lacks("start_command");
        let runs = starts || !section.lacks("restart_command");
        for (key, needed, what) in [
            ("output", starts, "whoever starts it says where its output goes"),
            ("limits", starts, "whoever starts it sets its limits"),
            ("user", runs, "whoever starts it says as whom it runs"),
            ("group", runs, "whoever starts it says as whom it runs"),
            ("directory", runs, "whoever starts it says where it runs"),
            ("environment", runs, "whoever starts it sets its environment"),
        ] {
            if let Some(written) = section.value(key).filter(|_| !needed) {
                let problem = Problem::new(format!("`{key}` is for what Vestibule starts: {what}"));
                let instead = format!(
                    "leave it out, or write the `command` with which Vestibule starts `{}`",
                    self.name.value
                );
                self.report(&written.span(), problem, &instead);
            }
        }
        if let Some(start) = self.written.start.as_ref().filter(|start| start.value && !starts) {
            let problem = Problem::new("nothing says how to start it");
            self.report(
                &start.span,
                problem,
                "write its `command`, or a `start_command`, or leave `start` out",
            );
        }
    }

    fn instances(&self) {
        let Some(instances) = self.written.instances.as_ref().filter(|instances| instances.value > 1) else {
            return;
        };
        let several =
            |why: &str| Problem::new(format!("{} instances are not possible: {why}", instances.value));
        if let Some(upstream) = self.upstream {
            let instead = format!(
                "leave `instances` out, and let the server of `{}` run more threads or workers",
                upstream.name
            );
            self.report(&instances.span, several("one socket is one instance"), &instead);
        } else if self.written.section.lacks("command") {
            let instead = "leave `instances` out, or write the `command` with which Vestibule starts them";
            self.report(&instances.span, several("a PID file names one"), instead);
        } else if self.written.section.has("pid_file") {
            let instead = "leave `pid_file` out: Vestibule knows its children without one";
            self.report(&instances.span, several("a PID file names one"), instead);
        }
    }

    /// What stands for nothing here.
    fn placeholders(&self) {
        let no_pid_file = self.written.section.lacks("pid_file")
            && self.upstream.is_none_or(|upstream| upstream.pid_file.is_none());
        for Found { value, span } in self.texts() {
            if Placeholder::Socket.is_in(value) {
                match self.upstream.map(Upstream::address) {
                    Some(UpstreamAddress::Unix(_)) => {}
                    Some(address) => {
                        let problem =
                            Problem::new("`{socket}` is a Unix socket, and the upstream listens on a port");
                        self.report(span, problem, &format!("write the port itself: {address}"));
                    }
                    None if self.serves == Serves::Unclear => {}
                    None => {
                        let problem = Problem::new(format!(
                            "`{{socket}}` is the socket of an upstream, and the process `{}` has none",
                            self.name.value
                        ));
                        let instead =
                            "write the `upstream` whose requests it answers, or give the process its name";
                        self.report(span, problem, instead);
                    }
                }
            }
            if Placeholder::PidFile.is_in(value) && no_pid_file && self.serves != Serves::Unclear {
                let problem = Problem::new("`{pid_file}` stands for a PID file, and none is known");
                self.report(
                    span,
                    problem,
                    "write `pid_file`, or leave `{pid_file}` out: Vestibule knows its children without one",
                );
            }
        }
    }

    /// Two instances stand side by side for a while: each has a socket and a PID file of its own.
    fn replace(&self) {
        let Some(replace) = self.written.restart.replace() else { return };
        let cannot = |why: &str| Problem::new(format!("restart = \"replace\" is not possible: {why}"));
        if self.written.section.lacks("command") {
            let instead = "write another `restart`, or the `command` with which Vestibule starts it";
            self.report(replace, cannot("Vestibule cannot start a second instance"), instead);
            return;
        }
        let Some(upstream) = self.upstream else {
            if self.serves == Serves::Nobody {
                let instead = "write another `restart`: nobody waits for a process in the background";
                self.report(replace, cannot("there is no socket to hand over"), instead);
            }
            return;
        };
        let Some(UpstreamAddress::Unix(socket)) = upstream.only_address() else {
            let instead = "let the application listen at a Unix socket, or write another `restart`";
            self.report(replace, cannot("two instances cannot share a port"), instead);
            return;
        };
        let pid_file =
            self.written.pid_file.as_ref().map(|found| &found.value).or(upstream.pid_file.as_ref());
        let paths = [("socket", Some(socket)), ("pid_file", pid_file)];
        let words = self.written.command.iter().flat_map(|command| &command.value);
        for Found { value, span } in words.chain(self.values()) {
            for (name, path) in paths {
                let path = path.and_then(|path| path.to_str());
                if path.is_some_and(|path| mentions(value, path)) {
                    let problem = cannot("both instances would use this path");
                    self.report(
                        span,
                        problem,
                        &format!("write `{{{name}}}` in its place, which is another one for each"),
                    );
                }
            }
        }
    }

    /// A signal that does not restart this server.
    fn signal(&self) {
        let Some(signal) = &self.written.restart.signal else { return };
        let server = self.upstream.map(|upstream| upstream.server);
        let deadly =
            DEADLY.iter().find(|(of, _, signals)| server == Some(*of) && signals.contains(&signal.value));
        if let Some((_, name, _)) = deadly {
            let problem =
                Problem::new(format!("{} does not restart {name}, it ends it", signal.value.as_str()));
            self.report(&signal.span, problem, "leave it out: \"auto\" restarts each server as suits it");
        }
    }

    /// Everything in which placeholders are filled in.
    fn texts(&self) -> impl Iterator<Item = &Found<String>> {
        let written = self.written;
        let commands =
            [&written.command, &written.start_command, &written.restart.command].into_iter().flatten();
        commands.flat_map(|command| &command.value).chain(self.values())
    }

    /// The values of its variables.
    fn values(&self) -> impl Iterator<Item = &Found<String>> {
        self.written.environment.iter().map(|(_, value)| value)
    }

    fn report(&self, span: &Range<usize>, problem: Problem, instead: &str) {
        self.written.section.report(span.clone(), problem.instead(instead));
    }
}

/// Whether a path stands in a text, and not just the beginning of a longer one.
fn mentions(text: &str, path: &str) -> bool {
    let goes_on = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
    text.match_indices(path).any(|(start, _)| !text[start + path.len()..].starts_with(goes_on))
}
