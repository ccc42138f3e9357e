//! C44, RFC 6455: the WebSocket handshake and its tunnel.

use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::forwarding::{connect, scripted};
use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::fake::{Conversation, Fake};
use crate::support::vestibule::{Vestibule, config};

/// A key, and what answers it (worked out with Python's hashlib).
const KEY: &str = "YSB2ZXN0aWJ1bGUga2V5IQ==";
const ACCEPT: &str = "9ZJJvoZcTpr8OtJZ2ay10wHhS6o=";
/// The same of another key.
const OTHER_ACCEPT: &str = "4Sni667/DllWqkhKfGiripQ1Pio=";

fn handshake(key: &str) -> String {
    format!(
        "GET /cable HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: chat, superchat\r\n\r\n"
    )
}

fn changed(lines: &str) -> String {
    format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{lines}\r\n")
}

/// A Vestibule whose application answers `/cable` with these bytes and goes on with `then`.
fn with_answer(
    dir: &Dir,
    answer: String,
    then: impl Fn(&mut Conversation) + Send + Sync + 'static,
) -> (Vestibule, Fake) {
    scripted(dir, move |conversation| {
        while let Some(request) = conversation.request() {
            if request.target() == "/cable" {
                let _ = conversation.write(&answer);
                return then(conversation);
            }
            conversation.answer(request.target());
        }
    })
}

fn open(vestibule: &Vestibule) -> Client<TcpStream> {
    let mut client = connect(vestibule);
    client.send(handshake(KEY)).expect("sent");
    let head = client.response_head().expect("a head");
    assert_eq!(head.status, 101, "{}", head.head);
    assert_eq!(head.field("sec-websocket-accept"), Some(ACCEPT));
    assert!(head.field("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket")));
    assert!(head.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade")));
    client
}

#[test]
fn c44_a_websocket_opens_only_with_the_right_accept() {
    let right = format!("Sec-WebSocket-Accept: {ACCEPT}\r\n");
    let wrong = [
        String::new(),
        "Sec-WebSocket-Accept:\r\n".to_owned(),
        format!("Sec-WebSocket-Accept: {OTHER_ACCEPT}\r\n"),
        format!("Sec-WebSocket-Accept: {}\r\n", ACCEPT.to_lowercase()),
        format!("Sec-WebSocket-Accept: {ACCEPT}x\r\n"),
        format!("Sec-WebSocket-Accept: {}\r\n", ACCEPT.trim_end_matches('=')),
        format!("Sec-WebSocket-Accept: {KEY}\r\n"),
        format!("{right}{right}"),
        format!("{right}Sec-WebSocket-Accept: {OTHER_ACCEPT}\r\n"),
    ];
    for lines in wrong {
        let dir = Dir::new();
        let (vestibule, _origin) = with_answer(&dir, changed(&lines), |conversation| {
            conversation.wait_for_close();
        });
        let mut client = connect(&vestibule);
        client.send(handshake(KEY)).expect("sent");
        assert_eq!(client.response().expect("an answer").status, 502, "{lines:?}");
        assert_eq!(client.get("/next").expect("the connection is in step").text(), "/next", "{lines:?}");
    }
    let dir = Dir::new();
    let (vestibule, origin) = with_answer(&dir, changed(&right), |conversation| {
        conversation.wait_for_close();
    });
    let client = open(&vestibule);
    drop(client);
    let request = origin.requests().remove(0);
    assert_eq!(request.field("sec-websocket-key"), Some(KEY));
    assert_eq!(request.field("sec-websocket-version"), Some("13"));
    assert_eq!(request.field("sec-websocket-protocol"), Some("chat, superchat"));
    assert_eq!((request.field("upgrade"), request.field("connection")), (Some("websocket"), Some("Upgrade")));
}

#[test]
fn c44_a_handshake_without_a_valid_key_opens_nothing() {
    let right = format!("Sec-WebSocket-Accept: {ACCEPT}\r\n");
    let two = format!("{KEY}\r\nSec-WebSocket-Key: {KEY}");
    for request in [
        handshake(KEY).replace(&format!("Sec-WebSocket-Key: {KEY}\r\n"), ""),
        handshake("short"),
        handshake(&two),
        handshake(KEY).replace("GET ", "POST "),
        handshake(KEY).replace("HTTP/1.1", "HTTP/1.0"),
        handshake(KEY).replace("Connection: keep-alive, Upgrade\r\n", ""),
    ] {
        let dir = Dir::new();
        let (vestibule, _origin) = with_answer(&dir, changed(&right), |conversation| {
            conversation.wait_for_close();
        });
        let mut client = connect(&vestibule);
        client.send(&request).expect("sent");
        let answer = client.response().expect("an answer");
        assert!([400, 426, 502].contains(&answer.status), "{request:?} opened a tunnel: {}", answer.head);
    }
}

