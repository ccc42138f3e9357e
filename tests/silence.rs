//! Time limits on silence: each counts only the silence of the side that it is meant for.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::net;

use crate::forwarding::connect;
use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::{seconds, until_true};

/// More than all the buffers between the application and a client that reads nothing take in.
const LARGE: usize = 8_000_000;

/// Sends a GET and reads the head of its answer.
fn ask(vestibule: &Vestibule) -> Client<TcpStream> {
    let mut client = connect(vestibule);
    client.send("GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("sent");
    assert_eq!(client.response_head().expect("a head").status, 200);
    client
}

/// A connection of which the kernel takes so little that the first piece of a body does not fit.
fn with_a_small_window(vestibule: &Vestibule) -> TcpStream {
    let socket = net::socket(net::AddressFamily::INET, net::SocketType::STREAM, None).expect("a socket");
    net::sockopt::set_socket_recv_buffer_size(&socket, 8192).expect("before connecting, so that it counts");
    net::connect(&socket, &vestibule.address()).expect("a connection");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(seconds(30))).expect("a read timeout");
    stream
}

#[test]
fn an_application_that_pauses_in_an_upload_is_not_a_silent_client() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        if conversation.head().is_some() {
            std::thread::sleep(seconds(3));
            if conversation.exact(LARGE).is_some_and(|body| body.iter().all(|byte| *byte == b'x')) {
                conversation.answer("all of it");
            }
        }
    });
    let limits = "\n[limits]\nrequest_timeout = \"1s\"\n[buffer]\nrequest = false\n";
    let vestibule = Vestibule::start(&dir, &format!("{}{limits}", config(&dir, "")));
    let mut client = connect(&vestibule);
    client.send(format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n")).expect("sent");
    // In pieces, so that the next is waited for when the application stops reading.
    for piece in vec![b'x'; LARGE].chunks(10_000) {
        if client.send(piece).is_err() {
            break; // the answer says why
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let answer = client.response().expect("an answer");
    assert_eq!((answer.status, answer.text()), (200, "all of it".to_owned()));
}

#[test]
fn a_slow_client_is_not_a_silent_application() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        if conversation.request().is_some() {
            conversation.answer(&"x".repeat(LARGE));
        }
    });
    let vestibule =
        Vestibule::start(&dir, &config(&dir, "timeout = { idle = \"1s\" }\n[buffer]\nresponse = false"));
    let mut client = ask(&vestibule);
    std::thread::sleep(seconds(3));
    assert_eq!(client.rest().expect("the whole body").len(), LARGE);
}

#[test]
fn an_application_that_pauses_before_a_body_is_not_a_slow_client() {
    let dir = Dir::new();
    let goes_on = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&goes_on);
    let _origin = Fake::start(&dir.socket(), move |conversation| {
        if conversation.request().is_some() {
            let _ = conversation.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"));
            std::thread::sleep(seconds(3));
            theirs.store(true, Ordering::SeqCst);
            let _ = conversation.write(vec![b'x'; LARGE]);
        }
    });
    let settings = format!("{}\n[limits]\nsend_timeout = \"2s\"\n", config(&dir, ""));
    let vestibule = Vestibule::start(&dir, &settings);
    let mut client = with_a_small_window(&vestibule);
    client.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("sent");
    until_true("the body begins", seconds(30), || goes_on.load(Ordering::SeqCst));
    std::thread::sleep(Duration::from_millis(600)); // far less than it may be silent
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).expect("the end");
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head") + 4;
    assert_eq!(answer.len() - head, LARGE);
}

/// An origin with a body that fills all buffers on the way, and a client that may be silent for a second.
fn slow_reader(dir: &Dir, body: usize) -> (Vestibule, Fake, TcpStream) {
    let origin = Fake::start(&dir.socket(), move |conversation| {
        if conversation.request().is_some() {
            conversation.answer(&"x".repeat(body));
        }
    });
    let settings = format!("{}\n[limits]\nsend_timeout = \"1s\"\n", config(dir, ""));
    let vestibule = Vestibule::start(dir, &settings);
    let mut client = with_a_small_window(&vestibule);
    client.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("sent");
    (vestibule, origin, client)
}

#[test]
fn a_client_that_takes_little_but_steadily_gets_all() {
    let dir = Dir::new();
    let (vestibule, _origin, mut client) = slow_reader(&dir, LARGE);
    let (mut total, mut piece) = (0, [0; 40_000]);
    loop {
        let count = client.read(&mut piece).expect("more of the answer");
        total += count;
        if count == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(if total < LARGE / 2 { 20 } else { 2 }));
    }
    let line = vestibule.access_line("the answer", |line| line["path"] == "/large");
    assert!(total > LARGE && line["outcome"] == "answered", "{total} bytes; {line}");
}

#[test]
fn a_client_that_takes_nothing_is_cut() {
    let dir = Dir::new();
    let (vestibule, _origin, _client) = slow_reader(&dir, LARGE);
    let line = vestibule.access_line("the cut", |line| line["path"] == "/large");
    assert_eq!(line["outcome"], "client_slow", "{line}");
}

#[test]
fn a_client_that_is_slow_to_take_what_the_kernel_has_is_not_idle() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        while conversation.request().is_some() {
            conversation.answer(&"x".repeat(LARGE / 8));
        }
    });
    let limits = "\n[limits]\nidle_timeout = \"1s\"\nsend_timeout = \"1s\"\n";
    let vestibule = Vestibule::start(&dir, &format!("{}{limits}", config(&dir, "")));
    let mut stream = with_a_small_window(&vestibule);
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    // The kernel has all of it long before the client, which takes 6 s, longer than any time limit.
    let mut block = vec![0; LARGE / 8 / 60];
    let mut taken = 0;
    while taken < LARGE / 8 {
        match stream.read(&mut block) {
            Ok(count @ 1..) => taken += count,
            end => panic!("{end:?} after {taken} bytes"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
