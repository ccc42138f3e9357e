//! The pages of the answers that we give ourselves: the operator's, or built in.

use std::ops::Deref;
use std::sync::Arc;

use vestibule_config::PageKind;
use vestibule_http1::reason;

use crate::accept::{Accept, Wish};

/// What stands in an answer of our own.
#[derive(Debug, Clone)]
pub enum Body {
    /// Made for this answer; empty for none.
    Made(Vec<u8>),
    /// A page of the operator's, which all answers share.
    Shared(Arc<[u8]>),
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Body::Made(bytes) => bytes,
            Body::Shared(bytes) => bytes,
        }
    }
}

/// A body and its type.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) content_type: &'static str,
    pub(crate) body: Body,
}

/// In the order in which they are taken by a client that wants none of them more than another. Such a client (curl, an
/// `<img>`, a link preview, all with `*/*`) gets HTML: whoever looks at it is a person, and a program that reads what it
/// gets asks for JSON.
const KINDS: [PageKind; 3] = [PageKind::Html, PageKind::Json, PageKind::Text];

/// The page for `status` that suits the client best: of `first` (the page of the moment, such as for maintenance), then of
/// `own` (the operator's for this status), then of those built in. The first of these three with a page that the client
/// takes gives it; with none at all, the first that has any page does, as RFC 9110 12.5.1 allows.
pub(crate) fn best(
    status: u16,
    accept: &Accept<'_>,
    first: Option<(PageKind, &Arc<[u8]>)>,
    own: &[(PageKind, &Arc<[u8]>)],
) -> Page {
    let first = first.as_slice();
    if let Some((kind, body)) = taken(accept, first).or_else(|| taken(accept, own)) {
        return shared(kind, body);
    }
    let built_in = KINDS.into_iter().rev().filter_map(|kind| Some((wish(accept, kind)?, kind)));
    if let Some((_, kind)) = built_in.max_by_key(|&(wish, _)| wish) {
        return built(status, explanation(status), kind, accept);
    }
    let order = |kind: &PageKind| KINDS.iter().position(|known| known == kind);
    match first.first().or_else(|| own.iter().min_by_key(|(kind, _)| order(kind))) {
        Some(&(kind, body)) => shared(kind, body),
        None => built(status, explanation(status), PageKind::Html, accept),
    }
}

/// A page for `status` that says `text`, which needs no escaping, to a client of which nothing is known.
pub(crate) fn saying(status: u16, text: &str) -> Page {
    built(status, text, PageKind::Html, &Accept::default())
}

/// The one of `pages` that the client wants most.
fn taken<'p>(accept: &Accept<'_>, pages: &[(PageKind, &'p Arc<[u8]>)]) -> Option<(PageKind, &'p Arc<[u8]>)> {
    let in_order = KINDS.iter().rev().flat_map(|kind| pages.iter().filter(move |page| page.0 == *kind));
    let wished = in_order.filter_map(|&page| Some((wish(accept, page.0)?, page)));
    wished.max_by_key(|&(wish, _)| wish).map(|(_, page)| page)
}

fn wish(accept: &Accept<'_>, kind: PageKind) -> Option<Wish> {
    match kind {
        PageKind::Html => accept.wish("text", "html"),
        PageKind::Json => accept.wish("application", "json").max(accept.wish("application", "problem+json")),
        PageKind::Text => accept.wish("text", "plain"),
    }
}

fn shared(kind: PageKind, body: &Arc<[u8]>) -> Page {
    Page { content_type: content_type(kind), body: Body::Shared(Arc::clone(body)) }
}

fn content_type(kind: PageKind) -> &'static str {
    match kind {
        PageKind::Html => "text/html; charset=utf-8",
        PageKind::Json => "application/json",
        PageKind::Text => "text/plain; charset=utf-8",
    }
}

/// A small page for `status` that says `text`. It says nothing of who we are.
fn built(status: u16, text: &str, kind: PageKind, accept: &Accept<'_>) -> Page {
    let title = reason(status);
    let body = match kind {
        PageKind::Html => format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{status} {title}</title>\
             <style>:root{{color-scheme:light dark}}\
             body{{font:16px/1.5 system-ui,sans-serif;max-width:36em;margin:15vh auto;padding:0 1em}}</style>\
             <h1>{status} {title}</h1><p>{text}</p></html>\n"
        ),
        // The members of RFC 9457, whatever the type is called.
        PageKind::Json => format!(
            "{{\"type\":\"about:blank\",\"status\":{status},\"title\":\"{title}\",\"detail\":\"{text}\"}}\n"
        ),
        PageKind::Text => format!("{status} {title}\n\n{text}\n"),
    };
    let is_problem = kind == PageKind::Json
        && accept.wish("application", "problem+json") > accept.wish("application", "json");
    let content_type = if is_problem { "application/problem+json" } else { content_type(kind) };
    Page { content_type, body: Body::Made(body.into_bytes()) }
}

