//! Applications that somebody else started: Vestibule finds them by their PID files, does what it is told, and follows what
//! is done to them past it.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::app::{App, Kind};
use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::kept::Kept;
use crate::support::load::Load;
use crate::support::process::{self, Signal};
use crate::support::turn;
use crate::support::vestibule::Told;
use crate::support::wait::{seconds, until, until_true};

/// Requests per second.
const RATE: u32 = 200;

/// No `[process.app]` at all.
fn nothing(_: &App, _: &Dir) -> String {
    String::new()
}

/// `[process.app]` with this in it.
fn section(text: &str) -> impl FnOnce(&App, &Dir) -> String {
    let text = format!("[process.app]\n{text}\n");
    |_, _| text
}

/// How the tests' Thin is started, as an operator who has it daemonise would write it.
fn thin_start(app: &App, dir: &Dir) -> String {
    let (ledger, log) = (dir.join("ledger"), dir.join("app.log"));
    format!(
        "[process.app]\nstart_command = [\"thin\", \"start\", \"-d\", \"-e\", \"production\", \"-S\", \"{{socket}}\", \"-P\", \
         \"{{pid_file}}\", \"-l\", {log:?}, \"-R\", \"config.ru\", \"-c\", {home:?}]\ndirectory = {home:?}\n\
         environment = {{ APP_HOME = {home:?}, POST_LEDGER = {ledger:?} }}\n",
        home = app.home(),
    )
}

/// Asserts that it was refused, with these words.
#[track_caller]
fn assert_refused(told: &Told, words: &[&str]) {
    assert_eq!(told.status, Some(2), "{told:?}");
    for word in words {
        assert!(told.stderr.contains(word), "no {word:?} in {told:?}");
    }
}

fn get(kept: &Kept, path: &str) -> (u16, String) {
    let mut client = Client::connect(kept.vestibule.address()).expect("a connection").patience(seconds(20));
    let answer = client.get(path).expect("an answer");
    (answer.status, answer.text())
}

/// What runs is shown; a restart under load loses nothing, and what runs afterwards is new.
fn is_shown_and_restarted(kind: Kind, server: &str, workers: usize) {
    let _turn = turn::heavy();
    let kept = Kept::adopt(kind, nothing);
    let status = kept.status();
    assert_eq!(status["pid"], kept.app.pid(), "{status:#}");
    assert_eq!(status["server"], server, "{status:#}");
    assert_eq!(status["workers"].as_array().map(Vec::len), Some(workers), "{status:#}");
    assert_eq!((&status["is_owned"], &status["wish"]), (&false.into(), &"alone".into()), "{status:#}");

    let (boot, before) = (kept.app.ask("/boot"), kept.app.pid());
    let load = Load::start(kept.vestibule.address(), RATE);
    load.wait_for(100);
    let said = kept.told(&["restart"]);
    let after = kept.assert_right_pid();
    assert!(said.contains(&format!("restarted, pid {after}")), "{said}");
    assert_eq!(after != before, kind == Kind::Unicorn, "pid {before}, then {after}");
    load.wait_for(100);
    let report = load.stop();
    println!("{kind:?}: {}", report.summary());
    report.assert_nothing_failed(&kept.app.ledger());
    until_true("only new code answers", seconds(30), || {
        kept.app.ask("/boot").is_some_and(|new| Some(new) != boot)
    });
    until_true("its workers are shown", seconds(30), || {
        kept.status()["workers"].as_array().map(Vec::len) == Some(workers)
    });
}

#[test]
fn puma_is_shown_and_restarted() {
    is_shown_and_restarted(Kind::Puma, "puma", 0);
}

#[test]
fn a_puma_cluster_is_shown_and_restarted() {
    is_shown_and_restarted(Kind::PumaCluster { preload: false }, "puma cluster", 2);
}

#[test]
fn unicorn_is_shown_and_restarted() {
    is_shown_and_restarted(Kind::Unicorn, "unicorn", 2);
}

#[test]
fn passenger_is_shown_and_restarted() {
    is_shown_and_restarted(Kind::Passenger, "passenger", 2);
}

#[test]
fn thin_that_nobody_can_start_is_not_restarted_and_goes_on() {
    let kept = Kept::adopt(Kind::Thin, nothing);
    let (pid, boot) = (kept.app.pid(), kept.app.ask("/boot"));
    assert_eq!(kept.status()["server"], "thin");
    assert_refused(&kept.tell(&["restart"]), &["is not ours to start", "`command` or `start_command`"]);
    assert_eq!((kept.app.pid(), kept.app.ask("/boot")), (pid, boot));
    assert_eq!((kept.phase().as_str(), kept.pid()), ("up", Some(pid)));
    assert_eq!(get(&kept, "/pid"), (200, pid.to_string()));
}

