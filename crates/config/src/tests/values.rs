use std::time::Duration;

use super::{assert_wrong, right};
use crate::model::*;

#[test]
fn reads_durations() {
    for (text, milliseconds) in [
        ("500ms", 500),
        ("30s", 30_000),
        ("2m", 120_000),
        ("1h", 3_600_000),
        (" 30 s ", 30_000),
        ("8760h", 31_536_000_000),
        ("1d", 86_400_000),
        ("2w", 1_209_600_000),
        ("365d", 31_536_000_000),
        ("1y", 31_536_000_000),
    ] {
        let config = right(&format!("[limits]\nidle_timeout = \"{text}\""));
        assert_eq!(config.limits.idle_timeout, Duration::from_millis(milliseconds), "{text}");
    }
}

#[test]
fn refuses_what_is_no_duration() {
    for (value, message, instead) in [
        ("30", "expected a duration, found the number 30", "\"30s\" or \"30ms\""),
        ("1.5", "expected a duration", "such as \"30s\""),
        ("true", "expected a duration, found true", "such as \"30s\""),
        ("\"30\"", "not a duration", "\"30s\" or \"30ms\""),
        ("\"\"", "not a duration", "such as \"30s\""),
        ("\"s\"", "not a duration", "such as \"30s\""),
        ("\"-1s\"", "not a duration", "such as \"30s\""),
        ("\"1.5s\"", "not a duration", "smaller unit"),
        ("\"1m30s\"", "not a duration", "one unit"),
        ("\"30 seconds\"", "not a duration", "write \"30s\""),
        ("\"5min\"", "not a duration", "write \"5m\""),
        ("\"1month\"", "not a duration", "\"1\" followed by ms, s, m, h, d (days), w (weeks) or y"),
        ("\"2 days\"", "not a duration", "write \"2d\""),
        ("\"1 year\"", "not a duration", "write \"1y\""),
        ("\"1D\"", "not a duration", "write \"1d\""),
        ("\"366d\"", "longer than a year", "8760h"),
        ("\"2y\"", "longer than a year", "8760h"),
        ("\"0s\"", "zero", "at least \"1ms\""),
        ("\"8761h\"", "longer than a year", "8760h"),
        ("\"99999999999999999999h\"", "longer than a year", "8760h"),
        ("\"18446744073709551615h\"", "longer than a year", "8760h"),
    ] {
        assert_wrong(&format!("[limits]\nidle_timeout = {value}"), (2, 16), message, instead);
    }
}

#[test]
fn says_how_to_hold_nothing() {
    assert_wrong("upstream.app.hold.timeout = \"0s\"", (1, 29), "makes no sense", "requests = 0");
    assert_wrong("upstream.app.hold.timeout = 0", (1, 29), "expected a duration", "unit");
}

#[test]
fn reads_sizes() {
    for (value, bytes) in [
        ("\"64 MiB\"", 64 << 20),
        ("\"64KiB\"", 64 << 10),
        ("\"1 GiB\"", 1 << 30),
        ("\"512 B\"", 512),
        ("\"1 TiB\"", 1 << 40),
        ("\"100\"", 100),
        ("70_000", 70_000),
        ("0x10", 16),
    ] {
        assert_eq!(right(&format!("[limits]\nbody = {value}")).limits.body, bytes, "{value}");
    }
}

