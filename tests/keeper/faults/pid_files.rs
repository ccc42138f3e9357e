//! PID files that name somebody else, nobody, or are gone.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::support::app::{App, Kind};
use crate::support::dir::Dir;
use crate::support::kept::Kept;
use crate::support::process;
use crate::support::wait::{seconds, until_true};

/// A process of somebody else. It ends with the test, and not before.
struct Stranger(Child);

impl Stranger {
    /// `title` is what it shows as its command line.
    fn titled(title: &str) -> Stranger {
        let mut sleep = Command::new("sleep");
        sleep.arg0(title).arg("300").stdin(Stdio::null()).current_dir("/");
        Stranger(sleep.spawn().expect("sleep starts"))
    }

    fn new() -> Stranger {
        Stranger::titled("sleep")
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    #[track_caller]
    fn assert_untouched(&mut self) {
        assert_eq!(self.0.try_wait().expect("its status"), None, "it lives");
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("its status");
        let pending = status.lines().find(|line| line.starts_with("ShdPnd:")).expect("a mask");
        assert!(pending.ends_with("0000000000000000"), "{pending}");
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Names a process, in a file that was written so long ago.
fn write_pid_file(path: &Path, pid: u32, ago: Duration) {
    fs::write(path, format!("{pid}\n")).expect("a PID file");
    let file = fs::File::options().write(true).open(path).expect("the PID file");
    file.set_modified(SystemTime::now() - ago).expect("its time");
}

fn pid_file(dir: &Dir) -> std::path::PathBuf {
    dir.join("web_server.pid")
}

/// With a PID file that names `stranger` it is started all the same, restarted and stopped, and that one is left alone.
fn is_kept_beside(kind: Kind, mut stranger: Stranger, ago: Duration) {
    let kept = Kept::begin(kind, "", |_, dir| write_pid_file(&pid_file(dir), stranger.pid(), ago));
    kept.wait_for("up", seconds(30));
    let pid = kept.assert_alone();
    assert_ne!(pid, stranger.pid());
    assert_eq!(kept.status()["starts"], 1);
    stranger.assert_untouched();

    // Overwritten while it runs.
    write_pid_file(&pid_file(&kept.dir), stranger.pid(), Duration::ZERO);
    assert!(kept.told(&["restart"]).contains("restarted"));
    kept.assert_alone();
    write_pid_file(&pid_file(&kept.dir), stranger.pid(), Duration::ZERO);
    assert!(kept.told(&["stop"]).contains("stopped"));
    assert_eq!(kept.processes(), Vec::<u32>::new());
    assert_eq!(kept.phase(), "down");
    stranger.assert_untouched();
}

#[test]
fn a_foreign_process_is_no_puma_of_ours() {
    is_kept_beside(Kind::Puma, Stranger::new(), Duration::ZERO);
}

#[test]
fn a_foreign_process_is_no_puma_cluster_of_ours() {
    is_kept_beside(Kind::PumaCluster { preload: false }, Stranger::new(), Duration::ZERO);
}

#[test]
fn a_foreign_process_is_no_unicorn_of_ours() {
    is_kept_beside(Kind::Unicorn, Stranger::new(), Duration::ZERO);
}

#[test]
fn a_foreign_process_is_no_thin_of_ours() {
    is_kept_beside(Kind::Thin, Stranger::new(), Duration::ZERO);
}

#[test]
fn a_foreign_process_is_no_passenger_of_ours() {
    is_kept_beside(Kind::Passenger, Stranger::new(), Duration::ZERO);
}

#[test]
fn a_puma_with_the_pid_of_one_before_it_is_not_ours() {
    let younger = Stranger::titled("puma 5.6.5 (unix:///elsewhere.sock) [shop]");
    is_kept_beside(Kind::Puma, younger, seconds(3600));
}

#[test]
fn a_pid_file_that_names_nobody_is_put_right() {
    let mut dead = Command::new("true").spawn().expect("true starts");
    dead.wait().expect("its end");
    let kept =
        Kept::begin(Kind::Unicorn, "", |_, dir| write_pid_file(&pid_file(dir), dead.id(), Duration::ZERO));
    kept.wait_for("up", seconds(30));
    kept.assert_alone();
}

#[test]
fn a_pid_file_of_nonsense_is_put_right() {
    for text in ["", "no number", "-1", "99999999999"] {
        let kept = Kept::begin(Kind::Unicorn, "", |_, dir| fs::write(pid_file(dir), text).expect("written"));
        kept.wait_for("up", seconds(30));
        kept.assert_alone();
    }
}

/// One that serves another socket, and is named by our PID file because somebody copied its line.
#[test]
fn the_puma_of_another_application_is_left_alone() {
    let other_dir = Dir::new();
    let other = App::start(Kind::Puma, &other_dir);
    let before = other.ask("/boot");
    let kept = Kept::begin(Kind::Puma, "start_timeout = \"10s\"", |_, dir| {
        write_pid_file(&pid_file(dir), other.pid(), Duration::ZERO);
    });
    kept.wait_for("up", seconds(30));
    assert_ne!(kept.assert_alone(), other.pid());
    kept.told(&["restart"]);
    kept.told(&["stop"]);
    assert!(before.is_some() && other.ask("/boot") == before, "the same life of it answers");
}

#[test]
fn of_an_adopted_application_a_foreign_process_is_neither_stopped_nor_restarted() {
    let mut stranger = Stranger::new();
    let kept = Kept::begin_adopting(Kind::Puma, |_, dir| {
        write_pid_file(&pid_file(dir), stranger.pid(), Duration::ZERO);
        "[process.app]".to_owned()
    });
    for (verb, status, words) in [
        ("start", Some(2), "is not ours to start"),
        ("restart", Some(2), "is not ours to start"),
        ("stop", Some(0), "does not run"),
    ] {
        let told = kept.tell(&[verb]);
        let said = format!("{}{}", told.stdout, told.stderr);
        assert_eq!(told.status, status, "{verb}: {said}");
        assert!(said.contains(words), "{verb}: {said}");
        if status == Some(2) {
            let who = format!("names process {}, which is something else", stranger.pid());
            assert!(said.contains(&who), "{verb}: {said}");
        }
    }
    assert_eq!(kept.pid(), None);
    stranger.assert_untouched();
    assert_eq!(kept.pid_in_file(), Some(stranger.pid()), "the PID file is not ours to write");
}

#[test]
fn a_vanished_pid_file_is_written_again() {
    for kind in [Kind::Puma, Kind::Unicorn] {
        let kept = Kept::start(kind, "");
        let pid = kept.assert_right_pid();
        fs::remove_file(pid_file(&kept.dir)).expect("it was there");
        until_true("it is there again", seconds(30), || kept.pid_in_file() == Some(pid));
        assert_eq!(kept.assert_alone(), pid);
        kept.wait_for_event("vanished", seconds(30));
        assert!(kept.told(&["restart"]).contains("restarted"));
        let new = kept.assert_alone();
        fs::remove_file(pid_file(&kept.dir)).expect("it was there");
        assert!(kept.told(&["stop"]).contains(&format!("stopped, pid {new}")));
        assert!(kept.processes().is_empty());
        assert!(process::reaped(new) || !process::alive(new));
    }
}
