//! `vestibule completions`: what a shell completes the command line by.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Command, CommandFactory as _};
use clap_complete::{Shell, generate};

use crate::command::CommandLine;

const WHERE: &str = "\
Where it goes:
  bash  vestibule completions bash > /usr/share/bash-completion/completions/vestibule
  zsh   vestibule completions zsh > /usr/local/share/zsh/site-functions/_vestibule
  fish  vestibule completions fish > ~/.config/fish/completions/vestibule.fish";

/// For which shell.
#[derive(Debug, clap::Args)]
#[command(after_help = WHERE)]
pub(crate) struct Options {
    /// The shell
    shell: Kind,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    Bash,
    Zsh,
    Fish,
}

/// Writes it to standard output.
///
/// # Errors
/// Nobody takes it.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let shell = match options.shell {
        Kind::Bash => Shell::Bash,
        Kind::Zsh => Shell::Zsh,
        Kind::Fish => Shell::Fish,
    };
    // Not straight to standard output, where the generator would panic when nobody reads on.
    let mut script = Vec::new();
    generate(shell, &mut visible(&CommandLine::command()), "vestibule", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// The command line without what is hidden, which the generator would offer.
fn visible(all: &Command) -> Command {
    let commands = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    Command::new("vestibule").version(env!("CARGO_PKG_VERSION")).subcommands(commands)
}
