//! `vestibule reload`: tells the Vestibule that runs here to read its configuration anew, and what came of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use crate::app::{self, Connection, Exit, Problem, Voice};
use crate::command::find_config;
use crate::control::Place;
use crate::control::protocol::{Reloaded, Reply, Request, Verb};

/// Longest that a reload may take, with one before it: disks may be slow.
const PATIENCE: Duration = Duration::from_secs(120);

const EXIT_STATUS: &str = "\
Everything is checked first, as `vestibule check` does, and new listeners are bound; then all of it takes effect at once. Requests
under way, connections and WebSockets go on. With an error nothing changes. SIGHUP does the same, and tells the log.

Exit status:
  0  done; what changed is on standard output, what waits for a restart on standard error
  1  it ended before it had answered
  2  refused: errors in the configuration, as `vestibule check` prints them; draining; another configuration
  3  no answer for two minutes
  4  no Vestibule is running there

Which Vestibule: --control PATH; else [control] socket of the configuration; else VESTIBULE_CONTROL; else
/run/vestibule/control.sock; else /tmp/vestibule-UID/control.sock.";

/// What the operator asks.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct Options {
    /// The configuration that the running Vestibule has, found as by `serve`; it takes no other
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The control socket
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// Tell what came of it as a JSON object
    #[arg(long)]
    json: bool,
}

/// What came of it, as `--json` tells it.
#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
enum Told<'t> {
    Done(&'t Reloaded),
    Refused { words: &'t str },
}

/// Does what is asked.
///
/// # Errors
/// Where there is no event loop to be had.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let places = options.places();
    app::speak(async |voice| perform(options, &places, voice).await)
}

async fn perform(options: &Options, places: &[PathBuf], voice: &mut Voice<'_>) -> Result<Exit, Problem> {
    // From where the Vestibule stands another path would be meant.
    let config =
        options.config.as_ref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
    let request = Request { config, ..Request::new(Verb::Reload) };
    let mut connection = Connection::ask(places, &request).await?;
    loop {
        match connection.reply(Some(PATIENCE)).await {
            Ok(Reply::Accepted { .. }) => {}
            Ok(Reply::Reloaded(reloaded)) => {
                tell(&reloaded, options.json, voice)?;
                return Ok(Exit::Done);
            }
            Ok(other) => return Err(connection.not_understood(&other)),
            Err(Problem::Refused(words)) if options.json => {
                voice.json(&Told::Refused { words: &words })?;
                return Ok(Exit::Refused);
            }
            Err(problem) => return Err(problem),
        }
    }
}

fn tell(reloaded: &Reloaded, as_json: bool, voice: &mut Voice<'_>) -> Result<(), Problem> {
    if as_json {
        return voice.json(&Told::Done(reloaded));
    }
    let Reloaded { file, changes, warnings, milliseconds } = reloaded;
    let file = file.as_ref().map_or("the defaults".to_owned(), |file| file.display().to_string());
    let what = if changes.is_empty() { ": nothing changed" } else { "" };
    voice.line(&format_args!("{file}: reloaded in {milliseconds} ms{what}"))?;
    for change in changes {
        voice.line(&format_args!("  {change}"))?;
    }
    for warning in warnings {
        voice.complain(warning);
    }
    Ok(())
}

impl Options {
    /// Where the Vestibule that is meant may be, the likeliest first. What is wrong with its configuration, it says itself.
    fn places(&self) -> Vec<PathBuf> {
        let named = |file: PathBuf| {
            // To open a named pipe would wait for somebody to write to it.
            if !fs::metadata(&file).ok()?.is_file() {
                return None;
            }
            vestibule_config::control_socket_in(&fs::read_to_string(file).ok()?)
        };
        let configured = || find_config(self.config.as_deref()).and_then(named);
        Place::candidates(self.control.clone().or_else(configured).as_deref().map(Path::new))
    }
}
