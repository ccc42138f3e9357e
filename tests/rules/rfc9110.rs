//! RFC 9110: what passes, what does not, and what is added.

use super::{answering, ask, ask_on, echoing, get, passed};
use crate::support::canonical::Chunks;
use crate::support::origin::{Act, Seen};
use crate::support::stand::{Stand, line, post, post_with, send};

#[test]
fn c01_fields_keep_their_order_and_set_cookies_are_not_merged() {
    let stand = answering(
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; path=/\r\nX-B: 1\r\nLink: </1>\r\nX-B: 2\r\nSet-Cookie: b=2\r\n\
         Link: </2>\r\nset-cookie: c=3\r\nContent-Length: 0\r\n\r\n",
    );
    let request = passed(
        &stand,
        get("Accept: a\r\nX-A: 1\r\nCookie: a=1\r\nx-a: 2\r\nAccept: b\r\nX-A: 3\r\nCookie: b=2\r\n"),
    );
    let values = |name| request.all(name).concat();
    assert_eq!(
        (values("x-a"), values("accept"), values("cookie")),
        // What parts cookies is no comma (RFC 9113 8.2.3), so these are one line.
        (b"123".into(), b"ab".into(), b"a=1; b=2".into())
    );
    let answer = ask(&stand, get(""));
    assert_eq!(answer.all("set-cookie"), ["a=1; path=/", "b=2", "c=3"]);
    assert_eq!((answer.all("x-b"), answer.all("link")), (vec!["1", "2"], vec!["</1>", "</2>"]));
}

