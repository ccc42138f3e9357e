//! `[dns]`

use std::net::SocketAddr;

use toml::de::DeValue;

use crate::document::{Reader, Section};
use crate::model::Dns;
use crate::problem::Problem;
use crate::value;

pub(crate) fn read(reader: &Reader, section: Section<'_>) -> Dns {
    let default = Dns::default();
    let least_ttl = section.read("least_ttl", value::duration);
    let most_ttl = section.read("most_ttl", value::duration);
    let dns = Dns {
        servers: section.list("servers", "192.0.2.53", server),
        timeout: section.or("timeout", default.timeout, value::duration),
        least_ttl: least_ttl.as_ref().map_or(default.least_ttl, |found| found.value),
        most_ttl: most_ttl.as_ref().map_or(default.most_ttl, |found| found.value),
    };
    if dns.least_ttl > dns.most_ttl
        && let Some(found) = most_ttl.or(least_ttl)
    {
        let problem = Problem::new("`least_ttl` is longer than `most_ttl`");
        reader.report(
            found.span,
            problem.instead("write a `most_ttl` that is at least as long as `least_ttl`"),
        );
    }
    section.finish();
    dns
}

/// An IP address, with or without a port; 53 is the usual one.
fn server(value: &DeValue<'_>) -> Result<SocketAddr, Problem> {
    let text = value::text(value, "192.0.2.53")?;
    let found = text.parse().ok().or_else(|| Some(SocketAddr::new(text.parse().ok()?, 53)));
    found.filter(|server| server.port() != 0).ok_or_else(|| {
        Problem::new(format!("{text:?} is not the address of a server that answers questions"))
            .instead("write its IP address, such as \"192.0.2.53\" or \"127.0.0.1:5353\"")
    })
}
