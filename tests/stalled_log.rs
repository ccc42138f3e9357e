//! An access log whose output takes nothing: lines are lost, and nothing else.

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::process::{self, Signal};
use crate::support::wait::{seconds, until};

/// A Vestibule whose stdout is a pipe that nobody reads, full, with as many lines waiting as may. Killed when it goes.
struct Stalled {
    child: Child,
    client: Client<UnixStream>,
}

impl Stalled {
    /// Starts it in front of `dir`'s socket, where somebody must listen. A Unicorn, to which no connection is kept: that
    /// it went away shows only when one is made.
    fn start(dir: &Dir) -> Stalled {
        let (file, front) = (dir.join("vestibule.toml"), dir.join("front.sock"));
        let settings = format!(
            "workers = 1\n[[listen]]\naddress = \"unix:{}\"\n[upstream.app]\naddress = \"unix:{}\"\n\
             server = \"unicorn\"\n",
            front.display(),
            dir.socket().display()
        );
        fs::write(&file, settings).expect("the configuration is written");
        let binary = std::env::var_os("VESTIBULE").unwrap_or_else(|| env!("CARGO_BIN_EXE_vestibule").into());
        let mut command = Command::new(binary);
        command.arg("serve").arg("--config").arg(file).env_remove("RUST_LOG");
        command.env("VESTIBULE_CONTROL", dir.join("control.sock"));
        // The pipe's reading end stays open, in `child`, and nothing reads from it.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn().expect("the binary starts");
        let client = until("Vestibule listens", seconds(30), || Client::connect_unix(&front).ok());
        let mut stalled = Stalled { child, client };
        // 13 MB of lines: the pipe takes 64 KiB, and 8 MiB may wait for it.
        let path = format!("/{}", "x".repeat(3000));
        for _ in 0..4500 {
            assert_eq!(stalled.client.get(&path).expect("an answer").status, 200);
        }
        stalled
    }

    fn signal(&self, signal: Signal) {
        assert!(process::signal(self.child.id(), signal), "Vestibule is gone");
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn ends_when_told_so_though_the_log_is_stalled() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let mut stalled = Stalled::start(&dir);
    stalled.signal(Signal::TERM);
    let status = until("Vestibule exits", seconds(30), || stalled.child.try_wait().expect("its status"));
    assert_eq!(status.code(), Some(0), "{status}");
}

#[test]
fn goes_on_after_sigusr1_though_the_log_is_stalled() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let mut stalled = Stalled::start(&dir);
    stalled.signal(Signal::USR1);
    std::thread::sleep(Duration::from_millis(300)); // nothing outside shows that the signal was heard
    origin.leave();
    stalled.client.stream().set_read_timeout(Some(seconds(30))).expect("a read timeout");
    stalled.client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    std::thread::sleep(Duration::from_millis(500));
    // Who listens is looked after by the thread that hears the signals.
    let _origin = Fake::echoing(&dir.socket());
    assert_eq!(stalled.client.response().expect("an answer").text(), "/held");
}
