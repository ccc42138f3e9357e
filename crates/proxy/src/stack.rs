//! The way of a request: the layers in their order. Reading this function is reading the product.

use std::net::IpAddr;

use vestibule_config::RouteId;
use vestibule_upstream::{Answer, Client, Trace};

use crate::forward::forward;
use crate::forwarded::client_address;
use crate::request::Request;
use crate::request_id::RequestId;
use crate::respond::{self, Own};
use crate::worker::{Scratch, Worker};

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
            client: request.peer.address,
            route: None,
            upstream: None,
            trace: Trace::default(),
        }
    }
}

/// Answers one request.
pub async fn stack(
    worker: &Worker,
    request: &Request<'_>,
    scratch: &mut Scratch,
    client: &mut dyn Client,
) -> (Response, Record) {
    let mut record = Record {
        id: RequestId::of(request),
        client: client_address(request, &worker.config.trusted_proxies),
        route: None,
        upstream: None,
        trace: Trace::default(),
    };
    let host = request.head.host.of(request.bytes);
    let path = request.head.path(request.bytes);
    record.route = worker.config.routes.find(host, path);
    let Some(route) = record.route.and_then(|id| worker.config.route(id)) else {
        return (Response::Own(respond::no_route(request)), record);
    };
    record.upstream = Some(route.upstream.0);
    let Some(upstream) = worker.upstreams.get(route.upstream.0) else {
        return (Response::Own(respond::no_route(request)), record);
    };
    let about = (record.client, &record.id);
    let to = (upstream, &route.buffer);
    let response = match forward(worker, to, request, about, scratch, client, &mut record.trace).await {
        Ok(answer) => Response::Upstream(answer),
        Err(error) => {
            upstream.count_failure(&error);
            Response::Own(respond::of_error(&error, request))
        }
    };
    (response, record)
}