#[test]
fn c02_cr_lf_and_nul_in_a_value_are_refused() {
    for value in ["a\rb", "a\0b", "a\nX: b", "a\r\r\n"] {
        let stand = answering(format!("HTTP/1.1 200 OK\r\nX: {value}\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(ask(&stand, post(format!("X: {value}\r\n"))).status, 400, "{value:?}");
        assert_eq!(stand.targets(0), Vec::<String>::new(), "{value:?}");
        assert_eq!(ask(&stand, get("")).status, 502, "{value:?} of the application");
    }
}

/// An answer with trailers, good ones and such as must not stand there.
const TRAILERS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Server-Timing\r\n\r\n\
                        5\r\nhello\r\n0\r\nX-Sum: 1f\r\nServer-Timing: db;dur=5\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\
                        Host: evil\r\nSet-Cookie: a=b\r\nContent-Type: text/evil\r\nConnection: close\r\nContent-Encoding: gzip\r\n\
                        Cache-Control: public\r\nAuthorization: x\r\nLocation: /evil\r\n\r\n";

#[test]
fn c03_trailers_are_never_merged_into_the_head() {
    let stand = answering(TRAILERS);
    let request = passed(
        &stand,
        post_with(
            "Transfer-Encoding: chunked\r\nTrailer: X-T, Authorization\r\n",
            "2\r\nok\r\n0\r\nX-T: 1\r\nAuthorization: Basic x\r\nContent-Length: 9\r\n\r\n",
        ),
    );
    assert_eq!(request.body, b"ok");
    for name in ["x-t", "authorization", "trailer"] {
        assert!(!request.has(name), "{name}: {request:?}");
    }
    // A client that did not say that it takes trailers gets none.
    for lines in ["", "TE: gzip\r\nConnection: TE\r\n"] {
        let mut client = stand.connect();
        let answer = ask_on(&mut client, get(lines));
        assert_eq!(answer.text(), "hello", "{lines:?}");
        for name in ["x-sum", "server-timing", "set-cookie", "location"] {
            assert!(answer.field(name).is_none(), "{name} was merged into the head: {}", answer.head);
        }
        stand.on(&mut client).expect("the connection goes on");
    }
    let mut client = stand.connect();
    send(&mut client, get("TE: trailers\r\nConnection: TE\r\n"));
    let head = client.response_head().expect("a head");
    assert_eq!(head.field("transfer-encoding"), Some("chunked"));
    assert!(head.field("x-sum").is_none() && head.field("set-cookie").is_none(), "{}", head.head);
    client.through(b"\r\n0\r\n").expect("the last chunk");
    let trailers = client.through(b"\r\n\r\n").expect("trailers");
    assert_eq!(
        trailers,
        b"X-Sum: 1f\r\nServer-Timing: db;dur=5\r\n\r\n",
        "{}",
        String::from_utf8_lossy(&trailers)
    );
    stand.on(&mut client).expect("the connection goes on");
    // HTTP/1.0 has no chunks, and so no trailers.
    let mut old = stand.connect();
    send(&mut old, "GET /x HTTP/1.0\r\nHost: a\r\nTE: trailers\r\n\r\n");
    assert_eq!(old.response().expect("an answer").text(), "hello");
}

#[test]
fn c04_a_missing_date_is_added_and_one_that_is_there_is_kept() {
    let stand =
        answering("HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2015 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(ask(&stand, get("")).field("date"), Some("Thu, 01 Jan 2015 00:00:00 GMT"));
    for bytes in [line("GET /other HTTP/1.1"), line("GET  /bad HTTP/1.1")] {
        let answer = ask(&stand, bytes);
        assert!(answer.field("date").is_some_and(|date| date.ends_with(" GMT")), "{}", answer.head);
    }
}

#[test]
fn c05_connection_and_what_it_nominates_are_dropped() {
    let stand = answering(
        "HTTP/1.1 200 OK\r\nConnection: x-inner, Keep-Alive\r\nX-Inner: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nConnection: x-second\r\nX-Second: 2\r\nX-Stays: 3\r\nContent-Length: 0\r\n\r\n",
    );
    let request = passed(
        &stand,
        get(
            "Connection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nConnection: X-Second ,, keep-alive\r\nX-SECOND: 2\r\n\
             Proxy-Connection: close\r\nX-Stays: 3\r\n",
        ),
    );
    let answer = ask(&stand, get(""));
    for name in ["connection", "x-hop", "x-inner", "x-second", "keep-alive", "proxy-connection"] {
        assert!(!request.has(name), "{name} reached the application: {request:?}");
        assert!(answer.field(name).is_none(), "{name} reached the client: {}", answer.head);
    }
    assert_eq!((request.field("x-stays"), answer.field("x-stays")), (Some("3"), Some("3")));
}

#[test]
fn c06_max_forwards_ends_and_counts_options_and_trace_is_not_served() {
    let stand = echoing();
    for lines in ["", "Max-Forwards: 0\r\n", "Max-Forwards: 5\r\n"] {
        let answer = ask(&stand, format!("TRACE /x HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n{lines}\r\n"));
        assert_eq!(answer.status, 405, "{lines:?}");
        assert!(!answer.text().contains("secret"), "{lines:?}: {}", answer.text());
        assert!(
            answer.field("allow").is_some(),
            "a 405 says what is allowed (RFC 9110 15.5.6): {}",
            answer.head
        );
    }
    for target in ["/x", "*"] {
        let answer = ask(&stand, format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n"));
        assert!([200, 204].contains(&answer.status), "{}", answer.head);
    }
    assert_eq!(ask(&stand, line("OPTIONS * HTTP/1.1")).status, 200);
    assert_eq!(stand.targets(0), Vec::<String>::new(), "none of these is for the application");
    for (given, passed_on) in [("5", "4"), ("1", "0"), ("007", "6")] {
        let bytes = format!("OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: {given}\r\n\r\n");
        assert_eq!(passed(&stand, bytes).field("max-forwards"), Some(passed_on));
    }
    assert_eq!(passed(&stand, "OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n").field("max-forwards"), None);
    // It means nothing to other methods.
    assert_eq!(passed(&stand, get("Max-Forwards: 5\r\n")).field("max-forwards"), Some("5"));
}

#[test]
fn c07_via_names_us_to_the_application() {
    let stand = echoing();
    assert_eq!(passed(&stand, get("")).all("via"), [b"1.1 vestibule"]);
    let old = passed(&stand, "GET /x HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(old.all("via"), [b"1.0 vestibule"], "the version that was received");
    let both = passed(&stand, get("Via: 1.0 first, 1.1 second\r\n")).all("via").join(&b", "[..]);
    assert_eq!(String::from_utf8_lossy(&both), "1.0 first, 1.1 second, 1.1 vestibule");
    let named = Stand::with("[fields]\nvia = \"edge\"\n", Chunks::Refused, |_| None);
    assert_eq!(passed(&named, get("")).all("via"), [b"1.1 edge"]);
    let none = Stand::with("[fields]\nvia = false\n", Chunks::Refused, |_| None);
    assert!(!passed(&none, get("")).has("via"));
    assert_eq!(passed(&none, get("Via: 1.1 first\r\n")).all("via"), [b"1.1 first"]);
}

#[test]
fn c08_path_and_query_pass_unchanged_and_nothing_is_transformed() {
    let stand = answering(
        "HTTP/1.1 200 OK\r\nCache-Control: no-transform\r\nContent-Type: text/html\r\nETag: \"v\"\r\nContent-Length: 9\r\n\r\n<p> x</p>",
    );
    for target in
        ["/a/../b//c?x=1&x=%2f#".trim_end_matches('#'), "/%00%0d%0a", "/?", "//x", "/\\..\\x", "/%7Euser?%7e"]
    {
        assert_eq!(passed(&stand, line(format!("GET {target} HTTP/1.1"))).target, target);
    }
    let lines = "Accept-Encoding: gzip, br\r\nCache-Control: no-transform\r\n";
    let request = passed(&stand, get(lines));
    assert_eq!(request.field("accept-encoding"), Some("gzip, br"));
    assert_eq!(request.field("cache-control"), Some("no-transform"));
    let answer = ask(&stand, get(lines));
    assert_eq!((answer.text().as_str(), answer.field("content-encoding")), ("<p> x</p>", None));
    assert_eq!((answer.field("cache-control"), answer.field("etag")), (Some("no-transform"), Some("\"v\"")));
}

#[test]
fn c09_no_protocol_that_was_not_offered() {
    let changed = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n";
    let stand = answering(changed);
    for lines in ["", "Connection: Upgrade\r\nUpgrade: echo\r\n", "Upgrade: other\r\n"] {
        assert_eq!(ask(&stand, get(lines)).status, 502, "{lines:?}");
    }
    // From a client of HTTP/1.0 it is ignored (RFC 9110 7.8).
    let request =
        passed(&stand, "GET /old HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n");
    assert!(!request.has("upgrade"), "{request:?}");
}

#[test]
fn c10_a_content_length_is_right_or_not_there() {
    for lines in
        ["Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: x\r\n", "Content-Length: -1\r\n"]
    {
        let stand = answering(format!("HTTP/1.1 200 OK\r\n{lines}\r\nhello"));
        assert_eq!(ask(&stand, post(lines)).status, 400, "{lines:?}");
        assert_eq!(ask(&stand, get("")).status, 502, "{lines:?} of the application");
    }
    // None on 204 and on interim answers.
    let stand = answering(
        "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nLink: </a>\r\n\r\n\
         HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    );
    let mut client = stand.connect();
    send(&mut client, get(""));
    for status in [103, 204] {
        let head = client.response_head().expect("a head");
        assert_eq!(head.status, status);
        assert!(head.field("content-length").is_none(), "{}", head.head);
        assert!(head.field("transfer-encoding").is_none(), "{}", head.head);
    }
    stand.on(&mut client).expect("the connection is in step");
}

#[test]
fn c11_no_content_where_none_belongs() {
    for (method, status) in [("HEAD", 200), ("HEAD", 404), ("GET", 204), ("GET", 304), ("POST", 204)] {
        let stand = answering(format!("HTTP/1.1 {status} X\r\nContent-Length: 4\r\n\r\nbody"));
        let mut client = stand.connect();
        send(&mut client, format!("{method} /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
        let head = client.head_response().expect("an answer");
        assert_eq!(head.status, status, "{method}");
        stand.on(&mut client).unwrap_or_else(|fault| panic!("{method} {status}: {fault}"));
    }
    // Our own answers too.
    let stand = Stand::with("[[route]]\nhost = \"known\"\nupstream = \"app\"\n", Chunks::Refused, |_| None);
    let mut client = stand.connect();
    send(&mut client, "HEAD / HTTP/1.1\r\nHost: unknown\r\n\r\n");
    assert_eq!(client.head_response().expect("an answer").status, 404);
    send(&mut client, "GET /x HTTP/1.1\r\nHost: known\r\n\r\n");
    assert_eq!(client.response().expect("an answer in step").text(), "GET /x");
}

#[test]
fn c12_expect_is_answered_and_never_hangs() {
    let stand = echoing();
    let mut client = stand.connect();
    send(&mut client, "POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.response_head().expect("an interim answer").head, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(ask_on(&mut client, "hello").text(), "POST /x");
    // What arrives at once needs no 100.
    send(
        &mut client,
        "POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    );
    assert_eq!(client.response().expect("an answer").text(), "POST /x");
    // The application, which waits for the body, is not asked.
    assert!(stand.origin.requests().iter().all(|request| !request.has("expect") && request.body == b"hello"));
    let answer = ask(&stand, get("Expect: something-else\r\n"));
    assert_eq!(answer.status, 417);
}

#[test]
fn c13_te_is_of_one_hop() {
    let stand = echoing();
    for lines in ["TE: trailers\r\nConnection: TE\r\n", "TE: gzip;q=0.5, trailers\r\n", "TE:\r\n"] {
        let request = passed(&stand, get(lines));
        assert!(!request.has("te") && !request.has("connection"), "{request:?}");
    }
}

#[test]
fn c14_interim_answers_pass_but_not_to_http_1_0() {
    let stand = answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\
         Connection: X-Hop\r\nX-Hop: 1\r\n\r\nHTTP/1.1 199 Odd\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let mut client = stand.connect();
    send(&mut client, get(""));
    let mut seen = Vec::new();
    let last = loop {
        let head = client.response_head().expect("a head");
        if head.status >= 200 {
            break head;
        }
        seen.push(head);
    };
    let statuses: Vec<u16> = seen.iter().map(|head| head.status).filter(|status| *status != 100).collect();
    assert_eq!((statuses, last.status), (vec![102, 103, 199], 200));
    let hints = seen.iter().find(|head| head.status == 103).expect("found above");
    assert_eq!((hints.all("link"), hints.field("x-hop")), (vec!["</a>", "</b>"], None));
    assert_eq!(client.body(last, false).expect("a body").text(), "ok");
    let mut old = stand.connect();
    send(&mut old, "GET /x HTTP/1.0\r\nHost: a\r\n\r\n");
    let answer = old.response().expect("an answer");
    assert_eq!((answer.status, answer.text()), (200, "ok".to_owned()));
}

#[test]
fn c15_preconditions_and_ranges_pass_both_ways() {
    let lines = [
        ("If-Match", "\"a\", W/\"b\""),
        ("If-None-Match", "*"),
        ("If-Modified-Since", "Thu, 01 Jan 2015 00:00:00 GMT"),
        ("If-Unmodified-Since", "not a date"),
        ("If-Range", "\"a\""),
        ("Range", "bytes=0-4, 7-"),
    ];
    let stand = Stand::with("", Chunks::Refused, |seen| {
        let Seen::Whole(request) = seen else { return None };
        let answer = match request.target.as_str() {
            "/206" => {
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/9\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\nhello"
            }
            "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n",
            "/412" => "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 2\r\n\r\nno",
            "/416" => {
                "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */9\r\nContent-Length: 0\r\n\r\n"
            }
            _ => return None,
        };
        Some(vec![Act::Write(answer.as_bytes().to_vec())])
    });
    let text: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    for method in ["GET", "HEAD", "PUT"] {
        let mut client = stand.connect();
        send(&mut client, format!("{method} /x HTTP/1.1\r\nHost: a\r\n{text}\r\n"));
        client.response_head().expect("an answer");
        let request = stand.origin.requests().last().cloned().expect("a request");
        for (name, value) in lines {
            assert_eq!(request.field(name), Some(value), "{method}");
        }
    }
    for (target, status, range, body) in [
        ("/206", 206, Some("bytes 0-4/9"), "hello"),
        ("/304", 304, None, ""),
        ("/412", 412, None, "no"),
        ("/416", 416, Some("bytes */9"), ""),
    ] {
        let answer = ask(&stand, format!("GET {target} HTTP/1.1\r\nHost: a\r\n{text}\r\n"));
        assert_eq!(
            (answer.status, answer.field("content-range"), answer.text().as_str()),
            (status, range, body)
        );
    }
}

#[test]
fn c16_a_304_keeps_what_a_cache_needs() {
    let fields = [
        ("ETag", "\"v1\""),
        ("Vary", "Accept-Encoding, Cookie"),
        ("Cache-Control", "max-age=60"),
        ("Expires", "Thu, 01 Jan 2037 00:00:00 GMT"),
        ("Content-Location", "/x.en"),
        ("Last-Modified", "Thu, 01 Jan 2015 00:00:00 GMT"),
    ];
    let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let stand = answering(format!("HTTP/1.1 304 Not Modified\r\n{lines}\r\n"));
    let mut client = stand.connect();
    let answer = ask_on(&mut client, get("If-None-Match: \"v1\"\r\n"));
    assert_eq!(answer.status, 304);
    for (name, value) in fields {
        assert_eq!(answer.field(name), Some(value));
    }
    assert!(answer.field("date").is_some(), "{}", answer.head);
    stand.on(&mut client).expect("the connection goes on");
}
