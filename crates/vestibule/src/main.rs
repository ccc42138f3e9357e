//! The `vestibule` binary: command line, start-up order, signals.

mod app;
mod certificates;
mod check;
mod command;
mod control;
mod demo;
mod import;
mod keep;
mod logging;
mod run;
mod serve;
mod tls;

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
    // The demo and the check speak for themselves, and so does who asks another Vestibule; a launcher is nobody yet.
    let is_own_voice = matches!(
        command,
        Command::App(_)
            | Command::Check { .. }
            | Command::Demo(_)
            | Command::DemoApp(_)
            | Command::Import(_)
            | Command::Launch
    );
    // Written to the end when this function ends.
    let events = (!is_own_voice).then(|| logging::start("info"));
    let outcome = match command {
        Command::Serve { config } => serve::from_file(config.as_deref()),
        Command::Check { config } => check::run(config.as_deref()),
        Command::Import(options) => import::run(&options),
        Command::App(options) => app::run(options),
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
                || error.downcast_ref::<import::Unwritable>().is_some();
            ExitCode::from(if is_operators { OPERATOR_ERROR } else { 1 })
        }
    }
}