#[test]
fn refuses_what_is_no_size() {
    for (value, message, instead) in [
        ("\"64MB\"", "not a size", "write \"64 MiB\""),
        ("\"64m\"", "not a size", "write \"64 MiB\""),
        ("\"1.5 GiB\"", "not a size", "smaller unit"),
        ("\"big\"", "not a size", "such as \"64 MiB\""),
        ("\"5 pages\"", "not a size", "KiB"),
        ("-1", "out of bounds", "from 0 B to 1024 TiB"),
        ("\"18446744073709551615 TiB\"", "out of bounds", "to 1024 TiB"),
        ("99999999999999999999", "out of bounds", "to 1024 TiB"),
        ("[]", "expected a size, found a list", "such as \"64 MiB\""),
        ("0", "zero", "no value for \"no limit\""),
    ] {
        assert_wrong(&format!("[limits]\nbody = {value}"), (2, 8), message, instead);
    }
    assert_wrong("[limits]\nreceive_rate = \"500 B/s\"", (2, 16), "not a size", "\"500\" followed by B");
    assert_wrong("[limits]\nsend_rate = \"1 GiB\"", (2, 13), "out of bounds", "from 0 B to 1 MiB");
    assert_wrong("[disk]\nmost = \"8 GB\"", (2, 8), "not a size", "\"8 GiB\"");
    assert_wrong("[buffer]\nmemory = \"2 GiB\"", (2, 10), "out of bounds", "from 0 B to 1 GiB");
    assert_wrong("route = [{ buffer.disk = \"1G\" }]", (1, 26), "not a size", "\"1 GiB\"");
    assert_wrong(
        "route = [{ buffer.request = \"off\" }]",
        (1, 29),
        "expected true or false",
        "without quotes",
    );
    assert_wrong("[limits]\nhead = \"17 MiB\"", (2, 8), "out of bounds", "from 1 KiB to 16 MiB");
}

#[test]
fn refuses_numbers_out_of_bounds() {
    for (text, column, message) in [
        ("workers = 0", 11, "out of bounds"),
        ("workers = -1", 11, "out of bounds"),
        ("workers = 1025", 11, "out of bounds"),
        ("workers = \"4\"", 11, "expected a whole number"),
        ("workers = 1.5", 11, "expected a whole number"),
        ("upstream.app.in_flight = 0", 26, "out of bounds"),
        ("upstream.app.in_flight = \"many\"", 26, "no number of requests"),
        ("upstream.app.health = { path = \"/\", rise = 0 }", 44, "out of bounds"),
        ("upstream.app.health = { path = \"/\", fall = 0 }", 44, "out of bounds"),
        ("limits.fields = 0", 17, "out of bounds"),
        ("limits.connections = 4294967297", 22, "out of bounds"),
        ("limits.connections_per_address = 0", 34, "out of bounds"),
        ("limits.requests_per_connection = 0", 34, "out of bounds"),
        ("limits.http2_streams = 0", 24, "out of bounds"),
        ("limits.http2_streams = 1001", 24, "out of bounds"),
        ("limits.requests_per_connection = 4294967296", 34, "out of bounds"),
    ] {
        assert_wrong(text, (1, column), message, "from 1 to");
    }
    assert_eq!(right("upstream.app.in_flight = \"auto\"").upstreams[0].in_flight, None);
}

