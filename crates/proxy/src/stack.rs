//! The way of a request: the layers in their order. Reading this function is reading the product.

use std::net::IpAddr;

use vestibule_config::{Config, RouteId};
use vestibule_http1::Method;
use vestibule_upstream::{Answer, Client, Trace};

use crate::forward::{About, forward};
use crate::forwarded::client_address;
use crate::max_forwards::max_forwards;
use crate::request::Request;
use crate::request_id::RequestId;
use crate::respond::{self, Own};
use crate::worker::{Plan, Scratch, Worker};

/// The answer to a request.
#[derive(Debug)]
pub enum Response {
    /// The application's. Its body streams from there, carrying the permit.
    Upstream(Answer),
    /// Ours.
    Own(Own),
}

/// What is known about a request beside its answer; for the access log.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its identity.
    pub id: RequestId,
    /// The address it really came from.
    pub client: IpAddr,
    /// Its route.
    pub route: Option<RouteId>,
    /// Index of its upstream.
    pub upstream: Option<usize>,
    /// What happened on its way.
    pub trace: Trace,
}

impl Record {
    /// The record of something that was refused before it was a request.
    pub fn of_refused(request: &Request<'_>) -> Self {
        Record {
            id: RequestId::of(request),
            client: request.door.peer.address,
            route: None,
            upstream: None,
            trace: Trace::default(),
        }
    }
}

/// Answers one request.
pub async fn stack(
    (worker, plan): (&Worker, &Plan),
    request: &Request<'_>,
    scratch: &mut Scratch,
    client: &mut dyn Client,
) -> (Response, Record) {
    let mut record = Record {
        id: RequestId::of(request),
        client: client_address(request, &plan.config.trusted_proxies),
        route: None,
        upstream: None,
        trace: Trace::default(),
    };
    let config = &*plan.config;
    if let Some(own) = challenge(worker, request).or_else(|| end_here(config, request)) {
        return (Response::Own(own), record);
    }
    let host = request.head.host.of(request.bytes);
    let path = request.head.path(request.bytes);
    record.route = config.routes.find(host, path);
    let route = record.route.and_then(|id| config.route(id));
    let Some((route, index, upstream)) = route.and_then(|route| {
        let upstream = route.upstream()?;
        Some((route, upstream.0, plan.upstreams.get(upstream.0)?))
    }) else {
        return (Response::Own(respond::refused(config, 404, "no route", request)), record);
    };
    record.upstream = Some(index);
    if upstream.is_stopped() {
        // At once: not after a body that nobody will read.
        return (Response::Own(respond::stopped(config, upstream, request)), record);
    }
    let about = About { client: record.client, id: &record.id, fields: &config.fields };
    let to = (upstream, &route.buffer);
    let response =
        match forward((worker, config), to, request, about, scratch, client, &mut record.trace).await {
            Ok(answer) => Response::Upstream(answer),
            Err(error) => {
                upstream.count_failure(&error);
                Response::Own(respond::of_error(config, upstream, &error, request))
            }
        };
    (response, record)
}

/// The answer to an ACME challenge that stands now, on whatever listener it is asked for: authorities follow a redirect to https. Others may
/// be the application's.
fn challenge(worker: &Worker, request: &Request<'_>) -> Option<Own> {
    if worker.challenges.is_empty() || !matches!(request.head.method_kind, Method::Get | Method::Head) {
        return None;
    }
    let path = str::from_utf8(request.head.path(request.bytes)).ok()?;
    let token = path.strip_prefix("/.well-known/acme-challenge/")?;
    worker.challenges.key_authorization(token).map(|text| respond::key_authorization(&text))
}

/// The answer to a request that is for us, or that no application may see.
fn end_here(config: &Config, request: &Request<'_>) -> Option<Own> {
    let head = request.head;
    if let Some(to) = request.door.rules.redirect {
        return Some(respond::redirect(config, to, request));
    }
    let refused = |status, why| Some(respond::refused(config, status, why, request));
    if head.expect_unknown {
        return refused(417, "an expectation other than 100-continue");
    }
    match head.method_kind {
        // It would show a script the fields that it must not see: cookies, and what we add (RFC 9110 9.3.8).
        Method::Trace => refused(405, "TRACE"),
        Method::Options if head.is_for_server(request.bytes) => Some(respond::options()),
        Method::Options => match max_forwards(request) {
            Ok(Some(0)) => Some(respond::options()),
            Ok(_) => None,
            Err(why) => refused(400, why),
        },
        _ => None,
    }
}
