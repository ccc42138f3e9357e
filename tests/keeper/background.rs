//! Processes without requests: each instance is kept alive, and nothing of it is left in the end.

use std::collections::BTreeMap;
use std::fs;

use crate::support::app::Kind;
use crate::support::kept::Kept;
use crate::support::process::{self, Signal};
use crate::support::vestibule::config;
use crate::support::wait::{seconds, until, until_true};

const NAMES: [&str; 3] = ["worker.1", "worker.2", "worker.3"];

/// A worker that writes down when it begins and ends, has a child that works, and takes its time to finish.
const WORKER: &str = r#"
echo "begin $NAME $$" >> "$JOURNAL"
sleep 600 &
trap 'sleep 0.3; kill $!; echo "end $NAME $$" >> "$JOURNAL"; exit 0' TERM
while :; do wait; done
"#;

/// Three of them.
fn start() -> Kept {
    let kept = Kept::configured(Kind::Puma, |app, dir| {
        format!(
            "{}\n[process.worker]\ncommand = [\"sh\", \"-c\", {WORKER:?}]\ninstances = 3\ndirectory = {:?}\n\
             environment = {{ NAME = \"{{name}}\", JOURNAL = {:?} }}\nflapping = {{ times = 100 }}\n",
            config(dir, ""),
            app.home(),
            dir.join("journal"),
        )
    });
    until_true("all of them run", seconds(20), || {
        let pids = pids(&kept);
        pids.len() == 3 && pids.values().all(|(phase, _)| phase == "up") && journal(&kept).len() >= 3
    });
    kept
}

/// Phase and PID of each.
fn pids(kept: &Kept) -> BTreeMap<String, (String, Option<u64>)> {
    let told = kept.tell(&["status", "--json"]);
    let all: Vec<serde_json::Value> = serde_json::from_str(&told.stdout).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    all.iter().map(|one| (text(&one["name"]), (text(&one["phase"]), one["pid"].as_u64()))).collect()
}

/// The lines that they wrote: what, who, PID.
fn journal(kept: &Kept) -> Vec<(String, String, u64)> {
    let text = fs::read_to_string(kept.dir.join("journal")).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        Some((words.next()?, words.next()?, words.next()?.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// What one of them wrote.
fn of<'j>(journal: &'j [(String, String, u64)], name: &str) -> Vec<(&'j str, u64)> {
    journal.iter().filter(|(_, who, _)| who == name).map(|(what, _, pid)| (what.as_str(), *pid)).collect()
}

#[test]
fn each_instance_is_kept_alive_and_all_are_stopped_in_the_end() {
    let mut kept = start();
    let first = pids(&kept);
    assert_eq!(first.keys().collect::<Vec<_>>(), NAMES);

    let killed = first["worker.2"].1.expect("a PID");
    process::signal(u32::try_from(killed).expect("a PID"), Signal::KILL);
    let second = until("it is there again", seconds(20), || {
        let now = pids(&kept);
        let (phase, pid) = now["worker.2"].clone();
        (phase == "up" && pid.is_some_and(|pid| pid != killed)).then_some(now)
    });
    for name in ["worker.1", "worker.3"] {
        assert_eq!(second[name], first[name], "{name} had nothing to do with it");
    }
    // What the killed one had started went with it.
    assert_eq!(kept.processes().len(), 6, "three shells with a child each");

    kept.vestibule.signal(Signal::TERM);
    let status = kept.vestibule.exit(seconds(30));
    assert_eq!(status.code(), Some(0));
    assert_eq!(kept.processes(), [0; 0]);
    let journal = journal(&kept);
    for name in NAMES {
        let last = of(&journal, name).pop().expect("a line");
        assert_eq!(
            (last.0, Some(last.1)),
            ("end", second[name].1),
            "{name} was not stopped gently: {journal:?}"
        );
    }
}

#[test]
fn a_restart_stops_each_before_it_starts_it_again() {
    let kept = start();
    let before = pids(&kept);
    // The name without a number is all of them.
    let said = kept.told(&["restart", "worker"]);
    let after = pids(&kept);
    let journal = journal(&kept);
    for name in NAMES {
        let (old, new) = (before[name].1.expect("a PID"), after[name].1.expect("a PID"));
        assert!(said.contains(&format!("restarted, pid {new}")), "{name}: {said}");
        assert_eq!(of(&journal, name), [("begin", old), ("end", old), ("begin", new)], "{journal:?}");
    }
    kept.told(&["restart", "worker.3"]);
    let last = pids(&kept);
    assert_eq!((&last["worker.1"], &last["worker.2"]), (&after["worker.1"], &after["worker.2"]));
    assert_ne!(last["worker.3"], after["worker.3"]);
    assert_eq!(kept.processes().len(), 6);

    kept.told(&["stop", "worker"]);
    assert_eq!(kept.processes(), [0; 0]);
    assert!(pids(&kept).values().all(|(phase, pid)| phase == "down" && pid.is_none()));
    let told = kept.tell(&["stop", "work"]);
    assert_eq!(told.status, Some(2), "{told:?}");
    assert!(
        told.stderr.contains("there is no process \"work\": there is worker.1, worker.2, worker.3"),
        "{told:?}"
    );
}
