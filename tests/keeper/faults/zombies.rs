//! Processes that have ended, and that nobody waits for.

use std::fs;

use super::breaks;
use crate::support::app::Kind;
use crate::support::kept::Kept;
use crate::support::process::{self, Signal};
use crate::support::wait::{seconds, until, until_true};

/// Orphans that it makes while it boots.
const ORPHANS: usize = 20;

#[test]
fn orphans_of_an_application_are_reaped() {
    // Each writes down its own PID, when it has become an orphan, and ends.
    let daemons = format!(
        "{ORPHANS}.times {{ Process.wait(fork {{ fork {{ sleep 0.01 until Process.ppid != $$; \
         File.open(ENV['APP_HOME'] + '/orphans', 'a') {{ |f| f.syswrite(\"#{{$$}} #{{Process.ppid}}\\n\") }}; exit! }}; exit! }}) }}"
    )
    .replace("Process.ppid != $$", "Process.ppid != PARENT")
    .replace("fork { fork {", "fork { PARENT = $$; fork {");
    let kept = Kept::begin(Kind::Puma, "", |app, _| breaks(app, &daemons));
    kept.wait_for("up", seconds(30));
    let lines = until("all orphans have been there", seconds(20), || {
        let text = fs::read_to_string(kept.app.home().join("orphans")).ok()?;
        (text.lines().count() == ORPHANS).then_some(text)
    });
    let us = kept.vestibule.pid();
    for line in lines.lines() {
        let (pid, parent) = line.split_once(' ').expect("two numbers");
        assert_eq!(parent.parse(), Ok(us), "it was given to Vestibule");
        let path = format!("/proc/{pid}");
        until_true("it is gone, and no zombie", seconds(30), || !fs::exists(&path).expect("/proc"));
    }
    assert_eq!(process::zombies_of(us), Vec::<u32>::new());
    assert!(kept.vestibule.events().iter().all(|event| event["level"] != "ERROR"));
    kept.assert_alone();
}

/// Its parent is this test, which does not wait for it.
#[test]
fn an_adopted_application_that_is_a_zombie_is_dead() {
    let kept = Kept::adopt(Kind::Puma, |_, _| "[process.app]".to_owned());
    let pid = kept.pid().expect("a PID");
    assert!(process::signal(pid, Signal::KILL));
    kept.wait_for("down", seconds(30));
    assert!(fs::exists(format!("/proc/{pid}")).expect("/proc") && !process::alive(pid), "it is a zombie");
    assert_eq!(kept.pid(), None);
    kept.wait_for_event(&format!("pid {pid} ended"), seconds(30));
    let told = kept.told(&["stop"]);
    assert!(told.contains("does not run") || told.contains(&format!("pid {pid} had ended")), "{told}");
}
