//! A real Rack server with the tests' application, started and stopped as its documentation says.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::client::Client;
use super::dir::Dir;
use super::ledger::Ledger;
use super::process::{self, Signal};
use super::wait::{seconds, until, until_true};

/// A Rack server and how it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One process, five threads.
    Puma,
    /// Two workers of five threads.
    PumaCluster { preload: bool },
    /// Two workers, preloaded, with the usual `before_fork`.
    Unicorn,
    /// A daemon: without `-d` Thin writes no PID file.
    Thin,
    /// The builtin engine with two application processes.
    Passenger,
}

impl Kind {
    /// The program, and the Debian package that has it.
    fn program(self) -> &'static str {
        match self {
            Kind::Puma | Kind::PumaCluster { .. } => "puma",
            Kind::Unicorn => "unicorn",
            Kind::Thin => "thin",
            Kind::Passenger => "passenger",
        }
    }

    /// Requests that it runs at the same time. Thin runs one, and reads a few more beside it.
    pub(crate) fn at_once(self) -> usize {
        match self {
            Kind::Puma => 5,
            Kind::PumaCluster { .. } => 10,
            Kind::Unicorn | Kind::Passenger => 2,
            Kind::Thin => 1,
        }
    }
}

/// A Rack server in a directory. All its processes are killed when it goes; a failing test shows its log.
pub(crate) struct App {
    kind: Kind,
    home: PathBuf,
    /// Where its code is found: its home, or a link to a release in it.
    code: PathBuf,
    socket: PathBuf,
    pid_file: PathBuf,
    log: PathBuf,
    ledger: PathBuf,
    registry: PathBuf,
    boot: Duration,
    child: Option<Child>,
}

impl App {
    /// Starts it and waits until it answers.
    pub(crate) fn start(kind: Kind, dir: &Dir) -> App {
        let mut app = App::stopped(kind, dir);
        app.run();
        app.wait_until_answers();
        app
    }

    /// Makes everything ready for a first [`App::run`].
    pub(crate) fn stopped(kind: Kind, dir: &Dir) -> App {
        process::adopt_orphans();
        let home = dir.join("app");
        let registry = dir.join("registry");
        for new in [&home, &home.join("public"), &home.join("tmp"), &registry] {
            fs::create_dir(new).expect("a directory");
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/app");
        for name in ["config.ru", "websocket.rb", "page.html"] {
            fs::copy(source.join(name), home.join(name)).expect("the application is copied");
        }
        // As it usually stands in production, and as the operators are shown it.
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/unicorn.rb");
        fs::copy(example, home.join("unicorn.rb")).expect("the example is copied");
        App {
            kind,
            code: home.clone(),
            home,
            socket: dir.socket(),
            pid_file: dir.join("web_server.pid"),
            log: dir.join("app.log"),
            ledger: dir.join("ledger"),
            registry,
            boot: Duration::ZERO,
            child: None,
        }
    }

    /// Makes every later boot take this much longer.
    pub(crate) fn boots_for(&mut self, boot: Duration) {
        self.boot = boot;
    }

    /// Its directory: whatever runs there is killed when this goes.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// The directory that it is started in.
    pub(crate) fn code(&self) -> &Path {
        &self.code
    }

    /// Lays its code out as a deploy with Capistrano does: in `releases/1`, with a link `current` to it.
    pub(crate) fn lay_out_releases(&mut self) {
        let first = self.release(1);
        fs::create_dir_all(&first).expect("a directory");
        for entry in fs::read_dir(&self.home).expect("its home").flatten() {
            if entry.file_name() != "releases" {
                fs::rename(entry.path(), first.join(entry.file_name())).expect("moved");
            }
        }
        self.code = self.home.join("current");
        self.make_current(1);
    }

    /// The directory of a release.
    pub(crate) fn release(&self, number: u32) -> PathBuf {
        self.home.join("releases").join(number.to_string())
    }

    /// Deploys another release, made of the first: its `config.ru` is what `change` makes of that.
    pub(crate) fn deploy(&self, number: u32, change: impl FnOnce(String) -> String) {
        let (first, new) = (self.release(1), self.release(number));
        for directory in [&new, &new.join("public"), &new.join("tmp")] {
            fs::create_dir(directory).expect("a directory");
        }
        for entry in fs::read_dir(&first).expect("the first release").flatten() {
            if entry.path().is_file() {
                fs::copy(entry.path(), new.join(entry.file_name())).expect("copied");
            }
        }
        let code = fs::read_to_string(first.join("config.ru")).expect("config.ru");
        fs::write(new.join("config.ru"), change(code)).expect("written");
        self.make_current(number);
    }

    /// Lets `current` lead to a release, from one moment to the next.
    fn make_current(&self, number: u32) {
        fs::write(self.release(number).join("REVISION"), format!("revision-{number}\n")).expect("written");
        let beside = self.home.join("current.new");
        std::os::unix::fs::symlink(format!("releases/{number}"), &beside).expect("a link");
        fs::rename(beside, &self.code).expect("moved");
    }

    /// What its server wants in its environment, for somebody else who starts it; that one says where it is to listen.
    pub(crate) fn surround(&self, command: &mut Command) {
        command.env("APP_HOME", &self.home).env("POST_LEDGER", &self.ledger);
        command.env("PASSENGER_INSTANCE_REGISTRY_DIR", &self.registry).env("TMPDIR", &self.registry);
        command.env("BOOT_SLEEP", self.boot.as_secs_f64().to_string());
    }

    /// Somebody else has started it as this process, which is waited for when it is killed in the end.
    pub(crate) fn is_started_as(&mut self, child: Child) {
        self.child = Some(child);
    }

    /// What it executed.
    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::at(&self.ledger)
    }

