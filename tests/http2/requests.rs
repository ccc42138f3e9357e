//! Heads: what the application gets, what the client gets.

use super::{connect, plain, scripted, with_http2};
use crate::support::client::get;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::h2::{H2, PROTOCOL_ERROR, request_fields};
use crate::support::vestibule::Vestibule;

#[test]
fn both_protocols_are_spoken_on_one_listener() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    let answer = connect(&vestibule).get("/two?x=1");
    assert_eq!((answer.status(), answer.text()), (200, "/two?x=1".to_owned()));
    assert_eq!(answer.field("content-length"), Some("8"));
    assert!(answer.field("date").is_some(), "{answer:?}");
    assert_eq!(get(vestibule.address(), "/one").text(), "/one");
    let request = &origin.requests()[0];
    assert_eq!(request.line(), "GET /two?x=1 HTTP/1.1");
    assert_eq!(request.field("host"), Some("example.com"));
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.field("x-forwarded-proto"), Some("http"));
    let line = vestibule.access_line("its line", |line| line["path"] == "/two?x=1");
    assert_eq!(
        (&line["protocol"], &line["status"], &line["bytes"]),
        (&"HTTP/2.0".into(), &200.into(), &8.into())
    );
    let line = vestibule.access_line("its line", |line| line["path"] == "/one");
    assert_eq!(line["protocol"], "HTTP/1.1");
}

#[test]
fn a_listener_without_http2_refuses_its_preface() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let settings = with_http2(&dir, "").replace("http2 = true", "http2 = false");
    let vestibule = Vestibule::start(&dir, &settings);
    let mut client = crate::forwarding::connect(&vestibule);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("sent");
    let answer = client.response().expect("an answer");
    assert!([400, 505].contains(&answer.status), "{}", answer.head);
}

#[test]
fn a_preface_may_come_byte_by_byte() {
    let dir = Dir::new();
    let (vestibule, _origin) = plain(&dir);
    let mut client = H2::silent(vestibule.address());
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0" {
        client.send(&[*byte]).expect("sent");
    }
    assert_eq!(client.get("/").text(), "/");
    // The other protocol begins with the same letter.
    let mut client = crate::forwarding::connect(&vestibule);
    client.send("P").expect("sent");
    client.send("OST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").expect("sent");
    assert_eq!(client.response().expect("an answer").status, 200);
}

#[test]
fn what_belongs_to_a_connection_stays_on_it() {
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, "", |conversation| {
        while conversation.request().is_some() {
            let _ = conversation.write(
                "HTTP/1.1 203 Whatever\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\n\
                 Transfer-Encoding: chunked\r\nX-Hop: 1\r\nX-Kept: Value\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
                 X-Accel-Redirect: /x\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            );
        }
    });
    let answer = connect(&vestibule).get("/");
    assert_eq!((answer.status(), answer.text()), (203, "abc".to_owned()));
    let names: Vec<&str> = answer.head().iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.iter().all(|name| *name == name.to_lowercase()), "{names:?}");
    for dropped in
        ["connection", "keep-alive", "transfer-encoding", "x-hop", "x-accel-redirect", "content-length"]
    {
        assert!(!names.contains(&dropped), "{dropped} crossed: {names:?}");
    }
    assert_eq!(answer.field("x-kept"), Some("Value"));
    assert_eq!(names.iter().filter(|name| **name == "set-cookie").count(), 2);
}

#[test]
fn split_cookies_become_one_and_others_stay_apart() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    let mut client = connect(&vestibule);
    let fields = [("cookie", "a=1"), ("x-list", "1"), ("cookie", "b=2"), ("x-list", "2"), ("te", "trailers")];
    let stream = client.request("GET", "/", &fields, true);
    assert_eq!(client.answer(stream).status(), 200);
    let request = &origin.requests()[0];
    assert_eq!(request.field("cookie"), Some("a=1; b=2"));
    assert_eq!(request.all("x-list"), ["1", "2"]);
    assert_eq!(request.field("te"), None);
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, "", |conversation| {
        while let Some(request) = conversation.request() {
            let head = match request.target() {
                "/204" => "204 No Content\r\n",
                "/304" => "304 Not Modified\r\nContent-Length: 7\r\n",
                "/empty" => "200 OK\r\nContent-Length: 0\r\n",
                _ => "200 OK\r\nContent-Length: 7\r\n",
            };
            let _ = conversation.write(format!("HTTP/1.1 {head}\r\n"));
        }
    });
    let mut client = connect(&vestibule);
    for (method, path, status, length) in [
        ("HEAD", "/", 200, Some("7")),
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, Some("7")),
        ("GET", "/empty", 200, Some("0")),
    ] {
        let stream = client.request(method, path, &[], true);
        let answer = client.answer(stream);
        assert_eq!((answer.status(), answer.pieces, answer.reset), (status, 0, None), "{method} {path}");
        assert_eq!(answer.field("content-length"), length, "{method} {path}");
    }
}

