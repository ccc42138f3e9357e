//! A process as `/proc` shows it.

use crate::stat::Stat;
use crate::title::Title;

/// A process that runs: a zombie does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its PID.
    pub pid: u32,
    /// Its command line, or the title that it gave itself; empty for the kernel's own.
    pub command: String,
}

impl Running {
    /// The process with this PID now; `None` when there is none.
    pub fn find(pid: u32) -> Option<Self> {
        if !Stat::of(pid)?.is_alive() {
            return None;
        }
        Some(Running { pid, command: Title::of(pid)?.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn finds_ourselves_with_our_command() {
        let own = Running::find(std::process::id()).expect("we run");
        assert!(own.command.contains("vestibule_process"), "{own:?}");
    }

    #[test]
    fn finds_no_zombie_and_nobody_at_a_free_pid() {
        let mut child = Command::new("true").stdin(Stdio::null()).spawn().expect("it starts");
        let start = Instant::now();
        // Nobody has waited for it, so that it stays a zombie.
        while Running::find(child.id()).is_some() {
            assert!(start.elapsed() < Duration::from_secs(20), "it never ended");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.wait().expect("its status");
        assert_eq!(Running::find(child.id()), None);
        assert_eq!(Running::find(u32::MAX), None);
    }
}
