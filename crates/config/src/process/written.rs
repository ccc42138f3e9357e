//! `[process.NAME]`: what is written, read key by key, and what it means together.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::command::{self, Command};
use super::fitness::Fitness;
use super::restart::{WrittenRestart, words};
use super::{
    AnswerCheck, CpuCheck, Cycle, Flapping, MemoryCheck, OnExit, Output, Process, ProcessLimits, Start,
    StopStep, stop_sequence, variables, watch,
};
use crate::document::{Found, Reader, Section};
use crate::model::{Server, UpstreamId};
use crate::problem::Problem;
use crate::route;
use crate::upstream::{ReadUpstream, check_name};
use crate::value::{self, describe};

const KIND: &str = "in [process.NAME]";

/// Most instances of one process: each is watched by itself.
const MOST_INSTANCES: u64 = 64;

const ON_EXIT: &[(&str, OnExit)] = &[("stop", OnExit::Stop), ("leave", OnExit::Leave)];

/// A process, and where it is written.
pub(crate) struct ReadProcess {
    pub(crate) meaning: Process,
    pub(crate) places: ProcessPlaces,
}

/// Where the parts of a process are written that only this machine can judge; all `None` for one that nobody wrote.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProcessPlaces {
    /// The `upstream` of a process that names one, else its NAME.
    pub(crate) upstream: Option<Range<usize>>,
    pub(crate) directory: Option<Range<usize>>,
    pub(crate) user: Option<Range<usize>>,
    pub(crate) group: Option<Range<usize>>,
    pub(crate) output: Option<Range<usize>>,
}

/// Whose requests a process answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Serves {
    Upstream(UpstreamId),
    /// Nobody's: it runs in the background.
    Nobody,
    /// What was written of it is wrong, which has been reported.
    Unclear,
}

/// All processes: those written, in the order of the file, and one for each other upstream that has a PID file, adopted.
pub(crate) fn read_all(reader: &Reader, top: &Section<'_>, upstreams: &[ReadUpstream]) -> Vec<ReadProcess> {
    let tables = top.section("process", "in [process]");
    let mut processes: Vec<ReadProcess> = Vec::new();
    let mut nameless = false;
    for (name, value) in tables.entries() {
        let DeValue::Table(table) = value.get_ref() else {
            // The keys of a process without a name: one error for all of them.
            if !nameless {
                let problem =
                    Problem::new(format!("`{}` stands in [process], but a process has a name", name.value));
                reader.report(name.span, problem.instead("write [process.app] above the keys"));
            }
            nameless = true;
            continue;
        };
        check_name(reader, &name, "a process");
        let place = name.span.clone();
        let process = read(Section::new(reader, KIND, table, value.span()), name, upstreams);
        refuse_twice(reader, &process, &processes, place);
        processes.push(process);
    }
    if processes.is_empty() {
        // So that its keys are known, and can be named to who writes them elsewhere.
        Written::read(Section::absent(reader, KIND), Serves::Unclear).section.finish();
    }
    for (index, upstream) in upstreams.iter().enumerate() {
        let is_kept = processes.iter().any(|process| process.meaning.upstream == Some(UpstreamId(index)));
        if upstream.meaning.pid_file.is_some() && !is_kept {
            let meaning = Process::adopted(UpstreamId(index), &upstream.meaning);
            processes.push(ReadProcess { meaning, places: ProcessPlaces::default() });
        }
    }
    processes
}

/// One upstream has one process: its socket is one, and so is its PID file.
fn refuse_twice(reader: &Reader, process: &ReadProcess, earlier: &[ReadProcess], name: Range<usize>) {
    let place = |process: &ReadProcess| process.places.upstream.clone().unwrap_or_default();
    let line = |process: &ReadProcess| reader.source().line(place(process).start);
    let of = |process: &&ReadProcess| process.meaning.upstream;
    if let Some(first) = earlier.iter().find(|first| of(first).is_some() && of(first) == of(&process)) {
        let problem = Problem::new(format!("the process on line {} answers the same upstream", line(first)));
        let instead = "leave one of them out, or name another upstream: one socket is one process";
        reader.report(place(process), problem.instead(instead));
        return;
    }
    let pid_file = &process.meaning.pid_file;
    if let Some(first) =
        earlier.iter().find(|first| pid_file.is_some() && first.meaning.pid_file == *pid_file)
    {
        let problem = Problem::new(format!("the process on line {} has the same PID file", line(first)));
        let instead = "write another `pid_file`: one file names one process";
        reader.report(name, problem.instead(instead));
    }
}

