//! `fields` of a `[[route]]`

use toml::de::DeValue;

use super::changeable::{Change, Side, may_change};
use super::name;
use super::template::{self, Catches};
use crate::document::{Section, Written};
use crate::model::{FieldChanges, Template};
use crate::problem::Problem;

const REQUEST: &str = "in `request` of `fields`";
const RESPONSE: &str = "in `response` of `fields`";

/// The changes to requests, and those to answers.
pub(super) fn read(section: &Section<'_>, catches: &Catches) -> (FieldChanges, FieldChanges) {
    let section = section.section("fields", "in `fields` of [[route]]");
    let request = changes(section.section("request", REQUEST), Side::Request, catches);
    let response = changes(section.section("response", RESPONSE), Side::Response, catches);
    section.finish();
    (request, response)
}

fn changes(section: Section<'_>, side: Side, catches: &Catches) -> FieldChanges {
    let set = named(&section, ("set", Change::Set), side, catches);
    let add = named(&section, ("add", Change::Add), side, catches);
    let remove = section.one_or_list("remove", |value| {
        let name = name::field(crate::value::text(value, "X-Powered-By")?)?;
        may_change(side, Change::Remove, name).map(|()| name.to_ascii_lowercase())
    });
    for found in &remove {
        if set.iter().any(|(name, _)| name.eq_ignore_ascii_case(&found.value)) {
            let problem =
                Problem::new(format!("`{}` is in `set` too, which takes away what was there", found.value));
            section.report(found.span.clone(), problem.instead("leave one of them out"));
        }
    }
    section.finish();
    let remove = remove.into_iter().map(|found| found.value).collect();
    FieldChanges { remove, set, add, default: Vec::new() }
}

/// The fields below a key, each with a text or, below `add`, a list of them.
fn named(
    section: &Section<'_>,
    (key, change): (&'static str, Change),
    side: Side,
    catches: &Catches,
) -> Vec<(String, Template)> {
    let below = match key {
        "set" => section.section("set", "in `set` of `fields`"),
        _ => section.section("add", "in `add` of `fields`"),
    };
    let mut fields: Vec<(String, Template)> = Vec::new();
    for (written, value) in below.entries() {
        let checked = name::field(&written.value).and_then(|name| may_change(side, change, name));
        if let Err(problem) = checked {
            section.report(written.span, problem);
            continue;
        }
        if fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(&written.value)) {
            let problem = Problem::new(format!("`{}` is there already", written.value));
            section.report(
                written.span,
                problem.instead("leave one of them out: case does not matter in names"),
            );
            continue;
        }
        let values: Vec<Written<'_>> = match value.get_ref() {
            DeValue::Array(array) if key == "add" => array.iter().collect(),
            _ => vec![value],
        };
        for value in values {
            match field_value(value.get_ref(), catches) {
                Ok(template) => fields.push((written.value.clone(), template)),
                Err(problem) => section.report(value.span(), problem),
            }
        }
    }
    fields
}

/// A value that may stand in a field (RFC 9110 5.5).
fn field_value(value: &DeValue<'_>, catches: &Catches) -> Result<Template, Problem> {
    let template = template::read(value, catches, "1")?;
    let text = value.as_str().unwrap_or_default();
    if text.trim() != text {
        return Err(Problem::new("the value begins or ends with a blank, which gets lost on the way")
            .instead(format!("write {:?}", text.trim())));
    }
    Ok(template)
}
