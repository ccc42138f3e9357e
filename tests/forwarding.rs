//! What the application sees of a request.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::support::app::{App, Kind};
use crate::support::client::{Client, Response, get};
use crate::support::dir::Dir;
use crate::support::fake::{Conversation, Fake, Request};
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::seconds;

/// The four servers.
pub(crate) const KINDS: [Kind; 4] = [Kind::Puma, Kind::Unicorn, Kind::Thin, Kind::Passenger];

/// A Vestibule in front of an origin that answers everything with 200.
pub(crate) fn plain(dir: &Dir) -> (Vestibule, Fake) {
    let origin = Fake::echoing(&dir.socket());
    (Vestibule::start(dir, &config(dir, "")), origin)
}

/// A Vestibule in front of an origin with this script.
pub(crate) fn scripted(
    dir: &Dir,
    script: impl Fn(&mut Conversation) + Send + Sync + 'static,
) -> (Vestibule, Fake) {
    let origin = Fake::start(&dir.socket(), script);
    (Vestibule::start(dir, &config(dir, "")), origin)
}

/// A new connection with little patience.
pub(crate) fn connect(vestibule: &Vestibule) -> Client<TcpStream> {
    Client::connect(vestibule.address()).expect("a connection").patience(seconds(30))
}

/// Sends these bytes, reads one answer, and returns what the origin got.
fn pass(vestibule: &Vestibule, origin: &Fake, bytes: &[u8]) -> (Response, Request) {
    let before = origin.requests().len();
    let mut client = connect(vestibule);
    client.send(bytes).expect("sent");
    let answer = client.response().expect("an answer");
    let requests = origin.requests();
    assert_eq!(requests.len(), before + 1, "exactly one request reaches the application");
    (answer, requests[before].clone())
}

/// The SHA-256 of these bytes, in hexadecimal, by the system's own program.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut child =
        Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sha256sum");
    io::Write::write_all(&mut child.stdin.take().expect("stdin"), bytes).expect("written");
    let output = child.wait_with_output().expect("its output");
    String::from_utf8_lossy(&output.stdout).split(' ').next().expect("a sum").to_owned()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 256) as u8).collect()
}

#[test]
fn passes_method_target_and_body_unchanged() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    for line in [
        "GET /",
        "GET /a/../b//c?x=1&x=2&y=%2F%00;z#".trim_end_matches('#'),
        "GET /%0d%0aX:y?%20",
        "DELETE /things/1",
        "PURGE /x",
        "OPTIONS /o?",
        "PROPFIND /dav/",
        "GET //double//slash/",
    ] {
        let bytes = format!("{line} HTTP/1.1\r\nHost: example.com\r\n\r\n");
        let (answer, request) = pass(&vestibule, &origin, bytes.as_bytes());
        assert_eq!((answer.status, request.line()), (200, format!("{line} HTTP/1.1").as_str()));
        assert!(request.body.is_empty());
    }
    let body: Vec<u8> = (0..=255).cycle().take(3000).collect();
    for method in ["POST", "PUT", "PATCH", "DELETE", "GET"] {
        let head =
            format!("{method} /b HTTP/1.1\r\nHost: example.com\r\nContent-Length: {}\r\n\r\n", body.len());
        let (answer, request) = pass(&vestibule, &origin, &[head.as_bytes(), &body].concat());
        assert_eq!((answer.status, &request.body), (200, &body), "{method}");
        assert_eq!(request.field("content-length"), Some("3000"));
    }
    let empty = b"POST /e HTTP/1.1\r\nHost: example.com\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(pass(&vestibule, &origin, empty).1.field("content-length"), Some("0"));
}