    /// Starts the server without waiting for it.
    pub(crate) fn run(&mut self) {
        let mut command = self.command(self.kind.program());
        let (socket, pid_file) = (text(&self.socket), text(&self.pid_file));
        let (log, home) = (text(&self.log), text(&self.home));
        match self.kind {
            Kind::Puma | Kind::PumaCluster { .. } => {
                command.args([
                    "-e",
                    "production",
                    "-t",
                    "5:5",
                    "-b",
                    &format!("unix://{socket}"),
                    "--pidfile",
                    pid_file,
                ]);
                if let Kind::PumaCluster { preload } = self.kind {
                    command.args(["-w", "2"]).args(preload.then_some("--preload"));
                }
                command.arg("config.ru");
                self.child = Some(self.spawn(command));
            }
            Kind::Unicorn => {
                command.args(["-c", "unicorn.rb", "-E", "production", "config.ru"]);
                self.child = Some(self.spawn(command));
            }
            Kind::Thin => {
                command.args(["start", "-d", "-e", "production", "-S", socket, "-P", pid_file]);
                command.args(["-l", log, "-R", "config.ru", "-c", home]);
                self.complete(command);
            }
            Kind::Passenger => {
                command.args(["start", "-d", "--engine", "builtin", "-e", "production", "--socket", socket]);
                command.args(["--pid-file", pid_file, "--log-file", log]);
                command.args([
                    "--min-instances",
                    "2",
                    "--max-pool-size",
                    "2",
                    "--max-request-queue-size",
                    "0",
                ]);
                command.args(["--disable-security-update-check", "--disable-anonymous-telemetry"]);
                // It waits until the server runs; a start is what an operator's unit does, and that waits too.
                self.child = Some(self.spawn(command));
            }
        }
    }

