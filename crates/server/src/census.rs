//! How many connections there are, over all workers: in all, and of each address.
//!
//! Touched when a connection comes and when it goes, never by a request.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use vestibule_config::Limits;

use crate::handshake::Failures;
use crate::refusal::{Refusal, Tally};

/// Parts of the table of addresses, each with a lock, so that workers seldom meet at one.
const SHARDS: usize = 64;

/// The count, shared by all workers. Exact: a connection is in before it is served, and out when its task ends.
#[derive(Debug)]
pub(crate) struct Census {
    most: AtomicUsize,
    most_of_network: AtomicU32,
    total: AtomicUsize,
    /// Keyed anew in each process, so that nobody can choose addresses that collide.
    hasher: RandomState,
    shards: Vec<Mutex<HashMap<Network, u32>>>,
    /// What was refused.
    pub(crate) tally: Tally,
    pub(crate) failed_handshakes: Failures,
}

/// What counts as one address: that of IPv4, or a /64 of IPv6, which is the least that one customer is given
/// (RFC 6177 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Network {
    V4(u32),
    V6(u64),
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Network::V4(address.to_bits()),
            IpAddr::V6(address) => Network::V6((address.to_bits() >> 64) as u64),
        }
    }
}

impl Census {
    pub(crate) fn new(limits: &Limits) -> Self {
        Census {
            most: AtomicUsize::new(limits.connections as usize),
            most_of_network: AtomicU32::new(limits.connections_per_address),
            total: AtomicUsize::new(0),
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            tally: Tally::default(),
            failed_handshakes: Failures::default(),
        }
    }

    /// From now on these limits hold. Who is in stays in.
    pub(crate) fn set_limits(&self, limits: &Limits) {
        self.most.store(limits.connections as usize, Ordering::Relaxed);
        self.most_of_network.store(limits.connections_per_address, Ordering::Relaxed);
    }

    /// Counts one more connection, if there may be one.
    pub(crate) fn enter(&self) -> Result<(), Refusal> {
        let most = self.most.load(Ordering::Relaxed);
        let one_more = |total: usize| (total < most).then_some(total + 1);
        match self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            Ok(_) => Ok(()),
            Err(_) => Err(Refusal::Full),
        }
    }

    /// Counts one less.
    pub(crate) fn leave(&self) {
        self.total.fetch_sub(1, Ordering::Relaxed);
    }

    /// By how many connections nine tenths of the limit are exceeded: from there on, idle ones make room.
    pub(crate) fn excess(&self) -> usize {
        let most = self.most.load(Ordering::Relaxed);
        let spare = (most / 10).max(1);
        self.total.load(Ordering::Relaxed).saturating_sub(most.saturating_sub(spare))
    }

    /// Counts one more connection of `network`, if it may have one.
    pub(crate) fn enter_from(&self, network: Network) -> Result<(), Refusal> {
        let Some(mut shard) = self.shard(network) else { return Ok(()) };
        let count = shard.entry(network).or_insert(0);
        if *count >= self.most_of_network.load(Ordering::Relaxed) {
            return Err(Refusal::Address);
        }
        *count += 1;
        Ok(())
    }

    /// Counts one less; a network without connections takes no place.
    pub(crate) fn leave_from(&self, network: Network) {
        let Some(mut shard) = self.shard(network) else { return };
        if let Some(count) = shard.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                shard.remove(&network);
            }
        }
    }

    fn shard(&self, network: Network) -> Option<MutexGuard<'_, HashMap<Network, u32>>> {
        let index = self.hasher.hash_one(network) as usize % SHARDS;
        // Nothing panics under the lock; a count would still be a count.
        Some(self.shards.get(index)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(connections: u32, connections_per_address: u32) -> Census {
        Census::new(&Limits { connections, connections_per_address, ..Limits::default() })
    }

    fn network(address: &str) -> Network {
        address.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn takes_a_64_of_ipv6_for_one_address() {
        let one = network("2001:db8:1:2::1");
        assert_eq!(network("2001:db8:1:2:ffff:ffff:ffff:ffff"), one);
        assert_ne!(network("2001:db8:1:3::1"), one);
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        // Not of one kind with IPv6 addresses that have the same bits.
        assert_ne!(network("0:0:c000:201::"), network("192.0.2.1"));
    }

    #[test]
    fn refuses_what_an_address_has_above_its_limit_and_nobody_else() {
        let census = census(100, 2);
        for address in ["2001:db8::1", "2001:db8::2"] {
            assert!(census.enter_from(network(address)).is_ok());
        }
        assert_eq!(census.enter_from(network("2001:db8::3")), Err(Refusal::Address));
        assert!(census.enter_from(network("2001:db8:0:1::3")).is_ok());
        census.leave_from(network("2001:db8::1"));
        assert!(census.enter_from(network("2001:db8::3")).is_ok());
    }

    #[test]
    fn forgets_addresses_that_have_left() {
        let census = census(100, 1);
        for last in 0..=255 {
            let network = Network::from(IpAddr::from([192, 0, 2, last]));
            assert!(census.enter_from(network).is_ok());
            census.leave_from(network);
        }
        assert!(census.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }

    #[test]
    fn is_exact_over_threads() {
        let census = census(1000, 1);
        let entered: usize = std::thread::scope(|scope| {
            let run = || (0..500).filter(|_| census.enter().is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(entered, 1000);
        census.leave();
        assert!(census.enter().is_ok());
        assert_eq!(census.enter(), Err(Refusal::Full));
    }

    #[test]
    fn new_limits_hold_for_those_who_come_from_then_on() {
        let census = census(1, 1);
        assert!(census.enter().is_ok() && census.enter_from(network("192.0.2.1")).is_ok());
        assert_eq!(census.enter(), Err(Refusal::Full));
        census.set_limits(&Limits { connections: 2, connections_per_address: 2, ..Limits::default() });
        assert!(census.enter().is_ok() && census.enter_from(network("192.0.2.1")).is_ok());
        census.set_limits(&Limits { connections: 1, connections_per_address: 1, ..Limits::default() });
        assert_eq!(census.enter(), Err(Refusal::Full));
        assert_eq!(census.excess(), 2, "the idle among those who are in make room");
        census.leave();
        assert_eq!(census.enter(), Err(Refusal::Full));
        census.leave();
        assert!(census.enter().is_ok());
    }

    #[test]
    fn wants_room_above_nine_tenths() {
        for (most, free_of_it) in [(1, 0), (2, 1), (10, 9), (100, 90), (16384, 14746)] {
            let census = census(most, 1);
            for _ in 0..free_of_it {
                assert!(census.enter().is_ok());
            }
            assert_eq!(census.excess(), 0, "{most}");
            assert!(census.enter().is_ok());
            assert_eq!(census.excess(), 1, "{most}");
        }
    }
}
