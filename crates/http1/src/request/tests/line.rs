//! Bad input in the request line (A) and in Host (B).

use super::*;

// A: the request line

#[test]
fn a1_refuses_any_separator_but_one_space() {
    refused(
        &[400],
        [
            line(b"GET  / HTTP/1.1"),
            line(b"GET\t/ HTTP/1.1"),
            line(b"GET /\tHTTP/1.1"),
            line(b"GET /  HTTP/1.1"),
            line(b" GET / HTTP/1.1"),
            line(b"GET / HTTP/1.1 "),
            line(b"GET / HTTP/1.1\t"),
            line(b"GET / x HTTP/1.1"),
        ],
    );
}

#[test]
fn a2_refuses_a_line_that_does_not_end_in_crlf() {
    refused(
        &[400],
        [
            ("LF", b"GET / HTTP/1.1\nHost: a\r\n\r\n".to_vec()),
            ("CR", b"GET / HTTP/1.1\rHost: a\r\n\r\n".to_vec()),
            ("LF after a field", b"GET / HTTP/1.1\r\nHost: a\n\r\n".to_vec()),
            ("CR after a field", b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n".to_vec()),
            ("CR CR LF", b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n".to_vec()),
        ],
    );
}

#[test]
fn a3_forgives_a_few_empty_lines_before_the_request_but_no_bare_lf() {
    let text = b"\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    let request = parse(text).unwrap();
    assert_eq!(request.method.of(text), b"GET");
    assert_eq!(request.path(text), b"/x");
    assert_eq!(request.len, text.len());
    let many = [b"\r\n".repeat(LEADING_LINES + 1), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()].concat();
    refused(
        &[400],
        [
            ("LF", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
            ("CR", b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
            ("CRLF LF", b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
            ("many", many),
        ],
    );
}

#[test]
fn a4_refuses_a_line_of_two_words() {
    refused(&[400], [line(b"GET /"), line(b"GET HTTP/1.1"), line(b"GET"), line(b"GET ")]);
    assert_eq!(
        RequestHead::default().parse(b"GET /\r\n", &mut 0, &LIMITS).unwrap_err(),
        RequestError::BadTarget,
        "at once, not when a head ends that never will"
    );
    assert_eq!(
        RequestHead::default().parse(b"GET / HTTP/\r\n", &mut 0, &LIMITS).unwrap_err(),
        RequestError::BadVersion
    );
}

#[test]
fn a5_answers_505_to_other_versions() {
    refused(
        &[505],
        [
            line(b"GET / HTTP/9.9"),
            line(b"GET / HTTP/2.0"),
            line(b"GET / HTTP/3.0"),
            line(b"GET / HTTP/1.2"),
            line(b"GET / HTTP/0.9"),
        ],
    );
}

#[test]
fn a6_refuses_a_malformed_version() {
    refused(
        &[400],
        [
            line(b"GET / HTTP/1"),
            line(b"GET / HTTP/1.1.1"),
            line(b"GET / HTTP/01.1"),
            line(b"GET / HTTP/1.01"),
            line(b"GET / HTTP/1.10"),
            line(b"GET / HTTP/1.+1"),
            line(b"GET / http/1.1"),
            line(b"GET / HTTP/ 1.1"),
            line(b"GET / HTTP /1.1"),
            line(b"GET / ICY"),
            line(b"GET / HTTPS/1.1"),
            line(b"GET / HTTP/1.1x"),
            line(b"GET / HTTP/1,1"),
            line(b"GET / HTTP/a.b"),
            line(b"GET / HTTP/2.0 "),
        ],
    );
}

#[test]
fn a7_refuses_the_preface_of_http_2() {
    refused(&[400, 505], [("PRI", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec())]);
}

#[test]
fn a8_takes_any_token_for_a_method_and_nothing_else() {
    refused(
        &[400],
        [line(b"G=\":<>(e),[T];?\" / HTTP/1.1"), line(b"G\0T / HTTP/1.1"), line(b"G\xc9T / HTTP/1.1")],
    );
    for method in ["get", "PROPFIND", "X!#$%&'*+-.^_`|~9", "A"] {
        let text = head(format!("{method} / HTTP/1.1").as_bytes(), &[b"Host: a"]);
        let request = parse(&text).unwrap();
        assert_eq!(request.method.of(&text), method.as_bytes());
        assert_eq!(request.method_kind, Method::Other);
    }
}

#[test]
fn a9_refuses_a_target_without_a_form() {
    refused(
        &[400],
        [
            line(b"GET * HTTP/1.1"),
            line(b"GET a HTTP/1.1"),
            line(b"GET a:80 HTTP/1.1"),
            line(b"GET ?q HTTP/1.1"),
            line(b"GET ./a HTTP/1.1"),
            line(b"OPTIONS */x HTTP/1.1"),
            line(b"OPTIONS ** HTTP/1.1"),
        ],
    );
    let text = head(b"OPTIONS * HTTP/1.1", &[b"Host: a"]);
    let request = parse(&text).unwrap();
    assert_eq!(request.path(&text), b"*");
    assert_eq!(request.path_and_query.of(&text), b"*");
}

#[test]
fn a10_refuses_connect() {
    refused(&[501], [line(b"CONNECT a:443 HTTP/1.1"), line(b"CONNECT / HTTP/1.1")]);
}

#[test]
fn a11_refuses_bytes_that_no_target_may_hold() {
    for byte in (0..=0x20).chain([b'#']).chain(0x7f..=0xff) {
        let mut text = b"GET /a".to_vec();
        text.push(byte);
        text.extend_from_slice(b"b HTTP/1.1");
        refused(&[400], [(format!("byte {byte:#x}").as_str(), head(&text, &[b"Host: a"]))]);
    }
}

#[test]
fn a12_an_absolute_target_beats_host() {
    for (target, host, path, sent) in [
        ("http://b/", "b", "/", "/"),
        ("http://b:81/x/y?z", "b:81", "/x/y", "/x/y?z"),
        ("HTTPS://B.example/x", "B.example", "/x", "/x"),
        ("http://b", "b", "/", "/"),
        ("http://b?q=1/2", "b", "/", "/?q=1/2"),
        ("http://[::1]:80/", "[::1]:80", "/", "/"),
        ("http://b//c", "b", "//c", "//c"),
    ] {
        let text = head(format!("GET {target} HTTP/1.1").as_bytes(), &[b"Host: a"]);
        let request = parse(&text).unwrap();
        let mut out = Vec::new();
        request.write_path_and_query(&text, &mut out);
        assert_eq!(request.host.of(&text), host.as_bytes(), "{target}");
        assert_eq!(request.path(&text), path.as_bytes(), "{target}");
        assert_eq!(out, sent.as_bytes(), "{target}");
        assert_eq!(request.target.of(&text), target.as_bytes());
    }
    let text = head(b"OPTIONS http://b HTTP/1.1", &[b"Host: a"]);
    let mut out = Vec::new();
    parse(&text).unwrap().write_path_and_query(&text, &mut out);
    assert_eq!(out, b"*");
}

#[test]
fn a12_an_absolute_target_excuses_no_host() {
    refused(
        &[400],
        [
            ("absent", head(b"GET http://b/ HTTP/1.1", &[])),
            ("invalid", head(b"GET http://b/ HTTP/1.1", &[b"Host: a b"])),
            ("two", head(b"GET http://b/ HTTP/1.1", &[b"Host: b", b"Host: b"])),
        ],
    );
    let text = head(b"GET http://b/ HTTP/1.0", &[]);
    assert_eq!(parse(&text).unwrap().host.of(&text), b"b");
}

#[test]
fn a13_refuses_an_absolute_target_with_a_bad_authority() {
    refused(
        &[400],
        [
            line(b"GET http://u@a/ HTTP/1.1"),
            line(b"GET http:/// HTTP/1.1"),
            line(b"GET http:// HTTP/1.1"),
            line(b"GET http:/a HTTP/1.1"),
            line(b"GET http:a HTTP/1.1"),
            line(b"GET ftp://a/ HTTP/1.1"),
            line(b"GET httpx://a/ HTTP/1.1"),
            line(b"GET http://a:80:80/ HTTP/1.1"),
            line(b"GET http://a:99999/ HTTP/1.1"),
            line(b"GET http://a\\b/ HTTP/1.1"),
            line(b"GET http://a,b/ HTTP/1.1"),
            line(b"GET http://?q HTTP/1.1"),
        ],
    );
}

#[test]
fn a14_refuses_what_is_too_long_by_what_it_is() {
    let long = "x".repeat(100_000);
    let target = head(format!("GET /{long} HTTP/1.1").as_bytes(), &[b"Host: a"]);
    refused(&[414], [("target", target.clone())]);
    refused(&[501], [("method", head(format!("{long} / HTTP/1.1").as_bytes(), &[b"Host: a"]))]);
    refused(
        &[501],
        [("method of 33", head(format!("{} / HTTP/1.1", &long[..33]).as_bytes(), &[b"Host: a"]))],
    );
    assert!(parse(&head(format!("{} / HTTP/1.1", &long[..32]).as_bytes(), &[b"Host: a"])).is_ok());
    // And as soon as it can be known: when the buffer holds as much as a head may.
    let short = &target[..LIMITS.bytes];
    assert_eq!(
        RequestHead::default().parse(short, &mut 0, &LIMITS).unwrap_err(),
        RequestError::TargetTooLong
    );
    let mut scanned = 0;
    assert_eq!(RequestHead::default().parse(&short[..9000], &mut scanned, &LIMITS), Ok(false));
    assert_eq!(
        RequestHead::default().parse(short, &mut scanned, &LIMITS).unwrap_err(),
        RequestError::TargetTooLong
    );
}

#[test]
fn a14_knows_a_long_method_from_a_long_target_when_it_comes_in_pieces() {
    let (mut request, mut scanned) = (RequestHead::default(), 0);
    let text = vec![b'X'; LIMITS.bytes];
    for end in [10, 20, LIMITS.bytes - 1] {
        assert_eq!(request.parse(&text[..end], &mut scanned, &LIMITS), Ok(false));
    }
    assert_eq!(request.parse(&text, &mut scanned, &LIMITS), Err(RequestError::MethodTooLong));
}

#[test]
fn a15_leaves_strange_paths_as_they_are() {
    for path in
        ["/%00", "/%0d%0aX:y", "/..%2f", "//x", "/\\x", "/a/../b", "/%", "/%zz", "/a?b?c", "/\"<>^`{|}"]
    {
        let text = head(format!("GET {path} HTTP/1.1").as_bytes(), &[b"Host: a"]);
        let mut out = Vec::new();
        parse(&text).unwrap().write_path_and_query(&text, &mut out);
        assert_eq!(out, path.as_bytes());
    }
}

// B: Host

#[test]
fn b16_refuses_all_but_one_host() {
    refused(
        &[400],
        [
            ("absent", head(b"GET / HTTP/1.1", &[b"X: y"])),
            ("two different", head(b"GET / HTTP/1.1", &[b"Host: a", b"Host: b"])),
            ("two same", head(b"GET / HTTP/1.1", &[b"Host: a", b"host: a"])),
            ("two in 1.0", head(b"GET / HTTP/1.0", &[b"Host: a", b"Host: a"])),
            ("empty", head(b"GET / HTTP/1.1", &[b"Host:"])),
            ("blank", head(b"GET / HTTP/1.1", &[b"Host: \t "])),
            ("empty, then one", head(b"GET / HTTP/1.1", &[b"Host:", b"Host: a"])),
        ],
    );
}

#[test]
fn b17_refuses_a_bad_host() {
    for host in [
        &b"a,b"[..],
        b"a b",
        b"u@a",
        b"a/p",
        b"a:80:80",
        b"a:99999",
        b"a:x",
        b"[::1",
        b"a\x00.b",
        b"a\xa0",
        b":80",
    ] {
        let field = [b"Host: ", host].concat();
        let case = String::from_utf8_lossy(host);
        refused(
            &[400],
            [
                (&*case, head(b"GET / HTTP/1.1", &[&field])),
                (&*case, head(b"GET / HTTP/1.0", &[&field])),
                (&*case, head(b"GET http://a/ HTTP/1.1", &[&field])),
            ],
        );
    }
}

#[test]
fn b18_takes_http_1_0_without_host() {
    let text = head(b"GET / HTTP/1.0", &[]);
    let request = parse(&text).unwrap();
    assert!(request.host.is_empty());
    assert_eq!(request.version, Version::Http10);
    let text = head(b"GET / HTTP/1.0", &[b"Host: a"]);
    assert_eq!(parse(&text).unwrap().host.of(&text), b"a");
}
