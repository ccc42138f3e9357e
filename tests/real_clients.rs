//! Clients that the world uses: curl, a browser, Python's httpx and websockets, ApacheBench.

mod browser;
mod programs;
mod python;

use crate::support::app::{App, Kind};
use crate::support::dir::Dir;
use crate::support::vestibule::{Vestibule, config};

/// A Vestibule in front of a real server.
struct Site {
    vestibule: Vestibule,
    _app: App,
    dir: Dir,
}

impl Site {
    fn start(kind: Kind) -> Site {
        let dir = Dir::new();
        let app = App::start(kind, &dir);
        let vestibule = Vestibule::start(&dir, &config(&dir, ""));
        Site { vestibule, _app: app, dir }
    }

    /// The URL of this path.
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.vestibule.address())
    }
}
