//! `[[route]]`

use std::collections::HashMap;

use toml::de::DeValue;

use crate::buffer;
use crate::conditions::Conditions;
use crate::document::{Found, Reader, Section};
use crate::host::HostPattern;
use crate::model::{Buffer, FieldChanges, Route, RouteId, RouteTimeouts, Step, UpstreamId};
use crate::path_pattern::PathPattern;
use crate::problem::Problem;
use crate::routes::Routes;
use crate::suggestion;
use crate::upstream::ReadUpstream;
use crate::value;

mod access;
mod auth;
mod changeable;
pub(crate) mod compress;
mod conditions;
mod contents;
mod cors;
mod field_changes;
mod files;
mod name;
mod password;
mod rate;
mod redirect;
mod respond;
mod rewrite;
mod security;
mod sendfile;
mod split;
mod steps;
mod template;

pub(crate) use contents::NamedFile;

const KIND: &str = "in [[route]]";

/// Most combinations of hosts and paths of one route.
const MOST_COMBINATIONS: usize = 100_000;

/// What holds where a route says nothing else.
#[derive(Debug, Clone)]
pub(crate) struct Usual {
    pub(crate) buffer: Buffer,
    pub(crate) body_limit: u64,
    pub(crate) compress: compress::ByKind,
}

/// All routes: compiled, what each of them says, and the files that they name. Without any written, everything goes to the only upstream.
pub(crate) fn read_all(
    reader: &Reader,
    top: &Section<'_>,
    upstreams: &[ReadUpstream],
    usual: &Usual,
) -> (Routes, Vec<Route>, Vec<NamedFile>) {
    let sections = top.sections("route", KIND);
    if sections.is_empty() {
        let route = read(Section::absent(reader, KIND), upstreams, usual).meaning;
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
        return (Routes::all_to(RouteId(0)), vec![route], Vec::new());
    }
    let mut builder = Routes::builder();
    let mut settings = Vec::new();
    let mut files = Vec::new();
    // The line of each route, by its number.
    let mut lines = HashMap::new();
    for section in sections {
        let span = section.span.clone();
        let ReadRoute { hosts, paths, conditions, meaning, contents, is_right } =
            read(section, upstreams, usual);
        if !is_right {
            continue;
        }
        let id = RouteId(settings.len());
        lines.insert(id, reader.source().line(span.start));
        match builder.insert(&hosts, &paths, conditions, id) {
            None => {
                settings.push(meaning);
                files.extend(contents.into_iter().map(|contents| NamedFile { route: id, contents }));
            }
            Some(earlier) => {
                let line = lines.get(&earlier).copied().unwrap_or_default();
                let problem = Problem::new(format!("the route on line {line} has the same host and path"));
                let instead =
                    "leave one of them out, or give one of them a condition (method, header, query, client)";
                reader.report(span, problem.instead(instead));
            }
        }
    }
    (builder.build(), settings, files)
}

struct ReadRoute {
    hosts: Vec<HostPattern>,
    paths: Vec<PathPattern>,
    conditions: Conditions,
    meaning: Route,
    contents: Vec<contents::Contents>,
    /// Whether it fits what was meant: half a route would fit more.
    is_right: bool,
}

