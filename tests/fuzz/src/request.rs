//! The head of a request: read the same however it comes in, and sent on in one form that has one meaning.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::{Instant, SystemTime};

use vestibule_config::Fields;
use vestibule_http1::{Framing, HeadLimits, Method, Name, RequestError, RequestHead, Span, Version, field};
use vestibule_proxy::{About, Door, Peer, Request, RequestId, write_head};

use super::growth::{Head, grows_to_one_result, is_the_same_in_pieces, show, whole};
use super::lines::{Lines, is_token, number};
use super::pieces::Pieces;

/// Low enough for fuzzing to meet them.
const LIMITS: HeadLimits = HeadLimits { bytes: 512, fields: 20 };
/// What is sent on may be longer: by the fields that are added, and by the spaces behind colons.
const CANONICAL_LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 40 };

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

static PIECES: LazyLock<Pieces> = LazyLock::new(|| Pieces::of(include_str!("../http.dict")));

/// Checks a request's head, as `data` stands and with its bytes taken for words.
pub fn check(data: &[u8]) {
    check_text(data);
    let expanded = PIECES.expand(data);
    if expanded.len() != data.len() {
        check_text(&expanded);
    }
}

fn check_text(text: &[u8]) {
    grows_to_one_result::<RequestHead>(text);
    is_the_same_in_pieces::<RequestHead>(text);
    if let Ok(Some(head)) = whole::<RequestHead>(text) {
        says_what_is_written(&head, text);
        is_sent_on_in_one_form(&head, text);
    }
}

impl Head for RequestHead {
    type Error = RequestError;

    fn read(&mut self, text: &[u8], scanned: &mut usize) -> Result<bool, RequestError> {
        self.parse(text, scanned, &LIMITS)
    }

    fn length(&self) -> usize {
        self.len
    }
}

/// What was parsed is what the simplest reader finds in the text, and is framed and addressed in one way.
fn says_what_is_written(head: &RequestHead, text: &[u8]) {
    let shown = show(text);
    let begin = head.method.start as usize;
    assert!(begin <= 8 && text[..begin].chunks(2).all(|line| line == b"\r\n"), "{shown:?}");
    let lines = Lines::of(&text[begin..head.len]);

    let words: Vec<_> = lines.first.split(|byte| *byte == b' ').collect();
    let version: &[u8] = if head.version == Version::Http11 { b"HTTP/1.1" } else { b"HTTP/1.0" };
    assert_eq!(
        words,
        [inside(head.method, head, text), inside(head.target, head, text), version],
        "{shown:?}"
    );
    assert!(words[0].iter().all(|byte| is_token(*byte)) && words[0].len() <= 32, "{shown:?}");
    assert!(head.method_kind != Method::Connect && words[0] != b"CONNECT", "{shown:?}");
    assert!(words[1].iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#'), "{shown:?}");
    let path = head.path(text);
    assert!(path.starts_with(b"/") || (path == b"*" && words[0] == b"OPTIONS"), "{shown:?}");
    assert!(!path.contains(&b'?'), "{shown:?}");

    assert_eq!(lines.fields.len(), head.fields.len(), "{shown:?}");
    for (found, (name, value)) in head.fields.iter().zip(&lines.fields) {
        assert_eq!(inside(found.name, head, text), *name, "{shown:?}");
        assert_eq!(inside(found.value, head, text), *value, "{shown:?}");
        assert_eq!(found.kind, Name::classify(name), "{shown:?}");
        assert_eq!(found.underscore, name.contains(&b'_'), "{shown:?}");
    }
    is_framed_once(head, text, &lines);

    let host = inside(head.host, head, text);
    assert!(lines.count("Host") <= 1, "{shown:?}");
    if host.is_empty() {
        assert!(head.version == Version::Http10, "no host in {shown:?}");
    } else {
        is_a_host(host);
        assert!(head.version == Version::Http10 || lines.count("Host") == 1, "{shown:?}");
    }
    if let Some(span) = head.upgrade {
        assert_eq!(lines.values("Upgrade").collect::<Vec<_>>(), [inside(span, head, text)], "{shown:?}");
    }
}

/// The bytes of a span, which must lie inside of the head.
fn inside<'a>(span: Span, head: &RequestHead, text: &'a [u8]) -> &'a [u8] {
    assert!(span.start <= span.end && span.end as usize <= head.len, "{span:?} in {:?}", show(text));
    span.of(text)
}

