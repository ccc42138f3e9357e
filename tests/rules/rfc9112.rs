//! RFC 9112: how messages are read, written, and end.

use std::io::Write;
use std::net::Shutdown;

use super::{answering, ask, ask_on, echoing, get, passed};
use crate::support::canonical::Chunks;
use crate::support::origin::{Act, Seen};
use crate::support::stand::{LARGEST_BODY, STREAMING, Stand, line, post, post_with, send};

/// Asserts that each of these is refused with this status and closes the connection, and that the application gets
/// nothing of it.
fn refuses(status: u16, inputs: impl IntoIterator<Item = impl AsRef<[u8]>>) {
    let stand = echoing();
    for input in inputs {
        let input = input.as_ref();
        let mut client = stand.connect();
        let answer = ask_on(&mut client, input);
        let shown = String::from_utf8_lossy(&input[..input.len().min(200)]).into_owned();
        assert_eq!((answer.status, answer.closes()), (status, true), "{shown:?}");
        assert!(client.is_closed(), "{shown:?}");
    }
    assert_eq!(stand.targets(0), Vec::<String>::new());
}

/// Asserts that each of these answers of the application becomes a 502.
fn fails(answers: impl IntoIterator<Item = impl Into<Vec<u8>>>) {
    for answer in answers {
        let answer = answer.into();
        let shown = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(ask(&answering(answer), get("")).status, 502, "{shown:?}");
    }
}

#[test]
fn c17_no_bare_cr_and_no_white_space_before_the_first_field() {
    refuses(
        400,
        [
            "GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\rHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\tX: y\r\nHost: a\r\n\r\n",
        ],
    );
}

