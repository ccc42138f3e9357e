//! Commands: lists of words, with placeholders in them.

use std::path::Path;

use toml::de::DeValue;

use super::placeholder::{Piece, Placeholder, pieces};
use crate::document::{Found, Section};
use crate::problem::Problem;
use crate::suggestion;
use crate::value::describe;

/// A command, and where it and each of its words are written.
pub(super) type Command = Found<Vec<Found<String>>>;

/// Programs that put themselves into the background on request, and the options by which they do.
const DAEMONS: &[(&[&str], &[&str])] = &[
    (&["unicorn", "unicorn_rails"], &["-D", "--daemonize"]),
    (&["thin"], &["-d", "--daemonize"]),
    (&["passenger"], &["-d", "--daemonize"]),
];

/// Reads a command in whose words placeholders are filled in.
pub(super) fn filled(section: &Section<'_>, key: &'static str) -> Option<Command> {
    read(section, key, fillable)
}

/// Reads a command that is run as it is written.
pub(super) fn plain(section: &Section<'_>, key: &'static str) -> Option<Command> {
    read(section, key, |word| {
        match Placeholder::ALL.into_iter().find(|placeholder| placeholder.is_in(word)) {
            Some(placeholder) => {
                let name = placeholder.as_str();
                Err(Problem::new(format!("`{{{name}}}` is not filled in here"))
                    .instead("leave it out: this command finds what there is to know in its environment"))
            }
            None => Ok(()),
        }
    })
}

/// Reads a word or a variable's value: text in which placeholders are filled in.
pub(super) fn fillable(text: &str) -> Result<(), Problem> {
    if text.contains("{{PID}}") {
        return Err(Problem::new("`{{PID}}` is not filled in here").instead(
            "write `stop_sequence` or `restart_signal` for signals, which find the PID by themselves",
        ));
    }
    let Some(unknown) = pieces(text).find_map(|piece| match piece {
        Piece::Unknown(name) => Some(name),
        _ => None,
    }) else {
        return Ok(());
    };
    let names = Placeholder::ALL.map(Placeholder::as_str);
    let instead = match suggestion::nearest(unknown, names) {
        Some(near) => format!("write `{{{near}}}`"),
        None => format!(
            "write one of {}; braces of your own stay as they are with a blank inside, `{{ {unknown} }}`, or behind a `$`",
            names.map(|name| format!("`{{{name}}}`")).join(", ")
        ),
    };
    Err(Problem::new(format!("`{{{unknown}}}` stands for nothing")).instead(instead))
}

/// What no text handed to a program can have in it.
pub(super) fn without_nul(text: &str) -> Result<(), Problem> {
    if text.contains('\0') {
        return Err(Problem::new("a NUL byte ends a text that a program is given").instead("leave it out"));
    }
    Ok(())
}

fn read(
    section: &Section<'_>,
    key: &'static str,
    check: impl Fn(&str) -> Result<(), Problem>,
) -> Option<Command> {
    let written = section.value(key)?;
    let report = |problem| section.report(written.span(), problem);
    let array = match written.get_ref() {
        DeValue::Array(array) => array,
        DeValue::String(line) => {
            let problem = Problem::new(format!("`{key}` is a list of words, not one text"));
            report(problem.instead(format!("write {}", as_list(key, line))));
            return None;
        }
        other => {
            let problem = Problem::new(format!("`{key}` is a list of words, not {}", describe(other)));
            report(problem.instead(format!("write {key} = [\"bundle\", \"exec\", \"puma\"]")));
            return None;
        }
    };
    let mut words = Vec::new();
    for element in array {
        let word = match element.get_ref() {
            DeValue::String(word) => without_nul(word).and_then(|()| check(word)).map(|()| word.to_string()),
            other => Err(Problem::new(format!("expected a word, found {}", describe(other)))
                .instead("write each word of the command between quotes, numbers too")),
        };
        match word {
            Ok(word) => words.push(Found { value: word, span: element.span() }),
            Err(problem) => section.report(element.span(), problem),
        }
    }
    if words.len() < array.len() {
        return None;
    }
    match words.first().map(|first| program(key, &first.value, words.len())) {
        Some(Ok(())) => Some(Found { value: words, span: written.span() }),
        Some(Err(problem)) => {
            section.report(words.first().map_or(written.span(), |first| first.span.clone()), problem);
            None
        }
        None => {
            let problem = Problem::new(format!("`{key}` is empty: there is no program to run"));
            report(problem.instead("write the program and its arguments, or leave it out"));
            None
        }
    }
}

/// What cannot be the first word.
fn program(key: &str, word: &str, words: usize) -> Result<(), Problem> {
    if word.is_empty() {
        return Err(
            Problem::new("the program's name is empty").instead("write the program as the first word")
        );
    }
    if words == 1 && word.contains(char::is_whitespace) && !word.starts_with('/') {
        return Err(Problem::new(format!("{word:?} is one word, and there is no program of that name"))
            .instead(format!("write {}", as_list(key, word))));
    }
    match assignment(word) {
        Some((name, value)) => Err(Problem::new(format!("{word:?} is a variable, not a program")).instead(
            format!("write environment = {{ {name} = {value:?} }}, and the program as the first word"),
        )),
        None => Ok(()),
    }
}

/// A word that would put an application into the background, where it would no longer be our child.
pub(super) fn daemonizes(command: &Command) -> Option<&Found<String>> {
    let words = &command.value;
    words.iter().enumerate().find_map(|(index, word)| {
        let name = Path::new(&word.value).file_name()?.to_str()?;
        let (_, options) = DAEMONS.iter().find(|(names, _)| names.contains(&name))?;
        words[index + 1..].iter().find(|word| options.contains(&word.value.as_str()))
    })
}

/// A command line as the list that says the same.
fn as_list(key: &str, line: &str) -> String {
    let quoted = |words: &[&str]| words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    // What only a shell understands is left to one.
    if line.contains(['|', '&', ';', '<', '>', '(', ')', '`', '*', '?', '~', '"', '\'', '\\', '$']) {
        return format!("{key} = [{}], or its words one by one", quoted(&["sh", "-c", line.trim()]));
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let variables: Vec<_> = words.iter().map_while(|word| assignment(word)).collect();
    let command = format!("{key} = [{}]", quoted(&words[variables.len()..]));
    if variables.is_empty() {
        return command;
    }
    let variables: Vec<_> = variables.iter().map(|(name, value)| format!("{name} = {value:?}")).collect();
    format!("{command} and environment = {{ {} }}", variables.join(", "))
}

/// `NAME=value`, as a shell takes it before a command.
fn assignment(word: &str) -> Option<(&str, &str)> {
    word.split_once('=').filter(|(name, _)| super::variables::is_name(name))
}
