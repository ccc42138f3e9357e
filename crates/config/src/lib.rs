//! What the operator wrote, checked once.
//!
//! [`load`] reads a file in two steps: what was written (a TOML document in which every value keeps its place) and what
//! it means (a [`Config`] in which everything is checked and the routes are compiled). All errors come at once, each with
//! its place and with what to write instead.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use toml::de::DeTable;

mod account;
mod address;
mod buffer;
mod conditions;
mod control;
mod defaults;
mod dns;
mod document;
mod environment;
mod error;
mod error_page;
mod expression;
mod fields;
mod glob;
mod host;
mod include;
mod listener;
mod meaning;
mod model;
mod origins;
mod path;
mod path_pattern;
mod path_tree;
mod places;
mod problem;
mod process;
mod reach;
mod route;
pub mod routes;
mod schema;
mod secrets;
mod shortlist;
mod source;
mod suggestion;
mod syntax;
mod tls;
mod upstream;
mod value;
mod variables;
mod warning;
mod web_server;

pub use control::control_socket_in;
pub use environment::check_environment;
pub use error::Error;
pub use model::*;
pub use origins::Origins;
pub use places::Places;
pub use problem::{Place, Problem, Problems};
pub use process::*;
pub use schema::schema;
pub use tls::*;
pub use warning::warnings;
pub use web_server::{PID_FILE_VARIABLE, SOCKET_VARIABLE};

use document::Reader;
use include::MOST_BYTES;
use meaning::Named;
use source::Source;
use web_server::WebServer;

/// Reads a configuration from its text; `file` is what errors call it. Looks at nothing outside the text: no variable is set, what it
/// includes is not read, and [`Config::error_pages`] stays empty, as does what routes have in files (`body_file`, `file` of `auth`).
///
/// # Errors
/// [`Error::Invalid`] with every problem found, in order of position.
pub fn parse(text: &str, file: &Path) -> Result<Config, Error> {
    let (config, _, problems) = read(text.to_owned(), file, &WebServer::default(), &|_| None, false)?;
    checked(config, problems)
}

/// Reads a configuration file, the files that it includes, and the error pages that it names, and checks it against this machine
/// too (see [`check_environment`]). [`SOCKET_VARIABLE`] and [`PID_FILE_VARIABLE`] in our environment replace the defaults of an
/// upstream for which nothing else is written.
///
/// # Errors
/// [`Error::Read`] when the file cannot be read, else [`Error::Invalid`] with every problem found.
pub fn load(path: &Path) -> Result<Config, Error> {
    load_at(path, WebServer::from_environment())
}

/// As [`load`], for who wants to know what is written, and not whether it fits this machine: nothing is checked against it, and
/// [`Config::error_pages`] stays empty.
///
/// # Errors
/// As [`load`].
pub fn load_written(path: &Path) -> Result<Config, Error> {
    let (web_server, wrong) = WebServer::from_environment();
    let (config, _, mut problems) = read(text_of(path)?, path, &web_server, &variable, true)?;
    problems.extend(wrong);
    checked(config, problems)
}

fn load_at(path: &Path, web_server: (WebServer, Vec<Problem>)) -> Result<Config, Error> {
    load_in(path, web_server, &variable)
}

fn load_in(
    path: &Path,
    (web_server, wrong): (WebServer, Vec<Problem>),
    environment: variables::Environment<'_>,
) -> Result<Config, Error> {
    let (mut config, named, mut problems) = read(text_of(path)?, path, &web_server, environment, true)?;
    problems.extend(wrong);
    // A default that stands in for something wrong was never asked for: what it meets on this machine is no news.
    let fine = problems.is_empty();
    problems.extend(check_environment(&config).into_iter().filter(|problem| fine || problem.place.is_some()));
    for page in named.pages {
        match page.load() {
            Ok(page) => config.error_pages.push(page),
            Err(problem) => problems.push(config.places.locate(problem, page.span)),
        }
    }
    for file in named.files {
        let found = file.load(&mut config.route_settings).into_iter();
        problems.extend(found.map(|problem| config.places.locate(problem, file.span())));
    }
    checked(config, problems)
}

fn text_of(path: &Path) -> Result<String, Error> {
    let bytes = bytes_of(path).map_err(|source| Error::Read { file: path.to_owned(), source })?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let source = Source::new(path, &String::from_utf8_lossy(error.as_bytes()));
        let problem = Problem::new("this is not UTF-8 text").instead("save the file as UTF-8");
        source.locate(problem, valid..valid).into()
    })
}

fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    // Before it is opened: opening a named pipe would wait for somebody to write to it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(io::Error::other(format!("it is larger than {} MiB", MOST_BYTES >> 20)));
    }
    Ok(bytes)
}

/// A variable of our environment.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The configuration that the text and what it includes mean, with defaults for what is wrong, and everything that is wrong.
/// Text that is not TOML means nothing: its errors are all that can be said. Between them the files that it names, to be read.
fn read(
    text: String,
    file: &Path,
    web_server: &WebServer,
    environment: variables::Environment<'_>,
    follow: bool,
) -> Result<(Config, Named, Vec<Problem>), Error> {
    let loaded = include::load(text, file, environment, follow).map_err(Error::Invalid)?;
    let (source, mut problems) = (loaded.source, loaded.problems);
    let documents = loaded.texts.iter().map(|(start, text)| {
        let (document, _) = DeTable::parse_recoverable(text);
        variables::filled(document.into_inner(), *start, &loaded.puts)
    });
    let document = include::merged(documents, &source, &mut problems);
    let reader = Reader::new(Arc::new(source));
    let (config, named) = meaning::config(&reader, &document, web_server);
    // What a variable that is not set would have given is not known, and neither is what else is wrong with it.
    let is_news = |problem: &Problem| {
        let offset = problem.place.as_ref().map(|place| place.offset);
        !loaded.unclear.iter().any(|span| offset.is_some_and(|offset| span.contains(&offset)))
    };
    problems.extend(reader.finish().into_iter().filter(is_news));
    Ok((config, named, problems))
}

fn checked(config: Config, problems: Vec<Problem>) -> Result<Config, Error> {
    let problems = problems.into_iter().map(|problem| config.places.hidden(problem)).collect();
    Problems::from_found(problems).map_or(Ok(config), |problems| Err(Error::Invalid(problems)))
}

#[cfg(test)]
mod tests;
