//! Files that an application has us send: its head, our bytes, and never one that it may not hand over.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::{SECRET, config, pattern, public};
use crate::support::client::{Client, Response, get};
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::h2::H2;
use crate::support::vestibule::Vestibule;
use crate::support::wait::{seconds, until_true};

/// An application that answers with the fields that the query's place in `answers` has.
fn handing(dir: &Dir, answers: Vec<String>) -> Fake {
    Fake::start(&dir.socket(), move |conversation| {
        while let Some(request) = conversation.request() {
            let index: usize = request.target().trim_start_matches('/').parse().unwrap_or(0);
            let _ = conversation.write(format!("HTTP/1.1 {}\r\n\r\n", answers[index]));
        }
    })
}

fn private(dir: &Dir) -> PathBuf {
    let private = dir.join("private");
    fs::create_dir_all(private.join("sub")).expect("a directory");
    fs::write(private.join("paper one.pdf"), "%PDF paper").expect("written");
    fs::write(private.join("film.mp4"), pattern(3_000_000)).expect("written");
    private
}

fn asked(vestibule: &Vestibule, path: &str, fields: &str) -> Response {
    let mut client = Client::connect(vestibule.address()).expect("connected");
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).expect("sent");
    client.response().expect("an answer")
}

#[test]
fn the_head_is_the_applications_and_the_bytes_are_the_files() {
    let dir = Dir::new();
    let private = private(&dir);
    let said = "Content-Type: application/x-paper\r\nContent-Disposition: attachment; filename=\"a.pdf\"\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nCache-Control: private\r\nX-Runtime: 0.1\r\nETag: \"of-the-application\"\r\nContent-Length: 0";
    let origin = handing(
        &dir,
        vec![
            format!("200 OK\r\n{said}\r\nX-Sendfile: {}", private.join("paper one.pdf").display()),
            format!("200 OK\r\n{said}\r\nX-Accel-Redirect: /protected/paper%20one.pdf?token=1"),
            "200 OK\r\nContent-Length: 0\r\nX-Accel-Redirect: /protected/film.mp4".to_owned(),
            "404 Not Found\r\nContent-Length: 0\r\nX-Accel-Redirect: /protected/paper%20one.pdf".to_owned(),
            "200 OK\r\nContent-Length: 4\r\nX-Accel-Redirect: /protected/film.mp4\r\n\r\nbody".to_owned(),
            "200 OK\r\nTransfer-Encoding: chunked\r\nX-Accel-Redirect: /protected/film.mp4\r\n\r\n4\r\nbody\r\n0".to_owned(),
        ],
    );
    let route = format!("upstream = \"app\"\nsendfile = {{ \"/protected/\" = {private:?} }}");
    let vestibule = Vestibule::start(&dir, &config(&dir, &route, ""));
    for path in ["/0", "/1"] {
        let answer = asked(&vestibule, path, "X-Sendfile-Type: X-Lighttpd\r\nX-Accel-Mapping: /=/\r\n");
        assert_eq!((answer.status, answer.text().as_str()), (200, "%PDF paper"), "{path}");
        assert_eq!(answer.field("content-type"), Some("application/x-paper"));
        assert_eq!(answer.field("content-disposition"), Some("attachment; filename=\"a.pdf\""));
        assert_eq!(answer.all("set-cookie"), ["a=1", "b=2"]);
        assert_eq!(
            (answer.field("cache-control"), answer.field("x-runtime")),
            (Some("private"), Some("0.1"))
        );
        assert_eq!(answer.field("content-length"), Some("10"));
        assert_eq!(answer.field("accept-ranges"), Some("bytes"));
        assert!(answer.field("x-sendfile").is_none() && answer.field("x-accel-redirect").is_none());
        let tag = answer.field("etag").expect("a tag");
        assert_ne!(tag, "\"of-the-application\"");
        let again = asked(&vestibule, path, &format!("If-None-Match: {tag}\r\n"));
        assert_eq!((again.status, again.body.len()), (304, 0));
        let part = asked(&vestibule, path, "Range: bytes=1-3\r\n");
        assert_eq!((part.status, part.text().as_str()), (206, "PDF"));
        assert_eq!(part.field("content-type"), Some("application/x-paper"));
    }
    let film = pattern(3_000_000);
    for path in ["/2", "/4", "/5"] {
        let answer = asked(&vestibule, path, "");
        assert!(answer.status == 200 && answer.body == film, "{path}: {}", answer.head);
        assert_eq!(
            answer.field("content-type"),
            Some("video/mp4"),
            "by its name, where the application says nothing"
        );
    }
    let answer = H2::connect(vestibule.address()).get("/2");
    assert!(answer.status() == 200 && answer.body == film);
    let answer = asked(&vestibule, "/3", "Range: bytes=1-3\r\n");
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (404, "%PDF paper"),
        "its status, and then all of it"
    );

    let request = &origin.requests()[0];
    assert_eq!(request.field("x-sendfile-type"), Some("X-Sendfile"), "ours, whatever the client says");
    assert_eq!(
        request.field("x-accel-mapping"),
        Some(format!("{}/=/protected/", private.display()).as_str())
    );
}

