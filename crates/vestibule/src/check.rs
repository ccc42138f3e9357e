//! `vestibule check`: says what is wrong with a configuration.

use std::path::Path;
use std::process::ExitCode;

use vestibule_config::Config;

use crate::certificates;
use crate::command::find_config;
use crate::logging;
use crate::tls::Security;

/// Checks the configuration that `serve` would take, the certificates and keys that it names, and whether fetched ones can be kept.
pub(crate) fn run(named: Option<&Path>) -> anyhow::Result<ExitCode> {
    // What is odd, and not wrong.
    let events = logging::start_readable("warn");
    match find_config(named) {
        Some(path) => {
            let config = vestibule_config::load(&path)?;
            Security::of(&config)?;
            certificates::check(&config)?;
            drop(events);
            println!("{}: ok", path.display());
        }
        None => {
            Config::from_environment()?;
            println!("no configuration found: the defaults are used");
        }
    }
    Ok(ExitCode::SUCCESS)
}
