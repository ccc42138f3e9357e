//! Memory of clients that are connected and ask nothing.

use anyhow::{Context, Result, bail};

use super::small::PEERS;
use super::{Options, Report};
use crate::backend::Backend;
use crate::chart::Chart;
use crate::client::Connection;
use crate::peer::{Peer, Setup};
use crate::table::Table;
use crate::tree::Memory;

const CONNECTIONS: usize = 10_000;

/// Runs the suite: each proxy alone, with one worker.
pub(crate) fn run(options: &Options) -> Result<Report> {
    let backend = Backend::start(None)?;
    let note = format!(
        "{CONNECTIONS} keep-alive connections, each of which has made one request; one worker. \
         RSS and PSS of the whole process tree, less what it had before them."
    );
    let headers = ["", "RSS KiB/connection", "PSS KiB/connection", "RSS before MiB", "RSS with them MiB"];
    let mut table = Table::new("An idle connection", &note, headers);
    let mut chart = Chart::new("Memory per idle connection (RSS), less is better", "KiB");
    for peer in options.choose(&PEERS) {
        let (before, after) = measure(peer, &backend)?;
        let each = |before: u64, after: u64| (after as f64 - before as f64) / 1024.0 / CONNECTIONS as f64;
        let mebibytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1024.0 / 1024.0);
        let rss = each(before.rss, after.rss);
        let name = if let Peer::Nginx { .. } = peer { "nginx".to_owned() } else { peer.title() };
        eprintln!("{name:22} {rss:6.2} KiB");
        chart.bar(&name, rss);
        table.row([
            name,
            format!("{rss:.2}"),
            format!("{:.2}", each(before.pss, after.pss)),
            mebibytes(before.rss),
            mebibytes(after.rss),
        ]);
    }
    Ok(Report { table, charts: vec![chart] })
}

fn measure(peer: Peer, backend: &Backend) -> Result<(Memory, Memory)> {
    let proxy = peer.start(Setup { workers: Some(1), ..Setup::plain(backend.socket()) })?;
    // What a first request allocates for good is not the price of a connection.
    for _ in 0..100 {
        ask(&mut Connection::open(proxy.address())?)?;
    }
    let before = proxy.program().tree()?.memory()?;
    let mut connections = Vec::with_capacity(CONNECTIONS);
    for number in 0..CONNECTIONS {
        let mut connection = Connection::open(proxy.address())
            .with_context(|| format!("connection {number} to {}", peer.title()))?;
        ask(&mut connection)?;
        connections.push(connection);
    }
    let after = proxy.program().tree()?.memory()?;
    for connection in &connections {
        if !connection.is_idle()? {
            bail!("{} has closed a connection that was to stay idle", peer.title());
        }
    }
    Ok((before, after))
}

fn ask(connection: &mut Connection) -> Result<()> {
    match connection.get("/")? {
        200 => Ok(()),
        status => bail!("the proxy answers {status}"),
    }
}