/// The upstream that is named, or that has the name of the process.
fn serves(section: &Section<'_>, name: &Found<String>, upstreams: &[ReadUpstream]) -> (Serves, Range<usize>) {
    let namesake = upstreams.iter().position(|upstream| upstream.meaning.name == name.value).map(UpstreamId);
    if let Some(found) = section.read("upstream", |value| route::named(value, upstreams)) {
        if namesake.is_some_and(|namesake| namesake != found.value) {
            let problem =
                Problem::new(format!("the process `{}` would keep another upstream than `{0}`", name.value));
            let instead = "give the process the name of its upstream, and leave `upstream` out";
            section.report(found.span.clone(), problem.instead(instead));
        }
        return (Serves::Upstream(found.value), found.span);
    }
    let serves = match namesake {
        _ if !section.lacks("upstream") => Serves::Unclear,
        Some(id) => Serves::Upstream(id),
        None => Serves::Nobody,
    };
    (serves, name.span.clone())
}

fn read(section: Section<'_>, name: Found<String>, upstreams: &[ReadUpstream]) -> ReadProcess {
    let (serves, place) = serves(&section, &name, upstreams);
    let written = Written::read(section, serves);
    let upstream = match serves {
        Serves::Upstream(id) => upstreams.get(id.0).map(|upstream| (id, &upstream.meaning)),
        _ => None,
    };
    let restart = written.restart.meaning(&written.section);
    Fitness { written: &written, name: &name, serves, upstream: upstream.map(|(_, upstream)| upstream) }
        .check();
    written.section.finish();

    let places = ProcessPlaces {
        upstream: Some(place),
        directory: written.directory.as_ref().map(|found| found.span.clone()),
        user: written.user.as_ref().map(|found| found.span.clone()),
        group: written.group.as_ref().map(|found| found.span.clone()),
        output: written.output.as_ref().map(|found| found.span.clone()),
    };
    let is_owned = written.command.is_some();
    let start_command = written.start_command.as_ref().map(words);
    let can_start = is_owned || start_command.is_some();
    let usual_answer = (is_owned && upstream.is_some()).then(AnswerCheck::default);
    let usual_exit = if is_owned { OnExit::Stop } else { OnExit::Leave };
    let meaning = Process {
        name: name.value,
        upstream: upstream.map(|(id, _)| id),
        server: upstream.map_or(Server::Auto, |(_, upstream)| upstream.server),
        start: match &written.command {
            Some(command) => Start::Owned(words(command)),
            None => Start::Adopted { command: start_command },
        },
        directory: written.directory.map(|found| found.value),
        user: written.user.map(|found| found.value),
        group: written.group.map(|found| found.value),
        environment: written.environment.into_iter().map(|(name, value)| (name, value.value)).collect(),
        output: written.output.map_or(Output::Log, |found| found.value),
        limits: written.limits,
        instances: written.instances.map_or(1, |found| found.value),
        pid_file: written
            .pid_file
            .map(|found| found.value)
            .or_else(|| upstream.and_then(|(_, upstream)| upstream.pid_file.clone())),
        is_started: written.start.map_or(can_start, |found| found.value),
        on_exit: written.on_exit.unwrap_or(usual_exit),
        start_timeout: written.start_timeout,
        stop_sequence: written.stop_sequence,
        restart,
        memory: written.memory,
        cpu: written.cpu,
        answer: written.answer.map_or(usual_answer, |found| found.value),
        cycle: written.cycle,
        flapping: written.flapping,
        alert: written.alert.as_ref().map(words),
    };
    ReadProcess { meaning, places }
}

