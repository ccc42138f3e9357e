//! Desync: where one side could take for the next request, or the next answer, what belongs to this one.

use std::net::{Shutdown, TcpStream};

use super::oracle::{Case, F, R, S, judge};
use crate::support::canonical::Chunks;
use crate::support::client::Client;
use crate::support::origin::{Act, Seen, echo};
use crate::support::stand::{STREAMING, Stand, further, line, own_answer, post_with, send};

/// What a body looks like that wants to be the next request.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

/// A route for one host only, so that another host is answered by us.
const ONE_HOST: &str = "[[route]]\nhost = \"known\"\nupstream = \"app\"\n";

fn nowhere(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: nowhere\r\n{lines}\r\n")
}

fn known(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: known\r\n\r\n")
}

/// Asserts that what is left of the connection is either closed, or in step.
fn is_in_step(client: &mut Client<TcpStream>, closes: bool, what: &str) {
    if !closes {
        send(client, known("/next"));
        let answer = client.response().unwrap_or_else(|error| panic!("{what}: no answer: {error}"));
        assert_eq!(answer.text(), "GET /next", "{what}");
    }
    let _ = client.stream().shutdown(Shutdown::Write);
    let rest = client.rest().unwrap_or_default();
    assert!(rest.is_empty(), "{what}: a further answer {:?}", String::from_utf8_lossy(&rest));
}

#[test]
fn a_body_left_unread_by_an_error_is_no_request() {
    let stand = Stand::with(ONE_HOST, Chunks::Refused, |_| None);
    let length = format!("Content-Length: {}\r\n", HIDDEN.len());
    let chunks = format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len());
    for (lines, body) in [(length.as_str(), HIDDEN), ("Transfer-Encoding: chunked\r\n", chunks.as_str())] {
        for comes_later in [false, true] {
            let what = format!("{lines:?}, the body later: {comes_later}");
            let mut client = stand.connect();
            let head = nowhere(lines);
            if comes_later {
                send(&mut client, head);
            } else {
                send(&mut client, format!("{head}{body}"));
            }
            let answer = client.response().expect("an answer");
            assert_eq!(answer.status, 404, "{what}");
            assert!(answer.closes() || !comes_later, "{what}: kept, though the body is still to come");
            if comes_later {
                send(&mut client, body);
            }
            is_in_step(&mut client, answer.closes(), &what);
        }
    }
    assert!(!stand.targets(0).contains(&"/hidden".to_owned()), "{:?}", stand.targets(0));
}

#[test]
fn a_body_left_unread_by_the_application_is_no_request() {
    // The application answers when it has the head, keeps the connection, and never reads on.
    let stand = Stand::with(STREAMING, Chunks::Allowed, |seen| match seen {
        Seen::Head(request) if request.target == "/early" => {
            Some(vec![Act::Write(b"HTTP/1.1 403 No\r\nX-Origin: 1\r\nContent-Length: 2\r\n\r\nno".to_vec())])
        }
        _ => None,
    });
    for lines in ["Content-Length: 200\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut client = stand.connect();
        let begin = if lines.starts_with('C') { HIDDEN.to_owned() } else { format!("21\r\n{HIDDEN}") };
        send(&mut client, format!("POST /early HTTP/1.1\r\nHost: a\r\n{lines}\r\n{begin}"));
        let answer = client.response().expect("an answer");
        assert_eq!((answer.status, answer.text()), (403, "no".to_owned()), "{lines:?}");
        // The rest of the body, and it too looks like requests.
        send(&mut client, HIDDEN.repeat(4));
        if answer.closes() {
            let rest = client.rest().unwrap_or_default();
            assert!(rest.is_empty(), "{lines:?}: {:?}", String::from_utf8_lossy(&rest));
        }
        for _ in 0..5 {
            stand.another().unwrap_or_else(|fault| panic!("{lines:?}: {fault}"));
        }
    }
    let record = stand.origin.record();
    for wire in record.wires.iter().filter(|wire| wire.bytes.starts_with(b"POST /early")) {
        let heads = wire.bytes.windows(9).filter(|bytes| *bytes == b" HTTP/1.1").count();
        let hidden = wire.bytes.windows(7).filter(|bytes| *bytes == b"/hidden").count();
        assert_eq!(
            heads,
            1 + hidden,
            "the connection was used again: {:?}",
            String::from_utf8_lossy(&wire.bytes)
        );
    }
    assert!(record.requests.iter().all(|request| request.target != "/hidden"), "{:?}", record.requests);
}

