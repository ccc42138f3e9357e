//! Forwarding one request: its canonical head, its body, and the call to its upstream.

use std::net::IpAddr;
use std::sync::Arc;

use vestibule_config::{Fields, Route, RouteTimeouts, Timeouts};
use vestibule_http1::{Method, Name, field, is_websocket_key};
use vestibule_upstream::{Answer, Client, Error, Offer, Outgoing, Ticket, Trace, Upstream};

use crate::body::Reading;
use crate::changes::Reworked;
use crate::compress::{is_condition, write_condition};
use crate::expand::Filled;
use crate::forwarded;
use crate::key::key;
use crate::max_forwards::write_max_forwards;
use crate::request::Request;
use crate::request_id::RequestId;
use crate::sendfile;
use crate::worker::{Scratch, Worker};

/// Sends `request` to `upstream` and brings its answer.
///
/// As a rule its body is read before the upstream is asked for anything: a slow client costs the application nothing,
/// and the request can be sent again.
pub(crate) async fn forward(
    worker: &Worker,
    (upstream, route): (&Arc<Upstream>, &Route),
    request: &Request<'_>,
    about: About<'_>,
    scratch: &mut Scratch,
    client: &mut dyn Client,
    trace: &mut Trace,
) -> Result<Answer, Error> {
    let Scratch { outgoing, body, .. } = scratch;
    outgoing.clear();
    body.clear();
    write_head(outgoing, request, about, upstream.keeps_connections());
    sendfile::announce(outgoing, &route.sendfile);
    let reading = Reading { buffer: &route.buffer, most: route.body_limit, store: &worker.store, upstream };
    let (head_len, rest) = reading.read(request.head.framing, outgoing, body, client).await?;
    let mut outgoing = Outgoing {
        method: request.head.method_kind,
        bytes: outgoing,
        head_len,
        rest,
        upgrade: offered(request),
        is_unusual: request.head.is_unusual(request.bytes),
        store: &worker.store,
        timeout: timeouts(&upstream.config.timeout, &route.timeout),
        key: key(&upstream.config.balance, request, about.client),
    };
    let ticket = Ticket { arrived: request.arrived, serial: request.serial };
    upstream.send(worker.id, ticket, &mut outgoing, client, trace).await
}

/// The time limits of the upstream, but for those that the route has itself.
fn timeouts(upstream: &Timeouts, route: &RouteTimeouts) -> Timeouts {
    Timeouts {
        connect: upstream.connect,
        response: route.response.unwrap_or(upstream.response),
        idle: route.idle.unwrap_or(upstream.idle),
        tunnel: route.tunnel.unwrap_or(upstream.tunnel),
    }
}

/// What is told about a request beside its own head.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The address it really came from.
    pub client: IpAddr,
    /// Its identity.
    pub id: &'a RequestId,
    /// Which fields are added, and which may pass.
    pub fields: &'a Fields,
    /// What the route changes, where it changes anything.
    pub reworked: Option<Reworked<'a>>,
}

impl<'a> About<'a> {
    /// What `route` has told of the request that fills `filled`. `target` in place of the client's.
    pub(crate) fn of(route: &'a Route, filled: &Filled<'a>, target: Option<&'a [u8]>) -> Self {
        let fields = &route.request_fields;
        let is_reworked = target.is_some() || !fields.is_empty();
        About {
            client: filled.client,
            id: filled.id,
            fields: &filled.config.fields,
            reworked: is_reworked.then_some(Reworked { fields, filled: *filled, target }),
        }
    }
}

/// Room for what is written beside the request's own head: the usual fields, and a name as long as a host may have.
const ADDED: usize = 640;

