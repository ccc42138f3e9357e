//! One life of a process: what its PID alone does not tell.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use rustix::io::Errno;
use rustix::param::clock_ticks_per_second;
use rustix::process::{
    Pid, PidfdFlags, Signal, geteuid, kill_process, pidfd_open, pidfd_send_signal, test_kill_process,
};

use rustix::time::{ClockId, clock_gettime};

use crate::error::Error;
use crate::identity;
use crate::stat::Stat;

/// Steps to an ancestor: no tree of processes is that deep.
const DEEPEST: usize = 1_000;
/// User and group stand far nearer to the beginning of `/proc/PID/status` (proc_pid_status(5)).
const STATUS: usize = 2048;

/// One life of a process: the PID, when it started, and where its stack begins, which a program that replaces
/// itself (Puma's USR2 calls exec) changes while PID and start stay. From proc_pid_stat(5).
///
/// Two are equal when neither the process nor its program is another. Where the system does not let us see the stack of
/// another user's process, a replaced program cannot be told, and they are equal all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Life {
    /// The PID, which is another's some time after the end.
    pub pid: u32,
    started: u64,
    stack: u64,
}

impl Life {
    /// The life of the process with this PID now, a zombie too; `None` when there is none.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        Stat::of(pid).map(|stat| Life::from_stat(pid, &stat))
    }

    pub(crate) fn from_stat(pid: u32, stat: &Stat) -> Self {
        Life { pid, started: stat.started, stack: stat.stack }
    }

    /// Whether both are the same process, though it may run another program by now.
    #[must_use]
    pub fn is_same_process(&self, other: &Life) -> bool {
        self.process() == other.process()
    }

    /// What stays the same as long as the process lives, and names no other.
    pub(crate) fn process(&self) -> (u32, u64) {
        (self.pid, self.started)
    }

    /// Whether this process still runs, with whatever program: a zombie does not, nor one that has its PID now. When we have no
    /// descriptors left to look, whoever has the PID is taken for it: that it has ended is said only when it is known.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        match Stat::look(self.pid) {
            Ok(stat) => stat.is_some_and(|stat| self.is_life_of(&stat)),
            Err(_) => self.as_pid().is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH)),
        }
    }

    /// This process with the program that it runs now; `None` when it has ended, though its PID may be another's already.
    pub(crate) fn now(&self) -> Option<Life> {
        Life::of(self.pid).filter(|life| life.is_same_process(self) && life.is_alive())
    }

    /// Whether what was found at its PID is this process, and alive.
    pub(crate) fn is_life_of(&self, stat: &Stat) -> bool {
        stat.started == self.started && stat.is_alive()
    }

    /// Sends it a signal. Whoever may have got its PID since is never hit.
    ///
    /// # Errors
    /// [`Error::HasEnded`] when it is no more, or a zombie; [`Error::MayNotSignal`] and [`Error::Signal`] when it cannot be sent.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        let ended = || Error::HasEnded { pid: self.pid };
        let pid = self.as_pid().ok_or_else(ended)?;
        // First the descriptor, then the look: if the PID is ours still, it was when the descriptor was made.
        let descriptor = pidfd_open(pid, PidfdFlags::empty());
        if !self.is_alive() {
            return Err(ended());
        }
        let sent = match descriptor {
            Ok(descriptor) => pidfd_send_signal(&descriptor, signal),
            Err(Errno::SRCH) => return Err(ended()),
            // A kernel, or a sandbox, without such descriptors.
            Err(_) => kill_process(pid, signal),
        };
        match sent {
            Err(Errno::SRCH) => Err(ended()),
            Err(Errno::PERM) => Err(self.may_not_signal()),
            other => other.map_err(|errno| Error::Signal { pid: self.pid, source: io::Error::from(errno) }),
        }
    }

    /// Whether signals may be sent to it: to know before anything is done for which they are needed.
    ///
    /// # Errors
    /// [`Error::MayNotSignal`].
    pub(crate) fn check_signals(&self) -> Result<(), Error> {
        match self.as_pid().map(test_kill_process) {
            Some(Err(Errno::PERM)) if self.is_alive() => Err(self.may_not_signal()),
            _ => Ok(()),
        }
    }

    fn may_not_signal(&self) -> Error {
        let owner = std::fs::metadata(format!("/proc/{}", self.pid)).map(|found| found.uid());
        let theirs = owner.map_or_else(|_| "another user".to_owned(), identity::words_for);
        Error::MayNotSignal { pid: self.pid, theirs, ours: identity::words_for(geteuid().as_raw()) }
    }

    /// Whether we may see where its stack begins, and so when it replaces its program.
    pub(crate) fn shows_program(&self) -> bool {
        self.stack != 0
    }

    /// When it started, in clock ticks since the system did.
    pub(crate) fn started(&self) -> u64 {
        self.started
    }

    /// How long ago it started.
    pub(crate) fn age(&self) -> Duration {
        // Both count the time that the machine was suspended (proc_pid_stat(5)).
        let now = clock_gettime(ClockId::Boottime);
        let now = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32);
        let per_second = clock_ticks_per_second().max(1);
        now.saturating_sub(Duration::from_millis(self.started.saturating_mul(1000) / per_second))
    }

    /// Its parent, as it is now.
    pub(crate) fn parent(&self) -> Option<Life> {
        Life::of(Stat::of(self.pid)?.parent)
    }

    /// Itself, its parent, that one's parent, and so on, as it is now.
    pub(crate) fn and_above(self) -> impl Iterator<Item = Life> {
        std::iter::successors(Some(self), Life::parent).take(DEEPEST)
    }

    /// Whether it can be no application: the system's first process, we ourselves, or one that we descend from.
    pub(crate) fn is_above_us(&self) -> bool {
        let us = Life::of(std::process::id());
        self.pid == 1 || us.is_some_and(|us| us.and_above().any(|one| one.pid == self.pid))
    }

    /// The user and the group that it acts as; `None` where they cannot be seen.
    pub(crate) fn owner(&self) -> Option<(u32, u32)> {
        let mut status = [0; STATUS];
        let length = File::open(format!("/proc/{}/status", self.pid)).ok()?.read(&mut status).ok()?;
        // A user may call a program as he likes, but the kernel writes the name with no line end in it.
        let text = String::from_utf8_lossy(status.get(..length)?);
        let effective = |name| {
            let ids = text.lines().find_map(|line| line.strip_prefix(name))?;
            ids.split_ascii_whitespace().nth(1)?.parse().ok()
        };
        Some((effective("Uid:")?, effective("Gid:")?))
    }

    pub(crate) fn as_pid(&self) -> Option<Pid> {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw)
    }

    /// Another process that has got the same PID.
    #[cfg(test)]
    pub(crate) fn successor(&self) -> Life {
        Life { started: self.started + 1, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::testing::until;

    #[test]
    fn a_life_is_told_by_its_start() {
        let ours = Life::of(std::process::id()).expect("we live");
        assert_eq!(Some(ours), Life::of(std::process::id()));
        assert!(ours.started > 0 && ours.stack > 0 && ours.is_alive());
        let successor = ours.successor();
        assert!(!successor.is_same_process(&ours) && !successor.is_alive());
        assert_eq!(successor.now(), None, "who has its PID now is another");
        assert!(matches!(successor.signal(Signal::KILL), Err(Error::HasEnded { pid }) if pid == ours.pid));
    }

    #[test]
    fn a_program_that_replaces_itself_is_the_same_process_in_another_life() {
        let mut shell = Command::new("sh")
            .args(["-c", "read go; exec sleep 600"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("it starts");
        let before = Life::of(shell.id()).expect("it lives");
        drop(shell.stdin.take());
        until("it never replaced itself", || {
            Life::of(shell.id()).is_some_and(|now| now.stack != before.stack)
        });
        let after = Life::of(shell.id()).expect("it lives");
        assert_ne!(before, after);
        assert!(before.is_same_process(&after) && before.is_alive());
        assert_eq!(before.now(), Some(after));
        before.signal(Signal::TERM).expect("it is sent");
        assert_eq!(shell.wait().expect("its status").signal(), Some(Signal::TERM.as_raw()));
        assert!(!after.is_alive());
    }

    #[test]
    fn we_are_above_ourselves_and_our_children_are_not() {
        let us = Life::of(std::process::id()).expect("we live");
        let parent = us.parent().expect("somebody started us");
        let first = Life::of(1).expect("the first process");
        assert!(us.is_above_us() && parent.is_above_us() && first.is_above_us());
        let child = crate::testing::Kept::new(Command::new("sleep").arg("600"));
        assert!(!Life::of(child.pid()).expect("it lives").is_above_us());
    }

    #[test]
    fn sees_whom_a_process_acts_as() {
        let us = Life::of(std::process::id()).expect("we live");
        assert_eq!(us.owner(), Some((geteuid().as_raw(), rustix::process::getegid().as_raw())));
    }

    #[test]
    fn a_zombie_has_a_life_and_is_not_alive() {
        let mut child = Command::new("sleep").arg("600").spawn().expect("it starts");
        let life = Life::of(child.id()).expect("it lives");
        assert!(life.is_alive());
        life.signal(Signal::KILL).expect("it is sent");
        until("it never ended", || !life.is_alive());
        assert!(Life::of(child.id()).is_some_and(|zombie| zombie.is_same_process(&life)));
        assert_eq!(life.now(), None);
        assert!(matches!(life.signal(Signal::KILL), Err(Error::HasEnded { .. })));
        child.wait().expect("its status");
        assert_eq!(Life::of(child.id()), None);
    }
}
