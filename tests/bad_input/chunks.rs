//! Chunked bodies: sizes, line ends, extensions, trailers, early ends; and faults when a part has been passed on.

use std::net::Shutdown;

use super::oracle::{Case, F, R, judge};
use crate::support::canonical::Chunks;
use crate::support::stand::{LARGEST_BODY, STREAMING, Stand, post, post_with, send};
use crate::support::wait::seconds;
use crate::support::wait::until_true;

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

fn chunked(body: impl AsRef<[u8]>) -> Vec<u8> {
    post_with(CHUNKED, body)
}

/// It goes on as `hello`, with a length and nothing of the chunks around it.
fn hello(body: impl AsRef<[u8]>, statuses: &[u16]) -> Case {
    Case::new(chunked(body), statuses).with("the body is what the chunks hold", |request| {
        request.body == b"hello" && request.field("content-length") == Some("5")
    })
}

#[test]
fn refuses_sizes_that_are_no_hexadecimal_number() {
    let sizes: [&[u8]; 24] = [
        b"",
        b"g",
        b"0x5",
        b"+5",
        b"-5",
        b" 5",
        b"5 ",
        b"5\t",
        b"\t5",
        b"5_0",
        b"5.0",
        b"5,5",
        b"5h",
        b"#5",
        b"'5'",
        b"5\0",
        b"\x0b5",
        b"5\x0c",
        b"\xa05",
        b"\xef\xbc\x95",
        b"\xd9\xa5",
        b"%35",
        b"5\x7f",
        b"05:",
    ];
    judge(sizes.map(|size| Case::new(chunked([size, b"\r\nhello\r\n0\r\n\r\n"].concat()), R)));
    // The same where the end is expected.
    let ends: [&[u8]; 7] = [b"-0", b"+0", b"0x0", b"0 ", b" 0", b"", b"O"];
    judge(ends.map(|end| Case::new(chunked([b"5\r\nhello\r\n", end, b"\r\n\r\n"].concat()), R)));
}

#[test]
fn takes_every_way_to_write_a_size() {
    let long = format!("{:x}", 26);
    judge([
        hello("5\r\nhello\r\n0\r\n\r\n", F),
        hello("05\r\nhello\r\n000\r\n\r\n", F),
        hello("0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", &[200, 400]),
        hello("1\r\nh\r\n1\r\ne\r\n3\r\nllo\r\n0\r\n\r\n", F),
        Case::new(chunked(format!("{long}\r\n{}\r\n0\r\n\r\n", "x".repeat(26))), F)
            .with("lower case", |request| request.body == [b'x'; 26]),
        Case::new(chunked(format!("1A\r\n{}\r\n0\r\n\r\n", "x".repeat(26))), F)
            .with("upper case", |request| request.body == [b'x'; 26]),
        Case::new(chunked("0\r\n\r\n"), F)
            .with("no body has the length 0", |request| request.field("content-length") == Some("0")),
    ]);
}

#[test]
fn refuses_sizes_that_overflow() {
    judge(
        [
            "10000000000000005",           // 2^64 + 5
            "fffffffffffffffff",           // 17 digits
            "00000000000000005",           // 17 digits, though small
            "100000005000000000000000005", // truncated to 32 or 64 bits: 5
            "f0000000000000000000000000000005",
        ]
        .map(|size| Case::new(chunked(format!("{size}\r\nhello\r\n0\r\n\r\n")), &[400, 413])),
    );
    let stand = Stand::new();
    for body in [
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "8000000000000000\r\nhello\r\n0\r\n\r\n",
        "7fffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffe\r\nhello\r\n0\r\n\r\n",
        "100000005\r\nhello\r\n0\r\n\r\n",                      // 2^32 + 5
        "5\r\nhello\r\nfffffffffffffffb\r\nhello\r\n0\r\n\r\n", // the sum is 2^64
        "80000005\r\nhello\r\n0\r\n\r\n",                       // negative in 32 bits
    ] {
        stand.breaks_off(&chunked(body)).unwrap_or_else(|fault| panic!("{body:?}: {fault}"));
    }
}

#[test]
fn refuses_more_than_the_largest_body_in_chunks() {
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    let most = LARGEST_BODY as usize / 0x1000;
    judge([
        Case::new(chunked(chunk.repeat(most + 1) + "0\r\n\r\n"), &[413]),
        Case::new(chunked(chunk.repeat(most) + "1\r\nx\r\n0\r\n\r\n"), &[413]),
    ]);
}

