use std::path::Path;
use std::time::Duration;

use super::{assert_same, assert_wrong, right, upstream_of, wrong};
use crate::document::Reader;
use crate::model::*;
use crate::routes::HostAndPath;
use crate::source::Source;
use crate::tls::Redirect;
use crate::web_server::WebServer;

#[test]
fn an_empty_file_is_the_default() {
    let config = right("");
    assert_same(&config, &Config::default());
    assert_eq!(config.listeners[0].address, ListenAddress::Tcp("127.0.0.1:8080".parse().unwrap()));
    assert_eq!(config.upstreams[0].address(), &UpstreamAddress::Unix("/tmp/web_server.sock".into()));
    assert_eq!(config.upstreams[0].pid_file.as_deref(), Some("/tmp/web_server.pid".as_ref()));
    assert_eq!(config.upstreams[0].name, "app");
    assert_eq!(upstream_of(&config, b"any.example", b"/any"), Some(UpstreamId(0)));
    assert_eq!(config.workers, std::thread::available_parallelism().unwrap());
}

#[test]
fn reads_every_key() {
    let config = right(
        r#"
        workers = 3
        trusted_proxies = ["10.1.2.3/8", "127.0.0.1", "fd00::/8"]
        disk = { directory = "/var/spool", most = "1 TiB" }
        fields = { via = "edge-1", forwarded = true, underscores = true }
        [[listen]]
        address = "[::1]:443"
        reuse_port = false
        backlog = 128
        proxy_protocol = true
        http2 = true
        redirect = "https:8443"
        [[listen]]
        address = "unix:/run/public.sock"
        [upstream.web]
        address = "localhost:3000"
        pid_file = "/run/web.pid"
        server = "unicorn"
        in_flight = 4
        hold = { timeout = "10s", requests = 0, memory = 1000 }
        health = { path = "/up?full=1", interval = "2s", timeout = "3s", rise = 2, fall = 5, host = "a:80", proto = "http" }
        drain = { timeout = "0s" }
        timeout = { connect = "1s", response = "2m", idle = "1h", tunnel = "24h" }
        maintenance = "/srv/maintenance.html"
        [buffer]
        request = false
        response = false
        memory = 0
        disk = "2 GiB"
        [limits]
        head = "32 KiB"
        fields = 50
        body = "2GiB"
        request_timeout = "10s"
        idle_timeout = "20s"
        send_timeout = "1500ms"
        receive_rate = "1 KiB"
        send_rate = 0
        connections = 10
        connections_per_address = 5
        requests_per_connection = 1
        handshake_timeout = "3s"
        http2_streams = 250
        [log]
        access = "combined"
        output = "/var/log/access.log"
        "#,
    );
    assert_eq!(config.workers.get(), 3);
    let proxies: Vec<String> = config.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.0.0.0/8", "127.0.0.1/32", "fd00::/8"]);
    let tcp = Listener {
        address: ListenAddress::Tcp("[::1]:443".parse().unwrap()),
        reuse_port: false,
        backlog: 128,
        proxy_protocol: true,
        tls: None,
        http2: true,
        redirect: Some(Redirect { port: 8443 }),
    };
    let unix = Listener {
        address: ListenAddress::Unix("/run/public.sock".into()),
        reuse_port: false,
        ..Listener::default()
    };
    assert_eq!(config.listeners, [tcp, unix]);
    let upstream = Upstream {
        name: "web".to_owned(),
        members: vec![Member::at(UpstreamAddress::Tcp("127.0.0.1:3000".parse().unwrap()))],
        balance: Balance::Least,
        pid_file: Some("/run/web.pid".into()),
        server: Server::Unicorn,
        in_flight: Some(4),
        hold: Hold { timeout: Duration::from_secs(10), requests: 0, memory: 1000 },
        health: Some(Health {
            path: "/up?full=1".to_owned(),
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(3),
            rise: 2,
            fall: 5,
            host: "a:80".to_owned(),
            proto: "http".to_owned(),
        }),
        drain_timeout: Duration::ZERO,
        timeout: Timeouts {
            connect: Duration::from_secs(1),
            response: Duration::from_secs(120),
            idle: Duration::from_secs(3600),
            tunnel: Duration::from_secs(24 * 3600),
        },
        maintenance: Some("/srv/maintenance.html".into()),
    };
    assert_eq!(config.upstreams, [upstream]);
    let limits = Limits {
        head: 32 << 10,
        fields: 50,
        body: 2 << 30,
        request_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(20),
        send_timeout: Duration::from_millis(1500),
        receive_rate: 1024,
        send_rate: 0,
        connections: 10,
        connections_per_address: 5,
        requests_per_connection: 1,
        handshake_timeout: Duration::from_secs(3),
        http2_streams: 250,
    };
    assert_eq!(config.limits, limits);
    assert_eq!(config.buffer, Buffer { request: false, response: false, memory: 0, disk: 2 << 30 });
    assert_eq!(
        config.route_settings,
        [Route { buffer: config.buffer, body_limit: config.limits.body, ..Route::to(UpstreamId(0)) }]
    );
    assert_eq!(config.disk, Disk { directory: "/var/spool".into(), most: 1 << 40 });
    let fields = Fields { via: Some("edge-1".to_owned()), forwarded: true, underscores: true };
    assert_eq!(config.fields, fields);
    let output = LogOutput::File("/var/log/access.log".into());
    assert_eq!(config.log, Log { access: AccessFormat::Combined, output });
}

