//! The application of `vestibule run`, from its start to its end.

use std::future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal as Hearing, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, sleep_until};
use vestibule_config::{Process, Start, UpstreamAddress};
use vestibule_process::{Application, Error, Launch, Signal};

use super::invocation::{Place, Places};

/// Between two looks for the place where it listens.
const LOOK: Duration = Duration::from_millis(20);
/// Longest that it may take to end after the signal that was passed on.
const PATIENCE: Duration = Duration::from_secs(30);

/// The application and what it is told.
pub(crate) struct Child {
    pub(crate) process: Process,
    pub(crate) places: Places,
    /// Tells the serving side to drain, and then to cut.
    pub(crate) ends: mpsc::Sender<&'static str>,
}

/// What is being waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nobody is served yet.
    Starting,
    Serving,
    /// The serving side drains; then it gets this signal.
    Draining(Signal),
    /// It was told to end.
    Ending,
}

impl Child {
    /// Starts it, tells at `located` where it listens, and passes signals on until it ends: those that end it only after
    /// `drained` is closed or told.
    ///
    /// # Errors
    /// When it cannot be started or waited for, or does not listen within `start_timeout`.
    pub(crate) fn run(
        self,
        place: Place,
        located: oneshot::Sender<UpstreamAddress>,
        drained: oneshot::Receiver<()>,
    ) -> anyhow::Result<ExitStatus> {
        Builder::new_current_thread().enable_all().build()?.block_on(self.drive(place, located, drained))
    }

    async fn drive(
        self,
        place: Place,
        located: oneshot::Sender<UpstreamAddress>,
        mut drained: oneshot::Receiver<()>,
    ) -> anyhow::Result<ExitStatus> {
        let mut signals = Signals::new()?;
        let mut app = Application::start(&self.launch()?)?;
        tracing::info!(pid = app.pid(), "started the application");
        let mut located = Some(located);
        let mut finding = std::pin::pin!(self.find(place));
        let mut stage = Stage::Starting;
        let mut deadline = None;
        let mut is_nowhere = false;
        let status = loop {
            tokio::select! {
                status = app.ended() => break status?,
                found = &mut finding, if stage == Stage::Starting && located.is_some() => match (found, located.take()) {
                    (Some(address), Some(located)) => {
                        stage = Stage::Serving;
                        let _ = located.send(address);
                    }
                    _ => {
                        is_nowhere = true;
                        stop(&app, Signal::TERM, &mut stage, &mut deadline)?;
                    }
                },
                signal = signals.next() => match (signal, stage) {
                    (Signal::TERM | Signal::INT | Signal::QUIT, Stage::Serving) => {
                        stage = Stage::Draining(signal);
                        let _ = self.ends.send(name(signal)).await;
                    }
                    // Cut what is left.
                    (Signal::TERM | Signal::INT | Signal::QUIT, Stage::Draining(_)) => {
                        let _ = self.ends.try_send(name(signal));
                    }
                    (Signal::TERM | Signal::INT | Signal::QUIT, _) => stop(&app, signal, &mut stage, &mut deadline)?,
                    (signal, _) => pass_on(&app, signal)?,
                },
                _ = &mut drained, if matches!(stage, Stage::Serving | Stage::Draining(_)) => {
                    // When serving has failed nobody has asked for the end, and TERM is what ends most.
                    let signal = if let Stage::Draining(signal) = stage { signal } else { Signal::TERM };
                    stop(&app, signal, &mut stage, &mut deadline)?;
                }
                () = until(deadline) => {
                    tracing::warn!(pid = app.pid(), "the application does not end: SIGKILL");
                    deadline = None;
                    pass_on(&app, Signal::KILL)?;
                }
            }
        };
        tracing::info!(pid = app.pid(), %status, "the application has ended");
        if is_nowhere { Err(self.nowhere()) } else { Ok(status) }
    }

    /// The command with its places and its environment. `env` puts the latter there, and becomes the command.
    fn launch(&self) -> anyhow::Result<Launch> {
        let Start::Owned(command) = &self.process.start else { anyhow::bail!("there is no command") };
        let own =
            [("CUSTOM_WEB_SOCKET_FILE", &self.places.socket), ("CUSTOM_WEB_PID_FILE", &self.places.pid_file)];
        let mut launch = Launch::new("env");
        for (name, path) in own {
            launch = launch.argument(format!("{name}={}", path.display()));
        }
        for (name, value) in &self.process.environment {
            launch = launch.argument(format!("{name}={value}"));
        }
        let socket = self.places.socket.display().to_string();
        let pid_file = self.places.pid_file.display().to_string();
        Ok(command.iter().fold(launch, |launch, word| {
            launch.argument(word.replace("{socket}", &socket).replace("{pid_file}", &pid_file))
        }))
    }