#[test]
fn refuses_wrong_listener_addresses() {
    let long = format!("unix:/{}", "x".repeat(107));
    for (address, message, instead) in [
        ("8080", "a port without a host", "127.0.0.1:8080"),
        (":8080", "no host", "0.0.0.0:8080"),
        ("*:8080", "no host", "0.0.0.0:8080"),
        ("127.0.0.1", "not an address", "host:port or unix:/path"),
        ("127.0.0.1:", "not a port", "from 1 to 65535"),
        ("127.0.0.1:65536", "not a port", "from 1 to 65535"),
        ("127.0.0.1:+80", "not a port", "from 1 to 65535"),
        ("127.0.0.1:http", "not a port", "from 1 to 65535"),
        ("::1", "no port", "[::1]:8080"),
        ("2001:db8::g:80", "not an IP address", "[2001:db8::g]:80"),
        ("example.com:80", "names are not looked up", "127.0.0.1:80"),
        ("http://127.0.0.1:80/", "a URL", "\"127.0.0.1:80\""),
        ("tcp://0.0.0.0:80", "a URL", "\"0.0.0.0:80\""),
        ("/tmp/a.sock", "a path, not an address", "\"unix:/tmp/a.sock\""),
        ("unix:a.sock", "not absolute", "from the root"),
        ("unix:", "not absolute", "from the root"),
        ("unix:@name", "not absolute", "from the root"),
        ("unix:/tmp/", "a directory", "unix:/tmp/web_server.sock"),
        ("unix:/a\\u0000b", "NUL", "such as"),
        (&long, "has 108 bytes", "at most 107"),
        ("systemd:web", "not supported yet", "the address itself"),
        ("443 ssl http2", "more in it than an address", "\"0.0.0.0:443\", and below it tls = {"),
        ("[::]:443 ssl", "more in it than an address", "\"[::]:443\", and below it tls = {"),
        ("80 proxy_protocol", "more in it than an address", "and below it proxy_protocol = true"),
        ("127.0.0.1:80 http2", "more in it than an address", "and below it http2 = true"),
        ("0.0.0.0:80 default_server", "more in it than an address", "write address = \"0.0.0.0:80\""),
        ("", "not an address", "host:port"),
    ] {
        assert_wrong(&format!("[[listen]]\naddress = \"{address}\""), (2, 11), message, instead);
    }
    let longest = format!("unix:/{}", "x".repeat(106));
    right(&format!("[[listen]]\naddress = \"{longest}\""));
    right("[[listen]]\naddress = \"127.0.0.1:0\"");
}

#[test]
fn refuses_wrong_upstream_addresses() {
    for (address, message, instead) in [
        ("\"127.0.0.1:0\"", "port 0", "from 1 to 65535"),
        ("\"0.0.0.0:3000\"", "to accept on", "127.0.0.1:3000"),
        ("\"[::]:3000\"", "to accept on", "[::1]:3000"),
        ("\"http://unix:/tmp/a.sock:/\"", "a URL", "\"unix:/tmp/a.sock\""),
        ("[\"unix:/a\", \"unix:/b\"]", "one address, not a list", "`addresses`"),
        ("3000", "expected text, found the number 3000", "between quotes"),
    ] {
        assert_wrong(&format!("[upstream.app]\naddress = {address}"), (2, 11), message, instead);
    }
}

