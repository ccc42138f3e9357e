//! `kill -9` of a server's first process, under load: it comes back by itself.

use std::time::Duration;

use crate::support::app::Kind;
use crate::support::kept::Kept;
use crate::support::load::Load;
use crate::support::process::{self, Signal};
use crate::support::running::Running;
use crate::support::turn;
use crate::support::wait::{seconds, until, until_true};

/// Requests per second: slow enough for Thin on a machine with other tests to catch up.
const RATE: u32 = 40;

fn comes_back(kind: Kind) {
    let _turn = turn::heavy();
    let kept = Kept::start(kind, "");
    let load = Load::start(kept.vestibule.address(), RATE);
    load.wait_for(20);
    let (before, pid) = (kept.processes(), kept.assert_right_pid());
    assert!(process::signal(pid, Signal::KILL));
    until_true("another one is up", seconds(30), || {
        let status = kept.status();
        status["phase"] == "up" && status["pid"] != pid
    });
    load.wait_for(20);
    let report = load.stop();
    println!("{kind:?}: {}", report.summary());
    // What its processes had in their hands may be lost, where it may not run twice. All others waited.
    report.assert_only_read_requests_failed(&kept.app.ledger(), 2 * kind.at_once());
    assert_ne!(kept.assert_alone(), pid);
    let left: Vec<u32> = before.into_iter().filter(|pid| process::alive(*pid)).collect();
    assert_eq!(left, Vec::<u32>::new(), "of the old one nothing is left");
    assert!(
        kept.events().iter().any(|event| event.contains(&format!("pid {pid} ended"))),
        "{:?}",
        kept.events()
    );
    assert_eq!(kept.status()["starts"], 2);
}

#[test]
fn a_killed_puma_comes_back() {
    comes_back(Kind::Puma);
}

#[test]
fn a_killed_master_of_a_puma_cluster_comes_back_without_orphans() {
    comes_back(Kind::PumaCluster { preload: false });
}

#[test]
fn a_killed_master_of_unicorn_comes_back_without_orphans() {
    comes_back(Kind::Unicorn);
}

#[test]
fn a_killed_thin_comes_back() {
    comes_back(Kind::Thin);
}

#[test]
fn a_killed_watchdog_of_passenger_comes_back_without_orphans() {
    comes_back(Kind::Passenger);
}

/// The master of a Unicorn ends, and a command comes before its keeper has seen to that. Its PID, and those of all its processes.
fn killed_right_before(words: &[&str]) -> (Kept, u32, Vec<u32>) {
    let _turn = turn::heavy();
    let kept = Kept::start(Kind::Unicorn, "");
    let load = Load::start(kept.vestibule.address(), RATE);
    load.wait_for(20);
    let (before, pid) = (kept.processes(), kept.assert_right_pid());
    // A worker that has something to do outlives its master. Without one nobody can be about to take the place, and the
    // keeper would not wait, but perhaps have started another before the command comes.
    let _running = Running::begin(&kept, "outlives the master", seconds(4));
    assert!(process::signal(pid, Signal::KILL));
    // Less than it waits for somebody who takes the place.
    std::thread::sleep(Duration::from_millis(50));
    kept.told(words);
    let told = || kept.status()["last_failure"]["words"].as_str().map(str::to_owned);
    let words = until("its end is told of", seconds(30), told);
    assert!(words.contains(&format!("pid {pid} ended")), "{words}");
    assert_ne!(kept.pid(), Some(pid), "a dead one is not shown");
    load.stop();
    (kept, pid, before)
}

#[test]
fn a_stop_right_after_the_masters_death_ends_its_workers() {
    let (kept, _, _) = killed_right_before(&["stop"]);
    assert_eq!(kept.phase(), "down");
    assert_eq!(kept.processes(), Vec::<u32>::new());
}

#[test]
fn a_start_right_after_the_masters_death_ends_its_workers_first() {
    let (kept, pid, before) = killed_right_before(&["start"]);
    assert_ne!(kept.assert_alone(), pid);
    let left: Vec<u32> = before.into_iter().filter(|pid| process::alive(*pid)).collect();
    assert_eq!(left, Vec::<u32>::new(), "of the old one nothing is left");
}

#[test]
fn whoever_leaves_it_alone_right_after_the_masters_death_sees_that_it_is_down() {
    let (kept, _, _) = killed_right_before(&["unmonitor"]);
    kept.wait_for("down", seconds(30));
    kept.told(&["stop"]);
    assert_eq!(kept.processes(), Vec::<u32>::new(), "what was left alone is still known");
}
