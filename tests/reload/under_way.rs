//! What is under way when a reload comes: it ends as it began.

use std::sync::Arc;

use super::{listen, reload_to, socket, upstream};
use crate::support::certificates::{Authority, Kind};
use crate::support::client::{Client, get};
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::gated::Gated;
use crate::support::h2::H2;
use crate::support::tls::{NAME, Speaker};
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::{seconds, until_true};

/// Without the upstream at the usual socket: with another, at which nobody is.
fn without(dir: &Dir) -> String {
    format!("workers = 1\n{}{}", listen("127.0.0.1:0", ""), upstream(dir, "other", ""))
}

#[test]
fn a_request_in_flight_gets_its_answer_from_an_upstream_that_is_gone() {
    let dir = Dir::new();
    let gated = Gated::start(&dir);
    let vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let mut slow = Client::connect(vestibule.address()).expect("a connection");
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    gated.origin.wait_for_requests(1);
    let _other = Fake::start(&socket(&dir, "other"), |conversation| {
        while conversation.request().is_some() {
            conversation.answer("other");
        }
    });
    reload_to(&dir, &without(&dir));
    assert_eq!(get(vestibule.address(), "/new").text(), "other");
    gated.open();
    assert_eq!(slow.response().expect("an answer").text(), "/slow");
    assert_eq!(slow.get("/next").expect("an answer").text(), "other", "the same connection, by the new plan");
    until_true("a connection is left", seconds(30), || gated.origin.connected() == 0);
}

#[test]
fn a_held_request_is_answered_though_its_upstream_changed_or_went() {
    for after in [true, false] {
        let dir = Dir::new();
        let vestibule = Vestibule::start(&dir, &config(&dir, ""));
        let mut held = Client::connect(vestibule.address()).expect("a connection").patience(seconds(30));
        held.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        until_true("it is read", seconds(30), || crate::hold::unread(&vestibule) == 0);
        let next = if after { config(&dir, "hold.timeout = \"20s\"") } else { without(&dir) };
        reload_to(&dir, &next);
        // Longer than it takes to forget an upstream.
        std::thread::sleep(std::time::Duration::from_millis(500));
        let _origin = Fake::echoing(&dir.socket());
        assert_eq!(held.response().expect("an answer").text(), "/held");
    }
}

#[test]
fn a_long_download_and_a_websocket_go_on() {
    const PIECE: usize = 64 * 1024;
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        while let Some(request) = conversation.request() {
            if request.target() == "/socket" {
                let upgrade = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
                conversation.write(upgrade).expect("written");
                while let Some(bytes) = conversation.exact(4) {
                    if conversation.write(bytes).is_err() {
                        return;
                    }
                }
                return;
            }
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 64 * PIECE);
            conversation.write(head).expect("written");
            for number in 0..64_u8 {
                if conversation.write(vec![number; PIECE]).is_err() {
                    return;
                }
            }
        }
    });
    let vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let mut download = Client::connect(vestibule.address()).expect("a connection").patience(seconds(60));
    download.send("GET /download HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let head = download.response_head().expect("a head");
    assert_eq!(head.status, 200);
    let mut socket = Client::connect(vestibule.address()).expect("a connection").patience(seconds(60));
    socket
        .send("GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        .expect("sent");
    assert_eq!(socket.response_head().expect("a head").status, 101);
    for round in 0..3 {
        reload_to(&dir, &(without(&dir) + &format!("[limits]\nbody = \"{} MiB\"\n", round + 1)));
        socket.send("ping").expect("sent");
        assert_eq!(socket.exact(4).expect("an echo"), b"ping");
    }
    for number in 0..64_u8 {
        assert!(download.exact(PIECE).expect("the rest").iter().all(|byte| *byte == number), "{number}");
    }
}

#[test]
fn a_websocket_does_not_keep_the_configuration_that_it_began_with() {
    const ROUNDS: usize = 30;
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        if conversation.request().is_some() {
            let upgrade = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            conversation.write(upgrade).expect("written");
            while conversation.exact(4).is_some_and(|bytes| conversation.write(bytes).is_ok()) {}
        }
    });
    // A long text that is kept with the configuration.
    let large = |round: usize| format!("{}# {round}{}\n", config(&dir, ""), "x".repeat(2 << 20));
    let vestibule = Vestibule::start(&dir, &large(0));
    let mut sockets = Vec::new();
    let mut before = 0;
    for round in 1..=ROUNDS {
        reload_to(&dir, &large(round));
        let mut socket = Client::connect(vestibule.address()).expect("a connection").patience(seconds(60));
        socket
            .send("GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            .expect("sent");
        assert_eq!(socket.response_head().expect("a head").status, 101);
        sockets.push(socket);
        if round == ROUNDS / 3 {
            before = vestibule.rss();
        }
    }
    // Twenty of them would be 40 MiB.
    let grown = vestibule.rss().saturating_sub(before);
    assert!(grown < 20 << 20, "{grown} bytes more");
    for socket in &mut sockets {
        socket.send("ping").expect("sent");
        assert_eq!(socket.exact(4).expect("an echo"), b"ping");
    }
}

