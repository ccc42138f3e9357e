//! Addresses: where to accept, and where to connect.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use toml::de::DeValue;

use crate::model::{ListenAddress, UpstreamAddress};
use crate::problem::Problem;
use crate::value;

mod name;

/// Longest path that fits `sockaddr_un` with the zero byte that ends it.
pub(crate) const LONGEST_PATH: usize = 107;

/// The two forms that both sides share.
enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// An address to accept on. Port 0 lets the kernel choose.
pub(crate) fn listen(value: &DeValue<'_>) -> Result<ListenAddress, Problem> {
    Ok(match address(value, "127.0.0.1:8080")? {
        Address::Unix(path) => ListenAddress::Unix(path),
        Address::Tcp(address) => ListenAddress::Tcp(address),
    })
}

impl FromStr for ListenAddress {
    type Err = Problem;

    /// Reads an address as `address` of `[[listen]]` is written.
    fn from_str(text: &str) -> Result<Self, Problem> {
        listen(&DeValue::String(text.into()))
    }
}

/// An address to connect to.
pub(crate) fn upstream(value: &DeValue<'_>) -> Result<UpstreamAddress, Problem> {
    let example = "unix:/tmp/web_server.sock";
    if let Some(found) = value.as_str().and_then(name::read) {
        return found;
    }
    match address(value, example)? {
        Address::Unix(path) => Ok(UpstreamAddress::Unix(path)),
        Address::Tcp(address) if address.port() == 0 => {
            Err(Problem::new("nothing can be reached on port 0").instead("write a port from 1 to 65535"))
        }
        Address::Tcp(address) if address.ip().is_unspecified() => {
            let local = if address.is_ipv4() { "127.0.0.1" } else { "[::1]" };
            Err(Problem::new(format!("{} is an address to accept on, not to connect to", address.ip()))
                .instead(format!("write \"{local}:{}\"", address.port())))
        }
        Address::Tcp(address) => Ok(UpstreamAddress::Tcp(address)),
    }
}

fn address(value: &DeValue<'_>, example: &str) -> Result<Address, Problem> {
    if let DeValue::Array(_) = value {
        return Err(Problem::new("this is one address, not a list").instead(format!(
            "write one, such as \"{example}\"; an upstream may have several in `addresses`"
        )));
    }
    let text = value::text(value, example)?;
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path).map(Address::Unix);
    }
    if text.starts_with("systemd:") {
        return Err(Problem::new("sockets from systemd are not supported yet")
            .instead("write the address itself: \"0.0.0.0:80\" or \"unix:/path\""));
    }
    if text.starts_with('/') {
        return Err(Problem::new(format!("{text:?} is a path, not an address"))
            .instead(format!("write \"unix:{text}\"")));
    }
    tcp(text, example).map(Address::Tcp)
}

/// The path of `unix:/path`. `unix:///path`, as Puma writes it, is the same.
fn unix(path: &str) -> Result<PathBuf, Problem> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err(Problem::new(format!("the socket path {path:?} is not absolute"))
            .instead("write it from the root: \"unix:/tmp/web_server.sock\""));
    };
    let path = format!("/{}", rest.trim_start_matches('/'));
    if path.ends_with('/') {
        return Err(Problem::new("the address names a directory, not a socket")
            .instead(format!("write the socket's file too, such as \"unix:{path}web_server.sock\"")));
    }
    if path.contains('\0') {
        return Err(Problem::new("a socket path cannot have a NUL byte in it")
            .instead("write a path such as \"unix:/tmp/web_server.sock\""));
    }
    if path.len() > LONGEST_PATH {
        return Err(Problem::new(format!(
            "the socket path has {} bytes, more than a socket can have",
            path.len()
        ))
        .instead(format!("choose one of at most {LONGEST_PATH} bytes")));
    }
    Ok(PathBuf::from(path))
}

fn tcp(text: &str, example: &str) -> Result<SocketAddr, Problem> {
    let wrong = |why: String, instead: String| Err(Problem::new(why).instead(instead));
    if let Some((address, words)) = text.split_once(' ') {
        // As `listen 443 ssl http2` of Nginx.
        let colon = if address.contains(':') { "" } else { "0.0.0.0:" };
        let more = match words {
            words if words.contains("ssl") => ", and below it tls = { certificate = \"…\", key = \"…\" }",
            words if words.contains("proxy_protocol") => ", and below it proxy_protocol = true",
            words if words.contains("http2") => ", and below it http2 = true",
            _ => "",
        };
        return wrong(
            format!("{text:?} has more in it than an address"),
            format!("write address = \"{colon}{address}\"{more}"),
        );
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let host = rest.trim_end_matches('/').trim_end_matches(':');
        return wrong(format!("{text:?} is a URL ({scheme}), not an address"), format!("write \"{host}\""));
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return wrong(format!("{text:?} is a port without a host"), format!("write \"127.0.0.1:{text}\""));
    }
    if text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) {
        return wrong(format!("{text:?} has no port"), format!("write \"[{text}]:8080\""));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return wrong(
            format!("{text:?} is not an address"),
            format!("write host:port or unix:/path, such as \"{example}\""),
        );
    };
    let Some(port) = port_number(port) else {
        return wrong(
            format!("{port:?} is not a port"),
            format!("write a port from 1 to 65535: \"{host}:8080\""),
        );
    };
    let ip = match host {
        "" | "*" => {
            return wrong(
                format!("{text:?} has no host"),
                format!("write \"0.0.0.0:{port}\" for every address of this machine"),
            );
        }
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inside) => inside.parse().ok().filter(IpAddr::is_ipv6),
            None => host.parse().ok().filter(IpAddr::is_ipv4),
        }
        .ok_or_else(|| {
            let problem = Problem::new(format!("{host:?} is not an IP address, and names are not looked up"));
            let meant =
                if host.contains(':') { format!("[{host}]:{port}") } else { format!("127.0.0.1:{port}") };
            problem.instead(format!("write the IP address, such as \"{meant}\""))
        })?,
    };
    Ok(SocketAddr::new(ip, port))
}

/// A port written in digits only: Rust's own reader would take `+80`.
pub(crate) fn port_number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
