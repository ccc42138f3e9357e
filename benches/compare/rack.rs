//! A real Rack server with an application that sleeps as long as the path says.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::program::{Launch, Program};

/// What the servers run; it says itself what.
const APPLICATION: &str = include_str!("app.ru");

/// A Rack server, as a site would run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    /// Puma, one process, 5 threads.
    Puma,
    /// Puma, 2 workers of 5 threads.
    PumaCluster,
    /// Unicorn with so many workers.
    Unicorn(u8),
    /// Thin, one process.
    Thin,
    /// Passenger, its builtin engine, 2 application processes.
    Passenger,
}

impl Server {
    /// The name in tables.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Puma => "Puma, 5 threads".to_owned(),
            Self::PumaCluster => "Puma, 2 workers of 5 threads".to_owned(),
            Self::Unicorn(workers) => format!("Unicorn, {workers} workers"),
            Self::Thin => "Thin".to_owned(),
            Self::Passenger => "Passenger, 2 processes".to_owned(),
        }
    }

    /// The program to be installed.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Puma | Self::PumaCluster => "puma",
            Self::Unicorn(_) => "unicorn",
            Self::Thin => "thin",
            Self::Passenger => "passenger",
        }
    }
}

/// An application's directory and socket, with its server running or not.
pub(crate) struct Application {
    server: Server,
    // Before the directory: it must end before its directory goes.
    running: Option<Program>,
    directory: TempDir,
}

impl Application {
    /// Writes the application and starts `server` with it; returns when it answers.
    pub(crate) fn start(server: Server) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        fs::write(directory.path().join("config.ru"), APPLICATION).context("cannot write config.ru")?;
        let mut application = Self { server, running: None, directory };
        application.boot()?;
        Ok(application)
    }

    /// The Unix socket it listens on.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("app.sock")
    }

    /// Stops the server as its own SIGTERM does, and waits for its end.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.running.take().map_or(Ok(()), |mut program| program.stop())
    }

    /// Starts the server again; returns when it answers.
    pub(crate) fn boot(&mut self) -> Result<()> {
        let mut program = self.launch()?.start()?;
        let socket = self.socket();
        program.wait_until(Duration::from_secs(20), || answers(&socket))?;
        self.running = Some(program);
        Ok(())
    }

    /// The bodies of all POSTs that ran, in order.
    pub(crate) fn posts(&self) -> Result<Vec<String>> {
        match fs::read_to_string(self.directory.path().join("posts")) {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error).context("cannot read the list of POSTs"),
        }
    }

    /// How long each request for `/long/N`, or with a body to `/upload`, has had one of its threads or processes to
    /// itself so far.
    pub(crate) fn occupied(&self) -> Result<Vec<Duration>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        let text = match fs::read_to_string(self.directory.path().join("occupied")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read.context("cannot read the times of the application")?,
        };
        let mut spans: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for line in text.lines() {
            let (id, at) = line.split_once(' ').context("a time of the application has no name")?;
            let at = at.parse()?;
            spans.entry(id).and_modify(|span| span.1 = at).or_insert((at, now));
        }
        let seconds = spans.into_values().map(|(from, to)| (to - from).max(0.0));
        Ok(seconds.map(Duration::from_secs_f64).collect())
    }

    fn launch(&self) -> Result<Launch> {
        let directory = self.directory.path();
        let socket = self.socket();
        let bind = format!("unix://{}", socket.display());
        let pid = directory.join("app.pid");
        let launch =
            Launch::new(self.server.program(), directory).env("HOME", directory).env("TMPDIR", directory);
        let puma = ["-e", "production", "-t", "5:5", "-b", &bind, "config.ru"];
        Ok(match self.server {
            Server::Puma => launch.args(puma),
            Server::PumaCluster => launch.args(["-w", "2"]).args(puma),
            Server::Unicorn(workers) => {
                let text = format!("listen {socket:?}\npid {pid:?}\nworker_processes {workers}\n");
                fs::write(directory.join("unicorn.rb"), text).context("cannot write unicorn.rb")?;
                launch.args(["-c", "unicorn.rb", "-E", "production", "config.ru"])
            }
            Server::Thin => {
                launch.args(["start", "-e", "production", "-R", "config.ru", "-S"]).args([socket])
            }
            Server::Passenger => launch
                .args(["start", "--engine", "builtin", "-e", "production"])
                .args(["--min-instances", "2", "--max-pool-size", "2", "--max-request-queue-size", "0"])
                .args(["--disable-security-update-check", "--disable-anonymous-telemetry"])
                .args([Path::new("--socket"), &socket, Path::new("--pid-file"), &pid])
                .args([Path::new("--log-file"), &directory.join("passenger.log")])
                .env("PASSENGER_INSTANCE_REGISTRY_DIR", directory),
        })
    }
}

/// Whether the application behind `socket` answers; a socket alone says nothing of that.
fn answers(socket: &Path) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}