#[test]
fn keeps_end_to_end_fields_and_their_order() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    let bytes = "GET / HTTP/1.1\r\nHost: Example.com:8080\r\nAccept: a\r\nX-One: 1\r\nCookie: a=b; c=d\r\nAccept: b\r\n\
                 X-Empty:\r\nX-One:  2\t\r\nAuthorization: Basic x\r\n\r\n";
    let (_, request) = pass(&vestibule, &origin, bytes.as_bytes());
    assert_eq!(request.field("host"), Some("Example.com:8080"));
    assert_eq!(request.all("accept"), ["a", "b"]);
    assert_eq!(request.all("x-one"), ["1", "2"]);
    assert_eq!(request.field("x-empty"), Some(""));
    assert_eq!(
        (request.field("cookie"), request.field("authorization")),
        (Some("a=b; c=d"), Some("Basic x"))
    );
}

#[test]
fn tells_the_application_who_asked_and_when() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_micros();
    let start = now();
    let (answer, request) = pass(&vestibule, &origin, b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.field("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(request.field("x-forwarded-proto"), Some("http"));
    assert_eq!(request.field("x-forwarded-host"), Some("shop.example"));
    let id = request.field("x-request-id").expect("an id");
    assert!(id.len() >= 16 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{id}");
    let time = request.field("x-request-start").and_then(|value| value.strip_prefix("t=")).expect("t=");
    let time: u128 = time.parse().expect("microseconds");
    assert!((start..=now()).contains(&time), "{time} is not between {start} and now");
    let (_, other) = pass(&vestibule, &origin, b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert_ne!(other.field("x-request-id"), Some(id), "each request has its own id");
    assert_eq!(answer.status, 200);
}

const LYING: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 203.0.113.9, 10.0.0.1\r\nX-Forwarded-Proto: https\r\n\
    X-Forwarded-Host: evil.example\r\nX-Real-IP: 203.0.113.9\r\nX-Request-Id: chosen-by-the-client\r\nX-Request-Start: t=1\r\n\
    X-Forwarded-Port: 1\r\nX-Forwarded-Ssl: on\r\nForwarded: for=203.0.113.9\r\nProxy: http://evil.example\r\n\
    X-Sendfile-Type: X-Accel-Redirect\r\nX-Accel-Mapping: /=/\r\n\r\n";

#[test]
fn believes_nothing_of_an_untrusted_peer() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    let (_, request) = pass(&vestibule, &origin, LYING);
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.field("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(request.field("x-forwarded-proto"), Some("http"));
    assert_eq!(request.field("x-forwarded-host"), Some("a.example"));
    for name in ["proxy", "x-sendfile-type", "x-accel-mapping", "forwarded", "x-forwarded-ssl"] {
        assert_eq!(request.all(name), Vec::<&str>::new(), "{name} of a stranger reached the application");
    }
    for lie in ["203.0.113.9", "evil.example", "chosen-by-the-client", "t=1\r\n", "https"] {
        assert!(!request.head.contains(lie), "{lie} reached the application:\n{}", request.head);
    }
}

#[test]
fn extends_what_a_trusted_peer_says() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let trusting = format!("trusted_proxies = [\"127.0.0.0/8\"]\n{}", config(&dir, ""));
    let vestibule = Vestibule::start(&dir, &trusting);
    let (_, request) = pass(&vestibule, &origin, LYING);
    assert_eq!(request.field("x-forwarded-for"), Some("203.0.113.9, 10.0.0.1, 127.0.0.1"));
    assert_eq!(request.field("x-forwarded-proto"), Some("https"));
    assert_eq!(request.field("x-forwarded-host"), Some("evil.example"));
    assert_eq!(request.field("x-request-id"), Some("chosen-by-the-client"));
    for name in ["proxy", "x-sendfile-type", "x-accel-mapping"] {
        assert_eq!(request.all(name), Vec::<&str>::new(), "{name} is dangerous from anyone");
    }
}

#[test]
fn removes_hop_by_hop_fields_of_requests() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Secret , x-other\r\nX-Secret: 1\r\nX-Other: 2\r\n\
        Keep-Alive: timeout=5\r\nTE: trailers\r\nTrailer: X-T\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\n\
        Proxy-Authorization: Basic x\r\nX-Stays: 3\r\n\r\n";
    let (_, request) = pass(&vestibule, &origin, bytes);
    for name in ["x-secret", "x-other", "keep-alive", "te", "trailer", "proxy-connection", "upgrade"] {
        assert_eq!(request.all(name), Vec::<&str>::new(), "{name}");
    }
    assert_eq!(request.field("x-stays"), Some("3"));
    assert!(
        !request.all("connection").iter().any(|value| value.to_lowercase().contains("x-")),
        "{}",
        request.head
    );
}

#[test]
fn drops_fields_with_underscores() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    let bytes = b"POST / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 203.0.113.9\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\n\
        X_Under_Score: 1\r\nContent-Length: 2\r\n\r\nok";
    let (_, request) = pass(&vestibule, &origin, bytes);
    assert!(!request.head.contains('_'), "{}", request.head);
    assert_eq!(request.body, b"ok");
}