#[test]
fn c18_each_side_is_spoken_to_in_our_own_version() {
    // The canonical reader takes nothing but 1.1.
    let stand = answering("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
    passed(&stand, "GET /x HTTP/1.0\r\nHost: a\r\n\r\n");
    for bytes in [get(""), get("").replace("HTTP/1.1", "HTTP/1.0")] {
        let answer = ask(&stand, bytes);
        assert!(answer.head.starts_with("HTTP/1.1 200 "), "{}", answer.head);
        assert_eq!(answer.text(), "ok");
    }
    let own = ask(&stand, "GET  / HTTP/1.0\r\n\r\n");
    assert!(own.head.starts_with("HTTP/1.1 400 "), "{}", own.head);
}

#[test]
fn c19_a_target_that_is_too_long_is_414() {
    refuses(414, [line(format!("GET /{} HTTP/1.1", "x".repeat(100_000)))]);
    let stand = echoing();
    let long = format!("/{}", "x".repeat(8000)); // what every server must take (RFC 9112 3)
    assert_eq!(passed(&stand, line(format!("GET {long} HTTP/1.1"))).target, long);
}

#[test]
fn c20_host_is_there_once_and_valid() {
    refuses(
        400,
        [
            "",
            "Host: a\r\nHost: a\r\n",
            "Host: a\r\nHost: b\r\n",
            "Host:\r\n",
            "Host: a b\r\n",
            "Host: a/b\r\n",
            "Host: u@a\r\n",
        ]
        .map(|lines| format!("GET / HTTP/1.1\r\n{lines}\r\n")),
    );
}

#[test]
fn c21_an_absolute_target_beats_host() {
    let stand = echoing();
    let request = passed(&stand, "GET http://b.example:81/p?q HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((request.target.as_str(), request.field("host")), ("/p?q", Some("b.example:81")));
    // Routes go by it too.
    let routed = Stand::with("[[route]]\nhost = \"known\"\nupstream = \"app\"\n", Chunks::Refused, |_| None);
    assert_eq!(ask(&routed, "GET http://known/ HTTP/1.1\r\nHost: other\r\n\r\n").status, 200);
    assert_eq!(ask(&routed, "GET http://other/ HTTP/1.1\r\nHost: known\r\n\r\n").status, 404);
}

#[test]
fn c22_white_space_before_a_colon() {
    refuses(400, ["X : y\r\n", "X\t: y\r\n", "Content-Length : 0\r\n"].map(post));
    let stand = answering("HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 0\r\n\r\n");
    let answer = ask(&stand, get(""));
    assert!(answer.status == 502 || answer.field("x") == Some("y"), "{}", answer.head);
    assert!(!answer.head.contains("X :"), "{}", answer.head);
}

#[test]
fn c23_folded_lines() {
    refuses(400, ["X: y\r\n z\r\n", "X: y\r\n\tz\r\n", "X:\r\n y\r\n"].map(post));
    let stand = answering("HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 0\r\n\r\n");
    let answer = ask(&stand, get(""));
    assert!(answer.status == 502 || answer.field("x") == Some("y z"), "{}", answer.head);
}

#[test]
fn c24_transfer_encoding_that_is_an_attack_or_not_known() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    refuses(
        400,
        [
            post_with(format!("{chunked}Content-Length: 5\r\n"), "0\r\n\r\n"),
            post_with(format!("Content-Length: 5\r\n{chunked}"), "0\r\n\r\n"),
            format!("POST / HTTP/1.0\r\nHost: a\r\n{chunked}\r\n0\r\n\r\n").into_bytes(),
        ],
    );
    refuses(
        501,
        ["gzip", "xchunked", "identity"].map(|coding| post(format!("Transfer-Encoding: {coding}\r\n"))),
    );
}

#[test]
fn c25_framing_that_cannot_be_trusted() {
    let stand = echoing();
    for lines in [
        "Transfer-Encoding: chunked, gzip\r\n",
        "Content-Length: 5x\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
    ] {
        let mut client = stand.connect();
        let answer = ask_on(&mut client, post_with(lines, "hello"));
        // An unknown coding is 501 as well (RFC 9112 6.1).
        assert!([400, 501].contains(&answer.status) && answer.closes(), "{lines:?}: {}", answer.head);
        assert!(client.is_closed(), "{lines:?}");
    }
    assert_eq!(stand.targets(0), Vec::<String>::new());
    for lines in [
        "Transfer-Encoding: chunked, gzip\r\n",
        "Content-Length: 5x\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
    ] {
        let stand = answering(format!("HTTP/1.1 200 OK\r\n{lines}\r\nhello"));
        assert_eq!(ask(&stand, get("")).status, 502, "{lines:?}");
        stand.origin.wait_for("the application's connection is closed", |record| record.wires[0].has_ended);
    }
}

#[test]
fn c26_chunk_sizes_do_not_overflow_and_extensions_are_dropped() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    refuses(
        400,
        [
            "10000000000000005\r\nhello\r\n0\r\n\r\n".to_owned(),
            format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(9000)),
        ]
        .map(|body| post_with(chunked, body)),
    );
    let request = passed(&echoing(), post_with(chunked, "5;a=\"b\";c\r\nhello\r\n0;d\r\n\r\n"));
    assert_eq!((request.body.as_slice(), request.field("content-length")), (&b"hello"[..], Some("5")));
}

#[test]
fn c27_an_incomplete_message_is_never_passed_on_as_complete() {
    let stand = echoing();
    for bytes in [
        post_with("Content-Length: 10\r\n", "hello"),
        post_with("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"),
        b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec(),
    ] {
        stand
            .breaks_off(&bytes)
            .unwrap_or_else(|fault| panic!("{:?}: {fault}", String::from_utf8_lossy(&bytes)));
    }
    for head in ["Content-Length: 200000\r\n", "Transfer-Encoding: chunked\r\n"] {
        let begin = format!("HTTP/1.1 200 OK\r\n{head}\r\n1\r\nx\r\n");
        let stand = Stand::with("", Chunks::Refused, move |seen| match seen {
            Seen::Whole(request) if request.target == "/x" => {
                Some(vec![Act::Write(begin.clone().into_bytes()), Act::Close])
            }
            _ => None,
        });
        let mut client = stand.connect();
        send(&mut client, get(""));
        match client.response() {
            Ok(answer) => assert_eq!(answer.status, 502, "{head:?} passed for whole"),
            Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{head:?}: left waiting"),
        }
    }
}

