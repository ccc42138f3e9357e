//! What holds where nothing is written.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;
use crate::model::{
    Access, AccessFormat, Balance, Buffer, Coding, Compress, Config, Disk, Dns, FieldChanges, Fields, Files,
    Health, Hold, Limits, Links, ListenAddress, Listener, Log, LogOutput, Member, Reload, Route, RouteId,
    RouteTimeouts, Server, Split, Step, Timeouts, Upstream, UpstreamAddress, UpstreamId,
};
use crate::places::Places;
use crate::problem::Problems;
use crate::process::{Control, Process};
use crate::routes::Routes;
use crate::web_server::WebServer;

impl Default for Config {
    /// What an empty file means: `127.0.0.1:8080` forwards to `unix:/tmp/web_server.sock`.
    fn default() -> Self {
        Self::of(Upstream::default())
    }
}

impl Config {
    /// What an empty file means where the environment may name another socket (`CUSTOM_WEB_SOCKET_FILE`) and another PID
    /// file (`CUSTOM_WEB_PID_FILE`).
    ///
    /// # Errors
    /// [`Error::Invalid`] for a variable that is empty, or no absolute path.
    pub fn from_environment() -> Result<Self, Error> {
        let (web_server, problems) = WebServer::from_environment();
        match Problems::from_found(problems) {
            None => Ok(Self::of(Upstream::at(&web_server))),
            Some(problems) => Err(Error::Invalid(problems)),
        }
    }

    fn of(upstream: Upstream) -> Self {
        Self {
            workers: workers(),
            processes: vec![Process::adopted(UpstreamId(0), &upstream)],
            control: Control::default(),
            reload: Reload::default(),
            listeners: vec![Listener::default()],
            upstreams: vec![upstream],
            routes: Routes::all_to(RouteId(0)),
            route_settings: vec![Route::to(UpstreamId(0))],
            trusted_proxies: Vec::new(),
            limits: Limits::default(),
            buffer: Buffer::default(),
            disk: Disk::default(),
            dns: Dns::default(),
            fields: Fields::default(),
            error_pages: Vec::new(),
            log: Log::default(),
            places: Places::default(),
        }
    }
}

/// One worker per core that this process may use.
fn workers() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

impl Route {
    /// To this upstream, with everything else as by default.
    #[must_use]
    pub fn to(upstream: UpstreamId) -> Self {
        Self {
            name: "*".to_owned(),
            access: Access::default(),
            auth: None,
            rates: Vec::new(),
            rewrite: None,
            steps: vec![Step::Upstream(Split::to(upstream))],
            request_fields: FieldChanges::default(),
            response_fields: FieldChanges::default(),
            cors: None,
            compress: Compress::default(),
            buffer: Buffer::default(),
            body_limit: Limits::default().body,
            timeout: RouteTimeouts::default(),
            sendfile: Vec::new(),
        }
    }
}

impl Default for Compress {
    fn default() -> Self {
        // Off: a page that repeats what its reader sent beside a secret tells the secret by its length (BREACH).
        Self {
            codings: Vec::new(),
            least: 1 << 10,
            types: TYPES.iter().map(|&name| name.to_owned()).collect(),
        }
    }
}

impl Compress {
    /// With every coding that is known, and everything else as by default: what `compress = true` means, and what holds for files.
    #[must_use]
    pub fn all() -> Self {
        // Of 50 KB of HTML, zstd makes what brotli does in a third of the time. Most clients take both and want neither more.
        Self { codings: vec![Coding::Zstd, Coding::Brotli, Coding::Gzip], ..Self::default() }
    }
}

/// What shrinks: text, and what is text by another name.
const TYPES: &[&str] = &[
    "text/*",
    "application/json",
    "application/javascript",
    "application/xml",
    "application/manifest+json",
    "application/ld+json",
    "application/vnd.api+json",
    "application/rss+xml",
    "application/atom+xml",
    "application/xhtml+xml",
    "application/wasm",
    "image/svg+xml",
    "image/x-icon",
    "font/ttf",
    "font/otf",
];

impl Files {
    /// The files in `root`, with everything else as by default.
    #[must_use]
    pub fn of(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            strip: String::new(),
            index: Some("index.html".to_owned()),
            fallback: Vec::new(),
            precompressed: Vec::new(),
            cache_control: None,
            immutable: Vec::new(),
            links: Links::Inside,
            types: Vec::new(),
            check: Duration::from_secs(1),
            compress: Compress::all(),
        }
    }
}

impl Default for Listener {
    fn default() -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        Self {
            address: ListenAddress::Tcp(address),
            reuse_port: true,
            backlog: 4096,
            proxy_protocol: false,
            tls: None,
            http2: false,
            redirect: None,
        }
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self::at(&WebServer::default())
    }
}

impl Upstream {
    pub(crate) fn at(web_server: &WebServer) -> Self {
        Self {
            name: "app".to_owned(),
            members: vec![Member::at(UpstreamAddress::Unix(web_server.socket.clone()))],
            balance: Balance::Least,
            pid_file: Some(web_server.pid_file.clone()),
            server: Server::Auto,
            in_flight: None,
            hold: Hold::default(),
            health: None,
            drain_timeout: Duration::from_secs(30),
            timeout: Timeouts::default(),
            maintenance: None,
        }
    }
}

impl Default for UpstreamAddress {
    fn default() -> Self {
        Self::Unix(WebServer::default().socket)
    }
}

impl Default for Hold {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), requests: 10_000, memory: 64 << 20 }
    }
}

impl Health {
    /// A probe of `path` with everything else as by default.
    #[must_use]
    pub fn of(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
            rise: 1,
            fall: 3,
            host: "localhost".to_owned(),
            proto: "https".to_owned(),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            response: Duration::from_secs(60),
            idle: Duration::from_secs(300),
            tunnel: Duration::from_secs(3600),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 64 << 10,
            fields: 100,
            body: 1 << 30,
            request_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            send_timeout: Duration::from_secs(60),
            receive_rate: 500,
            send_rate: 500,
            connections: 16384,
            connections_per_address: 1024,
            requests_per_connection: 10_000,
            handshake_timeout: Duration::from_secs(10),
            http2_streams: 100,
        }
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self { request: true, response: true, memory: 64 << 10, disk: 1 << 30 }
    }
}

impl Default for Disk {
    fn default() -> Self {
        // Not /tmp, which is memory on many machines (file-hierarchy(7)).
        Self { directory: PathBuf::from("/var/tmp"), most: 8 << 30 }
    }
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout: Duration::from_secs(5),
            least_ttl: Duration::from_secs(1),
            most_ttl: Duration::from_secs(300),
        }
    }
}

impl Default for Fields {
    fn default() -> Self {
        Self { via: Some("vestibule".to_owned()), forwarded: false, underscores: false }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { access: AccessFormat::Auto, output: LogOutput::Stdout }
    }
}
