//! The operator's hook: it hears of what somebody should know, with the facts.

use std::fs;

use serde_json::Value;

use crate::support::app::Kind;
use crate::support::dir::Dir;
use crate::support::kept::{Kept, configuration};
use crate::support::process::{self, Signal};
use crate::support::wait::{seconds, until, until_true};

/// Writes down the object that it gets, and then what of it stands in its environment.
fn hook(dir: &Dir) -> String {
    let script = format!(
        "cat >> {0}; echo \"$VESTIBULE_PROCESS|$VESTIBULE_EVENT|$VESTIBULE_MESSAGE\" >> {1}",
        dir.join("objects").display(),
        dir.join("variables").display()
    );
    format!("alert = [\"sh\", \"-c\", {script:?}]")
}

fn start(more: &str) -> Kept {
    let kept = Kept::configured(Kind::Puma, |app, dir| {
        configuration(Kind::Puma, app, dir, &format!("{}\n{more}", hook(dir)))
    });
    kept.wait_for("up", seconds(30));
    kept
}

/// What the hook was told.
fn objects(kept: &Kept) -> Vec<Value> {
    let text = fs::read_to_string(kept.dir.join("objects")).unwrap_or_default();
    // The last line may be under way.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[track_caller]
fn told(kept: &Kept, event: &str, words: &str) -> Value {
    until(&format!("the hook is told of {event}: {words}"), seconds(20), || {
        let mut objects = objects(kept).into_iter();
        objects.find(|object| {
            object["event"] == event && object["message"].as_str().is_some_and(|it| it.contains(words))
        })
    })
}

#[test]
fn hears_of_a_death_and_of_flapping_with_the_facts() {
    let kept = start("flapping = { times = 2, within = \"60s\", most = \"3s\" }");
    assert_eq!(objects(&kept), [Value::Null; 0], "nobody need know that it was started");
    let first = kept.assert_right_pid();
    process::signal(first, Signal::KILL);
    let death = told(&kept, "failed", &format!("pid {first} ended: signal: 9 (SIGKILL)"));
    assert_eq!((&death["process"], &death["pid"]), (&"app".into(), &first.to_string().into()), "{death}");
    assert!(death["time"].is_u64() && death["lost"] == 0, "{death}");
    let release = kept.app.home().to_str().expect("text");
    assert_eq!(death["release"], release, "{death}");
    until_true("the environment says the same", seconds(30), || {
        let text = fs::read_to_string(kept.dir.join("variables")).unwrap_or_default();
        text.lines().any(|line| line == format!("app|failed|{}", death["message"].as_str().expect("text")))
    });

    until_true("it is there again", seconds(20), || kept.phase() == "up" && kept.pid() != Some(first));
    let second = kept.assert_right_pid();
    process::signal(second, Signal::KILL);
    let flapping = told(&kept, "flapping", "started again in ");
    assert_eq!(flapping["phase"], "waiting", "{flapping}");
    assert!(flapping["next_try"].as_str().is_some_and(|when| when.parse::<u64>().is_ok()), "{flapping}");
    until_true("it is tried again all the same", seconds(20), || kept.phase() == "up");
    kept.assert_right_pid();
}

#[test]
fn hears_of_a_restart_that_failed_and_of_its_release() {
    let kept = start("");
    let rackup = kept.app.home().join("config.ru");
    fs::write(&rackup, "def (").expect("written");
    let said = kept.tell(&["restart", "--wait=40s"]);
    assert_eq!(said.status, Some(1), "{said:?}");
    let failure = told(&kept, "failed", "ended before it answered: exit status: 1");
    assert!(
        failure["message"].as_str().is_some_and(|it| it.contains(kept.app.home().to_str().expect("text"))),
        "{failure}"
    );
    assert_eq!(failure["process"], "app");
}