    /// Starts the server by another command than its usual one, with what `change` adds, without waiting for it. `ends`: the command
    /// ends by itself, and leaves a daemon.
    pub(crate) fn run_by(&mut self, line: &[&str], ends: bool, change: impl FnOnce(&mut Command)) {
        let mut command = self.command(line[0]);
        command.args(&line[1..]);
        change(&mut command);
        if ends {
            self.complete(command);
        } else {
            self.child = Some(self.spawn(command));
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.home).stdin(Stdio::null());
        self.surround(&mut command);
        command.env("CUSTOM_WEB_SOCKET_FILE", &self.socket).env("CUSTOM_WEB_PID_FILE", &self.pid_file);
        command.env("CUSTOM_WEB_LOG_FILE", &self.log);
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log).expect("the log");
        command.stdout(log.try_clone().expect("the log")).stderr(log);
        command
    }

    fn spawn(&self, mut command: Command) -> Child {
        let program = self.kind.program();
        command.spawn().unwrap_or_else(|error| {
            panic!(
                "{program} does not start ({error}): install Debian's package `{program}`, or run `make deps`"
            )
        })
    }

    fn complete(&self, command: Command) {
        // `thin restart` waits until the old process is gone, and that one may be ours to reap.
        let all = process::of_home(&self.home);
        let mut child = self.spawn(command);
        let status = until("the command ends", seconds(60), || {
            for pid in &all {
                let _ = process::reaped(*pid);
            }
            child.try_wait().expect("its status")
        });
        assert!(status.success(), "{} ended with {status}:\n{}", self.kind.program(), self.log());
    }

    /// Waits until the server answers over its socket.
    pub(crate) fn wait_until_answers(&self) {
        until(&format!("{:?} answers", self.kind), seconds(40), || self.ask("/boot"));
    }

    /// Asks the server itself, past Vestibule.
    pub(crate) fn ask(&self, path: &str) -> Option<String> {
        let mut client = Client::connect_unix(&self.socket).ok()?;
        client.stream().set_read_timeout(Some(seconds(5))).ok()?;
        client.send(format!("GET {path} HTTP/1.1\r\nHost: harness\r\nConnection: close\r\n\r\n")).ok()?;
        let answer = client.response().ok()?;
        (answer.status == 200).then(|| answer.text())
    }

    /// The PID in the PID file.
    pub(crate) fn pid(&self) -> u32 {
        until("a PID in the PID file", seconds(30), || {
            fs::read_to_string(&self.pid_file).ok()?.trim().parse().ok()
        })
    }

    /// Its gentle stop, to the end of the last process.
    pub(crate) fn stop_gently(&mut self) {
        let gentle = match self.kind {
            Kind::Unicorn => Signal::QUIT,
            // Passenger has no gentle stop: TERM cuts what runs.
            Kind::Puma | Kind::PumaCluster { .. } | Kind::Thin | Kind::Passenger => Signal::TERM,
        };
        let all = process::of_home(&self.home);
        assert!(process::signal(self.pid(), gentle), "the server is gone");
        self.wait_until_gone(&all);
    }

    /// SIGKILL to every process of the server.
    pub(crate) fn kill9(&mut self) {
        let all = process::of_home(&self.home);
        // All stand still before the first dies, as in a crash of the whole: Passenger's core would otherwise answer
        // 502 by itself for an application that died a moment before it.
        for pid in &all {
            process::signal(*pid, Signal::STOP);
        }
        kill_all(&self.home);
        self.wait_until_gone(&all);
    }

    /// Waits until neither `all` (which it reaps) nor any other process of the server exists. A process that is on its way out has
    /// lost all signs of where it belongs, but a server that starts still finds its PID: so `all` is asked for too.
    fn wait_until_gone(&mut self, all: &[u32]) {
        until_true(&format!("{:?} ends", self.kind), seconds(60), || {
            all.iter().all(|pid| process::reaped(*pid)) && process::of_home(&self.home).is_empty()
        });
        self.child = None;
    }

    /// Stops it gently and starts it anew.
    pub(crate) fn stop_and_start(&mut self) {
        self.stop_gently();
        self.run();
        self.wait_until_answers();
    }

    /// Kills the whole server, and starts it 0.3 s later.
    pub(crate) fn kill_and_start(&mut self) {
        self.kill9();
        std::thread::sleep(Duration::from_millis(300));
        self.run();
        self.wait_until_answers();
    }

    /// Puma: USR1 or USR2, to the boot of the last new process.
    pub(crate) fn restart_puma(&mut self, signal: Signal) {
        let (mark, count) = match self.kind {
            Kind::PumaCluster { .. } => (" booted in ", 2),
            _ => ("Use Ctrl-C to stop", 1),
        };
        let before = self.log().matches(mark).count();
        assert!(process::signal(self.pid(), signal), "Puma is gone");
        until_true("Puma's restart", seconds(40), || self.log().matches(mark).count() >= before + count);
        self.wait_until_answers();
    }

    /// Unicorn: USR2, to the end of the old master.
    pub(crate) fn restart_unicorn(&mut self) {
        let old = self.pid();
        assert!(process::signal(old, Signal::USR2), "Unicorn is gone");
        until_true("the old master ends", seconds(40), || process::reaped(old));
        self.wait_until_answers();
        assert_ne!(self.pid(), old, "a new master");
    }

    /// `passenger-config restart-app`, to the end of the old application processes.
    pub(crate) fn restart_passenger_app(&mut self) {
        let old = self.workers();
        let mut command = self.command("passenger-config");
        command.arg("restart-app").arg(&self.home);
        self.complete(command);
        until_true("new application processes", seconds(40), || {
            let new = self.workers();
            new.len() == 2 && new.is_disjoint(&old)
        });
        self.wait_until_answers();
    }

    /// The processes of the server whose title has this in it.
    pub(crate) fn titled(&self, part: &str) -> HashSet<u32> {
        let all = process::of_home(&self.home).into_iter();
        all.filter(|pid| process::title(*pid).contains(part)).collect()
    }

    fn workers(&self) -> HashSet<u32> {
        self.titled("RubyApp")
    }

    /// `thin restart`, to the answer of the new process.
    pub(crate) fn restart_thin(&mut self) {
        let old = self.ask("/boot").expect("Thin answers");
        let mut command = self.command("thin");
        command.args([
            "restart",
            "-d",
            "-e",
            "production",
            "-S",
            text(&self.socket),
            "-P",
            text(&self.pid_file),
        ]);
        command.args(["-l", text(&self.log), "-R", "config.ru", "-c", text(&self.home)]);
        self.complete(command);
        until_true("the new Thin answers", seconds(40), || self.ask("/boot").is_some_and(|new| new != old));
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        kill_all(&self.home);
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!(
                "--- the end of {:?}'s log:\n{}",
                self.kind,
                lines[lines.len().saturating_sub(40)..].join("\n")
            );
        }
    }
}

/// Kills until none is left: a master may have forked between our look and its end. Never panics.
fn kill_all(home: &Path) {
    let start = Instant::now();
    while start.elapsed() < seconds(10) {
        let left = process::of_home(home);
        if left.is_empty() {
            break;
        }
        for pid in left {
            process::signal(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