/// Every byte there is, in an order that repeats nowhere soon.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index * 31 + index / 256 * 7) as u8).collect()
}

#[test]
fn c44_the_tunnel_is_exact_with_the_bytes_already_buffered() {
    let dir = Dir::new();
    let early = bytes(3000);
    let answer = changed(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n"));
    let theirs = early.clone();
    let (vestibule, _origin) = with_answer(&dir, answer, move |conversation| {
        // Behind the head at once, and then whatever the client sends, back to it.
        let _ = conversation.write(&theirs);
        while let Some(byte) = conversation.exact(1) {
            if conversation.write(byte).is_err() {
                return;
            }
        }
    });
    let mut client = connect(&vestibule);
    client.send([handshake(KEY).as_bytes(), &early].concat()).expect("sent");
    assert_eq!(client.response_head().expect("a head").status, 101);
    assert_eq!(client.exact(early.len()).expect("what the application sent at once"), early);
    assert_eq!(client.exact(early.len()).expect("what the client sent at once"), early);
    // What looks like HTTP is nothing but bytes now.
    let more = [&bytes(20_000)[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n0\r\n\r\n\x88\x00"].concat();
    client.send(&more).expect("sent");
    assert_eq!(client.exact(more.len()).expect("the echo"), more);
}

#[test]
fn c44_either_side_may_close_first() {
    let dir = Dir::new();
    let answer = changed(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n"));
    let (vestibule, _origin) = with_answer(&dir, answer, |conversation| {
        let Some(word) = conversation.exact(4) else { return };
        if word == b"stop" {
            let _ = conversation.write("bye");
            return; // closes
        }
        if conversation.wait_for_close() {
            let _ = conversation.write("after the client's end");
        }
    });
    let mut client = open(&vestibule);
    client.send("stop").expect("sent");
    assert_eq!(client.rest().expect("an orderly end"), b"bye");
    let mut client = open(&vestibule);
    client.send("wait").expect("sent");
    client.stream().shutdown(Shutdown::Write).expect("half-closed");
    assert_eq!(client.rest().expect("an orderly end"), b"after the client's end");
}

#[test]
fn c44_a_refused_handshake_is_an_ordinary_answer() {
    let dir = Dir::new();
    let refused =
        "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13, 8\r\nContent-Length: 2\r\n\r\nno";
    let (vestibule, _origin) = with_answer(&dir, refused.to_owned(), |conversation| {
        while let Some(request) = conversation.request() {
            conversation.answer(request.target());
        }
    });
    let mut client = connect(&vestibule);
    client.send(handshake(KEY)).expect("sent");
    let answer = client.response().expect("an answer");
    assert_eq!((answer.status, answer.field("sec-websocket-version")), (426, Some("13, 8")));
    assert_eq!(client.get("/next").expect("the connection is in step").text(), "/next");
}

#[test]
fn c44_a_tunnel_has_an_idle_time_of_its_own() {
    let dir = Dir::new();
    let answer = changed(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n"));
    let _origin = Fake::start(&dir.socket(), move |conversation| {
        if conversation.request().is_some() {
            let _ = conversation.write(&answer);
            // Nothing of the client's for a while, and yet words of its own: that is no silence.
            for _ in 0..10 {
                std::thread::sleep(Duration::from_millis(400));
                let _ = conversation.write("tick");
            }
            conversation.wait_for_close();
        }
    });
    let limits = "timeout = { idle = \"200ms\", tunnel = \"3s\" }\n[limits]\nidle_timeout = \"200ms\"\nrequest_timeout = \"200ms\"\n";
    let vestibule = Vestibule::start(&dir, &config(&dir, limits));
    let mut client = open(&vestibule);
    let start = Instant::now();
    assert_eq!(client.rest().expect("an orderly end"), b"tick".repeat(10), "closed while it was in use");
    assert!(start.elapsed() < Duration::from_secs(30), "not closed by its own limit");
}
