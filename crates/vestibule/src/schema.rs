//! `vestibule schema`: the JSON Schema of the configuration.

use std::io::{self, Write as _};
use std::process::ExitCode;

/// Writes it to standard output.
///
/// # Errors
/// Nobody takes it.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let text = serde_json::to_string_pretty(&vestibule_config::schema())?;
    writeln!(io::stdout().lock(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}
