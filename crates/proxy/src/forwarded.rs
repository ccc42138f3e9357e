//! Who the client is, and what is told of it to the application: `X-Forwarded-*`, `X-Real-IP`, `X-Request-*`, `Via` and,
//! if asked for, `Forwarded`.
//!
//! What a trusted peer says is extended, what anybody else says is overwritten. `Via` is extended whoever said it: it is
//! about the way, not about trust.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::UNIX_EPOCH;

use ipnet::IpNet;
use vestibule_http1::{Name, field};

use crate::forward::About;
use crate::request::{Request, is_trusted};

/// The address that the request really comes from: the rightmost one that is not trusted.
pub(crate) fn client_address(request: &Request<'_>, trusted: &[IpNet]) -> IpAddr {
    let mut client = request.door.peer.address;
    if !request.door.peer.is_trusted {
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

/// `http` or `https`, as the client sees it: what a trusted peer says of it holds.
pub(crate) fn scheme<'a>(request: &Request<'a>) -> &'a [u8] {
    let told = request.head.field(request.bytes, Name::XForwardedProto);
    let own: &[u8] = if request.door.is_tls { b"https" } else { b"http" };
    told.filter(|_| request.door.peer.is_trusted).unwrap_or(own)
}

/// Writes the fields that tell the application about the client.
pub(crate) fn write(out: &mut Vec<u8>, request: &Request<'_>, about: About<'_>) {
    let Request { head, bytes, door, .. } = *request;
    let peer = &door.peer;
    let told = |name: Name| if peer.is_trusted { head.field(bytes, name) } else { None };

    out.extend_from_slice(b"X-Forwarded-For: ");
    if peer.is_trusted {
        for field in head.fields.iter().filter(|field| field.kind == Name::XForwardedFor) {
            out.extend_from_slice(field.value.of(bytes));
            out.extend_from_slice(b", ");
        }
    }
    let start = out.len();
    write_address(out, peer.address);
    let end = out.len();
    out.extend_from_slice(b"\r\nX-Real-IP: ");
    if about.client == peer.address {
        out.extend_from_within(start..end);
    } else {
        write_address(out, about.client);
    }
    out.extend_from_slice(b"\r\n");

    let proto = scheme(request);
    field(out, b"X-Forwarded-Proto", proto);
    let host = told(Name::XForwardedHost).unwrap_or_else(|| head.host.of(bytes));
    if !host.is_empty() {
        field(out, b"X-Forwarded-Host", host);
    }
    for (name, kind) in
        [(&b"X-Forwarded-Port"[..], Name::XForwardedPort), (b"X-Forwarded-Ssl", Name::XForwardedSsl)]
    {
        if let Some(value) =
            told(kind).filter(|_| !about.reworked.is_some_and(|reworked| reworked.sets(name)))
        {
            field(out, name, value);
        }
    }
    if about.fields.forwarded {
        write_forwarded(out, request, (host, proto));
    }
    if let Some(name) = &about.fields.via {
        out.extend_from_slice(b"Via: ");
        // The name of the protocol is left out where it is HTTP (RFC 9110 7.6.3).
        out.extend_from_slice(request.protocol().trim_start_matches("HTTP/").as_bytes());
        out.push(b' ');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    field(out, b"X-Request-Id", about.id.as_bytes());
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

/// Writes an address; the most frequent kind without the machinery of formatting.
pub(crate) fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            let mut digits = itoa::Buffer::new();
            out.extend_from_slice(digits.format(first).as_bytes());
            for octet in rest {
                out.push(b'.');
                out.extend_from_slice(digits.format(octet).as_bytes());
            }
        }
        // Writing to a Vec cannot fail.
        IpAddr::V6(address) => {
            let _ = write!(out, "{address}");
        }
    }
}

/// Writes `Forwarded` (RFC 7239): one element for each hop, ours last.
///
/// Host and scheme stand in one element only, the first, because applications read the last that they find (Rack does)
/// and it is the client's that they want. A trusted peer that speaks only `X-Forwarded-For` is translated: Rack believes
/// `Forwarded` before the others, and would take that peer for the client.
fn write_forwarded(out: &mut Vec<u8>, request: &Request<'_>, (host, proto): (&[u8], &[u8])) {
    let Request { head, bytes, door, .. } = *request;
    let peer = &door.peer;
    let values = |name: Name| {
        let fields = head.fields.iter().filter(move |field| peer.is_trusted && field.kind == name);
        fields.map(|field| field.value.of(bytes)).filter(|value| !value.is_empty())
    };
    out.extend_from_slice(b"Forwarded: ");
    let mut is_told = false;
    for value in values(Name::Forwarded) {
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
        is_told = true;
    }
    let mut write_client = |out: &mut Vec<u8>, address: Option<IpAddr>| {
        write_node(out, address);
        if !std::mem::replace(&mut is_told, true) {
            if !host.is_empty() {
                out.extend_from_slice(b";host=");
                write_value(out, host);
            }
            out.extend_from_slice(b";proto=");
            write_value(out, proto);
        }
    };
    if values(Name::Forwarded).next().is_none() {
        for address in values(Name::XForwardedFor).flat_map(|value| value.split(|&byte| byte == b',')) {
            write_client(out, str::from_utf8(address).ok().and_then(|text| text.trim().parse().ok()));
            out.extend_from_slice(b", ");
        }
    }
    write_client(out, Some(peer.address));
    out.extend_from_slice(b"\r\n");
}

/// Writes who is at one end of a hop (RFC 7239 6).
fn write_node(out: &mut Vec<u8>, address: Option<IpAddr>) {
    out.extend_from_slice(b"for=");
    match address {
        Some(address @ IpAddr::V4(_)) => write_address(out, address),
        Some(address @ IpAddr::V6(_)) => {
            out.extend_from_slice(b"\"[");
            write_address(out, address);
            out.extend_from_slice(b"]\"");
        }
        None => out.extend_from_slice(b"unknown"),
    }
}

/// Writes a value as a token, or quoted if it is none (RFC 7239 4).
fn write_value(out: &mut Vec<u8>, value: &[u8]) {
    let is_token_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if !value.is_empty() && value.iter().all(is_token_byte) {
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    for &byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
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
            // In a Rack environment it is HTTP_VERSION, where Puma and Thin note the version that we speak with them.
            | Name::Version
    )
}
