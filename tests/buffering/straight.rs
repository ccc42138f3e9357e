//! When the application is asked, when its bytes go on at once, and who waits for whom.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{buffered, lines, noise};
use crate::forwarding::connect;
use crate::support::client::{Client, get};
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::slow::connect_narrow;
use crate::support::turn;
use crate::support::vestibule::Vestibule;
use crate::support::wait::{seconds, until_true};

/// What the kernel may keep of an answer, on both connections.
const KERNEL: usize = 8 << 20;
/// An answer that no kernel keeps by itself.
const LARGE: usize = 40 << 20;

/// An origin that answers everything but `/small` with [`LARGE`] bytes of lines; counts what it could write.
fn large(path: &Path, head: &'static str) -> (Fake, Arc<AtomicUsize>) {
    let written = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&written);
    let body = lines(LARGE);
    let origin = Fake::start(path, move |conversation| {
        while let Some(request) = conversation.request() {
            if request.target() == "/small" {
                conversation.answer("small");
                continue;
            }
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n{head}\r\n");
            if conversation.write(head).is_err() {
                return;
            }
            for piece in body.chunks(64 << 10) {
                if conversation.write(piece).is_err() {
                    return;
                }
                counted.fetch_add(piece.len(), Ordering::SeqCst);
            }
        }
    });
    (origin, written)
}

/// A client that has asked and not yet read anything.
fn asks_and_waits(vestibule: &Vestibule) -> Client<TcpStream> {
    let stream = connect_narrow(vestibule.address()).expect("a connection");
    stream.set_read_timeout(Some(seconds(60))).expect("a read timeout");
    (&stream).write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    Client::over(stream)
}

/// Waits until the count stands still, and returns it.
fn settled(count: &AtomicUsize) -> usize {
    let mut last = (usize::MAX, 0);
    until_true("the application writes no more", seconds(60), || {
        std::thread::sleep(Duration::from_millis(100));
        let now = count.load(Ordering::SeqCst);
        last = if now == last.0 { (now, last.1 + 1) } else { (now, 0) };
        now > 0 && last.1 >= 5
    });
    last.0
}

fn assert_whole(mut client: Client<TcpStream>) {
    let answer = client.response().expect("the answer");
    assert!(answer.body == lines(LARGE), "{} bytes", answer.body.len());
}

#[test]
fn takes_an_answer_from_the_application_before_the_client_reads_it() {
    let dir = Dir::new();
    let (_origin, written) = large(&dir.socket(), "");
    let vestibule = Vestibule::start(&dir, &buffered(&dir, "", ""));
    let client = asks_and_waits(&vestibule);
    until_true("the application is rid of its answer", seconds(20), || {
        written.load(Ordering::SeqCst) == LARGE
    });
    assert_whole(client);
}

#[test]
fn lets_the_application_wait_when_an_answer_has_its_share_of_the_disk() {
    for (buffer, disk) in
        [("disk = \"1 MiB\"", ""), ("disk = \"0 B\"", ""), ("", "most = \"1 MiB\""), ("", "most = \"0 B\"")]
    {
        let dir = Dir::new();
        let (_origin, written) = large(&dir.socket(), "");
        let vestibule = Vestibule::start(&dir, &buffered(&dir, buffer, disk));
        let client = asks_and_waits(&vestibule);
        let count = settled(&written);
        assert!(count <= KERNEL, "{buffer} {disk}: {count} bytes taken for a client that takes nothing");
        assert_eq!(get(vestibule.address(), "/small").text(), "small", "{buffer} {disk}");
        assert_whole(client);
    }
}

#[test]
fn an_answer_that_the_disk_does_not_take_costs_little_memory() {
    const READERS: usize = 40;
    // 64 KiB wait, with a read of as much behind them and as much again that is gone before them; the rest is the
    // allocator's. Nothing more is read in vain, nor kept for the disk.
    const MOST: u64 = 290 << 10;
    let _turn = turn::heavy();
    let dir = Dir::new();
    let (_origin, written) = large(&dir.socket(), "");
    let vestibule = Vestibule::start(
        &dir,
        &buffered(&dir, "", "most = \"0 B\"").replace("[upstream.app]", "[upstream.app]\nin_flight = 100"),
    );
    for _ in 0..READERS {
        assert_eq!(get(vestibule.address(), "/small").text(), "small");
    }
    let before = vestibule.rss();
    let readers: Vec<_> = (0..READERS).map(|_| asks_and_waits(&vestibule)).collect();
    settled(&written);
    let each = vestibule.rss().saturating_sub(before) / READERS as u64;
    println!("{READERS} readers: {each} bytes each");
    assert!(each <= MOST, "{each} bytes each");
    for reader in readers.into_iter().take(3) {
        assert_whole(reader);
    }
}

#[test]
fn keeps_nothing_back_where_the_application_or_the_operator_says_so() {
    for (buffer, head) in [
        ("", "X-Accel-Buffering: no\r\n"),
        ("", "Content-Type: text/event-stream\r\n"),
        ("", "Content-Type: Text/Event-Stream; charset=utf-8\r\n"),
        ("response = false", ""),
    ] {
        let dir = Dir::new();
        let (_origin, written) = large(&dir.socket(), head);
        let vestibule = Vestibule::start(&dir, &buffered(&dir, buffer, ""));
        let client = asks_and_waits(&vestibule);
        let count = settled(&written);
        assert!(count <= KERNEL, "{buffer} {head:?}: {count} bytes taken for a client that takes nothing");
        assert_whole(client);
    }
}