#[test]
fn interim_answers_come_before_the_answer() {
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, "", |conversation| {
        while conversation.request().is_some() {
            let _ = conversation
                .write("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x\r\n\r\n");
            conversation.answer("late");
        }
    });
    let answer = connect(&vestibule).get("/");
    assert_eq!(answer.text(), "late");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(answer.heads[0], [pair(":status", "103"), pair("link", "</a.css>; rel=preload")]);
    assert_eq!(answer.heads.len(), 2);
}

#[test]
fn our_own_answers_are_whole_too() {
    let dir = Dir::new();
    let dead = Fake::echoing(&dir.socket());
    let routes = format!(
        "{}\n[[route]]\nhost = \"example.com\"\nupstream = \"app\"\n[limits]\nhead = \"4KiB\"\n",
        with_http2(&dir, "[buffer]\nrequest = true")
    );
    let vestibule = Vestibule::start(&dir, &routes);
    drop(dead);
    let mut client = connect(&vestibule);
    let [method, scheme, path, _] = request_fields("GET", "/");
    let stream = client.open(&[method, scheme, path, (":authority", "other.com")], true);
    let answer = client.answer(stream);
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.field("content-length"), Some(answer.body.len().to_string().as_str()));
    assert!(!answer.body.is_empty());
    // No application sees these.
    let stream = client.request("TRACE", "/", &[], true);
    assert_eq!(client.answer(stream).status(), 405);
    let stream = client.open(&[(":method", "CONNECT"), (":authority", "example.com:443")], true);
    assert!([405, 501].contains(&client.answer(stream).status()));
    let stream = client.request("GET", "/", &[("x-long", &"x".repeat(6000))], true);
    assert_eq!(client.answer(stream).status(), 431);
    let line = vestibule.access_line("the line of what is too large", |line| line["status"] == 431);
    assert_eq!((&line["protocol"], &line["outcome"]), (&"HTTP/2.0".into(), &"refused".into()));
    let stream = client.request("HEAD", "/", &[("expect", "something")], true);
    let answer = client.answer(stream);
    assert_eq!((answer.status(), answer.pieces), (417, 0));
}

#[test]
fn a_malformed_request_is_reset_and_logged_and_the_next_served() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    let mut client = connect(&vestibule);
    for (field, count) in [(("Upper", "1"), 1), (("connection", "close"), 2), (("te", "gzip"), 3)] {
        let stream = client.request("GET", "/bad", &[field], true);
        assert_eq!(client.answer(stream).reset, Some(PROTOCOL_ERROR), "{field:?}");
        crate::support::wait::until_true("its line", crate::support::wait::seconds(5), || {
            let log = vestibule.access_log();
            log.iter().filter(|line| line["outcome"] == "refused" && line["status"] == 400).count() == count
        });
    }
    assert_eq!(client.get("/good").text(), "/good");
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_hundred_streams_at_once_are_answered_and_one_more_is_refused() {
    let dir = Dir::new();
    let gated = crate::support::gated::Gated::start(&dir);
    let vestibule = Vestibule::start(&dir, &with_http2(&dir, "in_flight = 200"));
    let mut client = connect(&vestibule);
    let streams: Vec<u32> = (0..100).map(|_| client.request("GET", "/slow", &[], true)).collect();
    gated.origin.wait_for_requests(100);
    let more = client.request("GET", "/more", &[], true);
    assert_eq!(client.answer(more).reset, Some(crate::support::h2::REFUSED_STREAM));
    gated.open();
    for stream in streams {
        assert_eq!(client.answer(stream).text(), "/slow");
    }
    assert_eq!(client.get("/again").text(), "/again");
    assert_eq!(gated.origin.requests().len(), 101);
}

#[test]
fn ten_thousand_requests_go_over_one_connection() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let settings = format!("{}\n[limits]\nrequests_per_connection = 20000\n", with_http2(&dir, ""));
    let vestibule = Vestibule::start(&dir, &settings);
    let mut client = connect(&vestibule);
    for round in 0..200 {
        let paths: Vec<(u32, String)> = (0..50)
            .map(|number| {
                let path = format!("/{round}/{number}");
                (client.request("GET", &path, &[], true), path)
            })
            .collect();
        for (stream, path) in paths {
            assert_eq!(client.answer(stream).text(), path);
            client.forget(stream);
        }
    }
    assert!(client.goaways.is_empty());
}

#[test]
fn requests_are_held_while_the_application_restarts() {
    let dir = Dir::new();
    let first = Fake::echoing(&dir.socket());
    let vestibule = Vestibule::start(&dir, &with_http2(&dir, ""));
    let mut client = connect(&vestibule);
    assert_eq!(client.get("/before").text(), "/before");
    first.leave();
    let streams: Vec<u32> = (0..50).map(|_| client.request("GET", "/held", &[], true)).collect();
    client.listen(std::time::Duration::from_millis(500));
    assert!(streams.iter().all(|stream| client.seen(*stream).heads.is_empty()), "none is answered");
    let _second = Fake::echoing(&dir.socket());
    for stream in streams {
        assert_eq!(client.answer(stream).text(), "/held");
    }
}
