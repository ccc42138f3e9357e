//! `vestibule check`: says what is wrong with a configuration.

use std::path::Path;
use std::process::ExitCode;

use vestibule_config::Config;

use crate::command::find_config;
use crate::tls::Security;

/// Checks the configuration that `serve` would take, and the certificates and keys that it names.
pub(crate) fn run(named: Option<&Path>) -> anyhow::Result<ExitCode> {
    match find_config(named) {
        Some(path) => {
            Security::of(&vestibule_config::load(&path)?)?;
            println!("{}: ok", path.display());
        }
        None => {
            Config::from_environment()?;
            println!("no configuration found: the defaults are used");
        }
    }
    Ok(ExitCode::SUCCESS)
}