#[test]
fn c28_a_body_is_read_or_the_connection_closed_and_answers_come_in_order() {
    let stand =
        Stand::with("[[route]]\nhost = \"a\"\nupstream = \"app\"\n", Chunks::Refused, |seen| match seen {
            Seen::Whole(request) if request.target == "/slow" => Some(vec![
                Act::Pause(std::time::Duration::from_millis(50)),
                crate::support::origin::echo(request),
            ]),
            _ => None,
        });
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = stand.connect();
    send(
        &mut client,
        format!("POST / HTTP/1.1\r\nHost: unknown\r\nContent-Length: {}\r\n\r\n", hidden.len()),
    );
    let answer = client.response().expect("an answer");
    assert_eq!(answer.status, 404);
    send(&mut client, hidden);
    assert!(answer.closes() && client.is_closed(), "the body was not read: {}", answer.head);

    let mut client = stand.connect();
    let paths = ["/slow", "/1", "/2", "/slow", "/4"];
    send(&mut client, paths.map(|path| line(format!("GET {path} HTTP/1.1"))).concat());
    for path in paths {
        assert_eq!(client.response().expect("an answer").text(), format!("GET {path}"));
    }
    assert!(!stand.targets(0).contains(&"/hidden".to_owned()));
}

#[test]
fn c29_close_is_honoured_and_the_last_answer_is_read() {
    let stand = answering("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    for bytes in [
        get("Connection: close\r\n"),
        get("Connection: keep-alive, Close\r\n"),
        "GET /x HTTP/1.0\r\nHost: a\r\n\r\n".to_owned(),
    ] {
        let mut client = stand.connect();
        let answer = ask_on(&mut client, &bytes);
        assert!(answer.closes() && client.is_closed(), "{bytes:?}: {}", answer.head);
    }
    // The application's close is of its own hop.
    let mut client = stand.connect();
    for _ in 0..3 {
        assert!(!ask_on(&mut client, get("")).closes());
    }
    for request in stand.origin.requests() {
        stand.origin.wait_for("we close too", |record| record.wires[request.connection].has_ended);
    }
    let connections: Vec<usize> = stand.origin.requests().iter().map(|request| request.connection).collect();
    assert!(connections.windows(2).all(|pair| pair[0] != pair[1]), "{connections:?}");
    let old = "GET /y HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    let mut client = stand.connect();
    for _ in 0..3 {
        assert_eq!(ask_on(&mut client, old).field("connection"), Some("keep-alive"));
    }
    // Refused at its head, a client that sends all the same still reads why: no reset takes the answer away.
    let small = Stand::new();
    for _ in 0..5 {
        let client = small.connect();
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", LARGEST_BODY + 1);
        client.stream().write_all(head.as_bytes()).expect("sent");
        let _ = client.stream().write_all(&vec![b'x'; 900_000]);
        let _ = client.stream().shutdown(Shutdown::Write);
        let mut client = client;
        assert_eq!(client.response().expect("the answer is there").status, 413);
    }
}

#[test]
fn c30_nobody_splits_an_answer() {
    fails([
        "HTTP/1.1 200 OK\r\nLocation: /\rSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nLocation: /\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nLocation: /\0Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: \n\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ]);
    // What we write ourselves has nothing of the client's in it that could.
    let stand = Stand::with("[[route]]\nhost = \"known\"\nupstream = \"app\"\n", Chunks::Refused, |_| None);
    let answer = ask(
        &stand,
        "GET /%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: unknown\r\nX-Request-Id: x%0d%0aSet-Cookie:a=b\r\nAccept: text/html\r\n\r\n",
    );
    assert_eq!(answer.status, 404);
    assert!(answer.field("set-cookie").is_none() && !answer.text().contains("a=b"), "{}", answer.head);
}

#[test]
fn full_duplex_an_answer_may_begin_before_the_body_ends() {
    let stand = Stand::with(STREAMING, Chunks::Allowed, |seen| match seen {
        Seen::Head(request) if request.target == "/duplex" => Some(vec![Act::Write(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n".to_vec(),
        )]),
        _ => None,
    });
    let mut client = stand.connect();
    send(&mut client, "POST /duplex HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    assert_eq!(client.response_head().expect("a head").status, 200);
    client.through(b"begin\r\n").expect("the beginning of the answer");
    // The body goes on while the answer is open.
    for part in ["two", "six", "ten"] {
        send(&mut client, format!("3\r\n{part}\r\n"));
        stand.origin.wait_for("the part arrives", |record| {
            record.wires.iter().any(|wire| wire.bytes.windows(3).any(|bytes| bytes == part.as_bytes()))
        });
    }
}
