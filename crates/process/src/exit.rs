//! The end of a process, whoever's child it is.
//!
//! **Who takes the status of a child.** Children of the keeper are started by [`spawn`], with std and never waited for by
//! it; from then on there is one place where a status is taken from the kernel, [`collect`], under one lock, and
//! what it takes it gives to every [`Exit`] of that process. An `Exit` calls it when its process has ended, the
//! [`Reaper`](crate::Reaper) when it meets a zombie; it does not matter who comes first. A child that was started otherwise
//! (tokio::process, std) has a waiter of its own, of which we know nothing: `collect` is not called for it until it has
//! been a zombie for longer than any waiter takes (reaper.rs).

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::error::Error;
use crate::life::Life;

/// Between two looks at a process that the kernel gives no descriptor for.
const LOOK: Duration = Duration::from_millis(100);

/// Waits for the end of one process. Dropping it leaves the process as it is.
#[derive(Debug)]
pub struct Exit {
    slot: Arc<Slot>,
    /// Readable when the process has ended. `None` on a kernel or in a sandbox without such descriptors, and when it
    /// had ended already.
    descriptor: Option<OwnedFd>,
}

/// Where the status of a process is put when it is taken.
#[derive(Debug)]
struct Slot {
    life: Life,
    status: OnceLock<ExitStatus>,
}

/// Who is to be given a status. One lock for it and for taking one: between the two nobody else can.
static AWAITED: Mutex<Vec<Weak<Slot>>> = Mutex::new(Vec::new());

/// Starts a process, and says which it is and how to wait for its end. It is to be started by nothing else: whoever keeps a
/// `Child` of it would wait for it, too.
///
/// # Errors
/// [`Error::Start`] when there is no such program, or no process to be had.
pub fn spawn(command: &mut Command) -> Result<(Life, Exit), Error> {
    // Held until somebody is there to be given its status, however soon it ends.
    let mut awaited = AWAITED.lock().unwrap_or_else(PoisonError::into_inner);
    let failed = |source, command: &Command| Error::Start { program: command.get_program().into(), source };
    let mut child = command.spawn().map_err(|source| failed(source, command))?;
    // There as a zombie at least, since nobody has waited for it.
    let Some(life) = Life::of(child.id()) else {
        let _has_ended = child.kill();
        let _is_taken = child.wait();
        return Err(failed(io::Error::other("/proc does not show it"), command));
    };
    Ok((life, Exit::register(life, &mut awaited)))
}

impl Exit {
    /// The end of this process, which may be anybody's child, and may have come already. Several may wait for one.
    #[must_use]
    pub fn of(life: Life) -> Self {
        Exit::register(life, &mut AWAITED.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn register(life: Life, awaited: &mut Vec<Weak<Slot>>) -> Self {
        let slot = Arc::new(Slot { life, status: OnceLock::new() });
        awaited.retain(|slot| slot.strong_count() > 0);
        awaited.push(Arc::downgrade(&slot));
        // First the descriptor, then the look: it is of this process if the PID still is.
        let descriptor = life.as_pid().and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Exit { descriptor: descriptor.filter(|_| is_there(&life)), slot }
    }

    /// Which process it is of.
    #[must_use]
    pub fn life(&self) -> Life {
        self.slot.life
    }

    /// Waits until it has ended; at once when it has. The status is known of a child of ours, started by us or
    /// orphaned to us, as long as nobody else has taken it; of others it is `None`. May be abandoned and called again.
    ///
    /// A process that runs another program by now (exec) has not ended.
    pub async fn ended(&mut self) -> Option<ExitStatus> {
        while !self.has_ended() {
            if !self.wait().await {
                tokio::time::sleep(LOOK).await;
            }
        }
        self.slot.status.get().copied()
    }

    /// Whether it has ended, and if so its status, as [`Exit::ended`] gives it. Does not wait.
    pub fn try_ended(&mut self) -> Option<Option<ExitStatus>> {
        self.has_ended().then(|| self.slot.status.get().copied())
    }

    fn has_ended(&self) -> bool {
        if self.slot.status.get().is_some() {
            return true;
        }
        if !self.says_that_it_has_ended().unwrap_or_else(|| !self.slot.life.is_alive()) {
            return false;
        }
        // Its status may have been put there since, or is ours to take; whose it is else does not tell us.
        collect(&self.slot.life, self.descriptor.as_ref());
        true
    }

    /// What the descriptor says, if there is one: it needs no further one, so that this works when we have none left.
    fn says_that_it_has_ended(&self) -> Option<bool> {
        let mut asked = [PollFd::new(self.descriptor.as_ref()?, PollFlags::IN)];
        let said = poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).ok()?;
        Some(said > 0)
    }

    /// Until the kernel says that it has ended; `false` when it cannot say so.
    async fn wait(&self) -> bool {
        let Some(descriptor) = &self.descriptor else { return false };
        // Registered for each wait anew: the next may be on another runtime.
        let Ok(readable) = registered(descriptor.as_fd()) else { return false };
        readable.readable().await.is_ok()
    }
}

/// The kernel's poll for it, on this runtime.
#[expect(
    deprecated,
    reason = "it asks for `unsafe` because another type's descriptor might change under it; a BorrowedFd is one and the same, and open"
)]
fn registered(descriptor: BorrowedFd<'_>) -> io::Result<AsyncFd<BorrowedFd<'_>>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}