/// The keys by themselves. `None` is what is not written, or is wrong, which has been reported.
pub(super) struct Written<'d> {
    pub(super) section: Section<'d>,
    pub(super) command: Option<Command>,
    pub(super) start_command: Option<Command>,
    pub(super) directory: Option<Found<PathBuf>>,
    pub(super) user: Option<Found<String>>,
    pub(super) group: Option<Found<String>>,
    pub(super) environment: Vec<(String, Found<String>)>,
    pub(super) output: Option<Found<Output>>,
    limits: ProcessLimits,
    pub(super) instances: Option<Found<u32>>,
    pub(super) pid_file: Option<Found<PathBuf>>,
    pub(super) start: Option<Found<bool>>,
    on_exit: Option<OnExit>,
    start_timeout: Duration,
    stop_sequence: Option<Vec<StopStep>>,
    pub(super) restart: WrittenRestart,
    memory: Option<MemoryCheck>,
    cpu: Option<CpuCheck>,
    pub(super) answer: Option<Found<Option<AnswerCheck>>>,
    cycle: Option<Cycle>,
    flapping: Flapping,
    alert: Option<Command>,
}

impl<'d> Written<'d> {
    fn read(section: Section<'d>, serves: Serves) -> Self {
        section.value("upstream");
        let day = Duration::from_secs(24 * 3600);
        let environment = section.section("environment", "in `environment` of [process.NAME]");
        Written {
            command: command::filled(&section, "command"),
            start_command: command::filled(&section, "start_command"),
            directory: section.read("directory", |value| value::path(value, "/srv/app/current")),
            user: section.read("user", |value| account(value, "deploy")),
            group: section.read("group", |value| account(value, "deploy")),
            environment: variables::read(&environment),
            output: section.read("output", output),
            limits: limits(section.section("limits", "in `limits` of [process.NAME]")),
            instances: section.read("instances", value::integer(1..=MOST_INSTANCES)),
            pid_file: section.read("pid_file", |value| value::path(value, "/tmp/web_server.pid")),
            start: section.read("start", start),
            on_exit: section.read("on_exit", value::one_of(ON_EXIT)).map(|found| found.value),
            start_timeout: section.or(
                "start_timeout",
                Duration::from_secs(60),
                value::duration_within(Duration::from_millis(100)..=day),
            ),
            stop_sequence: stop_sequence::read(&section, "stop_sequence"),
            restart: WrittenRestart::read(&section),
            memory: watch::memory(&section),
            cpu: watch::cpu(&section),
            answer: watch::answer(&section),
            cycle: watch::cycle(&section, serves != Serves::Nobody),
            flapping: watch::flapping(&section),
            alert: command::plain(&section, "alert"),
            section,
        }
    }
}

/// A user's or a group's name or number; whether there is one of it, the machine tells.
fn account(value: &DeValue<'_>, example: &str) -> Result<String, Problem> {
    if value.is_integer() {
        // The highest number means "as it is" to the kernel.
        let number: u32 = value::integer(0..=u64::from(u32::MAX) - 1)(value)?;
        return Ok(number.to_string());
    }
    let name = value::text(value, example)?;
    if name.is_empty()
        || name.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | '/'))
    {
        return Err(Problem::new(format!("{name:?} is not a name"))
            .instead(format!("write one such as \"{example}\"")));
    }
    Ok(name.to_owned())
}

fn output(value: &DeValue<'_>) -> Result<Output, Problem> {
    let example = "/srv/app/shared/log/server.log";
    match value::text(value, "log")? {
        "log" => Ok(Output::Log),
        text if text.starts_with('/') => value::path(value, example).map(Output::File),
        text => Err(Problem::new(format!("{text:?} is no place for its output")).instead(format!(
            "write \"log\" for the log of Vestibule, or a file from the root: \"{example}\""
        ))),
    }
}

fn limits(section: Section<'_>) -> ProcessLimits {
    let size = |key, least| section.read(key, value::size(least..=1 << 60)).map(|found| found.value);
    let number = |key, least| section.read(key, value::integer(least..=1 << 30)).map(|found| found.value);
    let limits = ProcessLimits {
        // Standard input, output and error, and the libraries as they are loaded.
        open_files: number("open_files", 16),
        processes: number("processes", 1),
        memory: size("memory", 1 << 20),
        core: size("core", 0),
    };
    section.finish();
    limits
}

/// Whether it is started: others call a command by this name.
fn start(value: &DeValue<'_>) -> Result<bool, Problem> {
    value::boolean(value).map_err(|problem| match value {
        DeValue::String(_) | DeValue::Array(_) => Problem::new(format!("`start` is true or false, not {}", describe(value)))
            .instead("write `command` for what starts it here, or `start_command` for what makes another program start it"),
        _ => problem,
    })
}
