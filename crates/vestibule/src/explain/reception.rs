//! What is answered before a route is looked for: requests that are none, and those that end here.

use vestibule_config::{Config, Listener};
use vestibule_http1::{HeadLimits, Method, RequestHead};

use super::Step;
use super::request::Request;

/// The step that ends it, if one does. In the order of the server (a head that cannot be read is refused first) and of proxy/stack.rs.
pub(super) fn answer(config: &Config, listener: Option<&Listener>, request: &Request) -> Option<Step> {
    let ends = |status: u16, why: &str| {
        Some(Step { name: "request", says: format!("{status}: {why}"), status: Some(status) })
    };
    let limits = HeadLimits {
        bytes: usize::try_from(config.limits.head).unwrap_or(usize::MAX),
        fields: usize::try_from(config.limits.fields).unwrap_or(usize::MAX),
    };
    let bytes = head(request);
    let mut head = RequestHead::default();
    match head.parse(&bytes, &mut 0, &limits) {
        Ok(true) => {}
        Ok(false) => return ends(400, "the head of the request has no end"),
        Err(error) => return ends(error.status(), &error.to_string()),
    }
    if let Some(redirect) = listener.and_then(|listener| listener.redirect) {
        let port = if redirect.port == 443 { String::new() } else { format!(":{}", redirect.port) };
        let host = request.host_without_port();
        let host = if host.is_empty() { "(the host)" } else { host };
        let says = format!("308 to https://{host}{port}{}, as the listener says", request.target);
        return Some(Step { name: "redirect", says, status: Some(308) });
    }
    if head.expect_unknown {
        return ends(417, "an expectation other than 100-continue");
    }
    match head.method_kind {
        Method::Trace => ends(405, "TRACE would show a script what it must not see"),
        Method::Options => match forwards(request) {
            Ok(Some(0)) => ends(200, "it may be forwarded no further: what may be asked is answered here"),
            Ok(_) => None,
            Err(why) => ends(400, why),
        },
        _ => None,
    }
}

/// The head, as an HTTP/1.1 client writes it. Where no host is asked about it is one that is right.
fn head(request: &Request) -> Vec<u8> {
    let host = if request.host.is_empty() { "localhost" } else { &request.host };
    let mut text = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", request.method, request.target);
    for (name, value) in &request.fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// How far an OPTIONS may go (RFC 9110 7.6.2).
fn forwards(request: &Request) -> Result<Option<u64>, &'static str> {
    let mut values = request.fields.iter().filter(|(name, _)| name == "max-forwards");
    let Some((_, digits)) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("more than one Max-Forwards");
    }
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("Max-Forwards is not a number");
    }
    Ok(Some(digits.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &str, host: &str, fields: &[(&str, &str)]) -> Option<u16> {
        let config = vestibule_config::parse("", std::path::Path::new("t.toml")).expect("a configuration");
        let request = Request {
            method: method.to_owned(),
            scheme: "http",
            host: host.to_owned(),
            port: None,
            target: "/a?b".to_owned(),
            canonical_path: String::new(),
            client: std::net::Ipv4Addr::LOCALHOST.into(),
            fields: fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
        };
        answer(&config, None, &request).and_then(|step| step.status)
    }

    #[test]
    fn ends_what_ends_before_the_routes_and_nothing_else() {
        for (method, host, fields, expected) in [
            ("GET", "a.example:81", &[][..], None),
            ("GET", "", &[("x", "1")], None),
            ("POST", "a", &[("expect", "100-continue")], None),
            ("OPTIONS", "a", &[], None),
            ("OPTIONS", "a", &[("max-forwards", "1")], None),
            ("GET", "a", &[("max-forwards", "0")], None),
            ("TRACE", "a", &[], Some(405)),
            ("CONNECT", "a", &[], Some(501)),
            ("OPTIONS", "a", &[("max-forwards", "0")], Some(200)),
            ("OPTIONS", "a", &[("max-forwards", "x")], Some(400)),
            ("OPTIONS", "a", &[("max-forwards", "1"), ("max-forwards", "1")], Some(400)),
            ("GET", "a", &[("expect", "foo")], Some(417)),
            ("GET", "a,b", &[], Some(400)),
            ("POST", "a", &[("content-length", "1"), ("transfer-encoding", "chunked")], Some(400)),
        ] {
            assert_eq!(status(method, host, fields), expected, "{method} {host} {fields:?}");
        }
        let many: Vec<(&str, &str)> = vec![("x", "1"); 200];
        assert_eq!(status("GET", "a", &many), Some(431));
    }
}
