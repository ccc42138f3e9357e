//! `redirect`

use toml::de::DeValue;

use super::template::{self, Catches};
use crate::document::{Found, Section};
use crate::model::{Part, Redirection, Template};
use crate::problem::Problem;
use crate::value;

const STATUSES: &[u16] = &[301, 302, 303, 307, 308];

const USUAL: u16 = 308;

pub(super) fn read(section: &Section<'_>, catches: &Catches) -> Option<Found<Redirection>> {
    section.short_or_table(
        "redirect",
        "in `redirect` of [[route]]",
        |value| Ok(Redirection { status: USUAL, to: to(value, catches)? }),
        |section| {
            let to = section.read("to", |value| to(value, catches));
            let status = section.or("status", USUAL, status);
            if section.lacks("to") {
                let problem = Problem::new("this redirect leads nowhere");
                section
                    .report(section.span.clone(), problem.instead("write to = \"https://example.com$uri\""));
            }
            section.finish();
            to.map(|to| Redirection { status, to: to.value })
        },
    )
}

fn status(value: &DeValue<'_>) -> Result<u16, Problem> {
    let status = value::integer::<u16>(200..=599)(value).ok().filter(|status| STATUSES.contains(status));
    status.ok_or_else(|| {
        Problem::new(format!("{} is no status of a redirect", value::describe(value)))
            .instead("write 301 or 308 (for good), 302 or 307 (for now), 303 (fetch it with GET)")
    })
}

fn to(value: &DeValue<'_>, catches: &Catches) -> Result<Template, Problem> {
    let template = template::read(value, catches, "https://example.com$uri")?;
    let text = value.as_str().unwrap_or_default();
    if text == "https" {
        return Err(Problem::new("`https` alone does not say where to")
            .instead("write \"https://$host$uri\", or redirect = \"https\" in the [[listen]] of port 80"));
    }
    let mut parts = template.parts.iter();
    match (parts.next(), parts.next()) {
        // Whoever asks for `//evil.example/` would be sent there.
        (Some(Part::Path | Part::Uri | Part::Stripped(_)), _) => Err(Problem::new(
            "an address that begins with the path can lead anywhere: `//example.com` is a path too",
        )
        .instead(format!("write \"$scheme://$host{text}\""))),
        (Some(Part::Text(first)), _) if is_address(first) => Ok(template),
        (Some(Part::Scheme), Some(Part::Text(second))) if second.starts_with("://") => Ok(template),
        (Some(Part::Caught(_) | Part::Field(_)), _) => Ok(template),
        _ => Err(Problem::new(format!("{text:?} is not an address"))
            .instead(format!("write \"https://{text}\", or a path that begins with `/`"))),
    }
}

/// A path, or what begins with a scheme.
fn is_address(text: &str) -> bool {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    text.starts_with('/')
        || scheme.is_some_and(|scheme| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(letters)
                && (text.contains("://") || !scheme.contains('.'))
        })
}
