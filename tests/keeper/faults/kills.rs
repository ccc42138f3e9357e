//! `kill -9` of a server's first process, under load: it comes back by itself.

use crate::support::app::Kind;
use crate::support::kept::Kept;
use crate::support::load::Load;
use crate::support::process::{self, Signal};
use crate::support::turn;
use crate::support::wait::{seconds, until_true};

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
