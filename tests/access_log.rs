//! The access log: one line per request, with what an operator asks after an incident.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::hold::unread;
use crate::support::client::{Client, get, post};
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::process::Signal;
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::{seconds, until, until_true};

/// A configuration with a `[log]`.
fn logging(dir: &Dir, log: &str) -> String {
    format!("{}\n[log]\n{log}\n", config(dir, ""))
}

#[test]
fn writes_a_json_line_per_request() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let mut client = Client::connect(vestibule.address()).expect("a connection");
    let request = "GET /path?q=1 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: \"quoted\" agent\r\nReferer: http://r.example/\r\n\r\n";
    client.send(request).expect("sent");
    let answer = client.response().expect("an answer");
    let line = vestibule.access_line("the request's line", |line| line["path"] == "/path?q=1");
    assert_eq!(line["method"], "GET", "{line}");
    assert_eq!(line["protocol"], "HTTP/1.1", "{line}");
    assert_eq!(line["host"], "shop.example", "{line}");
    assert_eq!(line["status"], 200, "{line}");
    assert_eq!(line["client"], "127.0.0.1", "{line}");
    assert_eq!(line["upstream"], "app", "{line}");
    assert_eq!(line["bytes"], answer.body.len(), "{line}");
    assert_eq!(line["attempts"], 1, "{line}");
    assert_eq!(line["user_agent"], "\"quoted\" agent", "{line}");
    assert_eq!(line["referer"], "http://r.example/", "{line}");
    assert_eq!(line["id"], *origin.requests()[0].field("x-request-id").expect("an id"), "{line}");
    assert_eq!(line["outcome"], "answered", "{line}");
    assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
    for name in ["duration_ms", "held_ms", "first_byte_ms"] {
        assert!(line[name].as_f64().is_some_and(|value| (0.0..20_000.0).contains(&value)), "{name}: {line}");
    }
    assert!(line["generation"].is_u64(), "{line}");
}

#[test]
fn tells_how_long_a_request_was_held() {
    let dir = Dir::new();
    let vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let mut client = Client::connect(vestibule.address()).expect("a connection");
    client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    until_true("the request is read", seconds(30), || unread(&vestibule) == 0);
    std::thread::sleep(Duration::from_millis(400));
    let _origin = Fake::echoing(&dir.socket());
    assert_eq!(client.response().expect("an answer").status, 200);
    let line = vestibule.access_line("the held request", |line| line["path"] == "/held");
    assert!(line["held_ms"].as_f64().is_some_and(|held| (300.0..20_000.0).contains(&held)), "{line}");
}

#[test]
fn counts_the_attempts_of_a_replayed_request() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        if conversation.wait_for_bytes() == Some(0) {
            return; // and close with them unread
        }
        while let Some(request) = conversation.request() {
            conversation.answer(request.target());
        }
    });
    let vestibule = Vestibule::start(&dir, &config(&dir, "server = \"puma\""));
    assert_eq!(post(vestibule.address(), "/again", b"x").status, 200);
    let line = vestibule.access_line("the replayed request", |line| line["path"] == "/again");
    assert_eq!(line["attempts"], 2, "{line}");
}

#[test]
fn tells_generations_apart() {
    let dir = Dir::new();
    let vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let generation = |path: &str| {
        assert_eq!(get(vestibule.address(), path).status, 200);
        vestibule.access_line(path, |line| line["path"] == path)["generation"].as_u64().expect("a number")
    };
    let origin = Fake::echoing(&dir.socket());
    let first = generation("/first");
    origin.leave();
    let _origin = Fake::echoing(&dir.socket());
    // The request that comes first may be quicker than the news of the new socket.
    until_true("a new generation in the log", seconds(30), || {
        generation(&format!("/second-{}", fastrand::u64(..))) > first
    });
}

