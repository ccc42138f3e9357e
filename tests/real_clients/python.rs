//! httpx and websockets, driven by scripts in `tests/python`: each checks what it sees and fails by itself.

use super::Site;
use crate::forwarding::KINDS;
use crate::support::app::Kind;
use crate::support::python::run;
use crate::support::wait::{seconds, until_true};

#[test]
fn httpx_keeps_a_pool_streams_up_and_streams_down() {
    for kind in KINDS {
        let site = Site::start(kind);
        let before = site.vestibule.access_log().len();
        let said = run("python/with_httpx.py", &[&site.url("")]);
        assert!(said.ends_with("fine\n"), "{kind:?}: {said}");
        assert!(site.vestibule.access_log().len() > before, "{kind:?}: nothing went through Vestibule");
    }
}

#[test]
fn httpx_shares_one_connection_of_http_2() {
    for kind in KINDS {
        let site = Site::secure(kind);
        let authority = site.dir.join("ca.pem");
        let said = run("python/with_httpx.py", &[&site.url(""), authority.to_str().expect("UTF-8")]);
        assert!(said.ends_with("fine\n"), "{kind:?}: {said}");
        // The last lines are written a moment after their answers.
        until_true("the log has its requests", seconds(30), || site.vestibule.access_log().len() > 60);
        let log = site.vestibule.access_log();
        assert!(log.iter().all(|line| line["protocol"] == "HTTP/2.0"), "{kind:?}: {log:#?}");
    }
}

#[test]
fn websockets_talk_through_a_tunnel() {
    // Thin has no hijack. A process of Passenger has one WebSocket at a time and nothing beside it; there are two.
    for (kind, at_once) in [
        (Kind::Puma, "20"),
        (Kind::PumaCluster { preload: false }, "20"),
        (Kind::Unicorn, "20"),
        (Kind::Passenger, "2"),
    ] {
        let site = Site::start(kind);
        let url = site.url("/websocket").replace("http:", "ws:");
        let said = run("python/with_websockets.py", &[&url, at_once]);
        assert!(said.ends_with("fine\n"), "{kind:?}: {said}");
    }
}
