//! `method`, `header`, `query` and `client`

use toml::de::DeValue;

use super::name;
use crate::conditions::{Conditions, Test};
use crate::document::Section;
use crate::expression::Expression;
use crate::problem::Problem;
use crate::suggestion;
use crate::value::{self, describe};

/// Methods that clients send: of HTTP itself, of RFC 5789, and of WebDAV.
const METHODS: &[&str] = &[
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "QUERY",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
];

/// Reads all four keys. What is wrong in them is noted, and left out.
pub(super) fn read(section: &Section<'_>) -> Conditions {
    let mut methods: Vec<String> =
        section.one_or_list("method", method).into_iter().map(|found| found.value).collect();
    // A HEAD asks for what a GET would get (RFC 9110 9.3.2).
    if methods.iter().any(|method| method == "GET") {
        methods.push("HEAD".to_owned());
    }
    let mut clients: Vec<_> =
        section.one_or_list("client", value::network).into_iter().map(|found| found.value).collect();
    let mut fields = tests(section, "header", "in `header` of [[route]]", |key| {
        name::field(key).map(|name| name.to_ascii_lowercase())
    });
    let mut query = tests(section, "query", "in `query` of [[route]]", |key| Ok(key.to_owned()));
    methods.sort_unstable();
    methods.dedup();
    clients.sort_unstable();
    clients.dedup();
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    query.sort_by(|(one, _), (other, _)| one.cmp(other));
    Conditions { methods, fields, query, clients }
}

pub(super) fn method(value: &DeValue<'_>) -> Result<String, Problem> {
    let text = value::text(value, "POST")?;
    if METHODS.contains(&text) {
        return Ok(text.to_owned());
    }
    if matches!(text, "TRACE" | "CONNECT") {
        return Err(
            Problem::new(format!("{text} is refused before a route is looked for")).instead("leave it out")
        );
    }
    let upper = text.to_ascii_uppercase();
    let near = METHODS.iter().find(|&&method| method == upper).copied().or_else(|| {
        // Names are folded to lower case there.
        let lower: Vec<_> = METHODS.iter().map(|method| method.to_ascii_lowercase()).collect();
        let near = suggestion::nearest(text, lower.iter().map(String::as_str))?;
        METHODS.iter().find(|method| method.eq_ignore_ascii_case(near)).copied()
    });
    match near {
        Some(near) => {
            Err(Problem::new(format!("there is no method {text:?}")).instead(format!("write \"{near}\"")))
        }
        None if text.is_empty() || !text.bytes().all(name::is_token) || upper != text => {
            Err(Problem::new(format!("{text:?} is not a method"))
                .instead("write one in capital letters, such as \"GET\" or \"POST\""))
        }
        None => Ok(text.to_owned()),
    }
}

/// The tests below a key, by what their names mean.
fn tests(
    section: &Section<'_>,
    key: &'static str,
    kind: &'static str,
    name: impl Fn(&str) -> Result<String, Problem>,
) -> Vec<(String, Test)> {
    let below = section.section(key, kind);
    let mut tests: Vec<(String, Test)> = Vec::new();
    let entries = below.entries();
    if below.is_written() && entries.is_empty() {
        let problem = Problem::new(format!("there is nothing in `{key}`"));
        section.report(below.span.clone(), problem.instead("leave it out"));
    }
    for (written, value) in entries {
        match name(&written.value) {
            Ok(name) if tests.iter().any(|(other, _)| *other == name) => {
                let problem = Problem::new(format!("`{}` is asked about twice", written.value));
                section.report(written.span, problem.instead("leave one of them out"));
            }
            Ok(name) => match test(value.get_ref()) {
                Ok(test) => tests.push((name, test)),
                Err(problem) => section.report(value.span(), problem),
            },
            Err(problem) => section.report(written.span, problem),
        }
    }
    tests
}

fn test(value: &DeValue<'_>) -> Result<Test, Problem> {
    match value {
        DeValue::Boolean(true) => Ok(Test::IsThere),
        DeValue::Boolean(false) => Ok(Test::IsAbsent),
        DeValue::String(text) => match text.strip_prefix('~') {
            Some(text) => Expression::parse(text).map(Test::Finds),
            None => Ok(Test::Is(text.to_string())),
        },
        DeValue::Integer(number) => Err(Problem::new(format!("a value is text, not {}", describe(value)))
            .instead(format!("write it between quotes: \"{}\"", number.as_str()))),
        other => Err(Problem::new(format!("expected a value, found {}", describe(other))).instead(
            "write \"text\", '~ a regular expression', true where it only has to be there, or false where it must not be",
        )),
    }
}
