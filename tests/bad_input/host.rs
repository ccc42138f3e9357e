//! B: Host.

use super::oracle::{Case, F, R, judge};

/// A request with these lines instead of its Host.
fn with_lines(lines: impl AsRef<[u8]>) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\n", lines.as_ref(), b"\r\n"].concat()
}

#[test]
fn b16_host_absent_repeated_or_empty() {
    judge(
        [
            "",
            "Host: a\r\nHost: b\r\n",
            "Host: a\r\nHost: a\r\n",
            "Host: a\r\nX: y\r\nhost: a\r\n",
            "Host: a\r\nHost:\r\n",
            "Host:\r\nHost: a\r\n",
            "Host:\r\n",
            "Host: \r\n",
            "Host: \t \r\n",
            "X-Host: a\r\n",
            "Hos: a\r\n",
            "Host_: a\r\n",
        ]
        .map(|lines| Case::new(with_lines(lines), R)),
    );
    // An absolute target does not heal what Host lacks.
    judge(
        ["", "Host: b\r\nHost: b\r\n", "Host: b,c\r\n"]
            .map(|lines| Case::new([b"GET http://b/ HTTP/1.1\r\n", lines.as_bytes(), b"\r\n"].concat(), R)),
    );
    // HTTP/1.0 may leave Host out, not say it twice.
    judge([Case::new("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", R)]);
}

#[test]
fn b17_hosts_that_are_no_host() {
    let hosts: [&[u8]; 30] = [
        b"a,b",
        b"a, b",
        b"a b",
        b"a\tb",
        b"u@a",
        b"u:p@a",
        b"a/p",
        b"a/",
        b"/",
        b"a?q",
        b"a#f",
        b"a\\b",
        b"a:80:80",
        b"a:99999",
        b"a:65536",
        b"a:x",
        b"a:-1",
        b"a:+80",
        b"a: 80",
        b":80",
        b"[::1",
        b"::1",
        b"[::1]x",
        b"[x]",
        b"[]",
        b"a\x00.b",
        b"a\x7f",
        b"a\xa0",
        b"\xc3\xa9.example",
        b"http://a",
    ];
    judge(hosts.map(|host| Case::new(with_lines([b"Host: ", host, b"\r\n"].concat()), R)));
}

#[test]
fn b18_http_1_0_without_host_takes_the_default_route() {
    judge([
        Case::new("GET / HTTP/1.0\r\n\r\n", F),
        Case::new("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", F),
        Case::new("GET / HTTP/1.0\r\nHost:\r\n\r\n", &[200, 400]),
        Case::new("GET / HTTP/1.0\r\nHost: b\r\n\r\n", F)
            .with("Host stays", |request| request.field("host") == Some("b")),
    ]);
}