#[test]
fn an_early_answer_does_not_end_what_the_client_still_sends() {
    let stand = Stand::with(STREAMING, Chunks::Allowed, |seen| match seen {
        Seen::Head(request) if request.target == "/early" => {
            Some(vec![Act::Write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly".to_vec())])
        }
        _ => None,
    });
    let mut client = stand.connect();
    let body = HIDDEN.repeat(10);
    let half = body.len() / 2;
    send(&mut client, format!("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
    send(&mut client, &body[..half]);
    let answer = client.response().expect("an answer");
    assert_eq!((answer.status, answer.text()), (200, "early".to_owned()));
    send(&mut client, &body[half..]);
    // Read to its end or closed: the next answer is never that to a part of the body.
    if !answer.closes() {
        let (request, path) = further();
        send(&mut client, request);
        own_answer(&mut client, &path).expect("its own answer");
    }
    stand.another().expect("its own answer");
    assert!(stand.origin.requests().iter().all(|request| request.target != "/hidden"));
}

#[test]
fn expect_is_answered_by_us_with_and_without_a_body() {
    let is_hello = |request: &crate::support::canonical::Canonical| request.body == b"hello";
    judge([
        Case::new(post_with("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"), F)
            .with("the body is whole", is_hello),
        Case::new(
            post_with("Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
            F,
        )
        .with("the body is whole", is_hello),
        Case::new(post_with("Expect: 100-continue\r\n", ""), F),
        Case::new(post_with("Expect: 100-continue\r\nContent-Length: 0\r\n", ""), F),
        Case::new("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", F),
        Case::new("POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", F)
            .with("the body is whole", is_hello),
    ]);
}

#[test]
fn expect_of_something_else_is_refused() {
    judge(["200-ok", "100-continue, x", "100", "x, 100-continue", "\"100-continue\""].map(|value| {
        Case::new(post_with(format!("Expect: {value}\r\nContent-Length: 5\r\n"), "hello"), &[400, 417])
    }));
}

#[test]
fn a_client_that_waits_for_100_gets_it_once_and_only_if_there_is_a_body() {
    let stand = Stand::new();
    let mut client = stand.connect();
    for round in 0..3 {
        send(&mut client, "POST /w HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(client.response_head().expect("an interim answer").status, 100, "{round}");
        send(&mut client, "hello");
        let answer = client.response().expect("an answer");
        assert_eq!((answer.status, answer.text()), (200, "POST /w".to_owned()), "{round}");
    }
    for lines in ["", "Content-Length: 0\r\n"] {
        send(&mut client, format!("POST /n HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{lines}\r\n"));
        assert_eq!(client.response().expect("an answer").text(), "POST /n", "{lines:?}");
    }
    let mut old = stand.connect();
    send(&mut old, "POST /o HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(old.response().expect("no interim answer to HTTP/1.0").text(), "POST /o");
}

#[test]
fn an_error_instead_of_100_leaves_no_body_behind() {
    let stand = Stand::with(ONE_HOST, Chunks::Refused, |_| None);
    for (lines, hidden) in [
        (format!("Content-Length: {}\r\n", HIDDEN.len()), HIDDEN.to_owned()),
        ("Transfer-Encoding: chunked\r\n".to_owned(), format!("21\r\n{HIDDEN}\r\n0\r\n\r\n")),
    ] {
        // The client may send the body all the same, or leave it out and go on.
        for next in [hidden, HIDDEN.replace("hidden", "left-out")] {
            let mut client = stand.connect();
            send(&mut client, nowhere(&format!("Expect: 100-continue\r\n{lines}")));
            let answer = client.response().expect("an answer");
            assert_eq!(answer.status, 404, "an interim answer though nobody wants the body: {}", answer.head);
            assert!(answer.closes(), "nobody can know what comes next: {}", answer.head);
            send(&mut client, &next);
            is_in_step(&mut client, true, &lines);
        }
    }
    stand.connect();
    assert_eq!(stand.targets(0), Vec::<String>::new());
}

#[test]
fn fields_that_the_framing_needs_cannot_be_nominated_away() {
    for name in
        ["Content-Length", "content-length", "Host", "X-Forwarded-For", "X-Forwarded-Proto", "X-Request-Id"]
    {
        judge([Case::new(
            post_with(format!("Connection: {name}\r\nContent-Length: {}\r\n", HIDDEN.len()), HIDDEN),
            &[200, 400],
        )
        .with("the body is framed", |request| request.body == HIDDEN.as_bytes())
        .with("Host is there", |request| request.field("host") == Some("a"))
        .with("who the client is too", |request| {
            request.field("x-forwarded-for") == Some("127.0.0.1")
                && request.field("x-forwarded-proto") == Some("http")
                && request.has("x-request-id")
        })]);
    }
    judge(["Content-Length", "Transfer-Encoding", "Content-Length, Transfer-Encoding"].map(|names| {
        let lines = format!("Connection: {names}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n");
        Case::new(post_with(lines, "0\r\n\r\n"), R)
    }));
    judge(["Transfer-Encoding", "transfer-encoding, close, Content-Length", "Connection"].map(|names| {
        let bytes = post_with(
            format!("Connection: {names}\r\nTransfer-Encoding: chunked\r\n"),
            "5\r\nhello\r\n0\r\n\r\n",
        );
        Case::new(bytes, &[200, 400]).with("the body is whole", |request| request.body == b"hello")
    }));
}

#[test]
fn a_nominated_authorization_goes_or_stays_and_is_never_another_ones() {
    judge([Case::new(
        post_with("Connection: Authorization, Cookie\r\nAuthorization: Basic x\r\nCookie: a=b\r\n", ""),
        &[200, 400],
    )
    .with("nominated fields are of one hop", |request| {
        !request.has("authorization") && !request.has("cookie") && !request.has("connection")
    })]);
}

#[test]
fn an_error_inside_a_pipeline_ends_it() {
    let stand = Stand::new();
    for (bad, statuses) in [
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", R),
        ("POST / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", R),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", R),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX0\r\n\r\n", R),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n", S),
        ("\0\0\0\0\r\n\r\n", R),
    ] {
        let before = stand.origin.requests().len();
        let mut client = stand.connect();
        let good = |path: &str| String::from_utf8(line(format!("GET {path} HTTP/1.1"))).expect("text");
        let body = "POST /two HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        send(&mut client, format!("{}{body}{bad}{}{}", good("/one"), good("/three"), good("/four")));
        assert_eq!(client.response().expect("the first answer").text(), "GET /one", "{bad:?}");
        assert_eq!(client.response().expect("the second answer").text(), "POST /two", "{bad:?}");
        let refused = client.response().expect("the third answer");
        assert!(statuses.contains(&refused.status) && refused.closes(), "{bad:?}: {}", refused.head);
        assert!(client.rest().expect("an orderly end").is_empty(), "{bad:?}: answers behind the error");
        let next = stand.another().unwrap_or_else(|fault| panic!("{bad:?}: {fault}"));
        assert_eq!(stand.targets(before), ["/one", "/two", &next], "{bad:?}");
    }
}

#[test]
fn http_2_is_never_upgraded_to() {
    let settings = "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n";
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    judge(["h2c", "H2C", "h2c, websocket", "h2", "HTTP/2.0", "websocket, h2c"].map(|protocol| {
        let lines = format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\n{settings}");
        // The canonical reader takes no HTTP2-Settings.
        Case::new(post_with(lines, ""), F).with("HTTP/2 is not offered", |request| {
            let offered = request.field("upgrade").unwrap_or_default().to_lowercase();
            !offered.split(',').any(|one| one.trim() == "h2c")
        })
    }));
    let stand = Stand::new();
    let mut client = stand.connect();
    send(
        &mut client,
        format!(
            "GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n{settings}\r\n{preface}"
        ),
    );
    assert_eq!(client.response().expect("an answer").text(), "GET /up");
    let refused = client.response().expect("an answer to the preface");
    assert!([400, 505].contains(&refused.status), "{}", refused.head);
    assert_eq!(stand.targets(0), ["/up"]);
}

#[test]
fn a_refused_upgrade_leaves_no_tunnel() {
    // An application that does not change the protocol answers as always: what follows is the next request, and is
    // held to all rules.
    let stand = Stand::new();
    let upgrade = "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 99\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut client = stand.connect();
    send(&mut client, upgrade);
    assert_eq!(client.response().expect("an answer").text(), "GET /socket");
    stand.on(&mut client).expect("its own answer");
    send(
        &mut client,
        format!("{upgrade}GET /raw HTTP/1.1\r\nHost: a\r\nX-Sendfile-Type: x\r\nA_B: c\r\n\r\n"),
    );
    assert_eq!(client.response().expect("an answer").text(), "GET /socket");
    assert_eq!(client.response().expect("an answer").text(), "GET /raw");
    // The canonical reader takes neither of the two fields.
    assert_eq!(stand.targets(0).last().map(String::as_str), Some("/raw"));
}

#[test]
fn an_answer_that_was_cut_is_not_continued_by_the_next_one() {
    let stand = Stand::with("", Chunks::Refused, |seen| match seen {
        Seen::Whole(request) if request.target == "/cut" => Some(vec![
            Act::Write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nbegin".to_vec()),
            Act::Close,
        ]),
        Seen::Whole(request) => Some(vec![echo(request)]),
        Seen::Head(_) => None,
    });
    let mut client = stand.connect();
    send(&mut client, [line("GET /cut HTTP/1.1"), line("GET /behind HTTP/1.1")].concat());
    match client.response() {
        // Nothing was passed on yet: 502, and the connection may go on in step.
        Ok(answer) => {
            assert_eq!(answer.status, 502);
            if !answer.closes() {
                assert_eq!(client.response().expect("an answer").text(), "GET /behind");
            }
        }
        Err(error) => assert!(
            matches!(error.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset),
            "{error}"
        ),
    }
    stand.another().expect("its own answer");
}

#[test]
fn an_early_answer_to_a_body_on_disk_is_in_step() {
    let stand = Stand::with("", Chunks::Refused, |seen| match seen {
        // As a rule before the body is all there; the origin may have read it all by then.
        Seen::Head(request) | Seen::Whole(request) if request.target == "/early" => {
            Some(vec![Act::Write(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno".to_vec())])
        }
        _ => None,
    });
    let body = HIDDEN.repeat(30_000);
    let mut client = stand.connect();
    for round in 0..3 {
        send(
            &mut client,
            format!("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
        );
        let answer = client.response().expect("an answer");
        assert_eq!((answer.status, answer.text()), (403, "no".to_owned()), "{round}");
        if answer.closes() {
            assert!(client.is_closed(), "{round}: bytes behind the last answer");
            client = stand.connect();
        }
        stand.on(&mut client).unwrap_or_else(|fault| panic!("{round}: {fault}"));
    }
    let record = stand.origin.record();
    assert!(record.requests.iter().all(|request| request.target != "/hidden"));
    for wire in record.wires.iter().filter(|wire| wire.read < wire.bytes.len()) {
        // Cut inside the body: nothing else came behind it.
        assert_eq!(wire.fault, None);
        assert!(wire.bytes[wire.read..].starts_with(b"POST /early "));
    }
}

#[test]
fn a_100_never_stands_inside_an_answer() {
    let stand = Stand::with(STREAMING, Chunks::Allowed, |seen| match seen {
        Seen::Head(request) if request.target == "/early" => Some(vec![Act::Write(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n0\r\n\r\n".to_vec(),
        )]),
        _ => None,
    });
    for lines in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut client = stand.connect();
        send(&mut client, format!("POST /early HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{lines}\r\n"));
        let mut head = client.response_head().expect("a head");
        if head.status == 100 {
            head = client.response_head().expect("a head");
        }
        assert_eq!(head.status, 200, "{lines:?}");
        // The reader of chunks takes nothing between them.
        let answer = client.body(head, false).unwrap_or_else(|error| panic!("{lines:?}: {error}"));
        assert_eq!(answer.text(), "early", "{lines:?}");
        if answer.closes() {
            assert!(client.is_closed(), "{lines:?}");
        } else {
            send(&mut client, if lines.starts_with('C') { "hello" } else { "5\r\nhello\r\n0\r\n\r\n" });
            stand.on(&mut client).unwrap_or_else(|fault| panic!("{lines:?}: {fault}"));
        }
    }
}

#[test]
fn nothing_behind_a_close_is_a_request() {
    let stand = Stand::new();
    for first in [
        "GET /one HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /one HTTP/1.0\r\nHost: a\r\n\r\n",
        "POST /one HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "POST /one HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ] {
        let mut client = stand.connect();
        send(&mut client, format!("{first}{HIDDEN}"));
        assert!(client.response().expect("an answer").closes(), "{first:?}");
        let rest = client.rest().unwrap_or_default();
        assert!(rest.is_empty(), "{first:?}: {:?}", String::from_utf8_lossy(&rest));
    }
    stand.another().expect("its own answer");
    assert!(!stand.targets(0).contains(&"/hidden".to_owned()));
}
