//! What an intermediary owes both sides (RFC 9110 7 and 10): the bytes that reach the application, what is answered here.

use crate::forwarding::{connect, plain, scripted};
use crate::support::client::Response;
use crate::support::dir::Dir;
use crate::support::fake::{Fake, Request};
use crate::support::vestibule::{Vestibule, config};

/// A Vestibule with these lines before the rest of its configuration, in front of an origin that answers everything.
fn with(dir: &Dir, top: &str, tables: &str) -> (Vestibule, Fake) {
    let origin = Fake::echoing(&dir.socket());
    (Vestibule::start(dir, &format!("{top}\n{}{tables}", config(dir, ""))), origin)
}

/// Sends one request and returns what reached the application.
fn pass(vestibule: &Vestibule, origin: &Fake, bytes: &str) -> Request {
    let before = origin.requests().len();
    let answer = answered(vestibule, bytes);
    let requests = origin.requests();
    assert_eq!((answer.status, requests.len()), (200, before + 1), "{bytes:?}: {}", answer.head);
    requests[before].clone()
}

/// Sends one request and returns its answer.
fn answered(vestibule: &Vestibule, bytes: &str) -> Response {
    let mut client = connect(vestibule);
    client.send(bytes).expect("sent");
    client.response().unwrap_or_else(|error| panic!("{bytes:?}: {error}"))
}

/// The head with what differs from request to request replaced.
fn settled(request: &Request) -> String {
    let id = request.field("x-request-id").expect("an id");
    let start = request.field("x-request-start").expect("a time");
    request.head.replace(id, "ID").replace(start, "TIME")
}

#[test]
fn the_application_gets_exactly_these_bytes() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    let request = pass(
        &vestibule,
        &origin,
        "\r\nget /A/../b?c=%20&d HTTP/1.1\r\nhOST:Shop.example:80\r\naCCEPT:\t*/* \r\n\r\n",
    );
    assert_eq!(
        settled(&request),
        "get /A/../b?c=%20&d HTTP/1.1\r\nHost: Shop.example:80\r\naCCEPT: */*\r\nX-Forwarded-For: 127.0.0.1\r\n\
         X-Real-IP: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: Shop.example:80\r\nVia: 1.1 vestibule\r\n\
         X-Request-Id: ID\r\nX-Request-Start: TIME\r\n\r\n"
    );
    let request = pass(&vestibule, &origin, "POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(
        settled(&request),
        "POST / HTTP/1.1\r\nHost: \r\nX-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n\
         X-Forwarded-Proto: http\r\nVia: 1.0 vestibule\r\nX-Request-Id: ID\r\nX-Request-Start: TIME\r\nContent-Length: 2\r\n\r\n"
    );
}

#[test]
fn a_trusted_peers_word_is_passed_on_in_exactly_these_bytes() {
    let dir = Dir::new();
    let (vestibule, origin) =
        with(&dir, "trusted_proxies = [\"127.0.0.0/8\"]", "[fields]\nforwarded = true\n");
    let request = pass(
        &vestibule,
        &origin,
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 2001:db8::7, 192.0.2.60\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: shop.example\r\nX-Forwarded-Port: 443\r\nX-Request-Id: edge-1\r\nX-Request-Start: t=5\r\n\r\n",
    );
    assert_eq!(
        request.head,
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 2001:db8::7, 192.0.2.60, 127.0.0.1\r\nX-Real-IP: 192.0.2.60\r\n\
         X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\nX-Forwarded-Port: 443\r\n\
         Forwarded: for=\"[2001:db8::7]\";host=shop.example;proto=https, for=192.0.2.60, for=127.0.0.1\r\n\
         Via: 1.1 vestibule\r\nX-Request-Id: edge-1\r\nX-Request-Start: t=5\r\n\r\n"
    );
}

