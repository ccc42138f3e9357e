//! What a route says.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::{Buffer, Files, Template, UpstreamId};

/// What happens to the requests of one `[[route]]`; which ones they are, [`Routes`](crate::routes::Routes) knows.
///
/// In this order: `cors`, `access`, `rates`, `auth`, `rewrite`, then the `steps`.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// What it is called in logs and by `explain`: its host and path as they are written, such as `example.com/assets/*`.
    pub name: String,
    /// Who may come.
    pub access: Access,
    /// Who has to say a name and a password. Default nobody.
    pub auth: Option<Auth>,
    /// How often they may come; all of them hold.
    pub rates: Vec<Rate>,
    /// Another path and query to go on with, for files and for the application.
    pub rewrite: Option<Template>,
    /// What answers: the first that has something. Never empty; only [`Step::Files`] may have nothing, and only the last one's is a 404.
    pub steps: Vec<Step>,
    /// Changes to the fields of a request, as the application gets it.
    pub request_fields: FieldChanges,
    /// Changes to the fields of an answer, whoever made it.
    pub response_fields: FieldChanges,
    /// Which other sites' scripts may read the answers (CORS). Default none.
    pub cors: Option<Cors>,
    /// Which answers of applications are compressed, and how: what the route says, else `[compress]`, else none. For files there is
    /// [`Files::compress`].
    pub compress: Compress,
    /// How bodies are kept: [`Config::buffer`](crate::Config::buffer), but for the keys that the route has itself.
    pub buffer: Buffer,
    /// Most bytes of a request's body. Default [`Limits::body`](crate::Limits::body).
    pub body_limit: u64,
    /// Time limits in place of those of the upstream.
    pub timeout: RouteTimeouts,
    /// Where files lie that the application has us send (`X-Sendfile`, `X-Accel-Redirect`). Default nowhere: both are ignored.
    pub sendfile: Vec<Sendfile>,
}

impl Route {
    /// The upstream that it leads to, where it is only one.
    #[must_use]
    pub fn upstream(&self) -> Option<UpstreamId> {
        self.steps.iter().find_map(|step| match step {
            Step::Upstream(Split { shares, .. }) => match shares.as_slice() {
                &[(upstream, _)] => Some(upstream),
                _ => None,
            },
            _ => None,
        })
    }
}

/// What may answer a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A file, where there is one.
    Files(Box<Files>),
    /// An application.
    Upstream(Split),
    /// Another address.
    Redirect(Redirection),
    /// An answer that is always the same.
    Respond(Box<Fixed>),
}

/// One upstream, or several by weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Each with its weight; never empty, the sum is not 0.
    pub shares: Vec<(UpstreamId, u32)>,
    /// The name of the cookie that brings a client to the same upstream each time. Default none: each request is drawn anew.
    pub sticky: Option<Sticky>,
}

impl Split {
    /// All to one.
    #[must_use]
    pub fn to(upstream: UpstreamId) -> Self {
        Self { shares: vec![(upstream, 1)], sticky: None }
    }
}

/// `sticky = { cookie = "release", age = "1h" }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sticky {
    /// The cookie's name.
    pub cookie: String,
    /// How long the client keeps it; `None` until it is closed.
    pub age: Option<Duration>,
}

/// `redirect = { to = "https://example.com/$1", status = 308 }`
#[derive(Debug, Clone, PartialEq)]
pub struct Redirection {
    /// 301, 302, 303, 307 or 308. Default 308: a form keeps its method and its body (RFC 9110 15.4.9).
    pub status: u16,
    /// What stands in `Location`.
    pub to: Template,
}

/// `respond = { status = 200, body = "fine", type = "text/plain" }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// The status, 200 to 599. 444 closes the connection without an answer, as with nginx.
    pub status: u16,
    /// `Content-Type`; empty for none.
    pub content_type: String,
    /// The body. `None`: the error page of that status, if it is 400 or above.
    pub body: Option<std::sync::Arc<[u8]>>,
}

/// `allow = ["10.0.0.0/8"]`, `deny = ["10.1.0.0/16"]`: the network with the longest prefix decides; who is in none is let in unless there is an
/// `allow`. Others get 403.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Networks that are let in.
    pub allow: Vec<IpNet>,
    /// Networks that are not.
    pub deny: Vec<IpNet>,
}

