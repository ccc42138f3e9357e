//! One accept queue per worker (`reuse_port`) or one for all.

use anyhow::Result;

use super::{Options, Report};
use crate::backend::Backend;
use crate::peer::{Peer, Proxy, Setup};
use crate::stats::{median, median_time};
use crate::table::{Table, milliseconds, whole};
use crate::wrk::{Run, Wrk};

const CONNECTIONS: usize = 64;
const WORKERS: usize = 2;

struct Series {
    proxy: Proxy,
    name: &'static str,
    kept: Vec<Run>,
    closed: Vec<Run>,
}

/// Runs the suite: Vestibule against itself.
pub(crate) fn run(options: &Options) -> Result<Report> {
    let backend = Backend::start(None)?;
    let start = |reuse_port: bool, name| -> Result<Series> {
        let setup =
            Setup { workers: Some(WORKERS), reuse_port: Some(reuse_port), ..Setup::plain(backend.socket()) };
        Ok(Series { proxy: Peer::Vestibule.start(setup)?, name, kept: Vec::new(), closed: Vec::new() })
    };
    let mut all = [start(true, "`reuse_port = true`")?, start(false, "`reuse_port = false`")?];
    for round in 0..options.rounds(3) {
        for series in &mut all {
            let wrk = || Wrk::new(series.proxy.address(), CONNECTIONS, options.seconds(3));
            let (kept, closed) = (wrk().run()?, wrk().header("Connection: close").run()?);
            eprintln!("round {round}: {:22} {:8.0}/s, closing {:8.0}/s", series.name, kept.rate, closed.rate);
            series.kept.push(kept);
            series.closed.push(closed);
        }
    }
    let note = format!("Vestibule, {WORKERS} workers, {CONNECTIONS} connections, a body of 70 bytes.");
    let headers =
        ["", "keep-alive requests/s", "p99 ms", "connection per request, requests/s", "p99 ms", "failed"];
    let mut table = Table::new("Accepting", &note, headers);
    for series in &all {
        let rate = |runs: &[Run]| whole(median(runs.iter().map(|run| run.rate)));
        let p99 = |runs: &[Run]| milliseconds(median_time(runs.iter().map(|run| run.p99)));
        let failed: u64 = series.kept.iter().chain(&series.closed).map(|run| run.failed).sum();
        table.row([
            series.name.to_owned(),
            rate(&series.kept),
            p99(&series.kept),
            rate(&series.closed),
            p99(&series.closed),
            whole(failed as f64),
        ]);
    }
    Ok(Report { table, charts: Vec::new() })
}
