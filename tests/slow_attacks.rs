//! Debian's `slowhttptest` with 2,000 connections, and a well-behaved client beside it. `make test-slow` measures for half
//! a minute each; otherwise it is a few seconds.

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::limits::connect_from;
use crate::support::app::{App, Kind};
use crate::support::client::get;
use crate::support::dir::Dir;
use crate::support::latency::Latency;
use crate::support::slow::connect_narrow;
use crate::support::turn;
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::{seconds, until_true};

/// Connections of an attack.
const CONNECTIONS: usize = 2000;
/// For how long a connection may be slow. An attack would last three times as long, and is measured for half of it.
fn patience() -> Duration {
    if std::env::var_os("VESTIBULE_SLOW").is_some() { seconds(60) } else { seconds(10) }
}

/// A running attack. It is killed when it goes.
struct Attack {
    child: Child,
    output: PathBuf,
    start: Instant,
}

impl Attack {
    /// Begins one on this path.
    fn start(dir: &Dir, vestibule: &Vestibule, path: &str, how: &[&str]) -> Attack {
        let output = dir.join("attack.log");
        let log = fs::File::create(&output).expect("the log");
        // An attacker has a machine of its own: here it gets what is left of this one. And it is read while it runs.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "nice", "-n", "19", "slowhttptest"]).args(how);
        command.args(["-c", &CONNECTIONS.to_string(), "-p", "5"]);
        command.args(["-l", &(patience() * 3).as_secs().to_string()]);
        command.args(["-u", &format!("http://{}{path}", vestibule.address())]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("the log")).stderr(log);
        let child = command.spawn().expect("slowhttptest is missing, or cannot be started: run `make deps`");
        Attack { child, output, start: Instant::now() }
    }

    /// Since its beginning.
    fn age(&self) -> Duration {
        self.start.elapsed()
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its status").is_none()
    }

    /// Each time that it looked it found the service available.
    fn assert_in_vain(&self) {
        let said = self.said();
        let looks: Vec<&str> = said.lines().filter(|line| line.starts_with("service available:")).collect();
        assert!(!looks.is_empty() && looks.iter().all(|look| look.ends_with("YES")), "{said}");
    }

    /// What it printed, without colours.
    fn said(&self) -> String {
        let printed = String::from_utf8_lossy(&fs::read(&self.output).expect("its output")).into_owned();
        let mut parts = printed.split("\u{1b}[");
        let first = parts.next().unwrap_or_default().to_owned();
        let is_end = |c: char| c.is_ascii_alphabetic();
        parts.fold(first, |text, part| text + part.split_once(is_end).map_or("", |(_, rest)| rest))
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- slowhttptest said:\n{}", self.said());
        }
    }
}

/// The limits of these tests: one address may have all the connections, so that it is the slowness that is survived. A
/// client that leaves its answer to the kernel, which took all of it, is idle.
fn limits() -> String {
    let time = patience().as_secs();
    let times =
        ["request_timeout", "send_timeout", "idle_timeout"].map(|key| format!("{key} = \"{time}s\"\n"));
    format!("[limits]\nconnections_per_address = 4096\n{}", times.concat())
}

/// Attacks while a client measures; `each` is the most memory, in bytes, that a connection of the attacker may cost. An
/// attack that `holds` its connections has them cut once they have been slow for long enough.
fn survives(path: &str, how: &[&str], each: u64, holds: bool) {
    let _turn = turn::alone();
    let dir = Dir::new();
    let _app = App::start(Kind::Puma, &dir);
    let vestibule = Vestibule::start(&dir, &format!("{}\n{}", config(&dir, ""), limits()));
    let quiet = Latency::measure(vestibule.address(), "/", 5);
    let (files, memory) = (vestibule.open_files(), vestibule.rss());

    let mut attack = Attack::start(&dir, &vestibule, path, how);
    if holds {
        vestibule.wait_for_files(files, CONNECTIONS);
        // Whoever is answered now stood in line behind all that they asked for; from here on they are only slow.
        assert_eq!(get(vestibule.address(), "/").status, 200);
    }
    let measured = attack.age() + patience() / 2;
    let mut peak = 0;
    let beside = Latency::measure_while(vestibule.address(), "/", || {
        peak = peak.max(vestibule.rss());
        attack.age() < measured && attack.is_running()
    });
    let grown = peak.saturating_sub(memory);
    let (memory, more) = (memory >> 20, grown >> 10);
    println!("{how:?}: {beside}; quiet: {quiet}; memory {memory} MiB, and {more} KiB more");
    beside.assert_within_twice(&quiet);
    let grown = grown / CONNECTIONS as u64;
    assert!(grown <= each, "{grown} bytes for each connection, more than {each}");
    if holds {
        until_true("slow connections are cut", patience() * 3, || {
            vestibule.open_files() < files + CONNECTIONS / 50
        });
        assert!(attack.age() < patience() * 3, "the attack was over before it was cut off");
    } else {
        until_true("the attack ends", patience() * 3, || !attack.is_running());
    }
    attack.assert_in_vain();
    drop(attack);
    until_true("no connection is left over", seconds(20), || vestibule.open_files() <= files + 2);
}

