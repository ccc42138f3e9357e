//! Host names: as a route names them, and as clients send them.

use std::net::Ipv6Addr;

use crate::problem::Problem;

/// Longest host that can be in a route; what clients send beyond it fits no named host (RFC 1035, 2.3.4: 255 bytes on
/// the wire, 253 as text).
pub(crate) const LONGEST: usize = 253;

/// The host of a route, in lower case, without a port and without a last dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum HostPattern {
    Any,
    Exact(String),
    /// What follows `*.`.
    Wildcard(String),
}

impl HostPattern {
    /// As a route has it.
    pub(crate) fn written(&self) -> String {
        match self {
            Self::Any => "*".to_owned(),
            Self::Exact(name) => name.clone(),
            Self::Wildcard(suffix) => format!("*.{suffix}"),
        }
    }

    /// Reads `example.com`, `*.example.com`, `192.0.2.1` or `[2001:db8::1]`.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            return Err(Problem::new("an empty host").instead("leave `host` out to fit any host"));
        }
        if text == "*" {
            return Err(Problem::new("`*` is not a host").instead("leave `host` out to fit any host"));
        }
        if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return match address.parse::<Ipv6Addr>() {
                Ok(address) => Ok(Self::Exact(format!("[{address}]"))),
                Err(_) => Err(Problem::new(format!("`{text}` is not an IPv6 address"))
                    .instead("write it as \"[2001:db8::1]\"")),
            };
        }
        let name = text.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let (wildcard, name) = match name.strip_prefix("*.") {
            Some(suffix) => (true, suffix),
            None => (false, name),
        };
        check_name(text, name)?;
        Ok(if wildcard { Self::Wildcard(name.to_owned()) } else { Self::Exact(name.to_owned()) })
    }
}

/// Refuses what no client can send as its host, saying which mistake it looks like. `text` is as written.
fn check_name(text: &str, name: &str) -> Result<(), Problem> {
    let wrong = |message: String, instead: &str| Err(Problem::new(message).instead(instead));
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split('/').next().unwrap_or(rest);
        return wrong(format!("`{text}` is a URL, not a host"), &format!("write only the host: \"{host}\""));
    }
    if name.parse::<Ipv6Addr>().is_ok() {
        return wrong(
            format!("`{text}` is an IPv6 address without brackets"),
            &format!("write \"[{name}]\""),
        );
    }
    if let Some((host, _)) = name.split_once('/') {
        let hint = format!("write host = \"{host}\", and the rest as `path`");
        return wrong(format!("`{text}` has a path in it"), &hint);
    }
    if let Some((host, _)) = name.split_once(':') {
        let hint = format!("write \"{host}\": a route fits its host on every port");
        return wrong(format!("`{text}` has a port in it"), &hint);
    }
    if name.contains('*') {
        let hint = "write \"*.example.com\" for every name below example.com";
        return wrong(format!("`{text}` has a `*` that is not its first label"), hint);
    }
    if !name.is_ascii() {
        let hint = "write it as clients send it, in ASCII (Punycode, \"xn--…\")";
        return wrong(format!("`{text}` is not ASCII"), hint);
    }
    if name.len() > LONGEST {
        let message = format!("a host of {} bytes is longer than any that exists", name.len());
        return wrong(message, &format!("at most {LONGEST} bytes"));
    }
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.split('.').any(|label| label.is_empty() || !label.chars().all(letters)) {
        return wrong(format!("`{text}` is not a host name"), "write a name such as \"example.com\"");
    }
    Ok(())
}

/// Labels in a host name: `a.example.com` has 3.
pub(crate) fn labels(name: &[u8]) -> usize {
    name.iter().filter(|&&byte| byte == b'.').count() + 1
}

/// A host as a client sent it, brought to the form of the routes: lower case, no port, no last dot. `None` when it is
/// longer than any host in a route.
pub(crate) fn normalise<'b>(sent: &[u8], buffer: &'b mut [u8; LONGEST]) -> Option<&'b [u8]> {
    // In `[2001:db8::1]:443` only the colon after the bracket begins a port (RFC 3986, 3.2.2).
    let end = match sent.first() {
        Some(b'[') => sent.iter().position(|&byte| byte == b']').map_or(sent.len(), |bracket| bracket + 1),
        _ => sent.iter().position(|&byte| byte == b':').unwrap_or(sent.len()),
    };
    let name = &sent[..end];
    let name = name.strip_suffix(b".").unwrap_or(name);
    let host = buffer.get_mut(..name.len())?;
    host.copy_from_slice(name);
    host.make_ascii_lowercase();
    Some(host)
}
