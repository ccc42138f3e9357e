//! How long a well-behaved client waits for its answers, measured so that two times can be compared on a machine that
//! has other things to do: in windows, of whose figures the lower quartile counts. What the machine does beside us is in
//! some of the windows, what we do in all.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::client::Client;
use super::wait::seconds;

/// Requests in a window.
const WINDOW: usize = 200;
/// From one request to the next.
const EVERY: Duration = Duration::from_millis(4);
/// Times shorter than these are the machine's own affair, however they compare.
const FLOOR: Latency = Latency {
    median: Duration::from_millis(3),
    p99: Duration::from_millis(10),
    longest: Duration::from_secs(1),
};

/// The median, the 99th percentile, and the longest time of all windows: a client that waits once, but for seconds, shows
/// in nothing else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    median: Duration,
    p99: Duration,
    longest: Duration,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "median {:.2?}, p99 {:.2?}, longest {:.2?}", self.median, self.p99, self.longest)
    }
}

impl Latency {
    /// Measures this many windows.
    pub(crate) fn measure(address: SocketAddr, path: &str, windows: usize) -> Latency {
        Latency::of((0..windows).map(|_| window(address, path)).collect())
    }

    /// Measures windows as long as `go_on` says so, three at least.
    pub(crate) fn measure_while(address: SocketAddr, path: &str, mut go_on: impl FnMut() -> bool) -> Latency {
        let mut windows = Vec::new();
        while go_on() || windows.len() < 3 {
            windows.push(window(address, path));
        }
        Latency::of(windows)
    }

    fn of(windows: Vec<Latency>) -> Latency {
        let mut medians: Vec<_> = windows.iter().map(|window| window.median).collect();
        let mut p99s: Vec<_> = windows.iter().map(|window| window.p99).collect();
        let longest = windows.iter().map(|window| window.longest).max().unwrap_or_default();
        Latency { median: quantile(&mut medians, 25), p99: quantile(&mut p99s, 25), longest }
    }

    /// It is at most twice as long as `quiet`, as far as that can be told.
    pub(crate) fn assert_within_twice(&self, quiet: &Latency) {
        let most = Latency {
            median: quiet.median.max(FLOOR.median) * 2,
            p99: quiet.p99.max(FLOOR.p99) * 2,
            longest: quiet.longest.max(FLOOR.longest) * 2,
        };
        assert!(
            self.median <= most.median && self.p99 <= most.p99 && self.longest <= most.longest,
            "{self}; it was {quiet} when it was quiet, and may be twice that"
        );
    }
}

/// One client, one request after the other, all on one connection as long as it lasts. Each has to be answered 200.
fn window(address: SocketAddr, path: &str) -> Latency {
    let mut times = Vec::with_capacity(WINDOW);
    let mut kept = None;
    for _ in 0..WINDOW {
        let start = Instant::now();
        let mut client = kept
            .take()
            .unwrap_or_else(|| Client::connect(address).expect("a connection").patience(seconds(30)));
        let answer = client.get(path).expect("an answer");
        times.push(start.elapsed());
        assert_eq!(answer.status, 200, "{}", answer.text());
        kept = (!answer.closes()).then_some(client);
        std::thread::sleep(EVERY.saturating_sub(start.elapsed()));
    }
    let longest = times.iter().copied().max().unwrap_or_default();
    Latency { median: quantile(&mut times, 50), p99: quantile(&mut times, 99), longest }
}

fn quantile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100]
}