#[test]
fn the_pid_file_belongs_to_the_default_address() {
    let pid_file =
        |address: &str| right(&format!("[upstream.a]\naddress = \"{address}\"")).upstreams.remove(0).pid_file;
    assert_eq!(pid_file("unix:///tmp/web_server.sock"), Some("/tmp/web_server.pid".into()));
    assert_eq!(pid_file("unix:/tmp/other.sock"), None);
    assert_eq!(pid_file("127.0.0.1:3000"), None);
}

#[test]
fn an_upstream_under_another_name_replaces_the_default_one() {
    let config = right("[upstream.web]");
    assert_eq!(config.upstreams.len(), 1);
    assert_eq!(config.upstreams[0], Upstream { name: "web".to_owned(), ..Upstream::default() });
    assert_eq!(upstream_of(&config, b"", b"/"), Some(UpstreamId(0)));
}

const TWO: &str = "[upstream.web]\naddress = \"unix:/a\"\n[upstream.api]\naddress = \"unix:/b\"\n";

#[test]
fn upstreams_keep_their_order() {
    let config = right(&format!("{TWO}[[route]]\nupstream = \"api\""));
    let names: Vec<&str> = config.upstreams.iter().map(|upstream| &*upstream.name).collect();
    assert_eq!(names, ["web", "api"]);
    assert_eq!(upstream_of(&config, b"", b"/"), Some(UpstreamId(1)));
}

#[test]
fn without_a_catch_all_no_route_may_fit() {
    let config = right(&format!(
        "{TWO}[[route]]\nhost = \"a.example\"\nupstream = \"web\"\n[[route]]\npath = \"/api/*\"\nupstream = \"api\""
    ));
    assert_eq!(upstream_of(&config, b"A.example:80", b"/"), Some(UpstreamId(0)));
    assert_eq!(upstream_of(&config, b"b.example", b"/api/users?page=2"), Some(UpstreamId(1)));
    assert_eq!(upstream_of(&config, b"b.example", b"/"), None);
}

#[test]
fn a_route_without_an_upstream_goes_to_the_only_one() {
    assert_eq!(upstream_of(&right("[[route]]\npath = \"/a\""), b"", b"/a"), Some(UpstreamId(0)));
    let text = format!("{TWO}[[route]]\npath = \"/a\"");
    assert_wrong(&text, (5, 1), "does not say which upstream", "\"web\" or \"api\"");
}

