//! `minimum` of `tls`

use toml::de::DeValue;

use super::TlsVersion;
use crate::problem::Problem;
use crate::value::describe;

/// `"1.2"` or `"1.3"`.
pub(super) fn read(value: &DeValue<'_>) -> Result<TlsVersion, Problem> {
    let written = match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Integer(number) => number.as_str().to_owned(),
        _ => String::new(),
    };
    let version = match (value, &*written) {
        (DeValue::String(_), "1.2") => return Ok(TlsVersion::V12),
        (DeValue::String(_), "1.3") => return Ok(TlsVersion::V13),
        _ => number(&written),
    };
    let problem = Problem::new(format!("{} is no version of TLS here", describe(value)));
    Err(match &*version {
        "1.2" | "1.3" => problem.instead(format!("write \"{version}\", between quotes")),
        "1" | "1.0" | "1.1" => problem.instead(
            "write \"1.2\" or \"1.3\": TLS 1.0 and 1.1 must not be spoken any more (RFC 8996), and no browser does",
        ),
        _ if version.starts_with("ssl") || version == "2" || version == "3" => problem
            .instead("write \"1.2\" or \"1.3\": SSL must not be spoken any more (RFC 6176, RFC 7568), and nobody does"),
        _ => problem.instead("write \"1.2\" or \"1.3\""),
    })
}

/// The number in other spellings: `TLSv1.2`, `tls1_2`.
fn number(written: &str) -> String {
    let lower = written.to_ascii_lowercase().replace('_', ".");
    let number = lower.strip_prefix("tls").unwrap_or(&lower).trim_start_matches([' ', '-', '.']);
    number.strip_prefix('v').unwrap_or(number).trim().to_owned()
}
