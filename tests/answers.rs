//! What the client sees of an answer: streams in their own time, nothing added, nothing broken that looks whole.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::forwarding::{KINDS, connect, plain, scripted};
use crate::support::app::{App, Kind};
use crate::support::client::get;
use crate::support::dir::Dir;
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::{seconds, until_true};

#[test]
fn removes_hop_by_hop_fields_of_answers() {
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, |conversation| {
        while conversation.request().is_some() {
            let answer = "HTTP/1.1 200 Fine\r\nConnection: keep-alive, X-Inner\r\nX-Inner: 1\r\nKeep-Alive: timeout=20\r\n\
                          Proxy-Connection: keep-alive\r\nTrailer: X-T\r\nX-Stays: 2\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                          Content-Length: 2\r\n\r\nok";
            let _ = conversation.write(answer);
        }
    });
    let answer = get(vestibule.address(), "/");
    for name in ["x-inner", "keep-alive", "proxy-connection", "trailer"] {
        assert_eq!(answer.all(name), Vec::<&str>::new(), "{name}");
    }
    assert_eq!(answer.field("x-stays"), Some("2"));
    assert_eq!(answer.field("date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    assert_eq!(answer.text(), "ok");
}

#[test]
fn adds_a_missing_date() {
    let dir = Dir::new();
    let (vestibule, _origin) = plain(&dir);
    let answer = get(vestibule.address(), "/");
    assert!(answer.field("date").is_some_and(|value| value.ends_with(" GMT")), "{}", answer.head);
}

#[test]
fn keeps_several_cookies_apart() {
    for kind in KINDS {
        let dir = Dir::new();
        let _app = App::start(kind, &dir);
        let vestibule = Vestibule::start(&dir, &config(&dir, ""));
        let answer = get(vestibule.address(), "/cookies");
        let cookies = answer.all("set-cookie");
        assert_eq!(cookies, ["a=1; path=/", "b=2; expires=Thu, 01 Jan 2032 00:00:00 GMT", "c=3"], "{kind:?}");
    }
}

#[test]
fn passes_events_as_they_come() {
    for kind in [Kind::Puma, Kind::Unicorn, Kind::Passenger] {
        let dir = Dir::new();
        let _app = App::start(kind, &dir);
        let vestibule = Vestibule::start(&dir, &config(&dir, ""));
        let mut client = connect(&vestibule);
        client.send("GET /sse HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("sent");
        let head = client.response_head().expect("a head");
        assert_eq!(head.field("content-type"), Some("text/event-stream"), "{kind:?}");
        client.through(b"data: one\n\n").expect("the first event");
        let first = Instant::now();
        client.through(b"data: three\n\n").expect("the last event");
        let between = first.elapsed();
        assert!(
            between > Duration::from_millis(150),
            "{kind:?}: the events came together, {between:?} apart"
        );
        client.rest().expect("the end");
    }
}

#[test]
fn passes_answers_without_a_length() {
    for kind in KINDS {
        let dir = Dir::new();
        let _app = App::start(kind, &dir);
        let vestibule = Vestibule::start(&dir, &config(&dir, ""));
        assert_eq!(get(vestibule.address(), "/stream").text(), "firstsecondthird", "{kind:?}");
    }
}

#[test]
fn passes_close_delimited_answers_in_their_own_time() {
    let dir = Dir::new();
    let has_begun = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&has_begun);
    let (vestibule, _origin) = scripted(&dir, move |conversation| {
        if conversation.request().is_some() {
            let _ = conversation.write("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nbegin");
            until_true("the client has the beginning", seconds(30), || theirs.load(Ordering::SeqCst));
            let _ = conversation.write(" and end");
        }
    });
    let mut client = connect(&vestibule);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let head = client.response_head().expect("a head");
    assert_eq!(head.status, 200);
    client.through(b"begin").expect("the beginning");
    // Nobody waited for the end: it is written only now.
    has_begun.store(true, Ordering::SeqCst);
    // A client of HTTP/1.1 gets chunks, so that it can tell a whole answer from one that broke off.
    assert_eq!(head.field("transfer-encoding"), Some("chunked"));
    client.through(b" and end").expect("the end");
    client.through(b"0\r\n\r\n").expect("the last chunk");
    assert_eq!(get(vestibule.address(), "/").text(), "begin and end");
}

#[test]
fn never_ends_a_broken_chunked_answer_as_if_it_were_whole() {
    for tail in ["5\r\nhel", "5\r\nhello\r\n", "5\r\nhello\r\nzz\r\n", "5\r\nhelloXX0\r\n\r\n"] {
        let dir = Dir::new();
        let (vestibule, _origin) = scripted(&dir, move |conversation| {
            if conversation.request().is_some() {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
                let _ = conversation.write(format!("{head}{tail}"));
            }
        });
        let mut client = connect(&vestibule);
        match client.get("/") {
            Ok(answer) => assert_eq!(answer.status, 502, "{tail:?} became {answer:?}"),
            Err(error) => {
                assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "{tail:?}: the client was left waiting");
            }
        }
    }
}

