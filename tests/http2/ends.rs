//! How connections end: in a drain, after their last request, when nobody uses them, when a rule is broken.

use std::time::{Duration, Instant};

use super::{connect, plain, with_http2};
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::gated::Gated;
use crate::support::h2::{DATA, H2, NO_ERROR, PROTOCOL_ERROR};
use crate::support::process::Signal;
use crate::support::vestibule::Vestibule;
use crate::support::wait::{seconds, until_true};

/// What announces a farewell: the highest stream there may be.
const ALL: u32 = 0x7fff_ffff;

#[test]
fn a_drain_says_so_and_finishes_what_runs() {
    let dir = Dir::new();
    let gated = Gated::start(&dir);
    let mut vestibule = Vestibule::start(&dir, &with_http2(&dir, "in_flight = 100"));
    let mut client = connect(&vestibule);
    let mut idle = connect(&vestibule);
    assert_eq!(idle.get("/once").text(), "/once");
    let streams: Vec<u32> = (0..20).map(|_| client.request("GET", "/slow", &[], true)).collect();
    gated.origin.wait_for_requests(21);
    vestibule.signal(Signal::TERM);
    client.wait("the announcement", |client| client.goaways == [(ALL, NO_ERROR)]);
    // This one crossed it, and is served.
    let crossing = client.request("GET", "/crossing", &[], true);
    assert_eq!(client.answer(crossing).text(), "/crossing");
    client.wait("the farewell", |client| client.goaways.len() == 2);
    assert_eq!(client.goaways[1], (crossing, NO_ERROR));
    idle.end().expect("an idle connection ends in good order");
    assert_eq!(idle.goaways, [(ALL, NO_ERROR), (1, NO_ERROR)]);
    // This one is not, and may go elsewhere.
    let late = client.request("GET", "/late", &[], true);
    gated.open();
    for stream in streams {
        assert_eq!(client.answer(stream).text(), "/slow");
    }
    client.end().expect("an end in good order");
    assert!(client.seen(late).heads.is_empty());
    assert_eq!(vestibule.exit(seconds(10)).code(), Some(0), "{}", vestibule.stderr());
    assert!(gated.origin.requests().iter().all(|request| request.target() != "/late"));
}

#[test]
fn an_idle_connection_does_not_hold_up_a_drain() {
    let dir = Dir::new();
    let (mut vestibule, _origin) = plain(&dir);
    let mut clients: Vec<H2> = (0..10).map(|_| connect(&vestibule)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status(), 200);
    }
    let start = Instant::now();
    vestibule.signal(Signal::TERM);
    // None of them so much as reads.
    assert_eq!(vestibule.exit(seconds(10)).code(), Some(0), "{}", vestibule.stderr());
    assert!(start.elapsed() < seconds(6), "took {:?}", start.elapsed());
}

#[test]
fn a_connection_has_its_number_of_requests() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let settings = format!("{}\n[limits]\nrequests_per_connection = 5\n", with_http2(&dir, ""));
    let vestibule = Vestibule::start(&dir, &settings);
    let mut client = connect(&vestibule);
    for _ in 0..5 {
        assert_eq!(client.get("/").text(), "/");
    }
    client.end().expect("an end in good order");
    assert_eq!(client.goaways, [(ALL, NO_ERROR), (9, NO_ERROR)]);
}

#[test]
fn a_connection_that_nobody_uses_is_closed() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let limits = "[limits]\nidle_timeout = \"1s\"\nrequest_timeout = \"1s\"\n";
    let vestibule = Vestibule::start(&dir, &format!("{}\n{limits}", with_http2(&dir, "")));
    let mut used = connect(&vestibule);
    assert_eq!(used.get("/").status(), 200);
    let mut unused = connect(&vestibule);
    // Half a frame, with which it could otherwise stay for ever, and PINGs, which are no requests.
    let mut half = connect(&vestibule);
    half.send(&[0, 0]).expect("sent");
    let mut pinging = connect(&vestibule);
    assert_eq!(pinging.get("/").status(), 200);
    let start = Instant::now();
    while pinging.goaways.is_empty() {
        assert!(start.elapsed() < seconds(10), "PINGs keep it open");
        let _ = pinging.frame(crate::support::h2::PING, 0, 0, &[0; 8]);
        pinging.listen(Duration::from_millis(100));
    }
    for client in [&mut used, &mut unused, &mut half] {
        client.end().expect("an end in good order");
        assert_eq!(client.goaways.last().map(|(_, code)| *code), Some(NO_ERROR));
    }
}

#[test]
fn who_breaks_a_rule_reads_which_before_the_end() {
    let dir = Dir::new();
    let (vestibule, _origin) = plain(&dir);
    let mut client = connect(&vestibule);
    assert_eq!(client.get("/").status(), 200);
    // DATA on no stream, and much behind it that nobody will read.
    client.frame(DATA, 0, 0, b"").expect("sent");
    for _ in 0..100 {
        let _ = client.frame(DATA, 0, 1, &[0; 16_384]);
    }
    client.end().expect("an end in good order, not a reset");
    assert_eq!(client.goaways, [(1, PROTOCOL_ERROR)]);
    let line = vestibule.access_line("its line", |line| line["outcome"] == "refused");
    assert_eq!(line["protocol"], "HTTP/2.0");
    assert!(line["why"].as_str().is_some_and(|why| why.contains("PROTOCOL_ERROR")), "{line}");
}

#[test]
fn nothing_is_left_of_connections_that_went() {
    let dir = Dir::new();
    let gated = Gated::start(&dir);
    let vestibule = Vestibule::start(&dir, &with_http2(&dir, "in_flight = 100"));
    let before = vestibule.open_files();
    for _ in 0..10 {
        let mut client = connect(&vestibule);
        for _ in 0..5 {
            client.request("GET", "/slow", &[], true);
        }
        client.request("POST", "/", &[("content-length", "10")], false);
        client.listen(Duration::from_millis(20));
    }
    until_true("all lines", seconds(10), || {
        let log = vestibule.access_log();
        log.iter().filter(|line| line["outcome"] == "client_left" && line["status"] == 499).count() == 60
    });
    gated.open();
    until_true("all descriptors are back", seconds(10), || vestibule.open_files() <= before + 2);
}
