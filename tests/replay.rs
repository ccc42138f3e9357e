//! The ledger: what may be sent a second time, and what may not.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::client::{Client, get, post};
use crate::support::dir::Dir;
use crate::support::fake::{Conversation, Fake};
use crate::support::process::{Signal, stopped};
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::{seconds, until_true};

/// A Vestibule in front of `script`.
fn before(dir: &Dir, script: impl Fn(&mut Conversation) + Send + Sync + 'static) -> (Vestibule, Fake) {
    let origin = Fake::start(&dir.socket(), script);
    (Vestibule::start(dir, &config(dir, "server = \"passenger\"\nhold = { timeout = \"5s\" }")), origin)
}

/// Answers everything on the connections that the test does not spoil.
fn serve(conversation: &mut Conversation) {
    while let Some(request) = conversation.request() {
        conversation.answer(request.target());
    }
}

fn bodies(origin: &Fake) -> Vec<String> {
    origin.requests().iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect()
}

#[test]
fn replays_a_post_when_the_kept_connection_was_closed_before_it() {
    let dir = Dir::new();
    let (vestibule, origin) = before(&dir, |conversation| {
        match conversation.wait_for_bytes() {
            Some(0) => {
                let request = conversation.request().expect("a request");
                conversation.answer(request.target()); // and close, though the answer promised to stay
            }
            _ => serve(conversation),
        }
    });
    assert_eq!(get(vestibule.address(), "/first").text(), "/first");
    for index in 0..20 {
        let body = format!("post-{index}");
        assert_eq!(post(vestibule.address(), "/second", body.as_bytes()).status, 200);
    }
    let posts: Vec<_> = bodies(&origin).into_iter().filter(|body| !body.is_empty()).collect();
    assert_eq!(posts, (0..20).map(|index| format!("post-{index}")).collect::<Vec<_>>());
}

#[test]
fn replays_a_post_that_the_dead_peer_had_not_read() {
    let dir = Dir::new();
    let (vestibule, origin) = before(&dir, |conversation| {
        match conversation.wait_for_bytes() {
            Some(0 | 1) => {} // and close with them unread
            _ => serve(conversation),
        }
    });
    let answer = post(vestibule.address(), "/once", b"only-once");
    assert_eq!((answer.status, bodies(&origin)), (200, vec!["only-once".to_owned()]));
}

/// What it reads at once, nobody knows: a few bytes may have been enough for it to run.
#[test]
fn never_repeats_a_post_to_a_server_of_an_unknown_kind() {
    let dir = Dir::new();
    let origin = Fake::start(&dir.socket(), |conversation| match conversation.wait_for_bytes() {
        Some(0) => {} // and close with them unread
        _ => serve(conversation),
    });
    let vestibule = Vestibule::start(&dir, &config(&dir, "hold = { timeout = \"5s\" }"));
    let answer = post(vestibule.address(), "/once", b"only-once");
    assert_eq!((answer.status, bodies(&origin)), (502, Vec::<String>::new()));
    assert_eq!(get(vestibule.address(), "/again").text(), "/again", "it is asked further");
}

#[test]
fn replays_a_post_whose_end_the_dead_peer_had_not_read() {
    let dir = Dir::new();
    let (vestibule, origin) = before(&dir, |conversation| {
        match conversation.wait_for_bytes() {
            Some(0) => drop(conversation.exact(10).expect("ten bytes")), // and close with the end unread
            _ => serve(conversation),
        }
    });
    // More than the fake takes in one read, so that its end is unread for certain.
    let body = vec![b'x'; 200 * 1024];
    let answer = post(vestibule.address(), "/once", &body);
    // Only a server that is known to read whole bodies first may be asked again; this one is not.
    assert!(matches!(answer.status, 200 | 502), "{}", answer.status);
    let whole = origin.requests().iter().filter(|request| request.body == body).count();
    assert_eq!(whole, usize::from(answer.status == 200), "a POST runs once or is a 502");
}

#[test]
fn never_repeats_a_post_that_the_peer_had_read() {
    let dir = Dir::new();
    let (vestibule, origin) = before(&dir, |conversation| {
        if conversation.request().is_some_and(|request| request.line().starts_with("POST")) {
            return; // read, perhaps executed, not answered
        }
        conversation.answer("fine");
    });
    assert_eq!(post(vestibule.address(), "/once", b"read-and-lost").status, 502);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(bodies(&origin), ["read-and-lost"]);
}

