use std::rc::Rc;
use std::time::{Instant, SystemTime};

use vestibule_http1::{HeadLimits, Method, RequestHead};

use super::*;
use crate::request::{Door, Peer, Rules};

const LIMITS: HeadLimits = HeadLimits { bytes: 16_384, fields: 100 };

fn on() -> Compress {
    Compress { codings: vec![Coding::Zstd, Coding::Gzip, Coding::Brotli], ..Compress::default() }
}

/// The decision about an answer, and its fields as they go to the client.
fn decided(compress: &Compress, method: &str, asked: &str, answered: &str) -> (Compression, Vec<String>) {
    let bytes = format!("{method} / HTTP/1.1\r\nHost: a\r\n{asked}\r\n").into_bytes();
    let mut head = RequestHead::default();
    assert!(head.parse(&bytes, &mut 0, &LIMITS).unwrap());
    let door = Door::plain(Peer::new(None, &[]), Rc::new(Rules::default()));
    let request = Request {
        head: &head,
        bytes: &bytes,
        door: &door,
        arrived: Instant::now(),
        arrived_at: SystemTime::UNIX_EPOCH,
        serial: 1,
    };
    let bytes = format!("HTTP/1.1 {answered}\r\n").into_bytes();
    let mut head = ResponseHead::default();
    let kind = if method == "HEAD" { Method::Head } else { Method::Get };
    assert!(head.parse(&bytes, &mut 0, &LIMITS, kind).unwrap());
    let compression = Compression::of(compress, &request, (&head, &bytes));
    let mut treating = compression;
    let mut fields = Vec::new();
    for line in &head.fields {
        let (name, value) = (line.name.of(&bytes), line.value.of(&bytes));
        let value = match treating.treat(name, value) {
            Treated::Same => value.to_vec(),
            Treated::Gone => continue,
            Treated::Joined(parts) => parts.concat(),
        };
        fields.push(format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(&value)));
    }
    fields.extend(treating.added().map(|(name, value)| format!("{name}: {value}")));
    (compression, fields)
}

fn coding(asked: &str, answered: &str) -> Option<Coding> {
    decided(&on(), "GET", asked, answered).0.coding
}

const HTML: &str = "200 OK\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n";
const GZIP: &str = "Accept-Encoding: gzip\r\n";

#[test]
fn codes_what_a_client_takes_and_says_so() {
    let (compression, fields) = decided(&on(), "GET", GZIP, HTML);
    assert_eq!(compression.coding, Some(Coding::Gzip));
    assert_eq!(compression.body(BodyLength::Length(5000)), BodyLength::Chunked);
    assert_eq!(fields[2..], ["Content-Encoding: gzip", "Vary: Accept-Encoding"]);
    let whole = Compression { length: Some(900), ..compression };
    assert_eq!(whole.body(BodyLength::Length(5000)), BodyLength::Length(900));
    assert_eq!(coding("Accept-Encoding: br\r\nAccept-Encoding: zstd;q=0.5\r\n", HTML), Some(Coding::Brotli));
}

#[test]
fn says_that_it_varies_to_who_gets_it_as_it_is() {
    for asked in [
        "",
        "Accept-Encoding: identity\r\n",
        "Accept-Encoding: gzip;q=0\r\n",
        "Accept-Encoding: gzip\r\nCache-Control: no-transform\r\n",
    ] {
        let (compression, fields) = decided(&on(), "GET", asked, HTML);
        assert_eq!(compression.coding, None, "{asked}");
        assert_eq!(compression.body(BodyLength::Length(5000)), BodyLength::Length(5000));
        assert_eq!(fields[2..], ["Vary: Accept-Encoding"], "{asked}");
    }
}

