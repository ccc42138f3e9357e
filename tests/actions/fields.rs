//! What a route changes in fields, both ways.

use super::{PROTOCOLS, get, start, with_routes};
use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::vestibule::Vestibule;

#[test]
fn the_application_gets_the_fields_that_the_route_wants() {
    let dir = Dir::new();
    let (vestibule, origin) = with_routes(
        &dir,
        r#"
[fields]
underscores = true
[[route]]
path = "/x/*"
upstream = "app"
fields = { request = { set = { X-Key = "ours", X-Where = "$scheme://$host$path?$query", X-Caught = "$1", X-Agent = "$field:user-agent" }, add = { X-More = "second" }, remove = ["X-Secret", "Cookie"] } }
"#,
    );
    for protocol in PROTOCOLS {
        let fields = [
            ("X-Key", "theirs"),
            ("X_Key", "theirs"),
            ("X-Secret", "s"),
            ("Cookie", "a=b"),
            ("X-More", "first"),
            ("User-Agent", "test"),
            ("X-Stays", "1"),
        ];
        assert_eq!(get(vestibule.address(), protocol, "/x/a%0d%0aX-Evil:%201?q=1", &fields).status, 200);
        let requests = origin.requests();
        let request = requests.last().expect("a request");
        for (name, values) in [
            ("x-key", &["ours"][..]),
            ("x_key", &[]),
            ("x-where", &["http://example.com/x/a%0d%0aX-Evil:%201?q=1"]),
            ("x-caught", &["a%0D%0AX-Evil:%201"]),
            ("x-agent", &["test"]),
            ("x-more", &["first", "second"]),
            ("x-secret", &[]),
            ("cookie", &[]),
            ("x-stays", &["1"]),
            ("x-evil", &[]),
            ("host", &["example.com"]),
            ("x-forwarded-for", &["127.0.0.1"]),
        ] {
            assert_eq!(request.all(name), values, "{name}: {}", request.head);
        }
    }
}

/// What the client nominates for its hop goes; what the route sets, it cannot name away.
#[test]
fn a_client_cannot_take_away_what_the_route_sets() {
    let dir = Dir::new();
    let (vestibule, origin) = with_routes(
        &dir,
        "[[route]]\nupstream = \"app\"\nfields = { request = { set = { X-Key = \"ours\" } } }\n",
    );
    let mut client = Client::connect(vestibule.address()).expect("a connection");
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Key, keep-alive\r\nX-Key: theirs\r\n\r\n")
        .expect("sent");
    assert_eq!(client.response().expect("an answer").status, 200);
    assert_eq!(origin.requests()[0].all("x-key"), ["ours"]);
}

const RESPONSE: &str = r#"
security = true
fields = { response = { set = { Server = "front", X-Id = "$id", Cache-Control = "private" }, add = { Link = "</a>; rel=preload" }, remove = ["X-Powered-By", "Set-Cookie"] } }
"#;

