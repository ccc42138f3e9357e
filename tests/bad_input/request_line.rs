//! A: the request line.

use super::oracle::{Case, F, R, judge};
use crate::support::stand::line;

#[test]
fn a01_white_space_around_the_parts_of_the_request_line() {
    judge(
        [
            "GET  / HTTP/1.1",
            "GET\t/ HTTP/1.1",
            " GET / HTTP/1.1",
            "\tGET / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET / HTTP/1.1\t",
            "GET /  HTTP/1.1",
            "GET /\tHTTP/1.1",
            "GET \t/ HTTP/1.1",
            "GET\x0b/ HTTP/1.1",
            "GET /\x0cHTTP/1.1",
        ]
        .map(|text| Case::new(line(text), R)),
    );
}

#[test]
fn a02_lines_that_end_in_lf_or_cr_alone() {
    judge(
        [
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
            "GET / HTTP/1.1\rHost: a\r\r",
            "GET / HTTP/1.1\rHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\r\n",
            "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\n\rHost: a\n\r\n\r",
        ]
        .map(|bytes| Case::new(bytes, R)),
    );
}

#[test]
fn a03_empty_lines_before_the_request_line() {
    judge([
        Case::new("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", F),
        Case::new("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", R),
        Case::new("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", R),
        Case::new("\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", R),
        Case::new("\r\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", R),
        Case::new("\r\n GET / HTTP/1.1\r\nHost: a\r\n\r\n", R),
    ]);
}

#[test]
fn a04_a_request_line_without_its_version_or_its_target() {
    judge(["GET /\r\n", "GET HTTP/1.1\r\n", "GET\r\n", "GET \r\n"].map(|bytes| Case::new(bytes, R)));
    judge(["GET /", "GET HTTP/1.1", "GET / ", "GET", "/ HTTP/1.1"].map(|text| Case::new(line(text), R)));
}

#[test]
fn a05_versions_that_are_not_spoken() {
    judge(
        ["HTTP/9.9", "HTTP/2.0", "HTTP/3.0", "HTTP/0.9"]
            .map(|version| Case::new(line(format!("GET / {version}")), &[400, 505])),
    );
    // The canonical reader takes 1.1 and nothing else, so that it would show if the version were passed on.
    judge([Case::new(line("GET / HTTP/1.2"), &[200, 505])]);
}

#[test]
fn a06_versions_that_are_malformed() {
    judge(
        [
            "HTTP/1",
            "HTTP/1.",
            "HTTP/.1",
            "HTTP/1.1.1",
            "HTTP/01.1",
            "HTTP/1.01",
            "HTTP/1.+1",
            "HTTP/+1.1",
            "http/1.1",
            "Http/1.1",
            "HTTP/ 1.1",
            "HTTP /1.1",
            "HTTP/1 .1",
            "HTTP/1,1",
            "HTTP-1.1",
            "HTTP/1.1a",
            "HTTPS/1.1",
            "ICY",
            "HTTP/1.\u{661}",
        ]
        .map(|version| Case::new(line(format!("GET / {version}")), R)),
    );
}