#[test]
fn never_repeats_a_post_that_the_peer_had_read_on_a_kept_connection() {
    let dir = Dir::new();
    let (vestibule, origin) = before(&dir, |conversation| {
        while let Some(request) = conversation.request() {
            if request.line().starts_with("POST") {
                return;
            }
            conversation.answer(request.target());
        }
    });
    assert_eq!(get(vestibule.address(), "/warm").status, 200);
    assert_eq!(post(vestibule.address(), "/once", b"read-and-lost").status, 502);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(bodies(&origin), ["", "read-and-lost"]);
}

#[test]
fn repeats_a_get_once_when_a_kept_connection_dies_after_reading_it() {
    let dir = Dir::new();
    let is_dead = AtomicBool::new(false);
    let (vestibule, origin) = before(&dir, move |conversation| {
        while let Some(request) = conversation.request() {
            if request.target() == "/again" && !is_dead.swap(true, Ordering::SeqCst) {
                return;
            }
            conversation.answer(request.target());
        }
    });
    assert_eq!(get(vestibule.address(), "/warm").status, 200);
    assert_eq!(get(vestibule.address(), "/again").text(), "/again");
    let again = origin.requests().iter().filter(|request| request.target() == "/again").count();
    assert_eq!(again, 2);
}

#[test]
fn gives_up_on_a_get_that_kills_every_connection() {
    let dir = Dir::new();
    let (vestibule, origin) = before(&dir, |conversation| {
        while let Some(request) = conversation.request() {
            if request.target() == "/poison" {
                return;
            }
            conversation.answer(request.target());
        }
    });
    assert_eq!(get(vestibule.address(), "/warm").status, 200);
    assert_eq!(get(vestibule.address(), "/poison").status, 502);
    let poison = origin.requests().iter().filter(|request| request.target() == "/poison").count();
    assert!(poison <= 2, "the same request went out {poison} times");
}

#[test]
fn cuts_the_client_when_a_long_answer_breaks_off() {
    let dir = Dir::new();
    let (vestibule, origin) = before(&dir, |conversation| {
        if conversation.request().is_some() {
            let _ = conversation.write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nonly the beginning");
        }
    });
    let mut client = Client::connect(vestibule.address()).expect("a connection");
    let error = client.get("/broken").expect_err("a broken answer must not look whole");
    assert!(
        error.to_string().contains("closed after") || error.kind() == std::io::ErrorKind::ConnectionReset,
        "{error}"
    );
    assert_eq!(origin.requests().len(), 1, "an answer that was passed on is not asked for again");
}

#[test]
fn passes_nothing_on_of_a_short_answer_that_breaks_off() {
    let dir = Dir::new();
    let (vestibule, origin) = before(&dir, |conversation| {
        if conversation.request().is_some() {
            let _ = conversation.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly the beginning");
        }
    });
    assert_eq!(get(vestibule.address(), "/get").status, 502);
    assert_eq!(post(vestibule.address(), "/post", b"x").status, 502);
    let asked = |path: &str| origin.requests().iter().filter(|request| request.target() == path).count();
    assert_eq!((asked("/get"), asked("/post")), (2, 1), "a GET may be asked for again, once");
}

#[test]
fn evicts_kept_connections_of_the_last_generation() {
    let dir = Dir::new();
    let (vestibule, old) = before(&dir, serve);
    for _ in 0..3 {
        assert_eq!(get(vestibule.address(), "/old").status, 200);
    }
    // The old server still runs, and its connections still stand.
    fs::remove_file(dir.socket()).expect("the socket file is removed");
    let new = Fake::start(&dir.socket(), serve);
    until_true("traffic goes to the new generation", seconds(10), || {
        assert_eq!(get(vestibule.address(), "/switch").status, 200);
        !new.requests().is_empty()
    });
    let seen = old.requests().len();
    for _ in 0..10 {
        assert_eq!(post(vestibule.address(), "/new", b"to the new one").status, 200);
    }
    assert_eq!(old.requests().len(), seen, "the old generation gets nothing more");
}

#[test]
fn answers_502_to_a_malformed_answer_and_asks_once() {
    for (index, answer) in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhello",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HELLO\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: unasked\r\n\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let dir = Dir::new();
        let (vestibule, origin) = before(&dir, move |conversation| {
            if conversation.request().is_some() {
                let _ = conversation.write(answer);
                conversation.wait_for_close();
            }
        });
        let path = format!("/{index}");
        assert_eq!(get(vestibule.address(), &path).status, 502, "{answer:?}");
        assert_eq!(origin.requests().len(), 1, "{answer:?}");
    }
}

