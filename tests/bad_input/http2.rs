//! HTTP/2 to HTTP/1: everything that a field may smuggle into a line, lengths that disagree, pseudo-fields that say two
//! things. Not in the list by number; the oracle is the same as for HTTP/1.

use crate::support::canonical::{Canonical, Chunks};
use crate::support::h2::{END_HEADERS, END_STREAM, H2, HEADERS, PROTOCOL_ERROR, block};
use crate::support::stand::{Stand, further};

type Field = (Vec<u8>, Vec<u8>);
type Check = Box<dyn Fn(&Canonical) -> bool>;

/// What may become of a case.
enum Fate {
    /// It is no request: reset with PROTOCOL_ERROR, or refused with one of these statuses.
    Refused(&'static [u16]),
    /// It is forwarded, and what the application gets is as it should be.
    Passed(Check),
}

struct Case {
    fields: Vec<Field>,
    /// Without one the head ends the request.
    body: Option<Vec<u8>>,
    trailers: Option<Vec<Field>>,
    fate: Fate,
}

/// A field of bytes.
fn field(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Field {
    (name.as_ref().to_vec(), value.as_ref().to_vec())
}

fn pseudo() -> Vec<Field> {
    [(":method", "GET"), (":scheme", "http"), (":path", "/x"), (":authority", "a")]
        .map(|(name, value)| field(name, value))
        .to_vec()
}

/// A GET with these fields behind its own, reset as malformed.
fn with(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Case {
    malformed([pseudo(), vec![field(name, value)]].concat())
}

/// A GET of which one pseudo-field is changed.
fn changed(name: &str, value: impl AsRef<[u8]>) -> Case {
    let mut fields = pseudo();
    let found = fields.iter_mut().find(|(found, _)| found == name.as_bytes()).expect("one of the four");
    found.1 = value.as_ref().to_vec();
    malformed(fields)
}

fn malformed(fields: Vec<Field>) -> Case {
    Case { fields, body: None, trailers: None, fate: Fate::Refused(&[]) }
}

impl Case {
    /// Refused by a status, or as malformed.
    fn or(self, statuses: &'static [u16]) -> Case {
        Case { fate: Fate::Refused(statuses), ..self }
    }

    fn passed(self, check: impl Fn(&Canonical) -> bool + 'static) -> Case {
        Case { fate: Fate::Passed(Box::new(check)), ..self }
    }

    fn body(self, body: &[u8]) -> Case {
        Case { body: Some(body.to_vec()), ..self }
    }

    fn trailers(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Case {
        Case { trailers: Some(vec![field(name, value)]), ..self }
    }
}

/// Judges each case on a connection of its own; panics with all that is wrong.
fn judge(cases: impl IntoIterator<Item = Case>) {
    let stand = Stand::http2("[limits]\nrequest_timeout = \"5s\"\n", Chunks::Refused, |_| None);
    let (mut count, mut faults) = (0, Vec::new());
    for case in cases {
        count += 1;
        if let Err(fault) = judge_one(&stand, &case) {
            let shown: Vec<String> = case
                .fields
                .iter()
                .map(|(name, value)| [name, &b": "[..], &value[..value.len().min(60)]].concat())
                .take(12)
                .map(|line| String::from_utf8_lossy(&line).into_owned())
                .collect();
            faults.push(format!("{shown:?}: {fault}"));
        }
    }
    assert!(count > 0, "nothing to judge");
    assert!(faults.is_empty(), "{} faults of {count} cases:\n{}", faults.len(), faults.join("\n"));
}

fn judge_one(stand: &Stand, case: &Case) -> Result<(), String> {
    let before = stand.origin.requests().len();
    let mut client = H2::connect(stand.vestibule.address());
    let stream = client.open_block(&block(&case.fields), case.body.is_none() && case.trailers.is_none());
    if let Some(body) = &case.body {
        // Whether or not the stream was reset meanwhile.
        client.data(stream, body, case.trailers.is_none()).map_err(|error| error.to_string())?;
    }
    if let Some(trailers) = &case.trailers {
        let flags = END_HEADERS | END_STREAM;
        client.frame(HEADERS, flags, stream, &block(trailers)).map_err(|error| error.to_string())?;
    }
    let answer = client.answer(stream);
    match (&case.fate, answer.reset) {
        (Fate::Refused(_), Some(PROTOCOL_ERROR)) if answer.heads.is_empty() => {}
        (Fate::Refused(statuses), None) if statuses.contains(&answer.status()) => {}
        (Fate::Passed(_), None) if answer.status() == 200 => {}
        _ => return Err(format!("answered {answer:?}")),
    }
    // The same connection, and two others, one of each protocol.
    let mut followed = Vec::new();
    let mut other = H2::connect(stand.vestibule.address());
    for (client, which) in [(&mut client, "the same"), (&mut other, "another")] {
        let (_, path) = further();
        let answer = client.get(&path);
        if answer.text() != format!("GET {path}") {
            return Err(format!("{path} on {which} connection was answered {answer:?}"));
        }
        followed.push(path);
    }
    followed.push(stand.another()?);
    let record = stand.origin.record();
    if let Some(fault) = record.faults().first() {
        return Err(fault.clone());
    }
    let mut got = record.requests[before..].iter();
    if let Fate::Passed(holds) = &case.fate {
        let request = got.next().ok_or("answered, and yet the origin got nothing")?;
        let own = format!("{} {}", request.method, request.target);
        if answer.text() != own || !holds(request) {
            return Err(format!("answered {:?}; the origin got {request:?}", answer.text()));
        }
    }
    let rest: Vec<&str> = got.map(|request| request.target.as_str()).collect();
    if rest != followed {
        Err(format!("the origin got {rest:?} where {followed:?} were to come"))
    } else {
        Ok(())
    }
}

/// What ends a line, or a head, of HTTP/1, and begins another request.
const ENDS: [&str; 8] = [
    "\r\n",
    "\n",
    "\r",
    "\0",
    "v\r\nx-smuggled: 1",
    "v\nx-smuggled: 1",
    "v\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    "v\r\ntransfer-encoding: chunked",
];

#[test]
fn no_field_ends_a_line() {
    let names = ENDS.map(|end| with(format!("x{end}"), "1"));
    let names_before = ENDS.map(|end| with(format!("{end}x"), "1"));
    let values = ENDS.map(|end| with("x", format!("a{end}b")));
    let at_the_end = ENDS.map(|end| with("x", end));
    judge(names.into_iter().chain(names_before).chain(values).chain(at_the_end));
}

#[test]
fn no_pseudo_field_ends_a_line() {
    judge(ENDS.iter().flat_map(|end| {
        [
            changed(":method", format!("GET{end}")),
            changed(":method", format!("GET / HTTP/1.1{end}x")),
            changed(":scheme", format!("http{end}")),
            changed(":path", format!("/{end}")),
            changed(":path", format!("/ HTTP/1.1{end}x")),
            changed(":authority", format!("a{end}")),
        ]
    }));
}

#[test]
fn a_name_is_a_token_in_lower_case() {
    let names: [&[u8]; 22] = [
        b"Upper",
        b"X-A",
        b"content-Length",
        b"",
        b"a b",
        b" a",
        b"a ",
        b"a\t",
        b"a:b",
        b"a:",
        b"x: 1",
        b"\x01a",
        b"a\x7f",
        b"a\x80",
        b"a\xff",
        "\u{212a}ey".as_bytes(),
        b"a(b",
        b"a\"b",
        b"a/b",
        b"a[b]",
        b"a,b",
        b"a=b",
    ];
    judge(names.map(|name| with(name, "1")));
}

#[test]
fn a_value_has_no_controls_and_no_space_around_it() {
    let bad: [&[u8]; 10] =
        [b" a", b"a ", b"\ta", b"a\t", b" ", b"a\x01b", b"\x1f", b"a\x7f", b"\x0b", b"chunked\x0c"];
    let good: [&'static [u8]; 5] = [b"", b"a\tb", b"\x80\xff", b"a: b", b"\"x\\"];
    let good = good.map(|value| with("x", value).passed(move |request| request.all("x") == [value]));
    judge(bad.map(|value| with("x", value)).into_iter().chain(good));
}

#[test]
fn what_belongs_to_a_connection_of_http1_is_malformed() {
    let fields = [
        ("connection", "close"),
        ("connection", "keep-alive"),
        ("connection", "x-a"),
        ("connection", ""),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "identity"),
        ("transfer-encoding", ""),
        ("transfer-encoding", "xchunked"),
        ("upgrade", "h2c"),
        ("upgrade", "websocket"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
        ("te", "chunked"),
        ("te", ""),
    ];
    let with_body = fields.map(|(name, value)| {
        let case = with(name, value).body(b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n");
        Case { fields: [pseudo(), vec![field("content-length", "43"), field(name, value)]].concat(), ..case }
    });
    let alone = fields.map(|(name, value)| with(name, value));
    let te = with("te", "trailers").passed(|request| !request.has("te"));
    judge(alone.into_iter().chain(with_body).chain([te]));
}

#[test]
fn what_rack_would_take_for_another_field_is_dropped() {
    let names =
        ["transfer_encoding", "content_length", "x_forwarded_for", "http_host", "proxy", "x-sendfile-type"];
    judge(names.map(|name| with(name, "9").passed(move |request| !request.has(name))));
}

#[test]
fn lengths_are_numbers_and_agree_with_the_data() {
    let length = |values: &[&str], body: Option<&[u8]>| {
        let lengths = values.iter().map(|value| field("content-length", value));
        let case = malformed(pseudo().into_iter().chain(lengths).collect());
        Case { body: body.map(<[u8]>::to_vec), ..case }
    };
    let five = Some(&b"hello"[..]);
    let wrong =
        ["+5", "-5", "0x5", "5.0", "5e0", "1_0", "5, 5", "5,6", "", "abc", "18446744073709551621", "\x0b5"]
            .map(|value| length(&[value], five));
    let disagreeing = [
        length(&["5"], None),
        length(&["4"], five),
        length(&["6"], five),
        length(&["0"], five),
        length(&["5", "5"], five),
        length(&["5", "6"], five),
        length(&["5", "0"], five),
        length(&["5"], Some(b"")),
        length(&["6"], five).trailers("x-t", "1"),
    ];
    let right = [
        length(&["5"], five).passed(|request| request.body == b"hello"),
        length(&["0"], None).passed(|request| request.body.is_empty()),
        length(&[], five).passed(|request| request.body == b"hello" && request.has("content-length")),
        length(&["5"], five).trailers("x-t", "1").passed(|request| !request.has("x-t")),
        length(&["005"], five).passed(|request| request.field("content-length") == Some("5")),
    ];
    judge(wrong.into_iter().chain(disagreeing).chain(right));
}

#[test]
fn trailers_smuggle_nothing() {
    let bad = [
        (":path", "/smuggled"),
        (":status", "200"),
        ("Upper", "1"),
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("x", "a\r\nb"),
        ("x\n", "a"),
        ("x", " a"),
    ];
    let post = || malformed(pseudo()).body(b"hello");
    let good =
        [("content-length", "3"), ("host", "b"), ("authorization", "x"), ("x-forwarded-for", "1.2.3.4")];
    let good = good.map(|(name, value)| {
        post()
            .trailers(name, value)
            .passed(move |request| request.body == b"hello" && !request.all(name).contains(&value.as_bytes()))
    });
    // Such as stand in every message may also be refused in trailers.
    judge(bad.into_iter().map(|(name, value)| post().trailers(name, value)).chain(good));
}

#[test]
fn there_is_one_host() {
    let host = |values: &[&str]| {
        malformed(pseudo().into_iter().chain(values.iter().map(|value| field("host", value))).collect())
    };
    let alone = |values: &[&str]| {
        let fields = pseudo().into_iter().take(3);
        malformed(fields.chain(values.iter().map(|value| field("host", value))).collect())
    };
    let is_a = |request: &Canonical| request.field("host") == Some("a");
    let hosts = ["b", "a:80", "", "a, b", "a/", "u@a"].map(|value| host(&[value]));
    let alone_bad = ["", "a b", "u@a", "a/p", "a,b", "a\0"].map(|value| alone(&[value]).or(&[400]));
    let odd =
        ["a:80:80", "a:99999", "a:x", "[::1", "a]"].map(|value| changed(":authority", value).or(&[400]));
    let bad = ["", "u@a", "u:p@a", "a b", "a,b", "a/p", "a?x", "a#x", "a\\b", "a\x00.b"]
        .map(|value| changed(":authority", value));
    judge(
        [
            host(&["a"]).passed(is_a),
            host(&["a", "b"]),
            alone(&["a"]).passed(is_a),
            alone(&["a", "a"]),
            alone(&[]),
        ]
        .into_iter()
        .chain([alone(&["a", "b"]), changed(":authority", "a\u{a0}")])
        .chain(hosts)
        .chain(alone_bad)
        .chain(odd)
        .chain(bad),
    );
}

#[test]
fn a_path_is_one_word_from_the_root() {
    let paths: [&[u8]; 17] = [
        b"",
        b"x",
        b"?x",
        b"*",
        b"a:80",
        b"http://b/",
        b"http://a/x",
        b"//a b",
        b"/a b",
        b"/ ",
        b" /",
        b"/a\tb",
        b"/#f",
        b"/x#",
        b"/\x01",
        b"/\x7f",
        b"/\xff",
    ];
    let good = ["/%00", "/%0d%0aX:y", "/..%2f", "//x", "/\\x", "/?a=http://b/", "/a%20b?c=%23"];
    let good = good.map(|path| changed(":path", path).passed(move |request| request.target == path));
    judge(paths.map(|path| changed(":path", path)).into_iter().chain(good));
}

#[test]
fn pseudo_fields_are_there_once_and_first() {
    let names = [":method", ":scheme", ":path", ":authority"];
    let twice = names.map(|name| with(name, "x"));
    let doubled = (0..4).map(|at| {
        let mut fields = pseudo();
        fields.insert(at, fields[at].clone());
        malformed(fields)
    });
    let missing = (0..3).map(|at| {
        let mut fields = pseudo();
        fields.remove(at);
        malformed(fields)
    });
    let late = (0..4).map(|at| {
        let mut fields = pseudo();
        let moved = fields.remove(at);
        malformed([fields, vec![field("x", "1"), moved]].concat())
    });
    let first = |name, value| malformed([vec![field(name, value)], pseudo()].concat());
    let unknown = [":status", ":", ":x", ":Path", ":path ", ":protocol"].map(|name| first(name, "websocket"));
    let methods =
        ["", "GE T", "G:T", "G(T", "GET ", "GET / HTTP/1.1"].map(|method| changed(":method", method));
    let schemes = ["", "ftp", "javascript", "http:", "http://"].map(|scheme| changed(":scheme", scheme));
    judge(
        twice
            .into_iter()
            .chain(doubled)
            .chain(missing)
            .chain(late)
            .chain(unknown)
            .chain(methods)
            .chain(schemes),
    );
}

#[test]
fn a_head_that_is_too_large_is_answered_431() {
    let long = "x".repeat(100_000);
    let many = (0..10_000).map(|number| field(format!("x-{number}"), "1"));
    // From the static table, a byte each: `accept-encoding: gzip, deflate` (RFC 7541 A, 16).
    let dense = [block(&pseudo()), vec![0x90; 10_000]].concat();
    judge([
        with("x", &long).or(&[431]),
        with(&long, "x").or(&[431]),
        with("cookie", &long).or(&[431]),
        changed(":path", format!("/{long}")).or(&[414, 431]),
        changed(":method", &long).or(&[431]),
        changed(":authority", &long).or(&[431]),
        malformed(pseudo().into_iter().chain(many).collect()).or(&[431]),
    ]);
    let stand = Stand::http2("", Chunks::Refused, |_| None);
    let mut client = H2::connect(stand.vestibule.address());
    let stream = client.open_block(&dense, true);
    assert_eq!(client.answer(stream).status(), 431);
    assert_eq!(client.get("/next").text(), "GET /next");
    assert_eq!(stand.targets(0), ["/next"]);
}
