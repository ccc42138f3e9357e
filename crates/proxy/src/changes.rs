//! What is changed in the fields of a message: by its route, and by what its route had us do.

use vestibule_config::{Config, FieldChanges, RouteId, Template};

use crate::expand::{Filled, expand};
use crate::request::Request;
use crate::stack::Record;

/// What is changed in the head of an answer, whoever made it.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// The route, whose `response_fields` and `cors` hold.
    pub route: Option<RouteId>,
    /// Whole lines that it gets, each with its CRLF: a cookie, `RateLimit`, `Access-Control-Allow-Origin` …
    pub lines: Vec<u8>,
}

/// The same as the writers of heads apply it. They ask [`drops`](Self::drops) about each field of their own, and have
/// [`add`](Self::add) hand them the rest.
#[derive(Debug, Clone, Copy)]
pub struct Changed<'a> {
    lines: &'a [u8],
    fields: Option<(&'a FieldChanges, Filled<'a>)>,
    /// Whether `Access-Control-*` are ours to say.
    has_cors: bool,
}

impl<'a> Changed<'a> {
    /// Nothing.
    pub const NONE: Changed<'static> = Changed { lines: b"", fields: None, has_cors: false };

    /// What is changed in the answer to `request`.
    #[must_use]
    pub fn of(config: &'a Config, request: &Request<'a>, record: &'a Record) -> Self {
        let changes = &record.changes;
        let Some(route) = changes.route.and_then(|id| config.route(id)) else { return Changed::NONE };
        let fields = &route.response_fields;
        let filled =
            Filled { request: *request, config, route: changes.route, client: record.client, id: &record.id };
        Changed {
            lines: &changes.lines,
            fields: (!fields.is_empty()).then_some((fields, filled)),
            has_cors: route.cors.is_some(),
        }
    }

    /// Whether nothing is: then nothing else need be asked.
    #[inline]
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.fields.is_none() && self.lines.is_empty() && !self.has_cors
    }

    /// Whether the answer's field of that name, in any case, is left out.
    #[must_use]
    pub fn drops(&self, name: &[u8]) -> bool {
        // Two of them, and a browser believes neither.
        let is_cors = |name: &[u8]| {
            name.get(..CORS.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(CORS))
        };
        (self.has_cors && is_cors(name)) || self.fields.is_some_and(|(fields, _)| takes_away(fields, name))
    }

    /// Hands name and value of each field that is added to `each`. `has` says whether the answer has one of that name, which is then in
    /// lower case or as it is written in the configuration.
    pub fn add(&self, has: impl Fn(&[u8]) -> bool, mut each: impl FnMut(&[u8], &[u8])) {
        for (name, value) in lines(self.lines) {
            each(name, value);
        }
        let Some((fields, filled)) = self.fields else { return };
        let mut value = Vec::new();
        for (name, template) in fields.set.iter().chain(&fields.add) {
            put(name, template, &filled, &mut value, &mut each);
        }
        for (name, template) in &fields.default {
            let is_named = |(other, _): &(String, Template)| other.eq_ignore_ascii_case(name);
            if !has(name.as_bytes()) && !fields.set.iter().chain(&fields.add).any(is_named) {
                put(name, template, &filled, &mut value, &mut each);
            }
        }
    }
}

const CORS: &[u8] = b"access-control-";

/// Whether the field `name`, in any case, is removed or replaced.
fn takes_away(fields: &FieldChanges, name: &[u8]) -> bool {
    let is = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
    fields.remove.iter().any(|known| is(known)) || fields.set.iter().any(|(known, _)| is(known))
}

/// Hands a field to `each`; not one that came out empty: what it was made of is not there.
fn put(
    name: &str,
    template: &Template,
    filled: &Filled<'_>,
    value: &mut Vec<u8>,
    each: &mut impl FnMut(&[u8], &[u8]),
) {
    value.clear();
    expand(template, filled, value);
    if !value.is_empty() {
        each(name.as_bytes(), value);
    }
}

/// Names and values of whole lines.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    bytes.split(|&byte| byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        Some((line.get(..colon)?, line.get(colon + 1..)?.trim_ascii()))
    })
}