impl Access {
    /// Whether a client at `address` is let in.
    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        let longest = |networks: &[IpNet]| {
            let fits = networks.iter().filter(|network| network.contains(&address));
            fits.map(IpNet::prefix_len).max()
        };
        match (longest(&self.allow), longest(&self.deny)) {
            (allowed, Some(denied)) => allowed.is_some_and(|allowed| allowed > denied),
            (Some(_), None) => true,
            (None, None) => self.allow.is_empty(),
        }
    }
}

/// `auth = { realm = "Staging", users = { ann = "$2y$…" }, file = "/etc/vestibule/htpasswd" }`
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// What the browser shows. Default `Restricted`.
    pub realm: String,
    /// Names, each with the hash of its password: bcrypt (`$2y$`) or argon2 (`$argon2id$`), as `htpasswd -B` or `argon2` write it. Those of
    /// `file` too; it is read at the start and at each reload.
    pub users: Vec<(String, String)>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A hash does not belong in a log: a weak password can be found from it.
        let users: Vec<_> = self.users.iter().map(|(name, _)| name).collect();
        f.debug_struct("Auth").field("realm", &self.realm).field("users", &users).finish_non_exhaustive()
    }
}

/// `rate = { requests = 10, per = "1s", burst = 20, by = "client" }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    /// So many requests …
    pub requests: NonZeroU32,
    /// … in so long, evenly.
    pub per: Duration,
    /// So many at once, when there was a pause. Default `requests`.
    pub burst: NonZeroU32,
    /// Who counts as one.
    pub by: RateKey,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RateKey {
    /// `"client"`: an address; of IPv6 a /64.
    Client,
    /// `"field:X-Api-Key"`: one value of that field; those without it count by their address.
    Field(String),
    /// `"all"`: everybody.
    All,
}

/// `fields = { request = { set = { X-One = "1" }, add = {}, remove = ["X-Two"] }, response = { … } }`, and the preset `security = true`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FieldChanges {
    /// Fields that are taken away, by name in lower case.
    pub remove: Vec<String>,
    /// Fields that replace those of the same name, with the name as it is written (case does not count); so too in `add` and `default`.
    pub set: Vec<(String, Template)>,
    /// Fields beside those of the same name.
    pub add: Vec<(String, Template)>,
    /// Fields for answers that have none of the same name: what the preset `security` is made of.
    pub default: Vec<(String, Template)>,
}

impl FieldChanges {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty() && self.default.is_empty()
    }
}

/// `cors = { origins = ["https://app.example.com"], methods = ["GET"], fields = ["Authorization"], credentials = true, age = "1h" }`, or
/// `cors = "*"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Origins, as browsers write them; empty for any.
    pub origins: Vec<String>,
    /// Methods beyond GET, HEAD and POST.
    pub methods: Vec<String>,
    /// Fields of the request beyond those that are always allowed; empty allows what is asked for.
    pub fields: Vec<String>,
    /// Fields of the answer that the script may read beyond those that it always may.
    pub expose: Vec<String>,
    /// Whether cookies may come along. Not with any origin.
    pub credentials: bool,
    /// How long a browser remembers this.
    pub age: Duration,
}

/// `compress = false`, or `{ codings = ["br", "zstd", "gzip"], least = "1 KiB", types = ["text/*"] }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compress {
    /// The codings, the preferred first; empty compresses nothing.
    pub codings: Vec<Coding>,
    /// The smallest body that is worth it, where its length is known. Default 1 KiB.
    pub least: u64,
    /// Types: `text/html`, or `text/*`.
    pub types: Vec<String>,
}

/// A content coding (RFC 9110 8.4.1) that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// `br` (RFC 7932)
    Brotli,
    /// `zstd` (RFC 8878)
    Zstd,
    /// `gzip` (RFC 1952)
    Gzip,
}

impl Coding {
    /// As it stands in `Content-Encoding`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
            Coding::Gzip => "gzip",
        }
    }
}

/// `timeout = { response = "5m", idle = "1h", tunnel = "1h" }` of a route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RouteTimeouts {
    /// See [`Timeouts::response`](crate::Timeouts::response).
    pub response: Option<Duration>,
    /// See [`Timeouts::idle`](crate::Timeouts::idle).
    pub idle: Option<Duration>,
    /// See [`Timeouts::tunnel`](crate::Timeouts::tunnel).
    pub tunnel: Option<Duration>,
}

/// `sendfile = [{ from = "/srv/app/private", root = "…" }]`: what of the names that an application hands us is which directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sendfile {
    /// Beginning of the name: of a path in `X-Sendfile`, of an address in `X-Accel-Redirect` (nginx: an `internal` location). Ends with `/`.
    pub from: String,
    /// The directory that takes its place.
    pub root: PathBuf,
}
