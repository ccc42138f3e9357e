//! A proxy under measurement: how each is configured, started and reached.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::certificate::Certificate;
use crate::client;
use crate::nginx;
use crate::program::{Launch, Program};

/// Name of the access log in the directory of a proxy.
const ACCESS_LOG: &str = "access.log";

/// A proxy, with the variation of its configuration that a suite compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// nginx; `keepalive` idle connections to the application, `None` for one connection per request (its default).
    Nginx {
        /// Most idle connections to the application.
        keepalive: Option<u16>,
    },
    /// HAProxy, `http-reuse always`.
    HaProxy,
    /// Caddy; `retry` sets `lb_try_duration 30s`.
    Caddy {
        /// Whether it tries again while the application is away.
        retry: bool,
    },
    /// `bare_hyper.rs`.
    BareHyper,
    /// The product.
    Vestibule,
}

/// What a suite asks of every proxy alike.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup<'a> {
    /// Socket of the application.
    pub(crate) upstream: &'a Path,
    /// Workers or threads; `None` leaves the peer its own default.
    pub(crate) workers: Option<usize>,
    /// Core to pin it to.
    pub(crate) core: Option<usize>,
    /// Whether it writes an access log to a file, one line per request as it comes.
    pub(crate) access_log: bool,
    /// `reuse_port` of Vestibule's listener; `None` leaves the default.
    pub(crate) reuse_port: Option<bool>,
    /// Whether nginx and Vestibule keep bodies while a client is slow, as both do by default. The others cannot.
    pub(crate) buffered: bool,
    /// What to serve TLS 1.3 with, and HTTP/2 to who asks for it; `None` for plain HTTP/1.
    pub(crate) certificate: Option<&'a Certificate>,
}

impl<'a> Setup<'a> {
    /// Everything left to the peer, in front of `upstream`.
    pub(crate) fn plain(upstream: &'a Path) -> Self {
        Self {
            upstream,
            workers: None,
            core: None,
            access_log: false,
            reuse_port: None,
            buffered: true,
            certificate: None,
        }
    }
}

/// A running proxy.
pub(crate) struct Proxy {
    program: Program,
    address: SocketAddr,
    directory: TempDir,
}

impl Peer {
    /// The name that `--peer` takes.
    pub(crate) fn family(self) -> &'static str {
        match self {
            Self::Nginx { .. } => "nginx",
            Self::HaProxy => "haproxy",
            Self::Caddy { .. } => "caddy",
            Self::BareHyper => "hyper",
            Self::Vestibule => "vestibule",
        }
    }

    /// The name in tables.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Nginx { keepalive: None } => "nginx".to_owned(),
            Self::Nginx { keepalive: Some(count) } => format!("nginx, `keepalive {count}`"),
            Self::HaProxy => "HAProxy".to_owned(),
            Self::Caddy { retry: false } => "Caddy".to_owned(),
            Self::Caddy { retry: true } => "Caddy, `lb_try_duration 30s`".to_owned(),
            Self::BareHyper => "bare hyper".to_owned(),
            Self::Vestibule => "**Vestibule**".to_owned(),
        }
    }

    /// The program to be installed, if it is not part of this build.
    pub(crate) fn program(self) -> Option<&'static str> {
        match self {
            Self::Nginx { .. } | Self::HaProxy | Self::Caddy { .. } => Some(self.family()),
            Self::BareHyper | Self::Vestibule => None,
        }
    }

    /// Starts it and waits until it forwards: `/` of the application must answer 200.
    pub(crate) fn start(self, setup: Setup<'_>) -> Result<Proxy> {
        let directory = tempfile::tempdir()?;
        let address = client::free_address()?;
        let launch = match self {
            Self::Nginx { keepalive } => nginx(directory.path(), address, setup, keepalive)?,
            Self::HaProxy => haproxy(directory.path(), address, setup)?,
            Self::Caddy { retry } => caddy(directory.path(), address, setup, retry)?,
            Self::BareHyper => bare_hyper(directory.path(), address, setup)?,
            Self::Vestibule => vestibule(directory.path(), address, setup)?,
        };
        let mut program = launch.core(setup.core).start()?;
        let answers = if setup.certificate.is_some() { client::answers_tls } else { client::answers };
        program.wait_until(Duration::from_secs(15), || answers(address))?;
        Ok(Proxy { program, address, directory })
    }
}

impl Proxy {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many lines its access log has.
    pub(crate) fn log_lines(&self) -> Result<u64> {
        let file = File::open(self.directory.path().join(ACCESS_LOG)).context("there is no access log")?;
        let mut lines = 0;
        for line in BufReader::new(file).split(b'\n') {
            line?;
            lines += 1;
        }
        Ok(lines)
    }

    /// The program that runs.
    pub(crate) fn program(&self) -> &Program {
        &self.program
    }
}

