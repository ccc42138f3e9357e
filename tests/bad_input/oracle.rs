//! Judges a case of bad input.

use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::support::canonical::Canonical;
use crate::support::client::{Client, Response};
use crate::support::origin::MARK;
use crate::support::stand::{Stand, further, own_answer, send};

/// Refused as malformed.
pub(crate) const R: &[u16] = &[400];
/// Refused as malformed, or as not supported.
pub(crate) const S: &[u16] = &[400, 501];
/// Forwarded.
pub(crate) const F: &[u16] = &[200];

/// After these the client's next bytes may mean anything.
const MUST_CLOSE: &[u16] = &[400, 413, 414, 431, 501, 505];

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
                break;
            }
        }
    }
    let count = faults.len();
    assert!(count == 0, "{count} faults of {} cases:\n{}", cases.len(), faults.join("\n"));
}

impl Stand {
    fn judge(&self, case: &Case, sending: Sending) -> Result<(), String> {
        let before = self.origin.requests().len();
        let (behind, path) = further();
        let mut client = self.connect();
        let is_behind = match sending {
            Sending::Whole => {
                send(&mut client, [&case.bytes[..], &behind].concat());
                true
            }
            Sending::Split(at) => {
                send(&mut client, &case.bytes[..at]);
                std::thread::sleep(Duration::from_millis(2));
                send(&mut client, [&case.bytes[at..], &behind].concat());
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
        if MUST_CLOSE.contains(&answer.status) && !is_forwarded && !answer.closes() {
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
        followed.push(self.another()?);
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