#[test]
fn refuses_several_upstreams_without_a_route() {
    assert_wrong(TWO, (3, 11), "several upstreams, and no [[route]]", "upstream = \"web\"");
}

#[test]
fn refuses_several_upstreams_without_an_address() {
    let text = "[upstream.a]\naddress = \"unix:/a\"\n[upstream.b]\n[[route]]\nupstream = \"a\"";
    assert_wrong(text, (3, 11), "`b` has no address", "`address`");
}

#[test]
fn refuses_a_route_to_an_unknown_upstream() {
    let text = format!("{TWO}[[route]]\nupstream = \"wbe\"");
    assert_wrong(&text, (6, 12), "no upstream \"wbe\"", "write \"web\"");
    let text = format!("{TWO}[[route]]\nupstream = \"something\"");
    assert_wrong(
        &text,
        (6, 12),
        "no upstream \"something\"",
        "\"web\" or \"api\", or add [upstream.something]",
    );
}

#[test]
fn a_route_keeps_bodies_in_its_own_way_key_by_key() {
    let config = right(
        r#"
        [[route]]
        path = "/uploads/*"
        buffer = { request = false, memory = "1 MiB" }
        [[route]]
        [[route]]
        path = "/reports/*"
        buffer.disk = 0
        [buffer]
        response = false
        memory = "128 KiB"
        "#,
    );
    let all = Buffer { response: false, memory: 128 << 10, ..Buffer::default() };
    let at = |path: &[u8]| {
        config.routes.find(&HostAndPath(b"", path)).and_then(|id| config.route(id)).map(|route| route.buffer)
    };
    assert_eq!(at(b"/uploads/x"), Some(Buffer { request: false, memory: 1 << 20, ..all }));
    assert_eq!(at(b"/reports/x"), Some(Buffer { disk: 0, ..all }));
    assert_eq!(at(b"/"), Some(all));
    assert_eq!(config.buffer, all);
    assert_eq!(config.route(RouteId(3)), None);
}

#[test]
fn a_route_in_error_leaves_the_others_their_settings() {
    let text = format!(
        "{TWO}[[route]]\npath = \"/a\"\nupstream = \"web\"\n[[route]]\nupstream = \"x\"\n[[route]]\nupstream = \"api\""
    );
    let document = toml::de::DeTable::parse(&text).expect("TOML");
    let reader = Reader::new(Source::new(Path::new("test.toml"), &text));
    let (config, _) = crate::meaning::config(&reader, document.get_ref(), &WebServer::default());
    assert_eq!(upstream_of(&config, b"", b"/a"), Some(UpstreamId(0)));
    assert_eq!(upstream_of(&config, b"", b"/b"), Some(UpstreamId(1)));
    assert_eq!(reader.finish().len(), 1);
}

#[test]
fn refuses_the_same_route_twice() {
    let text = "[[route]]\nhost = \"a.example\"\n\n[[route]]\nhost = \"A.EXAMPLE.\"\npath = \"/*\"\n";
    assert_wrong(text, (4, 1), "route on line 1", "leave one");
    right("[[route]]\npath = \"/a\"\n[[route]]\npath = \"/a/\"\n[[route]]\npath = \"/a/*\"");
}