/// Takes the status of a child of ours that has ended, and gives it to those who wait for it. Does nothing for one that has
/// not, or is not ours.
pub(crate) fn collect(life: &Life, descriptor: Option<&OwnedFd>) {
    let mut awaited = AWAITED.lock().unwrap_or_else(PoisonError::into_inner);
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let by_descriptor = descriptor.map(|descriptor| waitid(WaitId::PidFd(descriptor.as_fd()), options));
    let taken = match by_descriptor {
        Some(taken) if !matches!(taken, Err(Errno::INVAL)) => taken,
        // No descriptor, or a kernel (before 5.4) that cannot wait by one. As long as it is there, as a zombie, its PID is no
        // other's; and nobody takes it away while we hold the lock.
        _ => match life.as_pid().filter(|_| is_there(life)) {
            Some(pid) => waitid(WaitId::Pid(pid), options),
            None => return,
        },
    };
    let Some(status) = taken.ok().flatten().and_then(|status| exit_status(&status)) else { return };
    awaited.retain(|slot| {
        let Some(slot) = slot.upgrade() else { return false };
        let is_of_it = slot.life.is_same_process(life);
        if is_of_it {
            let _first = slot.status.set(status);
        }
        !is_of_it
    });
}

/// Whether somebody waits for the end of this process.
pub(crate) fn is_awaited(life: &Life) -> bool {
    let awaited = AWAITED.lock().unwrap_or_else(PoisonError::into_inner);
    awaited.iter().filter_map(Weak::upgrade).any(|slot| slot.life.is_same_process(life))
}

fn is_there(life: &Life) -> bool {
    Life::of(life.pid).is_some_and(|now| now.is_same_process(life))
}

