//! The world that a walk leads through: a Vestibule, its application, their files, and visitors.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Verb;
use crate::support::app::{App, Kind};
use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::kept;
use crate::support::process::{self, Signal};
use crate::support::vestibule::{Vestibule, binary, config, control};
use crate::support::wait::{seconds, until};

/// Longest that a visitor waits, held or not.
const HOLD: u64 = 10;
/// Longest that a command may take.
const COMMAND: Duration = Duration::from_secs(60);

/// What is walked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::keeper) enum Ground {
    /// The demo's application, which boots in no time, and restarts by a stop and a start.
    StopStart,
    /// The same, restarted by a second instance.
    Replace,
    Real(Kind),
}

/// One life of the application's first process: PID, start, and where its stack begins, which is another after exec.
pub(in crate::keeper) type Life = (u32, u64, u64);

pub(in crate::keeper) struct World {
    ground: Ground,
    config: String,
    home: PathBuf,
    pub(in crate::keeper) vestibule: Vestibule,
    visitor: Visitor,
    /// A process that is nobody's business.
    stranger: Child,
    real: Option<App>,
    dir: Dir,
}

impl World {
    pub(in crate::keeper) fn new(ground: Ground) -> World {
        let dir = Dir::new();
        let more = format!(
            "stop_sequence = [{}]\nstart_timeout = \"{}s\"\n\
             answer = {{ within = \"1s\", every = \"1s\", times = 2 }}\n\
             flapping = {{ times = 3, within = \"2s\", most = \"1s\" }}",
            match ground {
                Ground::Real(Kind::Unicorn) => "\"QUIT\", \"3s\", \"KILL\"",
                Ground::Real(_) => "\"TERM\", \"3s\", \"KILL\"",
                _ => "\"TERM\", \"1s\", \"KILL\"",
            },
            if matches!(ground, Ground::Real(_)) { 15 } else { 5 },
        );
        let (real, home, config) = match ground {
            Ground::Real(kind) => {
                let app = App::stopped(kind, &dir);
                let home = app.home().to_owned();
                let config = kept::configuration(kind, &app, &dir, &more);
                (Some(app), home, config)
            }
            Ground::StopStart | Ground::Replace => {
                process::adopt_orphans();
                let home = dir.join("app");
                fs::create_dir(&home).expect("a directory");
                let restart = if ground == Ground::Replace { "restart = \"replace\"\n" } else { "" };
                let config = own_configuration(&dir, &format!("{more}\n{restart}"));
                (None, home, config)
            }
        };
        World::begin(ground, dir, home, &config, real)
    }

    /// One with an application that somebody else starts: a shell, by this script.
    pub(in crate::keeper) fn adopting(script: impl FnOnce(&Path) -> String) -> World {
        let dir = Dir::new();
        let home = dir.join("app");
        fs::create_dir(&home).expect("a directory");
        let config = format!(
            "{}\n[process.app]\nstart_command = [\"sh\", \"-c\", {:?}]\nstart = true\n",
            config(&dir, &format!("pid_file = {:?}", dir.join("web_server.pid"))),
            script(dir.path()),
        );
        World::begin(Ground::StopStart, dir, home, &config, None)
    }

    fn begin(ground: Ground, dir: Dir, home: PathBuf, config: &str, real: Option<App>) -> World {
        let patience =
            format!("hold = {{ timeout = \"{HOLD}s\" }}\ndrain = {{ timeout = \"1s\" }}\npid_file");
        let config = config.replacen("pid_file", &patience, 1);
        let vestibule = Vestibule::start(&dir, &config);
        let visitor = Visitor::start(vestibule.address(), page(ground));
        let stranger = Command::new("sleep").arg("100000").stdin(Stdio::null()).spawn().expect("it starts");
        World { ground, config, home, vestibule, visitor, stranger, real, dir }
    }

    /// Gives a command; returns when it is accepted, with how to hear of its end.
    pub(in crate::keeper) fn give(&self, verb: Verb, waits: bool) -> Answer {
        let request = json!({ "version": 1, "verb": verb.as_str(), "name": "app", "wait": waits });
        let mut replies = self.ask(&request);
        let accepted = replies.next().expect("a reply");
        assert_eq!(accepted["reply"], "accepted", "{verb:?}: {accepted}");
        Answer(std::thread::spawn(move || replies.collect()))
    }

    pub(in crate::keeper) fn status(&self) -> Value {
        let mut replies = self.ask(&json!({ "version": 1, "verb": "status", "name": "app" }));
        replies.next().expect("a reply")["status"].clone()
    }

