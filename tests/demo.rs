//! `vestibule demo`: restarts its own application before everybody's eyes, loses nothing and leaves nothing.

use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::support::browser::Browser;
use crate::support::client::{self, Client};
use crate::support::dir::Dir;
use crate::support::process::{self, Signal};
use crate::support::turn;
use crate::support::wait::{seconds, until, until_true};

/// A running demo at places of its own. It is killed when it goes; a failing test shows what it said.
struct Demo {
    child: Child,
    address: SocketAddr,
    said: Arc<Mutex<Vec<String>>>,
    socket: PathBuf,
    pid_file: PathBuf,
    temporary: PathBuf,
}

/// The command, at the directory's places; `every` in seconds.
fn command(dir: &Dir, listen: &str, every: &str) -> Command {
    command_with(dir, listen, every, &dir.join("web_server.pid"))
}

fn command_with(dir: &Dir, listen: &str, every: &str, pid_file: &Path) -> Command {
    let binary = std::env::var_os("VESTIBULE").unwrap_or_else(|| env!("CARGO_BIN_EXE_vestibule").into());
    let temporary = dir.join("t");
    fs::create_dir_all(&temporary).expect("a directory");
    let mut command = Command::new(binary);
    command.args(["demo", "--listen", listen, "--every", every]);
    command.arg("--socket").arg(dir.socket()).arg("--pid-file").arg(pid_file);
    command.env("NO_COLOR", "1").env("TMPDIR", temporary).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a demo that should refuse to start, and returns what it said.
fn refused(dir: &Dir, listen: &str) -> Output {
    ended(command(dir, listen, "60"))
}

/// Runs a demo that should end by itself.
fn ended(mut command: Command) -> Output {
    let mut child = command.spawn().expect("the binary starts");
    until_true("the demo ends", seconds(20), || child.try_wait().expect("its status").is_some());
    child.wait_with_output().expect("its output")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl Demo {
    /// Starts it and waits until it tells the page's address.
    fn start(dir: &Dir, every: &str) -> Demo {
        Demo::start_by(dir, command(dir, "127.0.0.1:0", every))
    }

    /// The same by this command.
    fn start_by(dir: &Dir, mut command: Command) -> Demo {
        let mut child = command.spawn().expect("the binary starts");
        let said = Arc::new(Mutex::new(Vec::new()));
        let (into, from) = (Arc::clone(&said), child.stderr.take().expect("stderr"));
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                into.lock().expect("lines").push(line);
            }
        });
        let address = until("the page's address", seconds(20), || {
            if let Some(status) = child.try_wait().expect("its status") {
                panic!("the demo ended with {status}: {:?}", said.lock().expect("lines"));
            }
            let lines = said.lock().expect("lines");
            let (_, rest) = lines.iter().find_map(|line| line.split_once("http://"))?;
            rest.split(' ').next()?.parse().ok()
        });
        Demo {
            child,
            address,
            said,
            socket: dir.socket(),
            pid_file: dir.join("web_server.pid"),
            temporary: dir.join("t"),
        }
    }

    /// Its line with these words, once it has said that.
    fn said(&self, words: &str) -> String {
        until(&format!("a line with {words:?}"), seconds(20), || {
            self.said.lock().expect("lines").iter().find(|line| line.contains(words)).cloned()
        })
    }

    /// The application's PID, as its PID file has it.
    fn application(&self) -> u32 {
        until("a PID file", seconds(20), || fs::read_to_string(&self.pid_file).ok()?.trim().parse().ok())
    }

    fn counters(&self) -> Value {
        let answer = client::get(self.address, "/vestibule-demo/counters");
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    fn wait_for_restarts(&self, count: u64) -> Value {
        until(&format!("{count} restarts"), seconds(60), || {
            let counters = self.counters();
            (counters["restarts"]["count"].as_u64()? >= count).then_some(counters)
        })
    }

    /// Ends it by SIGTERM; returns its exit code.
    fn end(&mut self) -> Option<i32> {
        assert!(process::signal(self.child.id(), Signal::TERM), "the demo is gone");
        until("the demo ends", seconds(20), || self.child.try_wait().expect("its status")).code()
    }

    fn assert_nothing_left(&self, application: u32) {
        assert!(!process::alive(application), "process {application} lives on");
        assert!(!self.socket.exists(), "the socket is still there");
        assert!(!self.pid_file.exists(), "the PID file is still there");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = self.said.lock().map(|lines| lines.join("\n")).unwrap_or_default();
            eprintln!("--- the demo said:\n{said}");
        }
    }
}

