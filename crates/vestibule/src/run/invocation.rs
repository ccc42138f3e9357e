//! What a command line starts, where that will listen, and what has to be added so that we know.
//!
//! All rules here were tried with the real servers: Puma 5.6, Unicorn 6.0, Thin 1.8, Passenger 6.0, Rails 6.1, Rack 2.2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use vestibule_config::{Server, UpstreamAddress};

use super::choice::{Lock, Surroundings, name};
use super::overlay::Overlay;
use super::words::Words;

/// What is ours: nobody else knows of it.
#[derive(Debug)]
pub(crate) struct Places {
    /// A directory that only we may enter.
    pub(crate) directory: PathBuf,
    /// Where the application is to listen.
    pub(crate) socket: PathBuf,
    /// Where it is to write its PID.
    pub(crate) pid_file: PathBuf,
    /// A TCP port that was free when we looked.
    pub(crate) port: u16,
}

/// A command that is ready to be started.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invocation {
    /// Program and arguments; with `{socket}` and `{pid_file}` where those belong.
    pub(crate) command: Vec<String>,
    /// What is added to our environment.
    pub(crate) environment: Vec<(String, String)>,
    /// A file that it reads.
    pub(crate) overlay: Option<Overlay>,
    /// Which server it is; `Auto` where that will show.
    pub(crate) server: Server,
    /// Where it will listen.
    pub(crate) place: Place,
    /// What was added, and why; empty where nothing was.
    pub(crate) words: String,
}

/// Where an application will listen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// There.
    At(UpstreamAddress),
    /// At our socket or our port: whichever is there first.
    Either,
}

/// A command that cannot be run as it is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(String);

/// A program that we know, at an index of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Puma,
    Unicorn,
    Thin,
    Passenger,
    /// `rails server`
    Rails,
    Rackup,
}

impl Invocation {
    /// What `command` becomes.
    ///
    /// # Errors
    /// [`Refused`] for what leaves for the background, or listens where we cannot reach it.
    pub(crate) fn complete(
        command: Vec<String>,
        around: &Surroundings<'_>,
        places: &Places,
    ) -> Result<Invocation, Refused> {
        let mut invocation = Invocation {
            command,
            environment: Vec::new(),
            overlay: None,
            server: Server::Auto,
            place: Place::At(UpstreamAddress::Unix(places.socket.clone())),
            words: String::new(),
        };
        if invocation.command.iter().any(|word| word.contains("{socket}")) {
            return Ok(invocation);
        }
        let Some((program, at)) = recognise(&invocation.command) else {
            invocation.environment.push(("PORT".to_owned(), places.port.to_string()));
            invocation.place = Place::Either;
            invocation.words = format!(
                "it may listen at PORT ({}) or CUSTOM_WEB_SOCKET_FILE, which are in its environment",
                places.port
            );
            return Ok(invocation);
        };
        let arguments = invocation.command.split_off(at + 1);
        let words = Words(&arguments);
        if let Some(option) = background(program, words) {
            return Err(Refused(format!(
                "{option} would have the server leave for the background: take it out, so that Vestibule can see its end"
            )));
        }
        invocation.server = server(program, words, around);
        if let Some(address) = own_address(program, words, around.directory)? {
            invocation.words = format!("it listens at {}, as it is told", told(&address));
            invocation.place = Place::At(address);
            invocation.command.extend(arguments);
            return Ok(invocation);
        }
        invocation.add(program, arguments, around, places)?;
        Ok(invocation)
    }

