//! What a head gives; below, the lines A to E of the bad-input list, as far as a head decides them.

use super::*;

mod fields;
mod line;

const LIMITS: HeadLimits = HeadLimits { bytes: 32 * 1024, fields: 100 };

fn parse(head: &[u8]) -> Result<RequestHead, RequestError> {
    let mut request = RequestHead::default();
    let complete = request.parse(head, &mut 0, &LIMITS)?;
    assert!(complete, "neither refused nor complete: {:?}", String::from_utf8_lossy(head));
    Ok(request)
}

/// A head of `line` and `fields`, each given without its CRLF.
fn head(line: &[u8], fields: &[&[u8]]) -> Vec<u8> {
    let mut head = line.to_vec();
    for field in fields {
        head.extend_from_slice(b"\r\n");
        head.extend_from_slice(field);
    }
    head.extend_from_slice(b"\r\n\r\n");
    head
}

/// Asserts that each head is refused with one of `statuses`.
#[track_caller]
fn refused<'a>(statuses: &[u16], heads: impl IntoIterator<Item = (&'a str, Vec<u8>)>) {
    for (case, head) in heads {
        match parse(&head) {
            Ok(_) => panic!("{case}: {:?} was taken", String::from_utf8_lossy(&head)),
            Err(error) => assert!(statuses.contains(&error.status()), "{case}: {error} ({})", error.status()),
        }
    }
}

fn line(line: &[u8]) -> (&str, Vec<u8>) {
    (std::str::from_utf8(line).unwrap_or("not text"), head(line, &[b"Host: a"]))
}

fn fields<'a>(case: &'a str, fields: &[&[u8]]) -> (&'a str, Vec<u8>) {
    let mut all: Vec<&[u8]> = vec![b"Host: a"];
    all.extend_from_slice(fields);
    (case, head(b"POST / HTTP/1.1", &all))
}

#[test]
fn reads_a_usual_request_in_full() {
    let text =
        b"POST /a/b?c=d HTTP/1.1\r\nHost: example.com:8080\r\nUser-Agent: x y\r\nContent-Length: 12\r\n\
        X_Y: \r\n\r\nthe body";
    let request = parse(text).unwrap();
    assert_eq!(request.method.of(text), b"POST");
    assert_eq!(request.method_kind, Method::Post);
    assert_eq!(request.target.of(text), b"/a/b?c=d");
    assert_eq!(request.path_and_query.of(text), b"/a/b?c=d");
    assert_eq!(request.path(text), b"/a/b");
    assert_eq!(request.version, Version::Http11);
    assert_eq!(request.host.of(text), b"example.com:8080");
    assert_eq!(request.framing, Framing::Length(12));
    assert!(request.keep_alive);
    assert_eq!(request.upgrade, None);
    assert!(!request.expect_continue);
    assert_eq!(&text[request.len..], b"the body");
    assert_eq!(request.field(text, Name::UserAgent), Some(b"x y".as_slice()));
    assert_eq!(request.field(text, Name::Accept), None);
    let kinds: Vec<_> = request.fields.iter().map(|f| f.kind).collect();
    assert_eq!(kinds, [Name::Host, Name::UserAgent, Name::ContentLength, Name::Other]);
    assert!(request.fields[3].underscore && !request.fields[1].underscore);
}

#[test]
fn a_reused_head_keeps_nothing_of_the_last_one_and_allocates_nothing() {
    let first = head(
        b"GET http://b HTTP/1.1",
        &[
            b"Host: a",
            b"Connection: upgrade, X-A",
            b"Upgrade: u",
            b"Expect: 100-continue",
            b"Content-Length: 3",
        ],
    );
    let second = head(b"GET /x HTTP/1.0", &[]);
    let mut request = RequestHead::default();
    assert!(request.parse(&first, &mut 0, &LIMITS).unwrap());
    let (place, room) = (request.fields.as_ptr(), request.fields.capacity());
    assert!(request.parse(&second, &mut 0, &LIMITS).unwrap());
    assert_eq!(format!("{request:?}"), format!("{:?}", parse(&second).unwrap()));
    assert!(request.parse(&first, &mut 0, &LIMITS).unwrap());
    assert_eq!((request.fields.as_ptr(), request.fields.capacity()), (place, room));
}

#[test]
fn keeps_the_connection_as_version_and_options_say() {
    for (version, fields, keep) in [
        ("1.1", &[][..], true),
        ("1.1", &["Connection: close"], false),
        ("1.1", &["Connection: X, Close"], false),
        ("1.1", &["Connection: keep-alive", "Connection: close"], false),
        ("1.1", &["Connection: closed"], true),
        ("1.0", &[], false),
        ("1.0", &["Connection: Keep-Alive"], true),
        ("1.0", &["Connection: keep-alive, close"], false),
        ("1.0", &["Keep-Alive: 5"], false),
    ] {
        let mut all: Vec<&[u8]> = vec![b"Host: a"];
        all.extend(fields.iter().map(|f| f.as_bytes()));
        let text = head(format!("GET / HTTP/{version}").as_bytes(), &all);
        assert_eq!(parse(&text).unwrap().keep_alive, keep, "{version} {fields:?}");
    }
}

