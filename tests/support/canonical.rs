//! The one form in which a request may reach the application, and a reader that takes nothing else.
//!
//! It shares no code with Vestibule: what both would read wrongly in the same way would not show.

use std::fmt;

/// A request in canonical form.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Canonical {
    pub(crate) method: String,
    /// The target, byte for byte.
    pub(crate) target: String,
    /// Names in the case they came in, and values, in their order.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    /// Which of the origin's connections it came on, counted from 0.
    pub(crate) connection: usize,
}

impl fmt::Debug for Canonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        let fields: Vec<_> =
            self.fields.iter().map(|(name, value)| format!("{name}: {}", text(value))).collect();
        write!(f, "{} {} {fields:?} with a body of {} bytes", self.method, self.target, self.body.len())?;
        write!(f, " ({:?}) on connection {}", text(&self.body), self.connection)
    }
}

impl Canonical {
    /// The values of all fields of this name, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&[u8]> {
        let fields = self.fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.as_slice()).collect()
    }

    /// The value of the only field of this name, as text; panics when there are two.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} came more than once: {self:?}");
        all.first().map(|value| std::str::from_utf8(value).expect("text"))
    }

    /// Whether a field of this name is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }
}

/// How far the reading of one request came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The head is not whole.
    Nothing,
    /// The head is whole, the body is not; `Canonical::body` holds what there is.
    Head(Canonical),
    /// The request is whole, and this long.
    Whole(Canonical, usize),
}

/// Whether a body may come in chunks: only where a request is passed on while it comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunks {
    Allowed,
    Refused,
}

/// Fields of one hop, or dangerous to a Rack application, from whomever.
const FORBIDDEN: [&str; 12] = [
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "te",
    "trailer",
    "expect",
    "http2-settings",
    "proxy",
    "x-sendfile-type",
    "x-accel-mapping",
    "content_length",
    "transfer_encoding",
];

/// Fields that must not stand twice.
const SINGLE: [&str; 10] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-real-ip",
    "x-request-id",
];

/// Reads the request at the front of `bytes`; an error says what is not canonical.
pub(crate) fn read(bytes: &[u8], chunks: Chunks) -> Result<Reading, String> {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        // A fault must not hide behind an end that never comes.
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        check_lines(&bytes[..whole])?;
        return Ok(Reading::Nothing);
    };
    let head = &bytes[..end + 2];
    check_lines(head)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut lines = head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let line = lines.next().unwrap_or_default();
    let parts: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let [method, target, b"HTTP/1.1"] = parts[..] else {
        return Err(format!("request line {:?}", text(line)));
    };
    if method.is_empty() || !method.iter().all(|&byte| is_token(byte)) {
        return Err(format!("method {:?}", text(method)));
    }
    let has_form = target.starts_with(b"/") || (method == b"OPTIONS" && target == b"*");
    if !has_form || !target.iter().all(|&byte| (0x21..0x7f).contains(&byte) && byte != b'#') {
        return Err(format!("target {:?}", text(target)));
    }
    let mut request = Canonical {
        method: text(method),
        target: text(target),
        fields: Vec::new(),
        body: Vec::new(),
        connection: 0,
    };
    for line in lines.filter(|line| !line.is_empty()) {
        let colon = find(line, b": ").ok_or_else(|| format!("field line {:?}", text(line)))?;
        let (name, value) = (&line[..colon], &line[colon + 2..]);
        if name.is_empty() || !name.iter().all(|&byte| is_token(byte) && byte != b'_') {
            return Err(format!("field name {:?}", text(name)));
        }
        if value.trim_ascii().len() != value.len()
            || value.iter().any(|&byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f)
        {
            return Err(format!("field value {:?}", text(line)));
        }
        request.fields.push((text(name), value.to_vec()));
    }
    check_fields(&request)?;
    read_body(request, &bytes[end + 4..], end + 4, chunks)
}

/// Each line must end in CRLF, and no CR, LF or NUL may stand elsewhere.
fn check_lines(head: &[u8]) -> Result<(), String> {
    let is_bad = |at: usize| match head[at] {
        0 => true,
        b'\r' => head.get(at + 1) != Some(&b'\n'),
        b'\n' => at == 0 || head[at - 1] != b'\r',
        _ => false,
    };
    match (0..head.len()).find(|&at| is_bad(at)) {
        Some(at) => Err(format!("a bare CR, LF or NUL at {at} of {:?}", String::from_utf8_lossy(head))),
        None => Ok(()),
    }
}