/// An origin that writes each part of an answer only when it is told to.
fn told(path: &Path, head: &'static str, parts: &'static [&'static str]) -> (Fake, Sender<()>) {
    let (tell, hear): (_, Receiver<()>) = channel();
    let hear = Mutex::new(hear);
    let origin = Fake::start(path, move |conversation| {
        while conversation.request().is_some() {
            conversation.write(head).expect("written");
            for part in parts {
                if hear.lock().expect("the receiver").recv_timeout(seconds(30)).is_err() {
                    return;
                }
                conversation.write(part).expect("written");
            }
        }
    });
    (origin, tell)
}

#[test]
fn streams_come_through_part_by_part() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let dir = Dir::new();
        let (_origin, tell) =
            told(&dir.socket(), head, &["9\r\ndata: 1\n\n\r\n", "9\r\ndata: 2\n\n\r\n", "0\r\n\r\n"]);
        let vestibule = Vestibule::start(&dir, &buffered(&dir, "", ""));
        let mut client = connect(&vestibule);
        client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        // The head comes before any part of the body is there.
        assert_eq!(client.response_head().expect("the head").status, 200, "{head}");
        for part in ["data: 1\n\n", "data: 2\n\n"] {
            tell.send(()).expect("told");
            client.through(part.as_bytes()).expect("a part as soon as it is written");
        }
        tell.send(()).expect("told");
        client.through(b"0\r\n\r\n").expect("the end");
    }
}

#[test]
fn interim_answers_come_through_while_an_answer_is_awaited() {
    let dir = Dir::new();
    let (_origin, tell) = told(
        &dir.socket(),
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n",
        &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"],
    );
    let vestibule = Vestibule::start(&dir, &buffered(&dir, "", ""));
    let mut client = connect(&vestibule);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let hints = client.response_head().expect("the hints before the answer");
    assert_eq!((hints.status, hints.field("link")), (103, Some("</a.css>; rel=preload")));
    tell.send(()).expect("told");
    assert_eq!(client.response().expect("the answer").text(), "ok");
}

#[test]
fn asks_the_application_only_when_it_has_the_whole_body() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let vestibule = Vestibule::start(&dir, &buffered(&dir, "", ""));
    let body = noise(3_000_000);
    let (first, second) = body.split_at(2_900_000);
    for chunked in [false, true] {
        let mut client = connect(&vestibule);
        let framing = if chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 3000000" };
        let frame = |part: &[u8]| match chunked {
            true => [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat(),
            false => part.to_vec(),
        };
        client.send(format!("POST /late HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n")).expect("sent");
        client.send(frame(first)).expect("sent");
        // Another one on the same thread comes and goes; the upload has been read as far as it came.
        let before = origin.requests().len();
        assert_eq!(get(vestibule.address(), "/between").text(), "/between");
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(
            origin.requests().len(),
            before + 1,
            "the application was asked before the body was whole"
        );
        client.send(frame(second)).expect("sent");
        if chunked {
            client.send("0\r\n\r\n").expect("sent");
        }
        assert_eq!(client.response().expect("an answer").text(), "/late");
        let requests = origin.requests();
        let request = requests.last().expect("the request");
        assert_eq!(request.field("content-length"), Some("3000000"), "chunked: {chunked}");
        assert!(request.body == body, "{} bytes", request.body.len());
    }
}

#[test]
fn passes_an_upload_on_as_it_comes_where_the_operator_wants_that() {
    let dir = Dir::new();
    let (tell, hear) = channel();
    let tell = Mutex::new(tell);
    let _origin = Fake::start(&dir.socket(), move |conversation| {
        let Some(_) = conversation.head() else { return };
        let first = conversation.exact(1000).expect("the first part");
        tell.lock().expect("the sender").send(first).expect("told");
        conversation.exact(1_000_000).expect("the second part");
        conversation.answer("whole");
    });
    let vestibule = Vestibule::start(&dir, &buffered(&dir, "request = false", ""));
    let mut client = connect(&vestibule);
    let body = noise(1_001_000);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001000\r\n\r\n").expect("sent");
    client.send(&body[..1000]).expect("sent");
    let first = hear.recv_timeout(seconds(20)).expect("the application has the first part already");
    assert!(first == body[..1000]);
    client.send(&body[1000..]).expect("sent");
    assert_eq!(client.response().expect("an answer").text(), "whole");
}

#[test]
fn an_idle_reader_of_a_stream_costs_no_other_client_anything() {
    let dir = Dir::new();
    let (_origin, written) = large(&dir.socket(), "X-Accel-Buffering: no\r\n");
    let vestibule = Vestibule::start(&dir, &buffered(&dir, "", ""));
    let mut idle: Vec<_> = (0..20).map(|_| asks_and_waits(&vestibule)).collect();
    settled(&written);
    for _ in 0..20 {
        assert_eq!(get(vestibule.address(), "/small").text(), "small");
    }
    let mut some = [0; 1000];
    let mut first = idle.remove(0);
    first.response_head().expect("the head");
    assert!(first.stream().read(&mut some).expect("more") > 0, "it goes on where it stood");
}
