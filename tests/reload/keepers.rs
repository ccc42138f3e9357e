//! Applications that are kept, over a reload.

use serde_json::Value;

use super::{listen, reload_to, upstream};
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::process;
use crate::support::vestibule::{Vestibule, app};
use crate::support::wait::{seconds, until, until_true};

fn base(dir: &Dir) -> String {
    listen("127.0.0.1:0", "") + &upstream(dir, "web_server", "")
}

fn jobs(name: &str, more: &str) -> String {
    format!("[process.{name}]\ncommand = [\"sleep\", \"600\"]\n{more}\n")
}

fn status(dir: &Dir, name: &str) -> Option<Value> {
    let told = app(dir, &["status", "--json"]);
    let all: Vec<Value> = serde_json::from_str(&told.stdout).expect("JSON");
    all.into_iter().find(|status| status["name"] == name)
}

fn pid(dir: &Dir, name: &str) -> u32 {
    until("it runs", seconds(30), || {
        let status = status(dir, name)?;
        let pid = status["pid"].as_u64().filter(|_| status["phase"] == "up")?;
        u32::try_from(pid).ok()
    })
}

#[test]
fn one_that_is_the_same_is_left_alone_and_others_come_and_go() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let vestibule = Vestibule::start(&dir, &(base(&dir) + &jobs("one", "")));
    let one = pid(&dir, "one");
    reload_to(&dir, &(base(&dir) + &jobs("two", "") + &jobs("one", "")));
    let two = pid(&dir, "two");
    assert_eq!(pid(&dir, "one"), one);
    assert_eq!(status(&dir, "one").expect("it is kept")["starts"], 1);
    // In the background, so that nobody needs it any more: it ends as if Vestibule did.
    reload_to(&dir, &(base(&dir) + &jobs("two", "")));
    until_true("it is stopped", seconds(30), || !process::alive(one));
    assert!(status(&dir, "one").is_none());
    reload_to(&dir, &(base(&dir) + &jobs("two", "on_exit = \"leave\"")));
    reload_to(&dir, &base(&dir));
    until_true("it is told", seconds(30), || vestibule.stderr().contains("left running"));
    assert!(process::alive(two), "it was to be left");
    // What was left is found again.
    reload_to(&dir, &(base(&dir) + &jobs("two", "")));
    assert_eq!(pid(&dir, "two"), two);
    reload_to(&dir, &base(&dir));
    until_true("it is stopped", seconds(30), || !process::alive(two));
}

#[test]
fn other_settings_take_effect_and_restart_nothing() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let _vestibule = Vestibule::start(&dir, &(base(&dir) + &jobs("one", "")));
    let one = pid(&dir, "one");
    let other = jobs("one", "memory = { above = \"1 GiB\" }").replace("600", "601");
    let told = reload_to(&dir, &(base(&dir) + &other));
    assert!(told.stdout.contains("process one: changed"), "{told:?}");
    let has_heard = |dir: &Dir| {
        let events = status(dir, "one").expect("it is kept")["events"].clone();
        events
            .as_array()
            .is_some_and(|all| all.iter().any(|event| event["words"] == "goes by other settings"))
    };
    until_true("its keeper takes them", seconds(30), || has_heard(&dir));
    assert_eq!(pid(&dir, "one"), one);
    assert!(process::title(one).contains("600"));
    // The command is that of the next start.
    assert_eq!(app(&dir, &["restart", "one"]).status, Some(0));
    let next = pid(&dir, "one");
    assert!(next != one && process::title(next).contains("601"), "{}", process::title(next));
}

#[test]
fn work_under_way_is_not_cut_by_other_settings() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let slow = |more: &str| {
        let script = "trap 'sleep 2; exit 0' TERM; while :; do sleep 0.1; done";
        let stop = "stop_sequence = [\"TERM\", \"20s\", \"KILL\"]";
        format!("[process.one]\ncommand = [\"sh\", \"-c\", {script:?}]\n{stop}\n{more}\n")
    };
    let _vestibule = Vestibule::start(&dir, &(base(&dir) + &slow("")));
    let one = pid(&dir, "one");
    let mut restart = crate::support::vestibule::app_command(&dir, &["restart", "one"]);
    let restarting = restart.spawn().expect("it starts");
    until_true("it is stopped", seconds(30), || {
        status(&dir, "one").is_some_and(|status| status["phase"] != "up")
    });
    reload_to(&dir, &(base(&dir) + &slow("memory = { above = \"1 GiB\" }")));
    let out = restarting.wait_with_output().expect("its output");
    assert!(out.status.success(), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stdout).contains("restarted"), "{out:?}");
    assert_ne!(pid(&dir, "one"), one);
}
