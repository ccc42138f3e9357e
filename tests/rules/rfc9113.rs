//! HTTP/2: RFC 9113 (C31 to C41), RFC 8441 (C42), RFC 9218 (C43).

use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use crate::support::canonical::Chunks;
use crate::support::certificates::Kind;
use crate::support::dir::Dir;
use crate::support::fake::{Conversation, Fake};
use crate::support::gated::Gated;
use crate::support::h2::{
    END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, H2, HEADERS, NO_ERROR, PREFACE, PROTOCOL_ERROR,
    REFUSED_STREAM, SETTINGS, block, frame, request_fields,
};
use crate::support::origin::{Act, Seen};
use crate::support::process::Signal;
use crate::support::stand::Stand;
use crate::support::tls::{Secure, Speaker, certified, tls_config};
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::seconds;

/// PRIORITY_UPDATE (RFC 9218 7.1).
const PRIORITY_UPDATE: u8 = 0x10;
/// SETTINGS_MAX_CONCURRENT_STREAMS, SETTINGS_ENABLE_CONNECT_PROTOCOL.
const MOST_STREAMS: u16 = 3;
const CONNECT_PROTOCOL: u16 = 8;

/// A Vestibule whose application echoes.
fn echoing() -> Stand {
    Stand::http2("", Chunks::Refused, |_| None)
}

/// A Vestibule whose application answers `/x` with these bytes and closes, and echoes elsewhere.
fn answering(answer: impl Into<Vec<u8>>) -> Stand {
    let answer = answer.into();
    Stand::http2("", Chunks::Refused, move |seen| match seen {
        Seen::Whole(request) if request.target == "/x" => Some(vec![Act::Write(answer.clone()), Act::Close]),
        _ => None,
    })
}

fn connect(stand: &Stand) -> H2 {
    H2::connect(stand.vestibule.address())
}

/// The settings of the other tests, with HTTP/2.
fn settings(dir: &Dir) -> String {
    config(dir, "").replacen("[[listen]]\n", "[[listen]]\nhttp2 = true\n", 1)
}

/// A GET of `/x` with these fields: it is no request, and nobody but its client is the worse for it.
fn is_malformed(stand: &Stand, client: &mut H2, fields: &[(&str, &str)]) {
    let before = stand.origin.requests().len();
    let stream = client.open(fields, true);
    let answer = client.answer(stream);
    assert_eq!((answer.reset, answer.heads.len()), (Some(PROTOCOL_ERROR), 0), "{fields:?}");
    assert_eq!(client.get("/next").text(), "GET /next", "{fields:?}");
    assert_eq!(connect(stand).get("/other").text(), "GET /other", "{fields:?}");
    assert_eq!(stand.targets(before), ["/next", "/other"], "{fields:?}");
}

/// The frames until the first of this kind: its payload.
fn until(client: &mut Secure, kind: u8) -> Vec<u8> {
    loop {
        let head = client.exact(9).expect("a frame");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let payload = client.exact(length).expect("its payload");
        if head[3] == kind {
            return payload;
        }
    }
}

#[test]
fn c31_alpn_chooses_the_protocol() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    let speaker = Speaker::new(&authority);
    for protocols in [&["h2"][..], &["h2", "http/1.1"], &["http/1.1", "h2"]] {
        let mut client =
            speaker.clone().protocols(protocols).connect(vestibule.address()).expect("a handshake");
        assert_eq!(client.stream().conn.alpn_protocol(), Some(&b"h2"[..]), "{protocols:?}");
        let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&request_fields("GET", "/two")));
        client.send([PREFACE, &frame(SETTINGS, 0, 0, b""), &request].concat()).expect("sent");
        // Its first byte is the status, from the static table: `:status: 200` (RFC 7541 A, 8).
        assert_eq!(until(&mut client, HEADERS).first(), Some(&0x88), "{protocols:?}");
    }
    for protocols in [&["http/1.1"][..], &[]] {
        let mut client =
            speaker.clone().protocols(protocols).connect(vestibule.address()).expect("a handshake");
        assert_ne!(client.stream().conn.alpn_protocol(), Some(&b"h2"[..]));
        assert_eq!(client.get("/one").expect("an answer").text(), "/one");
    }
    // Who chose HTTP/1 and speaks HTTP/2, or the other way round, is refused.
    let mut client =
        speaker.clone().protocols(&["http/1.1"]).connect(vestibule.address()).expect("a handshake");
    client.send(PREFACE).expect("sent");
    assert!([400, 505].contains(&client.response().expect("an answer").status));
    let mut client = speaker.protocols(&["h2"]).connect(vestibule.address()).expect("a handshake");
    client.send("GET /crossed HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    assert_eq!(until(&mut client, 7)[4..8], PROTOCOL_ERROR.to_be_bytes());
    let targets: Vec<_> = origin.requests().iter().map(|request| request.target().to_owned()).collect();
    assert_eq!(targets, ["/two", "/two", "/two", "/one", "/one"]);
}

