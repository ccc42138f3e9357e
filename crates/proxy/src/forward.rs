//! Forwarding one request: its canonical head, its body, and the call to its upstream.

use std::net::IpAddr;
use std::sync::Arc;

use vestibule_config::Buffer;
use vestibule_http1::{Method, Name, field, is_websocket_key};
use vestibule_upstream::{Answer, Client, Error, Offer, Outgoing, Ticket, Trace, Upstream};

use crate::body::Reading;
use crate::forwarded;
use crate::request::Request;
use crate::request_id::RequestId;
use crate::worker::{Scratch, Worker};

/// Sends `request` to `upstream` and brings its answer.
///
/// As a rule its body is read before the upstream is asked for anything: a slow client costs the application nothing,
/// and the request can be sent again.
pub(crate) async fn forward(
    worker: &Worker,
    (upstream, buffer): (&Arc<Upstream>, &Buffer),
    request: &Request<'_>,
    about: (IpAddr, &RequestId),
    scratch: &mut Scratch,
    client: &mut dyn Client,
    trace: &mut Trace,
) -> Result<Answer, Error> {
    let Scratch { outgoing, body, .. } = scratch;
    outgoing.clear();
    body.clear();
    write_head(outgoing, request, about, upstream.keeps_connections());
    let reading = Reading { buffer, most: worker.config.limits.body, store: &worker.store, upstream };
    let (head_len, rest) = reading.read(request.head.framing, outgoing, body, client).await?;
    let mut outgoing = Outgoing {
        method: request.head.method_kind,
        bytes: outgoing,
        head_len,
        rest,
        upgrade: offered(request),
        store: &worker.store,
    };
    let ticket = Ticket { arrived: request.arrived, serial: request.serial };
    upstream.send(worker.id, ticket, &mut outgoing, client, trace).await
}

/// Writes the request line and every field but those of the framing and the empty line.
pub fn write_head(
    out: &mut Vec<u8>,
    request: &Request<'_>,
    (address, id): (IpAddr, &RequestId),
    keeps_connection: bool,
) {
    let Request { head, bytes, .. } = *request;
    out.extend_from_slice(head.method.of(bytes));
    out.push(b' ');
    head.write_path_and_query(bytes, out);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    field(out, b"Host", head.host.of(bytes));
    let nominates = head.nominates_fields();
    for line in &head.fields {
        let name = line.name.of(bytes);
        let stays = match line.kind {
            Name::Other => !line.underscore,
            kind => !is_of_this_hop(kind) && kind != Name::Host && !forwarded::is_replaced(kind),
        };
        if stays && !(nominates && head.is_nominated(bytes, name)) {
            field(out, name, line.value.of(bytes));
        }
    }
    forwarded::write(out, request, address, id);
    match offered(request) {
        Some(offer) => {
            out.extend_from_slice(b"Connection: Upgrade\r\n");
            field(out, b"Upgrade", offer.protocols);
        }
        None if !keeps_connection => out.extend_from_slice(b"Connection: close\r\n"),
        None => {}
    }
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
