//! The answers that we give ourselves: the one place where an error becomes a status.

use std::borrow::Cow;
use std::sync::Arc;

use vestibule_config::{Config, PageKind, Redirect};
use vestibule_http1::RequestError;
use vestibule_upstream::{ClientError, Error, MaintenancePage, Refused, Upstream};

use crate::accept::Accept;
use crate::page::{self, Body};
use crate::request::Request;

/// Seconds after which a client may try again when the application is away.
const RETRY_AFTER: u32 = 5;
/// The same when the operator stopped it: that takes minutes.
const RETRY_AFTER_STOP: u32 = 30;

/// The port that is not written into an https address (RFC 9110 4.2.2).
const HTTPS_PORT: u16 = 443;

/// The methods that pass, of those that are registered; others pass too.
const ALLOW: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Status by which a client that left is logged; nginx's number.
pub const CLIENT_LEFT: u16 = 499;

/// An answer of our own.
#[derive(Debug, Clone)]
pub struct Own {
    /// The status; [`CLIENT_LEFT`] is never sent.
    pub status: u16,
    /// Type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Body,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// `Allow`.
    pub allow: Option<&'static str>,
    /// `Location`.
    pub location: Option<Vec<u8>>,
    /// Whether the connection must not be used again.
    pub close: bool,
    /// For the log: why.
    pub why: Cow<'static, str>,
}

/// What an error of the upstream is to the client.
pub(crate) fn of_error(config: &Config, upstream: &Upstream, error: &Error, request: &Request<'_>) -> Own {
    let (status, retry_after, close) = match error {
        Error::NotHeld(Refused::Stopped) => return stopped(config, upstream, request),
        Error::NotHeld(Refused::Full | Refused::Memory) | Error::HeldTooLong(_) => {
            (503, Some(RETRY_AFTER), false)
        }
        Error::Connect(_) => (503, Some(RETRY_AFTER), false),
        Error::Died(_) | Error::Invalid(_) | Error::Unasked | Error::EndlessInterim(_) => (502, None, false),
        Error::NoAnswer(_) => (504, None, false),
        Error::Spool(_) => (507, None, true),
        Error::Client(ClientError::Left) => (CLIENT_LEFT, None, true),
        Error::Client(ClientError::Slow) => (408, None, true),
        Error::Client(ClientError::TooLarge) => (413, None, true),
        Error::Client(ClientError::Chunks(_)) => (400, None, true),
    };
    let mut own = answer(config, status, &Accept::of(request), None);
    own.retry_after = retry_after;
    own.close = close;
    own.why = Cow::Owned(with_causes(error));
    own
}

/// The answer while the operator has stopped the application, by an order or by the maintenance file.
pub(crate) fn stopped(config: &Config, upstream: &Upstream, request: &Request<'_>) -> Own {
    let page = upstream.maintenance_page();
    let mut own = answer(config, 503, &Accept::of(request), page.as_ref());
    own.retry_after = Some(RETRY_AFTER_STOP);
    own.why = Cow::Borrowed("the application is stopped");
    own
}

/// The answer to a request that ends here for what it is: no route (404), a method that is not served (405), an
/// expectation that cannot be met (417), a field that makes no sense (400).
pub(crate) fn refused(config: &Config, status: u16, why: &'static str, request: &Request<'_>) -> Own {
    let mut own = answer(config, status, &Accept::of(request), None);
    // RFC 9110 15.5.6
    own.allow = (status == 405).then_some(ALLOW);
    own.why = Cow::Borrowed(why);
    own
}

/// The answer to OPTIONS that is meant for us (RFC 9110 9.3.7).
pub(crate) fn options() -> Own {
    Own {
        status: 200,
        content_type: "",
        body: Body::Made(Vec::new()),
        retry_after: None,
        allow: Some(ALLOW),
        location: None,
        close: false,
        why: Cow::Borrowed(""),
    }
}

/// The answer of a listener that sends everybody to https: the same, on the other port.
pub(crate) fn redirect(config: &Config, to: Redirect, request: &Request<'_>) -> Own {
    let Request { head, bytes, .. } = *request;
    let host = without_port(head.host.of(bytes));
    if host.is_empty() {
        return refused(config, 400, "no host to be sent to over https", request);
    }
    let mut location = Vec::with_capacity(16 + host.len() + head.path_and_query.len());
    location.extend_from_slice(b"https://");
    location.extend_from_slice(host);
    if to.port != HTTPS_PORT {
        location.push(b':');
        location.extend_from_slice(itoa::Buffer::new().format(to.port).as_bytes());
    }
    head.write_path_and_query(bytes, &mut location);
    // RFC 9110 15.4.9: unlike 301, it lets a form keep its method and its body.
    let mut own = answer(config, 308, &Accept::of(request), None);
    own.location = Some(location);
    own
}

/// A host as it stands in Host, without its port.
fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|&byte| byte == b':') {
        // The colons of an IPv6 address stand in brackets.
        Some(colon) if !host.ends_with(b"]") => host.get(..colon).unwrap_or(host),
        _ => host,
    }
}

/// The answer to an authority that asks whether a name is ours (RFC 8555 8.3).
pub(crate) fn key_authorization(text: &str) -> Own {
    Own {
        status: 200,
        content_type: "application/octet-stream",
        body: Body::Made(text.as_bytes().to_vec()),
        retry_after: None,
        allow: None,
        location: None,
        close: false,
        why: Cow::Borrowed("an ACME challenge"),
    }
}

/// The answer to a head that is not valid; its fields cannot be trusted to say what the client accepts.
pub fn bad_head(config: &Config, error: &RequestError) -> Own {
    bad_start(config, error.status(), error.to_string())
}

/// The answer to a connection that does not begin as it has to, for the reason `why`, which only the log tells.
pub fn bad_start(config: &Config, status: u16, why: impl Into<Cow<'static, str>>) -> Own {
    let mut own = answer(config, status, &Accept::default(), None);
    own.close = true;
    own.why = why.into();
    own
}

/// The answer, in the clear, to a client that speaks HTTP where TLS is spoken.
pub fn not_tls() -> Own {
    let page = page::saying(400, "This port speaks HTTPS: the address has to begin with https://.");
    Own {
        status: 400,
        content_type: page.content_type,
        body: page.body,
        retry_after: None,
        allow: None,
        location: None,
        close: true,
        why: Cow::Borrowed("plain HTTP came to a listener with tls"),
    }
}

/// The answer to a client that did not finish its head in time.
pub fn slow_head(config: &Config) -> Own {
    bad_start(config, 408, "the request's head did not come in time")
}

/// An answer with the best page for it.
fn answer(config: &Config, status: u16, accept: &Accept<'_>, first: Option<&MaintenancePage>) -> Own {
    let pages = config.error_pages.iter().filter(|page| page.status == status);
    let pages: Vec<(PageKind, &Arc<[u8]>)> = pages.map(|page| (page.kind, &page.body)).collect();
    let first = first.map(|page| (page.kind, &page.body));
    let page = page::best(status, accept, first, &pages);
    Own {
        status,
        content_type: page.content_type,
        body: page.body,
        retry_after: None,
        allow: None,
        location: None,
        close: false,
        why: Cow::Borrowed(""),
    }
}

/// What the error says, and what caused it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