/// What a route changes in a request, as the application gets it.
#[derive(Debug, Clone, Copy)]
pub struct Reworked<'a> {
    /// The fields.
    pub fields: &'a FieldChanges,
    /// What their templates are filled with.
    pub filled: Filled<'a>,
    /// Path and query in place of the client's.
    pub target: Option<&'a [u8]>,
}

impl Reworked<'_> {
    /// Whether the request's field `name` is left out. A name with underscores is, for Rack, one with that with hyphens.
    pub(crate) fn drops(&self, name: &[u8], has_underscore: bool) -> bool {
        if !has_underscore {
            return takes_away(self.fields, name);
        }
        let hyphened: Vec<u8> = name.iter().map(|&byte| if byte == b'_' { b'-' } else { byte }).collect();
        takes_away(self.fields, &hyphened)
    }

    /// Whether a field of that name, in any case, is set.
    pub(crate) fn sets(&self, name: &[u8]) -> bool {
        self.fields.set.iter().any(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
    }

    /// The host that is set, if it came out as one.
    pub(crate) fn host(&self) -> Option<Vec<u8>> {
        let (_, template) = self.fields.set.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"))?;
        let mut value = Vec::new();
        expand(template, &self.filled, &mut value);
        let may_stand = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(byte);
        (!value.is_empty() && value.iter().all(may_stand)).then_some(value)
    }

    /// Writes the fields that are set and added, but for Host.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut value = Vec::new();
        for (name, template) in self.fields.set.iter().chain(&self.fields.add) {
            if !name.eq_ignore_ascii_case("host") {
                put(name, template, &self.filled, &mut value, &mut |name, value| {
                    vestibule_http1::field(out, name, value);
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use vestibule_config::{Part, Route, UpstreamId};

    use super::*;
    use crate::testing::Asked;

    fn text(name: &str, value: &str) -> (String, Template) {
        (name.to_owned(), Template::text(value))
    }

    /// What comes of an answer with these names.
    fn applied(route: Route, lines: &str, names: &[&str]) -> (Vec<String>, Vec<String>) {
        let mut asked = Asked::new("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        asked.config.route_settings = vec![route];
        let mut record = Record::of_refused(&asked.request());
        record.changes = Changes { route: Some(RouteId(0)), lines: lines.as_bytes().to_vec() };
        let request = asked.request();
        let changed = Changed::of(&asked.config, &request, &record);
        let kept: Vec<String> = names
            .iter()
            .filter(|name| !changed.drops(name.as_bytes()))
            .map(|&name| name.to_owned())
            .collect();
        let mut added = Vec::new();
        let has = |name: &[u8]| kept.iter().any(|kept| kept.as_bytes().eq_ignore_ascii_case(name));
        changed.add(has, |name, value| {
            added.push(format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
        });
        (kept, added)
    }

    #[test]
    fn takes_away_replaces_adds_and_fills_in() {
        let mut route = Route::to(UpstreamId(0));
        route.response_fields = FieldChanges {
            remove: vec!["server".to_owned()],
            set: vec![text("X-One", "1"), ("X-Host".to_owned(), Template { parts: vec![Part::Host] })],
            add: vec![text("Link", "</a>"), ("X-None".to_owned(), Template { parts: vec![Part::Query] })],
            default: vec![text("X-Frame-Options", "DENY"), text("X-Given", "ours"), text("x-one", "2")],
        };
        let (kept, added) =
            applied(route, "Set-Cookie: a=b; Path=/\r\n", &["Server", "x-one", "Link", "x-given"]);
        assert_eq!(kept, ["Link", "x-given"]);
        let expected =
            ["Set-Cookie: a=b; Path=/", "X-One: 1", "X-Host: a", "Link: </a>", "X-Frame-Options: DENY"];
        assert_eq!(added, expected);
    }

    #[test]
    fn a_route_without_any_changes_nothing() {
        let asked = Asked::new("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let request = asked.request();
        let mut record = Record::of_refused(&request);
        assert!(Changed::of(&asked.config, &request, &record).is_nothing());
        record.changes.route = Some(RouteId(0));
        assert!(Changed::of(&asked.config, &request, &record).is_nothing());
    }
}
