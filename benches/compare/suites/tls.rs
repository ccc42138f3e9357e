//! What TLS and HTTP/2 cost: one worker pinned to core 1, clients and application on core 0.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::large::Origin;
use super::{Options, Report, need_two_cores};
use crate::backend::Backend;
use crate::certificate::Certificate;
use crate::chart::Chart;
use crate::h2load::H2load;
use crate::peer::{Peer, Proxy, Setup};
use crate::program::Launch;
use crate::stats::{Ratios, median};
use crate::table::{Table, whole};
use crate::wrk::Wrk;

/// The proxies of this suite; ratios are to the first. nginx keeps as many connections to the application as
/// there may be streams: with fewer it would be its own connecting that is measured.
pub(crate) const PEERS: [Peer; 4] =
    [Peer::Nginx { keepalive: Some(512) }, Peer::HaProxy, Peer::Caddy { retry: false }, Peer::Vestibule];

const PROXY_CORE: usize = 1;
const LOAD_CORE: usize = 0;
/// Of h2load: connections, streams of each at once, requests in a run.
const H2: (usize, usize, u64) = (4, 100, 40_000);
const WRK_CONNECTIONS: usize = 64;
/// Clients that shake hands at once, and connections that each makes in a run.
const VISITORS: (usize, usize) = (8, 200);
/// Connections that take long answers at once, answers that each takes in a run, bytes of one.
const DOWNLOADS: (usize, usize, usize) = (8, 40, 1_000_000);

/// What is measured, in the order of the columns.
#[derive(Debug, Clone, Copy)]
enum Work {
    Streams,
    KeepAlive,
    Handshake,
    PostQuantum,
    Resumed,
    Answers,
}

const ALL: [Work; 6] =
    [Work::Streams, Work::KeepAlive, Work::Handshake, Work::PostQuantum, Work::Resumed, Work::Answers];

struct Round {
    /// Requests, handshakes or MB per second.
    rate: f64,
    /// Microseconds of CPU time for each of them.
    cost: f64,
}

/// One proxy's rounds, for each kind of work.
struct Series {
    peer: Peer,
    /// In front of the small answers, and of the long ones.
    small: Proxy,
    large: Proxy,
    rounds: [Vec<Round>; ALL.len()],
}

/// Runs the suite.
pub(crate) fn run(options: &Options, cores: usize) -> Result<Report> {
    need_two_cores(cores)?;
    let certificate = Certificate::make()?;
    let (backend, origin) = (Backend::start(Some(LOAD_CORE))?, Origin::start()?);
    let mut all = Vec::new();
    for peer in options.choose(&PEERS) {
        let start = |upstream| {
            let (workers, core, certificate) = (Some(1), Some(PROXY_CORE), Some(&certificate));
            peer.start(Setup { workers, core, certificate, ..Setup::plain(upstream) })
        };
        let (small, large) = (start(backend.socket())?, start(&origin.socket)?);
        all.push(Series { peer, small, large, rounds: Default::default() });
    }
    for number in 0..options.rounds(7) {
        for (index, work) in ALL.into_iter().enumerate() {
            // Another one begins each round, so that nobody always runs after the same one.
            let first = number % all.len().max(1);
            let (before, after) = all.split_at_mut(first);
            for series in after.iter_mut().chain(before) {
                let round = measure(series, work, options)
                    .with_context(|| format!("{work:?} with {}", series.peer.title()))?;
                eprintln!(
                    "round {number}: {work:12?} {:22} {:8.0}/s {:7.1} µs",
                    series.peer.title(),
                    round.rate,
                    round.cost
                );
                series.rounds[index].push(round);
            }
        }
    }
    Ok(report(&all))
}

fn measure(series: &Series, work: Work, options: &Options) -> Result<Round> {
    let proxy = if matches!(work, Work::Answers) { &series.large } else { &series.small };
    let address = proxy.address();
    let core = Some(LOAD_CORE);
    // Threads that end between the two readings are those of the disk, which only long answers can need.
    let used = || {
        let tree = proxy.program().tree()?;
        if matches!(work, Work::Answers) { tree.cpu_of_ended_too() } else { tree.cpu() }
    };
    let before = used()?;
    let (rate, count) = match work {
        Work::Streams => {
            let (connections, streams, requests) = H2;
            let rate = H2load { address, connections, streams, requests, core }.run()?;
            (rate, requests as f64)
        }
        Work::KeepAlive => {
            let run = Wrk::new(address, WRK_CONNECTIONS, options.seconds(2)).tls().core(core).run()?;
            if run.failed > 0 {
                bail!("{} requests of wrk failed", run.failed);
            }
            (run.rate, run.requests as f64)
        }
        Work::Handshake => visit(proxy, &[])?,
        Work::PostQuantum => visit(proxy, &["--post-quantum"])?,
        Work::Resumed => visit(proxy, &["--resumed"])?,
        Work::Answers => {
            let (connections, requests, size) = DOWNLOADS;
            let numbers = [size, requests, connections].map(|number| number.to_string());
            let seconds = own("transfer", proxy, numbers.iter().map(String::as_str).chain(["--tls"]))?;
            let megabytes = (connections * requests * size) as f64 / 1e6;
            (megabytes / seconds, megabytes)
        }
    };
    let used = used()?.saturating_sub(before).as_secs_f64();
    Ok(Round { rate, cost: used * 1e6 / count })
}

