//! D: Content-Length.

use super::oracle::{Case, F, R, judge};
use crate::support::stand::{LARGEST_BODY, Stand, post, post_with};

const HELLO: &str = "hello";

#[test]
fn d27_lengths_that_are_no_number() {
    let lengths: [&[u8]; 25] = [
        b"+5",
        b"-1",
        b"-0",
        b"0x5",
        b"0o5",
        b"1_0",
        b"5.0",
        b"5e0",
        b"1 0",
        b"5;",
        b"\x0b5",
        b"",
        b"abc",
        b"\"\"",
        b"\"5\"",
        b"5 5",
        b"5\t5",
        b"5\x0c",
        b" ",
        b"\xa05",
        b"\xd9\xa5",
        b"5,",
        b",5",
        b"0b101",
        b"5\0",
    ];
    judge(
        lengths.map(|length| Case::new(post_with([b"Content-Length: ", length, b"\r\n"].concat(), HELLO), R)),
    );
}

#[test]
fn d28_lengths_that_differ() {
    judge(
        [
            "Content-Length: 5, 6\r\n",
            "Content-Length: 6, 5\r\n",
            "Content-Length: 5,6\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 6\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nX: y\r\ncontent-length: 0\r\n",
            "Content-Length:\r\nContent-Length: 59\r\n",
            "Content-Length: 59\r\nContent-Length:\r\n",
            "Content-Length: 5\r\nContent-Length: x\r\n",
        ]
        .map(|lines| Case::new(post_with(lines, HELLO), R)),
    );
}

#[test]
fn d29_one_length_said_in_other_ways() {
    judge(
        [
            "Content-Length: 5, 5\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\ncontent-length: 5\r\n",
            "Content-Length: 005\r\n",
            "Content-Length: 00000000000000000000000000000005\r\n",
            "Content-Length:5\r\n",
            "CONTENT-LENGTH: \t5\t \r\n",
        ]
        .map(|lines| {
            // The canonical reader takes one length without zeros before it.
            Case::new(post_with(lines, HELLO), &[200, 400])
                .with("it goes on as 5", |request| request.field("content-length") == Some("5"))
                .with("the body is whole", |request| request.body == b"hello")
        }),
    );
}

#[test]
fn d30_lengths_that_are_too_large() {
    let lengths = [
        "18446744073709551621".to_owned(), // 2^64 + 5
        "18446744073709551616".to_owned(), // 2^64
        "18446744073709551615".to_owned(), // 2^64 - 1
        "9223372036854775808".to_owned(),  // 2^63
        "4294967301".to_owned(),           // 2^32 + 5
        "9".repeat(400),
    ];
    judge(
        lengths
            .map(|length| Case::new(post_with(format!("Content-Length: {length}\r\n"), HELLO), &[400, 413])),
    );
    // Nothing of the body is there: what the head says is enough.
    let above = format!("Content-Length: {}\r\n", LARGEST_BODY + 1);
    judge([
        Case::new(post(&above), &[413]),
        Case::new(post(format!("{above}Expect: 100-continue\r\n")), &[413]),
    ]);
    let most = vec![b'x'; LARGEST_BODY as usize];
    judge([Case::new(post_with(format!("Content-Length: {LARGEST_BODY}\r\n"), &most), F)
        .with("the largest body passes", move |request| request.body == most)]);
}

#[test]
fn d31_a_body_that_ends_too_early_reaches_nobody() {
    let stand = Stand::new();
    for bytes in [
        post_with("Content-Length: 10\r\n", HELLO),
        post_with("Content-Length: 10\r\n", ""),
        post_with("Content-Length: 1\r\n", ""),
        post_with("Content-Length: 10\r\nExpect: 100-continue\r\n", "hello wor"),
        // What is there could be a request of its own.
        post_with("Content-Length: 100\r\n", "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"),
        post_with("Content-Length: 60000\r\n", "x".repeat(59_999)),
        post_with("Content-Length: 200000\r\n", "x".repeat(199_999)),
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nhello".to_vec(),
    ] {
        if let Err(fault) = stand.breaks_off(&bytes) {
            panic!("{:?}: {fault}", String::from_utf8_lossy(&bytes[..bytes.len().min(200)]));
        }
    }
}

#[test]
fn d32_a_body_where_the_method_needs_none() {
    for method in ["GET", "HEAD", "OPTIONS", "DELETE", "TRACE"] {
        judge(
            [
                ("Content-Length: 5\r\n", "hello"),
                ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
            ]
            .map(|(lines, body)| {
                let bytes = format!("{method} / HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}");
                // TRACE may carry none at all (RFC 9110 9.3.8), and nobody has to serve it.
                let statuses: &[u16] = if method == "TRACE" { &[200, 400, 405] } else { &[200, 400] };
                Case::new(bytes, statuses).with("body and length stay together", |request| {
                    request.body == b"hello" && request.field("content-length") == Some("5")
                })
            }),
        );
    }
    // Nobody needs the body of what we answer ourselves, and yet it is no request.
    judge([
        Case::new("OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", &[200, 204, 400]),
        Case::new(
            "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nContent-Length: 5\r\n\r\nhello",
            &[200, 204, 400],
        ),
        Case::new("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 5\r\n\r\nhello", &[400, 405, 501]),
    ]);
}
