//! Vestibule beside nginx, HAProxy, Caddy and a bare hyper proxy: same machine, same backend, same minutes.
//!
//! `make bench`, or `cargo bench --bench compare -- [SUITE…]`. All suites together write `docs/bench.md` and
//! `docs/bench.svg`; some of them alone only print, unless `--write` is given.

mod backend;
mod bare_hyper;
mod certificate;
mod chart;
mod client;
mod h2load;
mod handshakes;
mod load;
mod machine;
mod nginx;
mod origin;
mod peer;
mod program;
mod rack;
mod slow;
mod stats;
mod streams;
mod suites;
mod table;
mod tls;
mod transfer;
mod tree;
mod wrk;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::chart::Chart;
use crate::machine::Machine;
use crate::suites::{Options, Suite};
use crate::table::Table;

#[derive(Parser)]
#[command(name = "compare", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Internal>,
    /// What to measure; everything when none is named
    suites: Vec<Suite>,
    #[command(flatten)]
    options: Options,
    /// Write docs/bench.md and docs/bench.svg even when only some suites ran
    #[arg(long)]
    write: bool,
    /// Given by `cargo bench`; without it this is a test run, which measures nothing
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Internal {
    /// Be the bare hyper proxy
    #[command(hide = true)]
    BareHyper {
        /// Address to listen on
        address: SocketAddr,
        /// Socket of the application
        socket: PathBuf,
    },
    /// Be an application that takes and gives long bodies
    #[command(hide = true)]
    Origin {
        /// Socket to listen on
        socket: PathBuf,
    },
    /// Move long bodies as fast as they go, and print the seconds that took
    #[command(hide = true)]
    Transfer(transfer::Job),
    /// Connect, shake hands, ask once, leave; and print the seconds that all of it took
    #[command(hide = true)]
    Handshakes(handshakes::Job),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        Some(Internal::BareHyper { address, socket }) => bare_hyper::serve(*address, socket),
        Some(Internal::Origin { socket }) => origin::serve(socket),
        Some(Internal::Transfer(job)) => transfer::run(job),
        Some(Internal::Handshakes(job)) => handshakes::run(job),
        None if arguments.bench => run(&arguments),
        None => {
            println!("nothing is measured in a test run: use `make bench`");
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let all = <Suite as clap::ValueEnum>::value_variants();
    let suites = if arguments.suites.is_empty() { all } else { &arguments.suites };
    let mut programs: Vec<&str> =
        suites.iter().flat_map(|suite| suite.programs(&arguments.options)).collect();
    programs.sort_unstable();
    programs.dedup();
    // Before the first minute is spent, not after the tenth.
    for program in &programs {
        program::find(program)?;
    }
    let machine = Machine::ask(&programs)?;
    raise_file_limit()?;

    eprintln!("{}", machine.line());
    let mut tables = Vec::new();
    let mut charts = Vec::new();
    for suite in suites {
        let report = suite.run(&arguments.options, machine.cores())?;
        println!("\n{}", report.table);
        tables.push(report.table);
        charts.extend(report.charts);
    }
    if arguments.suites.is_empty() || arguments.write {
        write_docs(&machine, &tables, &charts)?;
    }
    Ok(())
}

/// 10,000 connections need as many descriptors here, and in each proxy, which inherits the limit.
fn raise_file_limit() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .context("cannot raise the limit of open files")
}

fn write_docs(machine: &Machine, tables: &[Table], charts: &[Chart]) -> Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let tables: Vec<String> = tables.iter().map(Table::to_string).collect();
    let text = format!(
        "# Measured\n\nWritten by `make bench`; all rows of a table in one run, rounds interleaved, medians.\n\n{}\n\n\
         ![The same as bars](bench.svg)\n\n{}",
        machine.line(),
        tables.join("\n")
    );
    std::fs::create_dir_all(&docs).context("cannot create docs/")?;
    std::fs::write(docs.join("bench.md"), text).context("cannot write docs/bench.md")?;
    std::fs::write(docs.join("bench.svg"), chart::svg(charts, &machine.short_line()))
        .context("cannot write docs/bench.svg")?;
    eprintln!("\nwrote docs/bench.md and docs/bench.svg");
    Ok(())
}
