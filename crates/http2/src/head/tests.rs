use super::*;
use vestibule_http1::{Framing, HeadLimits, RequestError, RequestHead};

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":path", "/a?b=c"), (":authority", "example.com")];

fn head(fields: &[(&str, &str)], end: bool) -> Result<(Kind, String), &'static str> {
    let mut head = Head::default();
    head.begin(100);
    for (name, value) in fields {
        head.field(name.as_bytes(), value.as_bytes());
    }
    let outline = head.finish(end, true)?;
    Ok((outline.kind, String::from_utf8(head.lines().to_vec()).unwrap()))
}

fn get_with(fields: &[(&str, &str)]) -> Result<(Kind, String), &'static str> {
    head(&[&GET[..], fields].concat(), true)
}

/// A pseudo-field of `GET` with another value, or without it.
fn get_but(name: &str, value: Option<&str>) -> Result<(Kind, String), &'static str> {
    let fields: Vec<_> = GET
        .into_iter()
        .filter_map(|(n, v)| if n == name { value.map(|value| (n, value)) } else { Some((n, v)) })
        .collect();
    head(&fields, true)
}

/// What HTTP/1's parser makes of it: all of it has to be one head.
fn parsed(text: &str) -> RequestHead {
    let mut request = RequestHead::default();
    let limits = HeadLimits { bytes: 1 << 20, fields: 200 };
    assert_eq!(request.parse(text.as_bytes(), &mut 0, &limits), Ok(true), "{text}");
    assert_eq!(request.len, text.len());
    request
}

/// C38 (RFC 9113 8.3): the pseudo-fields become the request line and Host.
#[test]
fn writes_a_request_as_http_1_would() {
    let (kind, text) = get_with(&[("accept", "*/*"), ("x-y", "a\tb"), ("te", "trailers")]).unwrap();
    let expected =
        "GET /a?b=c HTTP/1.1\r\nhost: example.com\r\naccept: */*\r\nx-y: a\tb\r\nte: trailers\r\n\r\n";
    assert_eq!((kind, text.as_str()), (Kind::Usual, expected));
    assert_eq!(parsed(&text).framing, Framing::None);
}

#[test]
fn says_how_the_length_of_a_body_is_known() {
    let (_, text) = head(&GET, false).unwrap();
    assert_eq!(parsed(&text).framing, Framing::Chunked);
    let (_, text) = head(&[&GET[..], &[("content-length", "5")]].concat(), false).unwrap();
    assert_eq!(parsed(&text).framing, Framing::Length(5));
    let (_, text) = get_with(&[("content-length", "0")]).unwrap();
    assert_eq!(parsed(&text).framing, Framing::Length(0));
}

/// C34 (RFC 9113 8.1.1): a length that cannot be, or is not that of the body, is malformed.
#[test]
fn refuses_lengths_that_are_in_doubt() {
    for length in ["5", "+0", "-0", "0x0", "", "0, 0", "0 0", "18446744073709551616"] {
        assert!(get_with(&[("content-length", length)]).is_err(), "{length:?}");
    }
    assert!(get_with(&[("content-length", "0"), ("content-length", "0")]).is_err());
}

/// C35 (RFC 9113 8.2.1): upper case, what is no token, control characters and outer white space.
#[test]
fn refuses_what_is_no_field() {
    for name in ["Accept", "a b", "a:", "", "a\r\nb", "a\0", "\u{e9}", "x\u{7f}", "a(", "a\n"] {
        assert!(get_with(&[(name, "x")]).is_err(), "{name:?}");
    }
    for value in [" x", "x ", "\tx", "x\t", "a\rb", "a\nb", "a\0b", "a\x01", "a\x7f", "x\r\nhost: evil"] {
        assert!(get_with(&[("x", value)]).is_err(), "{value:?}");
        assert!(get_with(&[("cookie", value)]).is_err(), "cookie: {value:?}");
        assert!(get_with(&[("host", value)]).is_err(), "host: {value:?}");
    }
    assert!(get_with(&[("x", ""), ("y", "\u{e9}")]).is_ok());
}

/// C36 (RFC 9113 8.2.2): what belongs to a connection of HTTP/1.
#[test]
fn refuses_the_fields_of_a_connection() {
    for name in
        ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings"]
    {
        assert!(get_with(&[(name, "x")]).is_err(), "{name}");
    }
    assert!(get_with(&[("transfer-encoding", "chunked")]).is_err());
    for te in ["gzip", "trailers, gzip", "", "trailers;q=1"] {
        assert!(get_with(&[("te", te)]).is_err(), "te: {te}");
    }
}

