//! The answers that we give ourselves: the one place where an error becomes a status.

use std::borrow::Cow;

use vestibule_http1::{Name, reason};
use vestibule_upstream::{ClientError, Error, Refused};

use crate::request::Request;

/// Seconds after which a client may try again when the application is away.
const RETRY_AFTER: u32 = 5;

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
    pub body: Cow<'static, str>,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// Whether the connection must not be used again.
    pub close: bool,
    /// For the log: why.
    pub why: Cow<'static, str>,
}

/// What an error of the upstream is to the client.
pub(crate) fn of_error(error: &Error, request: &Request<'_>) -> Own {
    let (status, retry_after, close) = match error {
        Error::NotHeld(Refused::Full | Refused::Memory | Refused::Stopped) | Error::HeldTooLong(_) => {
            (503, Some(RETRY_AFTER), false)
        }
        Error::Connect(_) => (503, Some(RETRY_AFTER), false),
        Error::Died(_) | Error::Invalid(_) | Error::Unasked => (502, None, false),
        Error::NoAnswer(_) => (504, None, false),
        Error::Spool(_) => (507, None, true),
        Error::Client(ClientError::Left) => (CLIENT_LEFT, None, true),
        Error::Client(ClientError::Slow) => (408, None, true),
        Error::Client(ClientError::TooLarge) => (413, None, true),
        Error::Client(ClientError::Chunks(_)) => (400, None, true),
    };
    let mut own = page(status, accepts_json(request));
    own.retry_after = retry_after;
    own.close = close;
    own.why = Cow::Owned(with_causes(error));
    own
}

/// The answer to a request for which there is no route.
pub(crate) fn no_route(request: &Request<'_>) -> Own {
    let mut own = page(404, accepts_json(request));
    own.why = Cow::Borrowed("no route");
    own
}

/// The answer to a head that is not valid; its fields cannot be trusted to say what the client accepts.
pub fn bad_head(error: &vestibule_http1::RequestError) -> Own {
    let mut own = page(error.status(), false);
    own.close = true;
    own.why = Cow::Owned(error.to_string());
    own
}

/// The answer to a connection that does not begin as it has to, for the reason `why`, which only the log tells.
pub fn bad_start(status: u16, why: impl Into<Cow<'static, str>>) -> Own {
    let mut own = page(status, false);
    own.close = true;
    own.why = why.into();
    own
}

/// The answer to a client that did not finish its head in time.
pub fn slow_head() -> Own {
    let mut own = page(408, false);
    own.close = true;
    own.why = Cow::Borrowed("the request's head did not come in time");
    own
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

/// Whether the client would rather have JSON: it names a JSON type before any HTML, or no HTML at all.
fn accepts_json(request: &Request<'_>) -> bool {
    let Some(accept) = request.head.field(request.bytes, Name::Accept) else { return false };
    let accept = accept.to_ascii_lowercase();
    let position = |part: &[u8]| accept.windows(part.len()).position(|window| window == part);
    match (position(b"json"), position(b"html")) {
        (Some(json), Some(html)) => json < html,
        (Some(_), None) => true,
        _ => false,
    }
}

fn explanation(status: u16) -> &'static str {
    match status {
        400 => "The request could not be understood.",
        404 => "There is nothing at this address.",
        408 => "The request took too long to arrive.",
        413 => "The request is too large.",
        414 => "The address is too long.",
        431 => "The request's header is too large.",
        501 => "The request asks for something that is not supported here.",
        502 => {
            "The application stopped before it answered. Whether the request was carried out is not known."
        }
        503 => "The application is not available at the moment. Please try again in a few seconds.",
        504 => "The application took too long to answer.",
        507 => "There is no room for the request at the moment. Please try again later.",
        505 => "This version of HTTP is not supported here.",
        _ => "The request could not be answered.",
    }
}

/// A small page for `status`.
fn page(status: u16, json: bool) -> Own {
    let (title, text) = (reason(status), explanation(status));
    let (content_type, body) = if json {
        (
            "application/json",
            format!("{{\"status\":{status},\"error\":\"{title}\",\"message\":\"{text}\"}}\n"),
        )
    } else {
        (
            "text/html; charset=utf-8",
            format!(
                "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{status} {title}</title>\
                 <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:36em;margin:15vh auto;padding:0 1em}}</style>\
                 <h1>{status} {title}</h1><p>{text}</p></html>\n"
            ),
        )
    };
    Own {
        status,
        content_type,
        body: Cow::Owned(body),
        retry_after: None,
        close: false,
        why: Cow::Borrowed(""),
    }
}
