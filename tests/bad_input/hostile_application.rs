//! Applications that break HTTP. What they send becomes a 502, or the client's connection is cut; it never passes for
//! whole, and the connection it came on is never used again.

mod head;

use std::io;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::support::canonical::Chunks;
use crate::support::client::Response;
use crate::support::origin::{Act, Seen};
use crate::support::stand::{Stand, send};
use crate::support::wait::seconds;

/// What passes for the answer to somebody else, if it is read as one.
const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";

/// What the client saw.
#[derive(Debug)]
enum Seeing {
    /// A whole answer, and the interim ones before it.
    Answer(Response),
    /// An end before the answer was whole.
    Cut,
}

/// What may become of a hostile answer.
#[derive(Clone, Copy)]
enum May {
    /// 502, or a cut.
    Fail,
    /// That, or 200 with this body.
    FailOrPass(&'static str),
    /// 200 with this body.
    Pass(&'static str),
}

/// Asks for something with `method`, which the application answers with `acts`, after ordinary traffic and before it.
fn meets(method: &str, acts: &[Act], may: May) -> Result<(), String> {
    let theirs = acts.to_vec();
    let limits = "timeout = { response = \"1s\", idle = \"2s\" }\n";
    let stand = Stand::with(limits, Chunks::Refused, move |seen| match seen {
        Seen::Whole(request) if request.target == "/hostile" => Some(theirs.clone()),
        _ => None,
    });
    let mut client = stand.connect();
    stand.on(&mut client)?;
    send(&mut client, format!("{method} /hostile HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
    let seen = loop {
        let whole = client.response_head().and_then(|head| client.body(head, method == "HEAD"));
        match whole {
            Ok(answer) if (100..200).contains(&answer.status) && answer.status != 101 => {}
            Ok(answer) => break Seeing::Answer(answer),
            Err(error) if is_cut(&error) => break Seeing::Cut,
            Err(error) => return Err(format!("the client saw {error}")),
        }
    };
    match (&seen, may) {
        (Seeing::Cut, May::Fail | May::FailOrPass(_)) => {}
        (Seeing::Answer(answer), May::Fail | May::FailOrPass(_)) if answer.status == 502 => {}
        (Seeing::Answer(answer), May::Pass(body) | May::FailOrPass(body))
            if (answer.status, answer.body.as_slice()) == (200, body.as_bytes()) => {}
        _ => return Err(format!("it became {seen:?}")),
    }
    let mut is_harmless = false;
    if let Seeing::Answer(answer) = seen {
        check_head(&answer.head)?;
        if !answer.closes() {
            stand.on(&mut client).map_err(|fault| format!("on the same connection: {fault}"))?;
        }
        let _ = client.stream().shutdown(Shutdown::Write);
        let rest = client.rest().unwrap_or_default();
        if !rest.is_empty() {
            return Err(format!("bytes behind the answers: {:?}", String::from_utf8_lossy(&rest)));
        }
        is_harmless = answer.status == 200 && matches!(may, May::FailOrPass(_));
    }
    for _ in 0..3 {
        stand.another()?;
    }
    check_origin(&stand, method, is_harmless)
}

fn is_cut(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
}

/// A connection that brought a hostile answer brings nothing after it (unless the answer `is_harmless`), and a POST is
/// never sent twice.
fn check_origin(stand: &Stand, method: &str, is_harmless: bool) -> Result<(), String> {
    let record = stand.origin.record();
    if let Some(fault) = record.faults().first() {
        return Err(fault.clone());
    }
    let hostile: Vec<_> = record.requests.iter().filter(|request| request.target == "/hostile").collect();
    if hostile.is_empty() || hostile.len() > 2 || (method == "POST" && hostile.len() > 1) {
        return Err(format!("{method} /hostile came {} times", hostile.len()));
    }
    for request in hostile {
        let last = record.requests.iter().rfind(|other| other.connection == request.connection);
        if last != Some(request) && !is_harmless {
            return Err(format!("its connection was used again, for {last:?}"));
        }
    }
    Ok(())
}

/// What a client is given must be well-formed, however it came.
fn check_head(head: &str) -> Result<(), String> {
    let mut lines = head.split("\r\n");
    lines.next();
    for line in lines.filter(|line| !line.is_empty()) {
        let name = line.split_once(':').map(|(name, _)| name).unwrap_or_default();
        let is_name = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        let has_control = line.bytes().any(|byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f);
        if !is_name || has_control {
            return Err(format!("the client got the line {line:?}"));
        }
    }
    Ok(())
}

/// Each of these answers, to GET and to POST, at the end of which the application keeps its connection open.
fn all<'a>(answers: impl IntoIterator<Item = &'a [u8]>, may: May) {
    let mut faults = Vec::new();
    for answer in answers {
        for method in ["GET", "POST"] {
            if let Err(fault) = meets(method, &[Act::Write(answer.to_vec())], may) {
                let shown = String::from_utf8_lossy(&answer[..answer.len().min(200)]).into_owned();
                faults.push(format!("{method}, {shown:?}: {fault}"));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// The same where the application closes its connection behind the answer.
fn all_closed<'a>(answers: impl IntoIterator<Item = &'a str>, may: May) {
    for answer in answers {
        for method in ["GET", "POST"] {
            let acts = [Act::Write(answer.as_bytes().to_vec()), Act::Close];
            if let Err(fault) = meets(method, &acts, may) {
                panic!("{method}, {:?}: {fault}", &answer[..answer.len().min(200)]);
            }
        }
    }
}

/// An answer with these lines and the body `hello`.
fn with_lines(lines: impl AsRef<[u8]>) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\n", lines.as_ref(), b"\r\nhello"].concat()
}

fn with_each<'a>(lines: impl IntoIterator<Item = &'a str>, may: May) {
    let answers: Vec<Vec<u8>> = lines.into_iter().map(with_lines).collect();
    all(answers.iter().map(Vec::as_slice), may);
}

#[test]
fn conflicting_and_malformed_lengths() {
    with_each(
        [
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 6\r\nContent-Length: 5\r\n",
            "Content-Length: 5, 6\r\n",
            "Content-Length:\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -5\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length: 5 5\r\n",
            "Content-Length: 5a\r\n",
            "Content-Length: 18446744073709551621\r\n",
        ],
        May::Fail,
    );
    with_each(
        ["Content-Length: 5\r\nContent-Length: 5\r\n", "Content-Length: 005\r\n"],
        May::FailOrPass("hello"),
    );
}

#[test]
fn both_framings_and_unknown_codings() {
    let body = "5\r\nhello\r\n0\r\n\r\n";
    let answers: Vec<String> = [
        "Content-Length: 15\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 15\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding:\r\n",
    ]
    .map(|lines| format!("HTTP/1.1 200 OK\r\n{lines}\r\n{body}"))
    .to_vec();
    all(answers.iter().map(String::as_bytes), May::Fail);
}

#[test]
fn answers_shorter_than_their_length() {
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n{}", "x".repeat(150_000));
    all_closed(
        [
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhello",
            &long,
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
            "HTTP/1.1 200 O",
            "HTTP/1.1 103 Early Hints\r\n\r\n",
            "",
        ],
        May::Fail,
    );
}

#[test]
fn bytes_behind_an_answer_at_once_and_later() {
    let whole = with_lines("Content-Length: 5\r\n");
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec();
    for answer in [whole, chunked] {
        for behind in [POISON, "x", "\r\n", "HTTP/1.1 100 Continue\r\n\r\n"] {
            for method in ["GET", "POST"] {
                let together = [Act::Write([answer.as_slice(), behind.as_bytes()].concat())];
                meets(method, &together, May::Pass("hello"))
                    .unwrap_or_else(|fault| panic!("{method}, {behind:?} at once: {fault}"));
            }
        }
    }
}

#[test]
fn bytes_behind_an_answer_before_the_next_request() {
    // Between two requests nobody asked for anything: what comes then is never the answer to the next one.
    for behind in [POISON, "x", "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"] {
        let poison = behind.as_bytes().to_vec();
        let stand = Stand::with("", Chunks::Refused, move |seen| match seen {
            Seen::Whole(request) if request.target == "/hostile" => Some(vec![
                Act::Write(with_lines("Content-Length: 5\r\n")),
                Act::Pause(Duration::from_millis(30)),
                Act::Write(poison.clone()),
            ]),
            _ => None,
        });
        let mut client = stand.connect();
        for _ in 0..3 {
            assert_eq!(client.get("/hostile").expect("an answer").text(), "hello");
            // Vestibule hears of it, and closes the connection by itself.
            let connection = stand.origin.requests().last().expect("a request").connection;
            stand.origin.wait_for("the connection is closed", |record| record.wires[connection].has_ended);
            stand.on(&mut client).unwrap_or_else(|fault| panic!("{behind:?}: {fault}"));
        }
    }
}

#[test]
fn a_body_where_none_belongs() {
    for (method, status, lines) in [
        ("HEAD", "200 OK", "Content-Length: 47\r\n"),
        ("HEAD", "200 OK", ""),
        ("HEAD", "200 OK", "Transfer-Encoding: chunked\r\n"),
        ("HEAD", "404 Not Found", "Content-Length: 47\r\n"),
        ("GET", "204 No Content", "Content-Length: 47\r\n"),
        ("GET", "204 No Content", ""),
        ("GET", "204 No Content", "Transfer-Encoding: chunked\r\n"),
        ("GET", "304 Not Modified", "Content-Length: 47\r\n"),
        ("GET", "304 Not Modified", ""),
        ("POST", "204 No Content", "Content-Length: 47\r\n"),
    ] {
        let what = format!("{method}, {status}, {lines:?}");
        let answer = format!("HTTP/1.1 {status}\r\n{lines}\r\n{POISON}").into_bytes();
        let stand = Stand::with("", Chunks::Refused, move |seen| match seen {
            Seen::Whole(request) if request.target == "/hostile" => Some(vec![Act::Write(answer.clone())]),
            _ => None,
        });
        let mut client = stand.connect();
        stand.on(&mut client).expect("ordinary traffic before");
        send(&mut client, format!("{method} /hostile HTTP/1.1\r\nHost: a\r\n\r\n"));
        let head = client.head_response().expect("an answer");
        assert!(head.status == 502 || status.starts_with(&head.status.to_string()), "{what}: {}", head.head);
        if head.status == 204 {
            let framing = head.all("content-length").len() + head.all("transfer-encoding").len();
            assert_eq!(framing, 0, "{what}: {}", head.head);
        }
        if head.status != 502 && !head.closes() {
            stand.on(&mut client).unwrap_or_else(|fault| panic!("{what}: {fault}"));
        }
        for _ in 0..3 {
            stand.another().unwrap_or_else(|fault| panic!("{what}: {fault}"));
        }
        check_origin(&stand, method, false).unwrap_or_else(|fault| panic!("{what}: {fault}"));
    }
}

#[test]
fn lengths_that_contradict_themselves_where_no_body_comes() {
    // A length that cannot be true is not passed on, though here it frames nothing (RFC 9110 8.6).
    let mut faults = Vec::new();
    for lines in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: 18446744073709551621\r\n",
        "Content-Length: +5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    ] {
        for (method, status) in [("HEAD", "200 OK"), ("GET", "304 Not Modified"), ("GET", "204 No Content")] {
            let answer = format!("HTTP/1.1 {status}\r\n{lines}\r\n").into_bytes();
            let stand = Stand::with("", Chunks::Refused, move |seen| match seen {
                Seen::Whole(request) if request.target == "/hostile" => {
                    Some(vec![Act::Write(answer.clone())])
                }
                _ => None,
            });
            let mut client = stand.connect();
            send(&mut client, format!("{method} /hostile HTTP/1.1\r\nHost: a\r\n\r\n"));
            let head = client.response_head().expect("an answer");
            let told = head.all("content-length");
            if head.status != 502 && !told.is_empty() {
                faults.push(format!("{method}, {status}, {lines:?}: told {told:?}"));
            }
            stand.another().unwrap_or_else(|fault| panic!("{method}, {status}, {lines:?}: {fault}"));
            check_origin(&stand, method, false)
                .unwrap_or_else(|fault| panic!("{method}, {status}, {lines:?}: {fault}"));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn faults_in_chunks() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (much, many) = ("x".repeat(100_000), "X-Y: z\r\n".repeat(20_000));
    let bodies = [
        "zz\r\nhello\r\n0\r\n\r\n".to_owned(),
        "\r\nhello\r\n0\r\n\r\n".to_owned(),
        "-5\r\nhello\r\n0\r\n\r\n".to_owned(),
        "0x5\r\nhello\r\n0\r\n\r\n".to_owned(),
        "10000000000000005\r\nhello\r\n0\r\n\r\n".to_owned(),
        "5\nhello\r\n0\r\n\r\n".to_owned(),
        "5\r\nhelloXX0\r\n\r\n".to_owned(),
        "4\r\nhello\r\n0\r\n\r\n".to_owned(),
        "5\r\nhello\n0\r\n\r\n".to_owned(),
        "5;\0\r\nhello\r\n0\r\n\r\n".to_owned(),
        "5\r\nhello\r\n0\r\n\n".to_owned(),
        "5\r\nhello\r\n0\r\nNoColon\r\n\r\n".to_owned(),
        "5\r\nhello\r\n0\r\n X: y\r\n\r\n".to_owned(),
        "5\r\nhello\r\n0\r\nX: a\0b\r\n\r\n".to_owned(),
        format!("5;{much}\r\nhello\r\n0\r\n\r\n"),
        format!("5\r\nhello\r\n0\r\nX: {much}\r\n\r\n"),
        format!("5\r\nhello\r\n0\r\n{many}\r\n"),
    ];
    let answers: Vec<String> = bodies.iter().map(|body| format!("{head}{body}")).collect();
    all(answers.iter().map(String::as_bytes), May::Fail);
    let cut = [
        "",
        "5",
        "5\r\n",
        "5\r\nhel",
        "5\r\nhello",
        "5\r\nhello\r\n",
        "5\r\nhello\r\n0",
        "5\r\nhello\r\n0\r\n",
    ];
    let cut: Vec<String> = cut.iter().map(|body| format!("{head}{body}")).collect();
    all_closed(cut.iter().map(String::as_str), May::Fail);
    all_closed([format!("{head}5\r\nhello\r\n0\r\nX: y\r\n").as_str()], May::Fail);
}

#[test]
fn answers_that_drip_or_stop() {
    let drip = |begin: &str, byte: &str| {
        let mut acts = vec![Act::Write(begin.as_bytes().to_vec())];
        for _ in 0..200 {
            acts.extend([Act::Pause(Duration::from_millis(50)), Act::Write(byte.as_bytes().to_vec())]);
        }
        acts
    };
    let stop = |begin: &str| vec![Act::Write(begin.as_bytes().to_vec()), Act::Pause(seconds(60))];
    // `timeout.response` is 1 s and `timeout.idle` 2 s: a head that drips has the first for the whole of it.
    for (acts, statuses) in [
        (drip("HTTP/1.1 200 OK\r\nX: ", "x"), &[502, 504][..]),
        (drip("H", "T"), &[502, 504]),
        (stop("HTTP/1.1 200 OK\r\n"), &[502, 504]),
        (stop(""), &[504]),
        (stop("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"), &[502, 504]),
        (stop("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"), &[]),
    ] {
        let (shown, theirs) = (format!("{:?}", acts[0]), acts);
        let limits = "timeout = { response = \"1s\", idle = \"2s\" }\n";
        let stand = Stand::with(limits, Chunks::Refused, move |seen| match seen {
            Seen::Whole(request) if request.target == "/hostile" => Some(theirs.clone()),
            _ => None,
        });
        let start = Instant::now();
        let mut client = stand.connect();
        send(&mut client, "POST /hostile HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        match client.response() {
            Ok(answer) => assert!(statuses.contains(&answer.status), "{shown}: {}", answer.head),
            Err(error) => assert!(is_cut(&error), "{shown}: {error}"),
        }
        assert!(start.elapsed() < seconds(9), "{shown}: {:?}", start.elapsed());
        stand.another().unwrap_or_else(|fault| panic!("{shown}: {fault}"));
        check_origin(&stand, "POST", false).unwrap_or_else(|fault| panic!("{shown}: {fault}"));
    }
}
