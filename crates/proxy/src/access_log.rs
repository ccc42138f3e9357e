//! The access log: one line per request, collected per worker and written by a thread of its own.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};
use vestibule_config::AccessFormat;
use vestibule_http1::Name;

use crate::log_file::LogSender;
use crate::request::Request;
use crate::stack::Record;

/// Lines are handed over when this much has come together, or at the worker's next tick.
const FULL: usize = 32 * 1024;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer, the application's or ours, was sent whole.
    Answered,
    /// What came is no request that could be served.
    Refused,
    /// The client left before the end.
    ClientLeft,
    /// The application's answer broke off, and so did ours.
    Broken,
    /// The client took its answer too slowly.
    ClientSlow,
    /// The connection became a tunnel, which has ended.
    Tunnel,
}

/// One request that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// What was found out about it.
    pub record: &'a Record,
    /// The status sent; 499 when the client left before there was one.
    pub status: u16,
    /// Body bytes sent to the client.
    pub bytes: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, where it did not end well.
    pub why: &'a str,
    /// Name of its upstream.
    pub upstream: Option<&'a str>,
}

/// The access log of one worker.
#[derive(Debug)]
pub struct AccessLog {
    format: Cell<AccessFormat>,
    lines: RefCell<Vec<u8>>,
    sender: RefCell<Option<LogSender>>,
}

impl AccessLog {
    /// A log that writes nothing.
    pub fn off() -> Self {
        AccessLog {
            format: Cell::new(AccessFormat::Off),
            lines: RefCell::default(),
            sender: RefCell::default(),
        }
    }

    /// A log in `format`, which must be decided (not `Auto`), written by `sender`'s thread.
    pub(crate) fn new(format: AccessFormat, sender: LogSender) -> Self {
        AccessLog { format: Cell::new(format), lines: RefCell::default(), sender: RefCell::new(Some(sender)) }
    }

    /// Whether lines are written at all; nothing need be found out for them otherwise.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.format.get() != AccessFormat::Off
    }

    /// Adds the line of a request.
    pub fn write(&self, entry: &Entry<'_>) {
        if !self.is_on() {
            return;
        }
        let mut lines = self.lines.borrow_mut();
        match self.format.get() {
            AccessFormat::Combined => combined(&mut lines, entry),
            AccessFormat::Line => line(&mut lines, entry),
            AccessFormat::Json | AccessFormat::Auto => json(&mut lines, entry),
            AccessFormat::Off => {}
        }
        if lines.len() >= FULL {
            drop(lines);
            self.flush();
        }
    }

    /// From now on lines go where those of `other` would; what has come together still goes where it was meant to.
    pub fn replace(&self, other: AccessLog) {
        self.flush();
        self.format.set(other.format.get());
        self.sender.replace(other.sender.take());
    }

    /// Hands over what has come together.
    pub fn flush(&self) {
        let mut lines = self.lines.borrow_mut();
        if let Some(sender) = &*self.sender.borrow()
            && !lines.is_empty()
        {
            sender.lines(std::mem::take(&mut *lines));
        }
    }
}

/// Bytes as text, for JSON; what is not UTF-8 shows as the replacement character.
struct Text<'a>(&'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(self.0))
    }
}

#[derive(Serialize)]
struct Json<'a> {
    time: String,
    id: &'a str,
    client: std::net::IpAddr,
    method: Text<'a>,
    host: Text<'a>,
    path: Text<'a>,
    protocol: &'a str,
    status: u16,
    bytes: u64,
    duration_ms: f64,
    held_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_ms: Option<f64>,
    attempts: u32,
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'a str>,
    /// The server of several behind the upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<&'a str>,
    outcome: Outcome,
    #[serde(skip_serializing_if = "str::is_empty")]
    why: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<Text<'a>>,
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

