//! What our parser takes at its edges, at the real servers: each reads the same request out of it or refuses it at once,
//! and what it refuses harms nobody else.

use std::net::TcpStream;

use serde_json::Value;

use crate::forwarding::KINDS;
use crate::support::app::App;
use crate::support::canonical::Chunks;
use crate::support::client::{Client, Response};
use crate::support::dir::Dir;
use crate::support::stand::{Stand, line};
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::seconds;

/// Puma would be silent for 20 s.
fn connect(vestibule: &Vestibule) -> Client<TcpStream> {
    Client::connect(vestibule.address()).expect("a connection").patience(seconds(12))
}

/// The answer to `bytes`, after something that leaves a kept connection behind; then the client's next request has to
/// get its own answer.
fn ask(vestibule: &Vestibule, client: &mut Client<TcpStream>, bytes: &[u8], what: &str) -> Response {
    assert_eq!(client.get("/").expect(what).status, 200, "before {what}");
    client.send(bytes).expect(what);
    let answer = client.response().unwrap_or_else(|error| panic!("{what} has no answer: {error}"));
    if answer.closes() {
        *client = connect(vestibule);
    }
    let token = what.bytes().fold(5381_u64, |hash, byte| hash.wrapping_mul(33) ^ u64::from(byte));
    let next = client.get(&format!("/sleep?token={token}")).expect(what);
    assert_eq!((next.status, next.text()), (200, token.to_string()), "after {what}");
    answer
}

