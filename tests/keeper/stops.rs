//! `vestibule app stop` and `start`, under load and with long requests: what runs finishes, what comes is refused, nothing is left.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::app::Kind;
use crate::support::client::Client;
use crate::support::kept::Kept;
use crate::support::load::Load;
use crate::support::process;
use crate::support::running::Running;
use crate::support::turn;
use crate::support::wait::{seconds, until_true};

/// Requests per second; Thin runs no 200 of 5 ms.
fn rate(kind: Kind) -> u32 {
    if kind == Kind::Thin { 100 } else { 200 }
}

/// A refusal comes at once: machines under test are slow, but a hold takes 30 s.
const AT_ONCE: Duration = Duration::from_secs(10);
/// So long does each boot take at least, and so who comes while it starts waits longer than …
const BOOT: Duration = Duration::from_millis(2500);
/// … this.
const HELD: Duration = Duration::from_millis(500);

/// What is there of the application: processes, sockets, links, PID files.
fn left(kept: &Kept) -> Vec<String> {
    let files = fs::read_dir(kept.dir.path()).expect("the directory").flatten();
    let files = files.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let processes = kept.processes().into_iter().map(|pid| format!("{pid} {}", process::title(pid)));
    // Passenger leaves an empty file beside its PID file, which it locks.
    let files = files.filter(|name| name.starts_with("web_server") && name != "web_server.pid.lock");
    files.chain(processes).collect()
}

#[track_caller]
fn assert_nothing_is_left(kept: &Kept) {
    assert_eq!(left(kept), Vec::<String>::new());
    assert_eq!((kept.phase(), kept.pid()), ("down".to_owned(), None));
}

/// Refused within a moment; not held.
#[track_caller]
fn assert_refuses(kept: &Kept) {
    let asked = Instant::now();
    let answer = Client::connect(kept.vestibule.address()).and_then(|mut client| client.get("/"));
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.field("retry-after").is_some(), "{}", answer.head);
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
}

fn stops_and_starts(kind: Kind, more: &str) {
    let _turn = turn::heavy();
    let kept = Kept::start_prepared(kind, more, |app| app.boots_for(BOOT));
    let began = Instant::now();
    let load = Load::start(kept.vestibule.address(), rate(kind));
    load.wait_for(100);
    load.wait_until_caught_up();
    let running = Running::begin(&kept, "it ran when all was stopped", seconds(1));
    let asked_to_stop = began.elapsed();
    let said = kept.told(&["stop"]);
    assert!(said.contains("stopped, pid"), "{said}");
    running.assert_finished();
    assert_nothing_is_left(&kept);
    assert_refuses(&kept);

    let asked_to_start = began.elapsed();
    let said = kept.told(&["start"]);
    assert!(said.contains("started, pid"), "{said}");
    let started = began.elapsed();
    kept.assert_right_pid();
    load.wait_for(100);
    load.wait_until_caught_up();
    let report = load.stop();
    println!("{kind:?}: {said}; {}", report.summary());
    let refused = report.assert_only_refused(&kept.app.ledger(), AT_ONCE);
    let (first, last) = refused.expect("who came meanwhile was refused");
    println!(
        "{kind:?}: stop at {asked_to_stop:.1?}, refused {first:.1?} to {last:.1?}, start at {asked_to_start:.1?} to {started:.1?}"
    );
    // The load's own clock began a moment after ours.
    assert!(first + seconds(1) >= asked_to_stop, "refused before it was stopped");
    assert!(last + seconds(1) < started, "refused while it started");
    let held = report.outcomes.iter().filter(|outcome| outcome.due > last && outcome.took > HELD).count();
    assert!(held > 50, "{held} were held while it started");
}

#[test]
fn puma_finishes_what_runs_and_refuses_what_comes() {
    stops_and_starts(Kind::Puma, "");
}

#[test]
fn a_puma_cluster_finishes_what_runs_and_refuses_what_comes() {
    stops_and_starts(Kind::PumaCluster { preload: false }, "");
}

#[test]
fn unicorn_finishes_what_runs_and_refuses_what_comes() {
    stops_and_starts(Kind::Unicorn, "");
}

#[test]
fn thin_finishes_what_runs_and_refuses_what_comes() {
    stops_and_starts(Kind::Thin, "");
}

#[test]
fn passenger_finishes_what_runs_and_refuses_what_comes() {
    stops_and_starts(Kind::Passenger, "");
}

#[test]
fn one_that_was_replaced_finishes_what_runs_and_refuses_what_comes() {
    stops_and_starts(Kind::Puma, "restart = \"replace\"");
}

#[test]
fn what_is_so_already_is_said_and_no_error() {
    let kept = Kept::start(Kind::Puma, "");
    let pid = kept.assert_right_pid();
    assert!(kept.told(&["start"]).contains(&format!("runs, pid {pid}")));
    assert_eq!(kept.pid(), Some(pid), "not started a second time");
    assert!(kept.told(&["stop"]).contains(&format!("stopped, pid {pid}")));
    assert!(kept.told(&["stop"]).contains("does not run"));
    assert_nothing_is_left(&kept);
    // All who asked meanwhile hear of one start.
    let said: Vec<String> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..3).map(|_| scope.spawn(|| kept.told(&["start"]))).collect();
        asking.into_iter().map(|asking| asking.join().expect("told")).collect()
    });
    let pid = kept.assert_right_pid();
    assert!(said.iter().all(|words| words.contains(&format!("pid {pid}"))), "{said:?}");
    assert_eq!(kept.status()["starts"], 2);
}

#[test]
fn whoever_does_not_wait_is_answered_at_once() {
    let kept = Kept::start_prepared(Kind::Puma, "", |app| app.boots_for(seconds(2)));
    let takes = seconds(6);
    let running = Running::begin(&kept, "runs while it is stopped", takes);
    let said = kept.told(&["stop", "--no-wait"]);
    assert!(running.sent.elapsed() < takes, "it waited");
    assert!(said.contains("accepted"), "{said}");
    kept.wait_for("stopping", seconds(30));
    assert_refuses(&kept);
    running.assert_finished();
    kept.wait_for("down", seconds(30));
    assert_nothing_is_left(&kept);
    kept.told(&["start", "--no-wait"]);
    kept.wait_for("starting", seconds(30));
    kept.wait_for("up", seconds(20));
    kept.assert_right_pid();
}

#[test]
fn a_start_after_a_stop_that_is_under_way_comes_after_it() {
    let kept = Kept::start(Kind::Puma, "");
    let before = kept.assert_right_pid();
    let running = Running::begin(&kept, "runs while it is stopped", seconds(3));
    kept.told(&["stop", "--no-wait"]);
    let said = kept.told(&["start"]);
    assert!(said.contains("started, pid"), "{said}");
    running.assert_finished();
    assert_ne!(kept.assert_right_pid(), before);
}

#[test]
fn a_stop_ends_a_start_that_is_under_way() {
    let kept = Kept::start_prepared(Kind::Puma, "", |app| app.boots_for(seconds(10)));
    kept.told(&["stop"]);
    let asked = Instant::now();
    kept.told(&["start", "--no-wait"]);
    until_true("something of it runs", seconds(30), || !kept.processes().is_empty());
    let said = kept.told(&["stop"]);
    assert!(said.contains("stopped, pid"), "{said}");
    assert!(asked.elapsed() < seconds(10), "it waited for the boot: {:?}", asked.elapsed());
    assert_nothing_is_left(&kept);
    assert_refuses(&kept);
}
