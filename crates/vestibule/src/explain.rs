//! `vestibule explain`: which route takes a request, why, and what would happen to it. Nothing is sent, and nobody is asked: what it says
//! is what the configuration and the files on this machine say.

mod answer;
mod fill;
mod look;
mod reception;
mod request;
mod words;

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use tokio::runtime::Runtime;
use vestibule_config::{Config, ListenAddress, Listener, Place, RouteId};

use crate::command::find_config;
use request::Request;

/// What is asked for is no request.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotARequest(String);

const NOTES: &str = "\
Examples:
  vestibule explain GET https://www.example.com/assets/app.css
  vestibule explain POST https://www.example.com/login -H 'X-Beta: 1' --client 10.1.2.3
  vestibule explain /up

Exit status:
  0  it is explained, whatever its answer would be
  2  the configuration or the request is wrong";

/// The request, and how it is told.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES, override_usage = "vestibule explain [OPTIONS] [METHOD] <URL>")]
pub(crate) struct Options {
    /// The method [default: GET] and the address: a URL, or a path
    #[arg(required = true, num_args = 1..=2, value_names = ["METHOD", "URL"])]
    request: Vec<String>,
    /// A field of the request, such as 'X-Beta: 1'; may stand many times
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The address that the request comes from [default: 192.0.2.1, somebody on the internet]
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// The configuration, found as by `serve`
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Tell it as one JSON object
    #[arg(long)]
    json: bool,
}

/// Explains what is asked for.
///
/// # Errors
/// A configuration that is wrong; [`NotARequest`].
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let request = Request::of(options)?;
    let config = match find_config(options.config.as_deref()) {
        Some(path) => vestibule_config::load(&path)?,
        None => Config::from_environment()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let explanation = explain(&config, &request, &runtime);
    let text = if options.json {
        serde_json::to_string_pretty(&explanation)? + "\n"
    } else {
        words::of(&explanation)
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Everything there is to say. What variables of the environment gave is not in it: their names are.
#[derive(Debug, Serialize)]
struct Explanation {
    method: String,
    url: String,
    client: IpAddr,
    /// Who accepts it; `None` when nobody does.
    listener: Option<At>,
    /// Where it could come in, if nobody accepts it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    listeners: Vec<String>,
    /// Who takes it; `None` when nobody does.
    route: Option<At>,
    /// The routes whose host and path fit, in the order in which they are asked.
    candidates: Vec<Candidate>,
    steps: Vec<Step>,
    /// What is changed in the fields of the request, and of the answer.
    fields: Vec<Change>,
    /// What holds, by the keys of the configuration.
    limits: Vec<Limit>,
}

/// Something that is written in the configuration.
#[derive(Debug, Serialize)]
struct At {
    name: String,
    /// `file:line`, where it is written at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
}

#[derive(Debug, Serialize)]
struct Candidate {
    #[serde(flatten)]
    route: At,
    outcome: Outcome,
    /// In words, each with whether it holds; of those that were asked.
    conditions: Vec<(String, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Taken,
    /// Its conditions do not hold.
    PassedOver,
    /// One before it is taken.
    NotAsked,
}

/// One thing that happens to the request, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Step {
    name: &'static str,
    says: String,
    /// The status of an answer that Vestibule gives here, and with which it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Change {
    /// Of the request or of the answer.
    of: &'static str,
    says: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Limit {
    key: &'static str,
    is: String,
}

fn explain(config: &Config, request: &Request, runtime: &Runtime) -> Explanation {
    let listener = listener(config, request);
    let mut explanation = Explanation {
        method: request.method.clone(),
        url: request.url(),
        client: request.client,
        listener: listener.map(|(index, listener)| At {
            name: config.without_secrets(&listener_name(listener)),
            place: line(config.places.listener(index)),
        }),
        listeners: Vec::new(),
        route: None,
        candidates: Vec::new(),
        steps: Vec::new(),
        fields: Vec::new(),
        limits: Vec::new(),
    };
    if listener.is_none() {
        explanation.listeners = config
            .listeners
            .iter()
            .map(|listener| config.without_secrets(&listener_name(listener)))
            .collect();
    }
    if let Some(step) = reception::answer(config, listener.map(|(_, listener)| listener), request) {
        explanation.steps.push(step);
        return explanation;
    }
    explanation.candidates = candidates(config, request);
    let taken = config.routes.find(request);
    let Some((id, route)) = taken.and_then(|id| Some((id, config.route(id)?))) else {
        explanation.steps.push(Step {
            name: "answer",
            says: "404: no route takes it".to_owned(),
            status: Some(404),
        });
        return explanation;
    };
    explanation.route = Some(route_at(config, id));
    let answer = answer::Answer { config, request, id, route, runtime };
    explanation.steps = answer.steps();
    explanation.fields = answer.fields();
    explanation.limits = answer.limits();
    hide(config, &mut explanation);
    explanation
}

/// The values that variables gave, in everything that a configuration says.
fn hide(config: &Config, explanation: &mut Explanation) {
    let steps = explanation.steps.iter_mut().map(|step| &mut step.says);
    let fields = explanation.fields.iter_mut().map(|change| &mut change.says);
    let limits = explanation.limits.iter_mut().map(|limit| &mut limit.is);
    for text in steps.chain(fields).chain(limits) {
        *text = config.without_secrets(text);
    }
}

/// The listener that a request for this address reaches: of the same port, with TLS or without as the address says.
fn listener<'c>(config: &'c Config, request: &Request) -> Option<(usize, &'c Listener)> {
    let Some(port) = request.port else { return config.listeners.iter().enumerate().next() };
    let mut fitting = config.listeners.iter().enumerate().filter(|(_, listener)| {
        let at_port = matches!(&listener.address, ListenAddress::Tcp(address) if address.port() == port);
        at_port && listener.tls.is_some() == (request.scheme == "https")
    });
    fitting.next()
}

fn listener_name(listener: &Listener) -> String {
    let address = match &listener.address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix(path) => format!("unix:{}", path.display()),
    };
    let speaks = match (listener.tls.is_some(), listener.http2) {
        (true, true) => "https, HTTP/2 and HTTP/1",
        (true, false) => "https, HTTP/1",
        (false, true) => "http, HTTP/1 and HTTP/2",
        (false, false) => "http, HTTP/1",
    };
    format!("{address} ({speaks})")
}

fn candidates(config: &Config, request: &Request) -> Vec<Candidate> {
    let mut found = Vec::new();
    config.routes.candidates(request, &mut |id, holds| found.push((id, holds)));
    let mut is_taken = false;
    let candidate = |(id, holds): (RouteId, bool)| {
        let conditions = config.routes.conditions(id, request);
        let conditions =
            conditions.into_iter().map(|(words, holds)| (config.without_secrets(&words), holds)).collect();
        let outcome = match (is_taken, holds) {
            (true, _) => Outcome::NotAsked,
            (false, true) => Outcome::Taken,
            (false, false) => Outcome::PassedOver,
        };
        is_taken |= holds;
        Candidate { route: route_at(config, id), outcome, conditions }
    };
    found.into_iter().map(candidate).collect()
}

fn route_at(config: &Config, id: RouteId) -> At {
    let name = config.route(id).map_or("", |route| &route.name);
    At { name: config.without_secrets(name), place: line(config.places.route(id)) }
}

fn line(place: Option<Place>) -> Option<String> {
    place.map(|place| format!("{}:{}", place.file.display(), place.line))
}
