//! What is taken from an application, and what becomes a 502.

use super::*;

const LIMITS: HeadLimits = HeadLimits { bytes: 32 * 1024, fields: 100 };

fn parse_for(head: &[u8], method: Method) -> Result<ResponseHead, ResponseError> {
    let mut response = ResponseHead::default();
    let complete = response.parse(head, &mut 0, &LIMITS, method)?;
    assert!(complete, "neither refused nor complete: {:?}", String::from_utf8_lossy(head));
    Ok(response)
}

fn parse(head: &str) -> Result<ResponseHead, ResponseError> {
    parse_for(head.as_bytes(), Method::Get)
}

/// The response to a GET with this status and these fields, lines ended by CRLF.
fn with(status: u16, fields: &str) -> Result<ResponseHead, ResponseError> {
    parse(&format!("HTTP/1.1 {status} OK\r\n{fields}\r\n"))
}

#[test]
fn reads_a_usual_response_in_full() {
    let text = "HTTP/1.1 200 All right\r\nContent-Type: text/html\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\
        Content-Length: 4\r\n\r\nbody";
    let response = parse(text).unwrap();
    let buf = text.as_bytes();
    assert_eq!(response.status, 200);
    assert_eq!(response.reason.of(buf), b"All right");
    assert_eq!(response.version, Version::Http11);
    assert_eq!(response.body, BodyLength::Length(4));
    assert!(response.keep_alive);
    assert_eq!(&text[response.len..], "body");
    assert_eq!(response.field(buf, Name::ContentType), Some(b"text/html".as_slice()));
    assert_eq!(response.fields.len(), 4);
}

#[test]
fn takes_a_status_line_with_or_without_a_reason() {
    for (line, status, reason) in [
        ("HTTP/1.1 200 OK", 200, "OK"),
        ("HTTP/1.1 404 ", 404, ""),
        ("HTTP/1.1 503", 503, ""),
        ("HTTP/1.0 999 caf\u{e9}\tx", 999, "caf\u{e9}\tx"),
    ] {
        let text = format!("{line}\r\n\r\n");
        let response = parse(&text).unwrap();
        assert_eq!(response.status, status);
        assert_eq!(response.reason.of(text.as_bytes()), reason.as_bytes());
    }
}

#[test]
fn refuses_a_malformed_status_line() {
    for line in [
        "",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 000 OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.2 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/2 200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\rK",
        "HTTP/1.1 200 O\nK",
        "\r\nHTTP/1.1 200 OK",
        " HTTP/1.1 200 OK",
        "{\"json\":1}",
    ] {
        let text = format!("{line}\r\nContent-Length: 0\r\n\r\n");
        assert!(parse(&text).is_err(), "{line:?}");
    }
}

#[test]
fn refuses_bad_fields() {
    for (field, error) in [
        ("X : v\r\n", FieldError::SpaceBeforeColon),
        ("A: b\r\n c\r\n", FieldError::Folded),
        (" A: b\r\n", FieldError::Folded),
        ("A: b\n", FieldError::BareLf),
        ("A: b\rC: d\r\n", FieldError::BareCr),
        ("A: \x01\r\n", FieldError::BadValue),
        (": b\r\n", FieldError::EmptyName),
        ("NoColon\r\n", FieldError::NoColon),
        ("\n", FieldError::BareLf),
    ] {
        assert_eq!(with(200, field).unwrap_err(), ResponseError::Field(error), "{field:?}");
    }
}

#[test]
fn frames_the_body_by_the_fields() {
    for (fields, body) in [
        ("", BodyLength::UntilClose),
        ("Content-Length: 0\r\n", BodyLength::Length(0)),
        ("Content-Length: 18446744073709551615\r\n", BodyLength::Length(u64::MAX)),
        ("Content-Length: 5\r\ncontent-length: 5\r\n", BodyLength::Length(5)),
        ("Content-Length: 5\r\nContent-Length: 05\r\nContent-Length: 5\r\n", BodyLength::Length(5)),
        ("Transfer-Encoding: chunked\r\n", BodyLength::Chunked),
        ("transfer-encoding:CHUNKED \r\n", BodyLength::Chunked),
    ] {
        assert_eq!(with(200, fields).unwrap().body, body, "{fields:?}");
    }
}

#[test]
fn refuses_a_framing_in_doubt() {
    use ResponseError::*;
    for (fields, error) in [
        ("Content-Length: 5\r\nContent-Length: 6\r\n", ContentLengthsDiffer),
        ("Content-Length: 5\r\nContent-Length: 5\r\nContent-Length: 6\r\n", ContentLengthsDiffer),
        ("Content-Length: 5\r\nContent-Length: x\r\n", BadContentLength),
        ("Content-Length:\r\nContent-Length: 5\r\n", BadContentLength),
        ("Content-Length: 5, 5\r\n", BadContentLength),
        ("Content-Length: -1\r\n", BadContentLength),
        ("Content-Length: 18446744073709551616\r\n", BadContentLength),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", TwoFramings),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", TwoFramings),
        ("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", TwoFramings),
        ("Transfer-Encoding: identity\r\n", UnknownTransferCoding),
        ("Transfer-Encoding: gzip, chunked\r\n", UnknownTransferCoding),
        ("Transfer-Encoding: chunked, gzip\r\n", UnknownTransferCoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", UnknownTransferCoding),
        ("Transfer-Encoding:\r\n", UnknownTransferCoding),
    ] {
        assert_eq!(with(200, fields).unwrap_err(), error, "{fields:?}");
    }
}

