//! `kill -9` of Vestibule: the next one finds the application as it was left, and goes on.

use std::time::Duration;

use crate::support::app::Kind;
use crate::support::client::get;
use crate::support::kept::Kept;
use crate::support::process::{self, Signal};
use crate::support::turn;
use crate::support::vestibule::app_command;
use crate::support::wait::{seconds, until, until_true};

/// The next one adopts it: the same PID, nothing started, and all commands work.
fn is_adopted(kind: Kind) {
    let _turn = turn::heavy();
    let mut kept = Kept::start(kind, "");
    let (pid, boot) = (kept.assert_right_pid(), kept.app.ask("/boot"));
    kept.kill_vestibule();
    assert!(process::alive(pid));
    kept.start_again();
    assert_eq!(kept.assert_alone(), pid);
    // Passenger's processes are two, and each has its own.
    if kind.at_once() != 2 && kind != (Kind::PumaCluster { preload: false }) {
        assert_eq!(Some(get(kept.vestibule.address(), "/boot").text()), boot);
    }
    let status = kept.status();
    assert_eq!((&status["starts"], &status["is_owned"]), (&0.into(), &true.into()), "{status}");
    assert!(kept.told(&["restart"]).contains("restarted"));
    kept.assert_alone();
    let all = kept.processes();
    assert!(kept.told(&["stop"]).contains("stopped"));
    assert!(all.iter().all(|pid| !process::alive(*pid)), "nothing is left");
    assert_eq!((kept.phase().as_str(), kept.pid_in_file()), ("down", None));
    assert!(kept.told(&["start"]).contains("started"));
    kept.assert_alone();
}

#[test]
fn a_running_puma_is_adopted_by_the_next() {
    is_adopted(Kind::Puma);
}

#[test]
fn a_running_puma_cluster_is_adopted_by_the_next() {
    is_adopted(Kind::PumaCluster { preload: false });
}

#[test]
fn a_running_unicorn_is_adopted_by_the_next() {
    is_adopted(Kind::Unicorn);
}

#[test]
fn a_running_thin_is_adopted_by_the_next() {
    is_adopted(Kind::Thin);
}

#[test]
fn a_running_passenger_is_adopted_by_the_next() {
    is_adopted(Kind::Passenger);
}

/// It was started, and has neither a PID file nor a socket yet.
#[test]
fn an_application_that_boots_is_waited_for_by_the_next() {
    for kind in [Kind::Puma, Kind::Unicorn, Kind::Thin] {
        let mut kept = Kept::begin(kind, "", |app, _| app.boots_for(seconds(3)));
        let pid = until("it is started", seconds(30), || kept.pid());
        kept.kill_vestibule();
        assert!(kept.app.ask("/boot").is_none(), "it has not booted");
        kept.start_again();
        assert_eq!(kept.assert_alone(), pid);
        assert_eq!(kept.status()["starts"], 0);
    }
}

/// An application that ended while nobody looked, and whose zombie nobody has taken.
#[test]
fn one_that_has_died_meanwhile_is_started() {
    let mut kept = Kept::start(Kind::Puma, "");
    let pid = kept.assert_right_pid();
    kept.kill_vestibule();
    assert!(process::signal(pid, Signal::KILL));
    // Its first thread ends first, and the others listen on.
    let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    until_true("all of it is dead", seconds(30), || !process::alive(pid) && threads() <= 1);
    kept.start_again();
    assert_ne!(kept.assert_alone(), pid);
    let status = kept.status();
    assert_eq!(
        (&status["starts"], &status["last_failure"]),
        (&1.into(), &serde_json::Value::Null),
        "{status}"
    );
}

/// Milliseconds into a restart; more of them with `VESTIBULE_SLOW` (`make test-slow`).
fn moments() -> &'static [u64] {
    if std::env::var_os("VESTIBULE_SLOW").is_some() {
        &[50, 200, 400, 900, 1300, 1600, 2500]
    } else {
        &[50, 900, 1600]
    }
}

/// Killed at several moments of a restart: the next one brings it to one living instance, whatever it was about to do.
fn ends_in_one(kind: Kind, more: &str, prepare: impl FnOnce(&mut crate::support::app::App)) {
    let _turn = turn::heavy();
    let mut kept = Kept::start_prepared(kind, more, prepare);
    for &moment in moments() {
        let mut restart = app_command(&kept.dir, &["restart"]).spawn().expect("the binary starts");
        until_true("it is being restarted", seconds(30), || kept.phase() == "restarting");
        std::thread::sleep(Duration::from_millis(moment));
        kept.kill_vestibule();
        restart.wait().expect("its end");
        kept.start_again();
        kept.assert_alone();
        let answer = get(kept.vestibule.address(), "/sleep?token=after").text();
        assert_eq!(answer, "after", "killed {moment} ms into a restart");
    }
    assert!(kept.told(&["restart"]).contains("restarted"));
    kept.assert_alone();
    kept.told(&["stop"]);
    assert_eq!(kept.processes(), Vec::<u32>::new());
}

/// Long enough for a kill to fall into it.
fn slow(app: &mut crate::support::app::App) {
    app.boots_for(Duration::from_millis(1200));
}

#[test]
fn a_restart_by_exec_is_brought_to_its_end() {
    ends_in_one(Kind::Puma, "", slow);
}

#[test]
fn a_phased_restart_is_brought_to_its_end() {
    ends_in_one(Kind::PumaCluster { preload: false }, "", slow);
}

#[test]
fn a_restart_by_a_successor_is_brought_to_its_end() {
    ends_in_one(Kind::Unicorn, "", slow);
}

#[test]
fn a_restart_by_a_successor_without_a_hook_is_brought_to_its_end() {
    ends_in_one(Kind::Unicorn, "", |app| {
        slow(app);
        super::without_hook(app);
    });
}

#[test]
fn a_stop_and_start_is_brought_to_its_end() {
    ends_in_one(Kind::Thin, "", slow);
}

#[test]
fn a_restart_by_passengers_command_is_brought_to_its_end() {
    ends_in_one(Kind::Passenger, "", slow);
}

#[test]
fn a_replacement_is_brought_to_its_end() {
    ends_in_one(Kind::Puma, "restart = \"replace\"", slow);
}
