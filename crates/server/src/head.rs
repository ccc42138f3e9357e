//! The head of an answer to an HTTP/1 client.

use std::time::SystemTime;

use vestibule_http1::{
    BodyLength, Field, Method, Name, ResponseHead, Version, field, number_field, status_line,
};
use vestibule_proxy::{Changed, Compression, Own, Treated, Worker, is_of_this_hop};

use crate::outflow::FLUSH;

/// How the body of an answer to the client is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    /// There is none, or its bytes stand as they are, as many as the head says.
    Plain,
    /// In chunks.
    Chunked,
    /// It ends with the connection.
    UntilClose,
}

/// What of the request decides the form of the answer.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The version the client speaks.
    pub version: Version,
    /// What it asked for.
    pub method: Method,
    /// Whether the client takes trailer fields.
    pub takes_trailers: bool,
    /// `Strict-Transport-Security` for an answer that has none of its own (RFC 6797 7.2: over TLS only).
    pub hsts: Option<&'a str>,
    /// What is changed in its fields.
    pub changed: Changed<'a>,
    /// What becomes of its body.
    pub compression: Compression,
}

impl BodyFraming {
    pub(crate) fn of(body: BodyLength, asked: Asked<'_>) -> Self {
        match (body, asked.version) {
            (BodyLength::None | BodyLength::Length(_), _) => BodyFraming::Plain,
            (_, Version::Http11) => BodyFraming::Chunked,
            (_, Version::Http10) => BodyFraming::UntilClose,
        }
    }
}

/// Writes the head of an application's answer in its one canonical form.
pub fn write(
    out: &mut Vec<u8>,
    (head, bytes): (&ResponseHead, &[u8]),
    asked: Asked<'_>,
    keep_alive: bool,
    worker: &Worker,
) {
    status_line(out, head.status, head.reason.of(bytes));
    let nominates = head.nominates_fields();
    let is_changed = !asked.changed.is_nothing();
    let mut has_date = false;
    let mut hsts = asked.hsts.filter(|_| !is_changed || !asked.changed.drops(HSTS));
    let mut compression = asked.compression;
    for line in &head.fields {
        has_date |= line.kind == Name::Date;
        if line.kind == Name::StrictTransportSecurity {
            hsts = None;
        }
        if passes((head, bytes), line, nominates, asked.takes_trailers) {
            let name = line.name.of(bytes);
            if is_changed && asked.changed.drops(name) {
                continue;
            }
            write_field(out, name, line.value.of(bytes), &mut compression);
        }
    }
    if !has_date && head.status >= 200 {
        worker.write_date(out, SystemTime::now());
    }
    if let Some(hsts) = hsts {
        field(out, HSTS, hsts.as_bytes());
    }
    if is_changed {
        let has = |name: &[u8]| has_field((head, bytes), asked, name);
        asked.changed.add(has, |name, value| field(out, name, value));
    }
    if head.status == 101 {
        out.extend_from_slice(b"Connection: Upgrade\r\n");
        if let Some(protocol) = head.upgrade {
            field(out, b"Upgrade", protocol.of(bytes));
        }
        out.extend_from_slice(b"\r\n");
        return;
    }
    for (name, value) in compression.added() {
        field(out, name.as_bytes(), value.as_bytes());
    }
    let body = compression.body(head.body);
    match (body, BodyFraming::of(body, asked)) {
        (BodyLength::Length(length), _) => number_field(out, b"Content-Length", length),
        // What a GET would have had (RFC 9110 8.6), where the application said it.
        (BodyLength::None, _) if asked.method == Method::Head || head.status == 304 => {
            if compression.coding.is_none()
                && !compression.is_of_coded()
                && let Some(length) = head.promised
            {
                number_field(out, b"Content-Length", length);
            }
        }
        (_, BodyFraming::Chunked) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        _ => {}
    }
    end(out, asked, keep_alive);
}

const VARY: &[u8] = b"Vary";
pub(crate) const HSTS: &[u8] = b"Strict-Transport-Security";

/// Whether an application's answer has a field of that name, in any case, as the client gets it.
pub(crate) fn has_field((head, bytes): (&ResponseHead, &[u8]), asked: Asked<'_>, name: &[u8]) -> bool {
    if asked.hsts.is_some() && name.eq_ignore_ascii_case(HSTS) {
        return true;
    }
    let mut fields = head.fields.iter().map(|line| line.name.of(bytes));
    fields.any(|found| found.eq_ignore_ascii_case(name)) && !asked.changed.drops(name)
}

