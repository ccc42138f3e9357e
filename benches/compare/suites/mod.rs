//! What is measured: one file per question.

mod accept;
mod files;
mod idle;
mod large;
mod rack;
mod restart;
mod slow_download;
mod slow_upload;
mod small;
mod tls;
mod tls_idle;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::chart::Chart;
use crate::peer::Peer;
use crate::rack::Server;
use crate::table::Table;

/// How long to measure, and whom.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Length of each run, in place of the suite's own
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: Option<u64>,
    /// Rounds through all proxies, in place of the suite's own
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=100))]
    rounds: Option<u8>,
    /// Only this one; may be repeated
    #[arg(long = "peer", value_parser = ["nginx", "haproxy", "caddy", "hyper", "vestibule"])]
    peers: Vec<String>,
}

/// A suite gives one table, and what of it is worth a drawing.
pub(crate) struct Report {
    pub(crate) table: Table,
    pub(crate) charts: Vec<Chart>,
}

/// A suite, by the name the command line takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// What one request costs: 64 connections, 70 bytes, one worker on one core
    Small,
    /// The same with an access log
    SmallLog,
    /// Memory of 10,000 idle connections
    Idle,
    /// Puma, 5 threads, behind each proxy
    Puma,
    /// Puma, 2 workers of 5 threads
    PumaCluster,
    /// Unicorn, 4 workers
    Unicorn,
    /// Thin
    Thin,
    /// Passenger, 2 processes
    Passenger,
    /// Requests failed while Puma stops and starts
    Restart,
    /// `reuse_port` or one shared accept queue
    Accept,
    /// 200 clients that send slowly, before Unicorn with 2 workers
    SlowUpload,
    /// 200 clients that read slowly, before Puma
    SlowDownload,
    /// Long bodies of clients that are fast: what buffering costs
    Large,
    /// What TLS and HTTP/2 cost: requests, handshakes, long answers
    Tls,
    /// Memory of 1,000 idle connections of TLS, with HTTP/1 and HTTP/2
    TlsIdle,
    /// Files from memory and from disk, and pages compressed with gzip
    Files,
}

impl Suite {
    /// Runs it.
    pub(crate) fn run(self, options: &Options, cores: usize) -> Result<Report> {
        eprintln!(
            "\n{}",
            self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
        );
        match (self, self.server()) {
            (_, Some(server)) => rack::run(server, options, cores),
            (Self::Restart, None) => restart::run(options),
            (Self::Idle, None) => idle::run(options),
            (Self::Accept, None) => accept::run(options),
            (Self::SlowUpload, None) => slow_upload::run(options, cores),
            (Self::SlowDownload, None) => slow_download::run(options, cores),
            (Self::Large, None) => large::run(options, cores),
            (Self::Tls, None) => tls::run(options, cores),
            (Self::TlsIdle, None) => tls_idle::run(options),
            (Self::Files, None) => files::run(options, cores),
            (Self::SmallLog, None) => small::run(small::Log::File, options, cores),
            (_, None) => small::run(small::Log::Off, options, cores),
        }
    }

    /// The programs that must be installed for it.
    pub(crate) fn programs(self, options: &Options) -> Vec<&'static str> {
        let mut programs: Vec<&str> = match self {
            Self::Small => options.choose(&small::PEERS),
            Self::SmallLog => options.choose(&small::PEERS_LOG),
            Self::Idle => options.choose(&small::PEERS),
            Self::Restart => options.choose(&restart::PEERS),
            Self::Accept | Self::Files => Vec::new(),
            Self::SlowUpload | Self::SlowDownload => options.choose(&slow_upload::PEERS),
            Self::Large => options.choose(&large::PEERS),
            Self::Tls | Self::TlsIdle => options.choose(&tls::PEERS),
            _ => options.choose(&rack::PEERS),
        }
        .into_iter()
        .filter_map(Peer::program)
        .collect();
        match (self, self.server()) {
            (_, Some(server)) => programs.extend([server.program(), "wrk"]),
            (Self::Restart | Self::SlowDownload, None) => programs.push(Server::Puma.program()),
            (Self::SlowUpload, None) => programs.push(slow_upload::SERVER.program()),
            (Self::Large, None) => {}
            (Self::Tls, None) => programs.extend(["nginx", "wrk", "h2load"]),
            (Self::TlsIdle, None) => programs.push("nginx"),
            (Self::Files, None) => programs.extend(["nginx", "wrk", "curl"]),
            // nginx is the backend of the others.
            (_, None) => programs.extend(["nginx", "wrk"]),
        }
        programs.extend(["setpriv", "taskset"]);
        programs
    }

    fn server(self) -> Option<Server> {
        match self {
            Self::Puma => Some(Server::Puma),
            Self::PumaCluster => Some(Server::PumaCluster),
            Self::Unicorn => Some(Server::Unicorn(4)),
            Self::Thin => Some(Server::Thin),
            Self::Passenger => Some(Server::Passenger),
            Self::Small
            | Self::SmallLog
            | Self::Idle
            | Self::Restart
            | Self::Accept
            | Self::SlowUpload
            | Self::SlowDownload
            | Self::Large
            | Self::Tls
            | Self::TlsIdle
            | Self::Files => None,
        }
    }
}

impl Options {
    /// Those of `peers` that the command line lets run.
    fn choose(&self, peers: &[Peer]) -> Vec<Peer> {
        peers.iter().copied().filter(|peer| self.allows(peer.family())).collect()
    }

    /// Whether the command line lets this family run.
    fn allows(&self, family: &str) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|name| name == family)
    }

    fn seconds(&self, default: u64) -> u64 {
        self.seconds.unwrap_or(default)
    }

    fn rounds(&self, default: u8) -> usize {
        usize::from(self.rounds.unwrap_or(default))
    }
}

/// The proxy has a core for itself, and all else another one: with one core there is nothing to compare.
fn need_two_cores(cores: usize) -> Result<()> {
    if cores < 2 {
        bail!("this suite pins the proxy to one core and its load to another: two cores are needed");
    }
    Ok(())
}
