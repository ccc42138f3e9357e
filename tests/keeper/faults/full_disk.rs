//! A disk without room where Vestibule keeps its own files: the application comes first.

use std::path::Path;

use crate::support::app::Kind;
use crate::support::kept::Kept;
use crate::support::small_disk::SmallDisk;

/// Its life, with words that say what could not be written.
fn lives(kept: &Kept, words: &[&str]) {
    kept.wait_for("up", crate::support::wait::seconds(30));
    let answers = || crate::support::client::get(kept.vestibule.address(), "/sleep?token=answers").text();
    assert_eq!(answers(), "answers");
    assert!(kept.told(&["restart"]).contains("restarted"));
    assert_eq!(answers(), "answers");
    assert!(kept.told(&["stop"]).contains("stopped"));
    assert_eq!(kept.processes(), Vec::<u32>::new());
    assert!(kept.told(&["start"]).contains("started"));
    assert_eq!(answers(), "answers");
    let warnings = kept.vestibule.events().into_iter().filter(|event| event["level"] == "WARN");
    let warnings: Vec<String> = warnings.map(|event| event.to_string()).collect();
    let warned =
        |words: &str| warnings.iter().any(|one| one.contains(words) && one.contains("No space left"));
    assert!(words.iter().all(|words| warned(words)), "{words:?} in {warnings:?}");
}

/// Where the record and the output are.
fn beside_the_control_socket(kind: Kind) {
    let mut disk = None;
    let kept = Kept::begin(kind, "", |_, dir| {
        let full = SmallDisk::mount(&dir.join("control.sock.d"), "0700");
        full.fill();
        disk = Some(full);
    });
    lives(&kept, &["cannot write down which process is ours", "the application's output is lost"]);
    // With room again it goes on as ever.
    disk.expect("a disk").free();
    assert!(kept.told(&["restart"]).contains("restarted"));
    kept.assert_alone();
}

#[test]
fn puma_lives_without_room_for_its_record_and_its_output() {
    beside_the_control_socket(Kind::Puma);
}

#[test]
fn unicorn_lives_without_room_for_its_record_and_its_output() {
    beside_the_control_socket(Kind::Unicorn);
}

#[test]
fn thin_lives_without_room_for_its_record_and_its_output() {
    beside_the_control_socket(Kind::Thin);
}

/// Thin writes no PID file in the foreground: Vestibule does.
#[test]
fn an_application_lives_without_room_for_its_pid_file() {
    let mut disk = None;
    let more = |dir: &Path| format!("pid_file = {:?}", dir.join("pids/web_server.pid"));
    let kept = Kept::begin_with(Kind::Thin, more, |_, dir| {
        let full = SmallDisk::mount(&dir.join("pids"), "0777");
        full.fill();
        disk = Some(full);
    });
    lives(&kept, &["cannot write the PID file"]);
    let left = std::fs::read_dir(kept.dir.join("pids")).expect("the disk").count();
    assert_eq!(left, 1, "nothing half written is left beside what fills it");
}
