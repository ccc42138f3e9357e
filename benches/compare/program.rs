//! A program that the bench starts and ends: found by name, pinned to a core, never left behind.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::tree::{self, Tree};

/// How long a program may take to end by itself before it is killed. Passenger takes up to 3 s.
const END: Duration = Duration::from_secs(8);

/// What the bench may start, and the Debian package that has it.
const PACKAGES: [(&str, &str); 12] = [
    ("caddy", "caddy"),
    ("h2load", "nghttp2-client"),
    ("haproxy", "haproxy"),
    ("nginx", "nginx"),
    ("passenger", "passenger"),
    ("puma", "puma"),
    ("ruby", "ruby"),
    ("setpriv", "util-linux"),
    ("taskset", "util-linux"),
    ("thin", "thin"),
    ("unicorn", "unicorn"),
    ("wrk", "wrk"),
];

/// Finds `name` in `PATH`, or where Debian keeps daemons, which a user's `PATH` lacks.
///
/// Errors name the Debian package to install.
pub(crate) fn find(name: &str) -> Result<PathBuf> {
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    for directory in std::env::split_paths(&path).chain(daemons) {
        let candidate = directory.join(name);
        if candidate.is_file() {
            return Ok(candidate);
        }
    }
    let package = PACKAGES.iter().find(|(program, _)| *program == name).map_or(name, |(_, package)| package);
    bail!("`{name}` is not installed: apt-get install {package}")
}

/// What to start, and how.
pub(crate) struct Launch {
    program: String,
    arguments: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    directory: PathBuf,
    core: Option<usize>,
}

impl Launch {
    /// `program` in `directory`, where its output goes to `PROGRAM.log` too.
    pub(crate) fn new(program: &str, directory: &Path) -> Self {
        Self {
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: directory.to_owned(),
            core: None,
        }
    }

    /// Adds arguments.
    pub(crate) fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Runs on this core only; `None` leaves it to the kernel.
    pub(crate) fn core(mut self, core: Option<usize>) -> Self {
        self.core = core;
        self
    }

    /// The command, behind `setpriv` and `taskset`: both exec, so that the PID is the program's own.
    /// The kernel's parent death signal ends the program even when the bench is killed.
    pub(crate) fn command(&self) -> Result<Command> {
        let mut command = Command::new(find("setpriv")?);
        command.args(["--pdeathsig", "TERM"]);
        if let Some(core) = self.core {
            command.arg(find("taskset")?).arg("-c").arg(core.to_string());
        }
        command.arg(find(&self.program)?).args(&self.arguments).current_dir(&self.directory);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        Ok(command)
    }

    /// Starts it.
    pub(crate) fn start(self) -> Result<Program> {
        let name = Path::new(&self.program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = self.directory.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).context("cannot create a log")?;
        let mut command = self.command()?;
        command.stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Program { name, child, log })
    }
}

/// A running program; dropping it ends it and all its descendants.
pub(crate) struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// The processes of this program, as they are now.
    pub(crate) fn tree(&self) -> Result<Tree> {
        Tree::of(self.child.id())
    }

    /// Waits until `ready` says so.
    ///
    /// Errors when the program ends or `limit` passes first; the message has the end of its output.
    pub(crate) fn wait_until(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at its start ({status}):\n{}", self.name, self.last_words());
            }
            if Instant::now() > deadline {
                bail!("{} does not answer after {limit:?}:\n{}", self.name, self.last_words());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends it: SIGTERM, then SIGKILL for whatever of its tree is left after [`END`].
    pub(crate) fn stop(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let members = self.tree().map(|tree| tree.members().to_vec()).unwrap_or_default();
        signal(self.child.id(), Signal::TERM);
        let deadline = Instant::now() + END;
        while Instant::now() < deadline {
            let ended = self.child.try_wait()?.is_some();
            if ended && !members.iter().any(tree::Member::is_alive) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        for member in members.iter().filter(|member| member.is_alive()) {
            signal(member.pid(), Signal::KILL);
        }
        self.child.wait()?;
        Ok(())
    }

    fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Nothing above could do more about an error here than say so.
        if let Err(error) = self.stop() {
            eprintln!("cannot end {}: {error:#}", self.name);
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended in between: then there is nothing left to signal.
        let _gone = kill_process(pid, signal);
    }
}