#[test]
fn knows_which_fields_connection_names() {
    let text = fields("", &[b"Connection: close, X-A", b"Connection: x-b,,keep-alive"]).1;
    let request = parse(&text).unwrap();
    assert!(request.nominates_fields());
    for name in ["x-a", "X-B", "Close", "Keep-Alive"] {
        assert!(request.is_nominated(&text, name.as_bytes()), "{name}");
    }
    for name in ["x", "x-a, x-b", "Upgrade", "X-C", ""] {
        assert!(!request.is_nominated(&text, name.as_bytes()), "{name}");
    }
    let text = fields("", &[b"Connection: keep-alive, Upgrade"]).1;
    let request = parse(&text).unwrap();
    assert!(!request.nominates_fields());
    assert!(request.is_nominated(&text, b"Keep-Alive") && request.is_nominated(&text, b"upgrade"));
    assert!(!request.is_nominated(&text, b"close") && !request.is_nominated(&text, b"X-A"));
}

#[test]
fn offers_an_upgrade_only_when_connection_names_it_in_http_1_1() {
    for (version, fields, offered) in [
        ("1.1", &["Connection: Upgrade", "Upgrade: websocket"][..], Some("websocket")),
        ("1.1", &["Upgrade: a, b", "Connection: keep-alive, upgrade"], Some("a, b")),
        ("1.1", &["Upgrade: websocket"], None),
        ("1.1", &["Connection: upgrade"], None),
        ("1.1", &["Connection: upgrade", "Upgrade:"], None),
        ("1.1", &["Connection: upgrade", "Upgrade: a", "Upgrade: b"], None),
        ("1.0", &["Connection: upgrade", "Upgrade: websocket"], None),
    ] {
        let mut all: Vec<&[u8]> = vec![b"Host: a"];
        all.extend(fields.iter().map(|f| f.as_bytes()));
        let text = head(format!("GET / HTTP/{version}").as_bytes(), &all);
        let got = parse(&text).unwrap().upgrade.map(|span| span.of(&text).to_vec());
        assert_eq!(got.as_deref(), offered.map(str::as_bytes), "{version} {fields:?}");
    }
}

#[test]
fn knows_a_client_that_waits_for_100() {
    for (version, field, waits) in [
        ("1.1", "Expect: 100-continue", true),
        ("1.1", "expect: 100-Continue", true),
        ("1.1", "Expect: 200-ok", false),
        ("1.0", "Expect: 100-continue", false),
    ] {
        let text = head(format!("POST / HTTP/{version}").as_bytes(), &[b"Host: a", field.as_bytes()]);
        assert_eq!(parse(&text).unwrap().expect_continue, waits, "{version} {field}");
    }
}

#[test]
fn refuses_a_bad_request_line_that_comes_in_pieces_when_the_line_is_there() {
    let (mut request, mut scanned) = (RequestHead::default(), 0);
    assert_eq!(
        request.parse(b"GET / HTTP/7.7", &mut scanned, &LIMITS),
        Err(RequestError::UnsupportedVersion)
    );
    scanned = 0;
    assert_eq!(request.parse(b"GET * HT", &mut scanned, &LIMITS), Err(RequestError::BadTarget));
    scanned = 0;
    assert_eq!(request.parse(b"GET / HT", &mut scanned, &LIMITS), Ok(false));
    assert_eq!(
        request.parse(b"GET / HTTP/7.7\r\nA:", &mut scanned, &LIMITS),
        Err(RequestError::UnsupportedVersion)
    );
}

#[test]
fn tells_the_expectation_that_is_known_from_those_that_are_not() {
    let expects = |version: &str, fields: &[&[u8]]| {
        let line = format!("POST / HTTP/{version}");
        let fields: Vec<&[u8]> = [&b"Host: a"[..]].into_iter().chain(fields.iter().copied()).collect();
        let request = parse(&head(line.as_bytes(), &fields)).unwrap();
        (request.expect_continue, request.expect_unknown)
    };
    assert_eq!(expects("1.1", &[]), (false, false));
    assert_eq!(expects("1.1", &[b"Expect:"]), (false, false));
    assert_eq!(expects("1.1", &[b"Expect: 100-Continue"]), (true, false));
    assert_eq!(expects("1.1", &[b"Expect: 100-continue", b"Expect: ,100-continue"]), (true, false));
    assert_eq!(expects("1.1", &[b"Expect: 100-continue, other"]), (true, true));
    assert_eq!(expects("1.1", &[b"Expect: 100-continue;a=b"]), (false, true));
    assert_eq!(expects("1.0", &[b"Expect: 100-continue, other"]), (false, false));
}

#[test]
fn knows_options_for_the_server_in_both_forms() {
    for (line, wanted) in [
        ("OPTIONS * HTTP/1.1", true),
        ("OPTIONS http://a HTTP/1.1", true),
        ("OPTIONS http://a/ HTTP/1.1", false),
        ("OPTIONS http://a? HTTP/1.1", false),
        ("OPTIONS / HTTP/1.1", false),
        ("GET http://a HTTP/1.1", false),
    ] {
        let bytes = head(line.as_bytes(), &[b"Host: a"]);
        assert_eq!(parse(&bytes).unwrap().is_for_server(&bytes), wanted, "{line}");
    }
}
