//! A run of wrk, and what it says.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::program::Launch;

/// A load to put on a proxy.
pub(crate) struct Wrk {
    address: SocketAddr,
    scheme: &'static str,
    path: String,
    connections: usize,
    seconds: u64,
    headers: Vec<String>,
    script: Option<PathBuf>,
    core: Option<usize>,
}

/// What one run measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Answers received.
    pub(crate) requests: u64,
    /// Answers per second.
    pub(crate) rate: f64,
    /// Median time of a request.
    pub(crate) p50: Duration,
    /// 99th percentile.
    pub(crate) p99: Duration,
    /// Socket errors, time-outs, and answers other than 2xx and 3xx.
    pub(crate) failed: u64,
}

impl Wrk {
    /// `connections` clients, each asking for `/` again as soon as it is answered, for `seconds`.
    pub(crate) fn new(address: SocketAddr, connections: usize, seconds: u64) -> Self {
        Self {
            address,
            scheme: "http",
            path: "/".to_owned(),
            connections,
            seconds,
            headers: Vec::new(),
            script: None,
            core: None,
        }
    }

    /// Asks through TLS.
    pub(crate) fn tls(mut self) -> Self {
        self.scheme = "https";
        self
    }

    /// Asks for this path.
    pub(crate) fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Sends this header field, `Name: value`.
    pub(crate) fn header(mut self, header: &str) -> Self {
        self.headers.push(header.to_owned());
        self
    }

    /// Has this Lua script say what is asked for.
    pub(crate) fn script(mut self, script: &Path) -> Self {
        self.script = Some(script.to_owned());
        self
    }

    /// Runs wrk on this core only.
    pub(crate) fn core(mut self, core: Option<usize>) -> Self {
        self.core = core;
        self
    }

    /// Runs it to the end.
    pub(crate) fn run(self) -> Result<Run> {
        let headers = self.headers.iter().flat_map(|header| ["-H".to_owned(), header.clone()]);
        let script = self.script.iter().flat_map(|script| ["-s".into(), script.clone().into_os_string()]);
        let output = Launch::new("wrk", Path::new("/"))
            .args(["-t1", "--latency", "--timeout", "30s"])
            .args([format!("-c{}", self.connections), format!("-d{}s", self.seconds)])
            .args(headers)
            .args(script)
            .args([format!("{}://{}{}", self.scheme, self.address, self.path)])
            .core(self.core)
            .command()?
            .output()
            .context("cannot run wrk")?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
        }
        parse(&text).with_context(|| format!("cannot read what wrk says:\n{text}"))
    }
}

fn parse(text: &str) -> Option<Run> {
    let lines = || text.lines().map(str::trim);
    let number_after = |prefix: &str| lines().find_map(|line| Some(line.strip_prefix(prefix)?.trim()));
    let requests = lines().find_map(|line| line.split_once(" requests in ")?.0.parse().ok())?;
    let socket_errors: u64 = number_after("Socket errors:")
        .map_or(0, |rest| rest.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok()).sum());
    let refused: u64 = match number_after("Non-2xx or 3xx responses:") {
        Some(count) => count.parse().ok()?,
        None => 0,
    };
    Some(Run {
        requests,
        rate: number_after("Requests/sec:")?.parse().ok()?,
        p50: time(number_after("50%")?)?,
        p99: time(number_after("99%")?)?,
        failed: socket_errors + refused,
    })
}

/// `850.00us`, `1.23ms`, `1.20s`, `1.50m`.
fn time(text: &str) -> Option<Duration> {
    let unit = text.find(|byte: char| byte.is_ascii_alphabetic())?;
    let value: f64 = text[..unit].parse().ok()?;
    let seconds = match &text[unit..] {
        "us" => value / 1e6,
        "ms" => value / 1e3,
        "s" => value,
        "m" => value * 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}
