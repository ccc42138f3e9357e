//! How often somebody may come.
//!
//! The generic cell rate algorithm (ITU-T I.371): of each key one number is kept, the time at which all that it took is made up for. It
//! is exact, has no windows whose edges could be met twice, and what is not kept counts as never seen.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use vestibule_config::{Config, Rate, RateKey};

use crate::changes::Changes;
use crate::recent::Recent;
use crate::request::Request;
use crate::respond::{self, Own};

/// Keys of one rate that are known at once, over all shards: 64 Ki of them take about 3 MiB, and only once so many came. Of more, those
/// not seen for longest count as new.
const MOST_KEYS: usize = 1 << 16;
/// Tables with a lock of their own, so that workers hardly meet.
const SHARDS: usize = 16;

/// One rate and who used how much of it, for all workers.
#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) rate: Rate,
    /// Nanoseconds in which one request is made up for.
    interval: u64,
    /// Nanoseconds that may be owed at most.
    most: u64,
    start: Instant,
    /// By the hash of a key: the nanoseconds after `start` at which nothing is owed any more.
    shards: [Mutex<Recent<u64, u64>>; SHARDS],
    /// With a key of its own, so that nobody can choose whom to be counted with.
    hasher: RandomState,
}

/// What a key may still take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    /// Requests at once.
    remaining: u64,
    /// Until all are back; of who was refused, until the next may come.
    until: Duration,
}

impl Limit {
    pub(crate) fn new(rate: Rate) -> Self {
        let per = u64::try_from(rate.per.as_nanos()).unwrap_or(u64::MAX / 4);
        let interval = per.div_ceil(u64::from(rate.requests.get())).max(1);
        let most = interval.saturating_mul(u64::from(rate.burst.get())).min(u64::MAX / 4);
        Self {
            rate,
            interval,
            most,
            start: Instant::now(),
            shards: std::array::from_fn(|_| Mutex::new(Recent::new(MOST_KEYS / SHARDS))),
            hasher: RandomState::new(),
        }
    }

    /// The key of a request.
    fn key(&self, request: &Request<'_>, client: IpAddr) -> u64 {
        match &self.rate.by {
            RateKey::All => 0,
            RateKey::Client => self.hasher.hash_one(network(client)),
            RateKey::Field(name) => match request.field(name.as_bytes()) {
                Some(value) => self.hasher.hash_one(value),
                None => self.hasher.hash_one(network(client)),
            },
        }
    }

