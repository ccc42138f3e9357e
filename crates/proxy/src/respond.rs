//! The answers that we give ourselves: the one place where an error becomes a status.

use std::borrow::Cow;
use std::sync::Arc;

use vestibule_config::{Config, Fixed, PageKind, Part, Redirect, Redirection};
use vestibule_http1::RequestError;
use vestibule_upstream::{ClientError, Error, MaintenancePage, Refused, Upstream};

use crate::accept::Accept;
use crate::expand::{Filled, encode, expand, without_port};
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

/// Status by which the closing of a connection without an answer is asked for and logged; nginx's number.
pub const NO_ANSWER: u16 = 444;

/// An answer of our own.
#[derive(Debug, Clone)]
pub struct Own {
    /// The status; [`CLIENT_LEFT`] and [`NO_ANSWER`] are never sent.
    pub status: u16,
    /// Type of the body.
    pub content_type: Cow<'static, str>,
    /// The body.
    pub body: Body,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// `Allow`.
    pub allow: Option<&'static str>,
    /// `Location`.
    pub location: Option<Box<[u8]>>,
    /// Whether the connection must not be used again.
    pub close: bool,
    /// Whether somebody may keep it, as far as its status allows (RFC 9111 4.2.2).
    pub cacheable: bool,
    /// For the log: why.
    pub why: Cow<'static, str>,
}

impl Own {
    /// One that nobody may keep, and after which the connection may be used again.
    fn new(status: u16, content_type: impl Into<Cow<'static, str>>, body: Body) -> Self {
        Own {
            status,
            content_type: content_type.into(),
            body,
            retry_after: None,
            allow: None,
            location: None,
            close: false,
            cacheable: false,
            why: Cow::Borrowed(""),
        }
    }

    /// Whether there is neither a body nor a length of one (RFC 9110 8.6).
    #[must_use]
    pub fn is_bodiless(&self) -> bool {
        matches!(self.status, 204 | 304)
    }
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

/// The answer to a method that files do not have.
pub(crate) fn only_read(config: &Config, request: &Request<'_>) -> Own {
    let mut own = answer(config, 405, &Accept::of(request), None);
    own.allow = Some("GET, HEAD");
    own.why = Cow::Borrowed("a file is only read");
    own
}

/// The answer to OPTIONS that is meant for us (RFC 9110 9.3.7).
pub(crate) fn options() -> Own {
    Own { allow: Some(ALLOW), ..Own::new(200, "", Body::Made(Vec::new())) }
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
    own.location = Some(location.into());
    own
}

/// The answer of a route that sends everybody elsewhere.
pub(crate) fn redirected(to: &Redirection, filled: &Filled<'_>) -> Own {
    let mut text = Vec::new();
    expand(&to.to, filled, &mut text);
    let mut location = Vec::with_capacity(text.len());
    encode(&text, true, &mut location);
    // A client's path must not make another host of what is meant for this one: a browser takes `//host` and `/\host` for one.
    let names_host = matches!(to.to.parts.first(), Some(Part::Text(text)) if text.starts_with("//"));
    if !names_host && location.starts_with(b"/") {
        let rest = location.iter().skip(1).position(|byte| !matches!(byte, b'/' | b'\\'));
        location.drain(1..rest.map_or(location.len(), |rest| rest + 1));
    }
    let mut own = answer(filled.config, to.status, &Accept::of(&filled.request), None);
    own.location = Some(location.into());
    own.cacheable = true;
    own
}

/// The answer that a route has ready.
pub(crate) fn fixed(config: &Config, fixed: &Fixed, request: &Request<'_>) -> Own {
    let mut own = match &fixed.body {
        Some(body) => Own::new(fixed.status, fixed.content_type.clone(), Body::Shared(Arc::clone(body))),
        None if fixed.status >= 400 => answer(config, fixed.status, &Accept::of(request), None),
        None => Own::new(fixed.status, "", Body::Made(Vec::new())),
    };
    own.cacheable = fixed.status < 400;
    own
}

/// The answer to a preflight (CORS), which is all in its fields.
pub(crate) fn preflight() -> Own {
    Own { cacheable: true, ..Own::new(204, "", Body::Made(Vec::new())) }
}

/// The answer to an authority that asks whether a name is ours (RFC 8555 8.3).
pub(crate) fn key_authorization(text: &str) -> Own {
    Own {
        why: Cow::Borrowed("an ACME challenge"),
        ..Own::new(200, "application/octet-stream", Body::Made(text.as_bytes().to_vec()))
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
        close: true,
        why: Cow::Borrowed("plain HTTP came to a listener with tls"),
        ..Own::new(400, page.content_type, page.body)
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
    Own::new(status, page.content_type, page.body)
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

#[cfg(test)]
mod tests {
    use vestibule_config::Template;

    use super::*;
    use crate::testing::Asked;

    fn location(parts: Vec<Part>, target: &str) -> String {
        let asked = Asked::new(&format!("GET {target} HTTP/1.1\r\nHost: a\r\nX-Next: b c\t#\r\n\r\n"));
        let own = redirected(&Redirection { status: 302, to: Template { parts } }, &asked.filled());
        assert_eq!((own.status, own.cacheable), (302, true));
        String::from_utf8(own.location.unwrap().into()).unwrap()
    }

    fn text(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    #[test]
    fn a_redirect_goes_where_it_says_with_what_the_request_had() {
        assert_eq!(location(vec![text("https://b"), Part::Uri], "/x?y=1"), "https://b/x?y=1");
        assert_eq!(location(vec![text("/new#there")], "/x"), "/new#there");
        assert_eq!(location(vec![text("/"), Part::Field("x-next".to_owned())], "/x"), "/b%20c%09#");
    }

    #[test]
    fn a_clients_path_does_not_make_another_host_of_a_redirect() {
        for target in ["//evil.example/x", "///evil.example/x", "/\\evil.example/x", "/\\/evil.example/x"] {
            assert_eq!(location(vec![Part::Path], target), "/evil.example/x", "{target}");
            assert_eq!(location(vec![text("/"), Part::Path], target), "/evil.example/x", "{target}");
        }
        assert_eq!(location(vec![text("//b"), Part::Path], "//x"), "//b//x");
        assert_eq!(location(vec![text("https://b"), Part::Path], "//x"), "https://b//x");
        assert_eq!(location(vec![Part::Path], "//"), "/");
    }

    #[test]
    fn a_fixed_answer_is_what_was_written_or_the_page_of_its_status() {
        let asked = Asked::new("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let body: Option<Arc<[u8]>> = Some(b"fine\n".as_slice().into());
        let of = |status, body| {
            let one = Fixed { status, content_type: "text/plain".to_owned(), body };
            fixed(&asked.config, &one, &asked.request())
        };
        let own = of(200, body.clone());
        assert_eq!((own.status, &*own.content_type, &*own.body), (200, "text/plain", b"fine\n".as_slice()));
        assert!(own.cacheable && !of(503, body).cacheable);
        let own = of(404, None);
        assert_eq!(&*own.content_type, "text/html; charset=utf-8");
        assert!(!own.body.is_empty() && of(200, None).body.is_empty());
        assert!(of(204, None).is_bodiless());
    }
}
