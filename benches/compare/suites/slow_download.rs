//! Clients that read slowly: for how long they occupy the application.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::slow_upload::{CLIENTS, PEERS, VISITS, begin_visit, failures, scale, show, spread, visit};
use super::{Options, Report};
use crate::chart::Chart;
use crate::peer::Setup;
use crate::rack::{Application, Server};
use crate::slow::{Crowd, Task};
use crate::stats::percentile;
use crate::table::{Table, whole};

const SERVER: Server = Server::Puma;
/// Bytes of one answer, before `scale`.
const SIZE: u32 = 4_000_000;
/// Bytes per second of each client.
const RATE: u32 = 100_000;
/// How long it is measured, before `scale`: not to the end of the answers, which says nothing new.
const WINDOW: u32 = 15;
/// Over which time the clients come.
const ARRIVAL: Duration = Duration::from_secs(1);
/// How long the visitor is alone first.
const QUIET: Duration = Duration::from_secs(4);
/// Between two looks at the memory of a proxy: the kernel walks all its pages for one.
const LOOK: Duration = Duration::from_millis(200);

/// Runs the suite: each proxy with a server of its own.
pub(crate) fn run(options: &Options, cores: usize) -> Result<Report> {
    let scale = scale()?;
    let window = Duration::from_secs(u64::from(WINDOW * scale));
    let note = format!(
        "{CLIENTS} clients ask {} for {} MB each and take {} KB/s; one more client meanwhile, {VISITS} small requests \
         per second, each on a connection of its own; the first {} s of it, {cores} cores for all. Its times p50 · \
         p99 · slowest in ms, where a request without an answer after 10 s failed and counts as that long. Occupied: \
         how long an answer had a thread of the application to itself, p50 · longest, so far where it had not ended. \
         At their rate: clients that got what they could take. PSS of the proxy's processes before, and at its \
         highest.",
        SERVER.title(),
        SIZE * scale / 1_000_000,
        RATE / 1000,
        window.as_secs(),
    );
    let headers = [
        "",
        "alone",
        "beside the downloads",
        "failed",
        "answers begun",
        "occupied ms",
        "at their rate",
        "PSS before MiB",
        "highest MiB",
    ];
    let mut table = Table::new("Beside slow downloads", &note, headers);
    let mut chart = Chart::new("How long a slow download occupies a thread: p50, less is better", "ms");
    for peer in options.choose(&PEERS) {
        let application = Application::start(SERVER)?;
        let proxy = peer.start(Setup::plain(&application.socket()))?;
        let alone = visit(&proxy, QUIET)?;
        let pss = || Ok::<_, anyhow::Error>(proxy.program().tree()?.memory()?.pss);
        let before = pss()?;
        let crowd = Crowd {
            address: proxy.address(),
            task: Task::Download((SIZE * scale) as usize),
            clients: CLIENTS,
            rate: RATE as usize,
            within: ARRIVAL,
        };
        let end = Instant::now() + window;
        let (crowd, visitor) = (crowd.start(), begin_visit(&proxy));
        let mut highest = before;
        while Instant::now() < end {
            highest = highest.max(pss()?);
            sleep(LOOK);
        }
        let beside = visitor.finish()?;
        let occupied = application.occupied()?;
        let crowd = crowd.finish()?;
        let name = peer.title();
        eprintln!("{name:22} {} of {CLIENTS} at their rate, failed: {:?}", crowd.at_rate, crowd.failed);
        chart.bar(&name, percentile(&occupied, 0.5).as_secs_f64() * 1e3);
        let mebibytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1024.0 / 1024.0);
        table.row([
            name,
            show(&alone),
            show(&beside),
            failures(&beside),
            whole(occupied.len() as f64),
            spread(&occupied),
            whole(crowd.at_rate as f64),
            mebibytes(before),
            mebibytes(highest),
        ]);
    }
    Ok(Report { table, charts: vec![chart] })
}
