//! Many slow clients at once, before real servers. `make test-slow` runs these at the length that the product promises;
//! otherwise they are shorter, which shows the same.

use std::time::{Duration, Instant};

use super::{buffered, noise};
use crate::forwarding::sha256;
use crate::support::app::{App, Kind};
use crate::support::client::get;
use crate::support::dir::Dir;
use crate::support::latency::Latency;
use crate::support::slow::Crowd;
use crate::support::turn;
use crate::support::vestibule::Vestibule;
use crate::support::wait::{seconds, until_true};

/// So many clients, so many bytes each, so many of them per second.
#[derive(Debug, Clone, Copy)]
struct Size {
    clients: usize,
    bytes: usize,
    rate: usize,
}

impl Size {
    /// How long a client takes.
    fn time(self) -> Duration {
        Duration::from_secs_f64(self.bytes as f64 / self.rate as f64)
    }
}

/// The one for `make test-slow`, or the one for every day.
fn size(whole: Size, short: Size) -> Size {
    if std::env::var_os("VESTIBULE_SLOW").is_some() { whole } else { short }
}

#[test]
fn other_requests_see_nothing_of_slow_uploads_to_unicorn() {
    let size = size(
        Size { clients: 200, bytes: 5_000_000, rate: 50_000 },
        Size { clients: 40, bytes: 1_000_000, rate: 100_000 },
    );
    let _turn = turn::alone();
    let dir = Dir::new();
    let _app = App::start(Kind::Unicorn, &dir);
    let vestibule = Vestibule::start(&dir, &buffered(&dir, "", ""));
    let quiet = Latency::measure(vestibule.address(), "/", 5);

    let body = noise(size.bytes);
    let expected = format!("{} {}", body.len(), sha256(&body));
    let start = Instant::now();
    let uploads = Crowd::uploading(vestibule.address(), "/upload", body, size.clients, size.rate);
    // Their ends come at about the same time and are real work for the application, so they are not measured.
    let beside =
        Latency::measure_while(vestibule.address(), "/", || start.elapsed() < size.time().mul_f64(0.8));
    println!("{size:?}: {beside}; quiet: {quiet}");
    assert_eq!(uploads.busy(), size.clients, "uploads ended before their time");
    for answer in uploads.join() {
        assert_eq!(answer.expect("an answer").text(), expected);
    }
    beside.assert_within_twice(&quiet);
}

#[test]
fn puma_is_free_within_a_second_of_slow_downloads() {
    let size = size(
        Size { clients: 200, bytes: 20_000_000, rate: 100_000 },
        Size { clients: 40, bytes: 5_000_000, rate: 100_000 },
    );
    let _turn = turn::alone();
    let dir = Dir::new();
    let app = App::start(Kind::Puma, &dir);
    let vestibule = Vestibule::start(&dir, &buffered(&dir, "", ""));
    let path = move |number| format!("/download?id={number}&bytes={}", size.bytes);
    let downloads = Crowd::downloading(vestibule.address(), path, size.clients, size.rate);

    // All clients are still at the beginning when the application is done with the last of them.
    until_true("the application is done with every download", size.time().mul_f64(0.5), || {
        app.ledger().executions().len() == size.clients
    });
    assert_eq!(downloads.busy(), size.clients, "downloads ended before their time");
    let mut times: Vec<u64> = app.ledger().executions().keys().map(|line| time(line)).collect();
    times.sort_unstable();
    for _ in 0..20 {
        let start = Instant::now();
        assert_eq!(get(vestibule.address(), "/").status, 200);
        assert!(start.elapsed() < seconds(1), "a fresh request took {:?}", start.elapsed());
    }
    println!("{size:?}: {} to {} ms in the application", times[0], times[times.len() - 1]);
    assert!(times[times.len() - 1] < 1000, "milliseconds in the application: {times:?}");

    downloads.hurry();
    let expected = sha256(&(0..size.bytes).map(|index| (index % 65_536 % 256) as u8).collect::<Vec<_>>());
    for answer in downloads.join() {
        let answer = answer.expect("an answer");
        assert_eq!((answer.body.len(), sha256(&answer.body)), (size.bytes, expected.clone()));
    }
}

/// The milliseconds in a line of `/download`.
fn time(line: &str) -> u64 {
    line.split_once(' ').and_then(|(_, time)| time.parse().ok()).expect("a time")
}
