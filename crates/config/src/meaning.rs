//! What it means: the whole document, each section read, checked and given its defaults.

use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use crate::buffer;
use crate::document::{Reader, Section};
use crate::listener::{self, refuse_forwarding_to_ourselves};
use crate::model::{AccessFormat, Config, Limits, Log, LogOutput};
use crate::places::Places;
use crate::problem::Problem;
use crate::route;
use crate::upstream;
use crate::value;

/// Most worker threads: far above any use, below what would exhaust the machine by a slip of the finger.
const MOST_WORKERS: u64 = 1024;

const FORMATS: &[(&str, AccessFormat)] = &[
    ("auto", AccessFormat::Auto),
    ("json", AccessFormat::Json),
    ("line", AccessFormat::Line),
    ("combined", AccessFormat::Combined),
    ("off", AccessFormat::Off),
];

/// Reads the whole document. What is wrong is noted in `reader`; the default stands in for it.
pub(crate) fn config(reader: &Reader, document: &DeTable<'_>) -> Config {
    let top = Section::new(reader, "at the top level", document, 0..0);
    let default = Config::default();

    let workers = top.read("workers", value::integer::<usize>(1..=MOST_WORKERS));
    let workers = workers.and_then(|found| found.value.try_into().ok()).unwrap_or(default.workers);
    let listeners = listener::read_all(reader, &top);
    let upstreams = upstream::read_all(reader, &top);
    let buffer = buffer::read(top.section("buffer", "in [buffer]"), default.buffer);
    let (routes, route_settings) = route::read_all(reader, &top, &upstreams, buffer);
    refuse_forwarding_to_ourselves(reader, &listeners, &upstreams);
    let trusted_proxies = top.list("trusted_proxies", "10.0.0.0/8", value::network);
    let limits = limits(top.section("limits", "in [limits]"));
    let (log, log_output) = log(top.section("log", "in [log]"));

    top.later("process", "leave it out, and let systemd or another supervisor start the application");
    top.later("tls", "leave it out, and end TLS in front of Vestibule");
    top.later("files", "leave it out, and let the application answer");
    for key in ["cache", "control", "metrics"] {
        top.later(key, "leave it out");
    }
    top.finish();

    let places = Places {
        source: Some(reader.source().clone()),
        listeners: listeners.iter().map(|listener| listener.address.clone()).collect(),
        upstreams: upstreams.iter().map(|upstream| upstream.address.clone()).collect(),
        log_output,
    };
    Config {
        workers,
        listeners: listeners.into_iter().map(|listener| listener.meaning).collect(),
        upstreams: upstreams.into_iter().map(|upstream| upstream.meaning).collect(),
        routes,
        route_settings,
        trusted_proxies,
        limits,
        buffer,
        disk: default.disk,
        fields: default.fields,
        error_pages: default.error_pages,
        log,
        places,
    }
}

fn limits(section: Section<'_>) -> Limits {
    let default = Limits::default();
    let limits = Limits {
        // A browser's cookies alone may take some KiB, and every connection may use this much.
        head: section.or("head", default.head, value::size(1 << 10..=16 << 20)),
        fields: section.or("fields", default.fields, value::integer(1..=1000)),
        body: section.or("body", default.body, body),
        request_timeout: section.or("request_timeout", default.request_timeout, value::duration),
        idle_timeout: section.or("idle_timeout", default.idle_timeout, value::duration),
        send_timeout: section.or("send_timeout", default.send_timeout, value::duration),
        connections: section.or("connections", default.connections, value::integer(1..=1_000_000)),
        ..default
    };
    section.later("requests", "leave it out");
    section.later("rate", "leave it out");
    section.finish();
    limits
}

/// Most bytes of a body. Zero means "without a limit" elsewhere; here there is always one.
fn body(value: &DeValue<'_>) -> Result<u64, Problem> {
    let most = 1 << 50;
    match value::size(0..=most)(value)? {
        0 => Err(Problem::new("a limit of zero would refuse every body").instead(
            "write the largest body to accept, such as \"1 GiB\"; there is no value for \"no limit\"",
        )),
        bytes => Ok(bytes),
    }
}

fn log(section: Section<'_>) -> (Log, Option<std::ops::Range<usize>>) {
    let default = Log::default();
    let access = section.or("access", default.access, value::one_of(FORMATS));
    let output = section.read("output", output);
    section.later("level", "leave it out, and set RUST_LOG, such as RUST_LOG=vestibule=debug");
    section.finish();
    let (output, span) = output.map_or((default.output, None), |found| (found.value, Some(found.span)));
    (Log { access, output }, span)
}

fn output(value: &DeValue<'_>) -> Result<LogOutput, Problem> {
    let example = "/var/log/vestibule/access.log";
    match value::text(value, "stdout")? {
        "stdout" => Ok(LogOutput::Stdout),
        text @ ("stderr" | "syslog" | "journald") => Err(Problem::new(format!(
            "access log lines cannot go to {text}"
        ))
        .instead(format!("write \"stdout\", which systemd takes to its journal, or a file: \"{example}\""))),
        _ => value::path(value, example).map(|path: PathBuf| LogOutput::File(path)),
    }
}
