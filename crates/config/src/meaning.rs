//! What it means: the whole document, each section read, checked and given its defaults.

use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use crate::buffer;
use crate::control;
use crate::dns;
use crate::document::{Reader, Section};
use crate::error_page::{self, WrittenPage};
use crate::fields;
use crate::listener::{self, refuse_forwarding_to_ourselves, refuse_headers_of_nobody};
use crate::model::{AccessFormat, Config, Disk, Limits, Log, LogOutput, Reload};
use crate::places::{Places, TablePlaces, TlsPlaces};
use crate::problem::Problem;
use crate::process;
use crate::route::{self, NamedFile};
use crate::upstream;
use crate::value;
use crate::web_server::WebServer;

/// Most worker threads: far above any use, below what would exhaust the machine by a slip of the finger.
const MOST_WORKERS: u64 = 1024;

/// Most client connections, in all or of one address.
const MOST_CONNECTIONS: u64 = 1_000_000;

/// The highest rate that may be asked of a client, in bytes per second: above it hardly any would be fast enough.
const MOST_RATE: u64 = 1 << 20;

const FORMATS: &[(&str, AccessFormat)] = &[
    ("auto", AccessFormat::Auto),
    ("json", AccessFormat::Json),
    ("line", AccessFormat::Line),
    ("combined", AccessFormat::Combined),
    ("off", AccessFormat::Off),
];

/// Files that the document names and whose content belongs to the configuration. They have not been looked at.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) pages: Vec<WrittenPage>,
    pub(crate) files: Vec<NamedFile>,
}

/// Reads the whole document, and gives the files that it names beside it: they are not looked at here. What is wrong is
/// noted in `reader`; the default stands in for it. An upstream without an address is at `web_server`.
pub(crate) fn config(reader: &Reader, document: &DeTable<'_>, web_server: &WebServer) -> (Config, Named) {
    let top = Section::new(reader, "at the top level", document, 0..0);
    let default = Config::default();

    let workers = top.read("workers", value::integer::<usize>(1..=MOST_WORKERS));
    let workers = workers.and_then(|found| found.value.try_into().ok()).unwrap_or(default.workers);
    let mut listeners = listener::read_all(reader, &top);
    let upstreams = upstream::read_all(reader, &top, web_server);
    let buffer = buffer::read(top.section("buffer", "in [buffer]"), default.buffer);
    let limits = limits(top.section("limits", "in [limits]"));
    let usual = route::Usual { buffer, body_limit: limits.body, compress: route::compress::read_top(&top) };
    let (routes, route_settings, files) = route::read_all(reader, &top, &upstreams, &usual);
    refuse_forwarding_to_ourselves(reader, &listeners, &upstreams);
    let trusted_proxies = top.list("trusted_proxies", "10.0.0.0/8", value::network);
    // What is wrong in it has been reported: whom it was meant to name is not known.
    let named =
        top.value("trusted_proxies").map(|written| written.get_ref().as_array().map(|list| list.len()));
    if named.unwrap_or(Some(0)) == Some(trusted_proxies.len()) {
        refuse_headers_of_nobody(reader, &listeners, &trusted_proxies);
    }
    let (disk, disk_directory) = disk(top.section("disk", "in [disk]"));
    let dns = dns::read(reader, top.section("dns", "in [dns]"));
    let fields = fields::read(top.section("fields", "in [fields]"));
    let pages = error_page::read_all(reader, &top.section("error_pages", "in [error_pages]"));
    let (log, log_output) = log(top.section("log", "in [log]"));
    let processes = process::read_all(reader, &top, &upstreams);
    let (control, control_socket) =
        control::read(reader, top.section("control", "in [control]"), &listeners, &upstreams);
    let reload = reload(top.section("reload", "in [reload]"));

    // Read before everything else.
    top.value("include");
    for key in ["cache", "metrics"] {
        top.later(key, "leave it out");
    }
    top.finish();

    let places = Places {
        source: Some(reader.source().clone()),
        listeners: listeners.iter().map(|listener| listener.address.clone()).collect(),
        tls: listeners.iter_mut().map(|listener| TlsPlaces::of(listener.tls.take())).collect(),
        upstreams: upstreams.iter().map(|upstream| upstream.address.clone()).collect(),
        maintenance: upstreams.iter().map(|upstream| upstream.maintenance.clone()).collect(),
        disk_directory,
        log_output,
        processes: processes.iter().map(|process| process.places.clone()).collect(),
        control_socket,
        tables: TablePlaces::of(document),
        has_keys: !document.is_empty(),
    };
    let upstreams: Vec<_> = upstreams.into_iter().map(|upstream| upstream.meaning).collect();
    let config = Config {
        workers,
        processes: processes.into_iter().map(|process| process.meaning).collect(),
        control,
        reload,
        listeners: listeners.into_iter().map(|listener| listener.meaning).collect(),
        upstreams,
        routes,
        route_settings,
        trusted_proxies,
        limits,
        buffer,
        disk,
        dns,
        fields,
        error_pages: Vec::new(),
        log,
        places,
    };
    (config, Named { pages, files })
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
        receive_rate: section.or("receive_rate", default.receive_rate, value::size(0..=MOST_RATE)),
        send_rate: section.or("send_rate", default.send_rate, value::size(0..=MOST_RATE)),
        connections: section.or("connections", default.connections, value::integer(1..=MOST_CONNECTIONS)),
        connections_per_address: section.or(
            "connections_per_address",
            default.connections_per_address,
            value::integer(1..=MOST_CONNECTIONS),
        ),
        requests_per_connection: section.or(
            "requests_per_connection",
            default.requests_per_connection,
            value::integer(1..=1_000_000_000),
        ),
        handshake_timeout: section.or("handshake_timeout", default.handshake_timeout, value::duration),
        http2_streams: section.or("http2_streams", default.http2_streams, value::integer(1..=1000)),
    };
    section.later("requests", "leave it out");
    section.later("rate", "write `rate` in a [[route]]");
    section.finish();
    limits
}

/// Most bytes of a body. Zero means "without a limit" elsewhere; here there is always one.
pub(crate) fn body(value: &DeValue<'_>) -> Result<u64, Problem> {
    let most = 1 << 50;
    match value::size(0..=most)(value)? {
        0 => Err(Problem::new("a limit of zero would refuse every body").instead(
            "write the largest body to accept, such as \"1 GiB\"; there is no value for \"no limit\"",
        )),
        bytes => Ok(bytes),
    }
}

fn disk(section: Section<'_>) -> (Disk, Option<std::ops::Range<usize>>) {
    let default = Disk::default();
    let directory = section.read("directory", |value| value::path(value, "/var/tmp"));
    let most = section.or("most", default.most, value::size(0..=1 << 50));
    section.finish();
    let (directory, span) =
        directory.map_or((default.directory, None), |found| (found.value, Some(found.span)));
    (Disk { directory, most }, span)
}

fn reload(section: Section<'_>) -> Reload {
    let reload = Reload { watch: section.or("watch", Reload::default().watch, value::boolean) };
    section.finish();
    reload
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
