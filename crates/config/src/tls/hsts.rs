//! `hsts` of `tls`

use std::time::Duration;

use toml::de::DeValue;

use super::Hsts;
use crate::document::Section;
use crate::problem::Problem;
use crate::value::{self, describe};

const KIND: &str = "in `hsts` of `tls`";

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// More is a slip of the unit: a browser keeps to it, whatever becomes of the site.
const LONGEST: Duration = Duration::from_secs(10 * YEAR.as_secs());

/// `hsts = "1y"`, or a table. `None` when it is not written, or is wrong, which is reported.
pub(super) fn read(tls: &Section<'_>) -> Option<Hsts> {
    tls.short_or_table("hsts", KIND, short, table).map(|found| found.value)
}

fn short(value: &DeValue<'_>) -> Result<Hsts, Problem> {
    match value {
        DeValue::Boolean(true) => {
            Err(Problem::new("`hsts` is how long browsers keep to https: true does not say that")
                .instead("write hsts = \"1y\", or begin with less, such as \"1d\""))
        }
        DeValue::Boolean(false) => Err(Problem::new("`hsts` is how long browsers keep to https")
            .instead("leave it out; \"0s\" tells browsers to forget what they were told")),
        DeValue::String(text) if text.to_ascii_lowercase().contains("max-age") => {
            Err(Problem::new("this is the field, which Vestibule writes by itself")
                .instead(format!("write hsts = {}", from_field(text))))
        }
        _ => age(value).map(|age| Hsts { age, subdomains: false, preload: false }),
    }
}

fn table(section: Section<'_>) -> Option<Hsts> {
    let age = section.read("age", age);
    let subdomains = section.read("subdomains", value::boolean);
    let preload = section.read("preload", value::boolean);
    if section.lacks("age") {
        let problem = Problem::new("`hsts` does not say how long browsers keep to https");
        section.report(section.span.clone(), problem.instead("write its `age`, such as \"1y\""));
    }
    if let Some(preload) = preload.as_ref().filter(|preload| preload.value) {
        // What is written and wrong has been reported.
        let with_subdomains = subdomains.as_ref().map_or(!section.lacks("subdomains"), |found| found.value);
        let long_enough = age.as_ref().is_none_or(|age| age.value >= YEAR);
        if !with_subdomains || !long_enough {
            let problem = Problem::new(
                "hstspreload.org takes no name without its subdomains, or with an age below a year",
            );
            let instead =
                "write hsts = { age = \"1y\", subdomains = true, preload = true }, or leave `preload` out";
            section.report(preload.span.clone(), problem.instead(instead));
        }
    }
    section.finish();
    Some(Hsts {
        age: age?.value,
        subdomains: subdomains.is_some_and(|found| found.value),
        preload: preload.is_some_and(|found| found.value),
    })
}

/// Whole seconds, as the field has them (RFC 6797 6.1.1); none at all makes browsers forget.
fn age(value: &DeValue<'_>) -> Result<Duration, Problem> {
    let age = value::duration_up_to(LONGEST, "10y")(value)?;
    if age.subsec_millis() != 0 {
        return Err(Problem::new(format!("{} is no whole number of seconds", describe(value)))
            .instead(format!("write \"{}s\"", age.as_secs() + 1)));
    }
    Ok(age)
}

/// What says the same as a field's value: `max-age=31536000; includeSubDomains`.
fn from_field(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    let digits = text.split_once("max-age").map_or("", |(_, rest)| rest).trim_start_matches([' ', '=', '"']);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let seconds = digits[..end].parse().unwrap_or(YEAR.as_secs()).min(LONGEST.as_secs());
    let age = match seconds {
        0 => "\"0s\"".to_owned(),
        whole if whole % YEAR.as_secs() == 0 => format!("\"{}y\"", whole / YEAR.as_secs()),
        whole if whole % (24 * 3600) == 0 => format!("\"{}d\"", whole / (24 * 3600)),
        seconds => format!("\"{seconds}s\""),
    };
    let flag =
        |name: &str, key: &str| if text.contains(name) { format!(", {key} = true") } else { String::new() };
    match (flag("includesubdomains", "subdomains"), flag("preload", "preload")) {
        (subdomains, preload) if subdomains.is_empty() && preload.is_empty() => age,
        (subdomains, preload) => format!("{{ age = {age}{subdomains}{preload} }}"),
    }
}
