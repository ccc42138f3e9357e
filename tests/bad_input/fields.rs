//! C: fields.

use super::oracle::{Case, F, R, judge};
use crate::support::stand::{post, post_with};

#[test]
fn c19_lines_that_are_no_field() {
    judge(
        [
            "X : v\r\n",
            "X\t: v\r\n",
            "X  : v\r\n",
            "X: v\r\n w\r\n",
            "X: v\r\n\tw\r\n",
            "X:\r\n v\r\n",
            "X: v\r\n \r\n",
            "X: v\r\n \r\nY: z\r\n",
            ": v\r\n",
            ":\r\n",
            "NoColon\r\n",
            "No Colon\r\n",
            "X\r\nY: z\r\n",
            "X v: w\r\n",
            "X;v\r\n",
        ]
        .map(|lines| Case::new(post(lines), R)),
    );
    judge(
        [" X: v\r\n", "\tX: v\r\n", " \r\n", " Host: b\r\n"]
            .map(|line| Case::new([b"GET / HTTP/1.1\r\n", line.as_bytes(), b"Host: a\r\n\r\n"].concat(), R)),
    );
}

#[test]
fn c20_names_with_bytes_that_no_name_may_hold() {
    let bytes: [&[u8]; 20] = [
        b"\0",
        b"\x85",
        b"\xa0",
        b"(",
        b"[",
        b"\"",
        b"\x80",
        b")",
        b"]",
        b"{",
        b"}",
        b"<",
        b"/",
        b"\\",
        b"@",
        b"=",
        b",",
        b"\x01",
        b"\x7f",
        b"\xc3\xa9",
    ];
    for (before, behind) in [("", ""), ("X", ""), ("", "X"), ("X", "Y")] {
        judge(bytes.map(|bytes| {
            Case::new(post([before.as_bytes(), bytes, behind.as_bytes(), b": v\r\n"].concat()), R)
        }));
    }
}

#[test]
fn c21_values_with_control_bytes() {
    let bad: [&[u8]; 13] = [
        b"\0", b"a\0b", b"\x01", b"a\x01b", b"\x7f", b"a\x7f", b"a\rb", b"a\nY: b", b"\x0b", b"a\x0c",
        b"\x1b[0m", b"a\r\r", b"\r",
    ];
    judge(bad.map(|value| Case::new(post([b"X: ", value, b"\r\n"].concat()), R)));
    let good: [&[u8]; 6] = [b"a\tb", b"\x80", b"\xff", b"caf\xc3\xa9", b"\xe9", b"a \t b\xa0"];
    judge(good.map(|value| {
        Case::new(post([b"X: ", value, b"\r\n"].concat()), F)
            .with("the value has its bytes", move |request| request.all("x") == [value])
    }));
}

#[test]
fn c22_heads_that_end_in_another_way() {
    judge(
        [
            "POST / HTTP/1.1\r\nHost: a\r\n\rZ",
            "POST / HTTP/1.1\r\nHost: a\r\n\r\r\n",
            "POST / HTTP/1.1\r\nHost: a\n\n",
            "POST / HTTP/1.1\r\nHost: a\r\n\n",
            "POST / HTTP/1.1\r\nHost: a\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\n \r\n\r\n",
        ]
        .map(|bytes| Case::new(bytes, R)),
    );
}

#[test]
fn c23_a_name_broken_by_a_line_end() {
    judge(
        [
            "Transfer-\r\nEncoding: chunked\r\n",
            "Transfer-\nEncoding: chunked\r\n",
            "Transfer-\rEncoding: chunked\r\n",
            "Transfer-\r\n Encoding: chunked\r\n",
            "Content-\r\nLength: 5\r\n",
            "Transfer-Encoding\r\n: chunked\r\n",
            "Transfer-Encoding\r\n : chunked\r\n",
        ]
        .map(|lines| Case::new(post_with(lines, "0\r\n\r\n"), R)),
    );
}

#[test]
fn c24_heads_that_are_too_large() {
    let long = "x".repeat(100_000);
    let many: String = (0..10_000).map(|number| format!("X-{number}: y\r\n")).collect();
    let short: String = (0..101).map(|number| format!("X-{number}: y\r\n")).collect();
    judge(
        [format!("X: {long}\r\n"), format!("{long}: v\r\n"), many, short]
            .map(|lines| Case::new(post(lines), &[431])),
    );
    // One field below the limit of a hundred (Host is one) passes.
    let most: String = (0..99).map(|number| format!("X-{number}: y\r\n")).collect();
    judge([Case::new(post(most), F).with("all came", |request| request.has("x-0") && request.has("x-98"))]);
}

#[test]
fn c25_names_with_underscores_are_dropped() {
    judge(
        [
            "Transfer_Encoding: chunked\r\n",
            "Content_Length: 5\r\n",
            "X_Forwarded_For: 192.0.2.1\r\n",
            "X-Forwarded_For: 192.0.2.1\r\n",
            "X_Forwarded-Proto: https\r\n",
            "_: v\r\n",
            "X_: v\r\n",
            "_X: v\r\n",
            "HTTP_HOST: b\r\n",
        ]
        .map(|lines| {
            // The canonical reader takes no underscore.
            Case::new(post_with(format!("{lines}Content-Length: 2\r\n"), "ok"), F)
                .with("the body is as long as Content-Length says", |request| request.body == b"ok")
                .with("the address is ours", |request| request.field("x-forwarded-for") == Some("127.0.0.1"))
        }),
    );
}

#[test]
fn c26_fields_that_an_untrusted_peer_may_not_send() {
    for name in ["Proxy", "X-Sendfile-Type", "X-Accel-Mapping", "Forwarded", "Client-IP", "X-Client-IP"] {
        judge([name.to_owned(), name.to_lowercase(), name.to_uppercase()].map(|name| {
            let lines = format!("{name}: lie\r\n{name}: lie\r\n");
            Case::new(post(lines), F).with("the field is gone", move |request| !request.has(&name))
        }));
    }
    let told = ["For", "Proto", "Host", "Port", "Ssl", "Scheme", "Server", "Prefix"];
    judge(told.map(|name| {
        let name = format!("X-Forwarded-{name}");
        Case::new(post(format!("{name}: lie\r\n{name}: lie\r\n")), F)
            .with("nothing of the client's is left", move |request| {
                request.all(&name).iter().all(|value| value != b"lie")
            })
    }));
}
