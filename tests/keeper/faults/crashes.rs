//! Applications that do not come, do not stay, or stay and answer nothing.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{alerted, alerts, breaks, mends, without_preload};
use crate::support::app::Kind;
use crate::support::client::get;
use crate::support::kept::Kept;
use crate::support::process::{self, Signal};
use crate::support::wait::{seconds, until, until_true};

/// How long each pause was to be, and when it began, as our log has it.
fn pauses(kept: &Kept) -> Vec<(String, f64)> {
    let events = kept.vestibule.events();
    let messages =
        events.iter().filter_map(|event| Some((event["message"].as_str()?, event["timestamp"].as_str()?)));
    let flapping =
        messages.filter_map(|(words, when)| Some((words.strip_prefix("flapping: started again in ")?, when)));
    flapping.map(|(pause, when)| (pause.to_owned(), of_day(when))).collect()
}

/// Seconds since midnight of `2026-11-22T14:28:10.772332Z`.
fn of_day(timestamp: &str) -> f64 {
    let time = &timestamp[11..timestamp.len() - 1];
    time.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().expect("a number"))
}

/// With a crash loop under way: it is tried again after pauses that double, told everywhere, and picked up when it is mended.
fn is_tried_again_and_picked_up(kept: &Kept, line: &str) {
    let waiting = until("it waits for the third time", seconds(30), || {
        let status = kept.status();
        (pauses(kept).len() >= 3 && status["phase"] == "waiting").then_some(status)
    });
    mends(&kept.app);
    let pauses = pauses(kept);
    let (words, times): (Vec<&str>, Vec<f64>) =
        pauses.iter().map(|(words, when)| (words.as_str(), *when)).unzip();
    assert_eq!(words[..3], ["1 s", "2 s", "4 s"]);
    // At midnight the clock begins anew.
    let apart = |one: usize, other: usize| (times[other] - times[one]).rem_euclid(86_400.0);
    assert!(apart(0, 1) >= 0.95 && apart(1, 2) >= 1.95, "{times:?}");

    assert_eq!((&waiting["wish"], &waiting["pid"]), (&Value::from("up"), &Value::Null), "{waiting}");
    let next = waiting["next_try"].as_u64().expect("a time");
    assert!(next >= waiting["since"].as_u64().expect("a time") + 2, "{waiting}");
    let output = waiting["last_failure"]["output"].as_array().expect("lines");
    assert!(output.iter().any(|one| one.as_str().is_some_and(|one| one.contains(line))), "{waiting}");
    let table = kept.tell(&["status"]);
    assert!(table.stdout.contains("waiting"), "{}", table.stdout);
    assert_eq!(table.status, Some(1), "it should be up and is not");
    let alerted = alerted(&kept.dir);
    assert!(["failed", "flapping"].iter().all(|event| alerted.iter().any(|one| one == event)), "{alerted:?}");

    // Whoever comes meanwhile waits.
    let began = Instant::now();
    assert_eq!(get(kept.vestibule.address(), "/sleep?token=held").text(), "held");
    assert!(began.elapsed() < seconds(25), "{:?}", began.elapsed());
    kept.assert_alone();
    assert_eq!(kept.status()["next_try"], Value::Null);
}

const FLAPS_AT_ONCE: &str = "flapping = { times = 1, within = \"60s\" }";

#[test]
fn an_application_that_does_not_boot_is_tried_again_after_growing_pauses() {
    let kept = {
        let more = |dir: &std::path::Path| format!("{FLAPS_AT_ONCE}\n{}", alerts(dir));
        Kept::begin_with(Kind::Puma, more, |app, _| breaks(app, "raise 'broken on purpose'"))
    };
    is_tried_again_and_picked_up(&kept, "broken on purpose");
}

#[test]
fn an_application_that_ends_after_its_boot_is_tried_again_after_growing_pauses() {
    let kept = {
        let more = |dir: &std::path::Path| format!("{FLAPS_AT_ONCE}\n{}", alerts(dir));
        let dies = "Thread.new { sleep 0.5; STDERR.puts 'ends on purpose'; STDERR.flush; exit! 3 }";
        Kept::begin_with(Kind::Puma, more, |app, _| breaks(app, dies))
    };
    is_tried_again_and_picked_up(&kept, "ends on purpose");
    let events = kept.events();
    assert!(events.iter().any(|event| event.contains("exit status: 3")), "{events:?}");
}

