//! `respond`

use std::path::Path;
use std::sync::Arc;

use toml::de::DeValue;

use super::contents::{Contents, Goes};
use crate::document::{Found, Section};
use crate::model::Fixed;
use crate::path;
use crate::problem::Problem;
use crate::value;

/// Types by file ending, for what is answered from a file.
const TYPES: &[(&str, &str)] = &[
    ("css", "text/css; charset=utf-8"),
    ("gif", "image/gif"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain; charset=utf-8"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("xml", "application/xml"),
];

const TEXT: &str = "text/plain; charset=utf-8";

/// The answer, and the file that its body is in.
pub(super) fn read(section: &Section<'_>) -> Option<(Found<Fixed>, Option<Contents>)> {
    let mut file = None;
    let fixed = section.short_or_table(
        "respond",
        "in `respond` of [[route]]",
        |value| Ok(Fixed { status: status(value)?, content_type: String::new(), body: None }),
        |section| {
            let (fixed, body_file) = table(section)?;
            file = body_file;
            Some(fixed)
        },
    );
    fixed.map(|fixed| (fixed, file))
}

fn table(section: Section<'_>) -> Option<(Fixed, Option<Contents>)> {
    let directory = section.directory();
    let status = section.read("status", status);
    let body = section.read("body", |value| value::text(value, "fine\\n").map(str::to_owned));
    let file = section.read("body_file", |value| path::file(value, directory, "maintenance.html"));
    let content_type = section.read("type", content_type);
    let problem = |span: &std::ops::Range<usize>, message: &str, instead: &str| {
        section.report(span.clone(), Problem::new(message).instead(instead));
    };
    if section.is_written() && !section.has("status") && !section.has("body") && !section.has("body_file") {
        problem(
            &section.span,
            "this does not say what to answer",
            "write status = 404, or body = \"…\", or both",
        );
    }
    if let Some(file) = file.as_ref().filter(|_| section.has("body")) {
        problem(&file.span, "`body` and `body_file` are both written", "leave one of them out");
    }
    let has_body = section.has("body") || section.has("body_file");
    if let Some(status) =
        status.as_ref().filter(|status| has_body && matches!(status.value, 204 | 205 | 304 | 444))
    {
        let message = format!("an answer {} has no body", status.value);
        problem(&status.span, &message, "leave the body out, or write another status");
    }
    let known = file.as_ref().and_then(|file| type_of(&file.value));
    if let Some(file) = file.as_ref().filter(|_| known.is_none() && !section.has("type")) {
        let message = format!("the ending of {} does not say what it is", file.value.display());
        problem(&file.span, &message, "write its `type`, such as type = \"text/html; charset=utf-8\"");
    }
    let is_right = (!section.has("status") || status.is_some())
        && (!section.has("body") || body.is_some())
        && (!section.has("body_file") || file.is_some());
    section.finish();
    let usual = if body.is_some() { TEXT } else { known.unwrap_or_default() };
    let fixed = Fixed {
        status: status.map_or(200, |found| found.value),
        content_type: content_type.map_or_else(|| usual.to_owned(), |found| found.value),
        body: body.map(|body| Arc::from(body.value.as_bytes())),
    };
    let contents = file.map(|file| Contents { path: file.value, span: file.span, goes: Goes::Body });
    is_right.then_some((fixed, contents))
}

fn status(value: &DeValue<'_>) -> Result<u16, Problem> {
    if let Some(text) = value.as_str() {
        return Err(Problem::new(format!("expected a status, found the text {text:?}"))
            .instead("write a number, such as 404, or respond = { body = \"…\" }"));
    }
    let status = value::integer::<u16>(200..=599)(value)?;
    match status {
        301 | 302 | 303 | 307 | 308 => Err(Problem::new(format!("an answer {status} has to say where to"))
            .instead(format!("write redirect = {{ to = \"…\", status = {status} }}"))),
        status => Ok(status),
    }
}

/// A media type (RFC 9110 8.3.1), with what follows it.
pub(super) fn content_type(value: &DeValue<'_>) -> Result<String, Problem> {
    let text = value::text(value, "text/plain")?;
    let (kind, _) = text.split_once(';').unwrap_or((text, ""));
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(super::name::is_token);
    let names = kind.trim().split_once('/');
    if !names.is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype))
        || text.chars().any(|c| c.is_control() || !c.is_ascii())
    {
        return Err(Problem::new(format!("{text:?} is not a type"))
            .instead("write one such as \"text/html; charset=utf-8\" or \"application/json\""));
    }
    Ok(text.trim().to_owned())
}

fn type_of(path: &Path) -> Option<&'static str> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    TYPES.iter().find(|(known, _)| *known == ending).map(|(_, content_type)| *content_type)
}