/// Writes the request line and every field but those of the framing and the empty line.
pub fn write_head(out: &mut Vec<u8>, request: &Request<'_>, about: About<'_>, keeps_connection: bool) {
    let Request { head, bytes, .. } = *request;
    out.reserve(bytes.len() + ADDED);
    out.extend_from_slice(head.method.of(bytes));
    out.push(b' ');
    let reworked = about.reworked.as_ref();
    match reworked.and_then(|reworked| reworked.target) {
        Some(target) => out.extend_from_slice(target),
        None => head.write_path_and_query(bytes, out),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    match reworked.and_then(Reworked::host) {
        Some(host) => field(out, b"Host", &host),
        None => field(out, b"Host", head.host.of(bytes)),
    }
    let nominates = head.nominates_fields();
    let mut has_cookie = false;
    for line in &head.fields {
        let name = line.name.of(bytes);
        let stays = match line.kind {
            Name::Other => !line.underscore || (about.fields.underscores && !is_disguised(name)),
            Name::XForwardedOther => {
                request.door.peer.is_trusted && (!line.underscore || about.fields.underscores)
            }
            // Ours to say, unless TLS ended at a proxy that we trust.
            Name::ClientCertificate => {
                request.door.peer.is_trusted && !request.door.rules.asks_certificates && !line.underscore
            }
            kind => !is_of_this_hop(kind) && kind != Name::Host && !forwarded::is_replaced(kind),
        };
        let is_reworked = || reworked.is_some_and(|reworked| reworked.drops(name, line.underscore));
        if !stays || (nominates && head.is_nominated(bytes, name)) || is_reworked() {
            continue;
        }
        match line.kind {
            Name::Cookie if !std::mem::replace(&mut has_cookie, true) => write_cookies(out, request, name),
            Name::Cookie => {}
            Name::MaxForwards if head.method_kind == Method::Options => write_max_forwards(out, request),
            Name::Other if is_condition(name) => write_condition(out, name, line.value.of(bytes)),
            _ => field(out, name, line.value.of(bytes)),
        }
    }
    out.extend_from_slice(&request.door.certificate);
    forwarded::write(out, request, about);
    if let Some(reworked) = reworked {
        reworked.write(out);
    }
    match offered(request) {
        Some(offer) => {
            out.extend_from_slice(b"Connection: Upgrade\r\n");
            field(out, b"Upgrade", offer.protocols);
        }
        None if !keeps_connection => out.extend_from_slice(b"Connection: close\r\n"),
        None => {}
    }
}

/// Writes all cookies as one line (RFC 9113 8.2.3): of several, Puma would join them with a comma, which parts no cookies, and Thin would take
/// the last.
fn write_cookies(out: &mut Vec<u8>, request: &Request<'_>, name: &[u8]) {
    out.extend_from_slice(name);
    let mut separator: &[u8] = b": ";
    for line in request.head.fields.iter().filter(|line| line.kind == Name::Cookie) {
        out.extend_from_slice(separator);
        out.extend_from_slice(line.value.of(request.bytes));
        separator = b"; ";
    }
    out.extend_from_slice(b"\r\n");
}

/// What the client offers to change the protocol to. Not HTTP/2: behind us it would be a way past all checks. A WebSocket
/// only as RFC 6455 4.1 has it offered, by a GET with one key: else no 101 could be told from a forged one.
fn offered<'a>(request: &Request<'a>) -> Option<Offer<'a>> {
    let protocols = request.head.upgrade?.of(request.bytes);
    let has = |name: &[u8]| {
        protocols.split(|&byte| byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(name))
    };
    if has(b"h2c") {
        return None;
    }
    if !has(b"websocket") {
        return Some(Offer { protocols, websocket_key: None });
    }
    let mut keys = request
        .head
        .fields
        .iter()
        .map(|field| (field.name.of(request.bytes), field.value.of(request.bytes)))
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"sec-websocket-key"))
        .map(|(_, key)| key);
    let key = keys.next().filter(|key| is_websocket_key(key) && request.head.method_kind == Method::Get)?;
    keys.next().is_none().then_some(Offer { protocols, websocket_key: Some(key) })
}

/// Whether a name with underscores is, in a Rack environment, one that decides something: those never pass.
#[cold]
fn is_disguised(name: &[u8]) -> bool {
    // No name that decides something is as long as this, but for those of which the beginning decides.
    let mut plain = [0; 32];
    let length = name.len().min(plain.len());
    let Some(plain) = plain.get_mut(..length) else { return false };
    for (byte, plain) in name.iter().zip(plain.iter_mut()) {
        *plain = if *byte == b'_' { b'-' } else { *byte };
    }
    Name::classify(plain) != Name::Other
}

/// Fields that belong to one connection (RFC 9110 7.6.1), and those of the framing, which is written anew. `Expect`
/// is answered by us.
pub fn is_of_this_hop(kind: Name) -> bool {
    matches!(
        kind,
        Name::Connection
            | Name::KeepAlive
            | Name::ProxyConnection
            | Name::ProxyAuthorization
            | Name::ProxyAuthenticate
            | Name::ProxyAuthenticationInfo
            | Name::Te
            | Name::Trailer
            | Name::Upgrade
            | Name::TransferEncoding
            | Name::ContentLength
            | Name::Http2Settings
            | Name::Expect
    )
}