#[test]
fn thin_with_a_start_command_is_restarted_stopped_and_started() {
    let _turn = turn::heavy();
    let kept = Kept::adopt(Kind::Thin, thin_start);
    let before = kept.app.pid();
    let load = Load::start(kept.vestibule.address(), RATE);
    load.wait_for(100);
    let said = kept.told(&["restart"]);
    let after = kept.assert_right_pid();
    assert!(after != before && said.contains(&format!("restarted, pid {after}")), "{before}: {said}");
    load.wait_for(100);
    let report = load.stop();
    println!("Thin: {}", report.summary());
    report.assert_nothing_failed(&kept.app.ledger());

    let said = kept.told(&["stop"]);
    assert!(said.contains("stopped"), "{said}");
    assert_eq!((kept.phase().as_str(), kept.pid()), ("down", None));
    assert_eq!(get(&kept, "/").0, 503);
    let said = kept.told(&["start"]);
    let again = kept.assert_right_pid();
    assert!(again != after && said.contains(&format!("started, pid {again}")), "{said}");
    assert_eq!(get(&kept, "/pid"), (200, again.to_string()));
}

/// A server that nobody has heard of, at the socket, as a daemon with a PID file.
const UNHEARD_OF: &str = r#"
import http.server, os, socketserver, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def address_string(self):
        return "-"
    def log_message(self, *words):
        pass
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
if os.fork() > 0:
    os._exit(0)
os.setsid()
with open(sys.argv[2], "w") as file:
    file.write(str(os.getpid()))
Server(sys.argv[1], Answer).serve_forever()
"#;

#[test]
fn an_unknown_server_with_a_start_command_is_restarted_by_stop_and_start() {
    let mut before = 0;
    let kept = Kept::adopt_with(Kind::Puma, |app, dir| {
        // Its directory is what it is known by to the harness.
        let program = app.home().join("unheard_of.py");
        fs::write(&program, UNHEARD_OF).expect("written");
        let status = std::process::Command::new("python3")
            .arg(&program)
            .args([dir.socket(), dir.join("web_server.pid")])
            .current_dir(app.home())
            .status();
        assert!(status.expect("python3").success());
        before = app.pid();
        format!(
            "[process.app]\nstart_command = [\"python3\", {program:?}, \"{{socket}}\", \"{{pid_file}}\"]\n\
                 directory = {:?}\n",
            app.home()
        )
    });
    assert_eq!((kept.pid(), &kept.status()["server"]), (Some(before), &serde_json::Value::Null));
    let said = kept.told(&["restart"]);
    let after = kept.assert_right_pid();
    assert!(after != before && said.contains(&format!("restarted, pid {after}")), "{said}");
    assert_eq!(get(&kept, "/"), (200, after.to_string()));
}

#[test]
fn stops_gently_and_then_answers_503_until_it_is_started_where_that_is_done() {
    let mut kept = Kept::adopt(Kind::Puma, nothing);
    let address = kept.vestibule.address();
    let slow = std::thread::spawn(move || {
        let mut client = Client::connect(address).expect("a connection").patience(seconds(60));
        client.get("/sleep?ms=4000&token=whole").map(|answer| (answer.status, answer.text()))
    });
    until_true("it is in flight", seconds(30), || kept.status()["in_flight"] == 1);
    let said = kept.told(&["stop"]);
    assert!(said.contains("stopped"), "{said}");
    assert_eq!(slow.join().expect("joined").expect("an answer"), (200, "whole".to_owned()));
    assert_eq!((kept.phase().as_str(), kept.pid()), ("down", None));
    assert_eq!(kept.processes(), [0; 0]);

    let began = Instant::now();
    assert_eq!(get(&kept, "/").0, 503);
    assert!(began.elapsed() < seconds(10), "it was held: {:?}", began.elapsed());
    assert_refused(&kept.tell(&["start"]), &["is not ours to start", "start it where that is done"]);

    // But it is wanted again: who comes now waits for it.
    let waits = std::thread::spawn(move || {
        let mut client = Client::connect(address).expect("a connection").patience(seconds(30));
        client.get("/pid").map(|answer| (answer.status, answer.text()))
    });
    until_true("it waits", seconds(30), || kept.status()["waiting"] == 1);
    kept.app.run();
    kept.wait_for("up", seconds(20));
    let pid = kept.assert_right_pid();
    assert_eq!(waits.join().expect("joined").expect("an answer"), (200, pid.to_string()));
}

