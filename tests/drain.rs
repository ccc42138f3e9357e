//! Being told to stop: what runs is finished, nothing new is taken, and what had to be cut is counted.

use std::net::TcpStream;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::hold::unread;
use crate::support::client::{Client, get};
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::gated::Gated;
use crate::support::process::Signal;
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::{seconds, until_true};

fn connect(vestibule: &Vestibule) -> Client<TcpStream> {
    Client::connect(vestibule.address()).expect("a connection").patience(seconds(30))
}

fn ask(vestibule: &Vestibule, path: &str) -> Client<TcpStream> {
    let mut client = connect(vestibule);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).expect("sent");
    client
}

fn refuses_connections(vestibule: &Vestibule) {
    until_true("new connections are refused", seconds(30), || {
        TcpStream::connect(vestibule.address()).is_err()
    });
}

#[test]
fn finishes_what_is_in_flight_and_exits_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = Dir::new();
        let gated = Gated::start(&dir);
        let mut vestibule = Vestibule::start(&dir, &config(&dir, ""));
        let mut slow = ask(&vestibule, "/slow");
        gated.origin.wait_for_requests(1);
        vestibule.signal(signal);
        refuses_connections(&vestibule);
        gated.open();
        let answer = slow.response().expect("the answer comes whole");
        assert_eq!((answer.status, answer.text()), (200, "/slow".to_owned()));
        assert!(answer.closes(), "{}", answer.head);
        assert!(slow.is_closed());
        assert_eq!(vestibule.exit(seconds(30)).code(), Some(0), "{signal:?}:\n{}", vestibule.stderr());
    }
}

#[test]
fn closes_idle_connections_and_exits_at_once() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let mut vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let mut used = connect(&vestibule);
    assert_eq!(used.get("/").expect("an answer").status, 200);
    let mut unused = connect(&vestibule);
    let start = Instant::now();
    vestibule.signal(Signal::TERM);
    assert!(used.is_closed(), "a kept connection stays");
    assert!(unused.is_closed(), "a connection that was never used stays");
    assert_eq!(vestibule.exit(seconds(30)).code(), Some(0), "{}", vestibule.stderr());
    // Far less than it would wait for a request.
    assert!(start.elapsed() < seconds(10), "took {:?}", start.elapsed());
}

#[test]
fn finishes_held_requests_when_the_application_returns_in_time() {
    let dir = Dir::new();
    let mut vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let mut held = ask(&vestibule, "/held");
    until_true("the request is read", seconds(30), || unread(&vestibule) == 0);
    vestibule.signal(Signal::TERM);
    refuses_connections(&vestibule);
    let _origin = Fake::echoing(&dir.socket());
    assert_eq!(held.response().expect("an answer").text(), "/held");
    assert_eq!(vestibule.exit(seconds(30)).code(), Some(0), "{}", vestibule.stderr());
}

#[test]
fn finishes_a_stream_that_runs() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        if conversation.request().is_some() {
            let _ = conversation.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for part in 0..5 {
                let _ = conversation.write(format!("6\r\npart {part}\r\n"));
                std::thread::sleep(Duration::from_millis(100));
            }
            let _ = conversation.write("0\r\n\r\n");
        }
    });
    let mut vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let mut client = ask(&vestibule, "/stream");
    assert_eq!(client.response_head().expect("a head").status, 200);
    vestibule.signal(Signal::TERM);
    client.through(b"part 4\r\n").expect("the last part");
    client.through(b"0\r\n\r\n").expect("the proper end");
    assert_eq!(vestibule.exit(seconds(30)).code(), Some(0), "{}", vestibule.stderr());
}

