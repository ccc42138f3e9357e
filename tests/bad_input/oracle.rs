//! Judges a case of bad input.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::canonical::Canonical;
use crate::support::client::{Client, Response};
use crate::support::dir::Dir;
use crate::support::origin::{MARK, Origin};
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::seconds;

/// Refused as malformed.
pub(crate) const R: &[u16] = &[400];
/// Refused as malformed, or as not supported.
pub(crate) const S: &[u16] = &[400, 501];
/// Forwarded.
pub(crate) const F: &[u16] = &[200];

/// Bodies above this are refused in these tests.
pub(crate) const LARGEST_BODY: u64 = 1024 * 1024;

/// Longest input that is also sent byte by byte.
const BYTEWISE: usize = 400;

/// What is sent, and what may become of it.
pub(crate) struct Case {
    bytes: Vec<u8>,
    statuses: Vec<u16>,
    checks: Vec<(&'static str, Check)>,
}

type Check = Box<dyn Fn(&Canonical) -> bool>;

impl Case {
    /// These bytes, answered with one of these statuses.
    pub(crate) fn new(bytes: impl Into<Vec<u8>>, statuses: &[u16]) -> Case {
        Case { bytes: bytes.into(), statuses: statuses.to_vec(), checks: Vec::new() }
    }

    /// If it is forwarded, this holds of what the application gets; `what` says it in words.
    pub(crate) fn with(mut self, what: &'static str, holds: impl Fn(&Canonical) -> bool + 'static) -> Case {
        self.checks.push((what, Box::new(holds)));
        self
    }
}

/// A request with this request line, and Host.
pub(crate) fn line(line: impl AsRef<[u8]>) -> Vec<u8> {
    [line.as_ref(), b"\r\nHost: a\r\n\r\n"].concat()
}

/// The base request with these lines behind its Host; each ends in CRLF.
pub(crate) fn post(lines: impl AsRef<[u8]>) -> Vec<u8> {
    [b"POST / HTTP/1.1\r\nHost: a\r\n", lines.as_ref(), b"\r\n"].concat()
}

/// The same, and a body as it is.
pub(crate) fn post_with(lines: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    [&post(lines), body.as_ref()].concat()
}

/// A Vestibule in front of an origin that records.
pub(crate) struct Stand {
    vestibule: Vestibule,
    origin: Origin,
    _dir: Dir,
}

/// How the bytes of a case are sent.
#[derive(Debug, Clone, Copy)]
enum Sending {
    /// In one write, with a further request behind them.
    Whole,
    /// In two writes, with a further request behind them.
    Split(usize),
    /// Each byte by itself; a further request follows when the answer is there.
    Bytewise,
}

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// A request whose answer can be mistaken for no other, and its path.
fn further() -> (Vec<u8>, String) {
    let path = format!("/further-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    (line(format!("GET {path} HTTP/1.1")), path)
}

/// Judges each case, sent in three ways; panics with all that is wrong.
pub(crate) fn judge(cases: impl IntoIterator<Item = Case>) {
    let stand = Stand::new();
    let cases: Vec<Case> = cases.into_iter().collect();
    assert!(!cases.is_empty(), "nothing to judge");
    let mut faults = Vec::new();
    for case in &cases {
        let mut sendings = vec![Sending::Whole, Sending::Split(fastrand::usize(1..case.bytes.len()))];
        if case.bytes.len() <= BYTEWISE {
            sendings.push(Sending::Bytewise);
        }
        for sending in sendings {
            if let Err(fault) = stand.judge(case, sending) {
                let shown = String::from_utf8_lossy(&case.bytes[..case.bytes.len().min(300)]).into_owned();
                faults.push(format!("{shown:?} sent {sending:?}: {fault}"));
            }
        }
    }
    let count = faults.len();
    assert!(count == 0, "{count} faults of {} cases:\n{}", cases.len(), faults.join("\n"));
}

impl Stand {
    pub(crate) fn new() -> Stand {
        let dir = Dir::new();
        let origin = Origin::start(&dir.socket());
        let limits = format!("[limits]\nrequest_timeout = \"5s\"\nbody = \"{} KiB\"\n", LARGEST_BODY / 1024);
        let vestibule = Vestibule::start(&dir, &config(&dir, &limits));
        Stand { vestibule, origin, _dir: dir }
    }

    pub(crate) fn connect(&self) -> Client<TcpStream> {
        Client::connect(self.vestibule.address()).expect("a connection").patience(seconds(20))
    }

    fn judge(&self, case: &Case, sending: Sending) -> Result<(), String> {
        let before = self.origin.requests().len();
        let (behind, path) = further();
        let mut client = self.connect();
        let is_behind = match sending {
            Sending::Whole => {
                send(&mut client, &[&case.bytes[..], &behind].concat());
                true
            }
            Sending::Split(at) => {
                send(&mut client, &case.bytes[..at]);
                std::thread::sleep(Duration::from_millis(2));
                send(&mut client, &[&case.bytes[at..], &behind].concat());
                true
            }
            Sending::Bytewise => {
                for byte in &case.bytes {
                    send(&mut client, std::slice::from_ref(byte));
                    std::thread::sleep(Duration::from_micros(20));
                }
                false
            }
        };
        let answer = answer(&mut client, &case.bytes)?;
        let is_forwarded = answer.field(MARK).is_some();
        if !case.statuses.contains(&answer.status) {
            return Err(format!("answered {}, not one of {:?}", answer.status, case.statuses));
        }
        // 405 tells nothing bad of the client; after anything else its next bytes may mean anything.
        if !is_forwarded && answer.status >= 400 && answer.status != 405 && !answer.closes() {
            return Err(format!("answered {} and kept the connection", answer.status));
        }
        let mut followed = Vec::new();
        if !answer.closes() {
            if !is_behind {
                send(&mut client, &behind);
            }
            own_answer(&mut client, &path).map_err(|fault| format!("on the same connection: {fault}"))?;
            followed.push(path);
        }
        // When Vestibule has closed it too, nothing more of it can reach the origin.
        let _ = client.stream().shutdown(Shutdown::Write);
        match client.rest() {
            Ok(rest) if rest.is_empty() => {}
            Ok(rest) => return Err(format!("a further answer: {:?}", String::from_utf8_lossy(&rest))),
            Err(error) => return Err(format!("the connection did not end: {error}")),
        }
        let (behind, path) = further();
        let mut other = self.connect();
        send(&mut other, &behind);
        own_answer(&mut other, &path).map_err(|fault| format!("on another connection: {fault}"))?;
        followed.push(path);
        self.judge_origin(before, case, is_forwarded, &answer, &followed)
    }

    /// Judges what the origin got since it had `before` requests: the case if it was forwarded, then those `followed`.
    fn judge_origin(
        &self,
        before: usize,
        case: &Case,
        is_forwarded: bool,
        answer: &Response,
        followed: &[String],
    ) -> Result<(), String> {
        let record = self.origin.record();
        if let Some(fault) = record.faults().first() {
            return Err(fault.clone());
        }
        let mut got = record.requests[before..].iter();
        if is_forwarded {
            let request = got.next().ok_or("answered by the origin, which got nothing")?;
            let own = format!("{} {}", request.method, request.target);
            if request.method != "HEAD" && answer.body != own.as_bytes() {
                return Err(format!("the answer of another request: {:?}", answer.text()));
            }
            for (what, holds) in &case.checks {
                if !holds(request) {
                    return Err(format!("{what}: not so in {request:?}"));
                }
            }
        }
        let rest: Vec<String> = got.map(|request| request.target.clone()).collect();
        if rest != followed {
            return Err(format!("the origin got {rest:?} where {followed:?} were to come"));
        }
        Ok(())
    }

    /// Sends the beginning of a request and then the end of the stream: nothing of it may reach the application, and
    /// another connection goes on as if nothing had been.
    pub(crate) fn breaks_off(&self, bytes: &[u8]) -> Result<(), String> {
        let before = self.origin.requests().len();
        let mut client = self.connect();
        send(&mut client, bytes);
        client.stream().shutdown(Shutdown::Write).expect("half-closed");
        // An error may be told, or the connection just closed.
        let told = client.rest().map_err(|error| format!("the connection did not end: {error}"))?;
        let told = told.strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&told);
        if !told.is_empty() && !told.starts_with(b"HTTP/1.1 4") {
            return Err(format!("answered {:?}", String::from_utf8_lossy(told)));
        }
        let (behind, path) = further();
        let mut other = self.connect();
        send(&mut other, &behind);
        own_answer(&mut other, &path)?;
        let record = self.origin.record();
        if let Some(fault) = record.faults().first() {
            return Err(fault.clone());
        }
        let got: Vec<&str> =
            record.requests[before..].iter().map(|request| request.target.as_str()).collect();
        if got != [path] { Err(format!("the origin got {got:?}")) } else { Ok(()) }
    }
}

/// Writes what the other side takes: it may have refused before the end.
fn send(client: &mut Client<TcpStream>, bytes: &[u8]) {
    let _ = client.stream().write_all(bytes);
}

/// The answer to a case. Interim answers come only to who asked for them.
fn answer(client: &mut Client<TcpStream>, case: &[u8]) -> Result<Response, String> {
    let expects = case.windows(6).any(|bytes| bytes.eq_ignore_ascii_case(b"Expect"));
    let mut head = client.response_head().map_err(|error| format!("no answer: {error}"))?;
    while head.status < 200 && expects {
        head = client.response_head().map_err(|error| format!("no answer: {error}"))?;
    }
    let is_head = case.trim_ascii_start().starts_with(b"HEAD ") && head.field(MARK).is_some();
    client.body(head, is_head).map_err(|error| format!("half an answer: {error}"))
}

/// Reads the answer to a further request and says what is wrong with it.
fn own_answer(client: &mut Client<TcpStream>, path: &str) -> Result<(), String> {
    let answer = client.response().map_err(|error| format!("{path} has no answer: {error}"))?;
    if answer.status == 200 && answer.body == format!("GET {path}").as_bytes() {
        return Ok(());
    }
    Err(format!("{path} was answered {}: {:?}", answer.status, answer.text()))
}
