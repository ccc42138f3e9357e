//! `[upstream.NAME]`

use std::ops::Range;

use toml::de::DeValue;

use crate::document::{Found, Reader, Section};
use crate::model::{Health, Hold, Server, Timeouts, Upstream};
use crate::path_pattern;
use crate::problem::Problem;
use crate::value;
use crate::web_server::WebServer;

mod balance;
mod members;

use members::Members;

const KIND: &str = "in [upstream.NAME]";

/// Most of anything that is counted one by one.
const MOST: u64 = 1_000_000;

const SERVERS: &[(&str, Server)] = &[
    ("auto", Server::Auto),
    ("puma", Server::Puma),
    ("unicorn", Server::Unicorn),
    ("thin", Server::Thin),
    ("passenger", Server::Passenger),
];

const PROTOCOLS: &[(&str, &str)] = &[("http", "http"), ("https", "https")];

/// An upstream, and where it is written.
pub(crate) struct ReadUpstream {
    pub(crate) meaning: Upstream,
    /// Where its name is written; `None` for the default one.
    pub(crate) name: Option<Range<usize>>,
    /// Where its address is written; `None` when it is not, or is wrong.
    pub(crate) address: Option<Range<usize>>,
    /// Where the path of its maintenance page is written, if it is.
    pub(crate) maintenance: Option<Range<usize>>,
}

/// All upstreams in the order of the file; without any written, the default one. One without an address is at `web_server`.
pub(crate) fn read_all(reader: &Reader, top: &Section<'_>, web_server: &WebServer) -> Vec<ReadUpstream> {
    let tables = top.section("upstream", "in [upstream]");
    let mut upstreams = Vec::new();
    let mut nameless = false;
    let entries = tables.entries();
    let several = entries.iter().filter(|(_, value)| value.get_ref().is_table()).count() > 1;
    for (name, value) in entries {
        let DeValue::Table(table) = value.get_ref() else {
            // The keys of an upstream without a name: one error for all of them.
            if !nameless {
                let problem = Problem::new(format!(
                    "`{}` stands in [upstream], but an upstream has a name",
                    name.value
                ));
                reader.report(name.span, problem.instead("write [upstream.app] above the keys"));
            }
            nameless = true;
            continue;
        };
        let section = Section::new(reader, KIND, table, value.span());
        if several && section.lacks("address") && section.lacks("addresses") {
            let problem = Problem::new(format!("the upstream `{}` has no address", name.value));
            let instead = "write its `address`: the default one is for a single upstream";
            reader.report(name.span.clone(), problem.instead(instead));
        }
        check_name(reader, &name, "an upstream");
        upstreams.push(read(reader, section, Some(name), web_server));
    }
    if upstreams.is_empty() {
        upstreams.push(read(reader, Section::absent(reader, KIND), None, web_server));
    }
    upstreams
}

/// The name stands in logs and on command lines.
pub(crate) fn check_name(reader: &Reader, name: &Found<String>, whose: &str) {
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.value.is_empty() || name.value.len() > 64 || !name.value.chars().all(letters) {
        let problem = Problem::new(format!("{:?} cannot be the name of {whose}", name.value));
        let instead = "choose one of at most 64 letters, digits, `-`, `_` and `.`";
        reader.report(name.span.clone(), problem.instead(instead));
    }
}

fn read(
    reader: &Reader,
    section: Section<'_>,
    name: Option<Found<String>>,
    web_server: &WebServer,
) -> ReadUpstream {
    let default = Upstream::at(web_server);
    let usual = default.members;
    let Members { members, span: address_span } = members::read(reader, &section, &usual);
    let pid_file = section.read("pid_file", |value| value::path(value, "/tmp/web_server.pid"));
    if let (Some(found), true) = (&pid_file, members::are_several(&members)) {
        let problem = Problem::new("a PID file names one process, and this upstream has several members");
        reader.report(found.span.clone(), problem.instead("leave `pid_file` out"));
    }
    let maintenance =
        section.read("maintenance", |value| value::path(value, "/srv/app/public/maintenance.html"));
    let (maintenance, maintenance_span) =
        maintenance.map_or((default.maintenance, None), |found| (Some(found.value), Some(found.span)));
    let (name, name_span) = name.map_or((default.name, None), |found| (found.value, Some(found.span)));
    let meaning = Upstream {
        name,
        // The default one belongs to the default address, written or not.
        pid_file: pid_file.map(|found| found.value).or(default.pid_file.filter(|_| members == usual)),
        members,
        balance: section.or("balance", default.balance, balance::read),
        server: section.or("server", default.server, value::one_of(SERVERS)),
        in_flight: section.or("in_flight", default.in_flight, in_flight),
        hold: hold(section.section("hold", "in `hold` of [upstream.NAME]")),
        health: health(reader, section.section("health", "in `health` of [upstream.NAME]")),
        drain_timeout: drain(section.section("drain", "in `drain` of [upstream.NAME]")),
        timeout: timeouts(section.section("timeout", "in `timeout` of [upstream.NAME]")),
        maintenance,
    };
    section.later("tls", "leave it out: the application is reached in the clear");
    section.later("retry", "leave it out: what may be sent again safely, is");
    section.finish();
    ReadUpstream { meaning, name: name_span, address: address_span, maintenance: maintenance_span }
}