#[test]
fn connections_of_tls_and_http_2_go_on_and_new_ones_get_the_new_certificate() {
    let dir = Dir::new();
    let gated = Gated::start(&dir);
    let [first, second] = [(); 2].map(|()| Arc::new(Authority::new()));
    let (certificate, key) = first.server(&[NAME], Kind::Ecdsa).write(dir.path(), "site");
    let tls = format!("tls = {{ certificate = {certificate:?}, key = {key:?} }}\n");
    let settings = listen("127.0.0.1:0", &tls) + &upstream(&dir, "web_server", "");
    let vestibule = Vestibule::start(&dir, &settings);
    let mut secure = Speaker::new(&first).connect(vestibule.address()).expect("a handshake");
    let http2 = Speaker::new(&first).protocols(&["h2"]).connect(vestibule.address()).expect("a handshake");
    let mut http2 = H2::over(http2.into_stream()).expect("a connection");
    let stream = http2.request("GET", "/slow", &[], true);
    gated.origin.wait_for_requests(1);
    second.server(&[NAME], Kind::Rsa).write(dir.path(), "site");
    reload_to(&dir, &(settings + "[limits]\nhead = \"8 KiB\"\n"));
    gated.open();
    let answer = http2.answer(stream);
    assert_eq!((answer.status(), answer.text()), (200, "/slow".to_owned()));
    assert_eq!(http2.get("/more").status(), 200);
    assert_eq!(secure.get("/still").expect("an answer").status, 200);
    let mut new = Speaker::new(&second).connect(vestibule.address()).expect("the new certificate");
    assert_eq!(new.get("/new").expect("an answer").status, 200);
    assert!(Speaker::new(&first).connect(vestibule.address()).and_then(|mut old| old.get("/")).is_err());
}

#[test]
fn a_listener_in_the_clear_becomes_one_with_tls_for_those_who_come() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let authority = Arc::new(Authority::new());
    let (certificate, key) = authority.server(&[NAME], Kind::Ecdsa).write(dir.path(), "site");
    let base = upstream(&dir, "web_server", "");
    let vestibule = Vestibule::start(&dir, &(listen("127.0.0.1:0", "") + &base));
    let mut plain = Client::connect(vestibule.address()).expect("a connection");
    assert_eq!(plain.get("/1").expect("an answer").status, 200);
    let tls = format!("tls = {{ certificate = {certificate:?}, key = {key:?} }}\n");
    reload_to(&dir, &(listen("127.0.0.1:0", &tls) + &base));
    let mut secure = Speaker::new(&authority).connect(vestibule.address()).expect("a handshake");
    assert_eq!(secure.get("/2").expect("an answer").status, 200);
    assert_eq!(plain.get("/3").expect("an answer").status, 200, "a connection is as it was accepted");
    reload_to(&dir, &(listen("127.0.0.1:0", "") + &base));
    assert_eq!(get(vestibule.address(), "/4").text(), "/4");
    assert_eq!(secure.get("/5").expect("an answer").status, 200);
}