#[test]
fn logs_a_client_that_left_with_499() {
    let dir = Dir::new();
    let origin = Fake::start(&dir.socket(), |conversation| {
        if conversation.request().is_some() {
            conversation.wait_for_close(); // that the client left cancels the request to the application
        }
    });
    let vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let mut client = Client::connect(vestibule.address()).expect("a connection");
    client.send("GET /left HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    origin.wait_for_requests(1);
    drop(client);
    let line = vestibule.access_line("the client that left", |line| line["path"] == "/left");
    assert_eq!(
        (&line["status"], &line["outcome"]),
        (&Value::from(499), &Value::from("client_left")),
        "{line}"
    );
}

#[test]
fn writes_the_combined_format() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let file = dir.join("access.log");
    let log = format!("access = \"combined\"\noutput = \"{}\"", file.display());
    let vestibule = Vestibule::start(&dir, &logging(&dir, &log));
    let mut client = Client::connect(vestibule.address()).expect("a connection");
    let request = "GET /a?b HTTP/1.1\r\nHost: a\r\nUser-Agent: agent \"x\"\\\r\nReferer: http://r/\r\n\r\n";
    client.send(request).expect("sent");
    assert_eq!(client.response().expect("an answer").status, 200);
    let line = until("a line", seconds(30), || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        text.ends_with('\n').then_some(text)
    });
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    let end = "] \"GET /a?b HTTP/1.1\" 200 4 \"http://r/\" \"agent \\x22x\\x22\\x5C\"\n";
    let other = "] \"GET /a?b HTTP/1.1\" 200 4 \"http://r/\" \"agent \\\"x\\\"\\\\\"\n";
    assert!(line.ends_with(end) || line.ends_with(other), "{line}");
}

#[test]
fn opens_its_file_anew_on_sigusr1() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let (file, rotated) = (dir.join("access.log"), dir.join("access.log.1"));
    let log = format!("access = \"json\"\noutput = \"{}\"", file.display());
    let vestibule = Vestibule::start(&dir, &logging(&dir, &log));
    let paths = |from: &std::path::Path| -> Vec<String> {
        let text = fs::read_to_string(from).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter_map(|line| line["path"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(get(vestibule.address(), "/one").status, 200);
    until_true("the first line", seconds(30), || paths(&file) == ["/one"]);
    fs::rename(&file, &rotated).expect("the log is rotated");
    vestibule.signal(Signal::USR1);
    until_true("a new file", seconds(30), || file.exists());
    assert_eq!(get(vestibule.address(), "/two").status, 200);
    until_true("the second line in the new file", seconds(30), || paths(&file) == ["/two"]);
    assert_eq!(paths(&rotated), ["/one"]);
}

#[test]
fn writes_nothing_when_told_so() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let mut vestibule = Vestibule::start(&dir, &logging(&dir, "access = \"off\""));
    assert_eq!(get(vestibule.address(), "/").status, 200);
    vestibule.signal(Signal::TERM);
    assert_eq!(vestibule.exit(seconds(30)).code(), Some(0));
    assert!(vestibule.access_log().is_empty());
}

#[test]
fn loses_no_line_when_it_is_stopped() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let mut vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let mut client = Client::connect(vestibule.address()).expect("a connection");
    for index in 0..500 {
        assert_eq!(client.get(&format!("/{index}")).expect("an answer").status, 200);
    }
    vestibule.signal(Signal::TERM);
    assert_eq!(vestibule.exit(seconds(30)).code(), Some(0));
    until_true("500 lines", seconds(30), || vestibule.access_log().len() == 500);
}

#[test]
fn logs_what_was_refused_at_its_head() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let mut client = Client::connect(vestibule.address()).expect("a connection");
    client.send("NONSENSE\r\n\r\n").expect("sent");
    assert_eq!(client.response().expect("an answer").status, 400);
    let line = vestibule.access_line("the refused request", |line| line["status"] == 400);
    assert_eq!((&line["outcome"], &line["client"]), (&"refused".into(), &"127.0.0.1".into()), "{line}");
}