#[test]
fn leaves_alone_what_is_not_to_be_coded() {
    for answered in [
        "200 OK\r\nContent-Type: text/html\r\nContent-Length: 1023\r\n",
        "200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n",
        "200 OK\r\nContent-Type: image/png\r\nContent-Length: 5000\r\n",
        "200 OK\r\nContent-Length: 5000\r\n",
        "200 OK\r\nContent-Type: text/html\r\nContent-Type: text/plain\r\nContent-Length: 5000\r\n",
        "200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n",
        "200 OK\r\nContent-Type: text/html\r\nContent-Encoding: br\r\nContent-Length: 5000\r\n",
        "200 OK\r\nContent-Type: text/html\r\nContent-Encoding: identity\r\nContent-Length: 5000\r\n",
        "200 OK\r\nContent-Type: text/html\r\nCache-Control: public, No-Transform\r\nContent-Length: 5000\r\n",
        "416 Range Not Satisfiable\r\nContent-Type: text/html\r\nContent-Range: bytes */9000\r\nContent-Length: 5000\r\n",
        "204 No Content\r\nContent-Type: text/html\r\n",
        "301 Moved Permanently\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n",
        "205 Reset Content\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n",
        "101 Switching Protocols\r\nContent-Type: text/html\r\n",
        "103 Early Hints\r\nContent-Type: text/html\r\n",
    ] {
        let (compression, fields) = decided(&on(), "GET", GZIP, answered);
        assert!(compression.is_off(), "{answered}");
        assert_eq!(fields.len(), answered.lines().count() - 1, "{answered}");
    }
    assert!(decided(&Compress::default(), "GET", GZIP, HTML).0.is_off(), "off by default");
}

#[test]
fn a_part_varies_as_the_whole_and_stays_as_it_is() {
    for answered in [
        "206 Partial Content\r\nContent-Type: text/html\r\nContent-Range: bytes 0-4999/9000\r\nContent-Length: 5000\r\n",
        "206 Partial Content\r\nContent-Type: text/html\r\nContent-Range: bytes 0-9/9000\r\nContent-Length: 10\r\n",
    ] {
        let (compression, _) = decided(&on(), "GET", GZIP, answered);
        assert_eq!(compression.coding, None, "{answered}");
        assert!(compression.added().any(|field| field == ("Vary", "Accept-Encoding")), "{answered}");
    }
}

#[test]
fn codes_whatever_the_status_but_a_redirect_and_whatever_the_method() {
    for status in ["201 Created", "404 Not Found", "422 Unprocessable Content", "500 Internal Server Error"] {
        assert_eq!(coding(GZIP, &HTML.replace("200 OK", status)), Some(Coding::Gzip), "{status}");
    }
    assert_eq!(decided(&on(), "POST", GZIP, HTML).0.coding, Some(Coding::Gzip));
}

#[test]
fn codes_what_has_no_length_and_what_is_long_enough() {
    assert_eq!(
        coding(GZIP, "200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n"),
        Some(Coding::Gzip)
    );
    assert_eq!(coding(GZIP, "200 OK\r\nContent-Type: text/html\r\n"), Some(Coding::Gzip));
    let every = Compress { least: 0, ..on() };
    for (length, is_coded) in [(0, false), (1, true)] {
        let answered = format!("200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n");
        assert_eq!(decided(&every, "GET", GZIP, &answered).0.coding.is_some(), is_coded, "{length}");
    }
}

#[test]
fn head_gets_the_head_that_get_would() {
    let (compression, fields) = decided(&on(), "HEAD", GZIP, HTML);
    assert_eq!((compression, fields), decided(&on(), "GET", GZIP, HTML));
    assert_eq!(compression.body(BodyLength::None), BodyLength::None);
    assert!(
        decided(&on(), "HEAD", GZIP, "200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n").0.is_off()
    );
}

#[test]
fn vary_is_joined_and_never_said_twice() {
    for (vary, expected) in [
        ("Vary: Accept\r\n", vec!["Vary: Accept, Accept-Encoding"]),
        ("Vary: Accept\r\nvary: Origin\r\n", vec!["Vary: Accept, Accept-Encoding", "vary: Origin"]),
        ("Vary: Accept\r\nVary: accept-encoding\r\n", vec!["Vary: Accept", "Vary: accept-encoding"]),
        ("Vary: Origin , Accept-Encoding\r\n", vec!["Vary: Origin , Accept-Encoding"]),
        ("Vary: *\r\n", vec!["Vary: *"]),
        ("Vary:\r\n", vec!["Vary: Accept-Encoding"]),
        ("Vary: X-Accept-Encoding\r\n", vec!["Vary: X-Accept-Encoding, Accept-Encoding"]),
    ] {
        for asked in ["", GZIP] {
            let (_, fields) = decided(&on(), "GET", asked, &format!("{HTML}{vary}"));
            let found: Vec<_> =
                fields.iter().filter(|line| line.to_lowercase().starts_with("vary")).collect();
            assert_eq!(found, expected.iter().collect::<Vec<_>>(), "{asked}");
        }
    }
}

