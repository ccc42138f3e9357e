//! `redirect` of `[[listen]]`

use toml::de::DeValue;

use super::Redirect;
use crate::address::port_number;
use crate::problem::Problem;
use crate::value::{self, describe};

/// `"https"`, or `"https:8443"`.
pub(crate) fn redirect(value: &DeValue<'_>) -> Result<Redirect, Problem> {
    let wrong = |message: String, instead: &str| Err(Problem::new(message).instead(instead));
    match value {
        DeValue::Boolean(true) => {
            return wrong("`redirect` says where to".to_owned(), "write redirect = \"https\"");
        }
        DeValue::Boolean(false) => return wrong("`redirect` says where to".to_owned(), "leave it out"),
        DeValue::Integer(port) => {
            let port = port_number(port.as_str()).filter(|&port| port != 0).unwrap_or(443);
            let instead = if port == 443 { "https".to_owned() } else { format!("https:{port}") };
            return wrong(
                format!("`redirect` is text, not {}", describe(value)),
                &format!("write redirect = \"{instead}\"; the status is always 308"),
            );
        }
        _ => {}
    }
    let text = value::text(value, "https")?;
    let (scheme, port) = text.split_once(':').map_or((text, None), |(scheme, port)| (scheme, Some(port)));
    if text.contains("//") || text.contains('$') {
        return wrong(
            format!("{text:?} names more than where to"),
            "write redirect = \"https\": host and path stay as the client wrote them, and the status is 308, which keeps \
             method and body",
        );
    }
    if scheme != "https" {
        return wrong(
            format!("{text:?} is nowhere to send clients to"),
            "write \"https\", or \"https:8443\" for another port than 443",
        );
    }
    match port.map(|port| port_number(port).filter(|&port| port != 0)) {
        None => Ok(Redirect { port: 443 }),
        Some(Some(port)) => Ok(Redirect { port }),
        Some(None) => wrong(
            format!("{:?} is not a port", port.unwrap_or_default()),
            "write \"https\", or with a port from 1 to 65535: \"https:8443\"",
        ),
    }
}
