//! `vestibule app restart` under load, on each server: nothing fails, POSTs run once, and the right PID is known after each.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::support::app::Kind;
use crate::support::client::get;
use crate::support::kept::{Kept, configuration};
use crate::support::load::Load;
use crate::support::process;
use crate::support::turn;
use crate::support::wait::{seconds, until, until_true};

/// Requests per second.
const RATE: u32 = 200;
/// Good answers wanted between two restarts.
const BETWEEN: usize = 100;

/// Restarts in a row; `VESTIBULE_RESTARTS` says how many (`make test-slow`: 20).
fn restarts() -> usize {
    std::env::var("VESTIBULE_RESTARTS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// Restarts it again and again under load. `check` is told what was there before each: its PID and all its processes.
fn loses_nothing_and(kind: Kind, more: &str, check: impl Fn(&Kept, u32, &[u32])) {
    let _turn = turn::heavy();
    let kept = Kept::start(kind, more);
    let load = match kind {
        // It runs one request at a time: with those of 5 ms it would never catch up.
        Kind::Thin => Load::of_short_requests(kept.vestibule.address(), RATE),
        _ => Load::start(kept.vestibule.address(), RATE),
    };
    let mut boots = boots(&kept);
    for number in 1..=restarts() {
        load.wait_for(BETWEEN);
        load.wait_until_caught_up();
        let (pid, all) = (kept.assert_right_pid(), kept.processes());
        let said = kept.told(&["restart"]);
        println!("{kind:?}, restart {number}: {said}");
        assert!(said.contains("restarted"), "{number}: {said}");
        kept.assert_right_pid();
        check(&kept, pid, &all);
        let new = self::boots(&kept);
        assert!(new.is_disjoint(&boots), "{number}: {new:?} answered before it was restarted");
        boots.extend(new);
    }
    load.wait_for(BETWEEN);
    let report = load.stop();
    println!("{kind:?}: {}", report.summary());
    report.assert_nothing_failed(&kept.app.ledger());
    assert!(report.longest() < Duration::from_secs(29), "{}", report.summary());
    kept.wait_for("up", seconds(30));
}

fn loses_nothing(kind: Kind, more: &str) {
    loses_nothing_and(kind, more, |_, _, _| {});
}

/// Which boots of the application answer: each of them made up a name.
fn boots(kept: &Kept) -> HashSet<String> {
    (0..4).map(|_| until("it answers", seconds(30), || kept.app.ask("/boot"))).collect()
}

/// Where the instance that is in front listens.
fn in_front(kept: &Kept) -> String {
    let link = fs::read_link(kept.dir.socket()).expect("a link");
    link.to_str().expect("a name").to_owned()
}

/// A restart by a second instance: whatever was there before is gone, and the link leads to what is there now.
fn loses_nothing_when_replaced(kind: Kind) {
    let before = RefCell::new(String::new());
    loses_nothing_and(kind, "restart = \"replace\"", |kept, pid, all| {
        assert_ne!(kept.pid(), Some(pid), "another instance");
        let left: Vec<String> =
            all.iter().filter(|pid| process::alive(**pid)).map(|pid| process::title(*pid)).collect();
        assert_eq!(left, Vec::<String>::new(), "of the old instance");
        let now = in_front(kept);
        assert_ne!(before.replace(now.clone()), now, "two places in turn");
        for number in ["1", "2"] {
            let is_in_front = now == format!("web_server.sock.{number}");
            let socket = kept.dir.join(&format!("web_server.sock.{number}"));
            assert_eq!(UnixStream::connect(&socket).is_ok(), is_in_front, "{}", socket.display());
            assert_eq!(socket.exists(), is_in_front, "{}", socket.display());
            let pid_file = kept.dir.join(&format!("web_server.pid.{number}"));
            assert!(is_in_front || !pid_file.exists(), "{}", pid_file.display());
        }
    });
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

#[test]
fn of_puma_by_a_stop_and_a_start_lose_nothing() {
    loses_nothing(Kind::Puma, "restart = \"stop-start\"");
}

#[test]
fn of_puma_by_a_second_instance_lose_nothing() {
    loses_nothing_when_replaced(Kind::Puma);
}

#[test]
fn of_unicorn_by_a_second_instance_lose_nothing() {
    loses_nothing_when_replaced(Kind::Unicorn);
}

#[test]
fn of_thin_by_a_second_instance_lose_nothing() {
    loses_nothing_when_replaced(Kind::Thin);
}

#[test]
fn of_passenger_by_a_second_instance_lose_nothing() {
    loses_nothing_when_replaced(Kind::Passenger);
}

#[test]
fn a_restart_in_maintenance_keeps_nobody_waiting() {
    const PAGE: &str = "<p>back soon";
    let kept = Kept::configured(Kind::Puma, |app, dir| {
        app.boots_for(seconds(6));
        let maintenance = format!("maintenance = {:?}\npid_file =", dir.join("maintenance.html"));
        configuration(Kind::Puma, app, dir, "").replacen("pid_file =", &maintenance, 1)
    });
    kept.wait_for("up", seconds(60));
    let page = kept.dir.join("maintenance.html");
    std::fs::write(kept.dir.join("new"), PAGE).expect("written");
    std::fs::rename(kept.dir.join("new"), &page).expect("renamed");
    let text = || get(kept.vestibule.address(), "/").text();
    until_true("maintenance begins", seconds(30), || text() == PAGE);
    let before = kept.pid();
    kept.told(&["restart", "--no-wait"]);
    kept.wait_for("restarting", seconds(30));
    while kept.phase() != "up" {
        let asked = Instant::now();
        assert_eq!(text(), PAGE);
        assert!(asked.elapsed() < seconds(4), "somebody waited: {:?}", asked.elapsed());
    }
    assert_eq!(text(), PAGE, "afterwards, too");
    std::fs::remove_file(&page).expect("removed");
    until_true("maintenance ends", seconds(30), || get(kept.vestibule.address(), "/").status == 200);
    assert!(before.is_some() && kept.pid() == before, "Puma keeps its PID");
}

#[test]
fn of_a_unicorn_with_a_helper_of_the_applications_take_the_new_master() {
    let kept = Kept::start_prepared(Kind::Unicorn, "start_timeout = \"10s\"", |app| {
        let rackup = app.home().join("config.ru");
        let code = std::fs::read_to_string(&rackup).expect("config.ru");
        std::fs::write(rackup, format!("spawn(\"sleep\", \"600\")\n{code}")).expect("written");
    });
    for _ in 0..2 {
        let before = (kept.assert_right_pid(), kept.app.ask("/boot"));
        let said = kept.told(&["restart"]);
        let after = (kept.assert_right_pid(), kept.app.ask("/boot"));
        assert!(before.0 != after.0 && before.1 != after.1, "{said}: {before:?} {after:?}");
    }
}
