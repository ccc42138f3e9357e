//! Who may come: by network.

use std::net::IpAddr;
use std::ops::ControlFlow;

use vestibule_config::{Config, Route};

use crate::request::Request;
use crate::respond::{self, Own};

/// Refuses, with 403, a client that the route does not let in.
pub(crate) fn check(
    config: &Config,
    route: &Route,
    client: IpAddr,
    request: &Request<'_>,
) -> ControlFlow<Own> {
    if route.access.admits(client) {
        return ControlFlow::Continue(());
    }
    ControlFlow::Break(respond::refused(config, 403, "the client's network is not let in", request))
}