const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";

#[test]
fn drops_a_connection_with_bytes_after_the_answer() {
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, |conversation| {
        while let Some(request) = conversation.request() {
            match request.target() {
                "/talkative" => {
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n/talkative{POISON}");
                    let _ = conversation.write(answer);
                }
                other => conversation.answer(other),
            }
        }
    });
    let mut client = connect(&vestibule);
    for _ in 0..20 {
        assert_eq!(client.get("/talkative").expect("an answer").text(), "/talkative");
        assert_eq!(client.get("/next").expect("an answer").text(), "/next");
    }
}

#[test]
fn drops_an_idle_connection_on_which_bytes_arrive() {
    let dir = Dir::new();
    let has_spoken = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&has_spoken);
    let (vestibule, _origin) = scripted(&dir, move |conversation| {
        while let Some(request) = conversation.request() {
            conversation.answer(request.target());
            if request.target() == "/talkative" {
                std::thread::sleep(Duration::from_millis(20));
                let _ = conversation.write(POISON);
                theirs.store(true, Ordering::SeqCst);
            }
        }
    });
    let mut client = connect(&vestibule);
    for _ in 0..5 {
        has_spoken.store(false, Ordering::SeqCst);
        assert_eq!(client.get("/talkative").expect("an answer").text(), "/talkative");
        until_true("the origin speaks unasked", seconds(30), || has_spoken.load(Ordering::SeqCst));
        assert_eq!(client.get("/next").expect("an answer").text(), "/next");
    }
}

#[test]
fn ignores_bodies_where_none_belongs() {
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, |conversation| {
        if let Some(request) = conversation.request() {
            let status = request.target().trim_start_matches('/').to_owned();
            let status = if status == "head" { "200" } else { &status };
            let _ = conversation.write(format!("HTTP/1.1 {status} X\r\nContent-Length: 4\r\n\r\nbody"));
        }
    });
    let mut client = connect(&vestibule);
    for status in [204, 304] {
        client.send(format!("GET /{status} HTTP/1.1\r\nHost: a\r\n\r\n")).expect("sent");
        assert_eq!(client.response().expect("an answer").status, status);
    }
    client.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let head = client.head_response().expect("an answer");
    assert_eq!((head.status, head.field("content-length")), (200, Some("4")));
    client.send("GET /200 HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    assert_eq!(client.response().expect("an answer in step").text(), "body");
}

#[test]
fn answers_head_without_a_body_from_every_server() {
    for kind in KINDS {
        let dir = Dir::new();
        let _app = App::start(kind, &dir);
        let vestibule = Vestibule::start(&dir, &config(&dir, ""));
        let mut client = connect(&vestibule);
        for _ in 0..3 {
            client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
            let head = client.head_response().expect("an answer");
            assert_eq!((head.status, head.closes()), (200, false), "{kind:?}");
        }
        assert_eq!(client.get("/pid").expect("an answer in step").status, 200, "{kind:?}");
    }
}

