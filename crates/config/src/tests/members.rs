//! Several servers behind one upstream, and how their names are looked up.

use std::time::Duration;

use super::{assert_wrong, right, wrong};
use crate::model::*;

fn tcp(address: &str) -> UpstreamAddress {
    UpstreamAddress::Tcp(address.parse().unwrap())
}

#[test]
fn reads_addresses_alone_and_with_what_they_are_to_get() {
    let config = right(
        r#"
        [upstream.app]
        balance = "hash:cookie:_session"
        slow_start = "10s"
        addresses = [
            "unix:///run/a.sock",
            { address = "10.0.0.2:3000", weight = 3 },
            { address = "app.internal:3000", slow_start = "0s" },
            { address = "srv:_http._tcp.App.internal.", backup = true },
        ]
        [dns]
        servers = ["192.0.2.53", "127.0.0.1:5353", "::1"]
        timeout = "2s"
        least_ttl = "5s"
        most_ttl = "1h"
        "#,
    );
    let seconds = Duration::from_secs;
    let expected = [
        Member { slow_start: seconds(10), ..Member::at(UpstreamAddress::Unix("/run/a.sock".into())) },
        Member { weight: 3, slow_start: seconds(10), ..Member::at(tcp("10.0.0.2:3000")) },
        Member::at(UpstreamAddress::Name("app.internal".to_owned(), 3000)),
        Member {
            backup: true,
            slow_start: seconds(10),
            ..Member::at(UpstreamAddress::Srv("_http._tcp.app.internal.".to_owned()))
        },
    ];
    assert_eq!(config.upstreams[0].members, expected);
    assert_eq!(config.upstreams[0].balance, Balance::Cookie("_session".to_owned()));
    assert_eq!(config.upstreams[0].only_address(), None);
    let dns = Dns {
        servers: ["192.0.2.53:53", "127.0.0.1:5353", "[::1]:53"].map(|text| text.parse().unwrap()).to_vec(),
        timeout: seconds(2),
        least_ttl: seconds(5),
        most_ttl: seconds(3600),
    };
    assert_eq!(config.dns, dns);
}

#[test]
fn reads_one_address_of_every_kind() {
    for (text, expected) in [
        ("unix:/a", UpstreamAddress::Unix("/a".into())),
        ("[::1]:80", tcp("[::1]:80")),
        ("localhost:80", tcp("127.0.0.1:80")),
        ("app:80", UpstreamAddress::Name("app".to_owned(), 80)),
        ("my_app-1.internal.:8080", UpstreamAddress::Name("my_app-1.internal.".to_owned(), 8080)),
        ("srv:_http._tcp.app", UpstreamAddress::Srv("_http._tcp.app".to_owned())),
    ] {
        let config = right(&format!("upstream.app.address = \"{text}\""));
        assert_eq!(config.upstreams[0].address(), &expected);
        let again: String = expected.to_string();
        assert_eq!(right(&format!("upstream.app.address = \"{again}\"")).upstreams[0].address(), &expected);
    }
}

#[test]
fn reads_every_way_to_spread_requests() {
    for (text, expected) in [
        ("least", Balance::Least),
        ("random", Balance::Random),
        ("hash:client", Balance::Client),
        ("hash:path", Balance::Path),
        ("hash:field:X-Tenant", Balance::Field("x-tenant".to_owned())),
        ("hash:cookie:A", Balance::Cookie("A".to_owned())),
    ] {
        assert_eq!(right(&format!("upstream.app.balance = \"{text}\"")).upstreams[0].balance, expected);
    }
}

