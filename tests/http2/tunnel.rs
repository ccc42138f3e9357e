//! WebSockets over HTTP/2 (RFC 8441).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use super::{connect, noise, scripted, with_http2};
use crate::support::dir::Dir;
use crate::support::fake::{Conversation, Fake};
use crate::support::h2::{CANCEL, H2};
use crate::support::vestibule::Vestibule;
use crate::support::wait::seconds;

const CONNECT: [(&str, &str); 6] = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":path", "/cable"),
    (":authority", "example.com"),
    ("sec-websocket-version", "13"),
];

/// Takes a WebSocket as RFC 6455 4.2.2 has it taken.
fn accept(conversation: &mut Conversation) -> bool {
    let Some(request) = conversation.request() else { return false };
    let key = request.field("sec-websocket-key").expect("a key");
    let proof = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    conversation
        .write(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
            STANDARD.encode(proof)
        ))
        .is_ok()
}

fn open(client: &mut H2) -> u32 {
    let stream = client.open(&CONNECT, false);
    client.wait("the head", |client| !client.seen(stream).heads.is_empty());
    let answer = client.seen(stream);
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.field("sec-websocket-protocol"), Some("chat"));
    for dropped in ["sec-websocket-accept", "upgrade", "connection", "content-length", "transfer-encoding"] {
        assert_eq!(answer.field(dropped), None);
    }
    stream
}

#[test]
fn carries_bytes_both_ways_and_either_end() {
    let dir = Dir::new();
    let (vestibule, origin) = scripted(&dir, "", |conversation| {
        if !accept(conversation) {
            return;
        }
        let _ = conversation.write("hello");
        let Some(word) = conversation.exact(4) else { return };
        if word == b"stop" {
            let _ = conversation.write("bye");
        } else if conversation.wait_for_close() {
            let _ = conversation.write("after the client's end");
        }
    });
    let mut client = connect(&vestibule);
    client.wait("the server's settings", |client| client.setting(8) == Some(1));
    for (word, end, last) in
        [(&b"stop"[..], false, "hellobye"), (b"wait", true, "helloafter the client's end")]
    {
        let stream = open(&mut client);
        client.upload(stream, word, end);
        client.wait("its end", |client| client.seen(stream).has_ended);
        assert_eq!(client.seen(stream).text(), last);
        if !end {
            client.upload(stream, b"", true);
        }
    }
    let request = &origin.requests()[0];
    assert_eq!(request.line(), "GET /cable HTTP/1.1");
    assert_eq!((request.field("upgrade"), request.field("connection")), (Some("websocket"), Some("Upgrade")));
    assert_eq!(
        (request.field("host"), request.field("sec-websocket-version")),
        (Some("example.com"), Some("13"))
    );
    let keys: Vec<_> = origin
        .requests()
        .iter()
        .map(|request| request.field("sec-websocket-key").map(str::to_owned))
        .collect();
    assert_ne!(keys[0], keys[1]);
    for bytes in [8, 27] {
        let line =
            vestibule.access_line("its line", |line| line["outcome"] == "tunnel" && line["bytes"] == bytes);
        assert_eq!((&line["status"], &line["protocol"]), (&101.into(), &"HTTP/2.0".into()));
    }
}

#[test]
fn is_exact_and_waits_for_windows_both_ways() {
    const LENGTH: usize = 2_000_000;
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, "", |conversation| {
        if accept(conversation) {
            // All of it first, so that it has to wait somewhere.
            let Some(bytes) = conversation.exact(LENGTH) else { return };
            let _ = conversation.write(bytes);
        }
    });
    let mut client = connect(&vestibule);
    let stream = open(&mut client);
    let bytes = noise(LENGTH);
    client.upload(stream, &bytes, true);
    assert!(client.answer(stream).body == bytes);
    // Others on the connection were never in its way.
    let stream = open(&mut client);
    client.upload(stream, &bytes, false);
    client.wait("the echo", |client| client.seen(stream).body.len() == LENGTH);
    assert!(client.seen(stream).body == bytes);
}

#[test]
fn a_refused_one_is_an_ordinary_answer_and_a_false_success_none() {
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, "", |conversation| {
        let answers = [
            "403 Forbidden",
            "200 OK",
            "101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade",
        ];
        for answer in answers {
            if conversation.request().is_none() {
                return;
            }
            let _ = conversation
                .write(format!("HTTP/1.1 {answer}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"));
        }
    });
    let mut client = connect(&vestibule);
    let stream = client.open(&CONNECT, false);
    let answer = client.answer(stream);
    assert_eq!((answer.status(), answer.text()), (403, "no".to_owned()));
    drop(vestibule);
    for wrong in ["200 OK", "101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade"] {
        let dir = Dir::new();
        let (vestibule, _origin) = scripted(&dir, "", move |conversation| {
            if conversation.request().is_some() {
                let _ = conversation.write(format!("HTTP/1.1 {wrong}\r\nContent-Length: 0\r\n\r\n"));
                conversation.wait_for_close();
            }
        });
        let mut client = connect(&vestibule);
        let stream = client.open(&CONNECT, false);
        assert_eq!(client.answer(stream).status(), 502, "{wrong}");
    }
}

#[test]
fn a_reset_closes_the_application_s_side() {
    let dir = Dir::new();
    let (left, leaves) = std::sync::mpsc::channel();
    let left = std::sync::Mutex::new(left);
    let (vestibule, _origin) = scripted(&dir, "", move |conversation| {
        if accept(conversation) {
            conversation.wait_for_close();
            left.lock().expect("the channel").send(()).expect("somebody listens");
        }
    });
    let mut client = connect(&vestibule);
    let stream = open(&mut client);
    client.reset(stream, CANCEL);
    leaves.recv_timeout(seconds(10)).expect("the application hears of it");
    open(&mut client);
    drop(client);
    leaves.recv_timeout(seconds(10)).expect("the application hears of it");
}

#[test]
fn has_an_idle_time_of_its_own() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        if accept(conversation) {
            conversation.wait_for_close();
        }
    });
    let settings = with_http2(&dir, "timeout = { tunnel = \"500ms\" }");
    let vestibule = Vestibule::start(&dir, &settings);
    let mut client = connect(&vestibule);
    let stream = open(&mut client);
    assert!(client.answer(stream).reset.is_some());
    vestibule.access_line("its line", |line| line["outcome"] == "tunnel");
}
