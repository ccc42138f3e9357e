//! Who the client is, and what is told of it to the application: `X-Forwarded-*`, `X-Real-IP`, `X-Request-*`.
//!
//! What a trusted peer says is extended, what anybody else says is overwritten.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::UNIX_EPOCH;

use ipnet::IpNet;
use vestibule_http1::{Name, field, number_field};

use crate::request::{Request, is_trusted};
use crate::request_id::RequestId;

/// The address that the request really comes from: the rightmost one that is not trusted.
pub(crate) fn client_address(request: &Request<'_>, trusted: &[IpNet]) -> IpAddr {
    let mut client = request.peer.address;
    if !request.peer.is_trusted {
        return client;
    }
    let fields = request.head.fields.iter().rev().filter(|field| field.kind == Name::XForwardedFor);
    let addresses = fields.flat_map(|field| field.value.of(request.bytes).rsplit(|&byte| byte == b','));
    for address in addresses {
        let Some(address) = str::from_utf8(address).ok().and_then(|text| text.trim().parse::<IpAddr>().ok())
        else {
            break;
        };
        client = address.to_canonical();
        if !is_trusted(client, trusted) {
            break;
        }
    }
    client
}

/// Writes the fields that tell the application about the client.
pub(crate) fn write(out: &mut Vec<u8>, request: &Request<'_>, client: IpAddr, id: &RequestId) {
    let Request { head, bytes, peer, .. } = *request;
    let told = |name: Name| if peer.is_trusted { head.field(bytes, name) } else { None };

    out.extend_from_slice(b"X-Forwarded-For: ");
    if peer.is_trusted {
        for field in head.fields.iter().filter(|field| field.kind == Name::XForwardedFor) {
            out.extend_from_slice(field.value.of(bytes));
            out.extend_from_slice(b", ");
        }
    }
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{}\r\nX-Real-IP: {client}\r\n", peer.address);

    let own_proto: &[u8] = if request.is_tls { b"https" } else { b"http" };
    field(out, b"X-Forwarded-Proto", told(Name::XForwardedProto).unwrap_or(own_proto));
    let host = told(Name::XForwardedHost).unwrap_or_else(|| head.host.of(bytes));
    if !host.is_empty() {
        field(out, b"X-Forwarded-Host", host);
    }
    for (name, kind) in
        [(&b"X-Forwarded-Port"[..], Name::XForwardedPort), (b"X-Forwarded-Ssl", Name::XForwardedSsl)]
    {
        if let Some(value) = told(kind) {
            field(out, name, value);
        }
    }
    field(out, b"X-Request-Id", id.as_bytes());
    match told(Name::XRequestStart) {
        Some(start) => field(out, b"X-Request-Start", start),
        None => {
            let since = request.arrived_at.duration_since(UNIX_EPOCH).unwrap_or_default();
            out.extend_from_slice(b"X-Request-Start: t=");
            let mut digits = itoa::Buffer::new();
            out.extend_from_slice(digits.format(since.as_micros() as u64).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Whether a field of the client's is left out because it is written anew, or must not pass.
pub(crate) fn is_replaced(kind: Name) -> bool {
    matches!(
        kind,
        Name::XForwardedFor
            | Name::XForwardedProto
            | Name::XForwardedHost
            | Name::XForwardedPort
            | Name::XForwardedSsl
            | Name::XForwardedScheme
            | Name::XRealIp
            | Name::XRequestId
            | Name::XRequestStart
            | Name::Forwarded
            // They steer what the application does with files, or with its own proxy (CVE-2016-5385).
            | Name::Proxy
            | Name::XSendfileType
            | Name::XAccelMapping
    )
}

/// Writes the length of a body.
pub(crate) fn write_length(out: &mut Vec<u8>, length: u64) {
    number_field(out, b"Content-Length", length);
}
