//! What the configuration means, checked and compiled: everything after this file can trust it.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::places::Places;
use crate::process::{Control, Process};
use crate::routes::Routes;
use crate::tls::{Redirect, Tls};

mod files;
mod route;
mod template;

pub use files::{Files, Links};
pub use route::{
    Access, Auth, Coding, Compress, Cors, FieldChanges, Fixed, Rate, RateKey, Redirection, Route,
    RouteTimeouts, Sendfile, Split, Step, Sticky,
};
pub use template::{Part, Template};

/// A whole configuration. An empty file gives [`Config::default`].
#[derive(Debug, Clone)]
pub struct Config {
    /// Worker threads; default one per core.
    pub workers: NonZeroUsize,
    /// Addresses accepted on; never empty. Default: one, `127.0.0.1:8080`.
    pub listeners: Vec<Listener>,
    /// The named applications; an [`UpstreamId`] indexes this list. Never empty.
    pub upstreams: Vec<Upstream>,
    /// What finds the route of a request.
    pub routes: Routes,
    /// What each route says; a [`RouteId`] indexes this list.
    pub route_settings: Vec<Route>,
    /// Peers whose `X-Forwarded-*` and `X-Request-Id` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Bounds on what one client may use.
    pub limits: Limits,
    /// How bodies are kept while their sender or receiver takes its time, on routes that say nothing else.
    pub buffer: Buffer,
    /// Where bodies go that memory does not take.
    pub disk: Disk,
    /// How the names of members are looked up.
    pub dns: Dns,
    /// What is added to the fields of a request, and what may pass.
    pub fields: Fields,
    /// The operator's own pages for the statuses that we answer with ourselves: at most one of a kind for each. Read by
    /// [`load`](crate::load); [`parse`](crate::parse) leaves this empty.
    pub error_pages: Vec<ErrorPage>,
    /// What is logged, and where.
    pub log: Log,
    /// The applications that are kept. Without any written, one for each upstream that has a PID file: adopted, and left alone until
    /// a command says otherwise.
    pub processes: Vec<Process>,
    /// How Vestibule is told what to do.
    pub control: Control,
    /// When the configuration is read anew.
    pub reload: Reload,
    /// Where addresses and paths are written, so that what goes wrong with them later names its line too.
    pub places: Places,
}

/// Index of an upstream in [`Config::upstreams`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(pub usize);

/// Index of a route in [`Config::route_settings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub usize);

impl Config {
    /// What a route found in [`Config::routes`] says; `None` for one that is not of this configuration.
    #[must_use]
    pub fn route(&self, id: RouteId) -> Option<&Route> {
        self.route_settings.get(id.0)
    }
}

/// One `[[listen]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub address: ListenAddress,
    /// `SO_REUSEPORT`: one accept queue per worker, instead of one shared by all. Default true for TCP; a Unix socket
    /// has one queue.
    pub reuse_port: bool,
    /// Length of the accept queue asked of the kernel. Default 4096.
    pub backlog: u32,
    /// Whether each connection begins with a PROXY protocol header, from a trusted peer. Default false.
    pub proxy_protocol: bool,
    /// Whether and how it speaks TLS. Default not.
    pub tls: Option<Tls>,
    /// Whether it speaks HTTP/2 beside HTTP/1: over TLS as ALPN says, else to clients that begin with it (prior knowledge,
    /// RFC 9113 3.3). Default true with `tls`, false without.
    pub http2: bool,
    /// Whether every request is sent to https instead. Default not.
    pub redirect: Option<Redirect>,
}

/// An address to accept on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// `host:port`
    Tcp(SocketAddr),
    /// `unix:/path`
    Unix(PathBuf),
}

/// One `[upstream.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// The NAME.
    pub name: String,
    /// The servers that run the application; never empty.
    pub members: Vec<Member>,
    /// How requests are spread over several members.
    pub balance: Balance,
    /// Where the application writes its PID. Default `/tmp/web_server.pid` for the default address.
    pub pid_file: Option<PathBuf>,
    /// Which Rack server it is.
    pub server: Server,
    /// Most requests in flight at once; `None` finds it (`in_flight = "auto"`, the default).
    pub in_flight: Option<u32>,
    /// Bounds of the hold.
    pub hold: Hold,
    /// The probe; `None` when no `health.path` is given.
    pub health: Option<Health>,
    /// How long requests in flight may take to finish when we stop. `drain.timeout`, default 30 s.
    pub drain_timeout: Duration,
    /// Time limits of one attempt.
    pub timeout: Timeouts,
    /// While this file exists, requests are answered 503 with its content. Default none.
    pub maintenance: Option<PathBuf>,
}

