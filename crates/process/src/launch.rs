//! How an application is started.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

/// A command, to be started as often as wanted. Its output goes where ours goes.
#[derive(Debug, Clone)]
pub struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
    has_lifeline: bool,
}

impl Launch {
    /// A program without arguments: a path, or a name that is looked for in `PATH`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Launch { program: program.into(), arguments: Vec::new(), has_lifeline: false }
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Gives the application a standard input that ends when we do, even by SIGKILL, so that it can end then too.
    /// Without this its standard input is empty.
    #[must_use]
    pub fn lifeline(mut self) -> Self {
        self.has_lifeline = true;
        self
    }

    pub(crate) fn program(&self) -> &PathBuf {
        &self.program
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command.stdin(if self.has_lifeline { Stdio::piped() } else { Stdio::null() });
        // A group of its own: Ctrl-C at our terminal is for us, and we end the application when its time comes.
        command.process_group(0);
        command
    }
}
