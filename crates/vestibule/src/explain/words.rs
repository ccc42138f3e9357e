//! An explanation for people: aligned, and short enough to be quoted.

use std::fmt::Write as _;

use super::{At, Candidate, Explanation, Outcome};

/// The widest word on the left: `candidates`.
const LEFT: usize = 10;

/// The text, with a line break at its end. What the request or the configuration says cannot write to the terminal.
pub(super) fn of(explanation: &Explanation) -> String {
    let mut text = Text(String::new());
    let Explanation { method, url, client, .. } = explanation;
    text.line("request", &format!("{method} {url} from {client}"));
    match &explanation.listener {
        Some(listener) => text.line("listener", &at(listener)),
        None => {
            text.line(
                "listener",
                &format!("none accepts this; there is {}", explanation.listeners.join(", ")),
            );
        }
    }
    match &explanation.route {
        Some(route) => text.line("route", &at(route)),
        None if explanation.steps.iter().any(|step| step.name == "answer") => {
            text.line("route", "none takes it");
        }
        // It never comes to the routes.
        None => {}
    }
    text.list(
        "why",
        explanation.candidates.iter().enumerate().flat_map(|(index, candidate)| why(index, candidate)),
    );
    let widest = explanation.steps.iter().map(|step| step.name.len()).max().unwrap_or_default();
    let steps = explanation.steps.iter().enumerate();
    text.list(
        "then",
        steps.map(|(index, step)| format!("{}. {:widest$}  {}", index + 1, step.name, step.says)),
    );
    let fields = explanation.fields.iter();
    text.list("fields", fields.map(|change| format!("{:8}  {}", change.of, change.says)));
    let limits: Vec<_> =
        explanation.limits.iter().map(|limit| format!("{} {}", limit.key, limit.is)).collect();
    text.list("limits", limits.chunks(3).map(|three| three.join(", ")));
    text.0
}

struct Text(String);

impl Text {
    fn line(&mut self, left: &str, right: &str) {
        let clean: String = right.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        let _ = writeln!(self.0, "{left:LEFT$} {clean}");
    }

    fn list(&mut self, left: &str, lines: impl Iterator<Item = String>) {
        for (index, line) in lines.enumerate() {
            self.line(if index == 0 { left } else { "" }, &line);
        }
    }
}

fn at(at: &At) -> String {
    match &at.place {
        Some(place) => format!("{}  ({place})", at.name),
        None => at.name.clone(),
    }
}

/// One candidate, and below it the conditions that decided.
fn why(index: usize, candidate: &Candidate) -> Vec<String> {
    let outcome = match candidate.outcome {
        Outcome::Taken if candidate.conditions.is_empty() => {
            "host and path fit, and it asks nothing else: taken"
        }
        Outcome::Taken => "host and path fit, and so does the rest: taken",
        Outcome::PassedOver => "host and path fit, but not the rest: passed over",
        Outcome::NotAsked => "fits less well: not asked",
    };
    let mut lines = vec![format!("{}. {}: {outcome}", index + 1, at(&candidate.route))];
    if candidate.outcome != Outcome::NotAsked {
        let conditions = candidate.conditions.iter();
        lines.extend(
            conditions.map(|(words, holds)| format!("   {} {words}", if *holds { "yes" } else { "no " })),
        );
    }
    lines
}