#[test]
fn c32_no_more_streams_than_were_allowed() {
    let dir = Dir::new();
    let gated = Gated::start(&dir);
    let vestibule = Vestibule::start(&dir, &format!("{}\n[limits]\nhttp2_streams = 4\n", settings(&dir)));
    let mut client = H2::connect(vestibule.address());
    client.wait("the server's settings", |client| client.setting(MOST_STREAMS) == Some(4));
    // Those count whose body has not ended as those do that wait for the application.
    let mut open: Vec<u32> = (0..2).map(|_| client.request("GET", "/slow", &[], true)).collect();
    let uploads: Vec<u32> = (0..2).map(|_| client.request("POST", "/slow", &[], false)).collect();
    for _ in 0..3 {
        let more = client.request("GET", "/more", &[], true);
        assert_eq!(client.answer(more).reset, Some(REFUSED_STREAM));
    }
    for stream in &uploads {
        client.upload(*stream, b"hello", true);
    }
    open.extend(uploads);
    gated.origin.wait_for_requests(4);
    gated.open();
    for stream in open {
        assert_eq!(client.answer(stream).text(), "/slow");
    }
    assert_eq!(client.get("/after").text(), "/after");
    assert_eq!(gated.origin.requests().len(), 5);
}

#[test]
fn c33_goaway_says_what_is_served() {
    const ALL: u32 = 0x7fff_ffff;
    let dir = Dir::new();
    let gated = Gated::start(&dir);
    let mut vestibule = Vestibule::start(&dir, &settings(&dir));
    let mut client = H2::connect(vestibule.address());
    let stream = client.request("GET", "/slow", &[], true);
    gated.origin.wait_for_requests(1);
    vestibule.signal(Signal::TERM);
    client.wait("the announcement", |client| client.goaways == [(ALL, NO_ERROR)]);
    client.wait("the farewell", |client| client.goaways.len() == 2);
    assert_eq!(client.goaways[1], (stream, NO_ERROR));
    client.request("GET", "/late", &[], true);
    gated.open();
    assert_eq!(client.answer(stream).text(), "/slow");
    client.end().expect("an end in good order");
    assert_eq!(vestibule.exit(seconds(20)).code(), Some(0), "{}", vestibule.stderr());
    assert_eq!(gated.origin.requests().len(), 1);
}

#[test]
fn c34_malformed_is_never_forwarded() {
    let stand = echoing();
    let mut client = connect(&stand);
    let [method, scheme, path, authority] = request_fields("GET", "/x");
    for field in
        [("x", "a\r\nb"), ("X", "1"), ("connection", "close"), (":late", "1"), ("content-length", "1")]
    {
        is_malformed(&stand, &mut client, &[method, scheme, path, authority, field]);
    }
    is_malformed(&stand, &mut client, &[method, path, authority]);
}

#[test]
fn c34_content_length_is_what_data_there_is() {
    let stand = echoing();
    let mut client = connect(&stand);
    for (length, data) in [("5", &b""[..]), ("5", b"hell"), ("5", b"hello!"), ("0", b"!")] {
        let before = stand.origin.requests().len();
        let stream = client.request("POST", "/x", &[("content-length", length)], false);
        client.data(stream, data, true).expect("sent");
        let answer = client.answer(stream);
        assert_eq!((answer.reset, answer.heads.len()), (Some(PROTOCOL_ERROR), 0), "{length} {data:?}");
        assert_eq!(client.get("/next").text(), "GET /next");
        assert_eq!(stand.targets(before), ["/next"]);
    }
    assert_eq!(client.post("/x", b"hello").text(), "POST /x");
    assert_eq!(stand.origin.requests().last().expect("it").body, b"hello");
}