#[test]
fn a_coded_body_has_a_weak_tag_and_nothing_that_tells_of_the_bytes_that_were() {
    for (given, expected) in [
        ("ETag: \"abc\"\r\n", Some("ETag: W/\"abc~coded\"")),
        ("ETag: W/\"abc\"\r\n", Some("ETag: W/\"abc\"")),
        ("ETag: \"\"\r\n", Some("ETag: W/\"~coded\"")),
        ("ETag: abc\r\n", None),
        ("Accept-Ranges: bytes\r\n", None),
        ("Content-MD5: Q2hlY2s=\r\n", None),
        ("Digest: sha-256=abc\r\n", None),
        ("Content-Digest: sha-256=:abc=:\r\n", None),
        ("Repr-Digest: sha-256=:abc=:\r\n", None),
        (
            "Last-Modified: Mon, 23 Nov 2026 00:00:00 GMT\r\n",
            Some("Last-Modified: Mon, 23 Nov 2026 00:00:00 GMT"),
        ),
    ] {
        let (_, fields) = decided(&on(), "GET", GZIP, &format!("{HTML}{given}"));
        assert_eq!(
            fields.get(2).map(String::as_str).filter(|line| !line.starts_with("Content-Encoding")),
            expected,
            "{given}"
        );
        let (_, fields) = decided(&on(), "GET", "", &format!("{HTML}{given}"));
        assert_eq!(fields[2], given.trim_end(), "as it was where nothing is coded");
    }
}

#[test]
fn a_304_varies_and_names_the_form_that_the_client_has() {
    let answered = "304 Not Modified\r\nETag: \"abc\"\r\n";
    let ours = "If-None-Match: \"x\", W/\"abc~coded\"\r\n";
    assert_eq!(decided(&on(), "GET", ours, answered).1, ["ETag: W/\"abc~coded\"", "Vary: Accept-Encoding"]);
    for theirs in
        ["If-None-Match: \"abc\"\r\n", "If-None-Match: W/\"abcd~coded\"\r\n", "X: W/\"abc~coded\"\r\n"]
    {
        assert_eq!(
            decided(&on(), "GET", theirs, answered).1,
            ["ETag: \"abc\"", "Vary: Accept-Encoding"],
            "{theirs}"
        );
    }
    let image = "304 Not Modified\r\nContent-Type: image/png\r\n";
    assert_eq!(decided(&on(), "GET", ours, image).1, ["Content-Type: image/png"]);
}

#[test]
fn the_application_is_asked_about_the_tags_that_it_gave() {
    for (value, expected) in [
        ("W/\"abc~coded\"", "\"abc\""),
        ("\"abc\"", "\"abc\""),
        ("W/\"abc\"", "W/\"abc\""),
        ("*", "*"),
        ("", ""),
        ("W/\"a~coded\", \"b\", W/\"c\" ,W/\"d,e~coded\"", "\"a\", \"b\", W/\"c\" ,\"d,e\""),
        ("W/\"~coded\"", "\"\""),
        ("\"abc~coded\"", "\"abc~coded\""),
        ("W/\"a~coded~coded\"", "\"a~coded\""),
        ("W/\"a~coded", "W/\"a~coded"),
        ("~coded\"", "~coded\""),
        ("~coded\"~coded\"", "~coded\"~coded\""),
        ("w/\"a~coded\"", "w/\"a~coded\""),
    ] {
        let mut out = Vec::new();
        write_condition(&mut out, b"If-None-Match", value.as_bytes());
        assert_eq!(String::from_utf8_lossy(&out), format!("If-None-Match: {expected}\r\n"), "{value}");
    }
    assert!(is_condition(b"if-none-match") && is_condition(b"If-Match"));
    assert!(!is_condition(b"If-Range") && !is_condition(b"If-Modified"));
}