#[test]
fn every_server_sees_the_request_as_it_was() {
    for kind in KINDS {
        let dir = Dir::new();
        let _app = App::start(kind, &dir);
        let vestibule = Vestibule::start(&dir, &config(&dir, ""));
        let mut client = connect(&vestibule);
        let body = "name=value";
        client
            .send(format!(
                "PUT /echo?a=1&b=%20 HTTP/1.1\r\nHost: shop.example\r\nContent-Type: text/x\r\nX-Two: 2\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ))
            .expect("sent");
        let answer = client.response().expect("an answer");
        let seen: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(seen["method"], "PUT", "{kind:?}");
        assert_eq!(
            (&seen["path"], &seen["query"]),
            (&Value::from("/echo"), &Value::from("a=1&b=%20")),
            "{kind:?}"
        );
        assert_eq!(seen["fields"]["HTTP_HOST"], "shop.example", "{kind:?}");
        assert_eq!(seen["fields"]["HTTP_X_FORWARDED_FOR"], "127.0.0.1", "{kind:?}");
        assert_eq!(seen["fields"]["HTTP_X_TWO"], "2", "{kind:?}");
        assert_eq!(seen["fields"]["CONTENT_TYPE"], "text/x", "{kind:?}");
        assert_eq!(seen["sha256"], sha256(body.as_bytes()), "{kind:?}");
    }
}

#[test]
fn every_server_gets_a_chunked_body_whole() {
    for kind in KINDS {
        let dir = Dir::new();
        let _app = App::start(kind, &dir);
        let vestibule = Vestibule::start(&dir, &config(&dir, ""));
        let mut client = connect(&vestibule);
        client.send("POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").expect("sent");
        client.send("5;ext=1\r\nhello\r\n").expect("sent");
        std::thread::sleep(Duration::from_millis(50));
        client.send("6\r\n world\r\n0\r\nX-Trailer: dropped\r\n\r\n").expect("sent");
        let answer = client.response().expect("an answer");
        assert_eq!(answer.text(), format!("11 {}", sha256(b"hello world")), "{kind:?}");
        assert_eq!(client.get("/").expect("the connection goes on").status, 200, "{kind:?}");
    }
}

#[test]
fn sends_a_buffered_chunked_body_with_its_length() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    let bytes = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0002\r\nde\r\n0\r\n\r\n";
    let (_, request) = pass(&vestibule, &origin, bytes);
    assert_eq!((request.body.as_slice(), request.field("content-length")), (&b"abcde"[..], Some("5")));
    assert_eq!(request.field("transfer-encoding"), None);
}

#[test]
fn carries_large_bodies_intact() {
    for kind in KINDS {
        let dir = Dir::new();
        let _app = App::start(kind, &dir);
        let vestibule = Vestibule::start(&dir, &config(&dir, ""));
        let mut client = connect(&vestibule).patience(seconds(60));
        let up = pattern(5 * 1024 * 1024);
        let answer = client.post("/upload", &up).expect("an answer");
        assert_eq!(answer.text(), format!("{} {}", up.len(), sha256(&up)), "{kind:?}");
        let down = client.get("/big?bytes=20000000").expect("an answer");
        assert_eq!(sha256(&down.body), sha256(&pattern(20_000_000)), "{kind:?}");
        assert_eq!(client.get("/").expect("the connection goes on").status, 200, "{kind:?}");
    }
}

#[test]
fn answers_pipelined_requests_in_order() {
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, |conversation| {
        while let Some(request) = conversation.request() {
            if request.target() == "/0" {
                std::thread::sleep(Duration::from_millis(100));
            }
            conversation.answer(request.target());
        }
    });
    let mut client = connect(&vestibule);
    let requests: Vec<String> = (0..20)
        .map(|index| match index % 2 {
            0 => format!("GET /{index} HTTP/1.1\r\nHost: a\r\n\r\n"),
            _ => format!("POST /{index} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
        })
        .collect();
    client.send(requests.concat()).expect("sent");
    for index in 0..20 {
        assert_eq!(client.response().expect("an answer").text(), format!("/{index}"));
    }
}

#[test]
fn answers_expect_itself() {
    for kind in KINDS {
        let dir = Dir::new();
        let _app = App::start(kind, &dir);
        let vestibule = Vestibule::start(&dir, &config(&dir, ""));
        let mut client = connect(&vestibule);
        client
            .send("POST /upload HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            .expect("sent");
        assert_eq!(client.response_head().expect("an interim answer").status, 100, "{kind:?}");
        client.send("hello").expect("sent");
        assert_eq!(
            client.response().expect("an answer").text(),
            format!("5 {}", sha256(b"hello")),
            "{kind:?}"
        );
    }
}

#[test]
fn sends_nothing_of_a_request_that_breaks_off() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    for broken in [
        "POST /broken HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello",
        "POST /broken HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "GET /broken HTTP/1.1\r\nHost: a\r\n",
    ] {
        let mut client = connect(&vestibule);
        client.send(broken).expect("sent");
        client.stream().shutdown(Shutdown::Write).expect("half-closed");
        let _ = client.rest();
    }
    assert_eq!(get(vestibule.address(), "/whole").text(), "/whole");
    let seen: Vec<String> = origin.requests().iter().map(|request| request.target().to_owned()).collect();
    assert_eq!(seen, ["/whole"]);
}

#[test]
fn closes_when_the_client_asks_for_it() {
    let dir = Dir::new();
    let (vestibule, _origin) = plain(&dir);
    let mut client = connect(&vestibule);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("sent");
    let answer = client.response().expect("an answer");
    assert!(answer.closes(), "{}", answer.head);
    assert!(client.is_closed());
}

#[test]
fn refuses_what_may_be_smuggling_and_asks_nobody() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    for (bytes, statuses) in [
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            [400, 400],
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", [400, 400]),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", [400, 501]),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", [400, 501]),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", [400, 400]),
        ("GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", [400, 400]),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", [400, 400]),
        ("GET / HTTP/1.1\r\n\r\n", [400, 400]),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", [400, 400]),
        ("GET / HTTP/1.1\nHost: a\n\n", [400, 400]),
        ("GET / HTTP/9.9\r\nHost: a\r\n\r\n", [400, 505]),
    ] {
        let mut client = connect(&vestibule);
        client.send(format!("{bytes}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")).expect("sent");
        let answer = client.response().unwrap_or_else(|error| panic!("{bytes:?}: {error}"));
        assert!(statuses.contains(&answer.status), "{bytes:?} became {}", answer.status);
        let rest = client.rest().unwrap_or_default();
        assert!(rest.is_empty(), "{bytes:?}: more than one answer: {:?}", String::from_utf8_lossy(&rest));
    }
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());
    assert_eq!(get(vestibule.address(), "/fine").text(), "/fine");
}

#[test]
fn refuses_a_connection_field_with_a_hundred_options() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    let options: Vec<String> = (0..100).map(|number| format!("x-{number}")).collect();
    for lines in [
        format!("Connection: {}\r\n", options.join(", ")),
        options.chunks(25).map(|some| format!("Connection: {}\r\n", some.join(","))).collect(),
    ] {
        let mut client = connect(&vestibule);
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).expect("sent");
        assert_eq!(client.response().expect("an answer").status, 400, "{lines}");
    }
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());
}