/// Visitors that ask without pause, each on a connection of its own; one request in four is a POST.
struct Visitors {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Visited>>,
}

#[derive(Default)]
struct Visited {
    answered: usize,
    failures: Vec<String>,
    pids: HashSet<u64>,
}

impl Visitors {
    fn start(address: SocketAddr, count: usize) -> Visitors {
        let stop = Arc::new(AtomicBool::new(false));
        let visit = |visitor| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || visit(address, visitor, &stop))
        };
        let threads = (0..count).map(visit).collect();
        Visitors { stop, threads }
    }

    fn stop(self) -> Visited {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Visited::default();
        for thread in self.threads {
            let one = thread.join().expect("a visitor");
            all.answered += one.answered;
            all.failures.extend(one.failures);
            all.pids.extend(one.pids);
        }
        all
    }
}

fn visit(address: SocketAddr, visitor: usize, stop: &AtomicBool) -> Visited {
    let mut visited = Visited::default();
    let mut kept: Option<Client<_>> = None;
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let token = format!("{visitor}-{number}");
        let answer = kept.take().map_or_else(|| Client::connect(address), Ok).and_then(|mut client| {
            let answer = if number % 4 == 3 {
                client.post("/work", token.as_bytes())
            } else {
                client.get(&format!("/work?{token}"))
            }?;
            if !answer.closes() {
                kept = Some(client);
            }
            Ok(answer)
        });
        match answer {
            Ok(answer) if answer.status == 200 => {
                let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
                assert_eq!(body["token"], token.as_str(), "the answer to another request");
                visited.pids.insert(body["pid"].as_u64().expect("a PID"));
                visited.answered += 1;
            }
            Ok(answer) => visited.failures.push(format!("{token}: {}", answer.status)),
            Err(error) => visited.failures.push(format!("{token}: {error}")),
        }
    }
    visited
}

#[test]
fn restarts_its_application_under_load_and_loses_nothing() {
    let _turn = turn::heavy();
    let dir = Dir::new();
    let mut demo = Demo::start(&dir, "1");
    let page = client::get(demo.address, "/");
    assert_eq!((page.status, page.field("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.text().contains("id=\"answered\""));

    let visitors = Visitors::start(demo.address, 4);
    let counters = demo.wait_for_restarts(4);
    let visited = visitors.stop();
    assert_eq!(visited.failures, Vec::<String>::new());
    assert!(visited.answered > 100, "only {} were answered", visited.answered);
    assert!(visited.pids.len() >= 4, "only these processes answered: {:?}", visited.pids);

    let upstream = &counters["upstream"];
    assert_eq!(upstream["failed"], 0, "{counters}");
    assert!(upstream["held"].as_u64().is_some_and(|held| held >= 4), "{counters}");
    assert!(upstream["generation"].as_u64().is_some_and(|generation| generation >= 4), "{counters}");
    let restarts = counters["restarts"]["recent"].as_array().expect("restarts");
    for restart in restarts {
        assert_ne!(restart["old"], restart["new"]);
        assert_eq!(restart["failed"], 0);
        assert!(restart["held"].as_u64().is_some_and(|held| held > 0), "{restart}");
        assert!(restart["gap"].as_u64().is_some_and(|gap| gap >= 1000), "it was never away: {restart}");
    }

    let application = demo.application();
    assert_eq!(demo.end(), Some(0));
    demo.assert_nothing_left(application);
    assert_eq!(fs::read_dir(&demo.temporary).expect("listed").count(), 0, "temporary files are left");
    let said = demo.said.lock().expect("lines").join("\n");
    assert!(said.contains("restart 4: process "), "{said}");
}

#[test]
fn refuses_a_socket_that_an_application_listens_at() {
    let dir = Dir::new();
    let listener = UnixListener::bind(dir.socket()).expect("bound");
    let output = refused(&dir, "127.0.0.1:0");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("an application listens at"), "{said}");
    assert!(said.contains(&format!("process {}", std::process::id())), "{said}");
    assert!(said.contains("--socket"), "{said}");
    assert!(UnixStream::connect(dir.socket()).is_ok(), "its socket was taken");
    assert!(!dir.join("web_server.pid").exists());
    drop(listener);
}

