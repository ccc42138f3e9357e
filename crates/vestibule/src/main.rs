//! The `vestibule` binary: command line, start-up order, signals.

mod app;
mod certificates;
mod check;
mod command;
mod completions;
mod control;
mod demo;
mod explain;
mod import;
mod keep;
mod logging;
mod man;
mod measures;
mod reload;
mod run;
mod schema;
mod serve;
mod signals;
mod site;
mod tls;
mod upstreams;

use std::process::ExitCode;

use clap::Parser as _;

use crate::command::{Command, CommandLine};

/// A forwarder allocates small things often; mimalloc does that with fewer instructions than the C library. Without
/// transparent huge pages (its `no_thp`), which are 2 MiB at a time where we need 64 KiB here and there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit status for what the operator has to mend: command line, configuration, addresses.
const OPERATOR_ERROR: u8 = 2;

fn main() -> ExitCode {
    let CommandLine { command } = CommandLine::parse();
    // Who is asked for words speaks for itself, and so do the demo and who asks another Vestibule; a launcher is nobody yet.
    let is_own_voice = matches!(
        command,
        Command::App(_)
            | Command::Check(_)
            | Command::Completions(_)
            | Command::Demo(_)
            | Command::DemoApp(_)
            | Command::Explain(_)
            | Command::Import(_)
            | Command::Launch
            | Command::Man(_)
            | Command::Reload(_)
            | Command::Schema
    );
    // Written to the end when this function ends.
    let events = (!is_own_voice).then(|| logging::start("info"));
    let outcome = match command {
        Command::Serve { config } => serve::from_file(config.as_deref()),
        Command::Import(options) => import::run(&options),
        Command::Check(options) => check::run(&options),
        Command::Completions(options) => completions::run(&options),
        Command::Explain(options) => explain::run(&options),
        Command::Man(options) => man::run(&options),
        Command::Schema => schema::run(),
        Command::App(options) => app::run(options),
        Command::Reload(options) => reload::run(&options),
        Command::Run(options) => run::run(options),
        Command::Demo(options) => demo::run(options),
        Command::DemoApp(places) => demo::run_app(&places),
        Command::Launch => return vestibule_process::become_application(),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            drop(events);
            eprintln!("vestibule: {error:#}");
            let is_operators = error.downcast_ref::<vestibule_config::Error>().is_some()
                || error.downcast_ref::<serve::CannotStart>().is_some()
                || error.downcast_ref::<demo::Refused>().is_some()
                || error.downcast_ref::<run::CannotRun>().is_some()
                || error.downcast_ref::<import::Error>().is_some()
                || error.downcast_ref::<import::Unwritable>().is_some()
                || error.downcast_ref::<explain::NotARequest>().is_some();
            ExitCode::from(if is_operators { OPERATOR_ERROR } else { 1 })
        }
    }
}
