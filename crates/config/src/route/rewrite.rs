//! `rewrite` and `strip`

use toml::de::DeValue;

use super::template::{self, Catches};
use crate::document::Section;
use crate::model::{Part, Template};
use crate::problem::Problem;
use crate::value;

pub(super) fn read(section: &Section<'_>, catches: &Catches) -> Option<Template> {
    let rewrite = section.read("rewrite", |value| rewrite(value, catches));
    let strip = section.read("strip", prefix);
    if let Some(strip) = strip.as_ref().filter(|_| section.has("rewrite")) {
        let problem = Problem::new("`strip` is a short form of `rewrite`, and both are written");
        section.report(strip.span.clone(), problem.instead("leave one of them out"));
    }
    let stripped = strip.map(|strip| Template { parts: vec![Part::Stripped(strip.value)] });
    rewrite.map(|found| found.value).or(stripped)
}

fn rewrite(value: &DeValue<'_>, catches: &Catches) -> Result<Template, Problem> {
    let template = template::read(value, catches, "/v2/$1")?;
    match template.parts.first() {
        Some(Part::Path | Part::Uri) => {}
        Some(Part::Text(text)) if text.starts_with('/') => {}
        Some(Part::Text(text)) if text.contains("://") => {
            return Err(Problem::new("another address is no path to go on with")
                .instead("write `redirect` to send the client there, or an [upstream.NAME] to ask it"));
        }
        _ => {
            let text = value.as_str().unwrap_or_default();
            return Err(Problem::new(format!("the path {text:?} does not begin with `/`"))
                .instead(format!("write \"/{text}\"")));
        }
    }
    let plain = |part: &Part| match part {
        Part::Text(text) => text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'),
        _ => true,
    };
    if !template.parts.iter().all(plain) {
        return Err(Problem::new("the path has something in it that no client sends in a path")
            .instead("write it percent-encoded, as clients send it"));
    }
    Ok(template)
}

/// The beginning of a path, without the `/` at its end.
pub(super) fn prefix(value: &DeValue<'_>) -> Result<String, Problem> {
    let text = value::text(value, "/api")?;
    let wrong = |message: String, instead: String| Err(Problem::new(message).instead(instead));
    let prefix = text.strip_suffix("/*").unwrap_or(text).trim_end_matches('/');
    if !text.starts_with('/') && !text.is_empty() {
        return wrong(format!("the path {text:?} does not begin with `/`"), format!("write \"/{text}\""));
    }
    if prefix.is_empty() {
        return wrong(
            format!("{text:?} leaves nothing out"),
            "write the beginning of a path, such as \"/api\"".to_owned(),
        );
    }
    if prefix.contains(['*', '?', '#', '$']) || !prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
        return wrong(
            format!("{text:?} is not the beginning of a path"),
            "write it as clients send it, such as \"/api\"; for more there is `rewrite`".to_owned(),
        );
    }
    Ok(prefix.to_owned())
}
