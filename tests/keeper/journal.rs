//! `vestibule app log`: what happened to an application and what it said.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::app::Kind;
use crate::support::kept::Kept;
use crate::support::process::{self, Signal};
use crate::support::vestibule::app_command;
use crate::support::wait::{seconds, until, until_true};

#[test]
fn has_what_happened_and_what_was_said_in_their_order() {
    let kept = Kept::start(Kind::Puma, "");
    kept.told(&["restart"]);
    let pid = kept.assert_right_pid();
    let log = until("its output has been read", seconds(30), || {
        let log = kept.told(&["log", "app"]);
        log.contains("Use Ctrl-C to stop").then_some(log)
    });
    // Output is that of the present start; events are all there. Each has its mark, and its time.
    let places = [format!("Z app: started, pid {pid}"), format!("Z app: restarted, pid {pid}")]
        .map(|words| log.find(&words));
    assert!(places[0].is_some() && places[0] < places[1], "{places:?}:\n{log}");
    assert!(log.contains("Z app | Use Ctrl-C to stop"), "{log}");

    let two = kept.told(&["log", "app", "-n", "2"]);
    assert_eq!(two.lines().collect::<Vec<_>>(), log.lines().collect::<Vec<_>>()[log.lines().count() - 2..]);
    let json = kept.told(&["log", "--json"]);
    let entries: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(entries.iter().all(|entry| entry["name"] == "app" && entry["when"].is_u64()), "{json}");
    let of = |source: &str| entries.iter().filter(|entry| entry["source"] == source).count();
    assert!(of("event") >= 2 && of("output") >= 1 && of("event") + of("output") == entries.len(), "{json}");
}

#[test]
fn follows_until_vestibule_ends() {
    let mut kept = Kept::start(Kind::Puma, "");
    let mut follower =
        app_command(&kept.dir, &["log", "app", "--follow", "-n", "1"]).spawn().expect("it starts");
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (into, out) = (Arc::clone(&lines), follower.stdout.take().expect("stdout"));
    let reader = std::thread::spawn(move || {
        BufReader::new(out)
            .lines()
            .map_while(Result::ok)
            .for_each(|line| into.lock().expect("lines").push(line));
    });
    let seen = |words: &str| lines.lock().expect("lines").iter().filter(|line| line.contains(words)).count();
    until_true("what was is shown", seconds(30), || !lines.lock().expect("lines").is_empty());
    assert_eq!(lines.lock().expect("lines").len(), 1, "more than one line of what was");

    let first = kept.assert_right_pid();
    process::signal(first, Signal::KILL);
    until_true("the death and the new start are told", seconds(20), || {
        seen(&format!("pid {first} ended: signal: 9")) == 1 && seen("started, pid ") == 1
    });
    until_true("so is what the new one says", seconds(30), || seen("Use Ctrl-C to stop") >= 1);
    kept.vestibule.signal(Signal::TERM);
    kept.vestibule.exit(seconds(30));
    let status = until("the follower ends with it", seconds(30), || follower.try_wait().expect("its status"));
    let mut said = String::new();
    follower.stderr.take().expect("stderr").read_to_string(&mut said).expect("text");
    // Nobody asked for this end, so that it is none of the good ones.
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("Vestibule") && said.lines().count() == 1, "{said}");
    reader.join().expect("joined");
}
