//! The addresses that the DNS has for the names of members.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::SRV;
use vestibule_config::{Dns, Member, UpstreamAddress};

use crate::member::Place;
use crate::upstream::place;

/// Most servers that one name may stand for.
const MOST: usize = 256;
/// Times that a question is asked before it has failed.
const ATTEMPTS: usize = 2;

/// Why a name gave no address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unknown {
    /// There is nobody to ask.
    #[error("cannot tell whom to ask: {0}")]
    NoServer(NetError),
    /// No answer, or a refusal.
    #[error("{0}")]
    NoAnswer(#[from] NetError),
    /// An answer without an address in it.
    #[error("the name has no address")]
    Nothing,
    /// Some servers of a service are known. They are what there is while nothing better is.
    #[error("{why}; of {target}, which the service names")]
    InPart { target: String, why: Box<NetError>, found: (Vec<Place>, Duration) },
}

/// Asks the DNS.
#[derive(Clone)]
pub(crate) struct Names {
    resolver: TokioResolver,
    config: Dns,
}

impl Names {
    /// As `config` says; whom the system asks, where it says nobody.
    ///
    /// # Errors
    /// [`Unknown::NoServer`].
    pub(crate) fn new(config: &Dns) -> Result<Self, Unknown> {
        let mut builder = if config.servers.is_empty() {
            TokioResolver::builder_tokio().map_err(Unknown::NoServer)?
        } else {
            let servers = config.servers.iter().map(|&server| name_server(server)).collect();
            let servers = ResolverConfig::from_parts(None, Vec::new(), servers);
            TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = config.timeout;
        options.attempts = ATTEMPTS;
        // A server that has both is one server.
        options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
        // Each question is to be answered anew: we ask no sooner than the last answer allows.
        options.cache_size = 0;
        let resolver = builder.build().map_err(Unknown::NoServer)?;
        Ok(Names { resolver, config: config.clone() })
    }

    /// The servers that `member` stands for now, and how long that is to be believed.
    ///
    /// # Errors
    /// [`Unknown`]; an answer without an address is one.
    pub(crate) async fn look_up(&self, member: &Member) -> Result<(Vec<Place>, Duration), Unknown> {
        let mut missing = None;
        let (mut places, until) = match &member.address {
            UpstreamAddress::Name(name, port) => {
                let found = self.addresses(name, *port).await?;
                (
                    found.0.into_iter().map(|address| place(member, address, member.weight, 0)).collect(),
                    found.1,
                )
            }
            UpstreamAddress::Srv(name) => {
                let (found, failure) = self.service(member, name).await?;
                missing = failure;
                found
            }
            address @ (UpstreamAddress::Unix(_) | UpstreamAddress::Tcp(_)) => (
                vec![place(member, address.clone(), member.weight, 0)],
                Instant::now() + self.config.most_ttl,
            ),
        };
        if places.is_empty() {
            return Err(Unknown::Nothing);
        }
        if places.len() > MOST {
            tracing::warn!(name = %member.address, found = places.len(), "more addresses than are used: {MOST}");
            places.truncate(MOST);
        }
        let ttl = until.saturating_duration_since(Instant::now());
        // The clock ran on since the answer; a TTL of whole seconds is meant.
        let ttl = ttl + Duration::from_millis(1);
        let found = (places, ttl.clamp(self.config.least_ttl, self.config.most_ttl));
        match missing {
            None => Ok(found),
            Some((target, why)) => Err(Unknown::InPart { target, why: Box::new(why), found }),
        }
    }

    async fn addresses(&self, name: &str, port: u16) -> Result<(Vec<UpstreamAddress>, Instant), NetError> {
        let found = self.resolver.lookup_ip(name).await?;
        let mut addresses: Vec<_> =
            found.iter().map(|ip| UpstreamAddress::Tcp(SocketAddr::new(ip, port))).collect();
        addresses.sort_unstable();
        addresses.dedup();
        Ok((addresses, found.valid_until()))
    }

    /// The servers of a service (RFC 2782). The lowest priority is the first tier; a target that has no address is left out. Beside
    /// them, one about which nobody could be asked.
    async fn service(
        &self,
        member: &Member,
        name: &str,
    ) -> Result<((Vec<Place>, Instant), Option<(String, NetError)>), Unknown> {
        let found = self.resolver.srv_lookup(name).await?;
        let mut until = found.valid_until();
        let records = found.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(record) if !record.target.is_root() => Some(record),
            _ => None,
        });
        let records: Vec<&SRV> = records.take(MOST).collect();
        let lowest = records.iter().map(|record| record.priority).min().unwrap_or_default();
        let mut places: Vec<Place> = Vec::new();
        let mut failure = None;
        for record in records {
            match self.addresses(&record.target.to_ascii(), record.port).await {
                Ok((addresses, valid)) => {
                    until = until.min(valid);
                    let priority = u32::from(record.priority - lowest);
                    // "A very small chance" is what a weight of 0 is to get beside others.
                    let weight = u32::from(record.weight).max(1);
                    for address in addresses {
                        if !places.iter().any(|known| known.address == address) {
                            places.push(place(member, address, weight, priority));
                        }
                    }
                }
                Err(error) if error.is_no_records_found() || error.is_nx_domain() => {
                    tracing::debug!(service = name, target = %record.target, %error, "a server has no address");
                }
                Err(error) => failure = Some((record.target.to_ascii(), error)),
            }
        }
        match failure {
            Some((_, error)) if places.is_empty() => Err(error.into()),
            failure => Ok(((places, until), failure)),
        }
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").field("config", &self.config).finish_non_exhaustive()
    }
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let with_port = |mut connection: ConnectionConfig| {
        connection.port = server.port();
        connection
    };
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(with_port);
    NameServerConfig::new(server.ip(), true, connections.into())
}