#[test]
fn a_start_by_hand_after_a_stop_is_noticed_and_let_in_by_start() {
    let mut kept = Kept::adopt(Kind::Puma, nothing);
    kept.told(&["stop"]);
    kept.app.run();
    kept.app.wait_until_answers();
    // The operator wants it stopped, and has not said otherwise.
    assert_eq!(get(&kept, "/").0, 503);
    let said = kept.told(&["start"]);
    let pid = kept.assert_right_pid();
    assert!(said.contains(&format!("runs, pid {pid}")), "{said}");
    assert_eq!(get(&kept, "/pid"), (200, pid.to_string()));
}

#[test]
fn a_unicorn_that_somebody_else_restarts_is_followed() {
    let mut kept = Kept::adopt(Kind::Unicorn, nothing);
    let before = kept.app.pid();
    kept.app.restart_unicorn();
    let after = kept.app.pid();
    until_true("the new master is known", seconds(30), || kept.pid() == Some(after));
    assert_eq!(kept.phase(), "up");
    let words = format!("pid {after} has taken its place");
    assert!(kept.events().iter().any(|event| event.contains(&words)), "{before}: {:?}", kept.events());
    // It is the one that orders go to.
    kept.told(&["restart"]);
    assert_ne!(kept.assert_right_pid(), after);
}

#[test]
fn a_puma_that_somebody_else_stops_and_starts_is_followed() {
    let mut kept = Kept::adopt(Kind::Puma, nothing);
    let before = kept.app.pid();
    kept.app.stop_gently();
    until_true("its end is noticed", seconds(30), || kept.phase() == "down");
    std::thread::sleep(seconds(1));
    kept.app.run();
    kept.wait_for("up", seconds(20));
    let after = kept.assert_right_pid();
    assert_ne!(after, before);
    assert_eq!(get(&kept, "/pid"), (200, after.to_string()));
    kept.told(&["restart"]);
    assert_eq!(kept.assert_right_pid(), after);
}

#[test]
fn a_restart_to_code_that_does_not_boot_tells_so_and_waits_for_the_operator() {
    let mut kept = Kept::adopt(Kind::Puma, nothing);
    let rackup = kept.app.home().join("config.ru");
    let good = fs::read(&rackup).expect("read");
    fs::write(&rackup, "def (").expect("written");
    let told = kept.tell(&["restart"]);
    assert_eq!(told.status, Some(1), "{told:?}");
    assert!(told.stderr.contains("ended before it answered"), "{told:?}");
    assert_eq!((kept.phase().as_str(), kept.pid()), ("down", None));

    // Nobody can do anything but wait, which costs nothing.
    let (cpu, began) = (kept.vestibule.cpu(), Instant::now());
    std::thread::sleep(seconds(2));
    let used = kept.vestibule.cpu() - cpu;
    assert!(used < began.elapsed() / 5, "{used:?} of CPU time in {:?}", began.elapsed());

    fs::write(&rackup, good).expect("written");
    kept.app.run();
    kept.wait_for("up", seconds(20));
    kept.assert_right_pid();
}

#[test]
fn a_signal_that_would_kill_what_turned_out_to_run_is_not_sent() {
    for (kind, signal, words) in [
        (Kind::Thin, "USR2", "Thin dies of USR2"),
        (Kind::Puma, "HUP", "Puma stops on HUP"),
        (Kind::Passenger, "USR2", "Passenger dies of USR2"),
    ] {
        let kept =
            Kept::adopt(kind, section(&format!("restart = \"signal\"\nrestart_signal = \"{signal}\"")));
        let (pid, boot) = (kept.app.pid(), kept.app.ask("/boot"));
        assert_refused(&kept.tell(&["restart"]), &[words, "another `restart_signal`"]);
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(kept.phase(), "up");
        assert_eq!(kept.assert_right_pid(), pid);
        if kind != Kind::Passenger {
            // It has two processes with a boot of their own each.
            assert_eq!(kept.app.ask("/boot"), boot, "{kind:?}");
        }
    }
}