#[test]
fn c34_an_answer_that_is_not_whole_does_not_end_as_if_it_were() {
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    for (answer, pause) in [(short, 0), (chunked, 0), (short, 300), (chunked, 300)] {
        let stand = Stand::http2("[buffer]\nresponse = false\n", Chunks::Refused, move |seen| match seen {
            Seen::Whole(request) if request.target == "/x" => {
                let pause = Act::Pause(Duration::from_millis(pause));
                Some(vec![Act::Write(answer.into()), pause, Act::Close])
            }
            _ => None,
        });
        let mut client = connect(&stand);
        let got = client.get("/x");
        // It may have begun, or not, when the application breaks off.
        let is_begun = got.status() == 200 && b"hello".starts_with(&got.body);
        match got.reset {
            Some(code) => assert!(is_begun && !got.has_ended && code != NO_ERROR, "{answer:?}: {got:?}"),
            None => assert_eq!(got.status(), 502, "{answer:?}: {got:?}"),
        }
        assert_eq!(client.get("/next").text(), "GET /next");
    }
    let long = answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, HTTP/1.1 200 OK\r\n\r\n");
    let mut client = connect(&long);
    let answer = client.get("/x");
    assert_eq!(
        (answer.status(), answer.field("content-length"), answer.text()),
        (200, Some("5"), "hello".into())
    );
    let two = answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!");
    assert_eq!(connect(&two).get("/x").status(), 502);
}