    /// Adds what makes it listen at our place. The program's own name stands last in the command.
    fn add(
        &mut self,
        program: Program,
        arguments: Vec<String>,
        around: &Surroundings<'_>,
        places: &Places,
    ) -> Result<(), Refused> {
        let words = Words(&arguments);
        let over = |file: &str| around.directory.join(file);
        let unreadable = || Refused("the path of the server's configuration is not UTF-8".to_owned());
        let mut added: Vec<String> = Vec::new();
        let mut rest = arguments.clone();
        let mut in_front = 0;
        match program {
            Program::Puma => {
                added.extend(["-b", "unix://{socket}"].map(str::to_owned));
                if !words.has('\0', "pidfile") {
                    added.extend(["--pidfile", "{pid_file}"].map(str::to_owned));
                }
            }
            Program::Unicorn => {
                // Without a file of ours its `listen` lines hold, and there is no other way to name a PID file.
                let file = words.value('c', "config-file").map(over);
                let overlay =
                    Overlay::of_unicorn(&places.directory, file.as_deref()).ok_or_else(unreadable)?;
                rest = words.without('c', "config-file");
                added.extend(["-c".to_owned(), overlay.path.display().to_string()]);
                self.overlay = Some(overlay);
            }
            Program::Thin => {
                in_front = 1;
                if let Some(file) = words.value('C', "config").map(over) {
                    let overlay = Overlay::of_thin(&places.directory, &file).ok_or_else(unreadable)?;
                    rest = words.without('C', "config");
                    added.extend(["-C".to_owned(), overlay.path.display().to_string()]);
                    self.overlay = Some(overlay);
                } else {
                    // No -P: Thin writes a PID file only as a daemon.
                    added.extend(["-S", "{socket}"].map(str::to_owned));
                }
            }
            Program::Passenger => {
                in_front = 1;
                let file = passengerfile(around.directory);
                let says = |key: &str| file.as_ref().is_some_and(|file| file.get(key).is_some());
                if file.as_ref().and_then(|file| file.get("daemonize")?.as_bool()) == Some(true) {
                    return Err(Refused(
                        "\"daemonize\" in Passengerfile.json would have the server leave for the background: take it out"
                            .to_owned(),
                    ));
                }
                if says("address") || says("port") {
                    // Beside these it refuses a socket.
                    added.extend(["--address", "127.0.0.1", "--port"].map(str::to_owned));
                    added.push(places.port.to_string());
                    self.place = Place::At(at_port(places.port));
                } else {
                    added.extend(["--socket", "{socket}"].map(str::to_owned));
                }
                for (option, key, value) in [
                    ("pid-file", "pid_file", "{pid_file}"),
                    ("engine", "engine", "builtin"),
                    // Its default is to answer 503 to what exceeds 100.
                    ("max-request-queue-size", "max_request_queue_size", "0"),
                ] {
                    if !words.has('\0', option) && (key == "pid_file" || !says(key)) {
                        added.extend([format!("--{option}"), value.to_owned()]);
                    }
                }
            }
            Program::Rails | Program::Rackup => {
                in_front = usize::from(program == Program::Rails);
                let host = if program == Program::Rails { "-b" } else { "-o" };
                if matches!(self.server, Server::Puma | Server::Thin) {
                    added.extend([host, "{socket}"].map(str::to_owned));
                } else {
                    // WEBrick, and whatever else it may be, knows no Unix sockets.
                    added.extend([host, "127.0.0.1", "-p"].map(str::to_owned));
                    added.push(places.port.to_string());
                    self.place = Place::At(at_port(places.port));
                }
                if !words.has('P', "pid") {
                    added.extend(["-P", "{pid_file}"].map(str::to_owned));
                }
                // For the `pidfile ENV.fetch("PIDFILE")` of Rails' config/puma.rb: another server may have the usual one.
                self.environment.push(("PIDFILE".to_owned(), places.pid_file.display().to_string()));
            }
        }
        self.words = format!("added: {}", added.join(" "));
        // A sub-command stands before its options.
        let in_front = if in_front == 1 { rest.iter().position(|word| !word.starts_with('-')) } else { None };
        let tail = rest.split_off(in_front.map_or(0, |index| index + 1).min(rest.len()));
        self.command.extend(rest);
        self.command.extend(added);
        self.command.extend(tail);
        Ok(())
    }
}

/// The program that a command comes to, behind `env`, `bundle exec` and `ruby`, and where in it it stands.
fn recognise(command: &[String]) -> Option<(Program, usize)> {
    let base = |index: usize| {
        command.get(index).and_then(|word| Path::new(word).file_name()).and_then(|name| name.to_str())
    };
    let mut at = 0;
    loop {
        match base(at)? {
            "env" => {
                at += 1;
                while command.get(at).is_some_and(|word| word.contains('=') && !word.starts_with('-')) {
                    at += 1;
                }
            }
            "bundle" | "bundler" if command.get(at + 1).is_some_and(|word| word == "exec") => at += 2,
            "ruby" => at += 1,
            _ => break,
        }
    }
    let first = Words(command.get(at + 1..)?).first();
    let program = match (base(at)?, first) {
        ("puma", _) => Program::Puma,
        ("unicorn" | "unicorn_rails", _) => Program::Unicorn,
        ("thin", Some("start")) => Program::Thin,
        ("passenger", Some("start")) => Program::Passenger,
        ("rails", Some("server" | "s")) => Program::Rails,
        ("rackup", _) => Program::Rackup,
        _ => return None,
    };
    Some((program, at))
}