#[test]
fn a_vestibule_that_comes_later_finds_what_runs_and_leaves_it_at_its_end() {
    let mut kept = Kept::adopt(Kind::Puma, nothing);
    let pid = kept.app.pid();
    kept.vestibule.signal(Signal::TERM);
    kept.vestibule.exit(seconds(20));
    assert!(process::alive(pid), "it went with Vestibule");
    kept.start_again();
    kept.wait_for("up", seconds(30));
    assert_eq!(kept.assert_right_pid(), pid);
    let status = until("its memory is known", seconds(30), || {
        let status = kept.status();
        status["memory"].is_u64().then_some(status)
    });
    assert_eq!(status["memory_is_pss"], true, "{status:#}");
}

#[test]
fn a_restart_command_that_restarts_nothing_is_a_failure() {
    let kept = Kept::adopt(
        Kind::Passenger,
        section(
            "start_timeout = \"3s\"\nrestart = \"command\"\nrestart_command = [\"echo\", \"as\", \"if\"]",
        ),
    );
    let pid = kept.app.pid();
    let told = kept.tell(&["restart"]);
    assert_eq!(told.status, Some(1), "{told:?}");
    assert!(told.stderr.contains("echo as if: no new workers within 3 s"), "{told:?}");
    assert_eq!((kept.phase().as_str(), kept.assert_right_pid()), ("up", pid));
    assert_eq!(get(&kept, "/").0, 200);
}

/// Who takes longer than he is given is told of, and comes: nobody here could start him again.
#[test]
fn one_that_nobody_can_start_is_left_to_boot() {
    let late = |app: &mut App| {
        app.boots_for(seconds(6));
        app.run();
        "[process.app]\nstart_timeout = \"2s\"\n".to_owned()
    };
    let kept = Kept::adopt_with(Kind::Puma, |app, _| {
        let section = late(app);
        app.wait_until_answers();
        section
    });
    let pid = kept.assert_right_pid();
    let told = kept.tell(&["restart"]);
    assert_eq!(told.status, Some(1), "{told:?}");
    assert!(told.stderr.contains("no answer within 2 s (start_timeout)"), "{told:?}");
    assert_eq!(get(&kept, "/pid"), (200, pid.to_string()));

    let kept = Kept::begin_adopting(Kind::Unicorn, |app, _| late(app));
    let pid = kept.app.pid();
    let told = kept.tell(&["start"]);
    assert_eq!(told.status, Some(1), "{told:?}");
    assert!(told.stderr.contains("no answer within 2 s (start_timeout)"), "{told:?}");
    assert_eq!(get(&kept, "/").0, 200);
    assert_eq!(kept.assert_right_pid(), pid);
}

/// A start command that does not end, and what it starts does not either: each try writes down the PIDs of both.
fn endless(dir: &Dir, more: &str) -> String {
    let script = "sleep 600 & echo $$ $! >> pids; wait";
    format!(
        "[process.app]\nstart_command = [\"sh\", \"-c\", {script:?}]\ndirectory = {:?}\n{more}\n",
        dir.path()
    )
}

/// The PIDs that it wrote down, those of the first try first.
fn endless_pids(kept: &Kept) -> Vec<u32> {
    until("the command runs", seconds(20), || {
        let text = fs::read_to_string(kept.dir.join("pids")).ok().filter(|text| text.ends_with('\n'))?;
        Some(text.split_whitespace().map(|pid| pid.parse().expect("a PID")).collect())
    })
}

#[track_caller]
fn assert_ended(pids: &[u32]) {
    let ended = || !pids.iter().any(|pid| process::alive(*pid));
    until_true(&format!("all of {pids:?} have ended"), seconds(30), ended);
}

#[test]
fn a_stop_ends_the_start_command_that_it_interrupts() {
    let kept = Kept::begin_adopting(Kind::Puma, |_, dir| endless(dir, ""));
    kept.told(&["start", "--no-wait"]);
    let pids = endless_pids(&kept);
    kept.told(&["stop"]);
    assert_ended(&pids);
    assert_eq!(kept.phase(), "down");
}

#[test]
fn a_start_command_that_takes_too_long_is_ended_with_all_that_it_started() {
    let kept = Kept::begin_adopting(Kind::Puma, |_, dir| endless(dir, "start_timeout = \"2s\""));
    let started = kept.tell(&["start"]);
    assert_eq!(started.status, Some(1), "{started:?}");
    assert!(started.stderr.contains("has not ended after 2 s"), "{started:?}");
    assert_ended(&endless_pids(&kept)[..2]);
    kept.told(&["stop"]);
    assert_ended(&endless_pids(&kept));
}