#[test]
fn refuses_wrong_names_paths_and_hosts() {
    for (text, column, message, instead) in [
        ("upstream.app.server = \"pumma\"", 23, "not known here", "write \"puma\""),
        ("upstream.app.server = \"webrick\"", 23, "not known here", "one of \"auto\""),
        ("upstream.app.server = 1", 23, "expected a name", "one of \"auto\""),
        ("log.access = \"jsn\"", 14, "not known here", "write \"json\""),
        ("log.output = \"access.log\"", 14, "not absolute", "from the root"),
        ("log.output = \"stderr\"", 14, "cannot go to stderr", "\"stdout\""),
        ("upstream.app.maintenance = \"down.html\"", 28, "not absolute", "/srv/app/public/maintenance.html"),
        ("disk.directory = \"tmp\"", 18, "not absolute", "/var/tmp"),
        ("fields.via = true", 14, "true does not say which", "or false"),
        ("fields.via = 1", 14, "expected text", "\"vestibule\""),
        ("fields.via = \"a b\"", 14, "cannot stand in a Via field", "at most 64"),
        ("fields.via = \"a:80\"", 14, "cannot stand in a Via field", "at most 64"),
        ("fields.via = \"a\\r\\nX: y\"", 14, "cannot stand in a Via field", "at most 64"),
        ("fields.via = \"é\"", 14, "cannot stand in a Via field", "at most 64"),
        ("fields.underscores = \"yes\"", 22, "expected true or false", "without quotes"),
        ("listen = [{ proxy_protocol = \"v2\" }]", 30, "expected true or false", "without quotes"),
        ("upstream.app.pid_file = \"web.pid\"", 25, "not absolute", "/tmp/web_server.pid"),
        ("upstream.app.health.path = \"up\"", 28, "does not begin with `/`", "\"/up\""),
        ("upstream.app.health.path = \"/a b\"", 28, "no client sends", "percent-encoded"),
        ("upstream.app.health.path = \"/a\\r\\nX: y\"", 28, "no client sends", "percent-encoded"),
        ("upstream.app.health.path = \"/a?b=\\n\"", 28, "no client sends", "percent-encoded"),
        ("upstream.app.health = { path = \"/\", host = \"a\\r\\nX: y\" }", 44, "not a host", "Host"),
        ("upstream.app.health = { path = \"/\", proto = \"ftp\" }", 45, "not known here", "\"https\""),
        ("upstream.\"a b\".server = \"auto\"", 10, "cannot be the name", "letters"),
        ("trusted_proxies = \"10.0.0.0/8\"", 19, "is a list", "[\"10.0.0.0/8\"]"),
        ("trusted_proxies = [\"10.0.0.0/33\"]", 20, "neither a network", "10.0.0.0/8"),
        ("listen = [{ address = \"unix:/a\", reuse_port = true }]", 47, "TCP only", "leave it out"),
        ("route = [{ host = \"http://a.example/x\" }]", 19, "a URL", "\"a.example\""),
        ("route = [{ host = \"a.example:80\" }]", 19, "a port", "every port"),
        ("route = [{ host = \"a.example/x\" }]", 19, "a path", "`path`"),
        ("route = [{ host = \"a.*.example\" }]", 19, "not its first label", "*.example.com"),
        ("route = [{ host = \"*example.com\" }]", 19, "not its first label", "*.example.com"),
        ("route = [{ host = \"*\" }]", 19, "not a host", "leave `host` out"),
        ("route = [{ host = \"\" }]", 19, "empty host", "leave `host` out"),
        ("route = [{ host = \"a..b\" }]", 19, "not a host name", "example.com"),
        ("route = [{ host = \"::1\" }]", 19, "without brackets", "[::1]"),
        ("route = [{ host = \"[::g]\" }]", 19, "not an IPv6 address", "[2001:db8::1]"),
        ("route = [{ host = \"bücher.example\" }]", 19, "not ASCII", "Punycode"),
        ("route = [{ host = [\"a\", \"A.\"] }]", 25, "in the list already", "leave one"),
        ("route = [{ path = \"assets/*\" }]", 19, "does not begin", "\"/assets/*\""),
        ("route = [{ path = \"/a**\" }]", 19, "beside something else", "\"/files/**/*.pdf\""),
        ("route = [{ path = \"/**/**/a\" }]", 19, "beside another", "leave one"),
        ("route = [{ path = \"/a?b\" }]", 19, "a query", "path only"),
    ] {
        assert_wrong(text, (1, column), message, instead);
    }
    let config = right("upstream.app.health = { path = \"/up?a=*&b=?\", host = \"[::1]:80\" }");
    assert_eq!(config.upstreams[0].health.as_ref().map(|health| &*health.path), Some("/up?a=*&b=?"));
    assert_eq!(config.upstreams[0].server, Server::Auto);
}

#[test]
fn refuses_paths_that_mean_others_and_names_those() {
    for (path, meant) in [
        ("//a", "/a"),
        ("/a//*", "/a/*"),
        ("/%61/b", "/a/b"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a/../b/*", "/b/*"),
        ("/a%2Fb", "/a/b"),
    ] {
        let file = format!("[[route]]\npath = \"{path}\"\nrespond = 404");
        assert_wrong(&file, (2, 8), &format!("it means `{meant}`"), &format!("write \"{meant}\""));
    }
    right("[[route]]\npath = [\"/caf%C3%A9/*\", \"/a%20b\", \"/.well-known/*\", '~ ^//']\nrespond = 404");
}