#[test]
fn c35_fields_are_valid_both_ways() {
    let stand = echoing();
    let mut client = connect(&stand);
    let request = request_fields("GET", "/x");
    for field in
        [("Name", "1"), ("a b", "1"), ("a:", "1"), ("", "1"), ("x", " a"), ("x", "a\t"), ("x", "a\0")]
    {
        is_malformed(&stand, &mut client, &[&request[..], &[field]].concat());
    }
    for value in ["a\rb", "a\0b", "a\nX: b"] {
        let stand = answering(format!("HTTP/1.1 200 OK\r\nX: {value}\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(connect(&stand).get("/x").status(), 502, "{value:?} of the application");
    }
    let stand = answering("HTTP/1.1 200 OK\r\nX-Name:  A b \t\r\nETag: \"Z\"\r\nContent-Length: 0\r\n\r\n");
    let answer = connect(&stand).get("/x");
    assert_eq!((answer.field("x-name"), answer.field("etag")), (Some("A b"), Some("\"Z\"")));
    assert!(answer.head().iter().all(|(name, _)| !name.bytes().any(|byte| byte.is_ascii_uppercase())));
}

#[test]
fn c36_connection_fields_never_cross() {
    let stand = answering(
        "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-End: 1\r\n\
         Proxy-Connection: close\r\nTransfer-Encoding: chunked\r\nUpgrade: h2c\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    );
    let mut client = connect(&stand);
    let request = request_fields("GET", "/y");
    for field in [
        ("connection", "x-a"),
        ("keep-alive", "1"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
    ] {
        is_malformed(&stand, &mut client, &[&request[..], &[field]].concat());
    }
    let answer = client.get("/x");
    assert_eq!((answer.status(), answer.text()), (200, "ok".to_owned()));
    assert_eq!(answer.field("x-end"), Some("1"));
    for name in ["connection", "x-hop", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
        assert_eq!(answer.field(name), None, "{name}");
    }
    let stream = client.request("GET", "/te", &[("te", "trailers")], true);
    assert_eq!(client.answer(stream).status(), 200);
    assert!(!stand.origin.requests().last().expect("it").has("te"));
}

#[test]
fn c37_split_cookies_are_joined() {
    let stand = echoing();
    let mut client = connect(&stand);
    for (cookies, joined) in
        [(&["a=1", "b=2", "c=\"3; 4\""][..], "a=1; b=2; c=\"3; 4\""), (&["a=1; b=2"], "a=1; b=2")]
    {
        let fields: Vec<_> =
            cookies.iter().flat_map(|cookie| [("cookie", *cookie), ("x-between", "1")]).collect();
        let stream = client.request("GET", "/", &fields, true);
        assert_eq!(client.answer(stream).status(), 200);
        let requests = stand.origin.requests();
        let request = requests.last().expect("it");
        assert_eq!(request.field("cookie"), Some(joined));
        assert_eq!(request.all("x-between").len(), cookies.len());
    }
    assert_eq!(stand.targets(0).len(), 2);
}

#[test]
fn c38_pseudo_fields_make_the_request_line_and_host() {
    let stand = echoing();
    let mut client = connect(&stand);
    let [method, scheme, path, authority] = request_fields("GET", "/x");
    for fields in [
        &[method, scheme, authority][..],
        &[method, path, authority],
        &[scheme, path, authority],
        &[method, scheme, path],
        &[method, scheme, path, path, authority],
        &[method, scheme, path, authority, (":status", "200")],
        &[method, scheme, path, ("x", "1"), authority],
        &[method, scheme, (":path", ""), authority],
        &[method, scheme, path, authority, ("host", "other.com")],
        &[method, scheme, path, (":authority", "user@example.com")],
    ] {
        is_malformed(&stand, &mut client, fields);
    }
    let before = stand.origin.requests().len();
    for fields in [
        &[method, scheme, path, authority][..],
        &[authority, path, scheme, method],
        &[method, scheme, path, authority, ("host", "example.com")],
        &[method, scheme, path, ("host", "example.com")],
    ] {
        let stream = client.open(fields, true);
        assert_eq!(client.answer(stream).text(), "GET /x");
    }
    let stream = client.open(&[(":method", "OPTIONS"), scheme, (":path", "*"), authority], true);
    assert_eq!(client.answer(stream).status() / 100, 2);
    assert!(stand.origin.record().faults().is_empty(), "{:?}", stand.origin.record().faults());
    for request in &stand.origin.requests()[before..] {
        assert_eq!(request.field("host"), Some("example.com"));
    }
    assert_eq!(stand.targets(before)[..4], ["/x"; 4]);
}

#[test]
fn c39_connect_opens_nothing() {
    let stand = echoing();
    let mut client = connect(&stand);
    let (method, authority) = ((":method", "CONNECT"), (":authority", "example.com:443"));
    for end in [true, false] {
        let stream = client.open(&[method, authority], end);
        let answer = client.answer(stream);
        assert!([405, 501].contains(&answer.status()), "{answer:?}");
    }
    let [_, scheme, path, _] = request_fields("CONNECT", "/x");
    for fields in [
        &[method, scheme, authority][..],
        &[method, path, authority],
        &[method, scheme, path, authority],
        &[method],
    ] {
        is_malformed(&stand, &mut client, fields);
    }
}

/// Whether openssl's client gets through a handshake, with what it said.
fn handshake(vestibule: &Vestibule, words: &[&str]) -> (bool, String) {
    let mut command = Command::new("timeout");
    command.args(["30", "openssl", "s_client", "-connect", &vestibule.address().to_string()]).args(words);
    let output = command.stdin(Stdio::null()).output().expect("openssl runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn c40_tls_is_1_2_or_higher_and_no_denied_cipher_is_taken() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let _authority = certified(&dir, Kind::Ecdsa);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    let good = [
        &["-tls1_3"][..],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
    ];
    for words in good {
        let (taken, said) = handshake(&vestibule, &[words, &["-alpn", "h2"]].concat());
        assert!(taken && said.contains("ALPN protocol: h2"), "{words:?}: {said}");
    }
    // The client would: its own level is lowered, so that it is the server that refuses.
    let bad = [
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"][..],
        &["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "AES128-GCM-SHA256:@SECLEVEL=0"],
    ];
    for words in bad {
        let (taken, said) = handshake(&vestibule, &[words, &["-alpn", "h2"]].concat());
        let is_refused =
            ["alert protocol version", "alert handshake failure"].iter().any(|alert| said.contains(alert));
        assert!(!taken && is_refused, "{words:?}: {said}");
    }
}

/// In short; at length in `http2::floods`.
#[test]
fn c41_a_flood_ends_in_enhance_your_calm() {
    let stand = echoing();
    let mut client = connect(&stand);
    for _ in 0..10_000 {
        if client.frame(SETTINGS, 0, 0, b"").is_err() {
            break;
        }
    }
    let _ = client.end();
    assert_eq!(client.goaways.last().map(|(_, code)| *code), Some(ENHANCE_YOUR_CALM));
    assert_eq!(connect(&stand).get("/other").text(), "GET /other");
}

/// Takes a WebSocket as RFC 6455 4.2.2 has it taken, and sends back what comes.
fn accept(conversation: &mut Conversation) {
    let Some(request) = conversation.request() else { return };
    let key = request.field("sec-websocket-key").expect("a key");
    let proof = STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
    let _ = conversation.write(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {proof}\r\n\r\n"
    ));
    while let Some(byte) = conversation.exact(1) {
        let _ = conversation.write(byte);
    }
}

#[test]
fn c42_a_websocket_is_an_upgrade_with_a_key_of_its_own() {
    let dir = Dir::new();
    let origin = Fake::start(&dir.socket(), accept);
    let vestibule = Vestibule::start(&dir, &settings(&dir));
    let mut client = H2::connect(vestibule.address());
    client.wait("the server's settings", |client| client.setting(CONNECT_PROTOCOL) == Some(1));
    let [_, scheme, path, authority] = request_fields("CONNECT", "/cable");
    let (method, protocol) = ((":method", "CONNECT"), (":protocol", "websocket"));
    for fields in [
        &[method, protocol, path, authority][..],
        &[method, protocol, scheme, authority],
        &[method, protocol, scheme, path],
        &[(":method", "GET"), protocol, scheme, path, authority],
    ] {
        let stream = client.open(fields, false);
        assert_eq!(client.answer(stream).reset, Some(PROTOCOL_ERROR), "{fields:?}");
    }
    // A key of the client's means nothing here.
    let known = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let fields = [method, protocol, scheme, path, authority, ("sec-websocket-version", "13"), known];
    for _ in 0..2 {
        let stream = client.open(&fields, false);
        client.upload(stream, b"\x81\x05hello\0\r\n\r\n", false);
        client.wait("the echo", |client| client.seen(stream).body.len() == 12);
        let answer = client.seen(stream);
        assert_eq!((answer.status(), answer.body), (200, b"\x81\x05hello\0\r\n\r\n".to_vec()));
        client.upload(stream, b"", true);
        client.wait("its end", |client| client.seen(stream).has_ended);
    }
    let requests = origin.requests();
    assert_eq!(requests.len(), 2);
    let mut keys = vec![known.1];
    for request in &requests {
        assert_eq!(request.line(), "GET /cable HTTP/1.1");
        assert_eq!(
            (request.field("upgrade"), request.field("connection"), request.field("sec-websocket-version")),
            (Some("websocket"), Some("Upgrade"), Some("13"))
        );
        let key = request.field("sec-websocket-key").expect("a key");
        assert_eq!(STANDARD.decode(key).expect("base64").len(), 16);
        assert!(!keys.contains(&key), "{key} again");
        keys.push(key);
    }
}

#[test]
fn c43_priority_is_forwarded_and_what_is_unknown_ignored() {
    let stand = answering("HTTP/1.1 200 OK\r\nPriority: u=5\r\nContent-Length: 2\r\n\r\nok");
    // SETTINGS_NO_RFC7540_PRIORITIES, and one that nobody knows.
    let mut client = H2::with_settings(stand.vestibule.address(), &[(9, 1), (0xfafa, 7)]);
    for value in ["u=1, i", "u=7, i=?0, x-unknown=\"y\";z", "u=99", "?", ""] {
        let stream = client.request("GET", "/y", &[("priority", value)], true);
        assert_eq!(client.answer(stream).text(), "GET /y", "{value:?}");
        assert_eq!(stand.origin.requests().last().expect("it").field("priority"), Some(value));
    }
    // Before, during and after a request; for streams that are not open yet; with what cannot be parsed.
    let next = client.request("POST", "/y", &[("content-length", "2")], false);
    for (stream, value) in [(1u32, "u=3"), (next, "u=0, i, foo"), (next + 100, "u=2"), (next, "\0\u{ff}")] {
        let payload = [&stream.to_be_bytes()[..], value.as_bytes()].concat();
        client.frame(PRIORITY_UPDATE, 0, 0, &payload).expect("sent");
    }
    client.upload(next, b"ok", true);
    assert_eq!(client.answer(next).text(), "POST /y");
    assert_eq!(client.get("/x").field("priority"), Some("u=5"));
    assert!(client.goaways.is_empty());
    assert_eq!(stand.targets(0).len(), 7);
}
