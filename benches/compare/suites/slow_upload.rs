//! Clients that send slowly, before a server that a single one of them could occupy.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::{Options, Report};
use crate::chart::Chart;
use crate::load::{Load, Plan, Tally};
use crate::peer::{Peer, Proxy, Setup};
use crate::rack::{Application, Server};
use crate::slow::{Crowd, Task};
use crate::stats::percentile;
use crate::table::{Table, milliseconds, whole};

/// The proxies of this suite and of `slow-download`, each with its defaults.
pub(crate) const PEERS: [Peer; 4] =
    [Peer::Nginx { keepalive: None }, Peer::HaProxy, Peer::Caddy { retry: false }, Peer::Vestibule];
/// Whom they are before.
pub(crate) const SERVER: Server = Server::Unicorn(2);

/// Slow clients, here and in `slow-download`.
pub(super) const CLIENTS: u32 = 200;
/// Bytes of one upload, before [`scale`].
const SIZE: u32 = 1_000_000;
/// Bytes per second of each client.
const RATE: u32 = 50_000;
/// Over which share of the time of one upload they come.
const ARRIVAL: u32 = 4;

/// The visitor beside them: a small request so often, on time whatever becomes of the ones before.
pub(super) const VISITS: u32 = 50;
/// How long the visitor waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the visitor is alone first.
const QUIET: Duration = Duration::from_secs(4);

/// By how much bodies and times are longer, as `VESTIBULE_SLOW_SCALE` says: 5 MB and 20 MB with 5.
///
/// Errors when that is no number from 1 to 20.
pub(super) fn scale() -> Result<u32> {
    let Ok(text) = std::env::var("VESTIBULE_SLOW_SCALE") else { return Ok(1) };
    match text.parse() {
        Ok(scale @ 1..=20) => Ok(scale),
        _ => anyhow::bail!("VESTIBULE_SLOW_SCALE is a whole number from 1 to 20, not `{text}`"),
    }
}

/// Runs the suite: each proxy with a server of its own.
pub(crate) fn run(options: &Options, cores: usize) -> Result<Report> {
    let size = SIZE * scale()?;
    let time = Duration::from_secs(u64::from(size / RATE));
    let window = time + time / ARRIVAL + Duration::from_secs(1);
    let note = format!(
        "{CLIENTS} clients, {} MB each at {} KB/s, to {}; one more client meanwhile, {VISITS} small requests per \
         second, each on a connection of its own, for {} s; {cores} cores for all. Its times p50 · p99 · slowest in \
         ms, where a request without an answer after {} s failed and counts as that long. Occupied: how long an upload \
         had a worker of the application to itself, p50 · longest.",
        size / 1_000_000,
        RATE / 1000,
        SERVER.title(),
        window.as_secs(),
        PATIENCE.as_secs()
    );
    let headers = ["", "alone", "beside the uploads", "failed", "uploads done", "occupied ms"];
    let mut table = Table::new("Beside slow uploads", &note, headers);
    let mut chart = Chart::new("A small request beside 200 slow uploads: p99, less is better", "ms");
    for peer in options.choose(&PEERS) {
        let application = Application::start(SERVER)?;
        let proxy = peer.start(Setup::plain(&application.socket()))?;
        let alone = visit(&proxy, QUIET)?;
        let crowd = Crowd {
            address: proxy.address(),
            task: Task::Upload(size as usize),
            clients: CLIENTS,
            rate: RATE as usize,
            within: time / ARRIVAL,
        };
        let crowd = crowd.start();
        let beside = visit(&proxy, window)?;
        let occupied = application.occupied()?;
        let crowd = crowd.finish()?;
        let name = peer.title();
        eprintln!("{name:22} {} of {CLIENTS} uploads, failed: {:?}", crowd.done, crowd.failed);
        chart.bar(&name, percentile(&waits(&beside), 0.99).as_secs_f64() * 1e3);
        table.row([
            name,
            show(&alone),
            show(&beside),
            failures(&beside),
            whole(crowd.done as f64),
            spread(&occupied),
        ]);
    }
    Ok(Report { table, charts: vec![chart] })
}

/// The visitor comes for so long, and waits for all that is due.
pub(super) fn visit(proxy: &Proxy, window: Duration) -> Result<Tally> {
    let load = begin_visit(proxy);
    sleep(window);
    load.finish()
}

/// The visitor begins.
pub(super) fn begin_visit(proxy: &Proxy) -> Load {
    Load::start(Plan { address: proxy.address(), path: "/", rate: VISITS, posts: None, patience: PATIENCE })
}

/// The visitor's times; what failed took all of its patience.
pub(super) fn waits(tally: &Tally) -> Vec<Duration> {
    let failed = std::iter::repeat_n(PATIENCE, usize::try_from(tally.failures()).unwrap_or(0));
    tally.times.iter().copied().chain(failed).collect()
}

/// `p50 · p99 · slowest` of the visitor.
pub(super) fn show(tally: &Tally) -> String {
    let waits = waits(tally);
    [0.5, 0.99, 1.0].map(|share| milliseconds(percentile(&waits, share))).join(" · ")
}

/// `failed of all` of the visitor.
pub(super) fn failures(tally: &Tally) -> String {
    format!("{} of {}", whole(tally.failures() as f64), whole(tally.sent as f64))
}

/// `p50 · longest`
pub(super) fn spread(times: &[Duration]) -> String {
    [0.5, 1.0].map(|share| milliseconds(percentile(times, share))).join(" · ")
}