fn is_framed_once(head: &RequestHead, text: &[u8], lines: &Lines<'_>) {
    let lengths: Vec<_> = lines.values("Content-Length").collect();
    let codings: Vec<_> = lines.values("Transfer-Encoding").collect();
    let right = match (head.framing, lengths.as_slice(), codings.as_slice()) {
        (Framing::None, [], []) => true,
        (Framing::Length(length), [written], []) => number(written) == Some(length),
        (Framing::Chunked, [], [coding]) => {
            coding.eq_ignore_ascii_case(b"chunked") && head.version == Version::Http11
        }
        _ => false,
    };
    assert!(right, "{:?} is the framing of {:?}", head.framing, show(text));
}

/// A host and perhaps a port: nothing by which two readers could find two hosts.
fn is_a_host(host: &[u8]) {
    let shown = show(host);
    let text = str::from_utf8(host).unwrap_or_else(|_| panic!("{shown:?} is a host"));
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').unwrap_or_else(|| panic!("{shown:?} is a host")),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    assert!(
        !name.is_empty() && !name.contains(|c: char| ",@/\\?#<>\"[]{}|^` ".contains(c)),
        "{shown:?} is a host"
    );
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{shown:?} is a host");
    assert!(text.starts_with('[') || !name.contains(':'), "{shown:?} is a host");
    match port.strip_prefix(':') {
        None => assert!(port.is_empty(), "{shown:?} is a host"),
        Some(port) => {
            assert!(
                port.is_empty() || number(port.as_bytes()).is_some_and(|port| port <= 65535),
                "{shown:?} is a host"
            );
        }
    }
}

/// What the application gets parses again, strictly, to the same request, and writing that again changes nothing.
fn is_sent_on_in_one_form(head: &RequestHead, text: &[u8]) {
    let all = Fields { via: None, forwarded: true, underscores: true };
    for fields in [Fields::default(), all] {
        for is_trusted in [false, true] {
            let sender = Sender { fields: &fields, is_trusted };
            let (out, id) = sender.sent(head, text, None);
            is_clean(&Lines::of(&out), &out);
            names_are_what_they_seem(&Lines::of(&out), &sender);
            let again = is_read_back(head, text, &out);
            // What a trusted peer says is extended each time.
            if let Some(again) = again.filter(|_| !is_trusted) {
                let (twice, _) = sender.sent(&again, &out, Some(id));
                let settled = |bytes| settled(&Lines::of(bytes));
                assert_eq!(settled(&twice), settled(&out), "the second time is not as the first");
            }
        }
    }
}

/// Who writes heads, and for whom.
struct Sender<'a> {
    fields: &'a Fields,
    is_trusted: bool,
}

impl Sender<'_> {
    /// The head as the application gets it, and the identity it was given if it had none.
    fn sent(&self, head: &RequestHead, bytes: &[u8], id: Option<RequestId>) -> (Vec<u8>, RequestId) {
        let door = Door::plain(Peer { address: ADDRESS, is_trusted: self.is_trusted }, Rc::default());
        let (arrived, arrived_at) = (Instant::now(), SystemTime::UNIX_EPOCH);
        let request = Request { head, bytes, door: &door, arrived, arrived_at, serial: 1 };
        let id = id.unwrap_or_else(|| RequestId::of(&request));
        let mut out = Vec::new();
        write_head(
            &mut out,
            &request,
            About { client: ADDRESS, id: &id, fields: self.fields, reworked: None },
            true,
        );
        write_framing(&mut out, head.framing);
        (out, id)
    }
}