#[test]
fn refuses_lines_that_do_not_end_in_crlf() {
    judge(
        [
            "5\nhello\r\n0\r\n\r\n",
            "5\rhello\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello\r0\r\n\r\n",
            "5\r\nhello\r\n0\n\r\n",
            "5\r\nhello\r\n0\r\n\n",
            "5\r\nhello\r\n0\n\n",
            "5\r\r\nhello\r\n0\r\n\r\n",
            "5\n\rhello\r\n0\r\n\r\n",
            "5\r\nhello\n\r0\r\n\r\n",
            "\r\n5\r\nhello\r\n0\r\n\r\n",
            "5\r\n\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\r\n\r\n0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\rX",
            "5;a=b\nhello\r\n0\r\n\r\n",
            "5;a=\nb\r\nhello\r\n0\r\n\r\n",
            "5;a=\rb\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\r\n0\r\nX: y\n\r\n",
        ]
        .map(|body| Case::new(chunked(body), R)),
    );
}

#[test]
fn refuses_data_that_is_not_as_long_as_its_size() {
    judge(
        [
            "4\r\nhello\r\n0\r\n\r\n",
            "6\r\nhello\r\n0\r\n\r\n",
            "7\r\nhello\r\n0\r\n\r\n",
            "3\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhelloXX0\r\n\r\n",
            "0\r\nhello\r\n0\r\n\r\n",
        ]
        .map(|body| Case::new(chunked(body), R)),
    );
}

#[test]
fn drops_extensions_and_bounds_them() {
    let long = "x".repeat(3000);
    let too_long = "x".repeat(100_000);
    for extension in [
        ";a",
        ";a=b",
        ";a=\"b\"",
        ";a=\"q;\\\"\\\\\"",
        ";a;b;c=d",
        ";",
        ";=",
        ";a= b",
        ";\t",
        ";chunked",
        ";a=\u{e9}",
    ] {
        judge([
            hello(format!("5{extension}\r\nhello\r\n0\r\n\r\n"), &[200, 400]),
            hello(format!("5\r\nhello\r\n0{extension}\r\n\r\n"), &[200, 400]),
        ]);
    }
    judge([hello(format!("5;a={long}\r\nhello\r\n0\r\n\r\n"), F)]);
    // White space before `;` is read in different ways; it may go either way, not both.
    judge([" ;a=b", "\t;a=b"].map(|text| hello(format!("5{text}\r\nhello\r\n0\r\n\r\n"), &[200, 400])));
    let many = "1;abcdefgh\r\nx\r\n".repeat(10_000);
    judge([
        Case::new(chunked(format!("5;{too_long}\r\nhello\r\n0\r\n\r\n")), R),
        Case::new(chunked(format!("5\r\nhello\r\n0;{too_long}\r\n\r\n")), R),
        Case::new(chunked(format!("{many}0\r\n\r\n")), R),
    ]);
    let bad: [&[u8]; 7] = [b"\0", b"a=\0", b"a=\"\0\"", b"a\x01", b"a=\x7f", b"a=\x0b", b"a=\x1b[2J"];
    judge(bad.map(|text| Case::new(chunked([b"5;", text, b"\r\nhello\r\n0\r\n\r\n"].concat()), R)));
}

#[test]
fn refuses_trailers_that_are_no_fields() {
    let trailers: [&[u8]; 14] = [
        b"NoColon\r\n",
        b": v\r\n",
        b"X : v\r\n",
        b" X: v\r\n",
        b"\tX: v\r\n",
        b"X: v\r\n w\r\n",
        b"X: a\0b\r\n",
        b"X: a\rb\r\n",
        b"X: a\nY: b\r\n",
        b"X\0: v\r\n",
        b"X(: v\r\n",
        b"X\xa0: v\r\n",
        b"X: \x7f\r\n",
        b"5\r\nhello\r\n0\r\n",
    ];
    judge(trailers.map(|lines| Case::new(chunked([b"5\r\nhello\r\n0\r\n", lines, b"\r\n"].concat()), R)));
}

#[test]
fn refuses_trailers_without_end() {
    let long = "x".repeat(100_000);
    let many: String = (0..10_000).map(|number| format!("X-{number}: y\r\n")).collect();
    judge(
        [format!("X: {long}\r\n"), format!("{long}: v\r\n"), many]
            .map(|lines| Case::new(chunked(format!("5\r\nhello\r\n0\r\n{lines}\r\n")), &[400, 431])),
    );
}

#[test]
fn never_makes_fields_of_trailers() {
    for trailer in [
        "Content-Length: 3",
        "Transfer-Encoding: chunked",
        "Host: evil.example",
        "Authorization: Basic x",
        "Cookie: a=b",
        "X-Forwarded-For: 192.0.2.7",
        "X-Forwarded-Proto: https",
        "Connection: close",
        "Trailer: X",
        "Expect: 100-continue",
        "Proxy: http://evil.example",
        "X-Checksum: 1",
        "X_Under: 1",
    ] {
        let (name, value) = trailer.split_once(": ").expect("a field");
        judge([Case::new(
            post_with(
                format!("{CHUNKED}Trailer: {name}\r\n"),
                format!("5\r\nhello\r\n0\r\n{trailer}\r\n\r\n"),
            ),
            &[200, 400],
        )
        .with("the body is whole", |request| request.body == b"hello")
        .with("the trailer's value is nowhere", move |request| {
            request.all(name).iter().all(|found| *found != value.as_bytes())
        })]);
    }
}