#[test]
fn refuses_what_cannot_be_members() {
    for (value, column, message, instead) in [
        ("[]", 26, "empty", "addresses = ["),
        ("\"unix:/a\"", 26, "is a list, not the text", "addresses = ["),
        ("[\"unix:/a\", \"unix:///a\"]", 38, "a second time", "`weight`"),
        ("[{ weight = 2 }]", 27, "no address", "`address`"),
        ("[{ address = \"unix:/a\", backup = true }]", 26, "of nothing", "leave `backup` out"),
        ("[{ address = \"unix:/a\", weight = 0 }]", 59, "out of bounds", "from 1 to 1000"),
        ("[{ address = \"unix:/a\", wieght = 2 }]", 50, "unknown key `wieght`", "`weight`"),
        ("[{ address = \"srv:_a._tcp.b\", weight = 2 }]", 65, "records of a service", "leave `weight` out"),
        ("[\"srv:app.internal\"]", 27, "not the name of a service", "srv:_http._tcp.app.internal"),
        ("[\"srv:_http._tcp.app:80\"]", 27, "no port of its own", "\"srv:_http._tcp.app\""),
        ("[\"app.internal:0\"]", 27, "not a port", "app.internal:8080"),
        ("[\"app..internal:80\"]", 27, "not an IP address", "write the IP address"),
        ("[\"app.internal\"]", 27, "not an address", "host:port"),
    ] {
        assert_wrong(&format!("upstream.app.addresses = {value}"), (1, column), message, instead);
    }
    let label = "a".repeat(63);
    let long = [label.as_str(); 4].join(".");
    assert_wrong(&format!("upstream.app.address = \"{long}:80\""), (1, 24), "255 bytes", "at most 253");
    let many: Vec<String> = (0..257).map(|n| format!("\"unix:/{n}\"")).collect();
    assert_wrong(
        &format!("upstream.app.addresses = [{}]", many.join(",")),
        (1, 26),
        "257 addresses",
        "at most 256",
    );
    let both = "[upstream.app]\naddress = \"unix:/a\"\naddresses = [\"unix:/b\"]";
    assert_wrong(both, (3, 13), "exclude each other", "leave one of them out");
}

#[test]
fn refuses_what_is_no_way_to_spread_requests() {
    for (value, message, instead) in [
        ("round_robin", "no way to spread", "write \"least\""),
        ("ip_hash", "no way to spread", "write \"hash:client\""),
        ("leest", "no way to spread", "write \"least\""),
        ("hash:field:", "not the name of a field", "hash:field:X-Session"),
        ("hash:cookie:a b", "not the name of a cookie", "hash:cookie:"),
        ("anything", "no way to spread", "write one of \"least\""),
    ] {
        assert_wrong(&format!("upstream.app.balance = \"{value}\""), (1, 24), message, instead);
    }
}

#[test]
fn a_pid_file_is_for_one_member() {
    for addresses in ["addresses = [\"unix:/a\", \"unix:/b\"]", "address = \"app.internal:80\""] {
        let text = format!("[upstream.app]\n{addresses}\npid_file = \"/a.pid\"");
        assert_wrong(&text, (3, 12), "names one process", "leave `pid_file` out");
        assert_eq!(right(&format!("[upstream.app]\n{addresses}")).upstreams[0].pid_file, None);
    }
    let one = right("[upstream.app]\naddresses = [\"unix:/a\"]\npid_file = \"/a.pid\"");
    assert!(one.upstreams[0].only_address().is_some() && one.upstreams[0].pid_file.is_some());
}

#[test]
fn a_process_is_for_one_member() {
    let upstream = "[upstream.app]\naddresses = [\"unix:/a\", \"unix:/b\"]\n";
    let text = format!("{upstream}[process.app]\ncommand = [\"puma\"]");
    assert_wrong(&text, (3, 10), "several members", "by another program");
}

#[test]
fn listeners_and_the_control_socket_keep_away_from_every_member() {
    let members = "[upstream.app]\naddresses = [\"unix:/a\", \"127.0.0.1:81\"]\n";
    for other in [
        "[[listen]]\naddress = \"0.0.0.0:81\"",
        "[[listen]]\naddress = \"unix:/a\"",
        "[control]\nsocket = \"/a\"",
    ] {
        let problems = wrong(&format!("{members}{other}"));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].message.contains("the upstream `app` listens"), "{}", problems[0]);
    }
}

#[test]
fn refuses_what_cannot_be_asked() {
    assert_wrong("dns.servers = [\"dns.internal\"]", (1, 16), "not the address of a server", "IP address");
    assert_wrong("dns.servers = [\"192.0.2.53:0\"]", (1, 16), "not the address of a server", "IP address");
    assert_wrong("[dns]\nleast_ttl = \"1m\"\nmost_ttl = \"1s\"", (3, 12), "longer than", "`most_ttl`");
    assert_wrong("dns.least_ttl = \"6m\"", (1, 17), "longer than", "`most_ttl`");
}