#[test]
fn a07_the_preface_of_http_2() {
    judge([
        Case::new("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[400, 505]),
        Case::new("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", &[400, 505]),
        Case::new(line("PRI * HTTP/1.1"), &[400, 505]),
    ]);
}

#[test]
fn a08_methods_that_are_no_tokens_or_not_known() {
    judge(
        ["G=\":<>(e),[T];?\" /", "G@T /", "GE\u{e9} /", "GE\0T /", "G\x7f /", " /", "[GET] /", "GET: /"]
            .map(|text| Case::new(line(format!("{text} HTTP/1.1")), R)),
    );
    judge(["get", "Get", "gET", "BREW", "M-SEARCH", "!#$%&'*+-.^_`|~"].map(|method| {
        Case::new(line(format!("{method} / HTTP/1.1")), &[200, 501])
            .with("the method keeps its case", move |request| request.method == method)
    }));
}

#[test]
fn a09_targets_in_a_form_that_is_not_for_their_method() {
    judge(
        [
            "GET *",
            "GET a",
            "GET a:80",
            "GET a/b",
            "GET ?x",
            "OPTIONS */x",
            "OPTIONS **",
            "OPTIONS *?x",
            "POST *",
        ]
        .map(|text| Case::new(line(format!("{text} HTTP/1.1")), R)),
    );
    judge([Case::new(line("OPTIONS * HTTP/1.1"), &[200, 204])]);
}

#[test]
fn a10_connect() {
    judge(
        ["CONNECT a:443", "CONNECT a", "CONNECT /", "CONNECT http://a/", "CONNECT *"]
            .map(|text| Case::new(line(format!("{text} HTTP/1.1")), &[400, 405, 501])),
    );
}

#[test]
fn a11_targets_with_bytes_that_no_target_may_hold() {
    let bytes: [&[u8]; 12] = [
        b"\0",
        b"\x01",
        b"\x7f",
        b"\x80",
        b"\xc3\xa9",
        b"\xff",
        b" ",
        b"#f",
        b"\t",
        b"\x0b",
        b"\x1f",
        b"\xa0",
    ];
    for form in ["/a", "/?a=", "http://a/"] {
        judge(
            bytes.map(|bytes| Case::new(line([b"GET ", form.as_bytes(), bytes, b"b HTTP/1.1"].concat()), R)),
        );
    }
}

#[test]
fn a12_an_absolute_target_beats_host() {
    for (target, host, path) in [
        ("http://b/", "b", "/"),
        ("http://b:81/x?y=/z", "b:81", "/x?y=/z"),
        ("HTTP://B/x", "B", "/x"),
        ("http://b", "b", "/"),
        ("http://b?q", "b", "/?q"),
        ("http://[::1]:8/x", "[::1]:8", "/x"),
    ] {
        judge([Case::new(line(format!("GET {target} HTTP/1.1")), &[200, 400])
            .with("Host is the target's", move |request| request.field("host") == Some(host))
            .with("and told as the host", move |request| request.field("x-forwarded-host") == Some(host))
            .with("the target is path and query", move |request| request.target == path)]);
    }
}

#[test]
fn a13_absolute_targets_that_are_no_address_of_ours() {
    judge(
        [
            "http://u@a/",
            "http://u:p@a/",
            "http:///",
            "http://",
            "http:/a/",
            "http:a",
            "http://?x",
            "ftp://a/",
            "file:///etc/passwd",
            "a://a/",
            "://a/",
            "http://a:80:80/",
            "http://a:x/",
            "http://a:99999/",
            "http://a,b/",
            "http://[::1/",
            "http://a%zz/",
            "http://a\\b/",
            "http://a#f",
            "javascript:x",
        ]
        .map(|target| Case::new(line(format!("GET {target} HTTP/1.1")), R)),
    );
}

#[test]
fn a14_targets_and_methods_that_are_too_long() {
    let long = "x".repeat(100_000);
    judge([
        Case::new(line(format!("GET /{long} HTTP/1.1")), &[414]),
        Case::new(line(format!("GET /?{long} HTTP/1.1")), &[414]),
        Case::new(line(format!("GET http://a/{long} HTTP/1.1")), &[414]),
        Case::new(line(format!("{long} / HTTP/1.1")), &[400, 501]),
    ]);
}

#[test]
fn a15_paths_are_not_interpreted_on_their_way() {
    judge(
        [
            "/%00",
            "/%0d%0aX:y",
            "/%0D%0A%0d%0aGET%20/x",
            "/..%2f",
            "/../../etc/passwd",
            "/a/./b/../c",
            "//x",
            "//x//y/",
            "/\\x",
            "/%",
            "/%zz",
            "/%u002e",
            "/a;b=c",
            "/?",
            "/??",
            "/?a=b&a=%26",
            "/{x}|^`\"<>",
            "/http://b/",
            "/*",
        ]
        .map(|path| {
            Case::new(line(format!("GET {path} HTTP/1.1")), &[200, 400])
                .with("the target has its bytes", move |request| request.target == path)
        }),
    );
    // With a body, nothing of the target may slip into the framing.
    let line = "POST /%0d%0aContent-Length:%200 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok";
    judge([Case::new(line, &[200, 400]).with("the body is whole", |request| request.body == b"ok")]);
}
