//! `stop_sequence` and `restart_signal` of `[process.NAME]`

use std::time::Duration;

use toml::de::DeValue;

use super::{Signal, StopStep};
use crate::document::Section;
use crate::problem::Problem;
use crate::suggestion;
use crate::value::{self, describe};

/// The longest that a whole sequence may take.
const LONGEST: Duration = Duration::from_secs(3600);
/// What a last signal is given to be heeded, where nothing is written behind it: KILL is what follows.
const LAST_WAIT: Duration = Duration::from_secs(30);

/// Reads `["QUIT", "30s", "TERM", "11s", "KILL"]`, or `["quit", 30, "term", 11, "kill"]` as bluepill writes it.
pub(super) fn read(section: &Section<'_>, key: &'static str) -> Option<Vec<StopStep>> {
    let written = section.value(key)?;
    let array = match written.get_ref() {
        DeValue::Array(array) => array,
        other => {
            let problem = Problem::new(format!("`{key}` is a list, not {}", describe(other)));
            let list = other.as_str().and_then(as_list);
            let list = list.unwrap_or_else(|| "[\"TERM\", \"30s\", \"KILL\"]".to_owned());
            section.report(written.span(), problem.instead(format!("write {key} = {list}")));
            return None;
        }
    };
    let mut steps = Vec::new();
    for element in array {
        match step(element.get_ref(), &steps) {
            Ok(step) => steps.push(step),
            Err(problem) => {
                // What follows is judged by what stands before it: one mistake is one error.
                section.report(element.span(), problem);
                return None;
            }
        }
    }
    match steps.last() {
        None => {
            let problem = Problem::new("nothing in it would stop the application");
            let instead = format!("leave `{key}` out for what suits the server, or begin it with a signal");
            section.report(written.span(), problem.instead(instead));
            return None;
        }
        Some(StopStep::Wait(_) | StopStep::Signal(Signal::Kill)) => {}
        Some(StopStep::Signal(_)) => steps.push(StopStep::Wait(LAST_WAIT)),
    }
    let whole: Duration =
        steps.iter().map(|step| if let StopStep::Wait(wait) = step { *wait } else { Duration::ZERO }).sum();
    if whole > LONGEST {
        let problem = Problem::new(format!("the whole sequence takes {} s", whole.as_secs()));
        section.report(written.span(), problem.instead("write shorter waits: together at most \"1h\""));
        return None;
    }
    Some(steps)
}

/// Reads a signal on which a server restarts itself.
pub(super) fn restart_signal(value: &DeValue<'_>) -> Result<Signal, Problem> {
    let signal = signal(value::text(value, "USR2")?)?;
    if signal == Signal::Kill {
        return Err(Problem::new("no application can restart itself on KILL")
            .instead("write restart = \"stop-start\", and the signals in `stop_sequence`"));
    }
    Ok(signal)
}

/// The step after those.
fn step(value: &DeValue<'_>, before: &[StopStep]) -> Result<StopStep, Problem> {
    let step = match value {
        DeValue::String(text) if !text.trim_start().starts_with(|c: char| c.is_ascii_digit()) => {
            StopStep::Signal(signal(text)?)
        }
        DeValue::String(_) => StopStep::Wait(value::duration(value)?),
        DeValue::Integer(_) => {
            let seconds: u64 = value::integer(1..=LONGEST.as_secs())(value)?;
            StopStep::Wait(Duration::from_secs(seconds))
        }
        other => {
            return Err(Problem::new(format!("expected a signal or a duration, found {}", describe(other)))
                .instead("write signals and durations in turn: [\"TERM\", \"30s\", \"KILL\"]"));
        }
    };
    match (before.last(), step) {
        (None, StopStep::Wait(_)) => Err(Problem::new("a stop sequence begins with a signal")
            .instead("write the signal before the duration, such as \"TERM\"")),
        (Some(StopStep::Wait(_)), StopStep::Wait(_)) => Err(Problem::new("two durations follow each other")
            .instead("write their sum, or a signal between them")),
        (Some(_), _) if before.contains(&StopStep::Signal(Signal::Kill)) => {
            Err(Problem::new("nothing is left after KILL").instead("let the sequence end with KILL"))
        }
        (_, step) => Ok(step),
    }
}

/// A signal by its name, in any case, with or without `SIG`.
fn signal(text: &str) -> Result<Signal, Problem> {
    let name = text.trim().to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some(signal) = Signal::ALL.into_iter().find(|signal| signal.as_str() == name) {
        return Ok(signal);
    }
    let names = Signal::ALL.map(Signal::as_str);
    let near = names
        .into_iter()
        .find(|known| suggestion::nearest(name, [known.to_ascii_lowercase().as_str()]).is_some());
    let instead = match near {
        Some(near) => format!("write \"{near}\""),
        None => format!("write one of {}", names.map(|name| format!("\"{name}\"")).join(", ")),
    };
    Err(Problem::new(format!("{text:?} is not a signal that can be sent here")).instead(instead))
}

/// `"usr1, 30, kill"`, as some platforms write it, as a list.
fn as_list(text: &str) -> Option<String> {
    let part = |part: &str| match part.trim() {
        seconds if !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(format!("\"{seconds}s\""))
        }
        name => signal(name).ok().map(|signal| format!("{:?}", signal.as_str())),
    };
    let parts: Option<Vec<_>> = text.split(',').map(part).collect();
    parts.map(|parts| format!("[{}]", parts.join(", ")))
}