#[test]
fn never_repeats_a_post_whose_chunked_body_was_passed_on_unfinished() {
    let dir = Dir::new();
    let (runs, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, over) = (Arc::clone(&runs), Arc::clone(&is_over));
    let _origin = Fake::start(&dir.socket(), move |conversation| {
        if conversation.head().is_none() {
            return;
        }
        let is_first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        // Unicorn runs the application when it has read the head.
        std::thread::sleep(Duration::from_millis(200));
        if !is_first {
            conversation.answer("ran again");
        }
        conversation.hang_up();
        over.store(true, Ordering::SeqCst);
    });
    let unbuffered = config(&dir, "server = \"unicorn\"\n[buffer]\nrequest = false");
    let vestibule = Vestibule::start(&dir, &unbuffered);
    let mut client = Client::connect(vestibule.address()).expect("a connection");
    // One chunk of five bytes more than `buffer.memory` takes by default.
    let head = "POST /once HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10005\r\n";
    client.send([head.as_bytes(), &[b'x'; 0x10005]].concat()).expect("sent");
    until_true("the application is gone", seconds(30), || is_over.load(Ordering::SeqCst));
    std::thread::sleep(Duration::from_millis(300)); // enough for what hears of it to ask another, which it must not
    let _ = client.send("\r\n0\r\n\r\n"); // the answer may be there already, and the connection closed
    let status = client.response().map(|answer| answer.status);
    assert_eq!(runs.load(Ordering::SeqCst), 1, "how often the application ran; answered {status:?}");
    assert_eq!(status.expect("an answer"), 502);
}

#[test]
fn never_leaves_out_what_came_from_the_client_before_the_connection_died() {
    for (method, is_chunked) in [("PUT", true), ("PUT", false), ("POST", false)] {
        let dir = Dir::new();
        let connections = Arc::new(AtomicUsize::new(0));
        let (may_die, is_dead) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let theirs = (Arc::clone(&connections), Arc::clone(&may_die), Arc::clone(&is_dead));
        let _origin = Fake::start(&dir.socket(), move |conversation| {
            if conversation.head().is_none() {
                return;
            }
            let (connections, may_die, is_dead) = &theirs;
            let beginning = if is_chunked { 10 } else { 5 };
            if !is_dead.load(Ordering::SeqCst) {
                let _ = conversation.exact(beginning);
                connections.fetch_add(1, Ordering::SeqCst);
                until_true("its time to die", seconds(20), || may_die.load(Ordering::SeqCst));
                conversation.hang_up();
                is_dead.store(true, Ordering::SeqCst);
                return;
            }
            let body = if is_chunked { conversation.through(b"0\r\n\r\n") } else { conversation.exact(15) };
            conversation.answer(&String::from_utf8_lossy(&body.unwrap_or_default()));
        });
        let settings = config(&dir, "server = \"puma\"\n[buffer]\nrequest = false");
        let vestibule = Vestibule::start(&dir, &settings);
        let mut client = Client::connect(vestibule.address()).expect("a connection").patience(seconds(30));
        let framing = if is_chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 15" };
        let piece = |text: &str| if is_chunked { format!("5\r\n{text}\r\n") } else { text.to_owned() };
        let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
        client.send(head + &piece("first")).expect("sent");
        until_true("the beginning arrives", seconds(30), || connections.load(Ordering::SeqCst) == 1);
        // When it looks again, the application is gone and more of the body is there.
        vestibule.signal(Signal::STOP);
        until_true("it stands still", seconds(30), || stopped(vestibule.pid()));
        may_die.store(true, Ordering::SeqCst);
        until_true("the application's end", seconds(30), || is_dead.load(Ordering::SeqCst));
        let end = if is_chunked { "0\r\n\r\n" } else { "" };
        client.send(piece("other") + &piece("third") + end).expect("sent");
        vestibule.signal(Signal::CONT);
        let answer = client.response().expect("an answer");
        assert_eq!(answer.status, 502, "{method}, {framing}: the application got {:?}", answer.text());
    }
}

#[test]
fn an_answer_that_breaks_off_on_a_last_request_is_not_ended_in_order() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        if conversation.request().is_some() {
            let _ = conversation.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n");
        }
    });
    let limits = "\n[limits]\nrequests_per_connection = 1\n";
    let vestibule = Vestibule::start(&dir, &format!("{}{limits}", config(&dir, "")));
    let mut client = Client::connect(vestibule.address()).expect("a connection").patience(seconds(30));
    // In HTTP/1.0 the end of the connection is the end of the answer.
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").expect("sent");
    let end = client.rest().expect_err("a reset");
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
}