fn read(section: Section<'_>, upstreams: &[ReadUpstream], usual: &Usual) -> ReadRoute {
    let reader = section.reader();
    let before = reader.found();
    let hosts = distinct(
        &section,
        "host",
        section.one_or_list("host", |value| HostPattern::parse(value::text(value, "example.com")?)),
    );
    let paths = distinct(
        &section,
        "path",
        section.one_or_list("path", |value| PathPattern::parse(value::text(value, "/assets/*")?)),
    );
    if hosts.len().saturating_mul(paths.len()) > MOST_COMBINATIONS {
        let problem = Problem::new(format!("this route has {} hosts and {} paths", hosts.len(), paths.len()));
        section.report(
            section.span.clone(),
            problem.instead("write several routes, or a pattern in place of many paths"),
        );
    }
    let catches = match (section.has("path"), paths.as_slice()) {
        (false, _) => template::Catches::of(&[PathPattern::any()]),
        (true, _) if reader.found() > before => template::Catches::default(),
        (true, paths) => template::Catches::of(paths),
    };
    let conditions = conditions::read(&section);
    let compress = compress::read(&section, &usual.compress);
    let fits = reader.found() == before;
    let (steps, body) = steps::read(&section, upstreams, &catches, &compress);
    let is_right = fits && !steps.is_empty();
    let has_upstream = steps.iter().any(|step| matches!(step, Step::Upstream(_)));
    let auth = auth::read(&section);
    let (auth, users) = auth.map_or((None, None), |(auth, users)| (Some(auth), users));
    let (request_fields, response_fields) = field_changes::read(&section, &catches);
    let sendfile = sendfile::read(&section);
    if let Some(written) =
        section.value("sendfile").filter(|_| !sendfile.is_empty() && !steps.is_empty() && !has_upstream)
    {
        let problem =
            Problem::new("`sendfile` is for what an application says, and none answers in this route");
        section.report(written.span(), problem.instead("leave it out, or write an `upstream`"));
    }
    let meaning = Route {
        name: name(&section, &hosts, &paths),
        access: access::read(&section),
        auth,
        rates: rate::read(&section),
        rewrite: rewrite::read(&section, &catches),
        request_fields,
        response_fields: FieldChanges { default: security::read(&section), ..response_fields },
        cors: cors::read(&section),
        compress: compress.answers,
        buffer: buffer::read(section.section("buffer", "in `buffer` of [[route]]"), usual.buffer),
        body_limit: limits(section.section("limits", "in `limits` of [[route]]"), usual.body_limit),
        timeout: timeouts(section.section("timeout", "in `timeout` of [[route]]")),
        sendfile,
        steps: if steps.is_empty() { Route::to(UpstreamId(0)).steps } else { steps },
    };
    section.later("cache", "leave it out");
    let hosts = if section.has("host") { hosts } else { vec![HostPattern::Any] };
    let paths = if section.has("path") { paths } else { vec![PathPattern::any()] };
    section.finish();
    let contents = body.into_iter().chain(users).collect();
    ReadRoute { hosts, paths, conditions, meaning, contents, is_right }
}

/// Those of a list that are not there twice; a second one is noted.
fn distinct<T: PartialEq>(section: &Section<'_>, key: &str, found: Vec<Found<T>>) -> Vec<T> {
    let mut values = Vec::new();
    for Found { value, span } in found {
        if values.contains(&value) {
            let problem = Problem::new(format!("this {key} is in the list already"));
            section.report(span, problem.instead("leave one of them out"));
        } else {
            values.push(value);
        }
    }
    values
}

/// What the route is called: its host and path as they are written.
fn name(section: &Section<'_>, hosts: &[HostPattern], paths: &[PathPattern]) -> String {
    let written = |texts: Vec<String>| match texts.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} (+{})", rest.len()),
    };
    let host = written(hosts.iter().map(HostPattern::written).collect());
    let path = written(paths.iter().map(PathPattern::written).collect());
    match (section.has("host"), section.has("path")) {
        (false, false) => "*".to_owned(),
        (true, false) => format!("{host}/*"),
        _ => host + &path,
    }
}

/// `limits` of a route.
fn limits(section: Section<'_>, body: u64) -> u64 {
    let body = section.or("body", body, crate::meaning::body);
    section.finish();
    body
}

/// `timeout` of a route.
fn timeouts(section: Section<'_>) -> RouteTimeouts {
    let read = |key| section.read(key, value::duration).map(|found| found.value);
    let timeouts = RouteTimeouts { response: read("response"), idle: read("idle"), tunnel: read("tunnel") };
    section.finish();
    timeouts
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
