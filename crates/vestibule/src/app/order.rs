//! Commands to applications, and to Vestibule itself: what came of them, in words and in an exit status.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, timeout};
use vestibule_process::Outcome;

use super::connection::Connection;
use super::measure::{self, clean};
use super::{Exit, Order, Problem, SILENCE, Voice, Wait};
use crate::control::protocol::{Reply, Request, Verb};

/// What came of a command to one process, as `--json` tells it.
#[derive(Debug, Serialize)]
struct Told<'r> {
    name: &'r str,
    command: &'static str,
    /// `done`, `already`, `failed`, `refused`, `superseded`; `accepted` where nobody waits; `waiting` when the time is over.
    outcome: &'static str,
    words: &'r str,
    milliseconds: Option<u64>,
}

/// A command on its way, or at its end.
struct Course {
    name: String,
    ended: Option<(Outcome, u64)>,
}

/// Gives a command to those that are meant, and waits as is asked.
pub(super) async fn give(
    verb: Verb,
    order: &Order,
    places: &[PathBuf],
    voice: &mut Voice<'_>,
) -> Result<Exit, Problem> {
    let mut request = Request { wait: !order.wait.no_wait, ..Request::new(verb) };
    request.name.clone_from(&order.name);
    let most = order.wait.most();
    let late = most.map(|most| Instant::now() + most);
    let mut connection = Connection::ask(places, &request).await?;
    let mut courses: Vec<Course> = Vec::new();
    let is_late = loop {
        let left = late.map(|late| late.saturating_duration_since(Instant::now()));
        let reply = match connection.reply(left).await {
            Ok(reply) => reply,
            Err(Problem::Late(_)) => break true,
            Err(problem) => {
                for course in courses.iter().filter(|course| course.ended.is_none()) {
                    voice.complain(&format_args!("{}: it is not known what came of it", clean(&course.name)));
                }
                return Err(problem);
            }
        };
        match reply {
            Reply::Accepted { name } => courses.push(Course { name, ended: None }),
            Reply::Ended { name, outcome, milliseconds } => {
                if !order.json {
                    tell(&name, &outcome, milliseconds, voice)?;
                }
                let ended = Some((outcome, milliseconds));
                match courses.iter_mut().find(|course| course.name == name && course.ended.is_none()) {
                    Some(course) => course.ended = ended,
                    None => courses.push(Course { name, ended }),
                }
            }
            Reply::End => break false,
            other => return Err(connection.not_understood(&other)),
        }
    };
    let rest = if is_late { "waiting" } else { "accepted" };
    if order.json {
        let results: Vec<_> = courses.iter().map(|course| course.result(verb, rest)).collect();
        voice.json(&results)?;
    }
    for course in courses.iter().filter(|course| course.ended.is_none()) {
        let (name, verb) = (clean(&course.name), verb.as_str());
        if is_late {
            let waited = measure::seconds(most.unwrap_or_default());
            voice.complain(&format_args!("{name}: {verb} is not done after {waited}; it goes on"));
        } else if !order.json {
            writeln!(voice.out, "{name}: {verb} accepted")?;
        }
    }
    Ok(exit(&courses, is_late))
}

/// One line for one process: on standard output what is as it should be, else on standard error.
fn tell(name: &str, outcome: &Outcome, milliseconds: u64, voice: &mut Voice<'_>) -> Result<(), Problem> {
    let (name, words) = (clean(name), measure::clean_lines(outcome.words()));
    match outcome {
        Outcome::Done(_) => {
            let took = measure::seconds(Duration::from_millis(milliseconds));
            writeln!(voice.out, "{name}: {words} ({took})")?;
        }
        Outcome::Already(_) => writeln!(voice.out, "{name}: {words}")?,
        Outcome::Failed(_) | Outcome::Refused(_) | Outcome::Superseded(_) => {
            voice.complain(&format_args!("{name}: {words}"));
        }
    }
    Ok(())
}

fn exit(courses: &[Course], is_late: bool) -> Exit {
    let ended = || courses.iter().filter_map(|course| course.ended.as_ref()).map(|(outcome, _)| outcome);
    if ended().any(|outcome| matches!(outcome, Outcome::Failed(_) | Outcome::Superseded(_))) {
        Exit::Failed
    } else if is_late {
        Exit::Late
    } else if ended().any(|outcome| matches!(outcome, Outcome::Refused(_))) {
        Exit::Refused
    } else {
        Exit::Done
    }
}

impl Course {
    /// `rest` is what is said of one that has not ended.
    fn result(&self, verb: Verb, rest: &'static str) -> Told<'_> {
        let outcome = self.ended.as_ref().map_or(rest, |(outcome, _)| match outcome {
            Outcome::Done(_) => "done",
            Outcome::Already(_) => "already",
            Outcome::Failed(_) => "failed",
            Outcome::Refused(_) => "refused",
            Outcome::Superseded(_) => "superseded",
        });
        let words = self.ended.as_ref().map_or("", |(outcome, _)| outcome.words());
        let milliseconds = self.ended.as_ref().map(|(_, milliseconds)| *milliseconds);
        Told { name: &self.name, command: verb.as_str(), outcome, words, milliseconds }
    }
}

/// Asks Vestibule to end, and waits until it has.
pub(super) async fn quit(wait: &Wait, places: &[PathBuf], voice: &mut Voice<'_>) -> Result<Exit, Problem> {
    let mut connection = Connection::ask(places, &Request::new(Verb::Quit)).await?;
    let which = connection.pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
    match connection.reply(Some(SILENCE)).await? {
        Reply::Accepted { .. } => {}
        other => return Err(connection.not_understood(&other)),
    }
    if wait.no_wait {
        writeln!(voice.out, "Vestibule{which} ends, and leaves the applications running")?;
        return Ok(Exit::Done);
    }
    let is_late = match wait.most() {
        None => {
            connection.end().await;
            false
        }
        Some(most) => timeout(most, connection.end()).await.is_err(),
    };
    if is_late {
        let waited = measure::seconds(wait.most().unwrap_or_default());
        return Err(Problem::Late(format!(
            "Vestibule{which} has not ended after {waited}; it still finishes what it has"
        )));
    }
    writeln!(voice.out, "Vestibule{which} has ended, and left the applications running")?;
    Ok(Exit::Done)
}