    fn since_start(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX / 2)
    }

    /// Runs `change` on what is owed for `key` and on the table that it may keep it in.
    fn with<T>(&self, key: u64, change: impl FnOnce(&mut Recent<u64, u64>) -> T) -> Option<T> {
        let shard = self.shards.get(key as usize % SHARDS)?;
        Some(change(&mut shard.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Takes one request of what `key` may have; what is left is an error where there was none.
    fn take(&self, key: u64, now: Instant) -> Result<Standing, Standing> {
        let now = self.since_start(now);
        let taken = self.with(key, |owed| {
            let before = owed.get(&key).unwrap_or_default().max(now);
            let after = before + self.interval;
            if after - now > self.most {
                return Err(Standing { remaining: 0, until: Duration::from_nanos(after - now - self.most) });
            }
            owed.put(key, after);
            let remaining = (self.most - (after - now)) / self.interval;
            Ok(Standing { remaining, until: Duration::from_nanos(after - now) })
        });
        taken.unwrap_or(Ok(Standing { remaining: 0, until: Duration::ZERO }))
    }

    /// Gives one back: another rate refused the request.
    fn give_back(&self, key: u64) {
        self.with(key, |owed| {
            if let Some(until) = owed.get(&key) {
                owed.put(key, until.saturating_sub(self.interval));
            }
        });
    }

    /// The rate as the fields tell of it: so many in so many seconds.
    fn write_policy(&self, out: &mut Vec<u8>, name: &str) {
        let window = Duration::from_nanos(self.most);
        write_item(out, name, [("q", u64::from(self.rate.burst.get())), ("w", seconds(window).max(1))]);
    }
}

/// What counts as one client: of IPv6 what one customer has at least, a /64.
pub(crate) fn network(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => u64::from(u32::from(address)),
        // The upper half of an address is never that of an IPv4 address: those begin with 0.
        IpAddr::V6(address) => (u128::from(address) >> 64) as u64,
    }
}

/// Whole seconds, upwards: who comes then is not too early.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn write_item(out: &mut Vec<u8>, name: &str, parameters: [(&str, u64); 2]) {
    if !out.ends_with(b" ") {
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(format!("\"{name}\"").as_bytes());
    for (key, value) in parameters {
        out.extend_from_slice(format!(";{key}={value}").as_bytes());
    }
}

/// What a policy is called in the fields: by whom it counts, and by its number if there are several.
fn name(limit: &Limit, index: usize, count: usize) -> String {
    let by = match limit.rate.by {
        RateKey::Client => "client",
        RateKey::Field(_) => "field",
        RateKey::All => "all",
    };
    if count == 1 { by.to_owned() } else { format!("{by}-{}", index + 1) }
}

/// Counts the request against all `limits` of its route, and refuses it with 429 when one of them is used up. Both ways the answer says
/// what is left, by `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10).
pub(crate) fn check(
    config: &Config,
    limits: &[std::sync::Arc<Limit>],
    client: IpAddr,
    request: &Request<'_>,
    changes: &mut Changes,
) -> ControlFlow<Own> {
    if limits.is_empty() {
        return ControlFlow::Continue(());
    }
    let mut policies = b"RateLimit-Policy: ".to_vec();
    let mut standings = b"RateLimit: ".to_vec();
    let mut refused = None;
    for (index, limit) in limits.iter().enumerate() {
        let name = name(limit, index, limits.len());
        limit.write_policy(&mut policies, &name);
        if refused.is_some() {
            continue;
        }
        let taken = limit.take(limit.key(request, client), request.arrived);
        let (Ok(standing) | Err(standing)) = taken;
        write_item(&mut standings, &name, [("r", standing.remaining), ("t", seconds(standing.until))]);
        if taken.is_err() {
            // What the others counted was in vain.
            let before = limits.iter().take(index);
            before.for_each(|limit| limit.give_back(limit.key(request, client)));
            refused = Some(standing.until);
        }
    }
    for line in [policies, standings] {
        changes.lines.extend_from_slice(&line);
        changes.lines.extend_from_slice(b"\r\n");
    }
    let Some(wait) = refused else { return ControlFlow::Continue(()) };
    let mut own = respond::refused(config, 429, "more requests than the route's rate", request);
    own.retry_after = Some(u32::try_from(seconds(wait).max(1)).unwrap_or(u32::MAX));
    ControlFlow::Break(own)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use super::*;
    use crate::testing::Asked;

    fn limit(requests: u32, per: Duration, burst: u32, by: RateKey) -> Limit {
        let number = |number| NonZeroU32::new(number).unwrap();
        Limit::new(Rate { requests: number(requests), per, burst: number(burst), by })
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn takes_a_burst_and_then_exactly_the_rate() {
        let limit = limit(10, SECOND, 20, RateKey::All);
        let start = limit.start;
        for taken in 1..=20 {
            assert_eq!(limit.take(0, start).map(|standing| standing.remaining), Ok(20 - taken));
        }
        let refused = Standing { remaining: 0, until: Duration::from_millis(100) };
        assert_eq!(limit.take(0, start), Err(refused));
        assert!(limit.take(0, start + Duration::from_millis(99)).is_err());
        // From then on one in each tenth of a second, whatever is tried between.
        let mut taken = 0;
        for millisecond in 100..10_100 {
            taken += u32::from(limit.take(0, start + Duration::from_millis(millisecond)).is_ok());
        }
        assert_eq!(taken, 100);
        // After a pause all of the burst is there again, and no more.
        let later = start + Duration::from_secs(60);
        assert_eq!((0..50).filter(|_| limit.take(0, later).is_ok()).count(), 20);
    }

    #[test]
    fn counts_exactly_from_many_threads() {
        let limit = Arc::new(limit(1, Duration::from_secs(3600), 100, RateKey::All));
        let now = limit.start;
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let limit = Arc::clone(&limit);
                std::thread::spawn(move || (0..1000).filter(|_| limit.take(0, now).is_ok()).count())
            })
            .collect();
        assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>(), 100);
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let limit = limit(1, SECOND, 1, RateKey::Client);
        let asked = Asked::new("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let request = asked.request();
        let key = |address: &str| limit.key(&request, address.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[test]
    fn a_field_counts_by_its_value_and_without_it_by_the_address() {
        let limit = limit(1, SECOND, 1, RateKey::Field("x-key".to_owned()));
        let key = |fields: &str, address: &str| {
            let asked = Asked::new(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
            limit.key(&asked.request(), address.parse().unwrap())
        };
        assert_eq!(key("X-Key: a\r\n", "192.0.2.1"), key("x-key: a\r\n", "192.0.2.2"));
        assert_ne!(key("X-Key: a\r\n", "192.0.2.1"), key("X-Key: b\r\n", "192.0.2.1"));
        assert_ne!(key("", "192.0.2.1"), key("", "192.0.2.2"));
    }

    #[test]
    fn remembers_no_more_keys_than_it_may() {
        let limit = limit(1, Duration::from_secs(3600), 1, RateKey::Client);
        for key in 0..10 * MOST_KEYS as u64 {
            assert!(limit.take(key, limit.start).is_ok());
        }
        assert!(limit.take(10 * MOST_KEYS as u64 - 1, limit.start).is_err(), "the last is remembered");
        assert!(limit.take(0, limit.start).is_ok(), "the first is forgotten");
    }

    #[test]
    fn bounds_what_no_clock_reaches() {
        let limit = limit(1, Duration::from_secs(u64::MAX / 2), u32::MAX, RateKey::All);
        assert!(limit.take(0, limit.start + Duration::from_secs(1 << 40)).is_ok());
    }

    #[test]
    fn tells_what_is_left_and_refuses_with_429() {
        let asked = Asked::new("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let limits = [
            Arc::new(limit(2, SECOND, 4, RateKey::Client)),
            Arc::new(limit(1, Duration::from_secs(60), 2, RateKey::All)),
        ];
        let ask = || {
            let mut changes = Changes::default();
            let request = Request { arrived: limits[0].start, ..asked.request() };
            let flow = check(&asked.config, &limits, asked.door.peer.address, &request, &mut changes);
            (flow.break_value(), String::from_utf8(changes.lines).unwrap())
        };
        let policy = "RateLimit-Policy: \"client-1\";q=4;w=2, \"all-2\";q=2;w=120\r\n";
        let (own, lines) = ask();
        assert!(own.is_none());
        assert_eq!(lines, format!("{policy}RateLimit: \"client-1\";r=3;t=1, \"all-2\";r=1;t=60\r\n"));
        assert!(ask().0.is_none());
        for _ in 0..5 {
            let (own, lines) = ask();
            let own = own.unwrap();
            assert_eq!((own.status, own.retry_after), (429, Some(60)));
            // What the first rate counted was given back each time.
            assert_eq!(lines, format!("{policy}RateLimit: \"client-1\";r=1;t=2, \"all-2\";r=0;t=60\r\n"));
        }
    }
}