#[test]
fn the_client_gets_the_fields_that_the_route_wants_whoever_answers() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        while conversation.request().is_some() {
            let _ = conversation.write(
                "HTTP/1.1 200 OK\r\nServer: app\r\nX-Powered-By: x\r\nX-POWERED-BY: y\r\nSet-Cookie: a=1\r\nLink: </b>\r\n\
                 X-Frame-Options: DENY\r\nETag: \"e\"\r\nContent-Length: 3\r\n\r\napp",
            );
        }
    });
    let route = |path: &str, what: &str| format!("[[route]]\npath = \"{path}\"\n{what}\n{RESPONSE}");
    let vestibule = start(
        &dir,
        &[
            route("/app", "upstream = \"app\""),
            route("/fixed", "respond = { status = 200, body = \"fixed\", type = \"text/plain\" }"),
            route("/away", "redirect = \"https://b.example/\""),
            route("/closed", "upstream = \"app\"\ndeny = [\"all\"]"),
            "[[route]]\npath = \"/plain\"\nupstream = \"app\"\n".to_owned(),
        ]
        .concat(),
    );
    for protocol in PROTOCOLS {
        for (path, status, frame) in [
            ("/app", 200, "DENY"),
            ("/fixed", 200, "SAMEORIGIN"),
            ("/away", 308, "SAMEORIGIN"),
            ("/closed", 403, "SAMEORIGIN"),
        ] {
            let seen = get(vestibule.address(), protocol, path, &[]);
            assert_eq!(seen.status, status);
            for (name, value) in [
                ("server", "front"),
                ("cache-control", "private"),
                ("x-frame-options", frame),
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "strict-origin-when-cross-origin"),
            ] {
                assert_eq!(seen.field(name), Some(value), "{path}: {seen:?}");
            }
            assert_eq!(seen.field("x-id").map(str::len), Some(32));
            assert_eq!((seen.field("x-powered-by"), seen.field("set-cookie")), (None, None));
            assert_eq!(seen.all("link").last(), Some(&"</a>; rel=preload"));
            assert!(seen.field("date").is_some() && seen.field("content-length").is_some(), "{seen:?}");
        }
        let plain = get(vestibule.address(), protocol, "/plain", &[]);
        assert_eq!((plain.field("server"), plain.field("x-frame-options")), (Some("app"), Some("DENY")));
        assert_eq!(plain.all("x-powered-by"), ["x", "y"]);
        assert_eq!(plain.field("x-content-type-options"), None);
    }
}

#[test]
fn what_carries_a_message_is_not_a_routes_to_change() {
    let dir = Dir::new();
    for (side, changes, word) in [
        ("request", "set = { Content-Length = \"5\" }", "Content-Length"),
        ("request", "remove = [\"Transfer-Encoding\"]", "Transfer-Encoding"),
        ("request", "set = { X-Forwarded-For = \"1.2.3.4\" }", "X-Forwarded-For"),
        ("request", "add = { Client-Cert = \"x\" }", "Client-Cert"),
        ("request", "set = { X_Key = \"x\" }", "X_Key"),
        ("response", "set = { Connection = \"close\" }", "Connection"),
        ("response", "add = { Upgrade = \"h2c\" }", "Upgrade"),
        ("response", "remove = [\"Date\"]", "Date"),
    ] {
        let config = format!("[[route]]\nfields = {{ {side} = {{ {changes} }} }}\n");
        let ended = Vestibule::refused(&dir, &config);
        assert_ne!(ended.status, Some(0), "{changes}");
        assert!(ended.stderr.contains(word), "{changes}: {}", ended.stderr);
    }
}

/// One byte too many in a head would be another head: what comes out is read as a client reads it, and the next answer is its own.
#[test]
fn no_template_splits_a_head() {
    let dir = Dir::new();
    let (vestibule, origin) = with_routes(
        &dir,
        "[[route]]\npath = \"~ ^/(.*)$\"\nupstream = \"app\"\n\
         fields = { request = { set = { X-Path = \"$1\", X-Told = \"$field:x-told\" } }, response = { set = { X-Path = \"$1\", X-Told = \"$field:x-told\" } } }\n",
    );
    let mut client = Client::connect(vestibule.address()).expect("a connection");
    for told in ["a\tb", "\u{e9}\u{fffd}", "a: b; c", "%0d%0aX-Evil: 1"] {
        client
            .send(format!("GET /x%0d%0a%0d%0a%00:y HTTP/1.1\r\nHost: a\r\nX-Told: {told}\r\n\r\n"))
            .expect("sent");
        let answer = client.response().expect("an answer");
        assert_eq!(answer.text(), "app");
        assert_eq!(answer.field("x-path"), Some("x%0D%0A%0D%0A%00:y"));
        assert_eq!(answer.field("x-told"), Some(told));
        let requests = origin.requests();
        let request = requests.last().expect("a request");
        assert_eq!(request.field("x-told"), Some(told));
        assert_eq!(request.field("x-evil"), None);
    }
    assert_eq!(origin.requests().len(), 4);
}