fn nginx(directory: &Path, address: SocketAddr, setup: Setup<'_>, keepalive: Option<u16>) -> Result<Launch> {
    let pool = keepalive
        .map_or_else(String::new, |count| format!("keepalive {count}; keepalive_requests 1000000000;"));
    let reuse =
        if keepalive.is_some() { "proxy_http_version 1.1; proxy_set_header Connection \"\";" } else { "" };
    // In the server block: `access_log off` of the block around it would win over one beside it.
    let log = if setup.access_log {
        format!("access_log {}/{ACCESS_LOG} combined;", directory.display())
    } else {
        String::new()
    };
    let buffering = if setup.buffered { "" } else { "proxy_buffering off; proxy_request_buffering off;" };
    let (how, tls) = setup.certificate.map_or_else(Default::default, |pair| {
        let (certificate, key) = (pair.certificate(), pair.key());
        let (certificate, key) = (certificate.display(), key.display());
        let files = format!("ssl_certificate {certificate}; ssl_certificate_key {key};");
        ("ssl http2", format!("{files} ssl_protocols TLSv1.3;"))
    });
    // 1 MB by default: whoever takes uploads has raised it.
    let http = format!(
        "upstream app {{ server unix:{}; {pool} }}
server {{
    listen {address} {how} backlog=4096;
    {tls}
    {log}
    client_max_body_size 1g;
    {buffering}
    location / {{ proxy_pass http://app; proxy_set_header Host $host; {reuse} }}
}}",
        setup.upstream.display()
    );
    let arguments = nginx::prepare(directory, setup.workers, &http)?;
    Ok(Launch::new("nginx", directory).args(arguments))
}

fn haproxy(directory: &Path, address: SocketAddr, setup: Setup<'_>) -> Result<Launch> {
    let threads = setup.workers.map_or_else(String::new, |count| format!("nbthread {count}"));
    let tls = setup.certificate.map_or_else(String::new, |pair| {
        format!("ssl crt {} alpn h2,http/1.1 ssl-min-ver TLSv1.3", pair.both().display())
    });
    // It counts two descriptors a connection and would refuse to start where the limit is 20,000.
    let text = format!(
        "global
    {threads}
    maxconn 16000
    no strict-limits
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 75s
frontend public
    bind {address} backlog 4096 {tls}
    default_backend app
backend app
    http-reuse always
    server app unix@{}
",
        setup.upstream.display()
    );
    let file = write(directory, "haproxy.cfg", &text)?;
    Ok(Launch::new("haproxy", directory).args(["-db", "-f"]).args([file]))
}

fn caddy(directory: &Path, address: SocketAddr, setup: Setup<'_>, retry: bool) -> Result<Launch> {
    let retry = if retry { "lb_try_duration 30s" } else { "" };
    // Its 32 idle connections to the application are too few for the hundreds of streams of the suite with TLS.
    let (tls, pool) = setup.certificate.map_or_else(Default::default, |pair| {
        let (certificate, key) = (pair.certificate(), pair.key());
        let files = format!("{} {}", certificate.display(), key.display());
        let pool = "transport http {\n keepalive_idle_conns_per_host 512\n }";
        (format!("tls {files} {{\n protocols tls1.3\n }}"), pool)
    });
    let text = format!(
        "{{
    admin off
    auto_https off
    servers {{
        protocols h1 h2
    }}
}}
:{port} {{
    bind {host}
    {tls}
    reverse_proxy unix/{socket} {{
        {retry}
        {pool}
    }}
}}
",
        port = address.port(),
        host = address.ip(),
        socket = setup.upstream.display()
    );
    let file = write(directory, "Caddyfile", &text)?;
    let launch = Launch::new("caddy", directory)
        .args(["run", "--adapter", "caddyfile", "--config"])
        .args([file])
        .env("HOME", directory)
        .env("XDG_DATA_HOME", directory)
        .env("XDG_CONFIG_HOME", directory);
    Ok(match setup.workers {
        Some(count) => launch.env("GOMAXPROCS", count.to_string()),
        None => launch,
    })
}

fn bare_hyper(directory: &Path, address: SocketAddr, setup: Setup<'_>) -> Result<Launch> {
    let executable = std::env::current_exe().context("cannot find the bench's own executable")?;
    let launch = Launch::new(&executable.to_string_lossy(), directory);
    Ok(launch.args(["bare-hyper".to_owned(), address.to_string()]).args([setup.upstream]))
}

fn vestibule(directory: &Path, address: SocketAddr, setup: Setup<'_>) -> Result<Launch> {
    let workers = setup.workers.map_or_else(String::new, |count| format!("workers = {count}"));
    let reuse_port = setup.reuse_port.map_or_else(String::new, |value| format!("reuse_port = {value}"));
    let log = if setup.access_log {
        format!("access = \"combined\"\noutput = \"{}/{ACCESS_LOG}\"", directory.display())
    } else {
        "access = \"off\"".to_owned()
    };
    let tls = setup.certificate.map_or_else(String::new, |pair| {
        let (certificate, key) = (pair.certificate(), pair.key());
        let (certificate, key) = (certificate.display(), key.display());
        format!("tls = {{ certificate = \"{certificate}\", key = \"{key}\", minimum = \"1.3\" }}")
    });
    let buffer = if setup.buffered { "" } else { "[buffer]\nrequest = false\nresponse = false\n" };
    let text = format!(
        "{workers}

[[listen]]
address = \"{address}\"
{reuse_port}
{tls}

[upstream.app]
address = \"unix:{}\"

# All of the load comes from one address.
[limits]
connections_per_address = 16384
# As in the others here: a load as long as this would measure new connections.
requests_per_connection = 1000000000

{buffer}
# Where nginx has its own in this bench: the same disk.
[disk]
directory = \"{}\"

[log]
{log}
",
        setup.upstream.display(),
        directory.display()
    );
    let file = write(directory, "vestibule.toml", &text)?;
    let control = directory.join("control.sock");
    let launch = Launch::new(env!("CARGO_BIN_EXE_vestibule"), directory);
    Ok(launch.args(["serve", "--config"]).args([file]).env("VESTIBULE_CONTROL", control))
}

fn write(directory: &Path, name: &str, text: &str) -> Result<std::path::PathBuf> {
    let file = directory.join(name);
    std::fs::write(&file, text).with_context(|| format!("cannot write {name}"))?;
    Ok(file)
}
