//! Forwarding one request: its canonical head, its body, and the call to its upstream.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;

use vestibule_config::Buffer;
use vestibule_http1::{Framing, Name, chunk_head, field};
use vestibule_upstream::{Answer, Client, ClientError, Error, Outgoing, Rest, Ticket, Trace, Upstream};

use crate::forwarded;
use crate::request::Request;
use crate::request_id::RequestId;
use crate::worker::{Scratch, Worker};

/// Sends `request` to `upstream` and brings its answer.
///
/// A body that fits the memory a body may use is read before the upstream is asked for anything: a slow client
/// costs the application nothing, and the request can be sent again.
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
    let keeps = upstream.keeps_connections();
    write_head(outgoing, request, about, keeps);

    let limits = &worker.config.limits;
    let (head_len, rest) = match request.head.framing {
        Framing::None => {
            outgoing.extend_from_slice(b"\r\n");
            (outgoing.len(), Rest::Nothing)
        }
        Framing::Length(length) if length > limits.body => {
            return Err(Error::Client(ClientError::TooLarge));
        }
        Framing::Length(length) => {
            forwarded::write_length(outgoing, length);
            outgoing.extend_from_slice(b"\r\n");
            let head_len = outgoing.len();
            if length <= buffer.memory {
                while read_body(client, outgoing).await? > 0 {}
                (head_len, Rest::Nothing)
            } else {
                (head_len, Rest::Plain)
            }
        }
        Framing::Chunked => {
            let mut is_whole = false;
            while !is_whole && body.len() as u64 <= buffer.memory {
                is_whole = read_body(client, body).await? == 0;
            }
            if is_whole {
                // Thin and Passenger hand chunks to the application as they are, so they get a length.
                forwarded::write_length(outgoing, body.len() as u64);
                outgoing.extend_from_slice(b"\r\n");
                let head_len = outgoing.len();
                outgoing.extend_from_slice(body);
                (head_len, Rest::Nothing)
            } else {
                outgoing.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                let head_len = outgoing.len();
                chunk_head(outgoing, body.len());
                outgoing.extend_from_slice(body);
                outgoing.extend_from_slice(b"\r\n");
                (head_len, Rest::Chunked)
            }
        }
    };
    let outgoing = Outgoing {
        method: request.head.method_kind,
        bytes: outgoing,
        head_len,
        rest,
        upgrade: offered(request),
    };
    let ticket = Ticket { arrived: request.arrived, serial: request.serial };
    upstream.send(worker.id, ticket, &outgoing, client, trace).await
}

async fn read_body(client: &mut dyn Client, into: &mut Vec<u8>) -> Result<usize, Error> {
    poll_fn(|cx| client.poll_body(cx, into)).await.map_err(Error::Client)
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
        Some(protocol) => {
            out.extend_from_slice(b"Connection: Upgrade\r\n");
            field(out, b"Upgrade", protocol);
        }
        None if !keeps_connection => out.extend_from_slice(b"Connection: close\r\n"),
        None => {}
    }
}

/// The protocols that the client offers to change to. Not HTTP/2: behind us it would be a way past all checks.
fn offered<'a>(request: &Request<'a>) -> Option<&'a [u8]> {
    let offered = request.head.upgrade?.of(request.bytes);
    let has_http2 =
        offered.split(|&byte| byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(b"h2c"));
    (!has_http2).then_some(offered)
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