fn json(out: &mut Vec<u8>, entry: &Entry<'_>) {
    let Entry { request, record, .. } = entry;
    let (head, bytes) = (request.head, request.bytes);
    let line = Json {
        time: timestamp(request.arrived_at),
        id: record.id.as_str(),
        client: record.client,
        method: Text(head.method.of(bytes)),
        host: Text(head.host.of(bytes)),
        path: Text(head.target.of(bytes)),
        protocol: request.protocol(),
        status: entry.status,
        bytes: entry.bytes,
        duration_ms: milliseconds(request.arrived.elapsed()),
        held_ms: milliseconds(record.trace.held),
        first_byte_ms: record.trace.first_byte.map(milliseconds),
        attempts: record.trace.attempts,
        generation: record.trace.generation,
        upstream: entry.upstream,
        member: record.trace.member.as_deref(),
        outcome: entry.outcome,
        why: entry.why,
        user_agent: head.field(bytes, Name::UserAgent).map(Text),
        referer: head.field(bytes, Name::Referer).map(Text),
    };
    // Neither a Vec nor these types can fail to serialise.
    if serde_json::to_writer(&mut *out, &line).is_ok() {
        out.push(b'\n');
    }
}

/// For a person at a terminal.
fn line(out: &mut Vec<u8>, entry: &Entry<'_>) {
    let Entry { request, record, .. } = entry;
    let (head, bytes) = (request.head, request.bytes);
    let time = timestamp(request.arrived_at);
    let _ = write!(
        out,
        "{} {} {} {}{} {:.1}ms",
        time.get(11..19).unwrap_or(&time),
        entry.status,
        printable(head.method.of(bytes)),
        printable(head.host.of(bytes)),
        printable(head.target.of(bytes)),
        milliseconds(request.arrived.elapsed()),
    );
    if !record.trace.held.is_zero() {
        let _ = write!(out, " held {:.1}ms", milliseconds(record.trace.held));
    }
    if record.trace.attempts > 1 {
        let _ = write!(out, " attempts {}", record.trace.attempts);
    }
    if entry.outcome != Outcome::Answered || !entry.why.is_empty() {
        let _ = write!(out, " {:?} {}", entry.outcome, entry.why);
    }
    out.push(b'\n');
}

/// Apache's "combined" format (its mod_log_config documentation), which every log tool reads.
fn combined(out: &mut Vec<u8>, entry: &Entry<'_>) {
    let Entry { request, record, .. } = entry;
    let (head, bytes) = (request.head, request.bytes);
    let quoted = |name| match head.field(bytes, name) {
        Some(value) => printable(value),
        None => "-".to_owned(),
    };
    let _ = writeln!(
        out,
        "{} - - [{}] \"{} {} {}\" {} {} \"{}\" \"{}\"",
        record.client,
        apache_time(request.arrived_at),
        printable(head.method.of(bytes)),
        printable(head.target.of(bytes)),
        request.protocol(),
        entry.status,
        entry.bytes,
        quoted(Name::Referer),
        quoted(Name::UserAgent),
    );
}

/// Nothing a client sends may break a line, close a quote or move a cursor.
fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                control if control.is_control() => text.extend(control.escape_default()),
                other => text.push(other),
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

/// Year, month, day, hour, minute, second and microsecond of a time, in UTC.
fn calendar(time: SystemTime) -> (i64, u32, u32, u64, u64, u64, u32) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // The civil calendar from a count of days: eras of 400 years that begin on 1 March.
    let shifted = days as i64 + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day, second / 3600, second / 60 % 60, second % 60, since.subsec_micros())
}

/// A moment by RFC 3339, in UTC and with microseconds.
pub fn timestamp(time: SystemTime) -> String {
    let (year, month, day, hour, minute, second, micros) = calendar(time);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

fn apache_time(time: SystemTime) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day, hour, minute, second, _) = calendar(time);
    let month = MONTHS.get(month as usize - 1).unwrap_or(&"Jan");
    format!("{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_calendar() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (1_700_000_000, "2023-11-14T22:13:20.000000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
        ];
        for (seconds, text) in cases {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
        assert_eq!(
            apache_time(UNIX_EPOCH + Duration::from_secs(1_700_000_000)),
            "14/Nov/2023:22:13:20 +0000"
        );
    }

    #[test]
    fn what_a_client_sends_cannot_break_a_line() {
        assert_eq!(printable(b"a\"b\\c\nd\x1b[31m\xff"), "a\\\"b\\\\c\\nd\\u{1b}[31m\\xff");
    }
}