#[test]
fn what_it_may_not_hand_over_is_not_sent() {
    let dir = Dir::new();
    let private = private(&dir);
    public(&dir);
    symlink("../secret.txt", private.join("out")).expect("a link");
    let secret = dir.join("secret.txt");
    let names = [
        ("X-Accel-Redirect", "/elsewhere/a".to_owned(), 500),
        ("X-Accel-Redirect", "/protected/../secret.txt".to_owned(), 404),
        ("X-Accel-Redirect", "/protected/%2e%2e/secret.txt".to_owned(), 404),
        ("X-Accel-Redirect", "/protected/..%2fsecret.txt".to_owned(), 500),
        ("X-Accel-Redirect", "/protected/none".to_owned(), 404),
        ("X-Accel-Redirect", "/protected/sub".to_owned(), 404),
        ("X-Accel-Redirect", "/protected/".to_owned(), 404),
        ("X-Accel-Redirect", "/protected/out".to_owned(), 404),
        ("X-Accel-Redirect", secret.display().to_string(), 500),
        ("X-Sendfile", secret.display().to_string(), 500),
        ("X-Sendfile", "/etc/passwd".to_owned(), 500),
        ("X-Sendfile", format!("{}/../secret.txt", private.display()), 404),
        ("X-Sendfile", format!("{}/out", private.display()), 404),
        ("X-Sendfile", "secret.txt".to_owned(), 500),
    ];
    let answers = names
        .iter()
        .map(|(field, name, _)| format!("200 OK\r\nContent-Length: 0\r\n{field}: {name}"))
        .collect();
    let _origin = handing(&dir, answers);
    let route = format!("upstream = \"app\"\nsendfile = {{ \"/protected/\" = {private:?} }}");
    let vestibule = Vestibule::start(&dir, &config(&dir, &route, ""));
    for (index, (field, name, status)) in names.iter().enumerate() {
        let answer = get(vestibule.address(), &format!("/{index}"));
        assert_eq!(answer.status, *status, "{field}: {name}");
        let text = answer.text();
        assert!(!text.contains(SECRET) && !text.contains("root:x:"), "{field}: {name}: {text}");
    }
    until_true("each is in the log", seconds(20), || {
        let events = vestibule.events();
        events.iter().filter(|event| event.to_string().contains("cannot be sent")).count() == names.len()
    });
}

