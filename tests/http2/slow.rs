//! Clients that take their time: the application is free of them, and others are not held up.

use std::time::Duration;

use super::{connect, noise, scripted, with_http2};
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::h2::{CANCEL, H2};
use crate::support::vestibule::Vestibule;
use crate::support::wait::{seconds, until_true};

#[test]
fn the_application_is_free_while_a_client_takes_nothing() {
    const LENGTH: usize = 3_000_000;
    let dir = Dir::new();
    let body = noise(LENGTH);
    let served = body.clone();
    let (done, is_done) = std::sync::mpsc::channel();
    let done = std::sync::Mutex::new(done);
    let (vestibule, _origin) = scripted(&dir, "", move |conversation| {
        while let Some(request) = conversation.request() {
            if request.target() == "/long" {
                let _ = conversation.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"));
                let _ = conversation.write(&served);
                done.lock().expect("the channel").send(()).expect("somebody listens");
            } else {
                conversation.answer(request.target());
            }
        }
    });
    // No windows at all.
    let mut client = H2::with_window(vestibule.address(), 0);
    let streams: Vec<u32> = (0..3).map(|_| client.request("GET", "/long", &[], true)).collect();
    for _ in 0..3 {
        is_done.recv_timeout(seconds(20)).expect("the application is done with it");
    }
    // Another stream of the same connection goes its way.
    let beside = client.request("GET", "/beside", &[], true);
    client.open_window(beside, 100);
    assert_eq!(client.answer(beside).text(), "/beside");
    client.open_window(0, 20_000_000);
    for stream in streams {
        assert!(client.seen(stream).body.is_empty());
        client.open_window(stream, LENGTH as u32);
        assert!(client.answer(stream).body == body);
    }
}

#[test]
fn a_stream_whose_window_stays_shut_is_reset_and_others_go_on() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        while let Some(request) = conversation.request() {
            let length = if request.target() == "/long" { 200_000 } else { 10 };
            conversation.answer(&"x".repeat(length));
        }
    });
    let settings = format!("{}\n[limits]\nsend_timeout = \"1s\"\n", with_http2(&dir, ""));
    let vestibule = Vestibule::start(&dir, &settings);
    let mut client = H2::with_window(vestibule.address(), 50);
    let stream = client.request("GET", "/long", &[], true);
    let answer = client.answer(stream);
    assert_eq!((answer.reset, answer.body.len()), (Some(CANCEL), 50));
    let line = vestibule.access_line("its line", |line| line["path"] == "/long");
    assert_eq!((&line["outcome"], &line["bytes"]), (&"client_slow".into(), &50.into()));
    assert_eq!(client.get("/short").body.len(), 10);
}

#[test]
fn a_client_that_reads_nothing_of_its_connection_is_cut_off() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        while conversation.request().is_some() {
            conversation.answer(&"x".repeat(20_000_000));
        }
    });
    let settings =
        format!("{}\n[buffer]\nresponse = false\n[limits]\nsend_timeout = \"1s\"\n", with_http2(&dir, ""));
    let vestibule = Vestibule::start(&dir, &settings);
    let mut client = H2::with_window(vestibule.address(), 100_000_000);
    client.open_window(0, 100_000_000);
    let streams: Vec<u32> = (0..3).map(|_| client.request("GET", "/", &[], true)).collect();
    until_true("all are given up", seconds(20), || vestibule.access_log().len() == streams.len());
    for line in vestibule.access_log() {
        assert!(["client_left", "client_slow"].contains(&line["outcome"].as_str().expect("text")), "{line}");
    }
}

#[test]
fn a_body_that_does_not_come_is_given_up() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let settings = format!("{}\n[limits]\nrequest_timeout = \"1s\"\n", with_http2(&dir, ""));
    let vestibule = Vestibule::start(&dir, &settings);
    let mut client = connect(&vestibule);
    let stream = client.request("POST", "/", &[("content-length", "100")], false);
    client.upload(stream, b"some", false);
    assert_eq!(client.answer(stream).status(), 408);
    assert_eq!(client.get("/next").text(), "/next");
}

#[test]
fn a_body_that_only_trickles_is_given_up() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let limits = "[limits]\nrequest_timeout = \"1s\"\nreceive_rate = \"10KiB\"\n";
    let vestibule = Vestibule::start(&dir, &format!("{}\n{limits}", with_http2(&dir, "")));
    let mut client = connect(&vestibule);
    let stream = client.request("POST", "/", &[("content-length", "100000")], false);
    for _ in 0..200 {
        client.upload(stream, b"some", false);
        client.listen(Duration::from_millis(50));
        if !client.seen(stream).heads.is_empty() {
            break;
        }
    }
    assert_eq!(client.answer(stream).status(), 408);
}

#[test]
fn an_event_stream_goes_through_at_once() {
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, "", |conversation| {
        if conversation.request().is_some() {
            let _ = conversation.write(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
            );
            while let Some(word) = conversation.exact(0).filter(|_| true) {
                let _ = word;
                if conversation.write("7\r\ndata: x\r\n").is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    });
    let mut client = connect(&vestibule);
    let stream = client.request("GET", "/", &[], true);
    for count in 1..5 {
        client.wait("an event", |client| client.seen(stream).body.len() >= count * 7);
        assert!(client.seen(stream).body.len() < (count + 20) * 7, "events come in heaps");
    }
}