/// C37 (RFC 9113 8.2.3).
#[test]
fn joins_cookies_that_were_split() {
    let (_, text) =
        get_with(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2; c=3"), ("cookie", "")]).unwrap();
    assert_eq!(text, "GET /a?b=c HTTP/1.1\r\nhost: example.com\r\nx: y\r\ncookie: a=1; b=2; c=3\r\n\r\n");
}

/// C38 (RFC 9113 8.3.1): each pseudo-field once, none other, before all other fields.
#[test]
fn refuses_pseudo_fields_that_are_missing_or_double_or_unknown_or_late() {
    for name in [":method", ":scheme", ":path", ":authority"] {
        assert!(get_but(name, None).is_err(), "{name} missing");
        assert!(get_but(name, Some("")).is_err(), "{name} empty");
        let value = GET.iter().find(|(n, _)| *n == name).unwrap().1;
        assert!(get_with(&[(name, value)]).is_err(), "{name} double");
        let late = [&[("x", "y")], &GET[..]].concat();
        assert!(head(&late, true).is_err(), "late");
    }
    for name in [":status", ":", ":Method", ":host", ":protocol"] {
        assert!(get_with(&[(name, "x")]).is_err(), "{name}");
        assert!(head(&[&[(name, "x")], &GET[..]].concat(), true).is_err(), "{name}");
    }
    assert!(head(&[], true).is_err());
}

/// C38: no byte of a pseudo-field ends the request line or the Host it is written in.
#[test]
fn refuses_pseudo_fields_that_would_be_more_than_one_thing() {
    for method in ["G T", "GET\r\n", "GET /x HTTP/1.1\r\nx: y", "G\0T", "GÉT", "GET:"] {
        assert!(get_but(":method", Some(method)).is_err(), "{method:?}");
    }
    for path in [
        "a",
        "*",
        "/ ",
        "/a b",
        "/\r\nx: y",
        "/ HTTP/1.1\r\nx: y",
        "/\0",
        "/#f",
        "/\u{e9}",
        "/\t",
        "http://a/",
        "//a\x7f",
    ] {
        assert!(get_but(":path", Some(path)).is_err(), "{path:?}");
    }
    for authority in ["u@a", "u:p@a", "a/b", "a b", "a\r\nx: y", "a,b", "a?b", "a#b", "a\\b", "\u{e9}", "a\0"]
    {
        assert!(get_but(":authority", Some(authority)).is_err(), "{authority:?}");
    }
    for scheme in ["ftp", "https ", "h\r\nx: y"] {
        assert!(get_but(":scheme", Some(scheme)).is_err(), "{scheme:?}");
    }
    assert!(get_but(":path", Some("//x/../%0d%0a")).is_ok());
}

/// C38 (RFC 9113 8.3.1): Host says what :authority says, or stands alone.
#[test]
fn takes_host_only_if_it_is_the_same_as_authority() {
    let (_, text) = get_with(&[("host", "EXAMPLE.com"), ("x", "y")]).unwrap();
    assert_eq!(text, "GET /a?b=c HTTP/1.1\r\nhost: example.com\r\nx: y\r\n\r\n");
    for host in ["example.org", "example.com:443", ""] {
        assert!(get_with(&[("host", host)]).is_err(), "{host}");
    }
    let alone = |hosts: &[(&'static str, &'static str)]| head(&[&GET[..3], hosts].concat(), true);
    assert_eq!(alone(&[("host", "a:80")]).unwrap().1, "GET /a?b=c HTTP/1.1\r\nhost: a:80\r\n\r\n");
    for hosts in [&[("host", "")][..], &[("host", "a"), ("host", "a")], &[("host", "u@a")], &[]] {
        assert!(alone(hosts).is_err(), "{hosts:?}");
    }
}

#[test]
fn an_asterisk_is_for_options_alone() {
    let options = |path| head(&[(":method", "OPTIONS"), (":scheme", "http"), (":path", path), GET[3]], true);
    assert!(parsed(&options("*").unwrap().1).is_for_server(options("*").unwrap().1.as_bytes()));
    assert!(options("*x").is_err());
    assert!(get_but(":path", Some("*")).is_err());
}

/// C39 (RFC 9113 8.5).
#[test]
fn connect_has_an_authority_and_nothing_else() {
    let connect = [(":method", "CONNECT"), (":authority", "a:443")];
    let (kind, text) = head(&connect, false).unwrap();
    assert_eq!((kind, text.as_str()), (Kind::Connect, "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n"));
    for more in [(":scheme", "https"), (":path", "/")] {
        assert!(head(&[&connect[..], &[more]].concat(), false).is_err(), "{more:?}");
    }
    assert!(head(&connect[..1], false).is_err());
    assert!(head(&[connect[0], ("host", "a:443")], false).is_err());
}

const TUNNEL: [(&str, &str); 5] =
    [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/chat"), GET[3]];

/// C42 (RFC 8441 5): a WebSocket becomes the Upgrade of HTTP/1.1, with a key that is fresh.
#[test]
fn a_websocket_becomes_an_upgrade_with_a_key_of_its_own() {
    let fields = [("sec-websocket-version", "13"), ("sec-websocket-key", "AAAA"), ("origin", "https://a")];
    let ask = || head(&[&TUNNEL[..], &fields].concat(), false).unwrap();
    let (kind, text) = ask();
    assert_eq!(kind, Kind::Tunnel);
    let (before, rest) = text.split_once("sec-websocket-key: ").unwrap();
    let (key, after) = rest.split_once("\r\n").unwrap();
    assert_eq!(
        before,
        "GET /chat HTTP/1.1\r\nhost: example.com\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
    );
    assert_eq!(after, "sec-websocket-version: 13\r\norigin: https://a\r\n\r\n");
    assert!(vestibule_http1::is_websocket_key(key.as_bytes()), "{key}");
    let request = parsed(&text);
    assert_eq!(request.framing, Framing::None);
    assert_eq!(request.upgrade.unwrap().of(text.as_bytes()), b"websocket");
    assert_ne!(ask().1, text);
}

/// C42 (RFC 8441 4): what a tunnel needs, and what it cannot have.
#[test]
fn refuses_a_tunnel_that_lacks_a_part() {
    for left_out in [2, 3, 4] {
        let mut fields = TUNNEL.to_vec();
        fields.remove(left_out);
        assert!(head(&fields, false).is_err(), "{:?}", TUNNEL[left_out]);
    }
    assert!(head(&[&TUNNEL[..], &[("content-length", "0")]].concat(), false).is_err());
    for protocol in ["", "a b", "a\r\nb: c", "a//b", "a/", "\u{e9}"] {
        let mut fields = TUNNEL.to_vec();
        fields[1].1 = protocol;
        assert!(head(&fields, false).is_err(), "{protocol:?}");
    }
    let mut other = TUNNEL.to_vec();
    other[1].1 = "connect-udp/2";
    assert!(!head(&other, false).unwrap().1.contains("sec-websocket-key"));
}

/// C43 (RFC 9218): a priority is a field like others.
#[test]
fn passes_a_priority_on() {
    let (_, text) = get_with(&[("priority", "u=1, i, x=?0")]).unwrap();
    assert!(text.contains("\r\npriority: u=1, i, x=?0\r\n"));
}

#[test]
fn says_that_a_head_with_too_many_fields_is_too_large() {
    let many: Vec<_> = (0..101).map(|_| ("x", "y")).collect();
    assert_eq!(get_with(&many).unwrap(), (Kind::TooLarge, String::new()));
    assert_eq!(get_with(&many[..100]).unwrap().0, Kind::Usual);
}

/// C34: whatever is written is one head to HTTP/1, with the fields that were sent and none else.
#[test]
fn nothing_that_is_taken_is_understood_as_something_else() {
    let mut random = fastrand::Rng::with_seed(11);
    let parts = [
        ":method",
        ":path",
        ":authority",
        "host",
        "cookie",
        "x",
        "content-length",
        "te",
        "GET",
        "POST",
        "/",
        "/a",
        "a",
        "a:1",
        "0",
        "5",
        "trailers",
        "\r\n",
        ": ",
        " ",
        "\0",
        "\u{e9}",
        "https",
        ":scheme",
        "CONNECT",
        "websocket",
        ":protocol",
        "*",
        "OPTIONS",
        "%",
        "[",
        "]",
        "@",
        "",
        "transfer-encoding",
        "chunked",
    ];
    let mut taken = 0;
    for _ in 0..40_000 {
        let mut fields: Vec<(String, String)> = GET.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec();
        for _ in 0..random.usize(..3) {
            let mut text =
                || (0..random.usize(1..3)).map(|_| parts[random.usize(..parts.len())]).collect::<String>();
            let field = (text(), text());
            match random.usize(..5) {
                0 => fields.push(field),
                at => fields[at - 1] = (fields[at - 1].0.clone(), field.1),
            }
        }
        let fields: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let Ok((kind, text)) = head(&fields, random.bool()) else { continue };
        if kind != Kind::Usual {
            continue;
        }
        taken += 1;
        let mut request = RequestHead::default();
        match request.parse(text.as_bytes(), &mut 0, &HeadLimits { bytes: 1 << 20, fields: 200 }) {
            Ok(whole) => assert!(whole && request.len == text.len(), "{text:?}"),
            // It is stricter about hosts, and about how long a method is.
            Err(error) => assert!(
                matches!(error, RequestError::BadHost | RequestError::MethodTooLong),
                "{error}: {text:?}"
            ),
        }
        assert!(text.matches("\r\n").count() <= fields.len() + 3, "{text:?}");
    }
    assert!(taken > 1000, "{taken}");
}
