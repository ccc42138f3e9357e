//! What one small request costs: one worker pinned to core 1, wrk and the backend on core 0.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Options, Report, need_two_cores};
use crate::backend::Backend;
use crate::chart::Chart;
use crate::peer::{Peer, Proxy, Setup};
use crate::stats::{Ratios, median, median_time};
use crate::table::{Table, milliseconds, whole};
use crate::wrk::{Run, Wrk};

/// The proxies of this suite; ratios are to the first.
pub(crate) const PEERS: [Peer; 5] = [
    Peer::Nginx { keepalive: Some(64) },
    Peer::HaProxy,
    Peer::Caddy { retry: false },
    Peer::BareHyper,
    Peer::Vestibule,
];
/// Those that also run with an access log.
pub(crate) const PEERS_LOG: [Peer; 2] = [Peer::Nginx { keepalive: Some(64) }, Peer::Vestibule];

const CONNECTIONS: usize = 64;
/// How long a proxy may keep lines of its log in memory.
const LOG_DELAY: Duration = Duration::from_secs(5);
const PROXY_CORE: usize = 1;
const LOAD_CORE: usize = 0;

/// Whether access logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    /// None.
    Off,
    /// The combined format, to a file.
    File,
}

/// One proxy's rounds.
struct Series {
    peer: Peer,
    proxy: Proxy,
    rounds: Vec<Round>,
}

struct Round {
    run: Run,
    /// CPU time per request, in microseconds.
    cost: f64,
    /// Share of its core that the proxy used; well below 1, something else was the bottleneck.
    busy: f64,
}

/// Runs the suite.
pub(crate) fn run(log: Log, options: &Options, cores: usize) -> Result<Report> {
    need_two_cores(cores)?;
    let backend = Backend::start(Some(LOAD_CORE))?;
    let setup = Setup {
        workers: Some(1),
        core: Some(PROXY_CORE),
        access_log: log == Log::File,
        ..Setup::plain(backend.socket())
    };
    let peers = options.choose(if log == Log::File { &PEERS_LOG } else { &PEERS });
    let mut all = Vec::new();
    for peer in peers {
        let proxy = peer.start(setup)?;
        measure(&proxy, 1)?;
        all.push(Series { peer, proxy, rounds: Vec::new() });
    }
    // Many short rounds, not few long ones: a disturbance then spoils some rounds, and the median leaves them out.
    let mut ceilings = Vec::new();
    for number in 0..options.rounds(10) {
        ceilings.push(Wrk::new(backend.direct(), CONNECTIONS, 1).core(Some(LOAD_CORE)).run()?.rate);
        // Another one begins each round, so that nobody always runs after the same one.
        let first = number % all.len().max(1);
        let (before, after) = all.split_at_mut(first);
        for series in after.iter_mut().chain(before) {
            let round = measure(&series.proxy, options.seconds(2))?;
            eprintln!(
                "round {number}: {:22} {:8.0}/s {:6.1} µs",
                series.peer.title(),
                round.run.rate,
                round.cost
            );
            series.rounds.push(round);
        }
    }
    if log == Log::File {
        all.iter().try_for_each(check_log)?;
    }
    Ok(report(log, median(ceilings), &all))
}

/// A log that is not written costs nothing: the figure of such a run must not be believed.
fn check_log(series: &Series) -> Result<()> {
    let requests: u64 = series.rounds.iter().map(|round| round.run.requests).sum();
    let deadline = Instant::now() + LOG_DELAY;
    let mut lines = 0;
    while lines < requests && Instant::now() < deadline {
        lines = series.proxy.log_lines().with_context(|| series.peer.title())?;
    }
    if lines < requests {
        bail!("{} wrote {lines} lines of access log for {requests} requests", series.peer.title());
    }
    Ok(())
}

fn measure(proxy: &Proxy, seconds: u64) -> Result<Round> {
    let before = proxy.program().tree()?.cpu()?;
    let start = Instant::now();
    let run = Wrk::new(proxy.address(), CONNECTIONS, seconds).core(Some(LOAD_CORE)).run()?;
    let wall = start.elapsed().as_secs_f64();
    let used = proxy.program().tree()?.cpu()?.saturating_sub(before).as_secs_f64();
    Ok(Round { run, cost: used * 1e6 / run.requests.max(1) as f64, busy: used / wall })
}

fn report(log: Log, ceiling: f64, all: &[Series]) -> Report {
    let (title, logging) = match log {
        Log::Off => ("A small request", "no access log"),
        Log::File => ("A small request, with an access log", "access log in the combined format to a file"),
    };
    let note = format!(
        "{CONNECTIONS} connections, a body of 70 bytes from the Unix socket, one worker on a core of its own, \
         {logging}. wrk straight at the backend, both on the other core: {}/s. \
         Ratios are medians of each round's, in parentheses the middle half of the rounds.",
        whole(ceiling)
    );
    let headers =
        ["", "requests/s", "× nginx", "CPU µs/request", "× nginx", "core busy", "p50 ms", "p99 ms", "failed"];
    let mut table = Table::new(title, &note, headers);
    let mut chart = Chart::new(&format!("{title}: CPU per request, less is better"), "µs");
    let nginx = all.iter().find(|series| matches!(series.peer, Peer::Nginx { .. }));
    let ratios = |series: &Series, figure: fn(&Round) -> f64| {
        let (ours, theirs) = (series.rounds.iter().map(figure), nginx?.rounds.iter().map(figure));
        Some(Ratios::new(ours, theirs))
    };
    // Without nginx in the run there is nothing to divide by, and the cell stays empty.
    let median_ratio = |ratios: &Ratios| format!("{:.2}", ratios.median());
    let spread_ratio = |ratios: &Ratios| {
        let (low, high) = ratios.middle_half();
        format!("{:.2} ({low:.2}–{high:.2})", ratios.median())
    };
    for series in all {
        let runs = || series.rounds.iter().map(|round| round.run);
        let cost = median(series.rounds.iter().map(|round| round.cost));
        // The kind of keep-alive is the same for all here; it needs no mention in the name.
        let name = match series.peer {
            Peer::Nginx { .. } => "nginx".to_owned(),
            peer => peer.title(),
        };
        chart.bar(&name, cost);
        table.row([
            name,
            whole(median(runs().map(|run| run.rate))),
            ratios(series, |round| round.run.rate).as_ref().map_or_else(String::new, median_ratio),
            format!("{cost:.1}"),
            ratios(series, |round| round.cost).as_ref().map_or_else(String::new, spread_ratio),
            format!("{:.0} %", 100.0 * median(series.rounds.iter().map(|round| round.busy))),
            milliseconds(median_time(runs().map(|run| run.p50))),
            milliseconds(median_time(runs().map(|run| run.p99))),
            whole(runs().map(|run| run.failed as f64).sum()),
        ]);
    }
    Report { table, charts: vec![chart] }
}
