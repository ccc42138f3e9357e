//! What answers in a route: the keys that may, and `try`, their order.

use toml::de::DeValue;

use super::compress::ByKind;
use super::contents::Contents;
use super::template::Catches;
use super::{files, names, redirect, respond, split};
use crate::document::{Found, Section};
use crate::model::{Split, Step, UpstreamId};
use crate::problem::Problem;
use crate::upstream::ReadUpstream;
use crate::value;

/// The keys that name what answers, in the order in which `try` would usually have them.
const KEYS: &[(&str, &str)] = &[
    ("files", "files"),
    ("upstream", "upstream"),
    ("upstreams", "upstreams"),
    ("redirect", "redirect"),
    ("respond", "respond"),
];

/// The steps, and the file that the body of an answer is in. No step where none is right; what is wrong has been noted.
pub(super) fn read(
    section: &Section<'_>,
    upstreams: &[ReadUpstream],
    catches: &Catches,
    compress: &ByKind,
) -> (Vec<Step>, Option<Contents>) {
    let mut found: Vec<(&'static str, Step)> = Vec::new();
    let mut contents = None;
    if let Some(files) = files::read(section, &compress.files) {
        found.push(("files", Step::Files(Box::new(files.value))));
    }
    let one = split::one(section, upstreams);
    let several = split::several(section, upstreams);
    let sticky = split::sticky(section);
    if let Some(sticky) = sticky.as_ref().filter(|_| !section.has("upstreams")) {
        let problem =
            Problem::new("`sticky` is for several `upstreams`: with one there is nothing to choose");
        section.report(sticky.span.clone(), problem.instead("leave it out"));
    }
    found.extend(one.map(|split| ("upstream", Step::Upstream(split.value))));
    found.extend(several.map(|found| {
        let sticky = sticky.map(|sticky| sticky.value);
        ("upstreams", Step::Upstream(Split { sticky, ..found.value }))
    }));
    found.extend(redirect::read(section, catches).map(|found| ("redirect", Step::Redirect(found.value))));
    if let Some((fixed, file)) = respond::read(section) {
        found.push(("respond", Step::Respond(Box::new(fixed.value))));
        contents = file;
    }
    let order = order(section);
    let written: Vec<_> = KEYS.iter().map(|(key, _)| *key).filter(|key| section.has(key)).collect();
    match order {
        Some(order) => {
            let steps = order.iter().filter_map(|key| {
                let step = found.iter().position(|(name, _)| *name == key.value);
                match step {
                    Some(index) => Some(found.swap_remove(index).1),
                    None if key.value == "upstream" && !section.has("upstream") => {
                        only(section, upstreams, key)
                    }
                    None => {
                        if !section.has(key.value) {
                            let problem = Problem::new(format!("there is no `{}` in this route", key.value));
                            section
                                .report(key.span.clone(), problem.instead("write it, or leave it out here"));
                        }
                        None
                    }
                }
            });
            (steps.collect(), contents)
        }
        None if section.has("try") => (Vec::new(), contents),
        None => {
            match written.as_slice() {
                [] => found.extend(by_default(section, upstreams).map(|step| ("upstream", step))),
                [_] => {}
                several => section.report(section.span.clone(), which(several)),
            }
            (found.into_iter().map(|(_, step)| step).collect(), contents)
        }
    }
}

/// Several keys that answer, and nothing about their order.
fn which(keys: &[&str]) -> Problem {
    let and = |keys: &[&str]| keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" and ");
    // Only files may have nothing: behind the others no order would help.
    let sure: Vec<&str> = keys.iter().copied().filter(|key| *key != "files").collect();
    if sure.len() > 1 {
        let message = format!("this route has {}, and each of them always answers", and(&sure));
        return Problem::new(message).instead("leave all but one of them out");
    }
    let list = keys.iter().map(|key| format!("\"{key}\"")).collect::<Vec<_>>().join(", ");
    let message = format!("this route has {}, and does not say in which order", and(keys));
    Problem::new(message).instead(format!("write try = [{list}], or leave one of them out"))
}

/// `upstream` in `try` where no key names it: the only one.
fn only(section: &Section<'_>, upstreams: &[ReadUpstream], key: &Found<&'static str>) -> Option<Step> {
    if let [_] = upstreams {
        return Some(Step::Upstream(Split::to(UpstreamId(0))));
    }
    let problem = Problem::new("there are several upstreams, and this route does not say which");
    section.report(key.span.clone(), problem.instead(format!("write upstream = {} too", names(upstreams))));
    None
}

/// A route that says nothing of what answers goes to the only upstream.
fn by_default(section: &Section<'_>, upstreams: &[ReadUpstream]) -> Option<Step> {
    if upstreams.len() > 1 {
        if section.lacks("upstream") && KEYS.iter().all(|(key, _)| section.lacks(key)) {
            let problem = Problem::new("this route does not say which upstream its requests go to");
            section.report(
                section.span.clone(),
                problem.instead(format!("write upstream = {}", names(upstreams))),
            );
        }
        return None;
    }
    Some(Step::Upstream(Split::to(UpstreamId(0))))
}

/// `try`, if it is right.
fn order(section: &Section<'_>) -> Option<Vec<Found<&'static str>>> {
    let written = section.value("try")?;
    let span = written.span();
    let before = section.reader().found();
    let order = section.one_or_list("try", |value: &DeValue<'_>| value::one_of(KEYS)(value));
    for (index, key) in order.iter().enumerate() {
        let report = |message: String, instead: &str| {
            section.report(key.span.clone(), Problem::new(message).instead(instead));
        };
        if order[..index].iter().any(|earlier| earlier.value == key.value) {
            report(format!("\"{}\" is in the list twice", key.value), "leave one of them out");
        } else if let Some(last) = order[..index].iter().find(|earlier| earlier.value != "files") {
            report(
                format!("\"{}\" is never asked: \"{}\" before it always answers", key.value, last.value),
                "leave it out, or put it first if it is \"files\"",
            );
        }
    }
    for (key, _) in KEYS {
        let is_named = order.iter().any(|named| named.value == *key);
        if section.has(key) && !is_named && section.reader().found() == before {
            let problem = Problem::new(format!("`{key}` of this route is not in the list"));
            section.report(span.clone(), problem.instead(format!("add \"{key}\", or leave `{key}` out")));
        }
    }
    (section.reader().found() == before).then_some(order)
}