#[test]
fn upgrades_and_carries_bytes_both_ways() {
    for kind in [Kind::Puma, Kind::Unicorn, Kind::Passenger] {
        let dir = Dir::new();
        let _app = App::start(kind, &dir);
        let vestibule = Vestibule::start(&dir, &config(&dir, ""));
        let mut client = connect(&vestibule);
        client
            .send("GET /hijack HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
            .expect("sent");
        let head = client.response_head().expect("a head");
        assert_eq!(head.status, 101, "{kind:?}: {}", head.head);
        assert!(
            head.field("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("echo")),
            "{}",
            head.head
        );
        // The application's first bytes come in one piece with its 101.
        assert_eq!(client.exact(27).expect("a greeting"), b"hello from the application\n", "{kind:?}");
        for word in ["first", "second", "third"] {
            client.send(word).expect("sent");
            assert_eq!(
                client.exact(word.len()).expect("an echo"),
                word.to_uppercase().as_bytes(),
                "{kind:?}"
            );
        }
        drop(client);
        assert_eq!(get(vestibule.address(), "/").status, 200, "{kind:?}: the tunnel's end frees its place");
    }
}

#[test]
fn carries_bytes_that_follow_the_upgrade_request_at_once() {
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, |conversation| {
        let Some(head) = conversation.head() else { return };
        assert!(head.to_lowercase().contains("upgrade: echo"), "{head}");
        let _ = conversation
            .write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly");
        if let Some(bytes) = conversation.exact(5) {
            let _ = conversation.write(bytes);
        }
    });
    let mut client = connect(&vestibule);
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello")
        .expect("sent");
    assert_eq!(client.response_head().expect("a head").status, 101);
    assert_eq!(client.exact(10).expect("both"), b"earlyhello");
    assert!(client.is_closed(), "the end of the application's side ends the tunnel");
}

#[test]
fn passes_a_refused_upgrade_as_an_ordinary_answer() {
    let dir = Dir::new();
    let (vestibule, _origin) = plain(&dir);
    let mut client = connect(&vestibule);
    client.send("GET /no HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").expect("sent");
    let answer = client.response().expect("an answer");
    assert_eq!((answer.status, answer.text()), (200, "/no".to_owned()));
}

#[test]
fn serves_clients_of_http_1_0() {
    for kind in KINDS {
        let dir = Dir::new();
        let _app = App::start(kind, &dir);
        let vestibule = Vestibule::start(&dir, &config(&dir, ""));
        let mut client = connect(&vestibule);
        client.send("GET /stream HTTP/1.0\r\n\r\n").expect("sent");
        let answer = client.response_head().expect("a head");
        assert_eq!((answer.status, answer.all("transfer-encoding")), (200, Vec::<&str>::new()), "{kind:?}");
        assert_eq!(client.rest().expect("the end"), b"firstsecondthird", "{kind:?}");
        let mut client = connect(&vestibule);
        for _ in 0..2 {
            client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").expect("sent");
            let answer = client.response().expect("an answer");
            assert_eq!(answer.status, 200, "{kind:?}");
        }
    }
}

#[test]
fn passes_early_hints_but_not_to_http_1_0() {
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, |conversation| {
        while let Some(request) = conversation.request() {
            let _ = conversation.write("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
            conversation.answer(request.target());
        }
    });
    let mut client = connect(&vestibule);
    client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let hints = client.response_head().expect("hints");
    assert_eq!((hints.status, hints.field("link")), (103, Some("</a.css>; rel=preload")));
    assert_eq!(client.response().expect("an answer").text(), "/a");
    let mut old = connect(&vestibule);
    old.send("GET /b HTTP/1.0\r\n\r\n").expect("sent");
    assert_eq!(old.response().expect("an answer").text(), "/b");
}

#[test]
fn ends_an_answer_without_a_length_as_whole_though_the_request_was_not_read() {
    for length in [60_000, 200_000] {
        let dir = Dir::new();
        let (vestibule, _origin) = scripted(&dir, |conversation| {
            // To close with bytes unread ends a connection over a Unix socket with ECONNRESET, behind the answer.
            if conversation.wait_for_bytes().is_some() {
                let _ = conversation.write("HTTP/1.1 401 No\r\nConnection: close\r\n\r\nwho are you?");
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let mut client = connect(&vestibule);
        let answer = client.post("/unread", &vec![b'x'; length]);
        let answer = answer.unwrap_or_else(|error| panic!("{length} bytes: {error}"));
        assert_eq!((answer.status, answer.text()), (401, "who are you?".to_owned()), "{length} bytes");
    }
}

#[test]
fn keeps_no_connection_of_a_generation_that_sent_bytes_behind_an_answer() {
    let dir = Dir::new();
    let connections = Arc::new(AtomicUsize::new(0));
    let (vestibule, _origin) = scripted(&dir, move |conversation| {
        let mut number = None;
        while let Some(request) = conversation.request() {
            let number = *number.get_or_insert_with(|| connections.fetch_add(1, Ordering::SeqCst));
            let body = format!("{number} {}", request.target());
            let behind = if request.target() == "/talkative" { POISON } else { "" };
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}{behind}");
            let _ = conversation.write(answer);
        }
    });
    let answers = |paths: &[&str]| -> Vec<String> {
        paths.iter().map(|path| get(vestibule.address(), path).text()).collect()
    };
    assert_eq!(answers(&["/a", "/b"]), ["0 /a", "0 /b"], "a connection is kept before");
    assert_eq!(answers(&["/talkative"]), ["0 /talkative"]);
    assert_eq!(answers(&["/c", "/d", "/e"]), ["1 /c", "2 /d", "3 /e"], "and none is kept after");
}

#[test]
fn resets_a_client_of_http_1_0_when_a_chunked_answer_breaks_off() {
    for tail in ["5\r\nhel", "5\r\nhello\r\n", "5\r\nhello\r\nzz\r\n"] {
        let dir = Dir::new();
        let has_begun = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&has_begun);
        let (vestibule, _origin) = scripted(&dir, move |conversation| {
            if conversation.request().is_some() {
                let _ =
                    conversation.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
                until_true("the head is passed on", seconds(30), || theirs.load(Ordering::SeqCst));
                let _ = conversation.write(tail);
            }
        });
        let mut client = connect(&vestibule);
        client.send("GET / HTTP/1.0\r\n\r\n").expect("sent");
        assert_eq!(client.response_head().expect("a head").status, 200, "{tail:?}");
        has_begun.store(true, Ordering::SeqCst);
        // This client has neither a length nor chunks: for it an orderly end makes what it got the whole answer.
        match client.rest() {
            Ok(bytes) => panic!("{tail:?}: an orderly end after {:?}", String::from_utf8_lossy(&bytes)),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{tail:?}: {error}"),
        }
    }
}

#[test]
fn answers_502_to_a_change_to_a_protocol_that_was_not_offered() {
    for fields in ["", "Connection: Upgrade\r\n", "Connection: Upgrade\r\nUpgrade: other\r\n"] {
        let dir = Dir::new();
        let (vestibule, _origin) = scripted(&dir, move |conversation| {
            if conversation.request().is_some() {
                let _ = conversation.write(format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\nraw"));
                conversation.wait_for_close();
            }
        });
        let mut client = connect(&vestibule);
        client
            .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
            .expect("sent");
        assert_eq!(client.response().expect("an answer").status, 502, "{fields:?}");
    }
}

#[test]
fn offers_no_http_2_to_the_application() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    for protocols in ["h2c", "H2C", "echo, h2c"] {
        let mut client = connect(&vestibule);
        client
            .send(format!(
                "GET /h2 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocols}\r\n\
                 HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
            ))
            .expect("sent");
        assert_eq!(client.response().expect("an answer").status, 200, "{protocols:?}");
    }
    for request in origin.requests() {
        let head = request.head.to_lowercase();
        assert!(!head.contains("h2c") && !head.contains("http2-settings"), "{head}");
    }
}