#[cfg(test)]
mod tests {
    use vestibule_config::{FieldChanges, Part, Template};

    use super::*;
    use crate::testing::Asked;

    fn written(changes: &FieldChanges, target: Option<&[u8]>, fields: Fields, text: &str) -> String {
        let asked = Asked::new(text);
        let filled = asked.filled();
        let reworked = Some(Reworked { fields: changes, filled, target });
        let about = About { client: filled.client, id: filled.id, fields: &fields, reworked };
        let mut out = Vec::new();
        write_head(&mut out, &filled.request, about, true);
        String::from_utf8(out).unwrap()
    }

    fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    fn set(name: &str, parts: Vec<Part>) -> FieldChanges {
        FieldChanges { set: vec![(name.to_owned(), Template { parts })], ..FieldChanges::default() }
    }

    #[test]
    fn takes_away_replaces_and_adds_fields_of_a_request() {
        let changes = FieldChanges {
            remove: vec!["x-secret".to_owned(), "cookie".to_owned()],
            set: vec![("X-Key".to_owned(), Template::text("ours"))],
            add: vec![("X-More".to_owned(), Template { parts: vec![Part::Path] })],
            default: Vec::new(),
        };
        let text = "GET /p?q HTTP/1.1\r\nHost: a\r\nX-KEY: theirs\r\nX_Key: theirs\r\nX-Secret: s\r\nX-More: 1\r\nCookie: a=b\r\n\
                    Connection: x-key, x-more\r\nX-Stays: 1\r\n\r\n";
        let fields = Fields { underscores: true, ..Fields::default() };
        let head = written(&changes, None, fields, text);
        assert!(head.starts_with("GET /p?q HTTP/1.1\r\nHost: a\r\n"), "{head}");
        assert_eq!(values(&head, "x-key"), ["ours"]);
        assert_eq!(values(&head, "x_key"), [""; 0]);
        assert_eq!(values(&head, "x-secret"), [""; 0]);
        assert_eq!(values(&head, "cookie"), [""; 0]);
        assert_eq!(values(&head, "x-stays"), ["1"]);
        // The client's own was nominated for its hop, ours was not.
        assert_eq!(values(&head, "x-more"), ["/p"]);
    }

    #[test]
    fn a_rewritten_target_takes_the_place_of_the_clients() {
        let head = written(
            &FieldChanges::default(),
            Some(b"/v2/x?y"),
            Fields::default(),
            "GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        );
        assert!(head.starts_with("GET /v2/x?y HTTP/1.1\r\nHost: a\r\n"), "{head}");
    }

    #[test]
    fn a_host_that_is_set_is_one_host_or_none_at_all() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\nX-Host: b c\r\n\r\n";
        let head = written(
            &set("host", vec![Part::Text("inner.example:80".to_owned())]),
            None,
            Fields::default(),
            text,
        );
        assert_eq!(values(&head, "host"), ["inner.example:80"]);
        assert_eq!(values(&head, "x-forwarded-host"), ["a"]);
        let odd = set("Host", vec![Part::Field("x-host".to_owned())]);
        assert_eq!(values(&written(&odd, None, Fields::default(), text), "host"), ["a"]);
    }

    #[test]
    fn what_is_set_of_the_ways_to_us_stands_once() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Ssl: off\r\nX-Forwarded-Prefix: /evil\r\n\r\n";
        for (name, value) in [("X-Forwarded-Ssl", "on"), ("X-Forwarded-Prefix", "/app")] {
            let head = written(&set(name, vec![Part::Text(value.to_owned())]), None, Fields::default(), text);
            assert_eq!(values(&head, name), [value]);
        }
    }

    #[test]
    fn a_routes_time_limits_go_before_the_upstreams() {
        let second = std::time::Duration::from_secs;
        let route = RouteTimeouts { response: Some(second(1)), idle: None, tunnel: Some(second(3)) };
        let upstream = Timeouts::default();
        let expected = Timeouts { response: second(1), tunnel: second(3), ..upstream };
        assert_eq!(timeouts(&upstream, &route), expected);
        assert_eq!(timeouts(&upstream, &RouteTimeouts::default()), upstream);
    }
}
