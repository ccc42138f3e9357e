//! What is not TOML, in the same form as everything else that is wrong.

use toml::de::Error;

use crate::problem::{Place, Problem, Problems};
use crate::source::Source;

/// The errors of the TOML parser, in order; `None` when there are none. `start` is the offset of the text's first byte in all.
pub(crate) fn problems(source: &Source, start: usize, errors: &[Error]) -> Option<Problems> {
    let mut found: Vec<Problem> = Vec::new();
    let mut last_line = 0;
    let mut errors: Vec<_> = errors.iter().map(|error| (error.span().unwrap_or_default(), error)).collect();
    errors.sort_by_key(|(span, _)| span.start);
    for (span, error) in errors {
        let place = source.place(span.start + start..span.end + start);
        // After a first error in a line, others in the same line are most often its consequences.
        if place.line != last_line {
            last_line = place.line;
            let problem = Problem::new(format!("this is not TOML: {}", error.message()));
            found.push(problem.instead(instead(error.message(), &place)).at(Some(place)));
        }
    }
    Problems::from_found(found)
}

/// What to write instead, by the parser's words. Other words than these get the general rule.
fn instead(message: &str, place: &Place) -> String {
    let says = |words: &str| message.contains(words);
    if says("duplicate key") {
        return "leave one of them out, or put the keys of both below one".to_owned();
    }
    if says("with no value") {
        return "write it as key = value".to_owned();
    }
    if says("unclosed") {
        return "close the bracket that is open".to_owned();
    }
    if says("basic string") || says("literal string,") {
        return "close the quote that is open".to_owned();
    }
    let bare = says("must be quoted") || says("invalid float") || says("invalid integer") || says("date");
    match value(&place.source).filter(|_| bare) {
        Some("") => "write a value after the `=`".to_owned(),
        Some(value) if value.ends_with(';') => "leave out the semicolon".to_owned(),
        Some(value) if !value.contains(['"', '\'', '\\', '[', '{', ',']) => format!("write \"{value}\""),
        _ => "write key = value, one to a line, and text between quotes".to_owned(),
    }
}

/// What stands behind the `=` of a line, without a comment.
fn value(line: &str) -> Option<&str> {
    let (_, value) = line.split_once('=')?;
    Some(value.split('#').next().unwrap_or(value).trim())
}