#[test]
fn has_no_body_where_none_may_be_whatever_the_fields_say() {
    for fields in ["", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: x\r\n"] {
        for status in [100, 101, 103, 199, 204, 304] {
            assert_eq!(with(status, fields).unwrap().body, BodyLength::None, "{status} {fields:?}");
        }
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        assert_eq!(parse_for(text.as_bytes(), Method::Head).unwrap().body, BodyLength::None, "{fields:?}");
    }
}

#[test]
fn leaves_a_connection_whose_204_may_have_a_body_or_whose_fields_disagree() {
    assert!(with(204, "").unwrap().keep_alive);
    assert!(with(204, "Content-Length: 0\r\n").unwrap().keep_alive);
    assert!(!with(204, "Content-Length: 5\r\n").unwrap().keep_alive);
    assert!(!with(204, "Transfer-Encoding: chunked\r\n").unwrap().keep_alive);
    assert!(with(304, "Content-Length: 5\r\n").unwrap().keep_alive);
    assert!(!with(304, "Content-Length: 5\r\nContent-Length: 6\r\n").unwrap().keep_alive);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    assert!(parse_for(head, Method::Head).unwrap().keep_alive);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(!parse_for(head, Method::Head).unwrap().keep_alive);
}

#[test]
fn tells_the_length_of_a_body_that_does_not_come_only_where_it_is_sure() {
    assert_eq!(with(304, "Content-Length: 5\r\n").unwrap().promised, Some(5));
    assert_eq!(with(304, "Content-Length: 005\r\nContent-Length: 5\r\n").unwrap().promised, Some(5));
    for (status, fields) in [
        (304, ""),
        (304, "Content-Length: 5\r\nContent-Length: 6\r\n"),
        (304, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        (304, "Content-Length: 18446744073709551616\r\n"),
        (304, "Content-Length: 5,5\r\n"),
        (204, "Content-Length: 0\r\n"),
        (103, "Content-Length: 0\r\n"),
        (200, "Content-Length: 5\r\n"),
    ] {
        assert_eq!(with(status, fields).unwrap().promised, None, "{status} {fields:?}");
    }
    let head = |status| format!("HTTP/1.1 {status} OK\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(parse_for(head(200).as_bytes(), Method::Head).unwrap().promised, Some(5));
    assert_eq!(parse_for(head(204).as_bytes(), Method::Head).unwrap().promised, None);
}

#[test]
fn keeps_the_connection_as_version_options_and_framing_say() {
    for (version, fields, keep) in [
        ("1.1", "Content-Length: 0\r\n", true),
        ("1.1", "Content-Length: 0\r\nConnection: close\r\n", false),
        ("1.1", "", false),
        ("1.1", "Connection: keep-alive\r\n", false),
        ("1.0", "Content-Length: 0\r\n", false),
        ("1.0", "Content-Length: 0\r\nConnection: Keep-Alive\r\n", true),
        ("1.0", "Transfer-Encoding: chunked\r\n", false),
        ("1.0", "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n", true),
    ] {
        let response = parse(&format!("HTTP/{version} 200 OK\r\n{fields}\r\n")).unwrap();
        assert_eq!(response.keep_alive, keep, "{version} {fields:?}");
    }
}

#[test]
fn reads_a_chunked_answer_in_http_1_0() {
    let response = parse("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    assert_eq!((response.version, response.body), (Version::Http10, BodyLength::Chunked));
}

#[test]
fn reads_a_change_of_protocol() {
    let text =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x01\x02";
    let response = parse(text).unwrap();
    assert_eq!(response.upgrade.map(|span| span.of(text.as_bytes())), Some(b"websocket".as_slice()));
    assert!(response.is_nominated(text.as_bytes(), b"Upgrade"));
    assert_eq!(&text.as_bytes()[response.len..], b"\x01\x02");
    assert_eq!(parse("HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n").unwrap().upgrade, None);
}

#[test]
fn knows_which_fields_connection_names() {
    let text = "HTTP/1.1 200 OK\r\nConnection: X-Internal\r\nX-Internal: 1\r\nContent-Length: 0\r\n\r\n";
    let response = parse(text).unwrap();
    assert!(response.nominates_fields());
    assert!(response.is_nominated(text.as_bytes(), b"x-internal"));
    assert!(!response.is_nominated(text.as_bytes(), b"Content-Length"));
}

#[test]
fn refuses_a_head_over_its_limits() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(LIMITS.bytes));
    assert_eq!(parse(&long).unwrap_err(), ResponseError::HeadTooLarge);
    let part = &long.as_bytes()[..LIMITS.bytes];
    let mut response = ResponseHead::default();
    assert_eq!(response.parse(part, &mut 0, &LIMITS, Method::Get), Err(ResponseError::HeadTooLarge));
    assert_eq!(with(200, &"X: y\r\n".repeat(101)).unwrap_err(), ResponseError::Field(FieldError::TooMany));
    assert!(with(200, &"X: y\r\n".repeat(100)).is_ok());
}
