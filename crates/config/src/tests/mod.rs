//! Tests of the crate's promises, by subject.

mod acme;
mod environment;
mod error_pages;
mod errors;
mod example;
mod include;
mod meaning;
mod members;
mod mutation;
mod process;
mod process_values;
mod route_errors;
mod route_files;
mod route_keys;
mod routes;
mod routes_conditions;
mod routes_model;
mod schema;
mod tls;
mod values;
mod variables;
mod warnings;

use std::path::Path;

use crate::model::{Config, UpstreamId};
use crate::problem::Problem;
use crate::routes::HostAndPath;

/// Parses a text that must be right.
fn right(text: &str) -> Config {
    crate::parse(text, Path::new("test.toml")).unwrap_or_else(|error| panic!("refused:\n{text}\n{error}"))
}

/// Parses a text that must be wrong, and gives its problems.
fn wrong(text: &str) -> Vec<Problem> {
    match crate::parse(text, Path::new("test.toml")) {
        Ok(config) => panic!("taken as right:\n{text}\n{config:#?}"),
        Err(error) => error.problems().to_vec(),
    }
}

/// Parses a text with one error, and gives it.
fn wrong_once(text: &str) -> Problem {
    let problems = wrong(text);
    assert_eq!(problems.len(), 1, "not one problem in:\n{text}\n{problems:#?}");
    problems.into_iter().next().unwrap()
}

/// The text with the one error that it must have: its line, its column, and parts of the message and of the advice.
fn assert_wrong(text: &str, at: (usize, usize), message: &str, instead: &str) {
    let problem = wrong_once(text);
    let place = problem.place.as_ref().expect("an error in a file has a place");
    assert_eq!((place.line, place.column), at, "{problem}");
    assert!(problem.message.contains(message), "no {message:?} in {problem}");
    assert!(
        problem.instead.as_ref().is_some_and(|text| text.contains(instead)),
        "no {instead:?} in {problem}"
    );
}

/// Where a request goes.
fn upstream_of(config: &Config, host: &[u8], path: &[u8]) -> Option<UpstreamId> {
    let route = config.routes.find(&HostAndPath(host, path))?;
    config.route(route).expect("a route of this configuration").upstream()
}

/// Two configurations mean the same; what their routes fit and where they are written is not looked at.
fn assert_same(one: &Config, other: &Config) {
    assert_eq!(one.workers, other.workers);
    assert_eq!(one.listeners, other.listeners);
    assert_eq!(one.upstreams, other.upstreams);
    assert_eq!(one.trusted_proxies, other.trusted_proxies);
    assert_eq!(one.route_settings, other.route_settings);
    assert_eq!(one.limits, other.limits);
    assert_eq!(one.buffer, other.buffer);
    assert_eq!(one.disk, other.disk);
    assert_eq!(one.dns, other.dns);
    assert_eq!(one.fields, other.fields);
    assert_eq!(one.error_pages, other.error_pages);
    assert_eq!(one.log, other.log);
    assert_eq!(one.processes, other.processes);
    assert_eq!(one.control, other.control);
    assert_eq!(one.reload, other.reload);
}
