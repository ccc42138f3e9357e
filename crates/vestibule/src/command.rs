//! The command line.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use crate::{app, check, completions, demo, explain, import, man, reload, run};

/// Public front-end of a Ruby Rack application: forwards HTTP to its Unix socket and loses nothing while it restarts.
#[derive(Debug, Parser)]
#[command(name = "vestibule", version, arg_required_else_help = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the application to the public.
    Serve {
        /// The configuration [default: ./vestibule.toml or /etc/vestibule/vestibule.toml if there is one; every key
        /// has a default]
        #[arg(long, short)]
        config: Option<PathBuf>,
    },
    /// Check a configuration: says all that is wrong with it, and where.
    Check(check::Options),
    /// Make a configuration of one that nginx has, and say what could not be carried over.
    Import(import::Options),
    /// Say which route takes a request, why, and what would happen to it; nothing is sent.
    Explain(explain::Options),
    /// Write the JSON Schema of the configuration, by which editors complete and check it.
    Schema,
    /// Ask the Vestibule that runs here about its applications, and start, stop or restart them.
    App(app::Options),
    /// Have the Vestibule that runs here read its configuration anew, without closing a connection.
    Reload(reload::Options),
    /// Start an application, serve it to the public, and end with it.
    Run(run::Options),
    /// Show what Vestibule does: a small application of its own, restarted every few seconds, and a page to look at.
    Demo(demo::Options),
    /// Write what a shell completes the command line by.
    Completions(completions::Options),
    /// Write the manual: vestibule(1), or vestibule.toml(5).
    Man(man::Options),
    /// The application of the demo.
    #[command(hide = true)]
    DemoApp(demo::Places),
    /// What a new process runs before it is an application.
    #[command(hide = true)]
    Launch,
}

/// The configuration that the command line names, or that lies where it is looked for; `None` when there is none.
pub(crate) fn find_config(named: Option<&Path>) -> Option<PathBuf> {
    let usual = ["vestibule.toml", "/etc/vestibule/vestibule.toml"];
    named.map(Path::to_owned).or_else(|| usual.into_iter().map(PathBuf::from).find(|path| path.exists()))
}