/// `"auto"` or a number.
fn in_flight(value: &DeValue<'_>) -> Result<Option<u32>, Problem> {
    match value.as_str() {
        Some("auto") => Ok(None),
        Some(text) => Err(Problem::new(format!("{text:?} is no number of requests"))
            .instead(format!("write \"auto\", or a number from 1 to {MOST} without quotes"))),
        None => value::integer(1..=MOST)(value).map(Some),
    }
}

fn hold(section: Section<'_>) -> Hold {
    let default = Hold::default();
    let hold = Hold {
        timeout: section.or("timeout", default.timeout, |value| {
            value::duration(value).map_err(|problem| match value.as_str() {
                Some(text) if value::duration_or_zero(value).is_ok() => {
                    Problem::new(format!("a hold of {text:?} makes no sense"))
                        .instead("write `requests = 0` to hold nothing")
                }
                _ => problem,
            })
        }),
        requests: section.or("requests", default.requests, value::integer(0..=MOST)),
        memory: section.or("memory", default.memory, value::size(0..=1 << 40)),
    };
    section.finish();
    hold
}

fn health(reader: &Reader, section: Section<'_>) -> Option<Health> {
    let path = section.read("path", health_path);
    let default = Health::of(path.as_ref().map_or("/", |found| &found.value));
    let health = Health {
        path: default.path,
        interval: section.or("interval", default.interval, value::duration),
        timeout: section.or("timeout", default.timeout, value::duration),
        rise: section.or("rise", default.rise, value::integer(1..=1000)),
        fall: section.or("fall", default.fall, value::integer(1..=1000)),
        host: section.or("host", default.host, health_host),
        proto: section.or("proto", "https", value::one_of(PROTOCOLS)).to_owned(),
    };
    if section.lacks("path") {
        let problem = Problem::new("`health` has no path: there is nothing to probe");
        reader.report(
            section.span.clone(),
            problem.instead("write its `path`, such as \"/up\", or leave `health` out"),
        );
    }
    section.finish();
    path.map(|_| health)
}

/// The probe's target: what may stand in a request line. Unlike a route's path it may have a query.
fn health_path(value: &DeValue<'_>) -> Result<String, Problem> {
    let text = value::text(value, "/up")?;
    let path = text.split('?').next().unwrap_or(text);
    // A `*` is a plain character here, and what follows `?` has the same alphabet.
    let plain = |part: &str| part.replace(['*', '?'], "x");
    path_pattern::check(&plain(path))?;
    path_pattern::check(&format!("/{}", plain(text)))?;
    Ok(text.to_owned())
}

/// The probe's `Host`: a name or address with or without a port.
fn health_host(value: &DeValue<'_>) -> Result<String, Problem> {
    let text = value::text(value, "example.com")?;
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '[' | ']');
    if text.is_empty() || text.len() > 255 || !text.chars().all(letters) {
        return Err(Problem::new(format!("{text:?} is not a host"))
            .instead("write what the application expects in `Host`, such as \"example.com\""));
    }
    Ok(text.to_owned())
}

/// Zero is allowed: it cuts what is in flight at once.
fn drain(section: Section<'_>) -> std::time::Duration {
    let timeout = section.or("timeout", Upstream::default().drain_timeout, value::duration_or_zero);
    section.finish();
    timeout
}

fn timeouts(section: Section<'_>) -> Timeouts {
    let default = Timeouts::default();
    let timeouts = Timeouts {
        connect: section.or("connect", default.connect, value::duration),
        response: section.or("response", default.response, value::duration),
        idle: section.or("idle", default.idle, value::duration),
        tunnel: section.or("tunnel", default.tunnel, value::duration),
    };
    section.finish();
    timeouts
}
