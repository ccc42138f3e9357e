//! `vestibule app`: asks the Vestibule that runs here how its applications are, and tells it what to do with them.

mod connection;
mod details;
mod measure;
mod order;
mod table;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::{Builder, LocalOptions};
use vestibule_process::{Phase, Status, Wish};

use crate::command::find_config;
use crate::control::Place;
use crate::control::protocol::{Entry, MOST_LINES, Reply, Request, Source, Verb};
pub(crate) use connection::Connection;
use measure::{clean, stamp};

/// Longest silence of a Vestibule that has something to say.
const SILENCE: Duration = Duration::from_secs(30);

const EXIT_STATUS: &str = "\
Exit status:
  0  done, or so already (status: everything that should be up is up, or on its way)
  1  failed (status: something is down that should be up)
  2  refused: not understood, not allowed, no such process
  3  the time to wait is over; what was asked for goes on
  4  no Vestibule is running there

Which Vestibule: --control PATH; else [control] socket of the configuration; else VESTIBULE_CONTROL; else
/run/vestibule/control.sock; else /tmp/vestibule-UID/control.sock.";

/// What the operator asks.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_STATUS, arg_required_else_help = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Start it, unless it runs, and watch it from then on
    #[command(after_help = EXIT_STATUS)]
    Start(Order),
    /// Stop it, after the requests that it has; it stays down
    #[command(after_help = EXIT_STATUS)]
    Stop(Order),
    /// Make it run the code that is there now, without failing a request
    #[command(after_help = EXIT_STATUS)]
    Restart(Order),
    /// Tell how it is; with NAME, all that is known of it
    #[command(after_help = EXIT_STATUS)]
    Status(Look),
    /// Show what happened to it, and the last lines that it wrote
    #[command(after_help = EXIT_STATUS)]
    Log(Log),
    /// Watch it again, as after a start
    #[command(after_help = EXIT_STATUS)]
    Monitor(Order),
    /// Leave it as it is, whatever happens, until it is told otherwise
    #[command(after_help = EXIT_STATUS)]
    Unmonitor(Order),
    /// End Vestibule, after the requests that it has, and leave the applications running
    #[command(after_help = EXIT_STATUS)]
    Quit(Quit),
}

#[derive(Debug, clap::Args)]
struct Order {
    /// The process, as in `[process.NAME]` [default: all of them]
    name: Option<String>,
    #[command(flatten)]
    wait: Wait,
    /// Tell how it ended as a JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
struct Look {
    /// The process, as in `[process.NAME]` [default: all of them, in a table]
    name: Option<String>,
    /// Tell all that is known as a JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
struct Log {
    /// The process, as in `[process.NAME]` [default: all of them]
    name: Option<String>,
    /// How many lines of what was
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST_LINES)))]
    lines: u32,
    /// Go on with what comes, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// One JSON object to a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
struct Quit {
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
struct Wait {
    /// Return when it has ended; with a DURATION, such as 90s or 2m, wait no longer than that (this, without a DURATION, is the default)
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, value_parser = measure::duration)]
    wait: Option<Option<Duration>>,
    /// Return as soon as it is accepted
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
}

impl Wait {
    fn most(&self) -> Option<Duration> {
        self.wait.flatten()
    }
}

#[derive(Debug, clap::Args)]
struct At {
    /// The configuration that the running Vestibule has, found as by `serve`
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The control socket
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
}

/// Why there is no answer, or none that is good.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{0}")]
    Failed(String),
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Late(String),
    #[error("{0}")]
    Nobody(String),
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
}

/// The exit status, by what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Refused = 2,
    Late = 3,
    Nobody = 4,
}

/// Where the answer goes.
pub(crate) struct Voice<'w> {
    out: &'w mut dyn Write,
    err: &'w mut dyn Write,
}

/// Does what is asked.
///
/// # Errors
/// A configuration that cannot be read.
pub(crate) fn run(options: Options) -> anyhow::Result<ExitCode> {
    let places = options.action.at().places()?;
    speak(async |voice| perform(&options.action, &places, voice).await)
}

/// Does something at a control socket, and says what came of it on our own output.
///
/// # Errors
/// Where there is no event loop to be had.
pub(crate) fn speak(
    act: impl AsyncFnOnce(&mut Voice<'_>) -> Result<Exit, Problem>,
) -> anyhow::Result<ExitCode> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let mut voice = Voice { out: &mut io::stdout(), err: &mut io::stderr() };
    let exit = runtime.block_on(async {
        let done = act(&mut voice).await;
        exit_of(done, &mut voice)
    });
    Ok(ExitCode::from(exit as u8))
}

