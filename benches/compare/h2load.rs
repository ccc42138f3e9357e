//! A run of h2load, and what it says.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::program::Launch;

/// A load of HTTP/2 over TLS: a fixed number of requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct H2load {
    /// Where to.
    pub(crate) address: SocketAddr,
    /// Connections.
    pub(crate) connections: usize,
    /// Requests under way at once on each of them.
    pub(crate) streams: usize,
    /// Requests in all.
    pub(crate) requests: u64,
    /// Core to run on.
    pub(crate) core: Option<usize>,
}

impl H2load {
    /// Runs it to the end and gives the requests per second.
    ///
    /// Errors unless every request was answered with 2xx, on the connections of the beginning: h2load makes no
    /// others, and counts what it could not ask as failed.
    pub(crate) fn run(self) -> Result<f64> {
        let output = Launch::new("h2load", Path::new("/"))
            .args(["-t1".to_owned(), format!("-c{}", self.connections), format!("-m{}", self.streams)])
            .args([format!("-n{}", self.requests), format!("https://{}/", self.address)])
            .core(self.core)
            .command()?
            .output()
            .context("cannot run h2load")?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("h2load failed: {text}{}", String::from_utf8_lossy(&output.stderr));
        }
        let (rate, answered) =
            parse(&text).with_context(|| format!("cannot read what h2load says:\n{text}"))?;
        if answered != self.requests {
            bail!("{answered} of {} requests were answered with 2xx:\n{text}", self.requests);
        }
        if !text.contains("Application protocol: h2") || !text.contains("TLS Protocol: TLSv1.3") {
            bail!("this was not HTTP/2 over TLS 1.3:\n{text}");
        }
        Ok(rate)
    }
}

/// Requests per second, and how many had a status of 2xx.
fn parse(text: &str) -> Option<(f64, u64)> {
    let line_after = |prefix: &str| text.lines().find_map(|line| line.strip_prefix(prefix));
    let rate = line_after("finished in ")?.split(", ").nth(1)?.strip_suffix(" req/s")?.parse().ok()?;
    let answered = line_after("status codes: ")?.split_once(" 2xx")?.0.trim().parse().ok()?;
    Some((rate, answered))
}
