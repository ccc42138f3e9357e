//! What the tests of this crate share.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::knock::Knock;

/// Longer than anything takes on a machine that is not stuck.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Waits for a condition, on this thread.
pub(crate) fn until(otherwise: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "{otherwise}");
        sleep(Duration::from_millis(2));
    }
}

/// Waits until nobody listens: a process that another test is just starting has our descriptors until its exec.
pub(crate) fn until_refused(path: &Path) {
    until("somebody listens still", || Knock::at(path).is_ok_and(|knock| knock == Knock::Refused));
}

/// Makes a FIFO: to open it for reading waits for a writer.
pub(crate) fn mkfifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
}

/// A child that ends with the test, however that ends, with its process group.
#[derive(Debug)]
pub(crate) struct Kept(Child);

impl Kept {
    pub(crate) fn new(command: &mut Command) -> Self {
        Kept(command.process_group(0).spawn().expect("it starts"))
    }

    pub(crate) fn shell(script: &str) -> Self {
        Kept::new(Command::new("bash").args(["-c", script]).stdin(Stdio::null()))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Ends it, and no other of its group, by SIGKILL.
    pub(crate) fn end(&mut self) {
        let _has_ended = self.0.kill();
        let _is_taken = self.0.wait();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // The group first: as long as we have not waited for it, the number is not another's.
        let group = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a PID");
        let _is_empty = kill_process_group(group, Signal::KILL);
        self.end();
    }
}
