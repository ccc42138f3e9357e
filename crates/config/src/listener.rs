//! `[[listen]]`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

use ipnet::IpNet;

use crate::address;
use crate::document::{Reader, Section, Written};
use crate::model::{ListenAddress, Listener, Member, UpstreamAddress};
use crate::problem::Problem;
use crate::tls::{self, WrittenTls};
use crate::upstream::ReadUpstream;
use crate::value;

const KIND: &str = "in [[listen]]";

/// A listener, and where its address is written; `None` when it is not, or is wrong.
pub(crate) struct ReadListener {
    pub(crate) meaning: Listener,
    pub(crate) address: Option<Range<usize>>,
    /// An address that is wrong has been reported; the default in its place clashes with nothing.
    is_stand_in: bool,
    /// Where it asks for a PROXY header or not, if it does.
    proxy_protocol: Option<Range<usize>>,
    /// Whether `tls` is written, right or wrong.
    pub(crate) is_tls: bool,
    pub(crate) tls: Option<WrittenTls>,
    /// Where the listener itself is written, for those that have no address.
    table: Range<usize>,
}

impl ReadListener {
    fn place(&self) -> Range<usize> {
        self.address.clone().unwrap_or_else(|| self.table.clone())
    }
}

/// All listeners; without any written, the default one.
pub(crate) fn read_all(reader: &Reader, top: &Section<'_>) -> Vec<ReadListener> {
    let sections = top.sections("listen", KIND);
    if sections.is_empty() {
        // An empty list asks for no listener; what is no list of tables has been reported.
        let empty =
            |written: &Written<'_>| written.get_ref().as_array().is_some_and(|array| array.is_empty());
        if let Some(written) = top.value("listen").filter(empty) {
            let problem = Problem::new("there must be a listener");
            let instead = "leave `listen` out for the default, or write [[listen]] and its `address`";
            reader.report(written.span(), problem.instead(instead));
        }
        return vec![read(Section::absent(reader, KIND))];
    }
    let mut listeners: Vec<ReadListener> = Vec::new();
    for section in sections {
        let listener = read(section);
        if let Some(earlier) = listeners.iter().find(|earlier| clash(earlier, &listener)) {
            let line = reader.source().line(earlier.place().start);
            let problem = Problem::new(format!("this address is taken by the listener on line {line}"));
            reader.report(listener.place(), problem.instead("leave one of them out, or choose another port"));
        }
        listeners.push(listener);
    }
    tls::settle(reader, &mut listeners);
    listeners
}

fn read(section: Section<'_>) -> ReadListener {
    let default = Listener::default();
    let address = section.read("address", address::listen);
    let is_stand_in = section.has("address") && address.is_none();
    let reuse_port = section.read("reuse_port", value::boolean);
    let backlog = section.or("backlog", default.backlog, value::integer(1..=65535));
    let proxy_protocol = section.read("proxy_protocol", value::boolean);
    let tls = tls::read(&section);
    let is_tls = section.has("tls");
    let http2 = section.or("http2", is_tls, value::boolean);
    let redirect = section.read("redirect", tls::redirect);
    section.later("http3", "leave it out");
    section.later("addresses", "write a [[listen]] for each address");

    let table = section.span.clone();
    let is_unix = matches!(&address, Some(found) if matches!(found.value, ListenAddress::Unix(_)));
    if let Some(found) = reuse_port.as_ref().filter(|found| found.value && is_unix) {
        let problem = Problem::new("`reuse_port` is for TCP only: a Unix socket has one accept queue");
        section.report(found.span.clone(), problem.instead("leave it out here"));
    }
    if let Some(found) = redirect.as_ref().filter(|_| is_tls) {
        let problem = Problem::new(
            "`redirect` is for a listener without `tls`: with it every request is https already",
        );
        let instead =
            "leave it out here, and write it in the [[listen]] for plain HTTP, such as that of port 80";
        section.report(found.span.clone(), problem.instead(instead));
    }
    section.finish();
    let (address, span) = address.map_or((default.address, None), |found| (found.value, Some(found.span)));
    let reuse_port = !is_unix && reuse_port.is_none_or(|found| found.value);
    ReadListener {
        meaning: Listener {
            address,
            reuse_port,
            backlog,
            proxy_protocol: proxy_protocol.as_ref().map_or(default.proxy_protocol, |found| found.value),
            tls: tls.as_ref().map(|tls| tls.meaning.clone()),
            http2,
            redirect: redirect.map(|found| found.value),
        },
        address: span,
        is_stand_in,
        proxy_protocol: proxy_protocol.map(|found| found.span),
        is_tls,
        tls,
        table,
    }
}

/// Whether the kernel would refuse the second of two listeners.
fn clash(one: &ReadListener, other: &ReadListener) -> bool {
    if one.is_stand_in || other.is_stand_in {
        return false;
    }
    match (&one.meaning.address, &other.meaning.address) {
        (ListenAddress::Tcp(one), ListenAddress::Tcp(other)) => overlap(one, other),
        (one, other) => one == other,
    }
}

/// Whether two TCP addresses share a port on an address. Port 0 is another port each time.
fn overlap(one: &SocketAddr, other: &SocketAddr) -> bool {
    let same_family = one.is_ipv4() == other.is_ipv4();
    let same_ip = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && same_family && same_ip
}

/// A PROXY header is taken from trusted proxies only: where nobody can be one, nobody could connect.
pub(crate) fn refuse_headers_of_nobody(reader: &Reader, listeners: &[ReadListener], trusted: &[IpNet]) {
    // Whoever comes over a Unix socket is on this machine.
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let trusts_local = trusted.iter().any(|network| network.contains(&local));
    for listener in listeners.iter().filter(|listener| listener.meaning.proxy_protocol) {
        let Some(place) = &listener.proxy_protocol else { continue };
        let is_unix = matches!(listener.meaning.address, ListenAddress::Unix(_));
        let problem = Problem::new("nobody could connect: a PROXY header is taken from trusted proxies only");
        if is_unix && !trusts_local {
            let instead =
                "add \"127.0.0.1\" to `trusted_proxies`, as which all count that come over a Unix socket";
            reader.report(place.clone(), problem.instead(instead));
        } else if trusted.is_empty() {
            let instead = "write trusted_proxies = [\"10.0.0.0/8\"] at the top level, with the addresses of your proxies";
            reader.report(place.clone(), problem.instead(instead));
        }
    }
}

/// A listener at an upstream's address would take the application's place, and forward to itself.
pub(crate) fn refuse_forwarding_to_ourselves(
    reader: &Reader,
    listeners: &[ReadListener],
    upstreams: &[ReadUpstream],
) {
    for listener in listeners {
        let Some(place) = &listener.address else { continue };
        let ours = |member: &Member| match (&listener.meaning.address, &member.address) {
            (ListenAddress::Unix(ours), UpstreamAddress::Unix(theirs)) => ours == theirs,
            (ListenAddress::Tcp(ours), UpstreamAddress::Tcp(theirs)) => {
                let everywhere = ours.ip().is_unspecified() && theirs.ip().is_loopback();
                ours.port() == theirs.port()
                    && (ours.ip() == theirs.ip() || everywhere && overlap(ours, theirs))
            }
            _ => false,
        };
        if let Some(upstream) = upstreams.iter().find(|upstream| upstream.meaning.members.iter().any(ours)) {
            let name = &upstream.meaning.name;
            let problem = Problem::new(format!("this is where the upstream `{name}` listens"));
            reader.report(place.clone(), problem.instead("choose another address for the public side"));
        }
    }
}