    /// Where it listens: there at once if that is known, else when somebody is there; `None` after `start_timeout`.
    async fn find(&self, place: Place) -> Option<UpstreamAddress> {
        if let Place::At(address) = place {
            return Some(address);
        }
        let start = Instant::now();
        let port = SocketAddr::from((Ipv4Addr::LOCALHOST, self.places.port));
        while start.elapsed() < self.process.start_timeout {
            // A connection is enough to know where; whether it answers yet is for the upstream to find.
            if is_listening(&self.places.socket).await {
                return Some(UpstreamAddress::Unix(self.places.socket.clone()));
            }
            if TcpStream::connect(port).await.is_ok() {
                return Some(UpstreamAddress::Tcp(port));
            }
            sleep(LOOK).await;
        }
        None
    }

    fn nowhere(&self) -> anyhow::Error {
        anyhow::anyhow!(
            "the application listens neither at port {} (PORT) nor at {} (CUSTOM_WEB_SOCKET_FILE) after {} s\n  make it \
             listen at one of them, or put {{socket}} where its command says where",
            self.places.port,
            self.places.socket.display(),
            self.process.start_timeout.as_secs()
        )
    }
}

async fn is_listening(socket: &Path) -> bool {
    match UnixStream::connect(socket).await {
        Ok(_) => true,
        // Its accept queue is full, so there is one.
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// Passes on a signal that is to end it, and begins to count.
fn stop(
    app: &Application,
    signal: Signal,
    stage: &mut Stage,
    deadline: &mut Option<Instant>,
) -> Result<(), Error> {
    *stage = Stage::Ending;
    deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
    pass_on(app, signal)
}

fn pass_on(app: &Application, signal: Signal) -> Result<(), Error> {
    match app.signal(signal) {
        Err(Error::HasEnded { .. }) => Ok(()),
        other => other,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => future::pending().await,
    }
}

fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::TERM => "SIGTERM",
        Signal::INT => "SIGINT",
        _ => "SIGQUIT",
    }
}

/// The signals that somebody may send us for it.
struct Signals([(Signal, Hearing); 6]);

impl Signals {
    fn new() -> io::Result<Self> {
        let hear = |which: Signal, kind| Ok::<_, io::Error>((which, signal(kind)?));
        Ok(Signals([
            hear(Signal::TERM, SignalKind::terminate())?,
            hear(Signal::INT, SignalKind::interrupt())?,
            hear(Signal::QUIT, SignalKind::quit())?,
            hear(Signal::HUP, SignalKind::hangup())?,
            hear(Signal::USR1, SignalKind::user_defined1())?,
            hear(Signal::USR2, SignalKind::user_defined2())?,
        ]))
    }

    async fn next(&mut self) -> Signal {
        future::poll_fn(|context| {
            for (which, hearing) in &mut self.0 {
                if hearing.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*which);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use vestibule_config::{Upstream, UpstreamId};

    use super::*;

    fn child(directory: &Path, command: &[&str]) -> Child {
        let command = command.iter().map(|&word| word.to_owned()).collect();
        let process = Process::owned(UpstreamId(0), &Upstream::default(), command);
        let places = Places {
            directory: directory.to_owned(),
            socket: directory.join("app.sock"),
            pid_file: directory.join("app.pid"),
            port: 1,
        };
        Child { process, places, ends: mpsc::channel(1).0 }
    }

    #[test]
    fn puts_its_places_into_command_and_environment() {
        let dir = tempfile::tempdir().expect("a directory");
        let script = "echo \"$0 $CUSTOM_WEB_SOCKET_FILE $CUSTOM_WEB_PID_FILE $MORE\" > {pid_file}";
        let mut child = child(dir.path(), &["sh", "-c", script, "{socket}"]);
        child.process.environment.push(("MORE".to_owned(), "more = more".to_owned()));
        let (socket, pid_file) = (child.places.socket.clone(), child.places.pid_file.clone());
        let (located, _location) = oneshot::channel();
        let (_drained, is_drained) = oneshot::channel();
        let status = child.run(Place::Either, located, is_drained).expect("it runs");
        assert!(status.success());
        let said = std::fs::read_to_string(&pid_file).expect("what it wrote");
        let socket = socket.display();
        assert_eq!(said.trim_end(), format!("{socket} {socket} {} more = more", pid_file.display()));
    }

    #[test]
    fn stops_what_listens_nowhere() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = child(dir.path(), &["sleep", "600"]);
        child.process.start_timeout = Duration::from_millis(200);
        let (located, mut location) = oneshot::channel();
        let (_drained, is_drained) = oneshot::channel();
        let error =
            child.run(Place::Either, located, is_drained).expect_err("it listens nowhere").to_string();
        assert!(error.contains("neither at port 1 (PORT) nor at "), "{error}");
        assert!(location.try_recv().is_err(), "it was said to listen");
    }
}
