//! Vestibule's own counters, and the application's history, for the demo's page.
//!
//! They come over an upstream of their own, so that they can be had while the application is away.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use vestibule_upstream::{Counts, Upstream};

use super::app;
use super::history::{History, Phase, Restart};
use super::site::Site;

/// Where they are served.
const PATH: &str = "/vestibule-demo/counters";

/// What is told.
#[derive(Debug, Clone)]
pub(crate) struct Counters {
    upstream: Arc<Upstream>,
    history: Rc<RefCell<History>>,
}

impl Counters {
    /// Those of `upstream`.
    pub(crate) fn new(upstream: Arc<Upstream>, history: Rc<RefCell<History>>) -> Self {
        Counters { upstream, history }
    }

    /// Tells them at `site` for ever.
    pub(crate) async fn serve(self, site: Site) {
        let answer = move |request: hyper::Request<_>| {
            let response = if request.uri().path() != PATH {
                app::text(StatusCode::NOT_FOUND, "nothing is here\n")
            } else if request.method() != Method::GET {
                app::text(StatusCode::METHOD_NOT_ALLOWED, "not that method\n")
            } else {
                app::json(&self.told())
            };
            std::future::ready(response)
        };
        site.serve(answer, pending()).await;
    }

    /// Times are milliseconds from then to now: clocks differ.
    fn told(&self) -> Value {
        let Counts { in_flight, waiting, cap, answered, failed, held } = self.upstream.counts();
        let state = self.upstream.status().borrow().state;
        let history = self.history.borrow();
        let since = history.since.elapsed();
        let (phase, pid) = match history.phase {
            Phase::Starting => ("starting", None),
            Phase::Running { pid } => ("running", Some(pid)),
            Phase::Stopping { pid } => ("stopping", Some(pid)),
            Phase::Away => ("away", None),
        };
        let next =
            matches!(history.phase, Phase::Running { .. }).then(|| history.every.saturating_sub(since));
        json!({
            "vestibule": { "pid": std::process::id() },
            "upstream": {
                "name": self.upstream.config.name,
                "state": state.to_string(),
                "holds": state.holds(),
                "generation": self.upstream.generation(),
                "answered": answered,
                "held": held,
                "failed": failed,
                "waiting": waiting,
                "in_flight": in_flight,
                "cap": cap,
            },
            "application": { "phase": phase, "pid": pid, "since": milliseconds(since) },
            "restarts": {
                "count": history.restarts,
                "every": milliseconds(history.every),
                "next": next.map(milliseconds),
                "recent": history.recent.iter().map(restart).collect::<Vec<_>>(),
            },
        })
    }
}

fn restart(restart: &Restart) -> Value {
    json!({
        "ago": milliseconds(Instant::now().saturating_duration_since(restart.at)),
        "old": restart.old,
        "new": restart.new,
        "gap": milliseconds(restart.gap),
        "held": restart.held,
        "failed": restart.failed,
        "asked": restart.was_asked,
    })
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