/// Reads what was written of `head`, which must be the same request. `None` where it has no host: such an HTTP/1.0 request
/// is told with an empty Host (RFC 9112 3.2), which from a client is refused, so it is read back with another.
fn is_read_back(head: &RequestHead, text: &[u8], out: &[u8]) -> Option<RequestHead> {
    let mut read = out.to_vec();
    if head.host.is_empty() {
        let at = read.windows(8).position(|line| line == b"Host: \r\n").expect("an empty Host");
        read.insert(at + 6, b'-');
    }
    let shown = format!("{:?} from {:?}", show(out), show(text));
    let mut again = RequestHead::default();
    assert_eq!(again.parse(&read, &mut 0, &CANONICAL_LIMITS), Ok(true), "{shown}");
    assert_eq!(
        (again.len, again.version, again.framing),
        (read.len(), Version::Http11, head.framing),
        "{shown}"
    );
    assert_eq!(again.method.of(&read), head.method.of(text), "{shown}");
    assert_eq!(path_and_query(&again, &read), path_and_query(head, text), "{shown}");
    if head.host.is_empty() {
        return None;
    }
    assert_eq!(again.host.of(&read), head.host.of(text), "{shown}");
    Some(again)
}

/// A head without what every front-end on the way counts up or down.
fn settled(lines: &Lines<'_>) -> Vec<String> {
    let counts =
        |name: &[u8]| [&b"Via"[..], b"Max-Forwards"].iter().any(|one| name.eq_ignore_ascii_case(one));
    let fields = lines.fields.iter().filter(|(name, _)| !counts(name));
    let shown = fields.map(|(name, value)| format!("{}: {}", show(name), show(value)));
    std::iter::once(show(lines.first)).chain(shown).collect()
}

/// As `forward` writes it behind the head.
fn write_framing(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::None => {}
        Framing::Length(length) => field(out, b"Content-Length", length.to_string().as_bytes()),
        Framing::Chunked => field(out, b"Transfer-Encoding", b"chunked"),
    }
    out.extend_from_slice(b"\r\n");
}

/// Nothing is there that the application must not be told, or twice.
fn is_clean(lines: &Lines<'_>, out: &[u8]) {
    let shown = show(out);
    for name in ["TE", "Trailer", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "HTTP2-Settings"] {
        assert_eq!(lines.count(name), 0, "{name} in {shown:?}");
    }
    for name in ["Proxy", "X-Sendfile-Type", "X-Accel-Mapping", "Version", "Expect", "X-Forwarded-Scheme"] {
        assert_eq!(lines.count(name), 0, "{name} in {shown:?}");
    }
    for name in
        ["Host", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "X-Request-Id", "X-Request-Start"]
    {
        assert_eq!(lines.count(name), 1, "{name} in {shown:?}");
    }
    assert!(lines.count("Content-Length") + lines.count("Transfer-Encoding") <= 1, "{shown:?}");
    assert!(lines.count("Connection") == lines.count("Upgrade") && lines.count("Upgrade") <= 1, "{shown:?}");
}

/// Nobody sets by an underscore what only we, or those whom we trust, may set: in a Rack environment such a name is one
/// with that with a hyphen.
fn names_are_what_they_seem(lines: &Lines<'_>, sender: &Sender<'_>) {
    for (name, _) in &lines.fields {
        let plain: Vec<u8> = name.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).collect();
        let kind = Name::classify(&plain);
        let may_be = match kind {
            Name::XForwardedOther => sender.is_trusted,
            _ => kind == Name::Other || plain == *name,
        };
        assert!(may_be, "{}", show(name));
        assert!(sender.fields.underscores || plain == *name, "{}", show(name));
    }
}

fn path_and_query(head: &RequestHead, text: &[u8]) -> String {
    let mut out = Vec::new();
    head.write_path_and_query(text, &mut out);
    show(&out)
}