#[test]
fn refuses_a_pid_file_that_names_a_running_process() {
    let dir = Dir::new();
    let pid_file = dir.join("web_server.pid");
    fs::write(&pid_file, format!("{}\n", std::process::id())).expect("written");
    let output = refused(&dir, "127.0.0.1:0");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("names process {}", std::process::id())), "{said}");
    let kept = fs::read_to_string(&pid_file).expect("still there");
    assert_eq!(kept.trim(), std::process::id().to_string());
}

#[test]
fn refuses_a_port_in_use_before_it_starts_anything() {
    let dir = Dir::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let output = refused(&dir, &taken.local_addr().expect("its address").to_string());
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("in use"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("open http"), "{}", stderr(&output));
    assert!(!dir.socket().exists());
}

#[test]
fn says_why_its_application_does_not_start() {
    let dir = Dir::new();
    let missing = dir.join("missing").join("web_server.pid");
    let output = ended(command_with(&dir, "127.0.0.1:0", "60", &missing));
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("cannot write the PID file {}", missing.display())), "{said}");
    assert!(said.contains("the demo's application ended at its start"), "{said}");
    assert!(!dir.socket().exists());
}

#[test]
fn takes_the_place_of_a_dead_server() {
    let dir = Dir::new();
    drop(UnixListener::bind(dir.socket()).expect("bound"));
    let mut dead = Command::new("true").spawn().expect("it starts");
    dead.wait().expect("its status");
    fs::write(dir.join("web_server.pid"), dead.id().to_string()).expect("written");
    let mut demo = Demo::start(&dir, "60");
    let application = demo.application();
    assert_ne!(application, dead.id());
    assert_eq!(client::get(demo.address, "/up").text(), "ok\n");
    assert_eq!(demo.end(), Some(0));
    demo.assert_nothing_left(application);
}

#[test]
fn starts_an_application_again_that_was_killed() {
    let dir = Dir::new();
    let demo = Demo::start(&dir, "600");
    let killed = demo.application();
    assert!(process::signal(killed, Signal::KILL));
    let counters = demo.wait_for_restarts(1);
    let restart = &counters["restarts"]["recent"][0];
    assert_eq!((restart["old"].as_u64(), restart["asked"].as_bool()), (Some(killed.into()), Some(false)));
    assert_eq!(restart["new"].as_u64(), Some(demo.application().into()));
    assert_eq!(client::get(demo.address, "/up").text(), "ok\n");
}

#[test]
fn its_application_does_not_outlive_a_demo_that_is_killed() {
    let dir = Dir::new();
    let mut demo = Demo::start(&dir, "600");
    let application = demo.application();
    assert_eq!(client::get(demo.address, "/up").text(), "ok\n");
    demo.child.kill().expect("killed");
    demo.child.wait().expect("its status");
    until_true("the application ends", seconds(30), || !process::alive(application));
    demo.assert_nothing_left(application);
}

#[test]
fn its_page_shows_in_a_browser_what_was_answered_held_and_failed() {
    let _turn = turn::heavy();
    let dir = Dir::new();
    let demo = Demo::start(&dir, "1");
    let mut browser = Browser::open(&dir, &format!("http://{}/", demo.address));
    until_true("the page shows three restarts", seconds(60), || browser.number("restart-count") >= 3);
    for (id, least) in [("answered", 20), ("page-answered", 20), ("held", 3), ("page-slow", 3)] {
        assert!(browser.number(id) >= least, "{id} is {}", browser.number(id));
    }
    assert_eq!((browser.number("failed"), browser.number("page-failed")), (0, 0));
    assert!(!browser.is_true("document.getElementById('gone').classList.contains('shown')"));
    assert!(browser.is_true("document.querySelectorAll('#restarts tr').length >= 3"));

    // What it shows is counted, not written: an application that answers nonsense must show as failures.
    browser.run(
        "window.fetch = (real => (url, how) => real(String(url).replace('/work', '/nowhere'), how))(fetch)",
    );
    until_true("failures show", seconds(20), || browser.number("page-failed") > 0);
    until_true("in red", seconds(30), || {
        browser.is_true("document.querySelector('.tile.failed.bad') !== null")
    });
}

