//! The binary under test, as a process.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::dir::Dir;
use super::process::{self, Signal};
use super::wait::{seconds, until, until_true};

/// A running Vestibule. It is killed when it goes; a failing test shows what it said.
pub(crate) struct Vestibule {
    child: Child,
    addresses: Vec<String>,
    stdout: Lines,
    stderr: Lines,
}

/// What came out of a Vestibule that ended by itself.
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) stderr: String,
}

/// What `vestibule app` said.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

type Lines = Arc<Mutex<Vec<String>>>;

/// The binary: the one that Cargo built, or another that `VESTIBULE` names (an installed package, for instance).
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("VESTIBULE").map_or_else(|| env!("CARGO_BIN_EXE_vestibule").into(), PathBuf::from)
}

fn command(dir: &Dir, config: &str) -> Command {
    let file = dir.join("vestibule.toml");
    fs::write(&file, config).expect("the configuration is written");
    let mut command = Command::new(binary());
    command.arg("serve").arg("--config").arg(file);
    command.env("NO_COLOR", "1").env("VESTIBULE_CONTROL", control(dir)).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Where the control socket of a directory's Vestibule is.
pub(crate) fn control(dir: &Dir) -> PathBuf {
    dir.join("control.sock")
}

/// `vestibule app` with these words, as somebody would type them in the directory, who has not named the control socket.
pub(crate) fn app_command(dir: &Dir, words: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("app").args(words).current_dir(dir.path()).env("VESTIBULE_CONTROL", control(dir));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run_command(home: &Path, listen: &str) -> Command {
    let mut command = Command::new(binary());
    command.args(["run", "--listen", listen]).current_dir(home);
    command.env("NO_COLOR", "1");
    for name in ["RUST_LOG", "HTTP_PORT", "PORT", "BUNDLE_GEMFILE", "RACK_ENV", "RAILS_ENV"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub(crate) fn app(dir: &Dir, words: &[&str]) -> Told {
    told(app_command(dir, words))
}

/// What this command says until its end.
pub(crate) fn told(mut command: Command) -> Told {
    let mut child = command.spawn().expect("the binary starts");
    let (stdout, out) = collect(child.stdout.take().expect("stdout"));
    let (stderr, err) = collect(child.stderr.take().expect("stderr"));
    let status = until("vestibule app ends", seconds(120), || child.try_wait().expect("its status"));
    out.join().and(err.join()).expect("the output is read");
    let text = |lines: Lines| lines.lock().expect("lines").join("\n");
    Told { status: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// A configuration with one listener on a free port, one worker, and one upstream at the directory's socket;
/// `more` goes into `[upstream.app]`.
pub(crate) fn config(dir: &Dir, more: &str) -> String {
    let socket = dir.socket();
    format!(
        "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n\n[upstream.app]\naddress = \"unix:{}\"\n{more}\n",
        socket.display()
    )
}

/// The same for a load that stands for many visitors, who come from one address here.
pub(crate) fn config_for_a_load(dir: &Dir) -> String {
    format!("{}\n[limits]\nconnections_per_address = 16384\n", config(dir, ""))
}

impl Vestibule {
    /// Starts it with `config` and waits until it listens.
    pub(crate) fn start(dir: &Dir, config: &str) -> Vestibule {
        Vestibule::start_with(dir, config, |_| {})
    }

    /// The same, with the command changed as `change` does.
    pub(crate) fn start_with(dir: &Dir, config: &str, change: impl FnOnce(&mut Command)) -> Vestibule {
        let mut command = command(dir, config);
        change(&mut command);
        let listeners = config.matches("[[listen]]").count().max(1);
        Vestibule::begin(command, listeners)
    }

    /// Starts `vestibule run` in a directory and waits until it listens; `change` adds the command.
    pub(crate) fn run(home: &Path, listen: &str, change: impl FnOnce(&mut Command)) -> Vestibule {
        let mut command = run_command(home, listen);
        change(&mut command);
        Vestibule::begin(command, 1)
    }

    fn begin(mut command: Command, listeners: usize) -> Vestibule {
        process::raise_open_files();
        let mut child = command.spawn().expect("the binary starts");
        let (stdout, _) = collect(child.stdout.take().expect("stdout"));
        let (stderr, _) = collect(child.stderr.take().expect("stderr"));
        let mut vestibule = Vestibule { child, addresses: Vec::new(), stdout, stderr };
        vestibule.addresses = until("Vestibule listens", seconds(20), || {
            if let Ok(Some(status)) = vestibule.child.try_wait() {
                panic!("Vestibule ended with {status}:\n{}", vestibule.stderr());
            }
            let lines = vestibule.stderr.lock().expect("lines");
            let addresses: Vec<String> = lines.iter().filter_map(|line| address(line)).collect();
            (addresses.len() >= listeners).then_some(addresses)
        });
        vestibule
    }

    /// Runs it with a configuration that it should refuse, and returns what it said.
    pub(crate) fn refused(dir: &Dir, config: &str) -> Ended {
        Vestibule::ended(command(dir, config))
    }

    /// Runs `vestibule run` in a directory to its end; `change` adds the command.
    pub(crate) fn run_to_the_end(home: &Path, listen: &str, change: impl FnOnce(&mut Command)) -> Ended {
        let mut command = run_command(home, listen);
        change(&mut command);
        Vestibule::ended(command)
    }

    fn ended(mut command: Command) -> Ended {
        let mut child = command.spawn().expect("the binary starts");
        let (_, stdout) = collect(child.stdout.take().expect("stdout"));
        let (lines, stderr) = collect(child.stderr.take().expect("stderr"));
        let mut vestibule =
            Vestibule { child, addresses: Vec::new(), stdout: Lines::default(), stderr: lines };
        let status = vestibule.exit(seconds(30));
        stdout.join().and(stderr.join()).expect("the output is read");
        Ended { status: status.code(), stderr: vestibule.stderr() }
    }

    /// The address of its first TCP listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses.iter().find_map(|address| address.parse().ok()).expect("a TCP listener")
    }

    /// Its addresses as it printed them, in the order of the configuration.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        assert!(process::signal(self.pid(), signal), "Vestibule is gone");
    }

    /// Waits for its end.
    pub(crate) fn exit(&mut self, limit: Duration) -> ExitStatus {
        until("Vestibule exits", limit, || self.child.try_wait().expect("its status"))
    }

    /// What it has said on stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().expect("lines").join("\n")
    }

    /// The events on stderr so far, which are JSON where stderr is no terminal.
    pub(crate) fn events(&self) -> Vec<Value> {
        let lines = self.stderr.lock().expect("lines");
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The access log lines so far, from stdout.
    pub(crate) fn access_log(&self) -> Vec<Value> {
        let lines = self.stdout.lock().expect("lines");
        lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }

    /// Waits for an access log line that fits.
    pub(crate) fn access_line(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        until(what, seconds(30), || self.access_log().into_iter().find(&fits))
    }

    /// CPU time used so far.
    pub(crate) fn cpu(&self) -> Duration {
        process::cpu(self.pid())
    }

    /// Resident memory in bytes.
    pub(crate) fn rss(&self) -> u64 {
        process::rss(self.pid())
    }

    /// Waits until it has at least `count` more files open than `before`: that many connections are accepted.
    pub(crate) fn wait_for_files(&self, before: usize, count: usize) {
        until_true("the connections are accepted", seconds(60), || self.open_files() >= before + count);
    }

    /// Number of open files.
    pub(crate) fn open_files(&self) -> usize {
        process::open_files(self.pid())
    }
}

impl Drop for Vestibule {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let stdout = self.stdout.lock().map(|lines| lines.len()).unwrap_or_default();
            eprintln!("--- Vestibule ({stdout} lines on stdout) said:\n{}", self.stderr());
        }
    }
}

/// `127.0.0.1:8080` of `… listening on 127.0.0.1:8080 …`, which may stand in JSON.
fn address(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("listening on ")?;
    let end = rest.find(|c: char| c.is_whitespace() || c == '"' || c == ',');
    Some(rest[..end.unwrap_or(rest.len())].to_owned())
}

fn collect(from: impl Read + Send + 'static) -> (Lines, JoinHandle<()>) {
    let lines = Lines::default();
    let into = Arc::clone(&lines);
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            into.lock().expect("lines").push(String::from_utf8_lossy(&line).into_owned());
        }
    });
    (lines, reader)
}
