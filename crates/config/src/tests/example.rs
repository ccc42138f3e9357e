//! The example configuration tells the truth.

use std::collections::BTreeSet;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::{assert_same, right, upstream_of};
use crate::document::Reader;
use crate::model::*;
use crate::process::Process;
use crate::routes::HostAndPath;
use crate::source::Source;
use crate::tls::Redirect;
use crate::web_server::WebServer;

const EXAMPLE: &str = include_str!("../../../../config/vestibule.toml");

/// The example with its defaults taken from behind their `#`.
pub(super) fn defaults() -> String {
    uncommented(|line| {
        line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
    })
}

/// The example with its defaults and its examples taken from behind their `#`; not the command line.
pub(super) fn everything() -> String {
    let defaults = defaults();
    let example = |line: &str| {
        line.strip_prefix("#   ").filter(|rest| !rest.starts_with("vestibule ")).map(str::to_owned)
    };
    defaults.lines().map(|line| example(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

fn uncommented(key: impl Fn(&str) -> Option<&str>) -> String {
    EXAMPLE.lines().map(|line| key(line).unwrap_or(line).to_owned() + "\n").collect()
}

#[test]
fn as_it_is_it_changes_nothing() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/vestibule.toml");
    assert_same(&crate::load(&path).expect("the example loads"), &Config::default());
}

#[test]
fn what_it_calls_defaults_are_the_defaults() {
    let text = defaults();
    assert!(text.contains("\n[limits]\n") && text.contains("\nhold.requests = 10000\n"), "{text}");
    let config = right(&text);
    assert_same(&config, &Config::default());
    assert_eq!(upstream_of(&config, b"any.example", b"/any"), Some(UpstreamId(0)));
}

#[test]
fn its_examples_are_right() {
    let config = right(&everything());
    assert_eq!(config.upstreams[0].health, Some(Health::of("/up")));
    assert_eq!(config.workers.get(), 2);
    assert_eq!(config.listeners.len(), 5);
    its_examples_of_tls_show_the_defaults(&config.listeners);
    its_routes_say_what_stands_above_them(&config);
    let processes: Vec<_> = config
        .processes
        .iter()
        .map(|process| (&*process.name, process.upstream, process.is_owned()))
        .collect();
    let expected =
        [("app", Some(UpstreamId(0)), true), ("backend", Some(UpstreamId(1)), false), ("jobs", None, true)];
    assert_eq!(processes, expected);
    // What it says of an application with a `command` is what such a one has by itself.
    let app = &config.processes[0];
    let usual = Process::owned(UpstreamId(0), &config.upstreams[0], Vec::new());
    assert_eq!((app.is_started, app.on_exit, app.answer), (usual.is_started, usual.on_exit, usual.answer));
    assert_eq!(app.pid_file, usual.pid_file);
    let shorter = right("[process.app]\nmemory = \"1 GiB\"\ncpu = 90\n");
    assert_eq!((app.memory, app.cpu), (shorter.processes[0].memory, shorter.processes[0].cpu));
}

fn its_routes_say_what_stands_above_them(config: &Config) {
    let settings = |host: &[u8], path: &[u8]| {
        let id = config.routes.find(&HostAndPath(host, path)).expect("a route");
        config.route(id).expect("a route of this configuration")
    };
    // Its conditions ask for more than a plain GET has.
    assert_eq!(upstream_of(config, b"other.test", b"/api/users"), Some(UpstreamId(0)));
    let api =
        config.route_settings.iter().find(|route| route.name == "example.com (+1)/api/*").expect("the API");
    assert_eq!((api.upstream(), api.body_limit), (Some(UpstreamId(1)), 10 << 20));
    assert_ne!(api.buffer, config.buffer);
    let www = settings(b"www.example.com", b"/");
    let [Step::Files(files), Step::Upstream(split)] = &*www.steps else { panic!("{:?}", www.steps) };
    assert_eq!((split, files.immutable.len(), www.sendfile.len()), (&Split::to(UpstreamId(0)), 2, 2));
    assert_eq!((&files.index, files.check), (&Files::of("").index, Files::of("").check));
    assert!(matches!(&*settings(b"example.com", b"/blog/1").steps, [Step::Redirect(_)]));
    let staging = settings(b"staging.example.com", b"/v1/a");
    assert_eq!(staging.rates.len(), 2);
    assert!(staging.access.admits([10, 0, 0, 1].into()) && !staging.access.admits([127, 0, 0, 1].into()));
    // What it shows of [compress] is what the key alone means, but for the list of types, which it tells in words.
    let usual = Compress::all();
    assert_eq!((&files.compress.codings, files.compress.least), (&usual.codings, usual.least));
    assert_ne!(staging.compress, www.compress);
}

/// What it says of `tls` is what holds where nothing is written, but for what has no default.
fn its_examples_of_tls_show_the_defaults(listeners: &[Listener]) {
    assert_eq!(listeners[0].redirect, Some(Redirect { port: 443 }));
    let tls: Vec<_> = listeners.iter().filter_map(|listener| listener.tls.as_ref()).collect();
    assert_eq!(tls.len(), 3);
    let shortest = "[[listen]]\ntls = { certificate = \"/etc/vestibule/fullchain.pem\", key = \"/etc/vestibule/privkey.pem\", \
                    client = { authorities = \"/etc/vestibule/clients.pem\" }, hsts = \"1y\" }";
    let mut expected = right(shortest).listeners[0].tls.clone().expect("tls");
    expected.client.as_mut().expect("client").revoked = Some("/etc/vestibule/revoked.pem".into());
    assert_eq!(tls[0], &expected);
    let shortest = "[[listen]]\naddress = \"[::]:443\"\ntls.acme.domains = [\"example.com\", \"www.example.com\"]\n[[listen]]";
    let mut expected = right(shortest).listeners[0].tls.clone().expect("tls");
    let (written, usual) = (tls[2].acme.clone().expect("acme"), expected.acme.as_mut().expect("acme"));
    usual.contact = vec!["ops@example.com".to_owned()];
    (usual.authorities, usual.eab) = (written.authorities, written.eab);
    assert_eq!(tls[2], &expected);
}

#[test]
fn it_has_every_key_and_no_other() {
    let text = everything();
    let document = DeTable::parse(&text).expect("TOML");
    let mut written = BTreeSet::new();
    collect("", document.get_ref(), &mut written);

    let reader = Reader::new(Source::new(Path::new("example"), &text));
    crate::meaning::config(&reader, document.get_ref(), &WebServer::default());
    let mut known = BTreeSet::new();
    for (kind, keys) in reader.known() {
        let table = match kind {
            "at the top level" => "",
            "in [[listen]]" => "listen.",
            "in `tls` of [[listen]]" => "listen.tls.",
            "in `certificates` of `tls`" => "listen.tls.certificates.",
            "in `client` of `tls`" => "listen.tls.client.",
            "in `hsts` of `tls`" => "listen.tls.hsts.",
            "in `acme` of `tls`" => "listen.tls.acme.",
            "in `eab` of `acme`" => "listen.tls.acme.eab.",
            "in [[route]]" => "route.",
            "in `buffer` of [[route]]" => "route.buffer.",
            "in `limits` of [[route]]" => "route.limits.",
            "in `timeout` of [[route]]" => "route.timeout.",
            "in `files` of [[route]]" => "route.files.",
            "in `upstreams` of [[route]]" => "route.upstreams.",
            "in `sticky` of [[route]]" => "route.sticky.",
            "in `redirect` of [[route]]" => "route.redirect.",
            "in `respond` of [[route]]" => "route.respond.",
            "in `auth` of [[route]]" => "route.auth.",
            "in `rate` of [[route]]" => "route.rate.",
            "in `fields` of [[route]]" => "route.fields.",
            "in `request` of `fields`" => "route.fields.request.",
            "in `response` of `fields`" => "route.fields.response.",
            "in `cors` of [[route]]" => "route.cors.",
            "in `compress` of [[route]]" => "route.compress.",
            "in [compress]" => "compress.",
            "in [limits]" => "limits.",
            "in [buffer]" => "buffer.",
            "in [disk]" => "disk.",
            "in [fields]" => "fields.",
            "in [log]" => "log.",
            "in [upstream.NAME]" => "upstream.NAME.",
            "in `hold` of [upstream.NAME]" => "upstream.NAME.hold.",
            "in `health` of [upstream.NAME]" => "upstream.NAME.health.",
            "in `drain` of [upstream.NAME]" => "upstream.NAME.drain.",
            "in `timeout` of [upstream.NAME]" => "upstream.NAME.timeout.",
            "in `addresses` of [upstream.NAME]" => "upstream.NAME.addresses.",
            "in [dns]" => "dns.",
            "in [reload]" => "reload.",
            "in [control]" => "control.",
            "in [process.NAME]" => "process.NAME.",
            "in `limits` of [process.NAME]" => "process.NAME.limits.",
            "in `memory` of [process.NAME]" => "process.NAME.memory.",
            "in `cpu` of [process.NAME]" => "process.NAME.cpu.",
            "in `answer` of [process.NAME]" => "process.NAME.answer.",
            "in `cycle` of [process.NAME]" => "process.NAME.cycle.",
            "in `flapping` of [process.NAME]" => "process.NAME.flapping.",
            other => panic!("a table that the test does not know: {other}"),
        };
        known.extend(keys.iter().map(|key| format!("{table}{key}")));
    }
    assert_eq!(written.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "in the example only");
    assert_eq!(
        known.difference(&written).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "missing in the example"
    );
}

#[test]
fn it_names_the_statuses_that_may_have_a_page() {
    let words = EXAMPLE.replace("\n#", "").split_whitespace().collect::<Vec<_>>().join(" ");
    let list = format!("answers with itself: {}. ", crate::error_page::statuses());
    assert!(words.contains(&list), "{list}");
}

/// Every key below a table, by its path.
fn collect(above: &str, table: &DeTable<'_>, keys: &mut BTreeSet<String>) {
    for (key, value) in table {
        // Names of upstreams, processes, variables, fields, users and the like, and statuses, are not keys of ours.
        let is_ours = !matches!(
            above,
            "upstream."
                | "error_pages."
                | "process."
                | "process.NAME.environment."
                | "route.header."
                | "route.query."
                | "route.sendfile."
                | "route.auth.users."
                | "route.files.types."
                | "route.fields.request.set."
                | "route.fields.request.add."
                | "route.fields.response.set."
                | "route.fields.response.add."
        );
        let name = if is_ours { key.get_ref() } else { "NAME" };
        let path = format!("{above}{name}");
        let below = format!("{path}.");
        match value.get_ref() {
            DeValue::Table(table) => collect(&below, table, keys),
            DeValue::Array(array) => {
                array
                    .iter()
                    .filter_map(|element| element.get_ref().as_table())
                    .for_each(|table| collect(&below, table, keys));
            }
            _ => {}
        }
        if is_ours {
            keys.insert(path);
        }
    }
}