#[test]
fn gives_its_application_none_of_its_own_sockets_and_files() {
    let dir = Dir::new();
    let demo = Demo::start(&dir, "60");
    let mut visitor = Client::connect(demo.address).expect("connected");
    assert_eq!(visitor.get("/work?1").expect("answered").status, 200);
    // Sockets and pipes have numbers of their own; others of the same kind may have one name.
    let open = |pid: u32| -> HashSet<PathBuf> {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("its files").flatten();
        let targets = files.filter_map(|file| fs::read_link(file.path()).ok());
        let has_number = |target: &Path| {
            let name = target.to_string_lossy();
            name.starts_with("socket:[") || name.starts_with("pipe:[")
        };
        targets.filter(|target| has_number(target)).collect()
    };
    let output =
        |pid: u32| [1, 2].map(|number| fs::read_link(format!("/proc/{pid}/fd/{number}")).expect("output"));
    let (ours, its) = (demo.child.id(), demo.application());
    let shared: Vec<PathBuf> = open(ours).intersection(&open(its)).cloned().collect();
    let passed_on = output(ours);
    // Its input is the lifeline, of which we have the other end.
    let lifeline = fs::read_link(format!("/proc/{its}/fd/0")).expect("its input");
    let leaked: Vec<&PathBuf> =
        shared.iter().filter(|file| **file != lifeline && !passed_on.contains(file)).collect();
    assert!(open(ours).len() > 5, "we have sockets");
    assert_eq!(leaked, Vec::<&PathBuf>::new());
}

/// The command with HTTPS at a free port, and what it keeps at the directory's place.
fn command_with_tls(dir: &Dir, listen: &str) -> Command {
    let mut command = command(dir, "127.0.0.1:0", "60");
    command.arg(format!("--tls={listen}")).env("XDG_DATA_HOME", dir.join("data")).env_remove("HOME");
    command
}

/// Runs a line that the demo has said, as whoever copies it does, in a shell and with more arguments for its first command.
fn copied(line: &str, more: &str) -> Output {
    let (program, rest) = line.trim().split_once(' ').expect("arguments");
    let line = format!("{program} {more} {rest}");
    Command::new("sh").arg("-c").arg(line).output().expect("sh runs")
}

#[test]
fn speaks_https_and_http2_by_an_authority_of_this_machine() {
    let dir = Dir::new();
    let demo = Demo::start_by(&dir, command_with_tls(&dir, "127.0.0.1:0"));
    let line = demo.said("curl --cacert");
    let how = "-sS --max-time 20 -w '%{http_version} %{ssl_verify_result} %{http_code}'";
    for (version, told) in [("--http2", "2 0 200"), ("--http1.1", "1.1 0 200")] {
        let answer = copied(&line, &format!("{how} {version}"));
        assert_eq!(String::from_utf8_lossy(&answer.stdout), format!("ok\n{told}"), "{}", stderr(&answer));
    }
    // The page, and the counters that it asks for, as a browser that trusts the authority has them.
    let at = |path: &str| line.replace("/up", path).replace("localhost:", "127.0.0.1:");
    let page = copied(&at("/"), "-sS --max-time 20 --http2");
    assert!(String::from_utf8_lossy(&page.stdout).contains("id=\"answered\""), "{}", stderr(&page));
    let counters = copied(&at("/vestibule-demo/counters"), "-sS --max-time 20");
    let counters: Value = serde_json::from_slice(&counters.stdout).expect("JSON");
    assert!(counters["upstream"]["answered"].as_u64().is_some_and(|answered| answered >= 3), "{counters}");
    // Beside it all is as without TLS: no redirect that a browser would keep, no HSTS for all of localhost.
    let plain = client::get(demo.address, "/up");
    assert_eq!((plain.status, plain.text().as_str()), (200, "ok\n"));
    let head = copied(&line, "-sSi --max-time 20");
    let head = String::from_utf8_lossy(&head.stdout).to_lowercase();
    assert!(head.starts_with("http/2 200") && !head.contains("strict-transport-security"), "{head}");

    let url = line.rsplit(' ').next().expect("an address");
    let unasked = Command::new("curl").args(["-sS", "--max-time", "20", url]).output().expect("curl runs");
    assert_eq!(unasked.status.code(), Some(60), "curl believed it: {}", stderr(&unasked));
}