#[test]
fn passes_on_nothing_of_a_body_that_ends_early() {
    let stand = Stand::new();
    let body = "3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nX-T: v\r\n\r\n";
    for cut in 0..body.len() {
        stand
            .breaks_off(&chunked(&body[..cut]))
            .unwrap_or_else(|fault| panic!("{:?}: {fault}", &body[..cut]));
    }
}

#[test]
fn takes_thousands_of_small_chunks() {
    judge([Case::new(chunked("1\r\nx\r\n".repeat(10_000) + "0\r\n\r\n"), F)
        .with("all are there", |request| request.body == vec![b'x'; 10_000])]);
    // More than memory takes goes by way of the disk, and on in the same form.
    let large = format!("1000\r\n{}\r\n", "z".repeat(0x1000));
    judge([Case::new(chunked(format!("64\r\n{}\r\n{}0\r\n\r\n", "y".repeat(100), large.repeat(60))), F)
        .with("with its length", |request| request.field("content-length") == Some("245860"))
        .with("whole", |request| request.body.len() == 245_860 && request.body[..100] == [b'y'; 100])]);
}

/// Sends `head` and `begin`, waits until the application has `begin`, sends `fault` (or ends the stream), and asserts
/// that the application's connection is closed inside the body.
fn breaks_inside(head: &str, begin: &str, fault: Option<&[u8]>) {
    let what = fault.map(|bytes| String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned());
    let stand = Stand::with(
        &format!("{STREAMING}[limits]\nbody = \"64 KiB\"\nrequest_timeout = \"5s\"\n"),
        Chunks::Allowed,
        |_| None,
    );
    // An idle connection is at hand, as in ordinary traffic.
    stand.another().expect("an answer");
    let mut client = stand.connect();
    send(&mut client, format!("{head}{begin}"));
    stand.origin.wait_for("a part of the body is passed on", |record| {
        record.wires.iter().any(|wire| wire.bytes[wire.read..].windows(5).any(|bytes| bytes == b"hello"))
    });
    match fault {
        Some(bytes) => send(&mut client, bytes),
        None => client.stream().shutdown(Shutdown::Write).expect("half-closed"),
    }
    let told = client.rest().unwrap_or_default();
    let refused = [&b"HTTP/1.1 400"[..], b"HTTP/1.1 413", b"HTTP/1.1 408"];
    assert!(
        told.is_empty() || refused.iter().any(|status| told.starts_with(status)),
        "{what:?} was answered {:?}",
        String::from_utf8_lossy(&told)
    );
    let is_cut = |record: &crate::support::origin::Record| {
        let mut inside = record.wires.iter().filter(|wire| wire.read < wire.bytes.len());
        inside.next().is_some_and(|wire| wire.has_ended) && inside.next().is_none()
    };
    until_true("the application's connection is closed", seconds(30), || is_cut(&stand.origin.record()));
    stand.another().unwrap_or_else(|fault| panic!("{what:?}: {fault}"));
    let record = stand.origin.record();
    let cut = record.wires.iter().find(|wire| wire.read < wire.bytes.len()).expect("found before");
    assert_eq!(cut.fault, None, "{what:?}");
    assert!(!cut.bytes.ends_with(b"0\r\n\r\n"), "{what:?}: a terminator was written");
    assert!(record.requests.iter().all(|request| request.target != "/"), "{what:?}: it passed for whole");
}

#[test]
fn never_ends_a_streamed_body_that_turns_out_bad() {
    let head = String::from_utf8(post(CHUNKED)).expect("text");
    let much = "x".repeat(100_000);
    let (long, trailers) = (format!("11170\r\n{much}"), format!("0\r\nX: {much}"));
    let extension = format!("5;{much}");
    let faults: [&[u8]; 13] = [
        b"zz\r\n",
        b"-1\r\n",
        b"5\nhello",
        b"\r\n\r\n",
        b"5;\0\r\n",
        b"10000000000000005\r\n",
        b"3\r\nhello\r\n0\r\n\r\n",
        b"0\r\nNoColon\r\n\r\n",
        b"0\r\n X: v\r\n\r\n",
        b"0\r\n\n",
        trailers.as_bytes(),
        long.as_bytes(),
        extension.as_bytes(),
    ];
    for fault in faults {
        breaks_inside(&head, "5\r\nhello\r\n", Some(fault));
    }
    for begin in
        ["5\r\nhello\r\n", "6\r\nhello", "5\r\nhello", "5\r\nhello\r\n0\r\n", "5\r\nhello\r\n0\r\nX: y\r\n"]
    {
        breaks_inside(&head, begin, None);
    }
}

#[test]
fn never_fills_up_a_streamed_body_that_ends_early() {
    let head = String::from_utf8(post("Content-Length: 6000\r\n")).expect("text");
    breaks_inside(&head, "hello", None);
    breaks_inside(&head, &"hello".repeat(1199), None);
}
