//! The text of a configuration: understood, or told what is wrong with it and where.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use vestibule_config::routes::HostAndPath;
use vestibule_config::{Config, Error, Placeholder, Problem, Process, Start, StopStep, UpstreamId};

use super::pieces::Pieces;

static PIECES: LazyLock<Pieces> = LazyLock::new(|| Pieces::of(include_str!("../config.dict")));

/// Checks a configuration, as `data` stands and with its bytes taken for words. What is not UTF-8 is made so.
pub fn check(data: &[u8]) {
    check_text(&String::from_utf8_lossy(data));
    let expanded = PIECES.expand(data);
    if expanded.len() != data.len() {
        check_text(&String::from_utf8_lossy(&expanded));
    }
}

fn check_text(text: &str) {
    match vestibule_config::parse(text, Path::new("fuzz.toml")) {
        Ok(config) => can_be_used(&config, text),
        Err(error) => tells_what_is_wrong(&error, text),
    }
}

/// Routes can be looked up, and what goes wrong later still finds its place in the text.
fn can_be_used(config: &Config, text: &str) {
    assert!(!config.listeners.is_empty() && !config.upstreams.is_empty(), "{text:?}");
    for host in [&b""[..], b"a", b"A.Example.:80", b"www.example.com", b"[::1]:80", b"\xff"] {
        for path in [&b"/"[..], b"*", b"/api/users", b"/a/b/c?d", b"//a/../%2e", b""] {
            let asked = HostAndPath(host, path);
            let found = config.routes.find(&asked);
            assert!(found.is_none_or(|id| config.route(id).is_some()), "{found:?} in {text:?}");
            let mut first = None;
            config.routes.candidates(&asked, &mut |id, holds| first = first.or(holds.then_some(id)));
            assert_eq!(found, first, "{text:?}");
            let mut caught = Vec::new();
            found.iter().for_each(|&id| config.routes.caught(id, path, &mut caught));
            assert!(caught.iter().all(|place| path.get(place.clone()).is_some()), "{caught:?} in {text:?}");
        }
    }
    for route in &config.route_settings {
        assert!(!route.steps.is_empty(), "{text:?}");
    }
    for index in 0..=config.listeners.len() {
        let error = config.listener_error(index, "the port is in use", "choose another");
        assert!(error.to_string().contains("the port is in use"));
        for place in error.problems().iter().filter_map(|problem| problem.place.as_deref()) {
            lies_inside(place.line, place.column, text);
        }
    }
    let mut names = BTreeSet::new();
    let mut upstreams = BTreeSet::new();
    for process in &config.processes {
        assert!(names.insert(&process.name), "{:?} twice in {text:?}", process.name);
        assert!(process.upstream.is_none_or(|id| upstreams.insert(id)), "{process:?} in {text:?}");
        can_be_kept(process, config.upstreams.len(), text);
    }
    assert!(!format!("{config:?}").is_empty());
}

/// It can be found or started, stopped, and watched.
fn can_be_kept(process: &Process, upstreams: usize, text: &str) {
    assert!(process.upstream.is_none_or(|UpstreamId(index)| index < upstreams), "{text:?}");
    assert!(process.instances == 1 || process.upstream.is_none() && process.is_owned(), "{text:?}");
    assert!(process.is_owned() || process.pid_file.is_some(), "{process:?} cannot be found: {text:?}");
    if let Start::Owned(command) | Start::Adopted { command: Some(command) } = &process.start {
        assert!(command.first().is_some_and(|program| !program.is_empty()), "{text:?}");
        for word in command {
            let filled = Placeholder::fill(word, |_| Some("/path".into()));
            let is_filled = Placeholder::ALL.iter().any(|placeholder| placeholder.is_in(word));
            assert!(is_filled || filled == **word, "{word:?} became {filled:?}");
            assert!(!word.contains('\0'), "{text:?}");
        }
    }
    if let Some(steps) = &process.stop_sequence {
        assert!(matches!(steps.first(), Some(StopStep::Signal(_))), "{text:?}");
        let ends = matches!(
            steps.last(),
            Some(StopStep::Wait(_) | StopStep::Signal(vestibule_config::Signal::Kill))
        );
        assert!(ends, "{steps:?} in {text:?}");
    }
    let times = [
        process.memory.map(|check| check.times),
        process.cpu.map(|check| check.times),
        process.answer.map(|check| check.times),
    ];
    for times in times.into_iter().flatten() {
        assert!((1..=times.of).contains(&times.bad) && times.of <= 100, "{times:?} in {text:?}");
    }
}

/// Every problem has a place inside the text, in order, and is shown as lines that cannot steer a terminal.
fn tells_what_is_wrong(error: &Error, text: &str) {
    assert!(!error.problems().is_empty(), "no problem with {text:?}");
    let mut before = (1, 1);
    for problem in error.problems() {
        let place = problem.place.as_deref().unwrap_or_else(|| panic!("no place: {problem} in {text:?}"));
        lies_inside(place.line, place.column, text);
        assert!(before <= (place.line, place.column), "out of order: {problem} in {text:?}");
        before = (place.line, place.column);
        is_shown_below_its_place(problem, text);
    }
    let shown = error.to_string();
    assert!(shown.lines().count() > 3 && shown.ends_with(" in fuzz.toml"), "{shown:?}");
    let steers = shown.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    assert!(!steers, "{shown:?} of {text:?}");
}

fn lies_inside(line: usize, column: usize, text: &str) {
    let found = line.checked_sub(1).and_then(|above| text.split('\n').nth(above));
    let found = found.unwrap_or_else(|| panic!("no line {line} in {text:?}"));
    // One behind the last character is where something is missing.
    assert!((1..=found.chars().count() + 1).contains(&column), "{line}:{column} in {text:?}");
}

/// The line of carets is as long as what stands before the place, and the carets.
fn is_shown_below_its_place(problem: &Problem, text: &str) {
    let shown = problem.to_string();
    assert!(!problem.message.is_empty(), "{text:?}");
    let mut lines = shown.lines();
    assert!(lines.next().is_some_and(|first| first.starts_with("fuzz.toml:")), "{shown:?}");
    let carets = lines.nth(2).and_then(|line| line.split_once(" | ")).map(|(_, carets)| carets);
    assert!(carets.is_some_and(|carets| carets.trim_start().starts_with('^')), "{shown:?}");
}