#[test]
fn survives_heads_that_never_end() {
    survives("/", &["-H", "-r", "1000", "-i", "2", "-x", "24"], 16 << 10, true);
}

#[test]
fn survives_bodies_that_never_end() {
    // As much as a body may have in memory, though hardly any of it ever comes.
    survives("/upload", &["-B", "-r", "1000", "-i", "2", "-x", "10", "-s", "50000"], 64 << 10, true);
}

#[test]
fn survives_ranges_without_number() {
    // Each connection ends with its answer, so they come more slowly, for there to be something to measure beside.
    survives("/range", &["-R", "-r", "400", "-a", "10", "-b", "3000", "-t", "GET"], 32 << 10, false);
}

#[test]
fn survives_readers_that_hardly_read() {
    // 64 KiB in memory, as much on its way to the disk and back, and what stands around it.
    let each = (64 + 64 + 64) << 10;
    // More than the kernel takes; and asked for no faster than the application can make them.
    let how = ["-X", "-r", "400", "-w", "512", "-y", "1024", "-n", "5", "-z", "32"];
    survives("/big?bytes=1000000", &how, each, true);
}

#[test]
fn a_reader_that_is_cut_leaves_nothing_in_the_kernel() {
    let dir = Dir::new();
    let _app = App::start(Kind::Puma, &dir);
    let limits = "[limits]\nsend_timeout = \"1s\"\n";
    let vestibule = Vestibule::start(&dir, &format!("{}\n{limits}", config(&dir, "")));
    let reader = connect_narrow(vestibule.address()).expect("a connection");
    (&reader).write_all(b"GET /big?bytes=20000000 HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    vestibule.access_line("it is cut", |line| line["outcome"] == "client_slow");
    // What was written and not read would otherwise stay there, megabytes for each, as long as the reader likes.
    let ends = |port: u16, other: u16| {
        let sockets = fs::read_to_string("/proc/net/tcp").expect("the sockets of the machine");
        sockets.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words[1].ends_with(&format!(":{port:04X}")) && words[2].ends_with(&format!(":{other:04X}"))
        })
    };
    let own = reader.local_addr().expect("its address").port();
    until_true("the kernel forgets it", seconds(30), || !ends(vestibule.address().port(), own));
}

#[test]
fn an_address_with_too_many_connections_costs_only_itself() {
    let _turn = turn::alone();
    let dir = Dir::new();
    let _app = App::start(Kind::Puma, &dir);
    let vestibule = Vestibule::start(&dir, &config(&dir, ""));
    let files = vestibule.open_files();
    let attack = Attack::start(&dir, &vestibule, "/", &["-H", "-r", "1000", "-i", "2", "-x", "24"]);
    let from = |last: u8| {
        let mut client = connect_from(Ipv4Addr::new(127, 0, 0, last), vestibule.address());
        client.get("/").expect("an answer").status
    };
    until_true("the attacker has what one address may have", seconds(20), || from(1) == 429);
    let mut most = 0;
    while attack.age() < seconds(8) {
        assert_eq!(from(2), 200, "another address");
        assert_eq!(from(1), 429, "the attacker's address");
        most = most.max(vestibule.open_files() - files);
        std::thread::sleep(Duration::from_millis(50));
    }
    // Those that are being told so are still open for a moment.
    assert!(most < 1024 + 512, "{most} files for 1,024 connections");
}
