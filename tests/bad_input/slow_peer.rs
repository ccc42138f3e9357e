//! Slow peers: each wait of theirs has an end, and nobody else feels it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::canonical::Chunks;
use crate::support::client::Client;
use crate::support::origin::{Act, Seen};
use crate::support::stand::{Stand, send};
use crate::support::wait::until_true;

/// Far above the limits set below, far below those by default: what is closed within it was closed by these limits.
const SOON: Duration = Duration::from_secs(15);

fn with_limits(limits: &str) -> Stand {
    Stand::with(&format!("[limits]\n{limits}"), Chunks::Refused, |_| None)
}

/// Waits for the end of a connection, sending `drip` after `drip`; gives what was answered.
fn trickle(stand: &Stand, client: &mut Client<TcpStream>, drip: &[u8]) -> Vec<u8> {
    let start = Instant::now();
    let mut answer = Vec::new();
    let mut block = [0; 4096];
    client.stream().set_read_timeout(Some(Duration::from_millis(20))).expect("a read timeout");
    let mut rounds = 0;
    loop {
        assert!(start.elapsed() < SOON, "still open, and answered {:?}", String::from_utf8_lossy(&answer));
        if rounds % 10 == 0 {
            stand.another().expect("another client is served");
        }
        rounds += 1;
        let _ = client.stream().write_all(drip);
        match client.stream().read(&mut block) {
            Ok(0) => return answer,
            Ok(count) => answer.extend_from_slice(&block[..count]),
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => return answer, // reset: closed as well
        }
    }
}

/// Nothing, or 408 and no more.
fn is_408_or_nothing(answer: &[u8]) -> bool {
    answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 ")
}

#[test]
fn a_connection_without_a_byte_is_closed_in_silence() {
    let stand = with_limits("request_timeout = \"300ms\"\nidle_timeout = \"300ms\"\n");
    let mut client = stand.connect();
    let start = Instant::now();
    assert_eq!(client.rest().expect("an orderly end"), b"");
    assert!(start.elapsed() < SOON);
}

#[test]
fn an_idle_connection_is_closed_in_silence_after_its_answer() {
    let stand = with_limits("idle_timeout = \"300ms\"\n");
    let mut client = stand.connect();
    stand.on(&mut client).expect("an answer");
    let start = Instant::now();
    assert_eq!(client.rest().expect("an orderly end"), b"");
    assert!(start.elapsed() < SOON);
}

#[test]
fn a_head_that_drips_is_cut_off() {
    let stand = with_limits("request_timeout = \"500ms\"\n");
    for begin in ["", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        // Each byte is progress, and yet the head has one limit for the whole of it.
        let mut client = stand.connect();
        send(&mut client, begin);
        let answer = trickle(&stand, &mut client, b"X");
        assert!(is_408_or_nothing(&answer), "{begin:?}: {:?}", String::from_utf8_lossy(&answer));
    }
    // The same behind an answered request, where the time of an idle connection must not count.
    let mut client = stand.connect();
    stand.on(&mut client).expect("an answer");
    let answer = trickle(&stand, &mut client, b"G");
    assert!(is_408_or_nothing(&answer), "{:?}", String::from_utf8_lossy(&answer));
    assert!(stand.targets(0).iter().all(|target| target.starts_with("/further")));
}

#[test]
fn empty_lines_without_end_are_cut_off() {
    let stand = with_limits("request_timeout = \"500ms\"\n");
    let mut client = stand.connect();
    let answer = trickle(&stand, &mut client, b"\r\n");
    assert!(is_408_or_nothing(&answer) || answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
}

#[test]
fn a_body_that_stands_still_is_cut_off() {
    let stand = with_limits("request_timeout = \"300ms\"\n");
    for begin in [
        "Content-Length: 10\r\n\r\n",
        "Content-Length: 10\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        let mut client = stand.connect();
        send(&mut client, format!("POST /slow HTTP/1.1\r\nHost: a\r\n{begin}"));
        let start = Instant::now();
        let answer = client.rest().expect("an orderly end");
        assert!(start.elapsed() < SOON, "{begin:?}");
        assert!(is_408_or_nothing(&answer), "{begin:?}: {:?}", String::from_utf8_lossy(&answer));
    }
    stand.another().expect("another client is served");
    assert!(!stand.targets(0).contains(&"/slow".to_owned()), "it reached the application");
}

#[test]
fn a_body_that_drips_is_cut_off() {
    // 50 bytes a second, of which no pause is too long by itself: the least rate (500 by default) ends it.
    let stand = with_limits("request_timeout = \"500ms\"\n");
    for (lines, drip) in
        [("Content-Length: 60000\r\n", "x"), ("Transfer-Encoding: chunked\r\n", "1\r\nx\r\n")]
    {
        let mut client = stand.connect();
        send(&mut client, format!("POST /slow HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
        let answer = trickle(&stand, &mut client, drip.as_bytes());
        assert!(is_408_or_nothing(&answer), "{lines:?}: {:?}", String::from_utf8_lossy(&answer));
    }
    assert!(!stand.targets(0).contains(&"/slow".to_owned()), "it reached the application");
}

/// A Vestibule whose application answers `/large` with 32 MB.
fn large() -> Stand {
    let answer =
        [b"HTTP/1.1 200 OK\r\nContent-Length: 32000000\r\n\r\n".as_slice(), &vec![b'x'; 32_000_000]].concat();
    let limits = "[limits]\nsend_timeout = \"500ms\"\n";
    Stand::with(limits, Chunks::Refused, move |seen| match seen {
        Seen::Whole(request) if request.target == "/large" => Some(vec![Act::Write(answer.clone())]),
        _ => None,
    })
}

/// Whether the reader of `/large` has been cut for being slow.
fn is_cut(stand: &Stand) -> bool {
    let lines = stand.vestibule.access_log();
    let line = lines.iter().find(|line| line["path"] == "/large");
    line.is_some_and(|line| {
        assert_eq!(line["outcome"], "client_slow", "{line}");
        true
    })
}

/// Less than the answer is all that is to be had of it.
fn assert_cut(stand: &Stand, mut client: Client<TcpStream>) {
    stand.another().expect("another client is served");
    client.stream().set_read_timeout(Some(SOON)).expect("a read timeout");
    let got = client.rest().map_or(0, |bytes| bytes.len());
    assert!(got < 32_000_000, "the whole answer came");
}

#[test]
fn a_reader_that_takes_nothing_is_cut_off() {
    let stand = large();
    let mut client = stand.connect();
    send(&mut client, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    stand.origin.wait_for("the request", |record| !record.requests.is_empty());
    until_true("the reader is cut", SOON, || is_cut(&stand));
    assert_cut(&stand, client);
}

#[test]
fn a_reader_that_takes_a_little_now_and_then_is_cut_off() {
    // Some bytes each 20 ms: about 100 a second, below the least rate (500 by default).
    let stand = large();
    let mut client = stand.connect();
    send(&mut client, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    stand.origin.wait_for("the request", |record| !record.requests.is_empty());
    let mut two = [0; 2];
    until_true("the reader is cut", SOON, || {
        std::thread::sleep(Duration::from_millis(15));
        let _ = client.stream().read(&mut two);
        is_cut(&stand)
    });
    assert_cut(&stand, client);
}
