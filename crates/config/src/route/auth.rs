//! `auth`

use std::path::Path;

use toml::de::DeValue;

use super::contents::{Contents, Goes};
use super::password;
use crate::document::Section;
use crate::model::Auth;
use crate::path;
use crate::problem::Problem;
use crate::value;

const REALM: &str = "Restricted";

/// Who may come, and the file with the others.
pub(super) fn read(section: &Section<'_>) -> Option<(Auth, Option<Contents>)> {
    let section = section.section("auth", "in `auth` of [[route]]");
    let directory = section.directory();
    let realm = section.or("realm", REALM.to_owned(), realm);
    let below = section.section("users", "in `users` of `auth`");
    let mut users: Vec<(String, String)> = Vec::new();
    for (name, written) in below.entries() {
        if let Err(problem) = user(&name.value) {
            section.report(name.span, problem);
            continue;
        }
        match value::text(written.get_ref(), "$2y$05$…").and_then(|hash| password::check(hash, &name.value))
        {
            Ok(hash) => users.push((name.value, hash)),
            Err(problem) => section.report(written.span(), problem),
        }
    }
    let file = section.read("file", |value| path::file(value, directory, "/etc/vestibule/htpasswd"));
    let is_written = section.is_written();
    if is_written && below.entries().is_empty() && section.lacks("file") && !section.has("users") {
        let problem = Problem::new("`auth` without a user lets nobody in");
        section.report(
            section.span.clone(),
            problem.instead("write users = { ann = \"$2y$…\" }, or the `file` that `htpasswd -B` made"),
        );
    } else if below.is_written() && below.entries().is_empty() && !section.has("file") {
        let problem = Problem::new("`auth` without a user lets nobody in");
        section.report(below.span, problem.instead("write { ann = \"$2y$…\" }"));
    }
    section.finish();
    let file = file.map(|file| Contents { path: file.value, span: file.span, goes: Goes::Users });
    is_written.then_some((Auth { realm, users }, file))
}

/// What a browser shows: it stands between quotes in a field.
fn realm(value: &DeValue<'_>) -> Result<String, Problem> {
    let text = value::text(value, "Staging")?;
    if text.is_empty() || text.len() > 200 || text.chars().any(|c| c.is_control() || matches!(c, '"' | '\\'))
    {
        return Err(Problem::new(format!("{text:?} cannot be shown as a realm"))
            .instead("write a few words without quotes and backslashes, such as \"Staging\""));
    }
    Ok(text.to_owned())
}

/// A name that can be told from its password (RFC 7617 2).
fn user(name: &str) -> Result<(), Problem> {
    if name.is_empty() || name.len() > 255 || name.chars().any(|c| c.is_control() || c == ':') {
        return Err(Problem::new(format!("{name:?} cannot be the name of a user"))
            .instead("write a name without colons, such as \"ann\""));
    }
    Ok(())
}

/// Adds the users of a file in the form of Apache's `htpasswd`: `name:hash`, one a line.
pub(super) fn add_file(auth: &mut Auth, path: &Path, bytes: &[u8]) -> Vec<Problem> {
    let shown = path.display();
    let Ok(text) = str::from_utf8(bytes) else {
        return vec![
            Problem::new(format!("{shown} is not UTF-8 text")).instead("make it with `htpasswd -B`"),
        ];
    };
    let mut problems = Vec::new();
    let mut any = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        any = true;
        let at = |problem: Problem| Problem {
            message: format!("{shown}, line {}: {}", index + 1, problem.message),
            ..problem
        };
        let Some((name, hash)) = line.split_once(':') else {
            // It may be a password: it is not shown.
            let problem = Problem::new("there is no colon between a name and a hash");
            problems.push(at(problem.instead("write NAME:HASH, as `htpasswd -nB NAME` prints it")));
            continue;
        };
        // What follows a second colon is a remark.
        let hash = hash.split(':').next().unwrap_or(hash);
        match user(name).and_then(|()| password::check(hash, name)) {
            Ok(_) if auth.users.iter().any(|(other, _)| other == name) => {
                let problem = Problem::new(format!("the user {name:?} is there already"));
                problems.push(at(problem.instead("leave one of them out")));
            }
            Ok(hash) => auth.users.push((name.to_owned(), hash)),
            Err(problem) => problems.push(at(problem)),
        }
    }
    if !any {
        problems
            .push(Problem::new(format!("{shown} has no user in it")).instead("add one with `htpasswd -B`"));
    }
    problems
}