/// What a visitor is told with `status`. No text needs escaping in HTML or JSON.
pub fn explanation(status: u16) -> &'static str {
    match status {
        301 | 302 | 303 | 307 | 308 => "What was asked for is at another address.",
        400 => "The request could not be understood.",
        401 => "A name and a password are needed here.",
        403 => "This address is not for everybody.",
        404 => "There is nothing at this address.",
        405 => "This cannot be done at this address.",
        408 => "The request took too long to arrive.",
        413 => "The request is too large.",
        414 => "The address is too long.",
        417 => "The request expects something that is not offered here.",
        429 => "Too much comes from your network at once. Please try again in a few seconds.",
        431 => "The header of the request is too large.",
        501 => "The request asks for something that is not supported here.",
        502 => {
            "The application stopped before it answered. Whether the request was carried out is not known."
        }
        503 => "The application is not available at the moment. Please try again in a little while.",
        504 => "The application took too long to answer. Whether the request was carried out is not known.",
        505 => "This version of HTTP is not supported here.",
        507 => "There is no room for the request at the moment. Please try again later.",
        _ => "The request could not be answered.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every status that is given somewhere in this program.
    const GIVEN: [u16; 18] =
        [308, 400, 401, 403, 404, 405, 408, 413, 414, 417, 429, 431, 501, 502, 503, 504, 505, 507];

    fn page(accept: &str, own: &[(PageKind, &Arc<[u8]>)]) -> (String, String) {
        let page = best(503, &Accept::from_text(accept), None, own);
        (page.content_type.to_owned(), String::from_utf8(page.body.to_vec()).unwrap())
    }

    fn kind(accept: &str) -> String {
        page(accept, &[]).0
    }

    #[test]
    fn gives_what_the_client_wants_most() {
        for (accept, wanted) in [
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
                "text/html; charset=utf-8",
            ),
            ("*/*", "text/html; charset=utf-8"),
            ("text/*", "text/html; charset=utf-8"),
            ("image/png", "text/html; charset=utf-8"),
            ("", "text/html; charset=utf-8"),
            ("application/json", "application/json"),
            ("application/json, text/plain, */*", "application/json"),
            ("application/*", "application/json"),
            ("application/vnd.api+json", "application/json"),
            ("*/*+json", "application/json"),
            ("text/html;q=0, */*", "application/json"),
            ("text/html;q=0.5, application/json;q=0.9", "application/json"),
            ("application/problem+json", "application/problem+json"),
            ("application/json, application/problem+json", "application/json"),
            ("application/problem+json, application/json", "application/problem+json"),
            ("text/plain", "text/plain; charset=utf-8"),
        ] {
            assert_eq!(kind(accept), wanted, "{accept:?}");
        }
    }

    #[test]
    fn every_status_has_words_of_its_own_and_valid_json() {
        let mut texts = Vec::new();
        for status in GIVEN {
            let text = explanation(status);
            assert_ne!(text, explanation(599), "{status}");
            assert!(!texts.contains(&text), "{status}");
            assert!(!text.contains(['<', '&', '"', '\\']), "{status}");
            assert_ne!(reason(status), "", "{status}");
            texts.push(text);
            let page = built(status, text, PageKind::Json, &Accept::default());
            let json: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
            assert_eq!((&json["status"], &json["detail"]), (&status.into(), &text.into()));
        }
    }

    #[test]
    fn the_operators_page_wins_where_the_client_takes_it() {
        let (html, json): (Arc<[u8]>, Arc<[u8]>) = (b"<p>own".as_slice().into(), b"{}".as_slice().into());
        let both = [(PageKind::Json, &json), (PageKind::Html, &html)];
        assert_eq!(page("*/*", &both).1, "<p>own");
        assert_eq!(page("application/json", &both).1, "{}");
        assert_eq!(page("image/png", &both).1, "<p>own", "who takes nothing gets HTML");
        let html_only = &both[1..];
        assert_eq!(page("application/json, */*;q=0.1", html_only).1, "<p>own");
        assert_eq!(
            page("application/json", html_only).0,
            "application/json",
            "not HTML for who takes JSON only"
        );
        assert_eq!(page("image/png", html_only).1, "<p>own");
        assert_eq!(page("image/png", &both[..1]).1, "{}");
    }

    #[test]
    fn the_page_of_the_moment_goes_before_the_operators_for_the_status() {
        let (moment, own): (Arc<[u8]>, Arc<[u8]>) = (b"moment".as_slice().into(), b"own".as_slice().into());
        let of = |accept: &str, kind: PageKind| {
            let own = [(PageKind::Html, &own)];
            let page = best(503, &Accept::from_text(accept), Some((kind, &moment)), &own);
            String::from_utf8(page.body.to_vec()).unwrap()
        };
        assert_eq!(of("*/*", PageKind::Text), "moment");
        assert_eq!(of("text/html", PageKind::Text), "own");
        assert_eq!(of("image/png", PageKind::Text), "moment");
    }
}