/// Does what is asked at the first of `places` where a Vestibule is, and says what came of it.
async fn perform(action: &Action, places: &[PathBuf], voice: &mut Voice<'_>) -> Result<Exit, Problem> {
    match action {
        Action::Start(order) => order::give(Verb::Start, order, places, voice).await,
        Action::Stop(order) => order::give(Verb::Stop, order, places, voice).await,
        Action::Restart(order) => order::give(Verb::Restart, order, places, voice).await,
        Action::Monitor(order) => order::give(Verb::Monitor, order, places, voice).await,
        Action::Unmonitor(order) => order::give(Verb::Unmonitor, order, places, voice).await,
        Action::Status(look) => status(look, places, voice).await,
        Action::Log(log) => show_log(log, places, voice).await,
        Action::Quit(quit) => order::quit(&quit.wait, places, voice).await,
    }
}

/// The exit status, after the problem is told, if there is one.
fn exit_of(done: Result<Exit, Problem>, voice: &mut Voice<'_>) -> Exit {
    let problem = match done {
        Ok(exit) => return exit,
        // Whoever read it has seen enough (`vestibule app log | head`).
        Err(Problem::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Exit::Done,
        Err(problem) => problem,
    };
    voice.complain(&problem);
    match problem {
        Problem::Failed(_) | Problem::Output(_) => Exit::Failed,
        Problem::Refused(_) => Exit::Refused,
        Problem::Late(_) => Exit::Late,
        Problem::Nobody(_) => Exit::Nobody,
    }
}

async fn status(look: &Look, places: &[PathBuf], voice: &mut Voice<'_>) -> Result<Exit, Problem> {
    let mut request = Request::new(Verb::Status);
    request.name.clone_from(&look.name);
    let mut connection = Connection::ask(places, &request).await?;
    let mut all: Vec<Status> = Vec::new();
    loop {
        match connection.reply(Some(SILENCE)).await? {
            Reply::Status { status } => all.push(*status),
            Reply::End => break,
            other => return Err(connection.not_understood(&other)),
        }
    }
    if look.json {
        voice.json(&all)?;
    } else if look.name.is_some() {
        for status in &all {
            voice.out.write_all(details::of(status, measure::now()).as_bytes())?;
        }
    } else if all.is_empty() {
        voice.complain(&"no process is kept there: there is no [process.NAME] in its configuration, nor an upstream with a pid_file");
    } else {
        voice.out.write_all(table::of(&all, measure::now()).as_bytes())?;
    }
    Ok(if all.iter().any(is_missing) { Exit::Failed } else { Exit::Done })
}

/// Whether it is down, and should be up.
fn is_missing(status: &Status) -> bool {
    status.wish == Wish::Up && matches!(status.phase, Phase::Down | Phase::Waiting)
}

async fn show_log(log: &Log, places: &[PathBuf], voice: &mut Voice<'_>) -> Result<Exit, Problem> {
    let mut request = Request { lines: log.lines, follow: log.follow, ..Request::new(Verb::Log) };
    request.name.clone_from(&log.name);
    let mut connection = Connection::ask(places, &request).await?;
    // What comes may take as long as it likes.
    let patience = (!log.follow).then_some(SILENCE);
    loop {
        match connection.reply(patience).await? {
            Reply::Line(entry) if log.json => voice.json(&entry)?,
            Reply::Line(Entry { when, name, source, words }) => {
                let mark = match source {
                    Source::Event => ":",
                    Source::Output => " |",
                };
                writeln!(voice.out, "{} {}{mark} {}", stamp(when), clean(&name), clean(&words))?;
            }
            Reply::End => return Ok(Exit::Done),
            other => return Err(connection.not_understood(&other)),
        }
    }
}

impl Action {
    fn at(&self) -> &At {
        match self {
            Action::Start(order)
            | Action::Stop(order)
            | Action::Restart(order)
            | Action::Monitor(order)
            | Action::Unmonitor(order) => &order.at,
            Action::Status(look) => &look.at,
            Action::Log(log) => &log.at,
            Action::Quit(quit) => &quit.at,
        }
    }
}

impl At {
    /// Where the Vestibule that is meant may be, the likeliest first.
    fn places(&self) -> anyhow::Result<Vec<PathBuf>> {
        if let Some(control) = &self.control {
            return Ok(Place::candidates(Some(control)));
        }
        let configured = match find_config(self.config.as_deref()) {
            Some(file) => control_of(&file).context("with --control PATH no configuration is needed")?,
            None => None,
        };
        Ok(Place::candidates(configured.as_deref()))
    }
}

/// What a configuration says of the control socket. Whether the rest fits this machine does not matter here.
fn control_of(file: &Path) -> Result<Option<PathBuf>, vestibule_config::Error> {
    Ok(vestibule_config::load_written(file)?.control.socket)
}

impl Voice<'_> {
    /// One value of JSON in one line.
    pub(crate) fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Problem> {
        serde_json::to_writer(&mut *self.out, value).map_err(io::Error::from)?;
        Ok(writeln!(self.out)?)
    }

    /// One line for people.
    pub(crate) fn line(&mut self, words: &impl std::fmt::Display) -> Result<(), Problem> {
        Ok(writeln!(self.out, "{words}")?)
    }

    /// That nobody may be there to hear it is no failure.
    pub(crate) fn complain(&mut self, words: &impl std::fmt::Display) {
        let _ = writeln!(self.err, "vestibule: {words}");
    }
}
