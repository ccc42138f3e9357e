//! The request that is asked about.

use std::net::{IpAddr, Ipv4Addr};

use vestibule_config::routes::Asked;

use super::{NotARequest, Options};

/// A request as its client would send it.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    /// `http` or `https`.
    pub(super) scheme: &'static str,
    /// As in `Host`, with its port if one is written; empty for none.
    pub(super) host: String,
    /// Where it is sent to; `None` when only a path was given.
    pub(super) port: Option<u16>,
    /// Path and query.
    pub(super) target: String,
    /// The path by which its route is chosen.
    pub(super) canonical_path: String,
    pub(super) client: IpAddr,
    /// Names in lower case.
    pub(super) fields: Vec<(String, String)>,
}

/// Somebody on the internet (RFC 5737).
const SOMEBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

impl Request {
    pub(super) fn of(options: &Options) -> Result<Self, NotARequest> {
        let (method, url) = match options.request.as_slice() {
            [url] => ("GET", url.as_str()),
            [method, url] => (method.as_str(), url.as_str()),
            _ => return Err(NotARequest("write a method and a URL".to_owned())),
        };
        if method.is_empty() || !method.bytes().all(is_token) {
            return Err(NotARequest(format!(
                "{method:?} is not a method: write GET, POST, … before the URL"
            )));
        }
        let (scheme, host, port, target) = parts(url)?;
        let path = target.split('?').next().unwrap_or_default();
        let mut canonical = Vec::new();
        let canonical_path = if vestibule_http1::write_canonical(path.as_bytes(), &mut canonical) {
            String::from_utf8_lossy(&canonical).into_owned()
        } else {
            path.to_owned()
        };
        let mut request = Request {
            method: method.to_owned(),
            scheme,
            host,
            port,
            target,
            canonical_path,
            client: options.client.unwrap_or(SOMEBODY),
            fields: Vec::new(),
        };
        for header in &options.headers {
            let (name, value) = header
                .split_once(':')
                .filter(|(name, _)| !name.is_empty() && name.bytes().all(is_token))
                .ok_or_else(|| {
                    NotARequest(format!("{header:?} is not a field: write it as 'Name: value'"))
                })?;
            let value = value.trim();
            if value.contains(char::is_control) {
                return Err(NotARequest(format!("the value of {name} has a control character in it")));
            }
            if name.eq_ignore_ascii_case("host") {
                value.clone_into(&mut request.host);
            } else {
                request.fields.push((name.to_ascii_lowercase(), value.to_owned()));
            }
        }
        Ok(request)
    }

    /// Its address, without the host where none was given.
    pub(super) fn url(&self) -> String {
        if self.host.is_empty() {
            self.target.clone()
        } else {
            format!("{}://{}{}", self.scheme, self.host, self.target)
        }
    }

    /// The path without the query.
    pub(super) fn path_alone(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(super) fn host_without_port(&self) -> &str {
        without_port(&self.host)
    }

    /// The value of a field, by its name in lower case.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        if name == "host" {
            return Some(&self.host);
        }
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

impl Asked for Request {
    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }

    fn path(&self) -> &[u8] {
        self.canonical_path.as_bytes()
    }

    fn query(&self) -> Option<&[u8]> {
        self.target.split_once('?').map(|(_, query)| query.as_bytes())
    }

    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }

    fn preflight_for(&self) -> Option<&[u8]> {
        let wanted = self.field("access-control-request-method");
        wanted.filter(|_| self.method == "OPTIONS" && self.field("origin").is_some()).map(str::as_bytes)
    }

    fn client(&self) -> IpAddr {
        self.client
    }

    fn any_field(&self, name: &[u8], test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        if name == b"host" {
            return test(self.host.as_bytes());
        }
        self.fields.iter().any(|(other, value)| other.as_bytes() == name && test(value.as_bytes()))
    }
}

/// Scheme, host, port and target of an address.
fn parts(url: &str) -> Result<(&'static str, String, Option<u16>, String), NotARequest> {
    if let Some(bad) = url.chars().find(|c| !c.is_ascii_graphic()) {
        return Err(NotARequest(format!("no client sends {bad:?} in an address: write it percent-encoded")));
    }
    // A client keeps the fragment to itself.
    let url = url.split('#').next().unwrap_or_default();
    if url.starts_with('/') {
        return Ok(("http", String::new(), None, url.to_owned()));
    }
    let (scheme, usual, rest) = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => ("https", 443, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => ("http", 80, rest),
        Some((scheme, _)) => {
            return Err(NotARequest(format!("{scheme:?} is not spoken here: write http:// or https://")));
        }
        None => {
            return Err(NotARequest(format!(
                "{url:?} is not an address: write https://{url}, or a path that begins with /"
            )));
        }
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    if without_port(host).is_empty() {
        return Err(NotARequest(format!("{url:?} has no host: write {scheme}://www.example.com/")));
    }
    let port = host[without_port(host).len()..].trim_start_matches(':');
    let port = if port.is_empty() { Ok(usual) } else { port.parse() };
    let port =
        port.map_err(|_| NotARequest(format!("{host:?} has no port from 1 to 65535 behind its colon")))?;
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    Ok((scheme, host.to_owned(), Some(port), target))
}

fn without_port(host: &str) -> &str {
    let name = if host.starts_with('[') { host.find(']').map_or(host.len(), |end| end + 1) } else { 0 };
    host[name..].find(':').map_or(host, |colon| &host[..name + colon])
}

/// Whether a byte may stand in a token (RFC 9110 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_an_address_apart() {
        let all = |url| parts(url).map_err(|error| error.0);
        let fine =
            |scheme, host: &str, port, target: &str| Ok((scheme, host.to_owned(), port, target.to_owned()));
        assert_eq!(all("https://a.example/b?c#d"), fine("https", "a.example", Some(443), "/b?c"));
        assert_eq!(all("HTTP://a.example:81?c"), fine("http", "a.example:81", Some(81), "/?c"));
        assert_eq!(all("http://[::1]:81/"), fine("http", "[::1]:81", Some(81), "/"));
        assert_eq!(all("https://u:p@[::1]"), fine("https", "[::1]", Some(443), "/"));
        assert_eq!(all("/up"), fine("http", "", None, "/up"));
        for (url, words) in [
            ("ftp://a/", "not spoken"),
            ("a.example/x", "https://a.example/x"),
            ("https:///x", "no host"),
            ("https://a:x/", "no port"),
            ("https://a:99999/", "no port"),
            ("https://a/ä", "percent-encoded"),
        ] {
            let error = all(url).expect_err(url);
            assert!(error.contains(words), "{url}: {error}");
        }
    }
}
