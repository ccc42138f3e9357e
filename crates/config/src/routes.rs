//! Which route a request takes.
//!
//! A route names a host, a path, or both, or neither. The most specific one wins: an exact host, then the longest
//! wildcard (`*.example.com`), then any host; within a host an exact path, then the longest prefix (`/assets/*`).
//! When no path of a host fits, the wildcards are asked, and then the routes for any host. The order in which the
//! routes are written says nothing.
//!
//! - `*.example.com` fits `a.example.com` and `a.b.example.com`, not `example.com` itself.
//! - `/assets/*` fits `/assets/` and everything below it. It does not fit `/assets`, which is another path: name it in
//!   a route of its own if it is to go the same way.
//! - `/*` is the same as no path.
//! - Paths are compared as the bytes that the client sent: percent-encoding is not decoded, case matters, and `//` and
//!   `/../` are not folded. What an upstream makes of such a path is its own affair, so routes are no access control.

use std::collections::HashMap;

use crate::error::Error;
use crate::host::{self, HostPattern};
use crate::model::RouteId;
use crate::path_tree::{PathPattern, PathTree};
use crate::problem::Problem;

/// Routes compiled for finding: the cost of [`Routes::find`] depends on the length of the host and the path that are
/// looked up, not on the number of routes. The default has no route at all.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    exact: HashMap<Box<[u8]>, PathTree>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<[u8]>, PathTree>,
    /// Labels of the longest key in `wildcard`: suffixes with more of them need not be looked up.
    wildcard_labels: usize,
    any: PathTree,
}

impl Routes {
    /// Every request to one route.
    #[must_use]
    pub fn all_to(route: RouteId) -> Self {
        let mut any = PathTree::default();
        any.insert(&PathPattern::any(), route);
        Self { any, ..Self::default() }
    }

    /// Starts with no route; for tests and benches, and for whoever has routes from elsewhere than a file.
    #[must_use]
    pub fn builder() -> RoutesBuilder {
        RoutesBuilder::default()
    }

    /// The route of a request, or `None` when no route fits (the answer is then 404).
    ///
    /// `host` is what the client sent as `Host` or in an absolute target: any case, with or without a port and a last
    /// dot; empty when there was none. `path` is the target's path, with or without a query, as sent. Allocates nothing.
    #[must_use]
    pub fn find(&self, host: &[u8], path: &[u8]) -> Option<RouteId> {
        let path = path.iter().position(|&byte| byte == b'?').map_or(path, |query| &path[..query]);
        self.find_by_host(host, path).or_else(|| self.any.find(path))
    }

    fn find_by_host(&self, host: &[u8], path: &[u8]) -> Option<RouteId> {
        // Most configurations name no host: their requests pay for none.
        if self.exact.is_empty() && self.wildcard.is_empty() {
            return None;
        }
        let mut buffer = [0; host::LONGEST];
        let host = host::normalise(host, &mut buffer)?;
        let exact = self.exact.get(host).and_then(|paths| paths.find(path));
        exact.or_else(|| self.find_by_wildcard(host, path))
    }

    fn find_by_wildcard(&self, host: &[u8], path: &[u8]) -> Option<RouteId> {
        if self.wildcard.is_empty() {
            return None;
        }
        let mut labels = host::labels(host);
        for (dot, _) in host.iter().enumerate().filter(|&(_, &byte)| byte == b'.') {
            labels -= 1;
            // A client may send a hundred labels; no more lookups than the deepest wildcard has.
            if dot == 0 || labels > self.wildcard_labels {
                continue;
            }
            let found = self.wildcard.get(&host[dot + 1..]).and_then(|paths| paths.find(path));
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

/// Collects routes into [`Routes`].
#[derive(Debug, Default)]
pub struct RoutesBuilder {
    routes: Routes,
}

impl RoutesBuilder {
    /// Adds one route: `host` as `example.com` or `*.example.com`, `path` as `/exact` or `/prefix/*`; `None` fits any.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the host or the path is malformed, or when the same host and path have a route already.
    pub fn route(
        &mut self,
        host: Option<&str>,
        path: Option<&str>,
        route: RouteId,
    ) -> Result<&mut Self, Error> {
        let host = host.map_or(Ok(HostPattern::Any), HostPattern::parse)?;
        let path = path.map_or(Ok(PathPattern::any()), PathPattern::parse)?;
        match self.insert(&host, &path, route) {
            None => Ok(self),
            Some(_) => Err(Problem::new("two routes have the same host and path").into()),
        }
    }

    /// Adds one route, or gives the one that is there already.
    pub(crate) fn insert(
        &mut self,
        host: &HostPattern,
        path: &PathPattern,
        route: RouteId,
    ) -> Option<RouteId> {
        let routes = &mut self.routes;
        let paths = match host {
            HostPattern::Any => &mut routes.any,
            HostPattern::Exact(name) => routes.exact.entry(name.as_bytes().into()).or_default(),
            HostPattern::Wildcard(suffix) => {
                routes.wildcard_labels = routes.wildcard_labels.max(host::labels(suffix.as_bytes()));
                routes.wildcard.entry(suffix.as_bytes().into()).or_default()
            }
        };
        paths.insert(path, route)
    }

    /// The routes, compiled.
    #[must_use]
    pub fn build(self) -> Routes {
        self.routes
    }
}
