//! The way of a request: the layers in their order. Reading this function is reading the product.

use std::net::IpAddr;
use std::ops::ControlFlow::{self, Break, Continue};

use vestibule_config::{Config, Route, RouteId, Step};
use vestibule_http1::Method;
use vestibule_upstream::{Answer, Client, Trace};

use crate::asked::OfRequest;
use crate::changes::Changes;
use crate::expand::{Filled, rewritten};
use crate::forward::{About, forward};
use crate::forwarded::client_address;
use crate::max_forwards::max_forwards;
use crate::request::Request;
use crate::request_id::RequestId;
use crate::respond::{self, Own};
use crate::shared::OfRoute;
use crate::worker::{Plan, Scratch, Worker};
use crate::{access, auth, cors, files, rate, sendfile, split};

/// The answer to a request.
#[derive(Debug)]
pub enum Response {
    /// The application's. Its body streams from there, carrying the permit.
    Upstream(Answer),
    /// Ours.
    Own(Own),
    /// A file.
    File(vestibule_files::Answer),
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
    /// What is changed in the head of its answer.
    pub changes: Changes,
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
            changes: Changes::default(),
        }
    }
}

/// Answers one request.
///
/// Each layer lets it go on or answers it itself. CORS comes first in a route: what it says belongs on refusals too, or no script could
/// read them, and browsers send no password with a preflight. How often somebody may come stands before the password, so that it
/// bounds the guessing of passwords too.
pub async fn stack(
    (worker, plan): (&Worker, &Plan),
    request: &Request<'_>,
    scratch: &mut Scratch,
    client: &mut dyn Client,
) -> (Response, Record) {
    let config = &*plan.config;
    let mut record =
        Record { client: client_address(request, &config.trusted_proxies), ..Record::of_refused(request) };
    let way = async {
        challenge(worker, request)?;
        end_here(config, request)?;
        let (id, route, shared) = find(plan, request, &mut record)?;
        client.limit_body(route.body_limit);
        if let Some(cors) = &route.cors {
            cors::apply(cors, request, &mut record.changes)?;
        }
        access::check(config, route, record.client, request)?;
        rate::check(config, &shared.limits, record.client, request, &mut record.changes)?;
        if let Some(auth) = &route.auth {
            let verified = (&*plan.shared.verified, shared);
            auth::check((config, auth), verified, request, (record.client, client), &mut record.changes)
                .await?;
        }
        let filled =
            Filled { request: *request, config, route: Some(id), client: record.client, id: &record.id };
        let target = route.rewrite.as_ref().map(|template| rewritten(template, &filled));
        let mut steps = route.steps.iter().peekable();
        while let Some(step) = steps.next() {
            match step {
                Step::Files(files) => {
                    let path = target.as_deref().map_or(request.head.path(request.bytes), without_query);
                    let is_last = steps.peek().is_none();
                    let found = files::answer((worker, config), files, path, request, is_last).await;
                    if let Some(response) = found {
                        return Continue(response);
                    }
                }
                Step::Redirect(to) => return Break(respond::redirected(to, &filled)),
                Step::Respond(fixed) => return Break(respond::fixed(config, fixed, request)),
                Step::Upstream(split) => {
                    let Some(chosen) = split::choose(plan, split, request) else { break };
                    record.upstream = Some(chosen.index);
                    let upstream = chosen.upstream;
                    if upstream.is_stopped() {
                        // At once: not after a body that nobody will read.
                        return Break(respond::stopped(config, upstream, request));
                    }
                    let about = About::of(route, &filled, target.as_deref());
                    let to = (upstream, route);
                    let sent = forward(worker, to, request, about, scratch, client, &mut record.trace);
                    return match sent.await {
                        Ok(answer) => {
                            chosen.write_cookie(split, request, &mut record.changes.lines);
                            let places = route.sendfile.as_slice();
                            Continue(sendfile::take((worker, config), places, request, answer).await)
                        }
                        Err(error) => {
                            upstream.count_failure(&error);
                            Break(respond::of_error(config, upstream, &error, request))
                        }
                    };
                }
            }
        }
        Break(respond::refused(config, 404, "nothing of the route has an answer", request))
    };
    let response = match way.await {
        Continue(response) => response,
        Break(own) => Response::Own(own),
    };
    (response, record)
}

/// The route of a request; 404 where there is none.
fn find<'p>(
    plan: &'p Plan,
    request: &Request<'_>,
    record: &mut Record,
) -> ControlFlow<Own, (RouteId, &'p Route, &'p OfRoute)> {
    let config = &*plan.config;
    record.route = config.routes.find(&OfRequest { request, client: record.client });
    record.changes.route = record.route;
    match record.route.and_then(|id| Some((id, config.route(id)?, plan.shared.route(id)?))) {
        Some(found) => Continue(found),
        None => Break(respond::refused(config, 404, "no route", request)),
    }
}

fn without_query(target: &[u8]) -> &[u8] {
    target.split(|&byte| byte == b'?').next().unwrap_or_default()
}

/// The answer to an ACME challenge that stands now, on whatever listener it is asked for: authorities follow a redirect to https. Others may
/// be the application's.
fn challenge(worker: &Worker, request: &Request<'_>) -> ControlFlow<Own> {
    if worker.challenges.is_empty() || !matches!(request.head.method_kind, Method::Get | Method::Head) {
        return Continue(());
    }
    let path = str::from_utf8(request.head.path(request.bytes)).unwrap_or_default();
    let token = path.strip_prefix("/.well-known/acme-challenge/");
    match token.and_then(|token| worker.challenges.key_authorization(token)) {
        Some(text) => Break(respond::key_authorization(&text)),
        None => Continue(()),
    }
}

/// The answer to a request that is for us, or that no application may see.
fn end_here(config: &Config, request: &Request<'_>) -> ControlFlow<Own> {
    let head = request.head;
    if let Some(to) = request.door.rules.redirect {
        return Break(respond::redirect(config, to, request));
    }
    let refused = |status, why| Break(respond::refused(config, status, why, request));
    if head.expect_unknown {
        return refused(417, "an expectation other than 100-continue");
    }
    match head.method_kind {
        // It would show a script the fields that it must not see: cookies, and what we add (RFC 9110 9.3.8).
        Method::Trace => refused(405, "TRACE"),
        Method::Options if head.is_for_server(request.bytes) => Break(respond::options()),
        Method::Options => match max_forwards(request) {
            Ok(Some(0)) => Break(respond::options()),
            Ok(_) => Continue(()),
            Err(why) => refused(400, why),
        },
        _ => Continue(()),
    }
}