/// Handshakes per second, and how many there were.
fn visit(proxy: &Proxy, how: &[&str]) -> Result<(f64, f64)> {
    let (clients, connections) = VISITORS;
    let numbers = [connections, clients].map(|number| number.to_string());
    let arguments = numbers.iter().map(String::as_str).chain(how.iter().copied());
    let seconds = own("handshakes", proxy, arguments)?;
    let count = (clients * connections) as f64;
    Ok((count / seconds, count))
}

/// Runs one of the bench's own clients and gives the seconds that it prints.
fn own<'a>(client: &'a str, proxy: &Proxy, arguments: impl Iterator<Item = &'a str>) -> Result<f64> {
    let executable = std::env::current_exe().context("cannot find the bench's own executable")?;
    let launch = Launch::new(&executable.to_string_lossy(), Path::new("/"));
    let launch = launch.args([client, &proxy.address().to_string()]).args(arguments);
    let output = launch.core(Some(LOAD_CORE)).command()?.output().context("cannot start the client")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8_lossy(&output.stdout).trim().parse().context("no time was printed")
}

fn report(all: &[Series]) -> Report {
    let note = format!(
        "TLS 1.3, ECDSA P-256, tickets, the same certificate for all; one worker on a core of its own, clients and \
         application together on the other one. Units per second · CPU µs of the proxy per unit · that as a multiple \
         of nginx's, the median of each round's, in parentheses the middle half of the rounds. HTTP/2: h2load, {} \
         connections of {} streams, 70 bytes. Keep-alive: wrk, {WRK_CONNECTIONS} connections of HTTP/1.1, 70 bytes. \
         Handshakes: {} clients, each connection is opened, shakes hands, asks once and is closed; with X25519, with \
         X25519MLKEM768 offered before it as browsers do (the others here take X25519 then: no OpenSSL before 3.5 and \
         no Go before 1.24 has the other), and resumed by ticket. 1 MB answers: {} clients, per MB. AES-256-GCM, but for \
         Caddy under h2load and wrk: Go takes AES-128-GCM wherever it is offered.",
        H2.0, H2.1, VISITORS.0, DOWNLOADS.0
    );
    let headers = [
        "",
        "HTTP/2",
        "keep-alive",
        "handshake",
        "handshake, X25519MLKEM768",
        "handshake, resumed",
        "1 MB answers",
    ];
    let mut table = Table::new("TLS", &note, headers);
    let mut charts = [
        Chart::new("HTTP/2 over TLS: CPU per request, less is better", "µs"),
        Chart::new("A TLS handshake: CPU, less is better", "µs"),
    ];
    let nginx = all.iter().find(|series| matches!(series.peer, Peer::Nginx { .. }));
    let costs = |series: &Series, index: usize| {
        series.rounds[index].iter().map(|round| round.cost).collect::<Vec<_>>().into_iter()
    };
    for series in all {
        let cell = |index: usize| {
            let rate = median(series.rounds[index].iter().map(|round| round.rate));
            let figures = format!("{} · {:.1}", whole(rate), median(costs(series, index)));
            // Without nginx in the run there is nothing to divide by.
            nginx.map_or(figures.clone(), |nginx| {
                let ratios = Ratios::new(costs(series, index), costs(nginx, index));
                let (low, high) = ratios.middle_half();
                format!("{figures} · {:.2} ({low:.2}–{high:.2})", ratios.median())
            })
        };
        let name = name(series.peer);
        charts[0].bar(&name, median(costs(series, 0)));
        charts[1].bar(&name, median(costs(series, 2)));
        table.row(std::iter::once(name).chain((0..ALL.len()).map(cell)));
    }
    Report { table, charts: charts.into() }
}

/// The kind of keep-alive is the same for all in these suites; it needs no mention.
pub(crate) fn name(peer: Peer) -> String {
    if let Peer::Nginx { .. } = peer { "nginx".to_owned() } else { peer.title() }
}
