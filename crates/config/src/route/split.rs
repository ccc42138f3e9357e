//! `upstream`, `upstreams` and `sticky`

use toml::de::DeValue;

use super::{name, named};
use crate::document::{Found, Section};
use crate::model::{Split, Sticky, UpstreamId};
use crate::problem::Problem;
use crate::upstream::ReadUpstream;
use crate::value;

const SHARE: &str = "in `upstreams` of [[route]]";

/// Heaviest weight.
const HEAVIEST: u64 = 1_000_000;

/// One upstream.
pub(super) fn one(section: &Section<'_>, upstreams: &[ReadUpstream]) -> Option<Found<Split>> {
    let found = section.read("upstream", |value| {
        if value.is_array() {
            return Err(Problem::new("a route has one `upstream`")
                .instead("write upstreams = [{ upstream = \"app\", weight = 95 }, { upstream = \"canary\", weight = 5 }]"));
        }
        named(value, upstreams)
    });
    found.map(|Found { value, span }| Found { value: Split::to(value), span })
}

/// Several, by weight.
pub(super) fn several(section: &Section<'_>, upstreams: &[ReadUpstream]) -> Option<Found<Split>> {
    let reader = section.reader();
    let Some(written) = section.value("upstreams") else {
        share(Section::absent(reader, SHARE), upstreams);
        return None;
    };
    let span = written.span();
    let DeValue::Array(array) = written.get_ref() else {
        share(Section::absent(reader, SHARE), upstreams);
        let problem =
            Problem::new(format!("`upstreams` is a list, not {}", value::describe(written.get_ref())));
        reader.report(
            span,
            problem.instead("write [{ upstream = \"app\", weight = 95 }, { upstream = \"canary\", weight = 5 }], or `upstream` for one"),
        );
        return None;
    };
    let before = reader.found();
    let mut shares: Vec<(UpstreamId, u32)> = Vec::new();
    for element in array.iter() {
        let DeValue::Table(table) = element.get_ref() else {
            let problem = Problem::new(format!(
                "each of `upstreams` is a table, not {}",
                value::describe(element.get_ref())
            ));
            reader.report(element.span(), problem.instead("write { upstream = \"app\", weight = 95 }"));
            continue;
        };
        let Some((upstream, weight)) = share(Section::new(reader, SHARE, table, element.span()), upstreams)
        else {
            continue;
        };
        if shares.iter().any(|(other, _)| *other == upstream.value) {
            let problem = Problem::new("this upstream has a weight already");
            reader.report(upstream.span, problem.instead("leave one of them out"));
        } else {
            shares.push((upstream.value, weight));
        }
    }
    if array.is_empty() {
        share(Section::absent(reader, SHARE), upstreams);
        reader.report(
            span.clone(),
            Problem::new("there is nothing in `upstreams`").instead("write `upstream` for one"),
        );
    } else if reader.found() == before && shares.iter().all(|(_, weight)| *weight == 0) {
        reader.report(
            span.clone(),
            Problem::new("all weights are 0: nobody gets a request").instead("give one of them a weight"),
        );
    }
    (reader.found() == before).then_some(Found { value: Split { shares, sticky: None }, span })
}

fn share(section: Section<'_>, upstreams: &[ReadUpstream]) -> Option<(Found<UpstreamId>, u32)> {
    let upstream = section.read("upstream", |value| named(value, upstreams));
    let weight = section.or("weight", 1, value::integer(0..=HEAVIEST));
    if section.lacks("upstream") {
        let problem = Problem::new("this does not say which upstream");
        section.report(section.span.clone(), problem.instead("write upstream = \"app\""));
    }
    section.finish();
    upstream.map(|upstream| (upstream, weight))
}

/// The cookie by which a client stays where it was.
pub(super) fn sticky(section: &Section<'_>) -> Option<Found<Sticky>> {
    section.short_or_table(
        "sticky",
        "in `sticky` of [[route]]",
        |value| Ok(Sticky { cookie: cookie(value)?, age: None }),
        |section| {
            let cookie = section.read("cookie", cookie);
            let age = section.read("age", value::duration);
            if section.lacks("cookie") {
                let problem = Problem::new("`sticky` does not name its cookie");
                section.report(section.span.clone(), problem.instead("write cookie = \"release\""));
            }
            section.finish();
            cookie.map(|cookie| Sticky { cookie: cookie.value, age: age.map(|age| age.value) })
        },
    )
}

/// A cookie's name (RFC 6265 4.1.1).
fn cookie(value: &DeValue<'_>) -> Result<String, Problem> {
    let text = value::text(value, "release")?;
    if text.is_empty() || text.len() > 64 || !text.bytes().all(name::is_token) {
        return Err(Problem::new(format!("{text:?} cannot be the name of a cookie"))
            .instead("write one of at most 64 letters, digits, `-` and `_`"));
    }
    Ok(text.to_owned())
}