/// Its workers end while they boot, and the master lives, and starts others for ever.
fn is_found_behind_a_living_master(kind: Kind) {
    let kept = {
        let more = |dir: &std::path::Path| {
            format!(
                "answer = {{ within = \"1s\", every = \"1s\", times = [2, 3] }}\nstart_timeout = \"5s\"\n\
                 stop_sequence = [\"TERM\", \"1s\", \"KILL\"]\n{}",
                alerts(dir)
            )
        };
        Kept::begin_with(kind, more, |app, _| without_preload(app))
    };
    kept.wait_for("up", seconds(30));
    let master = kept.assert_right_pid();
    breaks(&kept.app, "raise 'broken on purpose'");
    for worker in kept.status()["workers"].as_array().expect("workers") {
        let pid = worker["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a PID");
        assert!(process::signal(pid, Signal::KILL));
    }
    kept.wait_for_event("is stopped and started: does not answer", seconds(30));
    until_true("the failure is told", seconds(30), || {
        let failure = kept.status()["last_failure"].clone();
        let output = failure["output"].to_string();
        failure["words"].to_string().contains("its workers end while they boot")
            && output.contains("config.ru:")
    });
    assert!(!process::alive(master), "the old master is gone");
    mends(&kept.app);
    assert_ne!(kept.assert_alone(), master);
    assert!(alerted(&kept.dir).iter().any(|event| event == "silent"), "{:?}", alerted(&kept.dir));
}

#[test]
fn a_crash_loop_behind_the_living_master_of_a_puma_cluster_is_found() {
    is_found_behind_a_living_master(Kind::PumaCluster { preload: false });
}

#[test]
fn a_crash_loop_behind_the_living_master_of_unicorn_is_found() {
    is_found_behind_a_living_master(Kind::Unicorn);
}

/// Stopped by SIGSTOP it takes no signal but KILL, answers nothing, and its socket accepts.
fn is_found_to_hang(kind: Kind) {
    let more = "answer = { within = \"1s\", every = \"1s\", times = [2, 3] }\n\
                stop_sequence = [\"TERM\", \"1s\", \"KILL\"]";
    let kept = Kept::start(kind, more);
    let (hung, pid) = (kept.processes(), kept.assert_right_pid());
    for pid in &hung {
        assert!(process::signal(*pid, Signal::STOP));
    }
    // One that is in its hands is sent again to the next one.
    let address = kept.vestibule.address();
    let waits = std::thread::spawn(move || get(address, "/sleep?token=waited"));
    until_true("all that hung is gone", seconds(20), || hung.iter().all(|pid| !process::alive(*pid)));
    assert_eq!(waits.join().expect("a client").text(), "waited");
    assert_ne!(kept.assert_alone(), pid);
    assert!(kept.events().iter().any(|event| event.contains("is stopped and started: does not answer")));
}

#[test]
fn a_hanging_puma_is_killed_and_started() {
    is_found_to_hang(Kind::Puma);
}

#[test]
fn a_hanging_unicorn_is_killed_and_started() {
    is_found_to_hang(Kind::Unicorn);
}

#[test]
fn a_slow_answer_under_load_is_no_hang() {
    let kept = Kept::start(Kind::Puma, "answer = { within = \"2s\", every = \"1s\", times = [3, 3] }");
    let pid = kept.assert_right_pid();
    // All its threads are busy for longer than a verdict takes, and others wait; but one of them is always done before long.
    let address = kept.vestibule.address();
    let began = Instant::now();
    let clients: Vec<_> = (0..10)
        .map(|number| {
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(100) * number);
                while began.elapsed() < seconds(10) {
                    assert_eq!(get(address, "/sleep?ms=1500&token=slow").text(), "slow");
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("a client");
    }
    assert_eq!(kept.assert_alone(), pid);
}