/// Hands name and value of each field of an answer of our own to `each`, but for those of the connection.
pub(crate) fn own_fields(own: &Own, asked: Asked<'_>, worker: &Worker, mut each: impl FnMut(&[u8], &[u8])) {
    let changed = asked.changed;
    let is_changed = !changed.is_nothing();
    let mut digits = itoa::Buffer::new();
    worker.with_date(SystemTime::now(), |date| each(b"Date", date));
    if !own.is_bodiless() {
        each(b"Content-Length", digits.format(own.body.len()).as_bytes());
    }
    let mut retry = itoa::Buffer::new();
    let content_type = Some(own.content_type.as_bytes()).filter(|kind| !kind.is_empty());
    let fields = [
        (&b"Content-Type"[..], content_type),
        (b"Allow", own.allow.map(str::as_bytes)),
        (b"Retry-After", own.retry_after.map(|seconds| retry.format(seconds).as_bytes())),
        (b"Location", own.location.as_deref()),
        (HSTS, asked.hsts.map(str::as_bytes)),
        (b"Cache-Control", (!own.cacheable).then_some(&b"no-store"[..])),
    ];
    for (name, value) in fields {
        if let Some(value) = value.filter(|_| !is_changed || !changed.drops(name)) {
            each(name, value);
        }
    }
    if is_changed {
        let has = |name: &[u8]| {
            let mut there = fields.iter().filter(|(_, value)| value.is_some());
            there.any(|(known, _)| known.eq_ignore_ascii_case(name)) && !changed.drops(name)
        };
        changed.add(has, each);
    }
}

/// Writes a field as it is, or as coding the body changes it.
#[inline]
fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8], compression: &mut Compression) {
    if compression.is_off() {
        return field(out, name, value);
    }
    match compression.treat(name, value) {
        Treated::Same => field(out, name, value),
        Treated::Gone => {}
        Treated::Joined(parts) => field(out, name, &parts.concat()),
    }
}

/// Whether a field of an application's answer goes on to the client. `nominates` as the head says.
#[inline]
pub(crate) fn passes(
    (head, bytes): (&ResponseHead, &[u8]),
    line: &Field,
    nominates: bool,
    takes_trailers: bool,
) -> bool {
    let is_dropped = (is_of_this_hop(line.kind) && !(line.kind == Name::Trailer && takes_trailers))
        || is_for_front_end(line.kind)
        || (nominates && head.is_nominated(bytes, line.name.of(bytes)));
    !is_dropped
}

/// Instructions of the application to the front-end before it. They name files and places that clients need not know.
fn is_for_front_end(kind: Name) -> bool {
    matches!(kind, Name::XAccel | Name::XAccelBuffering | Name::XSendfile)
}

/// Writes an answer of our own, head and body; gives what is left to write of a long body, so that a page which all
/// clients share is not copied whole for each.
pub(crate) fn write_own<'a>(
    out: &mut Vec<u8>,
    own: &'a Own,
    asked: Asked<'_>,
    keep_alive: bool,
    worker: &Worker,
) -> &'a [u8] {
    status_line(out, own.status, b"");
    own_fields(own, asked, worker, |name, value| field(out, name, value));
    end(out, asked, keep_alive);
    if asked.method == Method::Head || own.is_bodiless() {
        return b"";
    }
    let (first, rest) = own.body.split_at_checked(FLUSH).unwrap_or((&own.body, b""));
    out.extend_from_slice(first);
    rest
}

/// Writes the head of an answer from files.
pub(crate) fn write_file(
    out: &mut Vec<u8>,
    answer: &vestibule_files::Answer,
    asked: Asked<'_>,
    keep_alive: bool,
    worker: &Worker,
) {
    status_line(out, answer.status, b"");
    worker.write_date(out, SystemTime::now());
    if asked.changed.is_nothing() {
        out.extend_from_slice(&answer.lines);
        if let Some(hsts) = asked.hsts.filter(|_| !has_line(&answer.lines, HSTS)) {
            field(out, HSTS, hsts.as_bytes());
        }
    } else {
        lines_of_file(answer, asked, |name, value| field(out, name, value));
    }
    if let Some(length) = answer.length {
        number_field(out, b"Content-Length", length);
    }
    end(out, asked, keep_alive);
}

/// Hands name and value of each line of an answer from files to `each`, with the route's changes.
pub(crate) fn lines_of_file(
    answer: &vestibule_files::Answer,
    asked: Asked<'_>,
    mut each: impl FnMut(&[u8], &[u8]),
) {
    let changed = asked.changed;
    let hsts = asked.hsts.filter(|_| !changed.drops(HSTS) && !has_line(&answer.lines, HSTS));
    for (name, value) in fields(&answer.lines).filter(|(name, _)| !changed.drops(name)) {
        each(name, value);
    }
    // Whatever else it varies by: a cache must not hand one coding to all.
    if changed.drops(VARY) && has_line(&answer.lines, VARY) {
        each(VARY, b"Accept-Encoding");
    }
    if let Some(hsts) = hsts {
        each(HSTS, hsts.as_bytes());
    }
    let has = |name: &[u8]| {
        (hsts.is_some() && name.eq_ignore_ascii_case(HSTS))
            || has_line(&answer.lines, name) && !changed.drops(name)
    };
    changed.add(has, each);
}

/// Name and value of each of these lines, which were written in the one form.
fn fields(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.filter_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        Some((line.get(..colon)?, line.get(colon + 1..)?.trim_ascii()))
    })
}

/// Whether the lines, which may come from an application, have a field of that name.
pub(crate) fn has_line(lines: &[u8], name: &[u8]) -> bool {
    fields(lines).any(|(found, _)| found.eq_ignore_ascii_case(name))
}

fn end(out: &mut Vec<u8>, asked: Asked<'_>, keep_alive: bool) {
    match (keep_alive, asked.version) {
        (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
        (true, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (true, Version::Http11) => {}
    }
    out.extend_from_slice(b"\r\n");
}
