//! `vestibule demo`: the main job to be looked at, without Ruby.
//!
//! The same binary runs as an application of its own ([`app`]) on the socket where a Rack server would be. A thread
//! beside Vestibule's own restarts it again and again ([`keeper`]) and answers for Vestibule's counters
//! ([`counters`]), so that they can be seen while the application is away.

mod app;
mod counters;
mod history;
mod https;
mod keeper;
mod site;

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Signal, getpid, kill_process};
use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use vestibule_config::routes::Routes;
use vestibule_config::{
    AccessFormat, Config, ListenAddress, Listener, Log, Member, Route, RouteId, UpstreamAddress, UpstreamId,
};
use vestibule_process::{Launch, PidFile, Running};
use vestibule_upstream::Upstream;

pub(crate) use app::run as run_app;

use crate::serve;
use counters::Counters;
use history::History;
use https::Https;
use keeper::Keeper;

/// What the operator can ask of the demo.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Where the public comes in; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// HTTPS and HTTP/2 too, with a certificate for localhost that this machine makes itself; says how to trust it
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:8443")]
    tls: Option<SocketAddr>,
    #[command(flatten)]
    places: Places,
    /// Seconds between two restarts of the application
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    every: Duration,
}

/// Where the application is found.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Places {
    /// The application's socket
    #[arg(long, value_name = "PATH", default_value = "/tmp/web_server.sock")]
    socket: PathBuf,
    /// The application's PID file
    #[arg(long, value_name = "PATH", default_value = "/tmp/web_server.pid")]
    pid_file: PathBuf,
}

/// Something outside of the demo that the operator has to mend.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(String);

/// What the demo's thread is made of.
struct Beside {
    options: Options,
    address: SocketAddr,
    https: Option<Https>,
    launch: Launch,
    /// Where the counters are served.
    counters: PathBuf,
}

/// Runs the demo until a signal ends it.
///
/// # Errors
/// [`Refused`] when something else is at the application's place; whatever keeps Vestibule from serving; an
/// application that does not start.
pub(crate) fn run(options: Options) -> anyhow::Result<ExitCode> {
    let _events = crate::logging::start("warn");
    check_vacant(&options.places)?;
    let address = with_port(options.listen)?;
    let https = options.tls.map(|listen| Https::at(with_port(listen)?, address)).transpose()?;
    // Its removal, at the end of this function, comes after everything that uses it.
    let own = tempfile::Builder::new().prefix("vestibule-demo-").tempdir();
    let own = own.context("cannot make a temporary directory")?;
    let counters = own.path().join("counters.sock");
    let config = configuration(address, https.as_ref(), &options.places, &counters)?;
    let launch = Launch::new(std::env::current_exe().context("cannot find this program itself")?)
        .argument("demo-app")
        .argument("--socket")
        .argument(&options.places.socket)
        .argument("--pid-file")
        .argument(&options.places.pid_file)
        .lifeline();

    // A thread of its own: the application has to outlive Vestibule's draining, which ends with `serve::run`.
    let (running, ended) = oneshot::channel::<Infallible>();
    let (ready, upstreams) = oneshot::channel();
    let beside = Beside { options, address, https, launch, counters };
    let thread =
        std::thread::Builder::new().name("demo".to_owned()).spawn(move || beside.run(upstreams, ended));
    let thread = thread.context("cannot start a thread")?;
    // Without a control socket: it belongs to those who serve.
    let served = serve::run(config, None, |upstreams| {
        // The thread never leaves before; if it has failed, joining it says so.
        let _ = ready.send(upstreams.to_vec());
    });
    drop(running);
    let kept = thread.join().map_err(|_| anyhow::anyhow!("the demo's thread failed"))?;
    let code = served?;
    kept.map(|()| code)
}

impl Beside {
    /// Runs until `ended` does, or what it does has failed, and with it Vestibule ends.
    fn run(
        self,
        upstreams: oneshot::Receiver<Vec<Arc<Upstream>>>,
        mut ended: oneshot::Receiver<Infallible>,
    ) -> anyhow::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(async {
            let Ok(upstreams) = upstreams.await else { return Ok(()) };
            let kept = self.keep(&upstreams, &mut ended).await;
            if kept.is_err() {
                kill_process(getpid(), Signal::TERM)?;
            }
            kept
        })
    }

    async fn keep(
        &self,
        upstreams: &[Arc<Upstream>],
        ended: &mut oneshot::Receiver<Infallible>,
    ) -> anyhow::Result<()> {
        let upstream = upstreams.first().context("there is no upstream")?;
        let history = Rc::new(RefCell::new(History::new(self.options.every)));
        let counters = Counters::new(Arc::clone(upstream), Rc::clone(&history));
        tokio::task::spawn_local(counters.serve(site::Site::claim(&self.counters)?));
        tokio::task::spawn_local(end_with_the_terminal());
        let keeper = Keeper {
            launch: self.launch.clone(),
            pid_file: PidFile::new(&self.options.places.pid_file),
            every: self.options.every,
            upstream: Arc::clone(upstream),
            history,
        };
        let plain = url(self.address);
        // Both stay: browsers keep a redirect (308), and would follow it when another program has this port.
        let open = match &self.https {
            Some(https) => format!("open {} in a browser, or {plain} without TLS", https.url()),
            None => format!("open {plain} in a browser"),
        };
        let Places { socket, pid_file } = &self.options.places;
        keeper
            .run(ended, |pid| {
                say(format_args!("{open}; Ctrl-C ends the demo"));
                say(format_args!(
                    "process {pid} is the application, at {}, PID file {}; restarted every {} s",
                    socket.display(),
                    pid_file.display(),
                    self.options.every.as_secs_f64(),
                ));
                if let Some(https) = &self.https {
                    say(format_args!("{}", https.words()));
                }
            })
            .await
    }
}

