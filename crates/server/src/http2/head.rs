//! The fields of an answer to an HTTP/2 client. Names are written in lower case, and what belongs to a connection stays out,
//! by [`FieldBlock`].

use std::time::SystemTime;

use vestibule_http1::{BodyLength, Method, Name, ResponseHead};
use vestibule_http2::FieldBlock;
use vestibule_proxy::{Own, Treated, Worker};

use crate::head::{Asked, HSTS, has_field, lines_of_file, own_fields, passes};

/// Adds those of an application's answer.
pub(super) fn of_answer(
    block: &mut FieldBlock<'_>,
    (head, bytes): (&ResponseHead, &[u8]),
    asked: Asked<'_>,
    worker: &Worker,
) {
    let nominates = head.nominates_fields();
    let is_changed = !asked.changed.is_nothing();
    let (mut has_date, mut has_hsts) = (false, is_changed && asked.changed.drops(HSTS));
    let mut compression = asked.compression;
    for line in &head.fields {
        has_date |= line.kind == Name::Date;
        has_hsts |= line.kind == Name::StrictTransportSecurity;
        if passes((head, bytes), line, nominates, asked.takes_trailers) {
            let name = line.name.of(bytes);
            // What it proves, the stream's being open does (RFC 8441 5.1).
            if head.status == 101 && name.eq_ignore_ascii_case(b"sec-websocket-accept") {
                continue;
            }
            if is_changed && asked.changed.drops(name) {
                continue;
            }
            let value = line.value.of(bytes);
            if compression.is_off() {
                block.field(name, value);
                continue;
            }
            match compression.treat(name, value) {
                Treated::Same => block.field(name, value),
                Treated::Gone => {}
                Treated::Joined(parts) => block.field(name, &parts.concat()),
            }
        }
    }
    for (name, value) in compression.added() {
        block.field(name.as_bytes(), value.as_bytes());
    }
    if !has_date {
        worker.with_date(SystemTime::now(), |date| block.field(b"date", date));
    }
    if let Some(hsts) = asked.hsts.filter(|_| !has_hsts) {
        block.field(b"strict-transport-security", hsts.as_bytes());
    }
    if is_changed {
        let has = |name: &[u8]| has_field((head, bytes), asked, name);
        asked.changed.add(has, |name, value| block.field(name, value));
    }
    match compression.body(head.body) {
        _ if head.status == 101 => {}
        BodyLength::Length(length) => block.number(b"content-length", length),
        // What a GET would have had (RFC 9110 8.6), where the application said it.
        BodyLength::None if asked.method == Method::Head || head.status == 304 => {
            if compression.coding.is_none()
                && let Some(length) = head.promised
            {
                block.number(b"content-length", length);
            }
        }
        _ => {}
    }
}

/// Adds those of an answer of our own.
pub(super) fn of_own(block: &mut FieldBlock<'_>, own: &Own, asked: Asked<'_>, worker: &Worker) {
    own_fields(own, asked, worker, |name, value| block.field(name, value));
}

/// Adds those of an answer from files.
pub(super) fn of_file(
    block: &mut FieldBlock<'_>,
    answer: &vestibule_files::Answer,
    asked: Asked<'_>,
    worker: &Worker,
) {
    worker.with_date(SystemTime::now(), |date| block.field(b"date", date));
    lines_of_file(answer, asked, |name, value| block.field(name, value));
    if let Some(length) = answer.length {
        block.number(b"content-length", length);
    }
}

/// The lines of a head or of trailers as HTTP/1 has them, without their ends.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The status in a status line.
pub(super) fn status(line: &[u8]) -> Option<u16> {
    str::from_utf8(line.get(9..12)?).ok()?.parse().ok()
}

/// Adds fields as HTTP/1 has them: `Name: value`.
pub(super) fn add_lines<'a>(block: &mut FieldBlock<'_>, lines: impl Iterator<Item = &'a [u8]>) {
    for line in lines {
        if let Some(colon) = memchr::memchr(b':', line) {
            let (name, value) = line.split_at(colon);
            block.field(name, value.get(1..).unwrap_or_default().trim_ascii());
        }
    }
}