    fn ask(&self, request: &Value) -> impl Iterator<Item = Value> + Send + use<> {
        let control = control(&self.dir);
        let mut stream = until("the control socket", seconds(20), || UnixStream::connect(&control).ok());
        stream.set_read_timeout(Some(COMMAND)).expect("a time limit");
        writeln!(stream, "{request}").expect("asked");
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        lines.map(|line| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// The first processes of all that runs of the application.
    pub(in crate::keeper) fn masters(&self) -> Vec<u32> {
        let all = self.processes();
        let is_first = |pid: &u32| parent(*pid).is_none_or(|parent| !all.contains(&parent));
        all.iter().copied().filter(is_first).collect()
    }

    pub(in crate::keeper) fn processes(&self) -> Vec<u32> {
        // Between two looks of one scan a process may have a child, and end.
        process::of_home(&self.home).into_iter().filter(|pid| process::alive(*pid)).collect()
    }

    /// The application as it is, if it is one.
    pub(in crate::keeper) fn life(&self) -> Option<Life> {
        let [master] = self.masters()[..] else { return None };
        life(master)
    }

    pub(in crate::keeper) fn signal(&self, signal: Signal) {
        for pid in self.masters() {
            process::signal(pid, signal);
        }
    }

    /// Nothing of the application stands still any more.
    pub(in crate::keeper) fn thaw(&self) {
        for pid in self.processes() {
            process::signal(pid, Signal::CONT);
        }
    }

    pub(in crate::keeper) fn pid_file(&self) -> PathBuf {
        self.dir.join("web_server.pid")
    }

    pub(in crate::keeper) fn pid_in_file(&self) -> Option<u32> {
        fs::read_to_string(self.pid_file()).ok()?.trim().parse().ok()
    }

    pub(in crate::keeper) fn socket(&self) -> PathBuf {
        self.dir.socket()
    }

    pub(in crate::keeper) fn stranger(&self) -> u32 {
        self.stranger.id()
    }

    /// Whether something answers to the name of a socket or a PID file of an instance that is gone.
    pub(in crate::keeper) fn has_leavings(&self) -> Option<PathBuf> {
        let names = ["web_server.sock", "web_server.sock.1", "web_server.sock.2"];
        let pids = ["web_server.pid.1", "web_server.pid.2"];
        // A link to an instance may stay: it leads nowhere.
        names.into_iter().chain(pids).map(|name| self.dir.join(name)).find(|path| path.exists())
    }

    /// From now on it boots, or does not.
    pub(in crate::keeper) fn set_broken(&self, is_broken: bool) {
        let Ground::Real(_) = self.ground else {
            let file = self.dir.join("broken");
            if is_broken {
                fs::write(file, "").expect("written");
            } else {
                let _ = fs::remove_file(file);
            }
            return;
        };
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/app/config.ru");
        let text = fs::read_to_string(source).expect("read");
        let text = if is_broken { format!("raise \"a broken release\"\n{text}") } else { text };
        let new = self.home.join("config.ru.new");
        fs::write(&new, text).expect("written");
        fs::rename(new, self.home.join("config.ru")).expect("renamed");
    }

    /// From now on its shell does this before it becomes the application.
    pub(in crate::keeper) fn does_before(&self, script: &str) {
        fs::write(self.dir.join("before"), script).expect("written");
    }

    /// SIGKILL to Vestibule, and then another.
    pub(in crate::keeper) fn kill_vestibule(&mut self) {
        self.visitor.expects_breaks(true);
        self.vestibule.signal(Signal::KILL);
        self.vestibule.exit(seconds(30));
        self.vestibule = Vestibule::start(&self.dir, &self.config);
        self.visitor.moves_to(self.vestibule.address());
        self.visitor.expects_breaks(false);
    }

    /// One request, on a connection of its own: the status, and how long it took.
    pub(in crate::keeper) fn get(&self) -> (u16, Duration) {
        let start = Instant::now();
        let status =
            get(self.vestibule.address(), page(self.ground)).unwrap_or_else(|error| panic!("GET: {error}"));
        (status, start.elapsed())
    }

    /// Children of Vestibule that have ended and that it has not reaped.
    pub(in crate::keeper) fn zombies(&self) -> Vec<u32> {
        children(self.vestibule.pid()).into_iter().filter(|pid| !process::alive(*pid)).collect()
    }

    /// Children of Vestibule that live and are not of the application.
    pub(in crate::keeper) fn strangers_below(&self) -> Vec<u32> {
        let all = self.processes();
        let strangers = children(self.vestibule.pid()).into_iter();
        strangers.filter(|pid| process::alive(*pid) && !all.contains(pid)).collect()
    }

    /// What the visitors met that nobody should.
    pub(in crate::keeper) fn complaints(&self) -> Vec<String> {
        self.visitor.complaints.lock().expect("complaints").clone()
    }

    pub(in crate::keeper) fn visits(&self) -> usize {
        self.visitor.visits.load(Ordering::Relaxed)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // First who would start it again.
        let _gone = process::signal(self.vestibule.pid(), Signal::KILL);
        let start = Instant::now();
        while !self.processes().is_empty() && start.elapsed() < seconds(10) {
            for pid in self.processes() {
                process::signal(pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.stranger.kill();
        let _ = self.stranger.wait();
        drop(self.real.take());
    }
}

/// The end of a command, to come.
pub(in crate::keeper) struct Answer(JoinHandle<Vec<Value>>);

impl Answer {
    /// All that came after it was accepted.
    pub(in crate::keeper) fn all(self, what: &str) -> Vec<Value> {
        until(&format!("the outcome of {what}"), COMMAND, || self.0.is_finished().then_some(()));
        self.0.join().expect("the replies are read")
    }
}

/// A wrapper that does not boot when told so, before the demo's application.
fn own_configuration(dir: &Dir, more: &str) -> String {
    let script = dir.join("boot.sh");
    let text = format!(
        "[ -e {0:?} ] && {{ echo 'a broken release' >&2; exit 3; }}\n[ -e {2:?} ] && . {2:?}\nexec {1:?} demo-app --socket \"$1\" --pid-file \"$2\"\n",
        dir.join("broken"),
        binary(),
        dir.join("before"),
    );
    fs::write(&script, text).expect("written");
    format!(
        "{}\n[process.app]\ncommand = [\"sh\", {script:?}, \"{{socket}}\", \"{{pid_file}}\"]\ndirectory = {:?}\n{more}\n",
        config(dir, &format!("pid_file = {:?}", dir.join("web_server.pid"))),
        dir.join("app"),
    )
}

/// Asks all the time, one request after the other.
struct Visitor {
    address: Arc<Mutex<SocketAddr>>,
    breaks: Arc<AtomicBool>,
    complaints: Arc<Mutex<Vec<String>>>,
    visits: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Visitor {
    fn start(address: SocketAddr, page: &'static str) -> Visitor {
        let mut visitor = Visitor {
            address: Arc::new(Mutex::new(address)),
            breaks: Arc::default(),
            complaints: Arc::default(),
            visits: Arc::default(),
            ends: Arc::default(),
            thread: None,
        };
        let (address, breaks, complaints) =
            (Arc::clone(&visitor.address), Arc::clone(&visitor.breaks), Arc::clone(&visitor.complaints));
        let (visits, ends) = (Arc::clone(&visitor.visits), Arc::clone(&visitor.ends));
        visitor.thread = Some(std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let at = *address.lock().expect("the address");
                let start = Instant::now();
                let result = get(at, page);
                let has_moved =
                    || breaks.load(Ordering::Relaxed) || *address.lock().expect("the address") != at;
                let complaint = match result {
                    // What died with it, or waited too long for it.
                    Ok(200 | 502 | 503 | 504) if start.elapsed() < seconds(HOLD + 10) => None,
                    Err(_) if has_moved() => None,
                    other => Some(format!("{other:?} after {:?}", start.elapsed())),
                };
                visits.fetch_add(1, Ordering::Relaxed);
                complaints.lock().expect("complaints").extend(complaint);
                std::thread::sleep(Duration::from_millis(10));
            }
        }));
        visitor
    }

    fn expects_breaks(&self, breaks: bool) {
        self.breaks.store(breaks, Ordering::Relaxed);
    }

    fn moves_to(&self, address: SocketAddr) {
        *self.address.lock().expect("the address") = address;
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        self.expects_breaks(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What every application of its kind answers with 200.
fn page(ground: Ground) -> &'static str {
    if matches!(ground, Ground::Real(_)) { "/boot" } else { "/up" }
}

fn get(address: SocketAddr, page: &str) -> std::io::Result<u16> {
    let mut client = Client::connect(address)?.patience(seconds(3 * HOLD));
    client.send(format!("GET {page} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"))?;
    Ok(client.response()?.status)
}

fn fields(pid: u32) -> Option<Vec<String>> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(line[line.rfind(')')? + 2..].split(' ').map(str::to_owned).collect())
}

fn parent(pid: u32) -> Option<u32> {
    fields(pid)?[1].parse().ok()
}

fn life(pid: u32) -> Option<Life> {
    let fields = fields(pid)?;
    Some((pid, fields[19].parse().ok()?, fields[25].parse().ok()?))
}

fn children(pid: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|child| parent(*child) == Some(pid)).collect()
}
