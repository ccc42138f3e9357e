//! `vestibule app restart` under load, on each server: nothing fails, POSTs run once, and the right PID is known after each.

use std::time::Duration;

use crate::support::app::Kind;
use crate::support::kept::Kept;
use crate::support::load::Load;
use crate::support::turn;
use crate::support::wait::seconds;

/// Requests per second.
const RATE: u32 = 200;
/// Good answers wanted between two restarts.
const BETWEEN: usize = 100;

/// Restarts in a row; `VESTIBULE_RESTARTS` says how many (`make test-slow`: 20).
fn restarts() -> usize {
    std::env::var("VESTIBULE_RESTARTS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

fn loses_nothing(kind: Kind, more: &str) {
    let _turn = turn::heavy();
    let kept = Kept::start(kind, more);
    let load = Load::start(kept.vestibule.address(), RATE);
    for number in 1..=restarts() {
        load.wait_for(BETWEEN);
        // Thin runs one request of 5 ms at a time: it never catches up.
        if kind != Kind::Thin {
            load.wait_until_caught_up();
        }
        let said = kept.told(&["restart"]);
        assert!(said.contains("restarted"), "{number}: {said}");
        kept.assert_right_pid();
    }
    load.wait_for(BETWEEN);
    let report = load.stop();
    println!("{kind:?}: {}", report.summary());
    report.assert_nothing_failed(&kept.app.ledger());
    assert!(report.longest() < Duration::from_secs(29), "{}", report.summary());
    kept.wait_for("up", seconds(5));
}

#[test]
fn of_puma_lose_nothing() {
    loses_nothing(Kind::Puma, "");
}

#[test]
fn of_a_puma_cluster_lose_nothing() {
    loses_nothing(Kind::PumaCluster { preload: false }, "");
}

#[test]
fn of_a_preloading_puma_cluster_lose_nothing() {
    loses_nothing(Kind::PumaCluster { preload: true }, "");
}

#[test]
fn of_unicorn_lose_nothing() {
    loses_nothing(Kind::Unicorn, "");
}

#[test]
fn of_thin_lose_nothing() {
    loses_nothing(Kind::Thin, "");
}

#[test]
fn of_passenger_lose_nothing() {
    loses_nothing(Kind::Passenger, "");
}