/// The option by which it would leave for the background.
fn background(program: Program, words: Words<'_>) -> Option<&'static str> {
    let daemon = match program {
        // The option is gone since Puma 5, and Puma says so.
        Program::Puma => return None,
        Program::Unicorn => ('D', "daemonize", "-D"),
        Program::Thin if words.has('s', "servers") => return Some("--servers"),
        Program::Thin | Program::Passenger => ('d', "daemonize", "-d"),
        Program::Rails => ('d', "daemon", "-d"),
        Program::Rackup => ('D', "daemonize", "-D"),
    };
    words.has(daemon.0, daemon.1).then_some(daemon.2)
}

/// Which server it is.
fn server(program: Program, words: Words<'_>, around: &Surroundings<'_>) -> Server {
    let named = match program {
        Program::Puma => return Server::Puma,
        Program::Unicorn => return Server::Unicorn,
        Program::Thin => return Server::Thin,
        Program::Passenger => return Server::Passenger,
        Program::Rails => words.value('u', "using"),
        Program::Rackup => words.value('s', "server"),
    };
    match named {
        Some("puma") => Server::Puma,
        Some("thin") => Server::Thin,
        Some(_) => Server::Auto,
        // Rack takes Puma where it can be loaded, and then Thin.
        None => {
            let lock = Lock::find(around);
            let can = lock.map(|lock| lock.servers).unwrap_or_default();
            [Server::Puma, Server::Thin]
                .into_iter()
                .find(|server| can.contains(server))
                .unwrap_or(Server::Auto)
        }
    }
}

/// Where it was told to listen; `None` where it was told nothing.
fn own_address(
    program: Program,
    words: Words<'_>,
    directory: &Path,
) -> Result<Option<UpstreamAddress>, Refused> {
    let port = words.value('p', "port");
    let (socket, host, usual) = match program {
        Program::Puma => (words.value('b', "bind"), None, 9292),
        Program::Unicorn => (words.value('l', "listen"), words.value('o', "host"), 8080),
        Program::Thin => (words.value('S', "socket"), words.value('a', "address"), 3000),
        Program::Passenger => (words.value('S', "socket"), words.value('a', "address"), 3000),
        Program::Rails => (None, words.value('b', "binding"), 3000),
        Program::Rackup => (None, words.value('o', "host"), 9292),
    };
    let number = |text: &str| {
        text.parse().map_err(|_| Refused(format!("{text:?} is not a port: write one from 1 to 65535")))
    };
    let Some(written) = socket.or(host) else {
        return port.map(number).transpose().map(|port| port.map(at_port));
    };
    if written.starts_with("ssl://") {
        return Err(Refused(format!(
            "{written}: Vestibule speaks plain HTTP to the application; bind it to unix://{{socket}}, or leave the bind out"
        )));
    }
    let path = written.strip_prefix("unix://").or_else(|| written.strip_prefix("unix:"));
    let path = path.or_else(|| written.starts_with(['/', '.']).then_some(written));
    // Only Passenger's and Thin's own option takes any path.
    let is_path = socket.is_some() && matches!(program, Program::Thin | Program::Passenger);
    if let Some(path) = path.or_else(|| is_path.then_some(written)) {
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        return Ok(Some(UpstreamAddress::Unix(directory.join(path))));
    }
    let written = written.strip_prefix("tcp://").unwrap_or(written);
    let whole: Result<SocketAddr, _> = written.parse();
    let (ip, port) = match (whole, written.rsplit_once(':')) {
        (Ok(address), _) => (address.ip(), address.port()),
        (Err(_), Some((host, port))) if !host.contains(':') => (ip(host)?, number(port)?),
        // `unicorn -l 8080`
        (Err(_), None) if written.bytes().all(|byte| byte.is_ascii_digit()) => {
            (IpAddr::V4(Ipv4Addr::LOCALHOST), number(written)?)
        }
        _ => (ip(written)?, port.map(number).transpose()?.unwrap_or(usual)),
    };
    let ip = match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    Ok(Some(UpstreamAddress::Tcp(SocketAddr::new(ip, port))))
}

fn ip(host: &str) -> Result<IpAddr, Refused> {
    match host {
        "" | "*" | "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        host => host.trim_start_matches('[').trim_end_matches(']').parse().map_err(|_| {
            Refused(format!("{host:?} is not an IP address, and names are not looked up: write 127.0.0.1"))
        }),
    }
}

fn at_port(port: u16) -> UpstreamAddress {
    UpstreamAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

fn passengerfile(directory: &Path) -> Option<serde_json::Value> {
    // What cannot be read, Passenger complains of itself.
    serde_json::from_slice(&std::fs::read(directory.join("Passengerfile.json")).ok()?).ok()
}

/// An address as a person writes it.
pub(crate) fn told(address: &UpstreamAddress) -> String {
    address.to_string()
}

impl Invocation {
    /// The whole of it in one line, for the log.
    pub(crate) fn line(&self) -> String {
        format!("{} ({})", self.command.join(" "), name(self.server))
    }
}

#[cfg(test)]
mod tests;
