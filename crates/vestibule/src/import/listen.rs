//! `listen` and `server_name`.

use std::net::IpAddr;

use super::note::Notes;
use super::scope::Scope;

/// One address that a server is reached at.
#[derive(Debug, Clone)]
pub(super) struct Listen {
    /// As `address` of `[[listen]]` has it.
    pub(super) address: String,
    pub(super) is_tls: bool,
    pub(super) is_default: bool,
    pub(super) proxy_protocol: bool,
    pub(super) http2: bool,
    pub(super) backlog: Option<u32>,
}

/// All addresses of a server.
pub(super) fn listens(scope: &Scope<'_>, notes: &mut Notes) -> Vec<Listen> {
    let written = scope.own("listen");
    // `ssl on;` is how it was written long ago.
    let all_tls = scope.is_on("ssl");
    if written.is_empty() {
        return vec![Listen {
            address: "0.0.0.0:80".to_owned(),
            is_tls: all_tls,
            is_default: false,
            proxy_protocol: false,
            http2: false,
            backlog: None,
        }];
    }
    let http2 = scope.is_on("http2");
    let mut listens: Vec<Listen> = Vec::new();
    for directive in written {
        let address = match address(directive.argument(0)) {
            Ok(address) => address,
            Err(why) => {
                notes.missing(directive, why);
                continue;
            }
        };
        if directive.says("quic") {
            notes.missing(directive, "HTTP/3 is not offered; clients that would use it use HTTP/2");
            continue;
        }
        let option = |name: &str| directive.arguments.iter().find_map(|word| word.strip_prefix(name));
        let listen = Listen {
            address,
            is_tls: all_tls || directive.says("ssl"),
            is_default: directive.says("default_server") || directive.says("default"),
            proxy_protocol: directive.says("proxy_protocol"),
            http2: http2 || directive.says("http2"),
            backlog: option("backlog=").and_then(|number| number.parse().ok()),
        };
        // `[::]:80 ipv6only=off` takes IPv4 too.
        if directive.says("ipv6only=off")
            && let Some(port) = listen.address.strip_prefix("[::]:")
        {
            let address = format!("0.0.0.0:{port}");
            if !listens.iter().any(|known| known.address == address) {
                listens.push(Listen { address, ..listen.clone() });
            }
        }
        listens.push(listen);
    }
    listens
}

/// `80`, `*:80`, `127.0.0.1`, `127.0.0.1:80`, `[::]:80`, `localhost:80`, `unix:/path`
fn address(text: &str) -> Result<String, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(format!("unix:{path}"));
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(format!("0.0.0.0:{text}"));
    }
    if text.starts_with('[') {
        let port = if text.ends_with(']') { ":80" } else { "" };
        return Ok(format!("{text}{port}"));
    }
    let (host, port) = text.split_once(':').unwrap_or((text, "80"));
    match host {
        "*" | "" => Ok(format!("0.0.0.0:{port}")),
        "localhost" => Ok(format!("127.0.0.1:{port}")),
        host if host.parse::<IpAddr>().is_ok() => Ok(format!("{host}:{port}")),
        host => Err(format!("{host} is a name; write the address that it stands for")),
    }
}

/// The port of an address.
pub(super) fn port(address: &str) -> Option<u16> {
    address.rsplit_once(':').and_then(|(_, port)| port.parse().ok())
}

/// The hosts of a server as routes name them, in their order.
pub(super) fn names(scope: &Scope<'_>, notes: &mut Notes) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: String| {
        if !names.contains(&name) {
            names.push(name);
        }
    };
    for directive in scope.own("server_name") {
        for name in directive.arguments.iter().map(|name| name.to_ascii_lowercase()) {
            if name.starts_with('~') {
                notes.missing(
                    directive,
                    format!("{name} is a regular expression, and the host of a route is none: write \"*.example.com\", or each name"),
                );
            } else if name.ends_with(".*") {
                notes.missing(
                    directive,
                    format!("{name} has its star at the end: write each name as the host of the routes"),
                );
            } else if name.is_empty() || name == "_" || name == "-" {
                // What nobody asks for; such a server is meant to be the default one.
            } else if let Some(name) = name.strip_prefix('.') {
                add(name.to_owned());
                add(format!("*.{name}"));
            } else if name == "$hostname" || name.contains('$') {
                notes.missing(directive, "write the name itself as the host of the routes");
            } else {
                add(name);
            }
        }
    }
    names
}

/// Whether a directive says nothing in a server that only sends to https.
pub(super) fn is_of_no_use(name: &str) -> bool {
    !matches!(name, "server" | "map" | "geo") && !name.contains("lua")
}
