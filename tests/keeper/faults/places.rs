//! A socket's place that is taken, or has something else in it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::app::{App, Kind};
use crate::support::dir::Dir;
use crate::support::kept::Kept;
use crate::support::process;
use crate::support::wait::{seconds, until, until_true};

/// Somebody else, who listens at a socket.
struct Rival(Child);

impl Rival {
    fn at(socket: &Path) -> Rival {
        let program = "require 'socket'; UNIXServer.new(ARGV[0]); puts 'listens'; STDOUT.flush; sleep";
        let mut command = Command::new("ruby");
        command
            .args(["-e", program])
            .arg(socket)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .current_dir("/");
        let mut child = command.spawn().expect("ruby starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("a line");
        assert_eq!(line, "listens\n");
        Rival(child)
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn whoever_listens_there_already_is_named_and_left_alone() {
    let mut rival = None;
    let kept = Kept::begin(Kind::Puma, "", |_, dir| rival = Some(Rival::at(&dir.socket())));
    let mut rival = rival.expect("somebody else");
    let refusal = format!("process {} listens on {}", rival.0.id(), kept.dir.socket().display());
    kept.wait_for("waiting", seconds(30));
    for verb in ["start", "restart"] {
        let told = kept.tell(&[verb]);
        assert_eq!(told.status, Some(2), "{verb}: {told:?}");
        assert!(told.stderr.contains(&refusal), "{verb}: {told:?}");
    }
    // Stopping what does not run touches nobody.
    assert!(kept.told(&["stop"]).contains("does not run"));
    assert_eq!(rival.0.try_wait().expect("its status"), None, "it lives");
    assert!(UnixStream::connect(kept.dir.socket()).is_ok(), "it listens");
    assert_eq!((kept.status()["starts"].as_u64(), kept.pid(), kept.pid_in_file()), (Some(0), None, None));
    // When it has gone, what it left is cleared away.
    drop(rival);
    assert!(kept.told(&["start"]).contains("started"));
    kept.assert_alone();
}

/// A Puma of the same application, started by hand, without a PID file of ours.
#[test]
fn a_second_start_beside_one_by_hand_is_refused() {
    for kind in [Kind::Puma, Kind::Thin] {
        let other_dir = Dir::new();
        let mut socket = None;
        let other = App::start(kind, &other_dir);
        let kept = Kept::begin(kind, "", |_, dir| {
            fs::hard_link(other_dir.socket(), dir.socket()).expect("the same socket");
            socket = Some(dir.socket());
        });
        kept.wait_for("waiting", seconds(30));
        let (pid, before) = (other.pid(), other.ask("/boot"));
        let told = kept.tell(&["start"]);
        assert_eq!(told.status, Some(2), "{told:?}");
        assert!(told.stderr.contains(&format!("process {pid} listens on")), "{told:?}");
        kept.told(&["stop"]);
        assert!(process::alive(pid) && before.is_some() && other.ask("/boot") == before);
        assert!(socket.expect("a path").exists());
    }
}

#[test]
fn a_socket_that_refuses_is_cleared_away() {
    let kept = Kept::begin(Kind::Thin, "", |_, dir| drop(UnixListener::bind(dir.socket()).expect("bound")));
    kept.wait_for("up", seconds(30));
    kept.assert_alone();
    assert_eq!(kept.status()["starts"], 1);
}

#[test]
fn a_file_in_the_place_of_the_socket_is_kept_and_named() {
    let kept = Kept::begin(Kind::Puma, "", |_, dir| fs::write(dir.socket(), "precious").expect("written"));
    let words = until("the failure is told", seconds(30), || {
        kept.status()["last_failure"]["words"].as_str().map(str::to_owned)
    });
    assert!(words.contains(&*kept.dir.socket().to_string_lossy()) && words.contains("socket"), "{words}");
    let told = kept.tell(&["start"]);
    assert_eq!(told.status, Some(1), "{told:?}");
    assert_eq!(fs::read_to_string(kept.dir.socket()).expect("it is there"), "precious");
    // Taken away, it starts by itself.
    fs::remove_file(kept.dir.socket()).expect("removed");
    until_true("it is up", seconds(30), || kept.phase() == "up");
    kept.assert_alone();
}
