//! Bad input in the fields (C), in Content-Length (D) and in Transfer-Encoding (E).

use super::*;
use crate::error::FieldError;

// C: fields

#[test]
fn c19_refuses_a_field_line_that_is_none() {
    refused(
        &[400],
        [
            fields("space before the colon", &[b"X : v"]),
            fields("tab before the colon", &[b"X\t: v"]),
            ("space before the first", head(b"GET / HTTP/1.1", &[b" X: v", b"Host: a"])),
            fields("folded", &[b"X: v", b" w"]),
            fields("folded by a tab", &[b"X: v", b"\tw"]),
            fields("no name", &[b": v"]),
            fields("no colon", &[b"NoColon"]),
            fields("only a space", &[b" "]),
        ],
    );
}

#[test]
fn c20_refuses_bytes_that_no_name_may_hold() {
    for bad in b"\0\x01\x85\xa0([\"\x80 \t\x7f/;=?@{}<>,\\)]" {
        refused(&[400], [fields(&format!("byte {bad:#x}"), &[&[b'X', *bad, b'Y', b':', b'v']])]);
    }
}

#[test]
fn c21_refuses_controls_in_a_value_and_keeps_the_rest() {
    for bad in (0u8..0x20).filter(|b| *b != b'\t').chain([0x7f]) {
        let case = format!("byte {bad:#x}");
        refused(&[400], [fields(&case, &[&[b'X', b':', b'a', bad, b'b']])]);
    }
    refused(&[400], [fields("CR", &[b"X: a\rb"]), fields("LF", &[b"X: a\nY: b"])]);
    let text = head(b"GET / HTTP/1.1", &[b"Host: a", b"X: a\tb\x80\xff c"]);
    let request = parse(&text).unwrap();
    assert_eq!(request.fields[1].value.of(&text), b"a\tb\x80\xff c");
}

#[test]
fn c22_refuses_a_head_that_ends_otherwise_than_in_an_empty_line() {
    refused(
        &[400],
        [
            ("CR", b"GET / HTTP/1.1\r\nHost: a\r\n\rZ".to_vec()),
            ("LF LF", b"GET / HTTP/1.1\r\nHost: a\n\n".to_vec()),
            ("CRLF LF", b"GET / HTTP/1.1\r\nHost: a\r\n\n".to_vec()),
        ],
    );
}

#[test]
fn c22_refuses_it_too_when_the_head_comes_in_pieces() {
    for (text, error) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\rZ"[..], FieldError::BareCr),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", FieldError::BareLf),
    ] {
        let (mut request, mut scanned) = (RequestHead::default(), 0);
        let last = text.len() - 1;
        for end in 1..=last {
            assert_eq!(request.parse(&text[..end], &mut scanned, &LIMITS), Ok(false), "{end}");
        }
        assert_eq!(request.parse(text, &mut scanned, &LIMITS), Err(error.into()));
    }
}

#[test]
fn c23_refuses_a_name_that_is_broken_over_two_lines() {
    refused(&[400], [fields("broken", &[b"Transfer-", b"Encoding: chunked"])]);
}

#[test]
fn c24_answers_431_to_a_head_that_is_too_large() {
    let long = "x".repeat(100_000);
    let many: Vec<String> = (0..10_000).map(|n| format!("X{n}: y")).collect();
    let many: Vec<&[u8]> = many.iter().map(String::as_bytes).collect();
    refused(
        &[431],
        [
            fields("value", &[format!("X: {long}").as_bytes()]),
            fields("name", &[format!("{long}: v").as_bytes()]),
            fields("fields", &many),
            fields("more than 100 fields", &many[..100]),
        ],
    );
    assert!(parse(&fields("100 fields", &many[..99]).1).is_ok());
}

#[test]
fn a_head_may_be_just_as_long_as_the_limit() {
    let text = head(b"GET / HTTP/1.1", &[b"Host: a", b"X: y"]);
    let limits = HeadLimits { bytes: text.len(), fields: 2 };
    assert_eq!(RequestHead::default().parse(&text, &mut 0, &limits), Ok(true));
    let limits = HeadLimits { bytes: text.len() - 1, fields: 2 };
    assert_eq!(RequestHead::default().parse(&text, &mut 0, &limits), Err(RequestError::HeadTooLarge));
}

#[test]
fn c25_marks_names_with_an_underscore_and_takes_them_for_no_other() {
    let text = head(
        b"POST / HTTP/1.1",
        &[b"Host: a", b"Transfer_Encoding: chunked", b"Content_Length: 5", b"X_Forwarded_For: b"],
    );
    let request = parse(&text).unwrap();
    assert_eq!(request.framing, Framing::None);
    assert!(request.fields[1..].iter().all(|f| f.underscore && f.kind == Name::Other));
}

#[test]
fn c26_knows_the_fields_that_no_client_may_set() {
    let text = head(
        b"GET / HTTP/1.1",
        &[b"Host: a", b"proxy: x", b"X-SENDFILE-TYPE: x", b"x-accel-mapping: x", b"x-forwarded-For: x"],
    );
    let kinds: Vec<_> = parse(&text).unwrap().fields[1..].iter().map(|f| f.kind).collect();
    assert_eq!(kinds, [Name::Proxy, Name::XSendfileType, Name::XAccelMapping, Name::XForwardedFor]);
}

// D: Content-Length