#[test]
fn cuts_what_lasts_too_long_counts_it_and_exits_with_1() {
    let dir = Dir::new();
    let gated = Gated::start(&dir);
    let settings = "drain = { timeout = \"500ms\" }\nin_flight = 10";
    let mut vestibule = Vestibule::start(&dir, &config(&dir, settings));
    let clients: Mutex<Vec<_>> = Mutex::new((0..3).map(|_| ask(&vestibule, "/slow")).collect());
    gated.origin.wait_for_requests(3);
    let start = Instant::now();
    vestibule.signal(Signal::TERM);
    assert_eq!(vestibule.exit(seconds(30)).code(), Some(1), "{}", vestibule.stderr());
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(400) && took < seconds(15), "took {took:?}");
    for client in clients.lock().expect("clients").iter_mut() {
        assert!(client.response().is_err(), "a request that was cut has no whole answer");
    }
    let events = vestibule.events();
    let last = events.last().expect("a last event");
    let counts = last.as_object().expect("an object").values().any(|value| *value == 3);
    assert!(counts, "the last line does not count the 3 requests that were cut: {last}");
}

#[test]
fn ends_at_once_at_the_second_signal() {
    let dir = Dir::new();
    let gated = Gated::start(&dir);
    let mut vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let _slow = ask(&vestibule, "/slow");
    gated.origin.wait_for_requests(1);
    vestibule.signal(Signal::TERM);
    refuses_connections(&vestibule);
    let start = Instant::now();
    vestibule.signal(Signal::TERM);
    let status = vestibule.exit(seconds(30));
    assert!(start.elapsed() < seconds(10), "took {:?}", start.elapsed());
    assert!(!status.success(), "a request was cut: {status}");
}

#[test]
fn answers_requests_that_were_sent_before_the_signal() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let mut vestibule = Vestibule::start(&dir, &config(&dir, ""));
    assert_eq!(get(vestibule.address(), "/").status, 200);
    let mut clients: Vec<_> = (0..50).map(|_| ask(&vestibule, "/sent")).collect();
    vestibule.signal(Signal::TERM);
    for (index, client) in clients.iter_mut().enumerate() {
        let answer = client.response().unwrap_or_else(|error| panic!("client {index}: {error}"));
        assert_eq!(answer.text(), "/sent");
    }
    assert_eq!(vestibule.exit(seconds(30)).code(), Some(0), "{}", vestibule.stderr());
}

#[test]
fn a_pipelined_request_costs_no_answer_in_a_drain() {
    const LENGTH: usize = 1_500_000;
    let dir = Dir::new();
    let origin = Fake::start(&dir.socket(), |conversation| {
        while conversation.request().is_some() {
            conversation.answer(&"z".repeat(LENGTH));
        }
    });
    let mut vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let mut client = Client::connect(vestibule.address()).expect("a connection").patience(seconds(20));
    client.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    origin.wait_for_requests(1);
    vestibule.signal(Signal::TERM);
    until_true("the drain begins", seconds(30), || {
        vestibule.events().iter().any(|event| event["message"] == "draining")
    });
    // More than is read ahead of a client.
    client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3000)).expect("sent");
    // The kernel has all of the answer, the client only what it has room for.
    vestibule.access_line("the answer is written", |line| line["path"] == "/first");
    let answer = client.response().expect("the whole answer");
    assert_eq!(answer.body.len(), LENGTH);
    drop(client);
    assert_eq!(vestibule.exit(seconds(20)).code(), Some(0));
}

#[test]
fn waits_only_a_moment_for_a_client_that_goes_on_sending_what_was_refused() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let mut vestibule = Vestibule::start(&dir, &format!("{}[limits]\nbody = \"1 KiB\"\n", config(&dir, "")));
    let mut client = connect(&vestibule);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n").expect("sent");
    assert_eq!(client.response().expect("an answer").status, 413);
    let start = Instant::now();
    vestibule.signal(Signal::TERM);
    until_true("the client is let go", seconds(15), || client.send("x").is_err());
    assert!(start.elapsed() > seconds(1), "it could not have read its answer");
    assert_eq!(vestibule.exit(seconds(30)).code(), Some(0), "{}", vestibule.stderr());
}
