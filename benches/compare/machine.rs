//! Where and with what a table was measured.

use std::process::Command;

use anyhow::{Context, Result};

use crate::program::find;

/// Date, machine and versions of one run.
pub(crate) struct Machine {
    date: String,
    kernel: String,
    processor: String,
    cores: usize,
    versions: Vec<String>,
}

impl Machine {
    /// Asks the system, and each of `programs` for its version.
    pub(crate) fn ask(programs: &[&'static str]) -> Result<Self> {
        let mut versions = vec![format!("Vestibule {}", env!("CARGO_PKG_VERSION"))];
        for program in programs {
            if let Some(argument) = version_argument(program) {
                versions.push(format!("{program} {}", version(program, argument)?));
            }
        }
        let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Ok(Self {
            date: output("date", &["-u", "+%Y-%m-%d"])?.trim().to_owned(),
            kernel: output("uname", &["-sr"])?.trim().to_owned(),
            processor: model.map_or("processor unknown", |(_, model)| model).to_owned(),
            cores: std::thread::available_parallelism().context("cannot count the cores")?.get(),
            versions,
        })
    }

    /// How many cores the bench may use.
    pub(crate) fn cores(&self) -> usize {
        self.cores
    }

    /// Everything in one line.
    pub(crate) fn line(&self) -> String {
        let versions = self.versions.join(", ");
        format!("{} · {} · {} cores, {} · {versions}", self.date, self.kernel, self.cores, self.processor)
    }

    /// Date, kernel and cores.
    pub(crate) fn short_line(&self) -> String {
        format!("{} · {} · {} cores · see docs/bench.md", self.date, self.kernel, self.cores)
    }
}

fn version_argument(program: &str) -> Option<&'static str> {
    match program {
        "nginx" | "haproxy" | "wrk" | "unicorn" | "thin" | "passenger" => Some("-v"),
        "caddy" => Some("version"),
        "h2load" => Some("--version"),
        "puma" => Some("-V"),
        _ => None,
    }
}

/// The first word with a digit, a dot and a digit in what `program` says of itself.
fn version(program: &str, argument: &str) -> Result<String> {
    let text = output(&find(program)?.to_string_lossy(), &[argument])?;
    let words = text.split([' ', '/', '\n', '\t']).map(|word| word.trim_start_matches('v'));
    let is_version =
        |word: &&str| word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.');
    Ok(words.into_iter().find(is_version).unwrap_or("?").to_owned())
}

/// What a command says on both outputs; some say their version on the second, or end with an error after it.
fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output =
        Command::new(program).args(arguments).output().with_context(|| format!("cannot run {program}"))?;
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}
