//! What a keeper does unasked, and that it does not when told so.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::app::Kind;
use crate::support::dir::Dir;
use crate::support::kept::Kept;
use crate::support::load::Load;
use crate::support::process::{self, Signal};
use crate::support::turn;
use crate::support::vestibule::{Vestibule, app, config};
use crate::support::wait::{seconds, until, until_true};

#[test]
fn what_is_not_watched_stays_down_until_it_is_again() {
    let kept = Kept::start(Kind::Puma, "");
    for verb in ["monitor", "start", "restart"] {
        let pid = kept.assert_alone();
        kept.told(&["unmonitor"]);
        assert_eq!(kept.status()["wish"], "alone");
        assert!(process::signal(pid, Signal::KILL));
        kept.wait_for("down", seconds(30));
        // Longer than it takes to start it.
        let starts = kept.status()["starts"].clone();
        std::thread::sleep(seconds(2));
        let status = kept.status();
        assert_eq!((&status["phase"], &status["starts"]), (&"down".into(), &starts), "{status}");
        assert_eq!(kept.processes(), Vec::<u32>::new());
        kept.told(&[verb]);
        assert_ne!(kept.assert_alone(), pid);
        assert_eq!(kept.status()["wish"], "up");
    }
}

/// Restarted in cycles under load, at least three times: nobody notices.
fn cycles(rule: &str) {
    let _turn = turn::heavy();
    let kept = Kept::start(Kind::Puma, &format!("cycle = {{ {rule}, jitter = 0 }}"));
    let load = Load::start(kept.vestibule.address(), 60);
    let restarts = || kept.events().iter().filter(|event| event.contains("restarted, pid")).count();
    until_true("three restarts", seconds(40), || restarts() >= 3);
    load.wait_for(20);
    let report = load.stop();
    println!("{rule}: {}", report.summary());
    report.assert_nothing_failed(&kept.app.ledger());
    assert!(kept.events().iter().any(|event| event.contains("is restarted: ") && event.contains(" old")));
    kept.assert_alone();
}

#[test]
fn an_application_is_restarted_at_its_age() {
    cycles("age = \"2s\"");
}

#[test]
fn an_application_is_restarted_after_its_requests() {
    cycles("requests = 150");
}

/// A process in the background that writes down when it is asked to end, and when it is there again.
fn script(name: &str, log: &Path) -> String {
    format!(
        "trap 'echo {name} ends >> {log}; sleep 0.3; exit 0' TERM; echo {name} is there >> {log}; while :; do sleep 0.05; done",
        log = log.display()
    )
}

#[test]
fn of_several_one_at_a_time_is_restarted_at_its_age() {
    let dir = Dir::new();
    let log = dir.join("lives");
    let process = |name: &str| {
        format!(
            "[process.{name}]\ncommand = [\"sh\", \"-c\", {:?}]\ncycle = {{ age = \"2s\", jitter = 0 }}\n",
            script(name, &log)
        )
    };
    let mut vestibule =
        Vestibule::start(&dir, &format!("{}{}{}", config(&dir, ""), process("one"), process("two")));
    let text = until("both were restarted twice", seconds(40), || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let ended = |name: &str| text.matches(&format!("{name} ends")).count() >= 2;
        (ended("one") && ended("two")).then_some(text)
    });
    // From the end of one until it is there again, nothing happens to the other.
    let lines: Vec<&str> = text.lines().skip_while(|line| line.ends_with("is there")).collect();
    for pair in lines.chunks(2).filter(|pair| pair.len() == 2) {
        let name = pair[0].strip_suffix(" ends").unwrap_or_else(|| panic!("{text}"));
        assert_eq!(pair[1], format!("{name} is there"), "{text}");
    }
    // Killed, it would leave them behind.
    vestibule.signal(Signal::TERM);
    vestibule.exit(seconds(30));
}

#[test]
fn a_process_that_spins_is_restarted() {
    let dir = Dir::new();
    // The first of its lives spins. On a machine with much else to do that is not much of a core.
    let flag = dir.join("spun");
    let spins = format!(
        "if [ -e {flag} ]; then exec sleep 300; fi; touch {flag}; while :; do :; done",
        flag = flag.display()
    );
    let process = format!(
        "[process.app]\nupstream = \"none\"\ncommand = [\"sh\", \"-c\", {spins:?}]\n\
         cpu = {{ above = 5, every = \"1s\", times = [2, 3] }}\n"
    );
    let process = process.replace("upstream = \"none\"\n", "").replace("[process.app]", "[process.spinner]");
    let mut vestibule = Vestibule::start(&dir, &format!("{}{process}", config(&dir, "")));
    let status = || {
        let told = app(&dir, &["status", "spinner", "--json"]);
        let all: serde_json::Value = serde_json::from_str(&told.stdout).expect("JSON");
        all[0].clone()
    };
    let first = until("it runs", seconds(30), || status()["pid"].as_u64());
    let second = until("it is restarted", seconds(20), || {
        let status = status();
        let pid = status["pid"].as_u64().filter(|pid| *pid != first)?;
        (status["phase"] == "up").then_some(pid)
    });
    let restarts = || {
        let words = vestibule.events();
        words
            .iter()
            .filter(|event| event["message"].as_str().is_some_and(|words| words.contains("% of a core")))
            .count()
    };
    assert_eq!(restarts(), 1);
    // One that sleeps is left alone for longer than a verdict takes.
    until_true("its use is measured", seconds(30), || status()["cpu"] == 0);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!((status()["pid"].as_u64(), restarts()), (Some(second), 1));
    vestibule.signal(Signal::TERM);
    vestibule.exit(seconds(30));
}