/// A demo that nobody sees any more should not go on. (For `serve`, SIGHUP means something else.)
async fn end_with_the_terminal() {
    match signal(SignalKind::hangup()) {
        Ok(mut hangup) => {
            hangup.recv().await;
            if let Err(error) = kill_process(getpid(), Signal::TERM) {
                tracing::error!(%error, "cannot end");
            }
        }
        Err(error) => tracing::warn!(%error, "cannot hear SIGHUP"),
    }
}

/// What an empty configuration means, at these places, and the counters as a second upstream.
fn configuration(
    listen: SocketAddr,
    https: Option<&Https>,
    places: &Places,
    counters: &Path,
) -> anyhow::Result<Config> {
    let plain = Listener { address: ListenAddress::Tcp(listen), ..Listener::default() };
    let app = vestibule_config::Upstream {
        members: vec![Member::at(UpstreamAddress::Unix(std::path::absolute(&places.socket)?))],
        pid_file: Some(std::path::absolute(&places.pid_file)?),
        ..vestibule_config::Upstream::default()
    };
    let beside = vestibule_config::Upstream {
        name: "vestibule-demo".to_owned(),
        members: vec![Member::at(UpstreamAddress::Unix(counters.to_owned()))],
        pid_file: None,
        ..vestibule_config::Upstream::default()
    };
    let mut routes = Routes::builder();
    routes.route(None, Some("/vestibule-demo/*"), RouteId(1))?.route(None, None, RouteId(0))?;
    Ok(Config {
        listeners: [plain].into_iter().chain(https.map(Https::listener)).collect(),
        upstreams: vec![app, beside],
        routes: routes.build(),
        route_settings: vec![Route::to(UpstreamId(0)), Route::to(UpstreamId(1))],
        // Twenty lines a second would hide what the demo says.
        log: Log { access: AccessFormat::Off, ..Log::default() },
        // The demo restarts its application itself.
        processes: Vec::new(),
        ..Config::default()
    })
}

/// Nobody may lose a socket or a PID file to a demo.
fn check_vacant(places: &Places) -> Result<(), Refused> {
    let instead = "end it, or choose other places with --socket and --pid-file";
    site::look(&places.socket).map_err(|Refused(why)| Refused(format!("{why}\n  {instead}")))?;
    let file = places.pid_file.display();
    match PidFile::new(&places.pid_file).read() {
        Ok(None) => Ok(()),
        Ok(Some(pid)) => Running::find(pid).map_or(Ok(()), |Running { pid, command }| {
            Err(Refused(format!(
                "the PID file {file} names process {pid}, which runs: {command}\n  {instead}"
            )))
        }),
        Err(error) => Err(Refused(format!("{error}\n  remove it, or choose another place with --pid-file"))),
    }
}

/// With port 0 a port that is free now, since the page's address has to be told before anything is bound.
fn with_port(listen: SocketAddr) -> Result<SocketAddr, Refused> {
    if listen.port() != 0 {
        return Ok(listen);
    }
    let free = TcpListener::bind(listen).and_then(|listener| listener.local_addr());
    free.map_err(|error| Refused(format!("cannot listen at {listen}: {error}")))
}

/// What to type into a browser on this machine.
fn url(listen: SocketAddr) -> String {
    let mut address = listen;
    if listen.ip().is_unspecified() {
        address.set_ip(if listen.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        });
    }
    format!("http://{address}")
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "write seconds, such as 5 or 0.5".to_owned())?;
    if (0.1..=86400.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("write from 0.1 to 86400 seconds".to_owned())
    }
}

/// Says something to whoever started the demo; that nobody may be there any more is no failure.
fn say(words: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "demo: {words}");
}

#[cfg(test)]
mod tests {
    use vestibule_config::routes::HostAndPath;

    use super::*;

    #[test]
    fn takes_seconds_within_bounds() {
        assert_eq!(seconds("5"), Ok(Duration::from_secs(5)));
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["", "0", "-1", "5s", "NaN", "inf", "1e9"] {
            assert!(seconds(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn tells_an_address_that_a_browser_can_open() {
        for (listen, told) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:80", "http://[::1]:80"),
        ] {
            assert_eq!(url(listen.parse().expect("an address")), told);
        }
    }

    #[test]
    fn sends_its_own_paths_to_its_own_upstream() {
        let places = Places { socket: "/tmp/a.sock".into(), pid_file: "/tmp/a.pid".into() };
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let config = configuration(listen, None, &places, Path::new("/tmp/b.sock")).expect("a configuration");
        for (path, upstream) in [("/", 0), ("/work?x", 0), ("/vestibule-demo/counters", 1)] {
            let route =
                config.routes.find(&HostAndPath(b"any", path.as_bytes())).and_then(|id| config.route(id));
            assert_eq!(route.and_then(|route| route.upstream()), Some(UpstreamId(upstream)), "{path}");
        }
        assert_eq!(config.upstreams[0].address(), &UpstreamAddress::Unix("/tmp/a.sock".into()));
        assert_eq!(config.upstreams[1].address(), &UpstreamAddress::Unix("/tmp/b.sock".into()));
    }
}
