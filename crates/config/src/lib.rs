//! What the operator wrote, checked once.
//!
//! [`load`] reads a file in two steps: what was written (a TOML document in which every value keeps its place) and what
//! it means (a [`Config`] in which everything is checked and the routes are compiled). All errors come at once, each with
//! its place and with what to write instead.

use std::path::Path;

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
mod listener;
mod meaning;
mod model;
mod path;
mod path_pattern;
mod path_tree;
mod places;
mod problem;
mod process;
mod route;
pub mod routes;
mod suggestion;
mod syntax;
mod tls;
mod upstream;
mod value;
mod web_server;

pub use environment::check_environment;
pub use error::Error;
pub use model::*;
pub use places::Places;
pub use problem::{Place, Problem, Problems};
pub use process::*;
pub use tls::*;
pub use web_server::{PID_FILE_VARIABLE, SOCKET_VARIABLE};

use document::Reader;
use meaning::Named;
use problem::Source;
use web_server::WebServer;

/// Reads a configuration from its text; `file` is what errors call it. Looks at nothing outside the text: not at the
/// environment, and [`Config::error_pages`] stays empty, as does what routes have in files (`body_file`, `file` of `auth`).
///
/// # Errors
/// [`Error::Invalid`] with every problem found, in order of position.
pub fn parse(text: &str, file: &Path) -> Result<Config, Error> {
    let (config, _, problems) = read(text, file, &WebServer::default())?;
    checked(config, problems)
}

/// Reads a configuration file and the error pages that it names, and checks it against this machine too (see
/// [`check_environment`]). [`SOCKET_VARIABLE`] and [`PID_FILE_VARIABLE`] in our environment replace the defaults of an
/// upstream for which nothing else is written.
///
/// # Errors
/// [`Error::Read`] when the file cannot be read, else [`Error::Invalid`] with every problem found.
pub fn load(path: &Path) -> Result<Config, Error> {
    load_at(path, WebServer::from_environment())
}

fn load_at(path: &Path, (web_server, wrong): (WebServer, Vec<Problem>)) -> Result<Config, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read { file: path.to_owned(), source })?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let source = Source::new(path, &String::from_utf8_lossy(error.as_bytes()));
            let problem = Problem::new("this is not UTF-8 text").instead("save the file as UTF-8");
            return Err(problem.at(Some(source.place(valid..valid))).into());
        }
    };
    let (mut config, named, mut problems) = read(&text, path, &web_server)?;
    problems.extend(wrong);
    // A default that stands in for something wrong was never asked for: what it meets on this machine is no news.
    let fine = problems.is_empty();
    problems.extend(check_environment(&config).into_iter().filter(|problem| fine || problem.place.is_some()));
    for page in named.pages {
        match page.load() {
            Ok(page) => config.error_pages.push(page),
            Err(problem) => problems.push(problem.at(config.places.place(page.span))),
        }
    }
    for file in named.files {
        let found = file.load(&mut config.route_settings).into_iter();
        problems.extend(found.map(|problem| problem.at(config.places.place(file.span()))));
    }
    checked(config, problems)
}

/// The configuration that the text means, with defaults for what is wrong, and everything that is wrong. Text that is
/// not TOML means nothing: its errors are all that can be said. Between them the files that it names, to be read.
fn read(text: &str, file: &Path, web_server: &WebServer) -> Result<(Config, Named, Vec<Problem>), Error> {
    let source = Source::new(file, text);
    let (document, errors) = DeTable::parse_recoverable(source.text());
    if let Some(problems) = syntax::problems(&source, &errors) {
        return Err(Error::Invalid(problems));
    }
    let reader = Reader::new(source.clone());
    let (config, named) = meaning::config(&reader, document.get_ref(), web_server);
    Ok((config, named, reader.finish()))
}

fn checked(config: Config, problems: Vec<Problem>) -> Result<Config, Error> {
    Problems::from_found(problems).map_or(Ok(config), |problems| Err(Error::Invalid(problems)))
}

#[cfg(test)]
mod tests;
