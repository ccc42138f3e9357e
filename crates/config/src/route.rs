//! `[[route]]`

use std::collections::HashMap;

use toml::de::DeValue;

use crate::buffer;
use crate::document::{Found, Reader, Section};
use crate::host::HostPattern;
use crate::model::{Buffer, Route, RouteId, UpstreamId};
use crate::path_tree::PathPattern;
use crate::problem::Problem;
use crate::routes::Routes;
use crate::suggestion;
use crate::upstream::ReadUpstream;
use crate::value;

const KIND: &str = "in [[route]]";

/// All routes: compiled, and what each of them says. Without any written, everything goes to the only upstream.
/// `buffer` holds where a route says nothing else.
pub(crate) fn read_all(
    reader: &Reader,
    top: &Section<'_>,
    upstreams: &[ReadUpstream],
    buffer: Buffer,
) -> (Routes, Vec<Route>) {
    let sections = top.sections("route", KIND);
    if sections.is_empty() {
        read(Section::absent(reader, KIND), upstreams, buffer);
        let second = upstreams.get(1).and_then(|upstream| upstream.name.clone());
        // `route` of the wrong kind has been reported; this would be a consequence.
        if let Some(second) = second.filter(|_| {
            top.value("route")
                .is_none_or(|written| written.get_ref().as_array().is_some_and(|array| array.is_empty()))
        }) {
            let problem =
                Problem::new("there are several upstreams, and no [[route]] says which requests go where");
            let first = &upstreams[0].meaning.name;
            let instead =
                format!("write [[route]] and below it upstream = \"{first}\", and one more per upstream");
            reader.report(second, problem.instead(instead));
        }
        return (Routes::all_to(RouteId(0)), vec![Route { buffer, ..Route::to(UpstreamId(0)) }]);
    }
    let mut builder = Routes::builder();
    let mut settings = Vec::new();
    let mut lines = HashMap::new();
    for section in sections {
        let span = section.span.clone();
        let Some(ReadRoute { host, path, meaning }) = read(section, upstreams, buffer) else { continue };
        let line = reader.source().line(span.start);
        if builder.insert(&host, &path, RouteId(settings.len())).is_none() {
            settings.push(meaning);
            lines.insert((host, path), line);
        } else if let Some(earlier) = lines.get(&(host, path)) {
            let problem = Problem::new(format!("the route on line {earlier} has the same host and path"));
            reader.report(span, problem.instead("leave one of them out: their order says nothing"));
        }
    }
    (builder.build(), settings)
}

struct ReadRoute {
    host: HostPattern,
    path: PathPattern,
    meaning: Route,
}

/// `None` when something in it is wrong: half a route would fit more than what was meant.
fn read(section: Section<'_>, upstreams: &[ReadUpstream], buffer: Buffer) -> Option<ReadRoute> {
    let host = section.read("host", |value| HostPattern::parse(text(value, "host", "example.com")?));
    let path = section.read("path", |value| PathPattern::parse(text(value, "path", "/assets/*")?));
    let upstream = section.read("upstream", |value| named(value, upstreams));
    let buffer = buffer::read(section.section("buffer", "in `buffer` of [[route]]"), buffer);
    section.later("files", "leave it out, and let the application serve them");
    section.later("redirect", "leave it out, and let the application redirect");
    for key in ["respond", "rewrite", "headers", "method", "auth", "rate", "cache"] {
        section.later(key, "leave it out");
    }
    for key in ["hosts", "paths"] {
        section.later(key, "write a [[route]] for each");
    }

    let is_later = section.has("files") || section.has("redirect") || section.has("respond");
    if section.lacks("upstream") && upstreams.len() > 1 && !is_later {
        let problem = Problem::new("this route does not say which upstream its requests go to");
        section
            .report(section.span.clone(), problem.instead(format!("write upstream = {}", names(upstreams))));
    }
    let wrong = (section.has("host") && host.is_none())
        || (section.has("path") && path.is_none())
        || (upstream.is_none() && (section.has("upstream") || upstreams.len() > 1));
    section.finish();
    (!wrong).then(|| ReadRoute {
        host: host.map_or(HostPattern::Any, |found: Found<_>| found.value),
        path: path.map_or_else(PathPattern::any, |found| found.value),
        meaning: Route { buffer, ..Route::to(upstream.map_or(UpstreamId(0), |found| found.value)) },
    })
}

/// A host or a path: one per route.
fn text<'v>(value: &'v DeValue<'_>, key: &str, example: &str) -> Result<&'v str, Problem> {
    if value.is_array() {
        return Err(
            Problem::new(format!("a route has one {key}")).instead("write a [[route]] for each of them")
        );
    }
    value::text(value, example)
}

/// The upstream of that name.
pub(crate) fn named(value: &DeValue<'_>, upstreams: &[ReadUpstream]) -> Result<UpstreamId, Problem> {
    let text = value::text(value, "app")?;
    if let Some(index) = upstreams.iter().position(|upstream| upstream.meaning.name == text) {
        return Ok(UpstreamId(index));
    }
    let near = suggestion::nearest(text, upstreams.iter().map(|upstream| upstream.meaning.name.as_str()));
    let instead = match near {
        Some(near) => format!("write \"{near}\""),
        None => format!("write {}, or add [upstream.{text}]", names(upstreams)),
    };
    Err(Problem::new(format!("there is no upstream {text:?}")).instead(instead))
}

/// The names to choose from.
fn names(upstreams: &[ReadUpstream]) -> String {
    let names = upstreams.iter().map(|upstream| format!("\"{}\"", upstream.meaning.name));
    names.collect::<Vec<_>>().join(" or ")
}
