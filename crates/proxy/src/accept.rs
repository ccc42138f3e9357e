//! What a client accepts (RFC 9110 12.5.1).

use vestibule_http1::Name;

use crate::request::Request;

/// How gladly a client takes something: orders like the wish. `None` stands for what it does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wish {
    /// The quality value, in thousandths.
    weight: u16,
    fit: Fit,
    /// Of two types that it wants as much, the one that it names first.
    place: std::cmp::Reverse<usize>,
}

/// How closely a media range fits a type; the closest one that fits decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// `*/*`
    Anything,
    /// `text/*`
    Kind,
    /// The type with parameters that ours does not have. Who names it with them takes it without.
    Variant,
    /// The type itself.
    Exact,
}

/// The media ranges of a request's Accept fields, in their order.
#[derive(Debug, Default)]
pub(crate) struct Accept<'a> {
    ranges: Vec<Range<'a>>,
    /// Without any Accept field everything is welcome.
    is_given: bool,
}

#[derive(Debug)]
struct Range<'a> {
    kind: &'a [u8],
    subkind: &'a [u8],
    has_parameters: bool,
    weight: u16,
}

/// A client that names more than this many ranges is heard no further.
const MOST_RANGES: usize = 64;

impl<'a> Accept<'a> {
    /// What the client of `request` accepts.
    pub(crate) fn of(request: &Request<'a>) -> Self {
        let fields = request.head.fields.iter().filter(|field| field.kind == Name::Accept);
        Accept::from_values(fields.map(|field| field.value.of(request.bytes)))
    }

    fn from_values(values: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut accept = Accept::default();
        for value in values {
            accept.is_given = true;
            let room = MOST_RANGES.saturating_sub(accept.ranges.len());
            accept.ranges.extend(split(value, b',').filter_map(Range::parse).take(room));
        }
        accept
    }

    #[cfg(test)]
    pub(crate) fn from_text(value: &'a str) -> Self {
        Accept::from_values(std::iter::once(value.as_bytes()))
    }

    /// How gladly the client takes the type `kind/subkind`, given in lower case; `None` if it does not.
    ///
    /// JSON is also taken by who names a type that is written in it (`application/vnd.api+json`): it can read it.
    pub(crate) fn wish(&self, kind: &str, subkind: &str) -> Option<Wish> {
        let ranges = self.ranges.iter().enumerate();
        let fitting = ranges.filter_map(|(place, range)| {
            let fit = range.fit(kind.as_bytes(), subkind.as_bytes())?;
            Some(Wish { weight: range.weight, fit, place: std::cmp::Reverse(place) })
        });
        // The closest fit decides, and the higher weight where one range stands twice.
        let closest = fitting.max_by_key(|wish| (wish.fit, wish.weight, wish.place));
        let anything = Wish { weight: 1000, fit: Fit::Anything, place: std::cmp::Reverse(0) };
        closest.or((!self.is_given).then_some(anything)).filter(|wish| wish.weight > 0)
    }
}

impl<'a> Range<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let mut parts = split(text, b';');
        let range = parts.next()?;
        let slash = range.iter().position(|&byte| byte == b'/')?;
        let (kind, subkind) = (range.get(..slash)?, range.get(slash + 1..)?);
        let mut has_parameters = false;
        let mut weight = 1000;
        for part in parts {
            match part {
                [b'q' | b'Q', b'=', number @ ..] => {
                    weight = thousandths(number);
                    break;
                }
                _ if part.eq_ignore_ascii_case(b"charset=utf-8") => {}
                _ => has_parameters = true,
            }
        }
        // `text/html;level=1;q=0` refuses a variant that ours is not.
        (!has_parameters || weight > 0).then_some(Range { kind, subkind, has_parameters, weight })
    }

    fn fit(&self, kind: &[u8], subkind: &[u8]) -> Option<Fit> {
        let is_kind = self.kind.eq_ignore_ascii_case(kind);
        let ends_with = |end: &[u8]| {
            let start = self.subkind.len().checked_sub(end.len());
            start.and_then(|start| self.subkind.get(start..)).is_some_and(|e| e.eq_ignore_ascii_case(end))
        };
        if is_kind && self.subkind.eq_ignore_ascii_case(subkind) {
            Some(if self.has_parameters { Fit::Variant } else { Fit::Exact })
        } else if subkind == b"json" && ends_with(b"+json") {
            // A refusal of one such type says nothing about others.
            (self.weight > 0).then_some(Fit::Variant)
        } else if is_kind && self.subkind == b"*" {
            Some(Fit::Kind)
        } else if self.kind == b"*" && self.subkind == b"*" {
            Some(Fit::Anything)
        } else {
            None
        }
    }
}

