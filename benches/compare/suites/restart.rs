//! What visitors notice when the application stops and starts again.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::{Options, Report};
use crate::chart::Chart;
use crate::load::{Load, Plan};
use crate::peer::{Peer, Setup};
use crate::rack::{Application, Server};
use crate::table::{Table, milliseconds, whole};

/// The proxies of this suite.
pub(crate) const PEERS: [Peer; 5] = [
    Peer::Nginx { keepalive: Some(32) },
    Peer::HaProxy,
    Peer::Caddy { retry: false },
    Peer::Caddy { retry: true },
    Peer::Vestibule,
];

const RATE: u32 = 200;
const RESTARTS: u8 = 3;
/// Longest that an answer may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the application is away, its own boot not counted.
const AWAY: Duration = Duration::from_millis(500);
/// How long it runs before each stop, and after the last start.
const UP: Duration = Duration::from_secs(1);

/// Runs the suite.
pub(crate) fn run(options: &Options) -> Result<Report> {
    let restarts = options.rounds(RESTARTS);
    let note = format!(
        "Puma stopped by SIGTERM and started again {} s later, {restarts} ×; {RATE} requests per second meanwhile, \
         1 in 4 a POST, 5 ms each, every one on a new connection.",
        AWAY.as_secs_f64()
    );
    let headers =
        ["", "sent", "failed", "POSTs run twice", "POSTs answered, not run", "slowest ms", "what failed"];
    let mut table = Table::new("While the application restarts", &note, headers);
    let mut chart = Chart::new(&format!("Requests failed over {restarts} restarts, less is better"), "");
    for peer in options.choose(&PEERS) {
        // A server of its own for each, so that POSTs are counted apart.
        let mut application = Application::start(Server::Puma)?;
        let proxy = peer.start(Setup::plain(&application.socket()))?;
        let load = Load::start(Plan {
            address: proxy.address(),
            path: "/sleep/5",
            rate: RATE,
            posts: Some(4),
            patience: PATIENCE,
        });
        let cycled = (0..restarts).try_for_each(|_| cycle(&mut application));
        sleep(UP);
        let tally = load.finish()?;
        cycled?;
        let (twice, lost) = tally.check_posts(&application.posts()?)?;
        eprintln!("{:30} {} of {} failed", peer.title(), tally.failures(), tally.sent);
        chart.bar(&peer.title(), tally.failures() as f64);
        table.row([
            peer.title(),
            whole(tally.sent as f64),
            whole(tally.failures() as f64),
            whole(twice as f64),
            whole(lost as f64),
            milliseconds(tally.slowest()),
            tally.reasons(),
        ]);
    }
    Ok(Report { table, charts: vec![chart] })
}

fn cycle(application: &mut Application) -> Result<()> {
    sleep(UP);
    application.stop()?;
    sleep(AWAY);
    application.boot()
}