impl Upstream {
    /// Where its first member listens: the only one, as a rule.
    #[must_use]
    pub fn address(&self) -> &UpstreamAddress {
        const NOWHERE: &UpstreamAddress = &UpstreamAddress::Unix(PathBuf::new());
        self.members.first().map_or(NOWHERE, |member| &member.address)
    }

    /// Its only address, if it has one that never means several servers.
    #[must_use]
    pub fn only_address(&self) -> Option<&UpstreamAddress> {
        match self.members.as_slice() {
            [Member { address: address @ (UpstreamAddress::Unix(_) | UpstreamAddress::Tcp(_)), .. }] => {
                Some(address)
            }
            _ => None,
        }
    }
}

/// One of the servers behind an upstream, or several by one name: `"10.0.0.2:3000"`, or `{ address = "10.0.0.2:3000", weight = 3 }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Where it listens.
    pub address: UpstreamAddress,
    /// How much it gets beside the others. 1 to 1000, default 1.
    pub weight: u32,
    /// Whether it gets requests only while all others are away, ill or stopped. Default false.
    pub backup: bool,
    /// How long it is given fewer requests after it came back. Default the upstream's, which is 0.
    pub slow_start: Duration,
}

impl Member {
    /// The server at this address, with everything else as by default.
    #[must_use]
    pub fn at(address: UpstreamAddress) -> Self {
        Self { address, weight: 1, backup: false, slow_start: Duration::ZERO }
    }
}

/// How requests are spread over the members of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    /// `"least"`: of two drawn at random by weight, to the one with less in flight for its weight. The default.
    Least,
    /// `"random"`: drawn at random by weight.
    Random,
    /// `"hash:client"`: the same client to the same member, by its address.
    Client,
    /// `"hash:path"`: the same path, without the query, to the same member.
    Path,
    /// `"hash:field:NAME"`: the same value of this field, its name in lower case.
    Field(String),
    /// `"hash:cookie:NAME"`: the same value of this cookie.
    Cookie(String),
}

/// An address to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UpstreamAddress {
    /// `unix:/path`
    Unix(PathBuf),
    /// `host:port` with an IP address
    Tcp(SocketAddr),
    /// `name:port`: each address that the DNS has for the name (A, AAAA) is a member.
    Name(String, u16),
    /// `srv:_http._tcp.app.internal`: each server that the DNS has for the service (SRV, RFC 2782) is a member.
    Srv(String),
}

impl std::fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => address.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
            Self::Srv(name) => write!(f, "srv:{name}"),
        }
    }
}

/// `[dns]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// Who is asked; empty asks whom the system asks (`/etc/resolv.conf`). Default empty.
    pub servers: Vec<SocketAddr>,
    /// Longest that one question may take. Default 5 s.
    pub timeout: Duration,
    /// Shortest time between two questions for a name, whatever its TTL says. Default 1 s.
    pub least_ttl: Duration,
    /// Longest time between two questions for a name, whatever its TTL says. Default 5 min.
    pub most_ttl: Duration,
}

/// A Rack server that we know how to treat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Server {
    /// Recognise it by the process behind the socket.
    Auto,
    /// Puma, single or cluster.
    Puma,
    /// Unicorn.
    Unicorn,
    /// Thin.
    Thin,
    /// Passenger.
    Passenger,
}

/// `hold = { timeout = "30s", requests = 10000, memory = "64 MiB" }`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// Longest a request waits for its upstream. Default 30 s.
    pub timeout: Duration,
    /// Most requests waiting at once. Default 10000, which is 50 s of 200 requests per second and was measured to take 46 MiB. 0 refuses
    /// what cannot be sent at once.
    pub requests: u32,
    /// Most bytes that the waiting requests keep in memory. Default 64 MiB.
    pub memory: u64,
}

/// `health = { path = "/up", interval = "1s", timeout = "5s", rise = 1, fall = 3, host = "…", proto = "https" }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Path of the probe; `path` is required in `health`.
    pub path: String,
    /// Time between two probes. Default 1 s.
    pub interval: Duration,
    /// Longest a probe may take. Default 5 s.
    pub timeout: Duration,
    /// Good probes in a row that make it healthy. Default 1.
    pub rise: u32,
    /// Bad probes in a row that make it unhealthy. Default 3.
    pub fall: u32,
    /// `Host` of the probe. Default `localhost`.
    pub host: String,
    /// `X-Forwarded-Proto` of the probe: `http` or `https`. Default `https`, so that Rails' force_ssl does not redirect it.
    pub proto: String,
}

