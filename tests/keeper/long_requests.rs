//! Requests that run longer than a drain waits: a restart and a stop let them finish, as far as the server can, and nobody waits
//! for them longer than a moment as long as the drain does.

use std::fs;
use std::time::Duration;

use crate::support::app::Kind;
use crate::support::kept::Kept;
use crate::support::load::Load;
use crate::support::running::Running;
use crate::support::wait::seconds;

/// Other requests per second.
const RATE: u32 = 20;
/// Whoever comes meanwhile waits for a try of 2 s, and for the restart itself, which takes seconds where there is much else to do; never
/// for all of the long request.
const MOMENT: Duration = Duration::from_secs(9);

fn is_slow() -> bool {
    std::env::var_os("VESTIBULE_SLOW").is_some()
}

/// How long it runs: 50 s in `make test-slow`.
fn long() -> Duration {
    if is_slow() { seconds(50) } else { seconds(13) }
}

/// Shorter than that: the default in `make test-slow`.
fn short_drain() -> Duration {
    if is_slow() { seconds(30) } else { seconds(4) }
}

fn start(kind: Kind, drain: Duration) -> Kept {
    Kept::start_prepared(kind, &format!("[upstream.app.drain]\ntimeout = \"{}s\"", drain.as_secs()), |app| {
        if kind == (Kind::PumaCluster { preload: false }) {
            // As an operator does who has requests of more than the 30 s that Puma gives a worker.
            fs::create_dir(app.home().join("config")).expect("a directory");
            fs::write(app.home().join("config/puma.rb"), "worker_shutdown_timeout 60\n").expect("written");
        }
    })
}

/// It survives a restart, and so does all that comes meanwhile. Returns the longest that one of those took.
fn survives_a_restart(kind: Kind, drain: Duration) -> Duration {
    let kept = start(kind, drain);
    let running = Running::begin(&kept, "long", long());
    // Thin runs one at a time, whether it is restarted or not.
    let load = (kind != Kind::Thin).then(|| Load::start(kept.vestibule.address(), RATE));
    let said = kept.told(&["restart"]);
    println!("{kind:?}: {said}");
    assert!(said.contains("restarted"), "{said}");
    running.assert_finished();
    kept.assert_right_pid();
    let ledger = kept.app.ledger();
    assert_eq!(ledger.repeated(), Vec::<String>::new());
    let Some(load) = load else { return Duration::ZERO };
    load.wait_for(20);
    let report = load.stop();
    println!("{kind:?}: {}", report.summary());
    report.assert_nothing_failed(&ledger);
    report.longest()
}

/// The status that it gets when the application is stopped meanwhile, which comes within so long after the drain.
fn at_a_stop(kind: Kind, drain: Duration) -> u16 {
    let kept = start(kind, drain);
    let running = Running::begin(&kept, "long", long());
    let load = Load::start(kept.vestibule.address(), RATE);
    let said = kept.told(&["stop"]);
    println!("{kind:?}: {said}");
    assert!(said.contains("stopped, pid"), "{said}");
    let status = running.status();
    assert_eq!(kept.processes(), Vec::<u32>::new());
    load.stop().assert_only_refused(&kept.app.ledger(), MOMENT);
    assert_eq!(kept.app.ledger().executions().get("long"), Some(&1));
    status
}

#[test]
fn survive_a_restart_of_puma() {
    survives_a_restart(Kind::Puma, short_drain());
}

#[test]
fn survive_a_restart_of_a_puma_cluster_which_nobody_waits_for() {
    let longest = survives_a_restart(Kind::PumaCluster { preload: false }, short_drain());
    assert!(longest < MOMENT, "{longest:?}");
}

#[test]
fn survive_a_restart_of_unicorn_which_nobody_waits_for() {
    let longest = survives_a_restart(Kind::Unicorn, short_drain());
    assert!(longest < MOMENT, "{longest:?}");
}

#[test]
fn survive_a_restart_of_thin() {
    survives_a_restart(Kind::Thin, short_drain());
}

#[test]
fn survive_a_restart_of_passenger() {
    survives_a_restart(Kind::Passenger, short_drain());
}

#[test]
fn make_nobody_wait_for_all_of_them_when_puma_is_restarted() {
    let longest = survives_a_restart(Kind::Puma, long() + seconds(10));
    assert!(longest < MOMENT, "{longest:?}");
}

#[test]
fn survive_a_stop_of_puma() {
    assert_eq!(at_a_stop(Kind::Puma, short_drain()), 200);
}

#[test]
fn survive_a_stop_of_a_puma_cluster() {
    assert_eq!(at_a_stop(Kind::PumaCluster { preload: false }, short_drain()), 200);
}

#[test]
fn survive_a_stop_of_unicorn() {
    assert_eq!(at_a_stop(Kind::Unicorn, short_drain()), 200);
}

#[test]
fn survive_a_stop_of_thin() {
    assert_eq!(at_a_stop(Kind::Thin, short_drain()), 200);
}

#[test]
fn survive_a_stop_of_passenger_as_long_as_the_drain_waits() {
    assert_eq!(at_a_stop(Kind::Passenger, long() + seconds(10)), 200);
}

#[test]
fn are_cut_at_a_stop_of_passenger_after_the_drain() {
    assert_eq!(at_a_stop(Kind::Passenger, short_drain()), 502);
}