#[test]
fn d27_refuses_a_length_that_is_no_number() {
    for length in [
        "+5", "-1", "-0", "0x5", "0o5", "1_0", "5.0", "5e0", "1 0", "5;", "\x0b5", "", "abc", "5,", ",5",
        "\u{665}",
    ] {
        let field = format!("Content-Length: {length}");
        refused(&[400], [fields(&field, &[field.as_bytes()])]);
    }
}

#[test]
fn d28_d29_refuses_more_than_one_length() {
    refused(
        &[400],
        [
            fields("5, 6", &[b"Content-Length: 5, 6"]),
            fields("two different", &[b"Content-Length: 5", b"Content-Length: 6"]),
            fields("empty, then 59", &[b"Content-Length:", b"Content-Length: 59"]),
            fields("5, 5", &[b"Content-Length: 5, 5"]),
            fields("two same", &[b"Content-Length: 5", b"content-length: 5"]),
        ],
    );
}

#[test]
fn d29_d30_reads_the_length_as_a_number() {
    for (text, length) in [("0", 0), ("005", 5), ("5", 5), ("18446744073709551615", u64::MAX)] {
        let head = fields("", &[format!("Content-Length: {text}").as_bytes()]).1;
        assert_eq!(parse(&head).unwrap().framing, Framing::Length(length));
    }
    refused(&[400, 413], [fields("2^64+5", &[b"Content-Length: 18446744073709551621"])]);
}

#[test]
fn d32_a_body_is_framed_whatever_the_method() {
    for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
        let text = head(format!("{method} / HTTP/1.1").as_bytes(), &[b"Host: a", b"Content-Length: 5"]);
        assert_eq!(parse(&text).unwrap().framing, Framing::Length(5), "{method}");
    }
}

// E: Transfer-Encoding

/// Asserts that these fields are refused, without a length and with one before or after.
#[track_caller]
fn refused_coding(statuses: &[u16], codings: &[&[u8]]) {
    let case = codings.iter().map(|c| String::from_utf8_lossy(c)).collect::<Vec<_>>().join(" | ");
    refused(statuses, [fields(&case, codings)]);
    let length: &[u8] = b"Content-Length: 5";
    refused(
        &[400],
        [fields(&case, &[codings, &[length]].concat()), fields(&case, &[&[length], codings].concat())],
    );
}

#[test]
fn e33_e34_e36_refuses_any_coding_but_chunked_alone() {
    for coding in [
        "xchunked",
        "identity",
        "gzip",
        "chunk",
        "\"chunked\"",
        "'chunked'",
        "chunked;q=1",
        "chunked, gzip",
        "chunked, chunked",
        "identity, chunked, identity",
        "gzip, chunked",
        ",chunked",
        "chunked,",
        "",
        "chunked chunked",
    ] {
        refused_coding(&[501], &[format!("Transfer-Encoding: {coding}").as_bytes()]);
    }
}

#[test]
fn e35_refuses_two_lines_of_codings() {
    for (first, second) in
        [("chunked", "chunked"), ("identity", "chunked"), ("chunked", "identity"), ("", "chunked")]
    {
        refused_coding(
            &[400],
            &[
                format!("Transfer-Encoding: {first}").as_bytes(),
                format!("transfer-encoding: {second}").as_bytes(),
            ],
        );
    }
}

#[test]
fn e37_e38_refuses_chunked_in_disguise() {
    refused_coding(&[400], &[b"Transfer-Encoding: \x0bchunked"]);
    refused_coding(&[400], &[b"Transfer-Encoding: \x0cchunked"]);
    refused_coding(&[400], &[b"Transfer-Encoding: chunked\0"]);
    refused_coding(&[400], &[b"Transfer-Encoding: chunked\r"]);
    refused_coding(&[501], &[b"Transfer-Encoding: \xa0chunked"]);
    refused_coding(&[501], &["Transfer-Encoding: chun\u{212a}ed".as_bytes()]);
    refused_coding(&[400], &[b"Transfer-Encoding : chunked"]);
    refused_coding(&[400], &[b"Transfer-Encoding\t: chunked"]);
    refused_coding(&[400], &[b"Transfer-Encoding\x85: chunked"]);
    refused_coding(&[400], &[b"Transfer-Encoding\xff: chunked"]);
    refused_coding(&[400], &[b"Transfer-Encoding:", b" chunked"]);
}

#[test]
fn e39_takes_chunked_in_any_case() {
    for coding in ["chunked", "Chunked", "CHUNKED", "chunked\t", " \tchunked "] {
        let text = fields("", &[format!("Transfer-Encoding:{coding}").as_bytes()]).1;
        assert_eq!(parse(&text).unwrap().framing, Framing::Chunked, "{coding:?}");
    }
}

#[test]
fn e40_e41_refuses_chunked_beside_a_length_or_in_http_1_0() {
    refused(
        &[400],
        [
            fields("before", &[b"Content-Length: 5", b"Transfer-Encoding: chunked"]),
            fields("after", &[b"Transfer-Encoding: chunked", b"Content-Length: 5"]),
            ("1.0", head(b"POST / HTTP/1.0", &[b"Host: a", b"Transfer-Encoding: chunked"])),
            ("1.0, both", head(b"POST / HTTP/1.0", &[b"Transfer-Encoding: chunked", b"Content-Length: 5"])),
        ],
    );
}
