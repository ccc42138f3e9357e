//! The application of `vestibule run`, from its start to its end.

use std::future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal as Hearing, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};
use vestibule_config::{Process, Start, UpstreamAddress};
use vestibule_process::{Error, Exit, Launch, Life, MEMBER_OF, Members, PidFile, Reaper, Signal, spawn};

use super::invocation::{Place, Places};

/// Between two looks for the place where it listens.
const LOOK: Duration = Duration::from_millis(20);
/// Between two looks at who belongs to it.
const MEMBERS: Duration = Duration::from_secs(1);
/// Longest that what it leaves behind may take to end.
const LEFT_OVER: Duration = Duration::from_secs(10);
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
    ) -> anyhow::Result<Option<ExitStatus>> {
        Builder::new_current_thread().enable_all().build()?.block_on(self.drive(place, located, drained))
    }

    async fn drive(
        self,
        place: Place,
        located: oneshot::Sender<UpstreamAddress>,
        mut drained: oneshot::Receiver<()>,
    ) -> anyhow::Result<Option<ExitStatus>> {
        let mut signals = Signals::new()?;
        // The new master of a Unicorn becomes our child when the old one ends, as does whatever is left behind.
        tokio::spawn(Reaper::new()?.run());
        let own_name = format!("run-{}", std::process::id());
        let mut prepared = self.launch()?.variable(MEMBER_OF, &own_name).prepare()?;
        let (mut app, mut exit) = spawn(&mut prepared.command)?;
        // Who belongs to it is seen while it lives, or not at all.
        let mut members = Members::new(&own_name, app);
        let mut look = interval(MEMBERS);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tracing::info!(pid = app.pid, "started the application");
        let mut located = Some(located);
        let mut finding = std::pin::pin!(self.find(place));
        let mut stage = Stage::Starting;
        let mut deadline = None;
        let mut is_nowhere = false;
        let status = loop {
            tokio::select! {
                status = exit.ended() => {
                    members.update();
                    match self.successor(&members, stage) {
                        Some(next) => {
                            tracing::info!(pid = next.pid, before = app.pid, "another process took the application over");
                            members.follow(next);
                            (app, exit) = (next, Exit::of(next));
                        }
                        None => break status,
                    }
                }
                _ = look.tick() => members.update(),
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
                    tracing::warn!(pid = app.pid, "the application does not end: SIGKILL");
                    deadline = None;
                    pass_on(&app, Signal::KILL)?;
                }
            }
        };
        let words = status.map(|status| status.to_string());
        tracing::info!(pid = app.pid, status = words, "the application has ended");
        end_all(&mut members).await?;
        if is_nowhere { Err(self.nowhere()) } else { Ok(status) }
    }

    fn launch(&self) -> anyhow::Result<Launch> {
        let places = vestibule_process::Places {
            name: self.process.name.clone(),
            socket: Some(self.places.socket.clone()),
            pid_file: Some(self.places.pid_file.clone()),
        };
        let Start::Owned(command) = &self.process.start else { anyhow::bail!("it is not ours to start") };
        Launch::of(&self.process, command, &places).context("there is no command")
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

    /// Who goes on in its place, after a Unicorn replaced itself by a new master: a process of the application that its PID file
    /// names. Not when all is to end.
    fn successor(&self, members: &Members, stage: Stage) -> Option<Life> {
        if stage == Stage::Ending {
            return None;
        }
        let pid = PidFile::new(&self.places.pid_file).read().ok().flatten()?;
        members.all().find(|member| member.pid == pid && member.is_alive())
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

/// Ends what the application has left behind: with it and us gone nobody would.
async fn end_all(members: &mut Members) -> Result<(), Error> {
    members.update();
    let count = members.all().count();
    if count > 0 {
        tracing::warn!(count, "the application has left processes behind: SIGTERM");
        members.signal_all(Signal::TERM)?;
        let start = Instant::now();
        while members.all().next().is_some() && start.elapsed() < LEFT_OVER {
            sleep(LOOK).await;
            members.update();
        }
        members.signal_all(Signal::KILL)?;
    }
    Ok(())
}

/// Passes on a signal that is to end it, and begins to count.
fn stop(app: &Life, signal: Signal, stage: &mut Stage, deadline: &mut Option<Instant>) -> Result<(), Error> {
    *stage = Stage::Ending;
    deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
    pass_on(app, signal)
}

fn pass_on(app: &Life, signal: Signal) -> Result<(), Error> {
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

    #[tokio::test]
    async fn gives_up_on_what_listens_nowhere() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = child(dir.path(), &["sleep", "600"]);
        child.process.start_timeout = Duration::from_millis(200);
        assert_eq!(child.find(Place::Either).await, None);
        let error = child.nowhere().to_string();
        assert!(error.contains("neither at port 1 (PORT) nor at "), "{error}");
    }

    #[tokio::test]
    async fn finds_the_socket_that_appears() {
        let dir = tempfile::tempdir().expect("a directory");
        let child = child(dir.path(), &[]);
        let _listener = std::os::unix::net::UnixListener::bind(&child.places.socket).expect("bound");
        let found = child.find(Place::Either).await;
        assert_eq!(found, Some(UpstreamAddress::Unix(child.places.socket.clone())));
    }
}
