//! `directory` of `acme`: which authority.

use toml::de::DeValue;

use super::Acme;
use crate::problem::Problem;
use crate::value;

const STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// Names that others have for a directory.
const NAMES: &[(&str, &str)] = &[
    ("letsencrypt", Acme::DIRECTORY),
    ("letsencrypt_test", STAGING),
    ("letsencrypt-staging", STAGING),
    ("production", Acme::DIRECTORY),
    ("staging", STAGING),
    ("zerossl", "https://acme.zerossl.com/v2/DV90"),
];

/// An https URL.
pub(super) fn read(value: &DeValue<'_>) -> Result<String, Problem> {
    let text = value::text(value, Acme::DIRECTORY)?;
    let wrong = |message: String, instead: String| Err(Problem::new(message).instead(instead));
    if let Some((_, url)) = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        return wrong(format!("{text:?} is not a URL"), format!("write \"{url}\""));
    }
    let Some(rest) = text.strip_prefix("https://") else {
        let instead = match text.split_once("://") {
            Some((_, rest)) if !rest.is_empty() => format!("write \"https://{rest}\""),
            _ => format!("write one such as \"{}\"", Acme::DIRECTORY),
        };
        return wrong(
            format!("{text:?} is not an https URL: an authority is spoken to over https only"),
            instead,
        );
    };
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#@".contains(&byte);
    if host.is_empty() || host.starts_with(':') || !rest.bytes().all(is_plain) {
        return wrong(
            format!("{text:?} is not the URL of a directory"),
            format!("write one such as \"{}\"", Acme::DIRECTORY),
        );
    }
    Ok(text.to_owned())
}
