//! Connections that are refused before anything was read of them: the canned answer, and how they are reported.

use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use vestibule_http1::{field, number_field, status_line};
use vestibule_proxy::{Worker, explanation};

/// Seconds after which a client may try again.
const RETRY_AFTER: u64 = 5;

/// Why a connection is refused.
///
/// Where TLS is spoken a refused connection is closed without a word. An answer in the clear would be a broken record to the
/// client; one over TLS would cost the handshake, which is what there is too much of; and an alert (it could only be
/// `internal_error`) makes browsers and libraries report a fault of ours for good, where after a close they try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `limits.connections` are open.
    Full,
    /// `limits.connections_per_address` of this one are open.
    Address,
    /// It came from a peer that is not in `trusted_proxies` to a listener with `proxy_protocol`.
    Untrusted,
}

impl Refusal {
    /// Writes the answer; none to a stranger.
    pub(crate) fn write(self, out: &mut Vec<u8>, worker: &Worker) {
        let status = match self {
            Refusal::Full => 503,
            Refusal::Address => 429,
            Refusal::Untrusted => return,
        };
        let text = explanation(status);
        status_line(out, status, b"");
        worker.write_date(out, SystemTime::now());
        field(out, b"Content-Type", b"text/plain; charset=utf-8");
        number_field(out, b"Content-Length", text.len() as u64 + 1);
        number_field(out, b"Retry-After", RETRY_AFTER);
        field(out, b"Cache-Control", b"no-store");
        field(out, b"Connection", b"close");
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
    }
}

/// Refused connections of all workers, since they were last reported.
///
/// They have no line in the access log: a flood of connections would become one of lines, each of which costs more than
/// the refusal, and there is no request to tell of.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    full: Counter,
    address: Counter,
    untrusted: Counter,
}

#[derive(Debug, Default)]
struct Counter {
    count: AtomicU64,
    /// The address of one of them.
    example: Mutex<Option<IpAddr>>,
}

impl Tally {
    /// Counts a connection from `address`.
    pub(crate) fn count(&self, refusal: Refusal, address: IpAddr) {
        let counter = match refusal {
            Refusal::Full => &self.full,
            Refusal::Address => &self.address,
            Refusal::Untrusted => &self.untrusted,
        };
        counter.count.fetch_add(1, Ordering::Relaxed);
        // Any will do, so there is nothing to wait for.
        if let Ok(mut example) = counter.example.try_lock() {
            *example = Some(address);
        }
    }

    /// Logs what was refused since the last call; whether there was anything.
    pub(crate) fn report(&self) -> bool {
        let full = self.full.report("connections refused with 503: limits.connections is reached");
        let address = "connections refused with 429: limits.connections_per_address is reached";
        let address = self.address.report(address);
        let untrusted =
            "connections closed: a listener with proxy_protocol takes them of trusted_proxies only";
        let untrusted = self.untrusted.report(untrusted);
        full || address || untrusted
    }
}

impl Counter {
    fn report(&self, message: &'static str) -> bool {
        let count = self.count.swap(0, Ordering::Relaxed);
        if count > 0 {
            // Written after the count, so that it may be missing for once.
            let address = self.example.lock().ok().and_then(|example| *example);
            tracing::warn!(count, example = address.map(tracing::field::display), "{message}");
        }
        count > 0
    }
}
