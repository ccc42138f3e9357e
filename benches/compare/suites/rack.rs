//! What visitors of a real Rack server see through each proxy, each with its own defaults, nothing pinned.

use anyhow::Result;

use super::{Options, Report};
use crate::chart::Chart;
use crate::client::Connection;
use crate::peer::{Peer, Setup};
use crate::rack::{Application, Server};
use crate::stats::{median, median_time};
use crate::table::{Table, milliseconds, whole};
use crate::wrk::{Run, Wrk};

/// The proxies of this suite.
pub(crate) const PEERS: [Peer; 5] = [
    Peer::Nginx { keepalive: None },
    Peer::Nginx { keepalive: Some(32) },
    Peer::HaProxy,
    Peer::Caddy { retry: false },
    Peer::Vestibule,
];

const CLIENTS: usize = 32;

/// What a request does, and how long a run of it must be for its p99 to mean something.
const HANDLERS: [(&str, &str, u64); 4] =
    [("0 ms", "/sleep/0", 2), ("5 ms", "/sleep/5", 2), ("50 ms", "/sleep/50", 3), ("2 or 500 ms", "/mix", 3)];
/// The handler that is drawn: the shortest one in which the application does something.
const DRAWN: usize = 1;

/// Runs the suite with `server`.
pub(crate) fn run(server: Server, options: &Options, cores: usize) -> Result<Report> {
    let application = Application::start(server)?;
    let peers = options.choose(&PEERS);
    let mut runs: Vec<[Vec<Run>; HANDLERS.len()]> = peers.iter().map(|_| Default::default()).collect();
    // Puma is what most sites run, and gets more rounds.
    for round in 0..options.rounds(if server == Server::Puma { 3 } else { 1 }) {
        for (index, (name, path, seconds)) in HANDLERS.into_iter().enumerate() {
            for (peer, runs) in peers.iter().zip(&mut runs) {
                let run = measure(*peer, &application, path, options.seconds(seconds))?;
                let (title, p99) = (peer.title(), milliseconds(run.p99));
                eprintln!("round {round}: {name:12} {title:22} {:8.0}/s p99 {p99} ms", run.rate);
                runs[index].push(run);
            }
        }
    }
    Ok(report(server, cores, &peers, &runs))
}

/// A proxy of its own for each run: what one has left open at the application must not slow the next.
fn measure(peer: Peer, application: &Application, path: &str, seconds: u64) -> Result<Run> {
    let proxy = peer.start(Setup::plain(&application.socket()))?;
    let mut connection = Connection::open(proxy.address())?;
    for _ in 0..10 {
        connection.get("/")?;
    }
    drop(connection);
    Wrk::new(proxy.address(), CLIENTS, seconds).path(path).run()
}

fn report(server: Server, cores: usize, peers: &[Peer], runs: &[[Vec<Run>; HANDLERS.len()]]) -> Report {
    let title = format!("Behind {}", server.title());
    let note = format!(
        "{CLIENTS} clients, a handler that sleeps as long as the column says (2 ms for nine requests in ten, 500 ms \
         for one), nothing configured but the addresses, {cores} cores for all. \
         Requests/s · p50 ms · p99 ms."
    );
    let [first, second, third, fourth] = HANDLERS.map(|(name, _, _)| name);
    let mut table = Table::new(&title, &note, ["", first, second, third, fourth, "failed"]);
    let mut chart = Chart::new(&format!("{title}, {} handler: p99, less is better", HANDLERS[DRAWN].0), "ms");
    for (peer, handlers) in peers.iter().zip(runs) {
        let cell = |runs: &Vec<Run>| {
            format!(
                "{} · {} · {}",
                whole(median(runs.iter().map(|run| run.rate))),
                milliseconds(median_time(runs.iter().map(|run| run.p50))),
                milliseconds(median_time(runs.iter().map(|run| run.p99)))
            )
        };
        let failed: u64 = handlers.iter().flatten().map(|run| run.failed).sum();
        chart.bar(&peer.title(), median_time(handlers[DRAWN].iter().map(|run| run.p99)).as_secs_f64() * 1e3);
        let cells = handlers.iter().map(cell);
        table.row(std::iter::once(peer.title()).chain(cells).chain([whole(failed as f64)]));
    }
    let charts = if server == Server::Puma { vec![chart] } else { Vec::new() };
    Report { table, charts }
}
