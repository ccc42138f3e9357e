//! Addresses that are looked up in the DNS: `name:port` and `srv:_service._tcp.name`.

use super::port_number;
use crate::model::UpstreamAddress;
use crate::problem::Problem;

/// Longest name that the DNS can have, as text (RFC 1035 2.3.4).
const LONGEST_NAME: usize = 253;

/// Reads what is to be looked up; `None` for every other kind of address.
pub(super) fn read(text: &str) -> Option<Result<UpstreamAddress, Problem>> {
    if let Some(name) = text.strip_prefix("srv:") {
        return Some(service(name));
    }
    let (host, port) = text.rsplit_once(':')?;
    // Digits and dots alone are meant to be an IP address; a space, a slash or a bracket is a mistake of another kind.
    let is_name = is_name(host) && host.contains(|c: char| c.is_ascii_alphabetic());
    if !is_name || host == "localhost" || host == "unix" || host == "systemd" {
        return None;
    }
    Some(match port_number(port) {
        None | Some(0) => Err(Problem::new(format!("{port:?} is not a port"))
            .instead(format!("write a port from 1 to 65535: \"{host}:8080\""))),
        Some(_) if host.len() > LONGEST_NAME => Err(too_long(host)),
        Some(port) => Ok(UpstreamAddress::Name(host.to_ascii_lowercase(), port)),
    })
}

/// The name of a service (RFC 2782): its records say the ports.
fn service(name: &str) -> Result<UpstreamAddress, Problem> {
    let example = "srv:_http._tcp.app.internal";
    if let Some((name, port)) = name.split_once(':') {
        return Err(Problem::new(format!(
            "a service has no port of its own: its records say it, not {port:?}"
        ))
        .instead(format!("write \"srv:{name}\"")));
    }
    let mut labels = name.split('.');
    let is_service = [labels.next(), labels.next()]
        .iter()
        .all(|label| label.is_some_and(|label| label.len() > 1 && label.starts_with('_')));
    if !is_service || !is_name(name) {
        return Err(Problem::new(format!("{name:?} is not the name of a service")).instead(format!(
            "write its service and protocol, each behind a `_`, and its domain: \"{example}\""
        )));
    }
    if name.len() > LONGEST_NAME {
        return Err(too_long(name));
    }
    Ok(UpstreamAddress::Srv(name.to_ascii_lowercase()))
}

fn too_long(name: &str) -> Problem {
    Problem::new(format!("the name has {} bytes, more than the DNS can have", name.len()))
        .instead(format!("write one of at most {LONGEST_NAME} bytes"))
}

/// Labels of letters, digits, `-` and `_`, with dots between them, and perhaps one at the end.
fn is_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.split('.').all(|label| (1..=63).contains(&label.len()) && label.chars().all(letters))
}