#[test]
fn via_names_the_version_and_stands_behind_those_that_came() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    let chain =
        "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 fred, 1.1 p.example.net\r\nVia: 2 edge (a, comment)\r\n\r\n";
    assert_eq!(
        pass(&vestibule, &origin, chain).all("via"),
        ["1.0 fred, 1.1 p.example.net", "2 edge (a, comment)", "1.1 vestibule"]
    );
    assert_eq!(pass(&vestibule, &origin, "GET / HTTP/1.0\r\n\r\n").all("via"), ["1.0 vestibule"]);
}

#[test]
fn via_has_the_name_it_is_given_or_is_left_out() {
    let dir = Dir::new();
    let (vestibule, origin) = with(&dir, "", "[fields]\nvia = \"edge-7\"\n");
    assert_eq!(pass(&vestibule, &origin, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").all("via"), ["1.1 edge-7"]);
    let dir = Dir::new();
    let (vestibule, origin) = with(&dir, "", "[fields]\nvia = false\n");
    let request = pass(&vestibule, &origin, "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 fred\r\n\r\n");
    assert_eq!(request.all("via"), ["1.0 fred"], "what came is not ours to remove");
}

#[test]
fn answers_have_no_via_of_ours_and_keep_the_applications() {
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, |conversation| {
        while conversation.request().is_some() {
            let _ = conversation.write("HTTP/1.1 200 OK\r\nVia: 1.1 cache\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let answer = answered(&vestibule, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer.all("via"), ["1.1 cache"]);
}

#[test]
fn forwarded_is_overwritten_for_strangers() {
    let dir = Dir::new();
    let (vestibule, origin) = with(&dir, "", "[fields]\nforwarded = true\n");
    let lie = "Forwarded: for=203.0.113.9;proto=https\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n";
    for (host, written) in [
        ("a.example", "for=127.0.0.1;host=a.example;proto=http"),
        ("a.example:8080", "for=127.0.0.1;host=\"a.example:8080\";proto=http"),
        ("[::1]", "for=127.0.0.1;host=\"[::1]\";proto=http"),
        ("a;b=c", "for=127.0.0.1;host=\"a;b=c\";proto=http"),
    ] {
        let request = pass(&vestibule, &origin, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n{lie}\r\n"));
        assert_eq!(request.all("forwarded"), [written]);
    }
    let request = pass(&vestibule, &origin, "GET / HTTP/1.0\r\n\r\n");
    assert_eq!(request.all("forwarded"), ["for=127.0.0.1;proto=http"]);
}

#[test]
fn forwarded_is_extended_for_trusted_peers() {
    let dir = Dir::new();
    let (vestibule, origin) = with(&dir, "trusted_proxies = [\"127.0.0.1\"]", "[fields]\nforwarded = true\n");
    for (fields, written) in [
        ("", "for=127.0.0.1;host=a;proto=http"),
        (
            "Forwarded: for=192.0.2.43;proto=https, for=\"[2001:db8::1]:80\"\r\nForwarded: for=_hidden\r\nX-Forwarded-For: 192.0.2.9\r\n",
            "for=192.0.2.43;proto=https, for=\"[2001:db8::1]:80\", for=_hidden, for=127.0.0.1",
        ),
        ("Forwarded:\r\n", "for=127.0.0.1;host=a;proto=http"),
        (
            "X-Forwarded-For: unknown, 192.0.2.1\r\n",
            "for=unknown;host=a;proto=http, for=192.0.2.1, for=127.0.0.1",
        ),
        ("X-Forwarded-Proto: a\"\\,b\r\n", "for=127.0.0.1;host=a;proto=\"a\\\"\\\\,b\""),
    ] {
        let request = pass(&vestibule, &origin, &format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(request.all("forwarded"), [written], "{fields:?}");
    }
}

#[test]
fn an_ipv6_address_is_told_in_the_form_of_each_field() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let text = config(&dir, "").replace("127.0.0.1:0", "[::1]:0") + "[fields]\nforwarded = true\n";
    let vestibule = Vestibule::start(&dir, &text);
    let request = pass(&vestibule, &origin, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(request.field("x-forwarded-for"), Some("::1"));
    assert_eq!(request.field("x-real-ip"), Some("::1"));
    assert_eq!(request.field("forwarded"), Some("for=\"[::1]\";host=a;proto=http"));
}

#[test]
fn forwarded_never_passes_unless_it_is_asked_for() {
    let dir = Dir::new();
    let (vestibule, origin) = with(&dir, "trusted_proxies = [\"127.0.0.1\"]", "");
    let request = pass(&vestibule, &origin, "GET / HTTP/1.1\r\nHost: a\r\nForwarded: for=192.0.2.43\r\n\r\n");
    assert_eq!(request.all("forwarded"), Vec::<&str>::new(), "what is not extended would be a lie");
}

#[test]
fn names_with_underscores_pass_when_told_so_but_for_those_that_decide_something() {
    let dir = Dir::new();
    let (vestibule, origin) = with(&dir, "", "[fields]\nunderscores = true\n");
    let bytes = "POST / HTTP/1.1\r\nHost: a\r\nX_Mine: 1\r\nx_also_mine: 2\r\nX_Forwarded_For: 203.0.113.9\r\n\
                 X-Forwarded_For: 203.0.113.9\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\nX_Real_IP: 203.0.113.9\r\n\
                 X_Sendfile_Type: X-Accel-Redirect\r\nX_Request_Id: 1\r\nContent_Type: x\r\nContent-Length: 2\r\n\r\nok";
    let request = pass(&vestibule, &origin, bytes);
    assert_eq!((request.field("x_mine"), request.field("x_also_mine")), (Some("1"), Some("2")));
    let with_underscores: Vec<&str> = request
        .head
        .lines()
        .skip(1)
        .filter_map(|line| line.split(':').next())
        .filter(|name| name.contains('_'))
        .collect();
    assert_eq!(with_underscores, ["X_Mine", "x_also_mine"], "{}", request.head);
}

#[test]
fn max_forwards_is_lowered_and_ends_here_at_nothing() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    for (given, passed) in
        [("1", "0"), ("10", "9"), ("007", "6"), ("99999999999999999999999", "18446744073709551614")]
    {
        let request = pass(
            &vestibule,
            &origin,
            &format!("OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: {given}\r\n\r\n"),
        );
        assert_eq!(request.all("max-forwards"), [passed], "{given}");
    }
    // Meant for us alone, it goes no further than any other field that Connection names (RFC 9110 7.6.1).
    let nominated = "OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 5\r\nConnection: max-forwards\r\n\r\n";
    assert_eq!(pass(&vestibule, &origin, nominated).all("max-forwards"), [""; 0]);
    // On any other method it says nothing (RFC 9110 7.6.2).
    let request = pass(&vestibule, &origin, "GET /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
    assert_eq!(request.all("max-forwards"), ["0"]);
    let seen = origin.requests().len();
    for zero in ["0", "000"] {
        is_answered_here(&answered(
            &vestibule,
            &format!("OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: {zero}\r\n\r\n"),
        ));
    }
    for bad in ["", "-1", "+1", "1.0", "0x1", "1, 1", "many"] {
        let bytes = format!("OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: {bad}\r\n\r\n");
        assert_eq!(answered(&vestibule, &bytes).status, 400, "{bad:?}");
    }
    let twice = "OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 5\r\nMax-Forwards: 5\r\n\r\n";
    assert_eq!(answered(&vestibule, twice).status, 400);
    assert_eq!(origin.requests().len(), seen, "none of these is forwarded");
}

/// An answer to OPTIONS that is ours.
fn is_answered_here(answer: &Response) {
    assert_eq!((answer.status, answer.field("content-length")), (200, Some("0")), "{}", answer.head);
    assert_eq!((answer.field("content-type"), answer.all("transfer-encoding")), (None, Vec::new()));
    let allow = answer.field("allow").expect("Allow");
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        assert!(allow.split(", ").any(|allowed| allowed == method), "{allow}");
    }
    assert!(!allow.contains("TRACE") && !allow.contains("CONNECT"), "{allow}");
}

#[test]
fn options_for_the_server_is_answered_here_whatever_comes_with_it() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    for target in ["*", "http://a", "HTTP://a:80"] {
        let mut client = connect(&vestibule);
        let head = format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n");
        client.send(format!("{head}\r\n")).expect("sent");
        is_answered_here(&client.response().expect("an answer"));
        client.send(format!("{head}Content-Length: 5\r\n\r\nhello")).expect("sent");
        is_answered_here(&client.response().expect("an answer"));
        client.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")).expect("sent");
        is_answered_here(&client.response().expect("an answer"));
        assert_eq!(client.get("/after").expect("the connection goes on").text(), "/after", "{target}");
    }
    for target in ["/", "/*", "http://a/", "http://a/?*"] {
        pass(&vestibule, &origin, &format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    assert!(origin.requests().iter().all(|request| request.target() != "*"));
}

#[test]
fn trace_and_connect_end_here() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    for (target, more) in
        [("/", ""), ("http://a/", "Max-Forwards: 0\r\n"), ("/", "Content-Length: 3\r\n\r\nabc")]
    {
        let end = if more.contains("\r\n\r\n") { "" } else { "\r\n" };
        let bytes = format!("TRACE {target} HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n{more}{end}");
        let answer = answered(&vestibule, &bytes);
        assert_eq!(answer.status, 405, "{}", answer.head);
        assert!(answer.field("allow").is_some_and(|allow| !allow.contains("TRACE")), "{}", answer.head);
        assert!(!answer.text().contains("secret") && !answer.head.contains("secret"));
    }
    for target in ["a:443", "*", "/", "http://a/"] {
        let answer = answered(&vestibule, &format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!([400, 405, 501].contains(&answer.status), "{target}: {}", answer.head);
    }
    assert!(origin.requests().is_empty());
}

#[test]
fn an_absolute_target_decides_who_is_asked_in_every_field() {
    let dir = Dir::new();
    let (vestibule, origin) = with(&dir, "", "[fields]\nforwarded = true\n");
    for (target, host, path) in [
        ("http://b.example/x?y", "b.example", "/x?y"),
        ("http://b.example:8080", "b.example:8080", "/"),
        ("HTTPS://b.example?q", "b.example", "/?q"),
    ] {
        let request = pass(&vestibule, &origin, &format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
        assert_eq!((request.target(), request.field("host")), (path, Some(host)));
        assert_eq!(request.field("x-forwarded-host"), Some(host));
        assert_eq!(request.field("x-forwarded-proto"), Some("http"), "what it came over, not what it says");
        let forwarded = request.field("forwarded").expect("Forwarded").replace('"', "");
        assert_eq!(forwarded, format!("for=127.0.0.1;host={host};proto=http"));
    }
    let old = pass(&vestibule, &origin, "GET http://b.example/ HTTP/1.0\r\n\r\n");
    assert_eq!((old.field("host"), old.field("x-forwarded-host")), (Some("b.example"), Some("b.example")));
}

#[test]
fn an_expectation_that_nobody_can_meet_is_refused() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    for expect in
        ["the-impossible", "100-continue, more", "100-continue;x=y", "100-continued", "\"100-continue\""]
    {
        let mut client = connect(&vestibule);
        client
            .send(format!("POST /x HTTP/1.1\r\nHost: a\r\nExpect: {expect}\r\nContent-Length: 2\r\n\r\n"))
            .expect("sent");
        assert_eq!(client.response().expect("an answer at once").status, 417, "{expect}");
        assert!(client.is_closed(), "what of the body comes now is no request");
    }
    assert!(origin.requests().is_empty());
    for expect in ["100-Continue", ", 100-continue,", "100-continue\r\nExpect: 100-continue"] {
        let mut client = connect(&vestibule);
        client
            .send(format!("POST /x HTTP/1.1\r\nHost: a\r\nExpect: {expect}\r\nContent-Length: 2\r\n\r\n"))
            .expect("sent");
        assert_eq!(client.response_head().expect("an interim answer").status, 100, "{expect:?}");
        client.send("ok").expect("sent");
        assert_eq!(client.response().expect("an answer").text(), "/x");
    }
    // RFC 9110 10.1.1: what an HTTP/1.0 client expects is ignored, and it is never sent a 100.
    for expect in ["100-continue", "the-impossible"] {
        let bytes = format!("POST /old HTTP/1.0\r\nExpect: {expect}\r\nContent-Length: 2\r\n\r\nok");
        let request = pass(&vestibule, &origin, &bytes);
        assert_eq!((request.body.as_slice(), request.all("expect")), (&b"ok"[..], Vec::new()));
    }
}

#[test]
fn instructions_to_a_front_end_stay_here() {
    let dir = Dir::new();
    let (vestibule, _origin) = scripted(&dir, |conversation| {
        while conversation.request().is_some() {
            let _ = conversation.write(
                "HTTP/1.1 200 OK\r\nX-Accel-Buffering: yes\r\nX-Accel-Expires: 60\r\nx-accel-limit-rate: 1\r\nX-Accel-Charset: utf-8\r\n\
                 X-ACCEL-REDIRECT: /internal/secret\r\nX-Sendfile: /srv/secret\r\nX-Accelerated: yes\r\nContent-Length: 2\r\n\r\nok",
            );
        }
    });
    let answer = answered(&vestibule, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = answer.head.to_lowercase();
    assert!(!head.contains("x-accel-") && !head.contains("secret") && !head.contains("sendfile"), "{head}");
    assert_eq!((answer.field("x-accelerated"), answer.text()), (Some("yes"), "ok".to_owned()));
}

#[test]
fn several_cookie_lines_become_one_that_parts_them_as_browsers_do() {
    let dir = Dir::new();
    let (vestibule, origin) = plain(&dir);
    let request = pass(
        &vestibule,
        &origin,
        "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1; b=2\r\nX: y\r\ncookie: c=3\r\nCOOKIE: d=4\r\n\r\n",
    );
    assert_eq!(request.all("cookie"), ["a=1; b=2; c=3; d=4"]);
    let request = pass(&vestibule, &origin, "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\n\r\n");
    assert_eq!(request.all("cookie"), ["a=1"]);
}

#[test]
fn what_a_stranger_says_of_its_certificate_never_passes() {
    let fields = "X-SSL-Client-Verify: SUCCESS\r\nx-ssl-client-s-dn: CN=admin\r\nX-SSL-Client-Anything: x\r\nClient-Cert: :AA==:\r\n\
                  Client-Cert-Chain: :AA==:\r\nX_SSL_Client_Verify: SUCCESS\r\nClient_Cert: :AA==:\r\n";
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let told = |request: &Request| {
        let head = request.head.to_lowercase();
        head.matches("x-ssl-client-").count()
            + head.matches("client-cert").count()
            + head.matches("client_").count()
    };
    for tables in ["", "\n[fields]\nunderscores = true\n"] {
        let dir = Dir::new();
        let (vestibule, origin) = with(&dir, "", tables);
        let seen = pass(&vestibule, &origin, &request);
        assert_eq!(told(&seen), 0, "{}", seen.head);
    }
    // A proxy before us that ended TLS may say so.
    let dir = Dir::new();
    let (vestibule, origin) = with(&dir, "trusted_proxies = [\"127.0.0.1\"]", "");
    let seen = pass(&vestibule, &origin, &request);
    assert_eq!(told(&seen), 5, "{}", seen.head);
}