/// A weight in thousandths. One that is not well-formed is read as far as it goes; who sends it wants the type.
fn thousandths(text: &[u8]) -> u16 {
    match text {
        [b'0'] => 0,
        [b'0', b'.', digits @ ..] => {
            let digit = |place: usize| match digits.get(place) {
                Some(digit @ b'0'..=b'9') => u16::from(digit - b'0'),
                _ => 0,
            };
            digit(0) * 100 + digit(1) * 10 + digit(2)
        }
        _ => 1000,
    }
}

/// The parts between `separator`s that stand in no quoted string, trimmed, the empty ones left out.
fn split(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(move |&byte| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match byte {
            _ if was_escaped => false,
            b'"' => {
                is_quoted = !is_quoted;
                false
            }
            b'\\' if is_quoted => {
                is_escaped = true;
                false
            }
            _ => byte == separator && !is_quoted,
        }
    });
    parts.map(<[u8]>::trim_ascii).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(value: &str, kind: &str, subkind: &str) -> Option<u16> {
        Accept::from_text(value).wish(kind, subkind).map(|wish| wish.weight)
    }

    #[test]
    fn agrees_with_the_example_of_the_rfc() {
        let value = "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, text/plain;format=fixed;q=0.4, */*;q=0.5";
        assert_eq!(weight(value, "text", "plain"), Some(700));
        assert_eq!(weight(value, "text", "html"), Some(300));
        assert_eq!(weight(value, "application", "json"), Some(500));
        assert_eq!(weight("audio/*; q=0.2, audio/basic", "audio", "basic"), Some(1000));
        assert_eq!(weight("audio/*; q=0.2, audio/basic", "audio", "midi"), Some(200));
    }

    #[test]
    fn a_weight_of_nothing_refuses_and_the_closest_range_decides() {
        assert_eq!(weight("text/html;q=0, */*", "text", "html"), None);
        assert_eq!(weight("*/*, text/html;q=0.000", "text", "html"), None);
        assert_eq!(weight("text/html, */*;q=0", "text", "html"), Some(1000));
        assert_eq!(weight("text/html, */*;q=0", "application", "json"), None);
        assert_eq!(weight("text/*;q=0, */*;q=0.1", "text", "html"), None);
        assert_eq!(weight("text/html;level=1;q=0, text/*;q=0.5", "text", "html"), Some(500));
    }

    #[test]
    fn takes_everything_of_who_says_nothing_and_nothing_of_who_says_so() {
        assert!(Accept::from_values(std::iter::empty()).wish("text", "html").is_some());
        assert_eq!(weight("", "text", "html"), None);
        assert_eq!(weight("image/png", "text", "html"), None);
    }

    #[test]
    fn reads_json_into_the_types_that_are_written_in_it() {
        for value in ["application/problem+json", "application/vnd.api+json;ext=x", "*/*+json"] {
            assert!(weight(value, "application", "json").is_some(), "{value}");
            assert_eq!(weight(value, "text", "html"), None, "{value}");
        }
        assert_eq!(weight("application/vnd.api+json;q=0, application/*", "application", "json"), Some(1000));
    }

    #[test]
    fn is_not_led_astray_by_quotes_cases_blanks_and_nonsense() {
        assert_eq!(weight("text/html;x=\"a,b;q=0\\\"\" ; q=0.5", "text", "html"), Some(500));
        assert_eq!(weight("TEXT/HTML;Q=0.25", "text", "html"), Some(250));
        assert_eq!(weight(" ,, text/html\t;\tq=0.1234 ,", "text", "html"), Some(123));
        assert_eq!(weight("text/html;q=2", "text", "html"), Some(1000));
        assert_eq!(weight("text/html;q=", "text", "html"), Some(1000));
        assert_eq!(weight("texthtml, /, *", "text", "html"), None);
        assert_eq!(weight("\"", "text", "html"), None);
    }

    #[test]
    fn wants_first_what_weighs_more_then_what_is_named_then_what_is_named_first() {
        let ahead = |value: &str| {
            Accept::from_text(value).wish("text", "html")
                > Accept::from_text(value).wish("application", "json")
        };
        assert!(ahead("application/json;q=0.5, text/html"));
        assert!(ahead("text/html, application/json"));
        assert!(!ahead("application/json, text/html"));
        assert!(!ahead("application/json, text/plain, */*"));
        assert!(ahead("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(!ahead("*/*"), "neither before the other");
    }

    #[test]
    fn looks_at_no_more_than_so_many_ranges() {
        let many = "a/b,".repeat(MOST_RANGES) + "text/html";
        assert_eq!(weight(&many, "text", "html"), None);
    }
}