fn check_fields(request: &Canonical) -> Result<(), String> {
    for name in FORBIDDEN {
        if request.has(name) {
            return Err(format!("{name} reached the application"));
        }
    }
    for name in SINGLE {
        if request.all(name).len() > 1 {
            return Err(format!("{name} stands more than once"));
        }
    }
    let Some(host) = request.field("host") else { return Err("no Host".to_owned()) };
    if host.bytes().any(|byte| b",/@\\?# \t".contains(&byte)) {
        return Err(format!("Host {host:?}"));
    }
    match (request.field("connection"), request.field("upgrade")) {
        (None | Some("close"), None) | (Some("Upgrade"), Some(_)) => {}
        (connection, upgrade) => return Err(format!("Connection {connection:?} with Upgrade {upgrade:?}")),
    }
    match (request.field("content-length"), request.field("transfer-encoding")) {
        (None, None | Some("chunked")) => Ok(()),
        (Some(length), None) => match length.parse::<u64>() {
            Ok(number) if number.to_string() == length => Ok(()),
            _ => Err(format!("Content-Length {length:?}")),
        },
        (length, coding) => Err(format!("Content-Length {length:?} with Transfer-Encoding {coding:?}")),
    }
}

fn read_body(mut request: Canonical, rest: &[u8], head: usize, chunks: Chunks) -> Result<Reading, String> {
    if request.has("transfer-encoding") {
        if chunks == Chunks::Refused {
            return Err("a chunked body reached the application".to_owned());
        }
        let length = read_chunks(rest, &mut request.body)?;
        return Ok(match length {
            Some(length) => Reading::Whole(request, head + length),
            None => Reading::Head(request),
        });
    }
    let length = request.field("content-length").map_or(0, |value| value.parse().expect("checked above"));
    let here = rest.len().min(length);
    request.body = rest[..here].to_vec();
    Ok(if here == length { Reading::Whole(request, head + length) } else { Reading::Head(request) })
}

/// Reads chunks without extensions and without trailer fields; gives their length when the last one is there.
fn read_chunks(bytes: &[u8], body: &mut Vec<u8>) -> Result<Option<usize>, String> {
    let mut at = 0;
    loop {
        let Some(length) = find(&bytes[at..], b"\r\n") else {
            let begun = &bytes[at..];
            let is_size = begun.iter().all(|&byte| byte.is_ascii_hexdigit() || byte == b'\r');
            return if is_size { Ok(None) } else { Err(format!("chunk size {begun:?}")) };
        };
        let digits = &bytes[at..at + length];
        if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(format!("chunk size {:?}", String::from_utf8_lossy(digits)));
        }
        let digits = std::str::from_utf8(digits).map_err(|error| error.to_string())?;
        let size = usize::from_str_radix(digits, 16).map_err(|error| error.to_string())?;
        at += length + 2;
        let data = &bytes[at..];
        body.extend_from_slice(&data[..data.len().min(size)]);
        match data.get(size..size + 2) {
            None => return Ok(None),
            Some(b"\r\n") => at += size + 2,
            Some(other) => return Err(format!("chunk end {other:?}")),
        }
        if size == 0 {
            return Ok(Some(at));
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(bytes: &str) -> String {
        match read(bytes.as_bytes(), Chunks::Refused) {
            Err(fault) => fault,
            Ok(reading) => panic!("{bytes:?} was taken for {reading:?}"),
        }
    }

    #[test]
    fn reads_a_canonical_request_and_nothing_behind_it() {
        let bytes = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nX-Empty: \r\n\r\nokGET";
        let Ok(Reading::Whole(request, length)) = read(bytes, Chunks::Refused) else { panic!("not whole") };
        assert_eq!((request.body.as_slice(), length), (&b"ok"[..], bytes.len() - 3));
        assert_eq!(request.field("x-empty"), Some(""));
        assert!(matches!(read(&bytes[..bytes.len() - 4], Chunks::Refused), Ok(Reading::Head(_))));
        assert_eq!(read(&bytes[..20], Chunks::Refused), Ok(Reading::Nothing));
    }

    #[test]
    fn refuses_every_other_form() {
        for bytes in [
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX:y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX_Y: z\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 05\r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ] {
            fault(bytes);
        }
    }

    #[test]
    fn reads_chunks_where_they_are_allowed() {
        let bytes = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let Ok(Reading::Whole(request, length)) = read(bytes, Chunks::Allowed) else { panic!("not whole") };
        assert_eq!((request.body.as_slice(), length), (&b"abc"[..], bytes.len()));
        for cut in 1..8 {
            let begun = read(&bytes[..bytes.len() - cut], Chunks::Allowed);
            assert!(matches!(begun, Ok(Reading::Head(_))), "{cut}: {begun:?}");
        }
        let bad =
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n0\r\n\r\n";
        assert!(read(bad, Chunks::Allowed).is_err());
    }
}
