//! What long bodies cost where nobody is slow: one worker pinned to core 1, clients and application on core 0.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Options, Report, need_two_cores};
use crate::chart::Chart;
use crate::peer::{Peer, Proxy, Setup};
use crate::program::{Launch, Program};
use crate::stats::{Ratios, median};
use crate::table::{Table, whole};

/// The proxies of this suite; ratios are to the first.
pub(crate) const PEERS: [Peer; 4] =
    [Peer::Nginx { keepalive: None }, Peer::HaProxy, Peer::Caddy { retry: false }, Peer::Vestibule];

const CONNECTIONS: usize = 8;
/// Bytes that each connection moves in one run.
const SHARE: usize = 60_000_000;
const PROXY_CORE: usize = 1;
const LOAD_CORE: usize = 0;

/// What is moved: the name of the column, bytes of a body, and whether the client sends it.
const MOVES: [(&str, usize, bool); 4] = [
    ("1 MB answers", 1_000_000, false),
    ("20 MB answers", 20_000_000, false),
    ("1 MB uploads", 1_000_000, true),
    ("20 MB uploads", 20_000_000, true),
];

/// One proxy's rounds, for each of the moves.
struct Series {
    name: String,
    is_first: bool,
    proxy: Proxy,
    rounds: [Vec<Round>; MOVES.len()],
}

struct Round {
    /// MB per second.
    rate: f64,
    /// Seconds of CPU time per GB.
    cost: f64,
}

/// Runs the suite.
pub(crate) fn run(options: &Options, cores: usize) -> Result<Report> {
    need_two_cores(cores)?;
    let origin = Origin::start()?;
    let mut all = Vec::new();
    for peer in options.choose(&PEERS) {
        let is_keeping = matches!(peer, Peer::Nginx { .. } | Peer::Vestibule);
        for buffered in if is_keeping { &[true, false][..] } else { &[true] } {
            let setup = Setup {
                workers: Some(1),
                core: Some(PROXY_CORE),
                buffered: *buffered,
                ..Setup::plain(&origin.socket)
            };
            let (mut name, is_first) = (peer.title(), peer == PEERS[0] && *buffered);
            if !buffered {
                name.push_str(", not buffering");
            }
            all.push(Series { name, is_first, proxy: peer.start(setup)?, rounds: Default::default() });
        }
    }
    for number in 0..options.rounds(5) {
        for (index, (what, size, is_upload)) in MOVES.into_iter().enumerate() {
            // Another one begins each round, so that nobody always runs after the same one.
            let first = number % all.len().max(1);
            let (before, after) = all.split_at_mut(first);
            for series in after.iter_mut().chain(before) {
                let round = measure(&series.proxy, size, is_upload)
                    .with_context(|| format!("{what} of {}", series.name))?;
                eprintln!(
                    "round {number}: {what:14} {:32} {:6.0} MB/s {:6.3} s/GB",
                    series.name, round.rate, round.cost
                );
                series.rounds[index].push(round);
            }
        }
    }
    Ok(report(&all))
}

fn measure(proxy: &Proxy, size: usize, is_upload: bool) -> Result<Round> {
    let executable = std::env::current_exe().context("cannot find the bench's own executable")?;
    let mut launch = Launch::new(&executable.to_string_lossy(), Path::new("/"))
        .args(["transfer".to_owned(), proxy.address().to_string()])
        .args([size, SHARE / size, CONNECTIONS].map(|number| number.to_string()));
    if is_upload {
        launch = launch.args(["--upload"]);
    }
    let before = proxy.program().tree()?.cpu_of_ended_too()?;
    let output = launch.core(Some(LOAD_CORE)).command()?.output().context("cannot move anything")?;
    let used = proxy.program().tree()?.cpu_of_ended_too()?.saturating_sub(before).as_secs_f64();
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let seconds: f64 = text.trim().parse().context("no time was printed")?;
    let bytes = (SHARE * CONNECTIONS) as f64;
    Ok(Round { rate: bytes / 1e6 / seconds, cost: used / (bytes / 1e9) })
}

fn report(all: &[Series]) -> Report {
    let note = format!(
        "{CONNECTIONS} clients as fast as they can, {} MB in a run; one worker on a core of its own, clients and \
         application together on the other one. MB/s · seconds of CPU per GB · that as a multiple of what nginx takes, \
         the median of each round's, in parentheses the middle half of the rounds.",
        SHARE * CONNECTIONS / 1_000_000
    );
    let [first, second, third, fourth] = MOVES.map(|(name, _, _)| name);
    let mut table = Table::new("Long bodies", &note, ["", first, second, third, fourth]);
    let mut chart = Chart::new("20 MB answers: CPU per GB, less is better", "s");
    let nginx = all.iter().find(|series| series.is_first);
    for series in all {
        let cell = |index: usize| {
            let costs = |series: &Series| {
                series.rounds[index].iter().map(|round| round.cost).collect::<Vec<_>>().into_iter()
            };
            let rate = median(series.rounds[index].iter().map(|round| round.rate));
            let figures = format!("{} · {:.3}", whole(rate), median(costs(series)));
            // Without nginx in the run there is nothing to divide by.
            nginx.map_or(figures.clone(), |nginx| {
                let ratios = Ratios::new(costs(series), costs(nginx));
                let (low, high) = ratios.middle_half();
                format!("{figures} · {:.2} ({low:.2}–{high:.2})", ratios.median())
            })
        };
        chart.bar(&series.name, median(series.rounds[1].iter().map(|round| round.cost)));
        table.row(std::iter::once(series.name.clone()).chain((0..MOVES.len()).map(cell)));
    }
    Report { table, charts: vec![chart] }
}

/// The application, in a process and on a core of its own.
pub(crate) struct Origin {
    _program: Program,
    /// Where it listens.
    pub(crate) socket: std::path::PathBuf,
    _directory: tempfile::TempDir,
}

impl Origin {
    /// Starts it and waits for its socket.
    pub(crate) fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let socket = directory.path().join("origin.sock");
        let executable = std::env::current_exe().context("cannot find the bench's own executable")?;
        let launch = Launch::new(&executable.to_string_lossy(), directory.path());
        let launch = launch.args(["origin".into(), socket.clone().into_os_string()]);
        let mut program = launch.core(Some(LOAD_CORE)).start()?;
        program.wait_until(Duration::from_secs(10), || socket.exists())?;
        Ok(Self { _program: program, socket, _directory: directory })
    }
}