#[test]
fn what_a_server_refuses_is_answered_at_once_and_harms_nobody() {
    let long = |start: &str, count| format!("GET {start}{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(count));
    let cases = [
        ("a method in small letters", "Get / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("an odd method", "!#$%&'*+-.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("a long method", format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "X".repeat(32))),
        ("a quotation mark", "GET /\" HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("angle brackets", "GET /?q=<script> HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("a percent sign", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("a path of 3 KB", long("/", 3_000)),
        ("a path of 13 KB", long("/", 13_000)),
        ("a target of 60 KB", long("/", 60_000)),
        ("a query of 11 KB", long("/?", 11_000)),
        ("a query of 60 KB", long("/?", 60_000)),
        ("a name of 300 bytes", format!("GET / HTTP/1.1\r\nHost: a\r\n{}: v\r\n\r\n", "n".repeat(300))),
        ("a password for Passenger", "GET / HTTP/1.1\r\nHost: a\r\n!~: x\r\n!~FLAGS: S\r\n\r\n".to_owned()),
    ];
    for kind in KINDS {
        let dir = Dir::new();
        let _app = App::start(kind, &dir);
        let vestibule = Vestibule::start(&dir, &config(&dir, "in_flight = 2"));
        let mut client = connect(&vestibule);
        for (what, bytes) in &cases {
            let answer = ask(&vestibule, &mut client, bytes.as_bytes(), &format!("{kind:?}: {what}"));
            assert!(
                matches!(answer.status, 200 | 400 | 404 | 414),
                "{kind:?} answers {} to {what}",
                answer.status
            );
        }
    }
}

#[test]
fn every_server_reads_the_request_that_we_read() {
    let targets = [
        "//x",
        "/..;/x",
        "/a//b/../c/./d",
        "/|",
        "/{x}",
        "/^",
        "/`",
        "/\\x",
        "/[x]",
        "/%00",
        "/%2e%2e/%2f",
        "/http://b/x",
        "/:80",
        "/*",
        "/'",
    ];
    let queries = ["a?b", "", "?", "[x]=1&a;b", "{}|^`\\'", "%00%0d%0aX:y", "http://b/"];
    for kind in KINDS {
        let dir = Dir::new();
        let app = App::start(kind, &dir);
        let vestibule = Vestibule::start(&dir, &config(&dir, ""));
        let mut client = connect(&vestibule);
        let mut pass =
            |bytes: String| ask(&vestibule, &mut client, bytes.as_bytes(), &format!("{kind:?}: {bytes}"));
        for target in targets {
            let answer = pass(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(answer.text(), format!("nothing at {target}"), "{kind:?}");
        }
        for query in queries {
            let answer = pass(format!("GET /echo?{query} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let seen: Value = serde_json::from_slice(&answer.body).expect("JSON");
            assert_eq!(
                (&seen["path"], &seen["query"]),
                (&Value::from("/echo"), &Value::from(query)),
                "{kind:?}"
            );
        }
        // Each with a body that would be a request, were it not read as a body.
        let body = "POST /once HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nsmuggled";
        for method in ["GET", "DELETE", "OPTIONS", "PATCH", "PROPFIND"] {
            let head = format!("{method} /echo HTTP/1.1\r\nHost: a\r\n");
            let chunked = format!("{:x};x=y\r\n{body}\r\n0\r\nX-T: 1\r\n\r\n", body.len());
            for bytes in [
                format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()),
                format!("{head}Content-Length: 000{}\r\n\r\n{body}", body.len()),
                format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunked}"),
            ] {
                let seen: Value = serde_json::from_slice(&pass(bytes).body).expect("JSON");
                assert_eq!(
                    (&seen["method"], &seen["length"]),
                    (&method.into(), &body.len().into()),
                    "{kind:?}"
                );
            }
        }
        assert_eq!(app.ledger().executions().len(), 0, "{kind:?}: a body was read as a request");
    }
}

#[test]
fn nobody_but_us_says_who_asks_and_how() {
    let names = [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Ssl",
        "X-Forwarded-Scheme",
        "X-Forwarded-Prefix",
        "Forwarded",
        "X-Real-IP",
        "Client-IP",
        "X-Request-Id",
        "X-Request-Start",
        "Proxy",
        "X-Sendfile-Type",
        "X-Accel-Mapping",
        "Version",
    ];
    for kind in KINDS {
        let dir = Dir::new();
        let _app = App::start(kind, &dir);
        let vestibule =
            Vestibule::start(&dir, &format!("{}\n[fields]\nunderscores = true\n", config(&dir, "")));
        let mut client = connect(&vestibule);
        for name in names {
            let lines = [
                format!("{name}: lie\r\n{}:lie\t\r\n", name.to_lowercase()),
                format!(
                    "{}: lie\r\n{}: lie\r\n",
                    name.replace('-', "_"),
                    name.replacen('-', "_", 1).to_uppercase()
                ),
                format!("Connection: {name}, X-Real-IP, x-forwarded-for, Host\r\n{name}: lie\r\n"),
            ];
            for line in ["GET /echo HTTP/1.1", "GET http://a/echo HTTP/1.1", "GET /echo HTTP/1.0"] {
                for lines in &lines {
                    let keep = if line.ends_with('0') { "Connection: keep-alive\r\n" } else { "" };
                    let bytes = format!("{line}\r\nHost: a\r\n{keep}{lines}\r\n");
                    let answer =
                        ask(&vestibule, &mut client, bytes.as_bytes(), &format!("{kind:?}: {bytes}"));
                    let text = answer.text();
                    assert!(
                        answer.status == 200 && !text.contains("lie"),
                        "{kind:?} got from {bytes:?}: {text}"
                    );
                    let seen: Value = serde_json::from_slice(&answer.body).expect("JSON");
                    let fields = &seen["fields"];
                    assert_eq!(fields["HTTP_X_FORWARDED_FOR"], "127.0.0.1", "{kind:?}: {bytes}");
                    assert_eq!(fields["HTTP_X_REAL_IP"], "127.0.0.1", "{kind:?}: {bytes}");
                    assert_eq!(fields["HTTP_HOST"], "a", "{kind:?}: {bytes}");
                }
            }
        }
    }
}

#[test]
fn what_a_server_may_refuse_goes_over_a_new_connection() {
    let stand = Stand::with("in_flight = 1", Chunks::Refused, |_| None);
    let mut client = stand.connect();
    let mut ask = |target: &str| {
        client.send(line(format!("GET {target} HTTP/1.1"))).expect("sent");
        assert_eq!(client.response().expect("an answer").status, 200);
        stand.origin.requests().last().expect("a request").connection
    };
    let [a, b, quote, c, angle, d] = ["/a", "/b", "/\"", "/c", "/<", "/d"].map(&mut ask);
    assert!(a == b && quote == c && angle == d, "kept: {:?}", [a, b, quote, c, angle, d]);
    assert!(b != quote && c != angle, "new: {:?}", [a, b, quote, c, angle, d]);
    // As many connections as may be in flight, and no more.
    stand.origin.wait_for("the old connections are closed", |record| {
        [a, quote, angle].map(|number| record.wires[number].has_ended) == [true, true, false]
    });
}
