//! A name that a certificate is fetched for.

use std::net::IpAddr;

use toml::de::DeValue;

use crate::host::LONGEST;
use crate::problem::Problem;
use crate::value;

/// Longest piece between two dots (RFC 1035 2.3.4).
const LONGEST_LABEL: usize = 63;

/// The name in lower case, without a last dot.
pub(super) fn read(value: &DeValue<'_>) -> Result<String, Problem> {
    let text = value::text(value, "www.example.com")?;
    let lower = text.to_ascii_lowercase();
    let name = lower.strip_suffix('.').unwrap_or(&lower);
    let wrong = |message: String, instead: String| Err(Problem::new(message).instead(instead));
    if let Some((_, rest)) = name.split_once("://") {
        let host = rest.split(['/', ':']).next().unwrap_or(rest);
        return wrong(format!("{text:?} is a URL, not a name"), format!("write only the name: {host:?}"));
    }
    if name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return wrong(
            format!("{text:?} is an address: certificates are fetched for names only"),
            "write the name that clients ask for; for an address give `tls` a `certificate` and its `key`"
                .to_owned(),
        );
    }
    if let Some((host, _)) = name.split_once(':') {
        return wrong(
            format!("{text:?} has a port in it"),
            format!("write {host:?}: a certificate is for a name on every port"),
        );
    }
    if let Some((host, _)) = name.split_once('/') {
        return wrong(format!("{text:?} has a path in it"), format!("write {host:?}"));
    }
    if name.contains('*') {
        let below = name.strip_prefix("*.").unwrap_or("example.com");
        return wrong(
            format!(
                "{text:?} stands for many names: an authority wants that proved in the DNS (dns-01), which is not offered"
            ),
            format!(
                "write each name, such as \"www.{below}\", or have another program fetch the certificate, and write its files \
                 as `certificate` and `key` of `tls`"
            ),
        );
    }
    if name.contains('@') {
        return wrong(
            format!("{text:?} is a mail address, not a name"),
            "write it as `contact`, and here names such as \"www.example.com\"".to_owned(),
        );
    }
    if !name.is_ascii() {
        return wrong(
            format!("{text:?} is not ASCII"),
            "write it as clients send it, in ASCII (Punycode, \"xn--…\")".to_owned(),
        );
    }
    let is_label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > LONGEST || !name.split('.').all(is_label) {
        return wrong(
            format!("{text:?} is no name that an authority signs"),
            "write a name of letters, digits, `-` and `.`, such as \"www.example.com\"".to_owned(),
        );
    }
    Ok(name.to_owned())
}
