//! One request as the door that received it hands it in.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Instant, SystemTime};

use ipnet::IpNet;
use vestibule_http1::RequestHead;

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

/// A request whose head is whole.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The parsed head.
    pub head: &'a RequestHead,
    /// The bytes that its spans index.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub peer: &'a Peer,
    /// Whether it came over TLS.
    pub is_tls: bool,
    /// When its head was whole.
    pub arrived: Instant,
    /// The same by the calendar.
    pub arrived_at: SystemTime,
    /// Its number among the requests of this process, for the order in a line.
    pub serial: u64,
}
