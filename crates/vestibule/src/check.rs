//! `vestibule check`: says what is wrong with a configuration.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use vestibule_config::{Config, Error, Listener, Problem, Tls};

use crate::command::find_config;
use crate::logging::Warnings;
use crate::{OPERATOR_ERROR, certificates, tls};

const EXIT_STATUS: &str = "\
Exit status:
  0  it is right; what is odd is shown
  2  something is wrong with it, or odd with --strict";

/// What is checked, and how it is told.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct Options {
    /// The configuration, found as by `serve`
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Tell it as one JSON object, for editors and scripts
    #[arg(long)]
    json: bool,
    /// Take what is odd for wrong
    #[arg(long)]
    strict: bool,
}

/// What was found.
#[derive(Debug, Default)]
struct Found {
    /// The configuration; `None` when there is none.
    named: Option<PathBuf>,
    /// All files that were read.
    files: Vec<PathBuf>,
    error: Option<Error>,
    warnings: Vec<Problem>,
}

/// Checks the configuration that `serve` would take, the certificates and keys that it names, and whether fetched ones can be kept.
///
/// # Errors
/// What is wrong, where it is told in words.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let found = Found::of(options.config.as_deref());
    let is_refused = found.error.is_some() || (options.strict && !found.warnings.is_empty());
    let code = if is_refused { ExitCode::from(OPERATOR_ERROR) } else { ExitCode::SUCCESS };
    if options.json {
        let text = serde_json::to_string_pretty(&found.report(!is_refused))?;
        writeln!(io::stdout().lock(), "{text}")?;
        return Ok(code);
    }
    for warning in &found.warnings {
        eprintln!("warning: {warning}\n");
    }
    if let Some(error) = found.error {
        return Err(error.into());
    }
    println!("{}", found.said(options.strict));
    Ok(code)
}

impl Found {
    fn of(named: Option<&Path>) -> Self {
        let Some(path) = find_config(named) else {
            return Found { error: Config::from_environment().err(), ..Found::default() };
        };
        // What is odd about a certificate is an event elsewhere.
        let said = Warnings::collect();
        match vestibule_config::load(&path) {
            Err(error) => Found {
                files: vec![path.clone()],
                named: Some(path),
                error: Some(error),
                warnings: Vec::new(),
            },
            Ok(config) => {
                let wrong = [tls::check(&config), certificates::check(&config)];
                let mut warnings = vestibule_config::warnings(&config);
                for words in said.take() {
                    let warning = placed(&config, &words);
                    if !warnings.contains(&warning) {
                        warnings.push(warning);
                    }
                }
                let error = Error::all(wrong.into_iter().flatten().collect());
                Found { named: Some(path), files: config.files(), error, warnings }
            }
        }
    }

    /// In one line.
    fn said(&self, is_strict: bool) -> String {
        let Some(named) = &self.named else {
            return "no configuration found: the defaults are used".to_owned();
        };
        let (warnings, noun) = match self.warnings.len() {
            1 => ("1".to_owned(), "warning"),
            count => (count.to_string(), "warnings"),
        };
        let mut said = named.display().to_string();
        match self.files.len() {
            0 | 1 => {}
            2 => said.push_str(" and 1 included file"),
            files => {
                let _ = write!(said, " and {} included files", files - 1);
            }
        }
        match (self.warnings.is_empty(), is_strict) {
            (true, _) => said.push_str(": ok"),
            (false, false) => {
                let _ = write!(said, ": ok, with {warnings} {noun}");
            }
            (false, true) => {
                let _ = write!(said, ": {warnings} {noun}, which --strict takes for errors");
            }
        }
        said
    }

    fn report(&self, ok: bool) -> Report<'_> {
        let errors = self.error.as_ref().map_or(&[][..], Error::problems);
        let told = |severity| move |problem| Told::of(problem, severity);
        let mut problems: Vec<Told<'_>> =
            errors.iter().map(told("error")).chain(self.warnings.iter().map(told("warning"))).collect();
        if let Some(Error::Read { file, source }) = &self.error {
            problems.push(Told {
                severity: "error",
                file: Some(file),
                line: None,
                column: None,
                width: None,
                message: format!("cannot be read: {source}"),
                instead: None,
            });
        }
        Report { ok, files: &self.files, problems }
    }
}

/// A warning in words, with its place if it is about a file that a listener names.
fn placed(config: &Config, words: &str) -> Problem {
    let (message, instead) =
        words.split_once("; ").or_else(|| words.split_once(": use ")).unwrap_or((words, ""));
    let mut place = None;
    for (index, listener) in config.listeners.iter().enumerate() {
        let named =
            files_of(listener).into_iter().find(|file| words.starts_with(&format!("{}: ", file.display())));
        if let Some(file) = named {
            place = config.places.tls_file(index, file);
            break;
        }
    }
    config.problem(
        place,
        message,
        if instead.is_empty() { "see to it, or leave it as it is" } else { instead },
    )
}

/// The files that `tls` of a listener names.
fn files_of(listener: &Listener) -> Vec<&Path> {
    let Some(Tls { certificates, client, .. }) = &listener.tls else { return Vec::new() };
    let pairs = certificates.iter().flat_map(|pair| [pair.certificate.as_path(), pair.key.as_path()]);
    let of_client =
        client.iter().flat_map(|client| [Some(client.authorities.as_path()), client.revoked.as_deref()]);
    pairs.chain(of_client.flatten()).collect()
}

/// As it is told to programs.
#[derive(Debug, Serialize)]
struct Report<'f> {
    /// Whether the exit status is 0.
    ok: bool,
    /// All files that were read, the configuration first.
    files: &'f [PathBuf],
    problems: Vec<Told<'f>>,
}

#[derive(Debug, Serialize)]
struct Told<'f> {
    severity: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'f Path>,
    /// Counted from 1, as `column`, which counts characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    /// Characters that are meant, from `column` on.
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<usize>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    instead: Option<String>,
}

impl<'f> Told<'f> {
    fn of(problem: &'f Problem, severity: &'static str) -> Self {
        let place = problem.place.as_deref();
        Told {
            severity,
            file: place.map(|place| place.file.as_path()),
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            width: place.map(|place| place.width),
            message: problem.message.clone(),
            instead: problem.instead.clone(),
        }
    }
}
