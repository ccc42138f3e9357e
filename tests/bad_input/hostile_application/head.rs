//! Heads of answers: status lines, fields, interim answers, changes of protocol.

use std::time::Instant;

use super::{May, POISON, all, check_origin, is_cut, meets, with_each, with_lines};
use crate::support::canonical::Chunks;
use crate::support::origin::{Act, Seen};
use crate::support::stand::{Stand, send};
use crate::support::wait::seconds;

#[test]
fn interim_answers_without_end() {
    for status in ["100 Continue", "102 Processing", "103 Early Hints", "199 X"] {
        let start = Instant::now();
        let interim = format!("HTTP/1.1 {status}\r\nLink: </x>\r\n\r\n").into_bytes();
        let acts = [Act::Repeat(interim)];
        let theirs = acts.to_vec();
        let stand =
            Stand::with("timeout = { response = \"1s\" }\n", Chunks::Refused, move |seen| match seen {
                Seen::Whole(request) if request.target == "/hostile" => Some(theirs.clone()),
                _ => None,
            });
        let mut client = stand.connect();
        send(&mut client, "POST /hostile HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        // Others have their turn all the while.
        for _ in 0..5 {
            stand.another().unwrap_or_else(|fault| panic!("{status}: {fault}"));
        }
        let last = loop {
            match client.response() {
                Ok(answer) if answer.status < 200 => {
                    assert!(
                        start.elapsed() < seconds(15),
                        "{status}: interim answers are passed on without end"
                    );
                }
                Ok(answer) => break Some(answer.status),
                Err(error) if is_cut(&error) => break None,
                Err(error) => panic!("{status}: {error}"),
            }
        };
        assert!(matches!(last, None | Some(502 | 504)), "{status} became {last:?}");
        stand.another().unwrap_or_else(|fault| panic!("{status}: {fault}"));
        check_origin(&stand, "POST", false).unwrap_or_else(|fault| panic!("{status}: {fault}"));
    }
}

#[test]
fn heads_that_are_too_large() {
    let value =
        format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 5\r\n\r\nhello", "x".repeat(1024 * 1024));
    let name = format!("HTTP/1.1 200 OK\r\n{}: x\r\nContent-Length: 5\r\n\r\nhello", "x".repeat(1024 * 1024));
    let reason = format!("HTTP/1.1 200 {}\r\nContent-Length: 5\r\n\r\nhello", "x".repeat(1024 * 1024));
    let fields: String = (0..10_000).map(|number| format!("X-{number}: y\r\n")).collect();
    let fields = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 5\r\n\r\nhello");
    let interim = format!("HTTP/1.1 103 Hints\r\nX: {}\r\n\r\n", "x".repeat(1024 * 1024));
    all([value, name, reason, fields, interim].iter().map(String::as_bytes), May::Fail);
    let endless = [Act::Write(b"HTTP/1.1 200 OK\r\n".to_vec()), Act::Repeat(b"X-Field: value\r\n".to_vec())];
    meets("POST", &endless, May::Fail).expect("fields without end");
    let endless = [Act::Write(b"HTTP/1.1 200 OK\r\nX: ".to_vec()), Act::Repeat(b"xxxxxxxxxxxxxxxx".to_vec())];
    meets("POST", &endless, May::Fail).expect("a value without end");
}

#[test]
fn a_change_of_protocol_that_nobody_asked_for() {
    let tail = format!("\r\n{POISON}");
    let answers: Vec<String> = [
        "HTTP/1.1 101 Switching Protocols\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nContent-Length: 5\r\n",
    ]
    .map(|head| format!("{head}{tail}"))
    .to_vec();
    all(answers.iter().map(String::as_bytes), May::Fail);
}

#[test]
fn bytes_that_would_split_an_answer() {
    let lines: [&[u8]; 12] = [
        b"X: a\rb\r\nContent-Length: 5\r\n",
        b"X: a\0b\r\nContent-Length: 5\r\n",
        b"X: a\x01b\r\nContent-Length: 5\r\n",
        b"X: a\nSet-Cookie: b\r\nContent-Length: 5\r\n",
        b"X: a\n\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\n",
        b"X\0: a\r\nContent-Length: 5\r\n",
        b"X\rY: a\r\nContent-Length: 5\r\n",
        b"NoColon\r\nContent-Length: 5\r\n",
        b": v\r\nContent-Length: 5\r\n",
        b" X: v\r\nContent-Length: 5\r\n",
        b"X(y): v\r\nContent-Length: 5\r\n",
    ];
    let answers: Vec<Vec<u8>> = lines.into_iter().map(with_lines).collect();
    all(answers.iter().map(Vec::as_slice), May::Fail);
    // These two may be mended on the way (RFC 9112 5.1, 5.2); what the client gets is well-formed.
    with_each(
        [
            "X : v\r\nContent-Length: 5\r\n",
            "X\t: v\r\nContent-Length: 5\r\n",
            "X: v\r\n w\r\nContent-Length: 5\r\n",
            "X: v\r\n\tContent-Length: 3\r\nContent-Length: 5\r\n",
        ],
        May::FailOrPass("hello"),
    );
    with_each(["Content-Length : 5\r\n", "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n"], May::Fail);
}

#[test]
fn status_lines_that_are_none() {
    let rest = "\r\nContent-Length: 5\r\n\r\nhello";
    let answers: Vec<String> = [
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 2OO OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 000 OK",
        "HTTP/1.1 -20 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1",
        "HTTP/2 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/0.9 200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        "200 OK",
        " HTTP/1.1 200 OK",
        "\r\nHTTP/1.1 200 OK",
        "HTTP/1.1 200 O\rK",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 OK\nX: y",
        "<html>",
    ]
    .map(|line| format!("{line}{rest}"))
    .to_vec();
    all(answers.iter().map(String::as_bytes), May::Fail);
}
