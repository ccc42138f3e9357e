//! `vestibule run`: starts an application, fronts it, and ends with it.
//!
//! The application has a thread of its own ([`child`]), which outlives the draining of ours: signals go there first. It
//! tells [`serve`] to end, waits until all is drained, and only then passes the signal on. What the command becomes, [`invocation`]
//! knows; which command a directory wants, [`choice`].

mod child;
mod choice;
mod invocation;
mod overlay;
mod words;

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot};
use vestibule_config::{Config, ListenAddress, Listener, Member, Problem, Process, Upstream, UpstreamId};
use vestibule_upstream::Order;

use crate::serve::{self, Start};
use crate::signals::Ends;
use crate::tls::Security;
use child::Child;
use choice::{NoChoice, Surroundings};
use invocation::{Invocation, Places, told};

/// What the operator can ask of `run`.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Options {
    /// Where the public comes in: host:port or unix:/path [default: 0.0.0.0 at the port of HTTP_PORT or PORT, else
    /// 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    listen: Option<ListenAddress>,
    /// What starts the application, in the foreground [default: the server that the directory wants]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
}

const NOTES: &str = "\
The application listens at a Unix socket that nobody else knows. puma, unicorn, thin start, passenger start, rails server and
rackup, also behind bundle exec, get the arguments for that, unless they have a bind of their own: then it is used.
{socket} and {pid_file} in COMMAND stand for our socket and PID file. Any other command may listen at $PORT or at
$CUSTOM_WEB_SOCKET_FILE, whichever is there first; clients wait meanwhile.

Without COMMAND, in a directory with a config.ru, Gemfile.lock says which server it is; if it has several, the one that
config/puma.rb, config/unicorn.rb, config/thin.yml or Passengerfile.json stands for, else the first of Puma, Passenger,
Unicorn, Thin.

Signals: TERM, INT and QUIT let what runs finish, and then go to the application; a second one waits for nothing. HUP, USR1
and USR2 go to it at once. Ends with its exit status, or 128 and the number of the signal that ended it.

Environment: HTTP_PORT (as with Thruster), or else PORT (as on Heroku and its kin), is the port that the public comes in at, on
all addresses, where --listen is not given.";

/// Something that the operator has to mend.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CannotRun {
    /// No server to be chosen.
    #[error(transparent)]
    NoChoice(#[from] NoChoice),
    /// A command that cannot be run.
    #[error(transparent)]
    Refused(#[from] invocation::Refused),
    /// A port in the environment that is none.
    #[error(
        "{name}={text}: this is not a port\n  set it to a number from 1 to 65535, or give --listen ADDRESS"
    )]
    Port {
        /// The variable.
        name: &'static str,
        /// Its value.
        text: String,
    },
}

/// Runs the application until it or a signal ends it.
///
/// # Errors
/// [`CannotRun`], whatever keeps us from serving, and an application that cannot be started.
pub(crate) fn run(options: Options) -> anyhow::Result<ExitCode> {
    let address = listen(options.listen)?;
    let directory = env::current_dir().context("cannot tell the working directory")?;
    // Its removal, at the end of this function, comes after everything that uses it. Nobody else may enter it.
    let own = tempfile::Builder::new().prefix("vestibule-run-").tempdir();
    let own = own.context("cannot make a temporary directory")?;
    let places = Places {
        directory: own.path().to_owned(),
        socket: own.path().join("app.sock"),
        pid_file: own.path().join("app.pid"),
        port: free_port()?,
    };
    let invocation = prepare(options.command, &directory, &places)?;
    tracing::info!(command = invocation.line(), "{}", invocation.words);

    let mut config = Config {
        listeners: vec![Listener { address, ..Listener::default() }],
        processes: Vec::new(),
        ..Config::default()
    };
    // From here on clients may connect: they wait in the accept queue until we know where the application listens.
    let security = Security::of(&config)?;
    let bound = serve::bind(&config, &security)?;
    let upstream = &mut config.upstreams[0];
    *upstream = Upstream {
        server: invocation.server,
        pid_file: Some(places.pid_file.clone()),
        ..Upstream::default()
    };
    let mut process = Process::owned(UpstreamId(0), upstream, invocation.command);
    process.directory = Some(directory);
    process.environment = invocation.environment;

    let (located, location) = oneshot::channel();
    let (drained, is_drained) = oneshot::channel();
    let (gone, is_gone) = oneshot::channel();
    let (ends, end) = mpsc::channel(8);
    let child = Child { process, places, ends: ends.clone() };
    let thread = std::thread::Builder::new().name("application".to_owned());
    let thread = thread
        .spawn(move || {
            let ended = child.run(invocation.place, located, is_drained);
            // Nobody waits for this when serving has failed.
            let _ = gone.send(());
            ended
        })
        .context("cannot start a thread")?;
    let served = match location.blocking_recv() {
        Ok(address) => {
            tracing::info!("the application is expected at {}", told(&address));
            config.upstreams[0].members = vec![Member::at(address)];
            let told = Ends::Told(end);
            let start = Start { config, bound, security, control: None, ends: told, source: None };
            serve::serve(start, |upstreams| {
                let upstreams = upstreams.to_vec();
                tokio::task::spawn_local(async move {
                    if is_gone.await.is_ok() {
                        // What waits for it waits in vain.
                        for upstream in upstreams {
                            let _ = Arc::clone(&upstream).order(Order::Stop).await;
                        }
                        let _ = ends.send("the application has ended").await;
                    }
                });
            })
        }
        // It has ended before that; why, the thread says.
        Err(_) => Ok(ExitCode::SUCCESS),
    };
    drop(drained);
    let ended = thread.join().map_err(|_| anyhow::anyhow!("the application's thread failed"))?;
    served?;
    match ended {
        Ok(status) => Ok(exit_code(status)),
        Err(error) => match error.downcast_ref() {
            // As a shell says it.
            Some(vestibule_process::Error::NoProgram { .. }) => not_started(&error, 127),
            Some(vestibule_process::Error::NotExecutable { .. }) => not_started(&error, 126),
            _ => Err(error),
        },
    }
}