#[test]
fn refuses_the_same_listener_twice() {
    let listen = |one: &str, other: &str| {
        format!("[[listen]]\naddress = \"{one}\"\n[[listen]]\naddress = \"{other}\"")
    };
    for (one, other) in [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("[::1]:80", "[::]:80"),
        ("localhost:80", "127.0.0.1:80"),
        ("unix:/a", "unix://a"),
    ] {
        assert_wrong(&listen(one, other), (4, 11), "taken by the listener on line 2", "another port");
    }
    for (one, other) in [
        ("127.0.0.1:80", "127.0.0.1:81"),
        ("127.0.0.1:80", "127.0.0.2:80"),
        ("0.0.0.0:80", "[::]:80"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("unix:/a", "unix:/b"),
    ] {
        right(&listen(one, other));
    }
    assert_wrong("[[listen]]\n[[listen]]", (2, 1), "taken by the listener on line 1", "another port");
}

#[test]
fn refuses_to_listen_where_the_application_does() {
    let text = "[[listen]]\naddress = \"unix:/tmp/web_server.sock\"";
    assert_wrong(text, (2, 11), "where the upstream `app` listens", "another address");
    let text = "[[listen]]\naddress = \"0.0.0.0:3000\"\n[upstream.web]\naddress = \"localhost:3000\"";
    assert_wrong(text, (2, 11), "where the upstream `web` listens", "another address");
    right("[[listen]]\naddress = \"0.0.0.0:3000\"\n[upstream.web]\naddress = \"10.0.0.1:3000\"");
}

#[test]
fn refuses_a_listener_for_proxies_that_nobody_is() {
    let listen = |address: &str| format!("[[listen]]\naddress = \"{address}\"\nproxy_protocol = true");
    let tcp = listen("0.0.0.0:80");
    assert_wrong(&tcp, (3, 18), "nobody could connect", "write trusted_proxies = [\"10.0.0.0/8\"]");
    assert_wrong(&format!("trusted_proxies = []\n{tcp}"), (4, 18), "nobody could connect", "trusted_proxies");
    right(&format!("trusted_proxies = [\"10.0.0.1\"]\n{tcp}"));
    right("[[listen]]\nproxy_protocol = false");

    let unix = listen("unix:/run/public.sock");
    assert_wrong(&unix, (3, 18), "nobody could connect", "add \"127.0.0.1\"");
    let text = format!("trusted_proxies = [\"10.0.0.0/8\"]\n{unix}");
    assert_wrong(&text, (4, 18), "nobody could connect", "add \"127.0.0.1\"");
    right(&format!("trusted_proxies = [\"127.0.0.0/8\"]\n{unix}"));

    let both = format!("{tcp}\n{unix}");
    assert_eq!(wrong(&both).len(), 2);
    // One mistake is one error.
    assert_wrong(
        &format!("trusted_proxies = [\"10.0.0\"]\n{tcp}"),
        (1, 20),
        "neither a network",
        "10.0.0.0/8",
    );
    assert_wrong(&format!("trusted_proxies = \"10.0.0.1\"\n{tcp}"), (1, 19), "is a list", "[\"10.0.0.0/8\"]");
}

#[test]
fn via_may_be_left_out() {
    let via = |text: &str| right(text).fields.via;
    assert_eq!(via("[fields]"), Some("vestibule".to_owned()));
    assert_eq!(via("fields.via = false"), None);
    assert_eq!(via("fields.via = \"\""), None);
}

#[test]
fn an_address_in_error_causes_no_second_error() {
    assert_eq!(wrong("[[listen]]\naddress = 1\n[[listen]]\naddress = 2").len(), 2);
    assert_eq!(wrong("[upstream.a]\nadress = \"unix:/a\"\n[upstream.b]\naddress = \"unix:/b\"\n[[route]]\nupstream=\"a\"").len(), 1);
}

#[test]
fn errors_after_the_fact_name_the_line_of_the_address() {
    let config = right("[[listen]]\naddress = \"127.0.0.1:80\"\n[[listen]]\naddress = \"127.0.0.1:81\"");
    let error = config.listener_error(1, "port 81 is in use", "choose another port");
    assert!(error.to_string().starts_with("test.toml:4:11: port 81 is in use\n"), "{error}");
    let error = Config::default().listener_error(0, "port 8080 is in use", "choose another port");
    let expected = "port 8080 is in use\n  = choose another port\n\n1 error in the configuration";
    assert_eq!(error.to_string(), expected);
}