#[test]
fn a_browser_trusts_it_after_the_line_that_it_says() {
    let _turn = turn::heavy();
    let dir = Dir::new();
    let demo = Demo::start_by(&dir, command_with_tls(&dir, "127.0.0.1:0"));
    let (line, home) = (demo.said("certutil -d"), dir.join("home"));
    fs::create_dir(&home).expect("a home");
    let trust = Command::new("sh").arg("-c").arg(&line).env("HOME", &home).stdin(Stdio::null()).output();
    let trust = trust.expect("sh runs");
    assert!(trust.status.success(), "{line}\n{}", stderr(&trust));
    let curl = demo.said("curl --cacert");
    let url = curl.rsplit(' ').next().expect("an address").replace("/up", "/");
    let mut browser = Browser::open_at_home(&home, &dir, &url);
    until_true("the page counts", seconds(60), || browser.number("answered") > 0);
    assert!(browser.is_true("performance.getEntriesByType('navigation')[0].nextHopProtocol === 'h2'"));
}

#[test]
fn keeps_its_authority_and_makes_another_when_that_is_gone() {
    let dir = Dir::new();
    let kept = |name: &str| dir.join("data/vestibule").join(name);
    let run = || {
        let mut demo = Demo::start_by(&dir, command_with_tls(&dir, "127.0.0.1:0"));
        demo.said("tls = { certificate");
        assert_eq!(demo.end(), Some(0));
        ["ca.pem", "localhost.pem"].map(|name| fs::read(kept(name)).expect("kept"))
    };
    let first = run();
    assert_eq!(run(), first);
    fs::remove_file(kept("ca.key")).expect("removed");
    let [authority, certificate] = run();
    assert!(authority != first[0] && certificate != first[1]);
}

#[test]
fn its_certificate_serves_a_configuration_as_it_says() {
    let dir = Dir::new();
    let said = {
        let demo = Demo::start_by(&dir, command_with_tls(&dir, "127.0.0.1:0"));
        demo.said("tls = { certificate");
        demo.said.lock().expect("lines").clone()
    };
    let from = said.iter().position(|line| line.trim() == "[[listen]]").expect("a configuration");
    let file = dir.join("own.toml");
    let text: Vec<&str> = said[from..from + 3].iter().map(|line| line.trim()).collect();
    fs::write(&file, text.join("\n")).expect("written");
    let binary = env!("CARGO_BIN_EXE_vestibule");
    let checked = Command::new(binary).args(["check", "--config"]).arg(&file).output().expect("it runs");
    assert!(checked.status.success(), "{}", stderr(&checked));
}

#[test]
fn mends_a_key_that_others_could_read_and_refuses_a_directory_that_they_could_write_to() {
    let dir = Dir::new();
    drop(Demo::start_by(&dir, command_with_tls(&dir, "127.0.0.1:0")));
    let directory = dir.join("data/vestibule");
    let mode = |name: &str| fs::metadata(directory.join(name)).expect("there").permissions().mode() & 0o777;
    let set = |name: &str, mode: u32| {
        fs::set_permissions(directory.join(name), Permissions::from_mode(mode)).expect("its mode");
    };
    set(".", 0o755);
    set("ca.key", 0o644);
    set("localhost.key", 0o640);
    {
        let demo = Demo::start_by(&dir, command_with_tls(&dir, "127.0.0.1:0"));
        demo.said("ca.key: others could read this key (mode 644)");
        demo.said("localhost.key: others could read this key (mode 640)");
        demo.said("data/vestibule: others could look into it (mode 755)");
    }
    assert_eq!([".", "ca.key", "localhost.key"].map(mode), [0o700, 0o600, 0o600]);

    set(".", 0o777);
    let output = ended(command_with_tls(&dir, "127.0.0.1:0"));
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("others may write there (mode 777)") && said.contains("XDG_DATA_HOME"), "{said}");
    assert!(!dir.socket().exists());
}

#[test]
fn refuses_an_address_that_its_certificate_is_not_for() {
    let dir = Dir::new();
    let output = ended(command_with_tls(&dir, "192.0.2.1:8443"));
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("for localhost, 127.0.0.1 and ::1 alone"), "{said}");
    assert!(!dir.join("data").exists());

    let mut one_port = command(&dir, "127.0.0.1:18443", "60");
    one_port.arg("--tls=127.0.0.1:18443").env("XDG_DATA_HOME", dir.join("data"));
    let output = ended(one_port);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("both at port 18443"), "{}", stderr(&output));
}
