//! One request as the door that received it hands it in.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use ipnet::IpNet;
use vestibule_config::Redirect;
use vestibule_http1::{Field, RequestHead, Version};

/// The other end of a client's connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its address; clients over a Unix socket are on this machine and count as 127.0.0.1.
    pub address: IpAddr,
    /// Whether what it says of others (`X-Forwarded-*`, `X-Request-Id`) is believed.
    pub is_trusted: bool,
}

impl Peer {
    /// The peer at `address`; `None` for a Unix socket's.
    pub fn new(address: Option<IpAddr>, trusted: &[IpNet]) -> Self {
        let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_canonical();
        Peer { address, is_trusted: is_trusted(address, trusted) }
    }
}

pub(crate) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// What a listener has done with all requests that come to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Where they are sent instead of being served.
    pub redirect: Option<Redirect>,
    /// `Strict-Transport-Security` of answers that have none.
    pub hsts: Option<String>,
    /// Whether it asks clients for certificates: then nobody else's word about them is taken.
    pub asks_certificates: bool,
}

/// What is the same for all requests of a client's connection.
#[derive(Debug, Clone)]
pub struct Door {
    /// The other end.
    pub peer: Peer,
    /// Whether requests come over TLS.
    pub is_tls: bool,
    /// Whether they come over HTTP/2.
    pub is_http2: bool,
    /// What the client's certificate says, as the lines of the fields that the application gets; empty where none is asked for.
    pub certificate: Box<[u8]>,
    /// Those of the listener.
    pub rules: Rc<Rules>,
}

impl Door {
    /// One for HTTP/1 in the clear.
    #[must_use]
    pub fn plain(peer: Peer, rules: Rc<Rules>) -> Self {
        Door { peer, is_tls: false, is_http2: false, certificate: Box::default(), rules }
    }

    /// `Strict-Transport-Security` of answers that leave by it and have none.
    #[must_use]
    pub fn hsts(&self) -> Option<&str> {
        self.rules.hsts.as_deref().filter(|_| self.is_tls)
    }
}

/// A request whose head is whole.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The parsed head; what came over HTTP/2 is in the form of HTTP/1.1.
    pub head: &'a RequestHead,
    /// The bytes that its spans index.
    pub bytes: &'a [u8],
    /// How it came.
    pub door: &'a Door,
    /// When its head was whole.
    pub arrived: Instant,
    /// The same by the calendar.
    pub arrived_at: SystemTime,
    /// Its number among the requests of this process, for the order in a line.
    pub serial: u64,
}

impl<'a> Request<'a> {
    /// The values of the fields of that name, in their order. `name` in any case.
    pub(crate) fn fields(&self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        let (head, bytes) = (self.head, self.bytes);
        let named = move |field: &&Field| field.name.of(bytes).eq_ignore_ascii_case(name);
        head.fields.iter().filter(named).map(|field| field.value.of(bytes))
    }

    /// The value of the first of them.
    pub(crate) fn field(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.fields(name).next()
    }

    /// The version that the client speaks.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        match self.head.version {
            _ if self.door.is_http2 => "HTTP/2.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http10 => "HTTP/1.0",
        }
    }
}