#[test]
fn without_the_mapping_nothing_is_handed_over_or_asked_for() {
    let dir = Dir::new();
    let private = private(&dir);
    let file = private.join("paper one.pdf");
    let origin = handing(
        &dir,
        vec![format!("200 OK\r\nContent-Length: 4\r\nX-Sendfile: {}\r\n\r\nbody", file.display())],
    );
    let vestibule = Vestibule::start(&dir, &config(&dir, "upstream = \"app\"", ""));
    let answer = asked(&vestibule, "/0", "X-Sendfile-Type: X-Sendfile\r\n");
    assert_eq!((answer.text().as_str(), answer.field("x-sendfile")), ("body", None));
    assert_eq!(origin.requests()[0].field("x-sendfile-type"), None);
}

#[test]
fn the_application_is_free_again_before_the_file_is_sent() {
    let dir = Dir::new();
    let private = private(&dir);
    fs::write(private.join("film.mp4"), pattern(60_000_000)).expect("written");
    let _origin = handing(
        &dir,
        vec![
            "200 OK\r\nContent-Length: 0\r\nX-Accel-Redirect: /protected/film.mp4".to_owned(),
            "200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        ],
    );
    let route = format!("upstream = \"app\"\nsendfile = {{ \"/protected/\" = {private:?} }}");
    let text = config(&dir, &route, "")
        .replace("[upstream.app]\n", "[upstream.app]\nin_flight = 1\nhold = { timeout = \"2s\" }\n");
    let vestibule = Vestibule::start(&dir, &text);
    let mut slow: Vec<_> = (0..3)
        .map(|_| {
            let mut client = Client::connect(vestibule.address()).expect("connected");
            client.send("GET /0 HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
            assert_eq!(client.response_head().expect("a head").status, 200);
            client
        })
        .collect();
    assert_eq!(get(vestibule.address(), "/1").text(), "ok");
    assert!(
        slow.iter_mut().all(|client| client.exact(60_000_000).is_ok_and(|body| body == pattern(60_000_000)))
    );
}

#[test]
fn an_answer_without_a_body_gets_no_file_for_one() {
    let dir = Dir::new();
    let private = private(&dir);
    // What would pass for the next answer on the connection.
    let next = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Evil: 1\r\n\r\nEVIL!";
    fs::write(private.join("upload"), next).expect("written");
    let statuses = ["304 Not Modified", "204 No Content", "205 Reset Content\r\nContent-Length: 0"];
    let answers = statuses.iter().map(|status| format!("{status}\r\nX-Accel-Redirect: /protected/upload"));
    let _origin =
        handing(&dir, answers.chain(["200 OK\r\nContent-Length: 0\r\nX-Last: 1".to_owned()]).collect());
    let route = format!("upstream = \"app\"\nsendfile = {{ \"/protected/\" = {private:?} }}");
    let vestibule = Vestibule::start(&dir, &config(&dir, &route, ""));
    for (index, status) in statuses.iter().enumerate() {
        let mut client = Client::connect(vestibule.address()).expect("connected");
        for path in [index, statuses.len()] {
            client.send(format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n")).expect("sent");
        }
        let first = client.response().expect("an answer");
        assert!(status.starts_with(&first.status.to_string()), "{status}: {}", first.head);
        let second = client.response().expect("the next one");
        assert_eq!((second.status, second.field("x-last")), (200, Some("1")), "{status}");
    }
}

#[test]
fn each_visitor_gets_what_was_written_for_them() {
    let dir = Dir::new();
    let private = private(&dir);
    let written = private.join("export.csv");
    let _origin = Fake::start(&dir.socket(), move |conversation| {
        while let Some(request) = conversation.request() {
            fs::write(&written, request.target().repeat(100)).expect("written");
            let _ = conversation.write(
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Accel-Redirect: /protected/export.csv\r\n\r\n",
            );
        }
    });
    let route = format!("upstream = \"app\"\nsendfile = {{ \"/protected/\" = {private:?} }}");
    let vestibule = Vestibule::start(&dir, &config(&dir, &route, ""));
    for visitor in ["/ann", "/bob", "/cat", "/ann"] {
        assert_eq!(get(vestibule.address(), visitor).text(), visitor.repeat(100));
    }
}
