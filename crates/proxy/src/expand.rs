//! Templates filled in by a request.

use std::net::IpAddr;
use std::ops::Range;

use vestibule_config::{Config, Part, RouteId, Template};

use crate::forwarded;
use crate::request::Request;
use crate::request_id::RequestId;

/// What a request fills into templates.
#[derive(Debug, Clone, Copy)]
pub struct Filled<'a> {
    /// The request.
    pub request: Request<'a>,
    /// What the operator wrote, which knows what the route's path caught.
    pub config: &'a Config,
    /// Its route.
    pub route: Option<RouteId>,
    /// The address it really came from.
    pub client: IpAddr,
    /// Its identity.
    pub id: &'a RequestId,
}

impl<'a> Filled<'a> {
    fn path(&self) -> &'a [u8] {
        self.request.head.path(self.request.bytes)
    }

    /// The path by which its route was found.
    fn canonical_path(&self) -> &'a [u8] {
        self.request.head.canonical_path(self.request.bytes)
    }

    /// What follows the question mark.
    pub(crate) fn query(&self) -> Option<&'a [u8]> {
        let target = self.request.head.path_and_query.of(self.request.bytes);
        target.iter().position(|&byte| byte == b'?').and_then(|mark| target.get(mark + 1..))
    }

    /// Where in the path each thing lies that the route's pattern caught.
    fn caught(&self) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        if let Some(route) = self.route {
            self.config.routes.caught(route, self.canonical_path(), &mut ranges);
        }
        ranges
    }
}

/// Appends `template`, filled in, to `out`.
///
/// Bytes that may not stand in a field's value (controls, but for the tab, and DEL) are left out: whatever a client sends, no
/// template can end a line.
pub(crate) fn expand(template: &Template, filled: &Filled<'_>, out: &mut Vec<u8>) {
    let mut caught = None;
    let Request { head, bytes, .. } = filled.request;
    for part in &template.parts {
        match part {
            Part::Text(text) => add(out, text.as_bytes()),
            Part::Caught(number) => {
                let ranges = caught.get_or_insert_with(|| filled.caught());
                let range = number.checked_sub(1).and_then(|index| ranges.get(index));
                add(
                    out,
                    range.and_then(|range| filled.canonical_path().get(range.clone())).unwrap_or_default(),
                );
            }
            Part::Host => add(out, without_port(head.host.of(bytes))),
            Part::Path => add(out, filled.path()),
            Part::Stripped(prefix) => add(out, Template::without(prefix, filled.canonical_path())),
            Part::Query => add(out, filled.query().unwrap_or_default()),
            Part::Uri => head.write_path_and_query(bytes, out),
            Part::Scheme => add(out, forwarded::scheme(&filled.request)),
            Part::Client => forwarded::write_address(out, filled.client),
            Part::Id => add(out, filled.id.as_bytes()),
            Part::Field(name) => add(out, filled.request.field(name.as_bytes()).unwrap_or_default()),
        }
    }
}

/// Appends what of `text` may stand in a field's value (RFC 9110 5.5).
fn add(out: &mut Vec<u8>, text: &[u8]) {
    let is_control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
    if text.iter().any(is_control) {
        out.extend(text.iter().filter(|byte| !is_control(byte)));
    } else {
        out.extend_from_slice(text);
    }
}

/// Appends `text` as it may stand in a target or an address: blanks, `#` and what is not ASCII as `%20` and so on. What is
/// encoded already stays as it is.
pub(crate) fn encode(text: &[u8], keeps_fragment: bool, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        if (b'!'..0x7f).contains(&byte) && (byte != b'#' || keeps_fragment) {
            out.push(byte);
        } else {
            let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// A host as it stands in Host, without its port.
pub(crate) fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|&byte| byte == b':') {
        // The colons of an IPv6 address stand in brackets.
        Some(colon) if !host.ends_with(b"]") => host.get(..colon).unwrap_or(host),
        _ => host,
    }
}

/// Path and query to go on with, where the route says so by `template`. The client's query stays unless the template has one of its
/// own.
pub(crate) fn rewritten(template: &Template, filled: &Filled<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    expand(template, filled, &mut text);
    let mut target = Vec::with_capacity(text.len() + 16);
    if !text.starts_with(b"/") {
        target.push(b'/');
    }
    encode(&text, false, &mut target);
    let has_query = template.parts.iter().any(|part| match part {
        Part::Text(text) => text.contains('?'),
        Part::Query | Part::Uri => true,
        _ => false,
    });
    if let Some(query) = filled.query().filter(|_| !has_query) {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Asked;

    fn expanded(parts: Vec<Part>, head: &str) -> String {
        let asked = Asked::new(head);
        let mut out = Vec::new();
        expand(&Template { parts }, &asked.filled(), &mut out);
        String::from_utf8(out).unwrap()
    }

    const HEAD: &str = "GET /a%20b/c?x=1&y HTTP/1.1\r\nHost: Example.com:8080\r\nX-Key: k\t1\r\n\r\n";

    #[test]
    fn fills_in_what_the_request_says() {
        let text = |text: &str| Part::Text(text.to_owned());
        assert_eq!(
            expanded(vec![text("https://"), Part::Host, Part::Uri], HEAD),
            "https://Example.com/a%20b/c?x=1&y"
        );
        assert_eq!(expanded(vec![Part::Path, text("|"), Part::Query], HEAD), "/a%20b/c|x=1&y");
        assert_eq!(expanded(vec![Part::Scheme, text(" "), Part::Client], HEAD), "http 192.0.2.1");
        assert_eq!(expanded(vec![Part::Field("x-key".to_owned())], HEAD), "k\t1");
        assert_eq!(expanded(vec![Part::Field("x-none".to_owned())], HEAD), "");
        assert_eq!(expanded(vec![Part::Id], HEAD).len(), 32);
        assert_eq!(expanded(vec![Part::Caught(0), Part::Caught(7)], HEAD), "");
        let absolute = "GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(
            expanded(vec![Part::Path, text(" "), Part::Query, text(" "), Part::Uri], absolute),
            "/ q /?q"
        );
    }

    #[test]
    fn no_control_character_comes_through() {
        let evil = "a\r\nSet-Cookie: b\0c\x7f\x1bd\te";
        assert_eq!(expanded(vec![Part::Text(evil.to_owned())], HEAD), "aSet-Cookie: bcd\te");
    }

    #[test]
    fn a_rewritten_target_is_one_and_keeps_the_query() {
        let rewritten = |text: &str, more: Option<Part>| {
            let asked = Asked::new(HEAD);
            let parts = std::iter::once(Part::Text(text.to_owned())).chain(more).collect();
            String::from_utf8(super::rewritten(&Template { parts }, &asked.filled())).unwrap()
        };
        assert_eq!(rewritten("/v2", None), "/v2?x=1&y");
        assert_eq!(rewritten("/v2?z", None), "/v2?z");
        assert_eq!(rewritten("/v2", Some(Part::Uri)), "/v2/a%20b/c?x=1&y");
        assert_eq!(rewritten("/a b#c é", None), "/a%20b%23c%20%C3%A9?x=1&y");
        assert_eq!(rewritten("v2", None), "/v2?x=1&y");
        assert_eq!(rewritten("/a HTTP/1.1\r\nX: ", None), "/a%20HTTP/1.1X:%20?x=1&y");
    }
}