/// As wait(2) puts it into one number: the code in the second byte, or the signal in the first, with a bit for a core.
fn exit_status(status: &WaitIdStatus) -> Option<ExitStatus> {
    let code = status.exit_status().map(|code| (code & 0xff) << 8);
    let signal = || status.terminating_signal().map(|signal| signal | if status.dumped() { 0x80 } else { 0 });
    code.or_else(signal).map(ExitStatus::from_raw)
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;
    use std::time::Instant;

    use rustix::process::Signal;
    use tokio::time::timeout;

    use super::*;
    use crate::testing::{Kept, LONG, until};

    fn shell(script: &str) -> (Life, Exit) {
        spawn(Command::new("sh").args(["-c", script]).stdin(Stdio::null())).expect("it starts")
    }

    async fn ended(exit: &mut Exit) -> Option<ExitStatus> {
        timeout(LONG, exit.ended()).await.expect("it ends")
    }

    /// Without a descriptor, as on a kernel that has none.
    fn blind(mut exit: Exit) -> Exit {
        exit.descriptor = None;
        exit
    }

    #[tokio::test]
    async fn a_child_gives_its_status() {
        let (life, mut exit) = shell("exit 7");
        let status = ended(&mut exit).await.expect("it is ours");
        assert_eq!((status.code(), status.signal()), (Some(7), None));
        assert_eq!(exit.try_ended(), Some(Some(status)), "and again");
        assert_eq!(Life::of(life.pid).filter(|now| now.is_same_process(&life)), None, "it is a zombie");
        assert_eq!(
            ended(&mut blind(shell("exit 300").1)).await.and_then(|status| status.code()),
            Some(300 & 0xff)
        );
    }

    #[tokio::test]
    async fn a_child_gives_the_signal_that_ended_it() {
        for make in [|exit| exit, blind] {
            let (life, exit) = shell("exec sleep 600");
            let mut exit = make(exit);
            assert_eq!(exit.try_ended(), None);
            assert!(timeout(Duration::from_millis(50), exit.ended()).await.is_err(), "it runs");
            life.signal(Signal::KILL).expect("it is sent");
            let status = ended(&mut exit).await.expect("it is ours");
            assert_eq!((status.code(), status.signal()), (None, Some(Signal::KILL.as_raw())));
        }
    }

    #[tokio::test]
    async fn all_who_wait_get_the_status() {
        let (life, mut first) = shell("read wait < /dev/null; exec sleep 600");
        let mut second = Exit::of(life);
        assert!(is_awaited(&life));
        let killed = async { life.signal(Signal::TERM).expect("it is sent") };
        let (one, two, ()) = tokio::join!(ended(&mut first), ended(&mut second), killed);
        assert_eq!(one.and_then(|status| status.signal()), Some(Signal::TERM.as_raw()));
        assert_eq!(one, two);
        assert!(!is_awaited(&life));
        let mut late = Exit::of(life);
        assert_eq!(ended(&mut late).await, None, "who asks after the status was given does not get it");
    }

    #[tokio::test]
    async fn the_end_of_somebody_elses_child_is_seen() {
        for make in [|exit| exit, blind] {
            let dir = tempfile::tempdir().expect("a directory");
            let file = dir.path().join("pid");
            let script = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", file.display());
            let _parent = Kept::shell(&script);
            until("it never came", || file.exists());
            let pid = std::fs::read_to_string(&file).expect("read").trim().parse().expect("a PID");
            let life = Life::of(pid).expect("it lives");
            let mut exit = make(Exit::of(life));
            assert!(timeout(Duration::from_millis(50), exit.ended()).await.is_err(), "it runs");
            life.signal(Signal::KILL).expect("it is sent");
            assert_eq!(ended(&mut exit).await, None);
        }
    }

    #[tokio::test]
    async fn one_that_has_gone_or_lost_its_pid_has_ended() {
        let mut gone = Kept::shell("exec sleep 600");
        let life = Life::of(gone.pid()).expect("it lives");
        gone.end();
        assert_eq!(ended(&mut Exit::of(life)).await, None);
        let us = Life::of(std::process::id()).expect("we live");
        assert_eq!(ended(&mut Exit::of(us.successor())).await, None);
        assert_eq!(Exit::of(us.successor()).try_ended(), Some(None));
    }

    #[tokio::test]
    async fn a_program_that_replaces_itself_has_not_ended() {
        let (life, mut exit) = shell("exec sleep 600");
        until("it never replaced itself", || {
            crate::Title::of(life.pid).is_some_and(|title| title.to_string() == "sleep 600")
        });
        assert_eq!(exit.try_ended(), None);
        assert_eq!(Exit::of(life).try_ended(), None);
        life.signal(Signal::KILL).expect("it is sent");
        assert!(ended(&mut exit).await.is_some());
    }

    #[tokio::test]
    async fn many_that_end_at_once_each_give_their_own_status() {
        let mut exits: Vec<(i32, Exit)> =
            (0..50).map(|code| (code, shell(&format!("exit {code}")).1)).collect();
        for (code, exit) in &mut exits {
            assert_eq!(ended(exit).await.and_then(|status| status.code()), Some(*code));
        }
    }

    #[tokio::test]
    async fn waiting_takes_no_processor_time() {
        let (life, mut exit) = shell("exec sleep 600");
        let start = Instant::now();
        assert!(timeout(Duration::from_millis(200), exit.ended()).await.is_err(), "it runs");
        assert!(start.elapsed() >= Duration::from_millis(200));
        assert!(exit.descriptor.is_some(), "this kernel has descriptors of processes");
        life.signal(Signal::KILL).expect("it is sent");
        ended(&mut exit).await;
    }

    #[test]
    fn says_which_program_cannot_be_started() {
        let error = spawn(&mut Command::new("/nowhere/at-all")).expect_err("there is none");
        assert_eq!(error.to_string(), "cannot start /nowhere/at-all");
    }
}
