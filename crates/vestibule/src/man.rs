//! `vestibule man`: the manual pages. vestibule(1) comes from the command line itself, vestibule.toml(5) from the schema, so that neither
//! has a list of its own that could differ.

mod configuration;
mod pages;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

const WHERE: &str = "\
To read it:
  vestibule man | man -l -
  vestibule man vestibule.toml | man -l -
To install it:
  vestibule man > /usr/local/share/man/man1/vestibule.1
  vestibule man vestibule.toml > /usr/local/share/man/man5/vestibule.toml.5";

/// Which page.
#[derive(Debug, clap::Args)]
#[command(after_help = WHERE)]
pub(crate) struct Options {
    /// The page
    #[arg(value_enum, default_value = "vestibule")]
    page: Page,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Page {
    /// The command: vestibule(1)
    Vestibule,
    /// Its configuration: vestibule.toml(5)
    #[value(name = "vestibule.toml")]
    Configuration,
}

/// Writes it to standard output.
///
/// # Errors
/// Nobody takes it.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let page = match options.page {
        Page::Vestibule => pages::command()?,
        Page::Configuration => configuration::page(),
    };
    io::stdout().lock().write_all(page.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The title of a page.
fn title(name: &str, section: &str) -> Roff {
    let mut roff = Roff::new();
    let source = concat!("vestibule ", env!("CARGO_PKG_VERSION"));
    roff.control("TH", [name, section, "", source]);
    roff
}

/// Paragraphs, of which a line that begins with a blank is shown as it is.
fn paragraphs(roff: &mut Roff, text: &str) {
    let mut is_shown = false;
    for line in text.lines() {
        let shown = line.starts_with(' ');
        if shown != is_shown {
            roff.control(if shown { "nf" } else { "fi" }, []);
            is_shown = shown;
        }
        if line.is_empty() {
            roff.control("PP", []);
        } else {
            roff.text([roman(line)]);
        }
    }
    if is_shown {
        roff.control("fi", []);
    }
}

/// A list of words, each with what it means.
fn entries(roff: &mut Roff, entries: &[(&str, &str)]) {
    for (word, means) in entries {
        roff.control("TP", []);
        roff.text([bold(*word)]);
        roff.text([roman(*means)]);
    }
}

/// `name(section)`, as pages name each other.
fn page_name(name: &str, section: &str) -> [Inline; 2] {
    [italic(name), roman(format!("({section})"))]
}