/// The command that is started: the one given, or the one that the directory wants.
fn prepare(command: Vec<String>, directory: &Path, places: &Places) -> anyhow::Result<Invocation> {
    let gemfile = env::var_os("BUNDLE_GEMFILE");
    let around =
        Surroundings { directory, gemfile: gemfile.as_deref().map(Path::new), has_program: &is_in_path };
    let command = if command.is_empty() {
        let choice = choice::choose(&around).map_err(CannotRun::from)?;
        tracing::info!("{}", choice.words);
        choice.command
    } else {
        command
    };
    let invocation = Invocation::complete(command, &around, places).map_err(CannotRun::from)?;
    if let Some(overlay) = &invocation.overlay {
        fs::write(&overlay.path, &overlay.text).context("cannot write the server's configuration")?;
    }
    Ok(invocation)
}

/// Where the public comes in.
fn listen(asked: Option<ListenAddress>) -> Result<ListenAddress, CannotRun> {
    if let Some(address) = asked {
        return Ok(address);
    }
    for name in ["HTTP_PORT", "PORT"] {
        if let Some(text) = env::var_os(name).filter(|text| !text.is_empty()) {
            return port(name, &text.to_string_lossy());
        }
    }
    Ok(Listener::default().address)
}

fn address(text: &str) -> Result<ListenAddress, String> {
    text.parse().map_err(|problem: Problem| problem.to_string())
}

fn port(name: &'static str, text: &str) -> Result<ListenAddress, CannotRun> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(ListenAddress::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))),
        _ => Err(CannotRun::Port { name, text: text.to_owned() }),
    }
}

fn free_port() -> anyhow::Result<u16> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    Ok(free.context("cannot find a free port")?.port())
}

fn is_in_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn not_started(error: &anyhow::Error, code: u8) -> anyhow::Result<ExitCode> {
    eprintln!("vestibule: {error:#}");
    Ok(ExitCode::from(code))
}

/// As a shell gives it; 1 for a status that nobody knows.
fn exit_code(status: Option<ExitStatus>) -> ExitCode {
    let code = status.and_then(|status| status.code().or_else(|| status.signal().map(|signal| 128 + signal)));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_port_from_the_environment_and_nothing_else() {
        let all = ListenAddress::Tcp("0.0.0.0:3000".parse().expect("an address"));
        assert_eq!(port("PORT", "3000").expect("a port"), all);
        for wrong in ["0", "65536", "-1", "http", "127.0.0.1:80", " 80"] {
            let error = port("PORT", wrong).expect_err(wrong).to_string();
            assert!(error.starts_with(&format!("PORT={wrong}: ")), "{error}");
        }
    }

    #[test]
    fn ends_as_a_shell_would() {
        assert_eq!(exit_code(Some(ExitStatus::from_raw(7 << 8))), ExitCode::from(7));
        assert_eq!(exit_code(Some(ExitStatus::from_raw(15))), ExitCode::from(143));
    }
}
