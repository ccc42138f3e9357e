//! Memory of clients that are connected through TLS and ask nothing.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustls::ClientConfig;

use super::tls::{PEERS, name};
use super::{Options, Report};
use crate::backend::Backend;
use crate::certificate::Certificate;
use crate::chart::Chart;
use crate::client::Connection;
use crate::peer::{Proxy, Setup};
use crate::streams::Streams;
use crate::table::Table;
use crate::tls::Hello;
use crate::tree::Memory;

const CONNECTIONS: usize = 1_000;
const BURST: usize = 100;
/// Connections made first and closed again: what they allocate for good is not the price of a connection.
const FIRST: usize = 20;

/// Runs the suite: each proxy alone, with one worker.
pub(crate) fn run(options: &Options) -> Result<Report> {
    let certificate = Certificate::make()?;
    let backend = Backend::start(None)?;
    let note = format!(
        "{CONNECTIONS} connections of TLS 1.3, one worker. RSS · PSS in KiB of the whole process tree, less what it had \
         before them, per connection: each has made one request; or {BURST} at once, has all the answers and asks \
         nothing since."
    );
    let headers = ["", "HTTP/1.1", "HTTP/2", "HTTP/2, after 100 streams at once"];
    let mut table = Table::new("An idle connection of TLS", &note, headers);
    let mut chart = Chart::new("Memory per idle connection of TLS with HTTP/2 (RSS), less is better", "KiB");
    for peer in options.choose(&PEERS) {
        let start = || {
            let (workers, certificate) = (Some(1), Some(&certificate));
            peer.start(Setup { workers, certificate, ..Setup::plain(backend.socket()) })
        };
        // A process of its own for each: what a burst has left would hide what the next one needs.
        let grown = [keep_alive(&start()?)?, streams(&start()?, 1)?, streams(&start()?, BURST)?];
        let name = name(peer);
        eprintln!("{name:22} {:6.2} {:6.2} {:6.2} KiB", grown[0].0, grown[1].0, grown[2].0);
        chart.bar(&name, grown[1].0);
        table.row(std::iter::once(name).chain(grown.map(|(rss, pss)| format!("{rss:.2} · {pss:.2}"))));
    }
    Ok(Report { table, charts: vec![chart] })
}

fn keep_alive(proxy: &Proxy) -> Result<(f64, f64)> {
    let settings = Hello::PLAIN.settings()?;
    let open = |number: usize| -> Result<_> {
        let mut connection = Connection::open_tls(proxy.address(), &settings)?;
        let status = connection.get("/").with_context(|| format!("connection {number}"))?;
        ensure!(status == 200, "the proxy answers {status}");
        Ok(connection)
    };
    let (grown, connections) = grow(proxy, open)?;
    for connection in &connections {
        ensure!(connection.is_idle()?, "a connection was closed that was to stay idle");
    }
    Ok(grown)
}

fn streams(proxy: &Proxy, requests: usize) -> Result<(f64, f64)> {
    let settings: Arc<ClientConfig> = Hello { protocol: "h2", ..Hello::PLAIN }.settings()?;
    let open = |number: usize| -> Result<_> {
        let mut connection = Streams::open(proxy.address(), &settings)?;
        connection.ask(requests).with_context(|| format!("connection {number}"))?;
        Ok(connection)
    };
    let (grown, mut connections) = grow(proxy, open)?;
    for connection in &mut connections {
        ensure!(connection.is_open()?, "a connection was closed that was to stay idle");
    }
    Ok(grown)
}

/// By how many KiB of RSS and PSS each connection makes the proxy grow; and the connections, still open.
fn grow<C>(proxy: &Proxy, open: impl Fn(usize) -> Result<C>) -> Result<((f64, f64), Vec<C>)> {
    for number in 0..FIRST {
        open(number)?;
    }
    let before = proxy.program().tree()?.memory()?;
    let connections = (0..CONNECTIONS).map(open).collect::<Result<Vec<C>>>()?;
    let after = proxy.program().tree()?.memory()?;
    let each =
        |of: fn(&Memory) -> u64| (of(&after) as f64 - of(&before) as f64) / 1024.0 / CONNECTIONS as f64;
    Ok(((each(|memory| memory.rss), each(|memory| memory.pss)), connections))
}
