//! Clients that the world uses: curl, a browser, Python's httpx and websockets, ApacheBench; over TLS and HTTP/2 nghttp and h2load too.

mod browser;
mod https;
mod programs;
mod python;

use crate::support::app::{App, Kind};
use crate::support::certificates::{self, Authority, Pair};
use crate::support::dir::Dir;
use crate::support::tls::tls_config;
use crate::support::vestibule::{Vestibule, config};

/// A Vestibule in front of a real server.
struct Site {
    vestibule: Vestibule,
    _app: App,
    dir: Dir,
    /// Where it speaks TLS.
    certificate: Option<Pair>,
}

impl Site {
    fn start(kind: Kind) -> Site {
        let dir = Dir::new();
        let app = App::start(kind, &dir);
        let vestibule = Vestibule::start(&dir, &config(&dir, ""));
        Site { vestibule, _app: app, dir, certificate: None }
    }

    /// The same over TLS. Its authority's certificate is the directory's `ca.pem`.
    fn secure(kind: Kind) -> Site {
        let dir = Dir::new();
        let app = App::start(kind, &dir);
        let authority = Authority::new();
        let pair = authority.server(&["127.0.0.1"], certificates::Kind::Ecdsa);
        pair.write(dir.path(), "server");
        authority.file(dir.path());
        let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
        Site { vestibule, _app: app, dir, certificate: Some(pair) }
    }

    /// The URL of this path.
    fn url(&self, path: &str) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.vestibule.address())
    }
}