/// `timeout = { connect = "5s", response = "60s", idle = "300s", tunnel = "1h" }`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Longest a TCP connect may take. Default 5 s.
    pub connect: Duration,
    /// Longest from the request sent to the first byte of the answer. Default 60 s.
    pub response: Duration,
    /// Longest silence inside an answer. Default 300 s.
    pub idle: Duration,
    /// Longest silence, both ways, inside a tunnel (a WebSocket). Default 1 h.
    pub tunnel: Duration,
}

/// `[limits]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a request's head. Default 64 KiB.
    pub head: u32,
    /// Most fields of a request's head. Default 100.
    pub fields: u32,
    /// Most bytes of a request's body. Default 1 GiB.
    pub body: u64,
    /// Longest a client may take to send a head, or be silent inside a body. Default 30 s.
    pub request_timeout: Duration,
    /// Longest that a client may be idle between two requests. Default 75 s.
    pub idle_timeout: Duration,
    /// Longest that a client may take nothing of its answer. Default 60 s.
    pub send_timeout: Duration,
    /// Least bytes per second of a body that a client sends, after `request_timeout`; 0 for none. Default 500.
    pub receive_rate: u64,
    /// Least bytes per second that a client takes of an answer, over each `send_timeout`; 0 for none. Default 500.
    pub send_rate: u64,
    /// Most client connections in all. Default 16384; what comes above it is answered 503.
    pub connections: u32,
    /// Most connections of one address that is not a trusted proxy (of one /64 in IPv6). Default 1024; what comes above it is answered
    /// 429.
    pub connections_per_address: u32,
    /// Requests after which a connection is closed. Default 10000.
    pub requests_per_connection: u32,
    /// Longest a TLS handshake may take. Default 10 s.
    pub handshake_timeout: Duration,
    /// Most requests under way at once on an HTTP/2 connection. Default 100.
    pub http2_streams: u32,
}

/// `buffer = { request = true, response = true, memory = "64 KiB", disk = "1 GiB" }`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer {
    /// Whether a request's body is read whole before the application is asked. Default true.
    pub request: bool,
    /// Whether an answer is taken from the application as fast as it writes, whatever the client's speed. Default true.
    pub response: bool,
    /// Most bytes of one body in memory; what is longer goes to disk. Default 64 KiB.
    pub memory: u64,
    /// Most bytes of one answer on disk; above it the application waits for the client. Default 1 GiB.
    pub disk: u64,
}

/// `[disk]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Directory of the temporary files, which have no name there. Default `/var/tmp`.
    pub directory: PathBuf,
    /// Most bytes of all bodies together; 0 writes nothing to disk. Default 8 GiB.
    pub most: u64,
}

/// `[fields]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// Our name in the `Via` field that requests get (RFC 9110 7.6.3); `None` leaves it out. Default `vestibule`.
    pub via: Option<String>,
    /// Whether requests get a `Forwarded` field (RFC 7239) beside `X-Forwarded-*`. Default false.
    pub forwarded: bool,
    /// Whether fields whose name has an underscore pass. Default false: in Rack's env they are one with those that have a hyphen.
    pub underscores: bool,
}

/// One page of the operator's in `[error_pages]`, read at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPage {
    /// The status it stands for.
    pub status: u16,
    /// The file it came from.
    pub path: PathBuf,
    /// Its type, by the file's ending: HTML, JSON or plain text.
    pub kind: PageKind,
    /// The page.
    pub body: std::sync::Arc<[u8]>,
}

/// Type of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageKind {
    /// `text/html; charset=utf-8`
    Html,
    /// `application/json`
    Json,
    /// `text/plain; charset=utf-8`
    Text,
}

/// `[reload]`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reload {
    /// Whether the files of the configuration are watched, and read anew when they change. Default false.
    pub watch: bool,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Access log lines: `access = "auto" | "json" | "line" | "combined" | "off"`. Default auto: `line` on a terminal, else `json`.
    pub access: AccessFormat,
    /// `output = "stdout"` (default) or a file's path.
    pub output: LogOutput,
}

/// The form of an access log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessFormat {
    /// `Line` when the output is a terminal, `Json` otherwise.
    Auto,
    /// One JSON object per request.
    Json,
    /// One line for a person.
    Line,
    /// Apache's combined format.
    Combined,
    /// Nothing.
    Off,
}

/// Where access log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard output.
    Stdout,
    /// A file, appended to, opened anew on SIGUSR1.
    File(PathBuf),
}
