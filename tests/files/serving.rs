//! What a client gets, whatever it speaks.

use std::fs;

use super::{config, files, pattern, public};
use crate::support::client::{Client, get};
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::h2::H2;
use crate::support::vestibule::Vestibule;

fn asked(
    client: &mut Client<std::net::TcpStream>,
    line: &str,
    fields: &str,
) -> crate::support::client::Response {
    client.send(format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).expect("sent");
    let answer = if line.starts_with("HEAD") { client.head_response() } else { client.response() };
    answer.expect("an answer")
}

#[test]
fn answers_with_the_file_and_what_belongs_to_it() {
    let dir = Dir::new();
    let root = public(&dir);
    let vestibule = Vestibule::start(&dir, &config(&dir, &files(&root), ""));
    let mut client = Client::connect(vestibule.address()).expect("connected");
    for round in 0..2 {
        let answer = asked(&mut client, "GET /assets/app.css", "");
        assert_eq!((answer.status, answer.text().as_str()), (200, "body { color: red }"), "round {round}");
        assert_eq!(answer.field("content-type"), Some("text/css; charset=utf-8"));
        assert_eq!(answer.field("content-length"), Some("19"));
        assert_eq!(answer.field("accept-ranges"), Some("bytes"));
        assert!(answer.field("date").is_some() && answer.field("last-modified").is_some());
        let tag = answer.field("etag").expect("a tag").to_owned();
        let head = asked(&mut client, "HEAD /assets/app.css", "");
        assert_eq!((head.status, head.field("content-length"), head.body.len()), (200, Some("19"), 0));
        let same = asked(&mut client, "GET /assets/app.css", &format!("If-None-Match: {tag}\r\n"));
        assert_eq!((same.status, same.body.len(), same.field("content-length")), (304, 0, None));
        assert_eq!(same.field("etag"), Some(tag.as_str()));
        let part = asked(&mut client, "GET /assets/app.css", "Range: bytes=0-3\r\n");
        assert_eq!((part.status, part.text().as_str()), (206, "body"));
        assert_eq!(part.field("content-range"), Some("bytes 0-3/19"));
        let none = asked(&mut client, "GET /assets/app.css", "Range: bytes=19-\r\n");
        assert_eq!((none.status, none.field("content-range")), (416, Some("bytes */19")));
        let other = asked(&mut client, "GET /assets/app.css", "If-Match: \"other\"\r\n");
        assert_eq!(other.status, 412);
        assert_eq!(asked(&mut client, "GET /", "").text(), "<h1>home</h1>");
        let slash = asked(&mut client, "GET /docs?a=1", "");
        assert_eq!((slash.status, slash.field("location")), (308, Some("/docs/?a=1")));
        assert_eq!(asked(&mut client, "GET /none", "").status, 404);
        let post = asked(&mut client, "DELETE /assets/app.css", "");
        assert_eq!((post.status, post.field("allow")), (405, Some("GET, HEAD")));
    }
    let line = vestibule.access_line("the part's line", |line| line["status"] == 206);
    assert_eq!((&line["bytes"], &line["outcome"]), (&4.into(), &"answered".into()));
    assert!(line["upstream"].is_null());
}

#[test]
fn answers_the_same_over_http2() {
    let dir = Dir::new();
    let root = public(&dir);
    let long = pattern(700_000);
    fs::write(root.join("long.bin"), &long).expect("written");
    let vestibule = Vestibule::start(&dir, &config(&dir, &files(&root), ""));
    let mut client = H2::connect(vestibule.address());
    let answer = client.get("/assets/app.css");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "body { color: red }"));
    assert_eq!(answer.field("content-type"), Some("text/css; charset=utf-8"));
    assert_eq!(answer.field("content-length"), Some("19"));
    let answer = client.get("/long.bin");
    assert!(answer.has_ended && answer.body == long);
    let stream = client.request("GET", "/long.bin", &[("range", "bytes=100-199,-50")], true);
    let answer = client.answer(stream);
    assert_eq!(answer.status(), 206);
    assert_eq!(answer.field("content-length"), Some(answer.body.len().to_string().as_str()));
    assert!(answer.body.windows(100).any(|bytes| bytes == &long[100..200]));
    let stream = client.request("HEAD", "/long.bin", &[], true);
    let answer = client.answer(stream);
    assert_eq!(
        (answer.status(), answer.body.len(), answer.field("content-length")),
        (200, 0, Some("700000"))
    );
    assert_eq!(client.get("/../secret.txt").status(), 404);
}

#[test]
fn the_application_answers_where_there_is_no_file() {
    let dir = Dir::new();
    let root = public(&dir);
    let _origin = Fake::echoing(&dir.socket());
    let route = format!("{}\nupstream = \"app\"\ntry = [\"files\", \"upstream\"]", files(&root));
    let vestibule = Vestibule::start(&dir, &config(&dir, &route, ""));
    let address = vestibule.address();
    assert_eq!(get(address, "/assets/app.css").text(), "body { color: red }");
    for path in ["/users/1", "/.env", "/assets/none.css", "/a%2fb", "/100%25", "/assets", "/docs/../x"] {
        let answer = get(address, path);
        assert_eq!((answer.status, answer.text().as_str()), (200, path));
    }
    let mut client = Client::connect(address).expect("connected");
    let answer = client.post("/assets/app.css", b"x").expect("an answer");
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "/assets/app.css"),
        "only GET and HEAD are for files"
    );
}

#[test]
fn a_request_with_a_body_does_not_shift_the_next_one() {
    let dir = Dir::new();
    let root = public(&dir);
    let vestibule = Vestibule::start(&dir, &config(&dir, &files(&root), ""));
    let mut client = Client::connect(vestibule.address()).expect("connected");
    let hidden = "GET /docs/ HTTP/1.1\r\nHost: b\r\n\r\n";
    let first = format!(
        "GET /assets/app.css HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{hidden}",
        hidden.len()
    );
    client.send(format!("{first}GET / HTTP/1.1\r\nHost: a\r\n\r\n")).expect("sent");
    assert_eq!(client.response().expect("an answer").text(), "body { color: red }");
    assert_eq!(client.response().expect("an answer").text(), "<h1>home</h1>");
}

#[test]
fn many_requests_ahead_are_answered_in_their_order() {
    let dir = Dir::new();
    let root = public(&dir);
    for index in 0..50 {
        // Some in memory, some joined with their head, some neither.
        fs::write(root.join(format!("{index}")), pattern(index * 9000)).expect("written");
    }
    let vestibule = Vestibule::start(&dir, &config(&dir, &files(&root), ""));
    let mut client = Client::connect(vestibule.address()).expect("connected");
    let all: String = (0..50).map(|index| format!("GET /{index} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(all).expect("sent");
    for index in 0..50 {
        let answer = client.response().expect("an answer");
        assert!(answer.status == 200 && answer.body == pattern(index * 9000), "{index}");
    }
}
