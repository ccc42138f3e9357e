//! `cors`

use std::time::Duration;

use toml::de::DeValue;

use super::{conditions, name};
use crate::document::Section;
use crate::model::Cors;
use crate::problem::Problem;
use crate::value;

const KIND: &str = "in `cors` of [[route]]";

/// How long browsers remember it where nothing is said; none remembers it for longer than a day.
const AGE: Duration = Duration::from_secs(3600);

pub(super) fn read(section: &Section<'_>) -> Option<Cors> {
    let cors = section.short_or_table("cors", KIND, |value| Ok(of(vec![origin(value)?])), table);
    cors.map(|found| found.value)
}

/// Nothing but who may read.
fn of(origins: Vec<Option<String>>) -> Cors {
    Cors {
        // `"*"` among others is any.
        origins: origins.into_iter().collect::<Option<Vec<_>>>().unwrap_or_default(),
        methods: Vec::new(),
        fields: Vec::new(),
        expose: Vec::new(),
        credentials: false,
        age: AGE,
    }
}

fn table(section: Section<'_>) -> Option<Cors> {
    let origins = section.one_or_list("origins", origin);
    let token = |value: &DeValue<'_>| name::field(value::text(value, "X-Total")?).map(str::to_owned);
    let values =
        |found: Vec<crate::document::Found<String>>| found.into_iter().map(|found| found.value).collect();
    let methods = values(section.one_or_list("methods", conditions::method));
    let fields = values(section.one_or_list("fields", token));
    let expose = values(section.one_or_list("expose", token));
    let credentials = section.read("credentials", value::boolean);
    let age = section.or("age", AGE, value::duration_within(Duration::ZERO..=Duration::from_secs(24 * 3600)));
    if section.lacks("origins") {
        let problem = Problem::new("this does not say whose scripts may read the answers");
        section.report(
            section.span.clone(),
            problem.instead("write origins = [\"https://app.example.com\"], or \"*\" for all"),
        );
    }
    if let Some(any) = origins.iter().find(|found| found.value.is_none())
        && credentials.as_ref().is_some_and(|found| found.value)
    {
        let problem = Problem::new("with cookies, any site could act in the name of who visits it");
        section.report(any.span.clone(), problem.instead("name the origins, or leave `credentials` out"));
    }
    let is_right = !section.is_written() || !origins.is_empty();
    section.finish();
    let credentials = credentials.is_some_and(|found| found.value);
    let cors = of(origins.into_iter().map(|found| found.value).collect());
    is_right.then_some(Cors { methods, fields, expose, credentials, age, ..cors })
}

/// An origin as browsers write it (RFC 6454 6.2); `None` for any.
fn origin(value: &DeValue<'_>) -> Result<Option<String>, Problem> {
    let text = value::text(value, "https://app.example.com")?;
    if text == "*" {
        return Ok(None);
    }
    let wrong = |instead: String| Err(Problem::new(format!("{text:?} is not an origin")).instead(instead));
    let Some((scheme, host)) = text.split_once("://") else {
        return wrong(format!("write its scheme too: \"https://{text}\", or \"*\" for any"));
    };
    if let Some((host, _)) = host.split_once('/') {
        return wrong(format!("write it without a path: \"{scheme}://{host}\""));
    }
    let usual = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => "",
    };
    if let Some(host) = host.strip_suffix(usual).filter(|_| !usual.is_empty()) {
        return wrong(format!("write it as browsers do, without the usual port: \"{scheme}://{host}\""));
    }
    if host.contains('*') {
        return wrong("name each of them: a `*` inside an origin has no meaning".to_owned());
    }
    let letters = |c: char| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | ':' | '[' | ']' | '_' | '+')
    };
    if scheme.is_empty() || host.is_empty() || !scheme.chars().chain(host.chars()).all(letters) {
        return wrong(
            "write it as browsers do, in small letters, such as \"https://app.example.com\"".to_owned(),
        );
    }
    Ok(Some(text.to_owned()))
}
