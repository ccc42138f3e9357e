//! Nothing below us becomes a zombie, and no orphan below us is lost to init.
//!
//! As a subreaper (prctl(2)) we are given the orphans of all our descendants: what a server daemonised, the workers of a
//! master that was killed, the new master of a Unicorn whose old one ended. When they end, somebody has to take their status.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{WaitId, WaitIdOptions, getpid, set_child_subreaper, waitid};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::Error;
use crate::exit::{collect, is_awaited};
use crate::life::Life;
use crate::stat::Stat;
use crate::table::{Table, children};

/// A zombie whose end nobody has asked [`Exit`](crate::Exit) for may have a waiter that we do not know, as tokio's
/// children have. They take the status as soon as they hear of the end; this is longer than any takes that still wants it.
const GRACE: Duration = Duration::from_secs(3);

/// Takes the status of children of ours that have ended: of orphans that we were given, and of those that nobody waits for any
/// more. There should be one.
#[derive(Debug)]
pub struct Reaper {
    ends: Signal,
    /// Zombies that may have a waiter, and when they were first met.
    met: HashMap<Life, Instant>,
}

impl Reaper {
    /// Makes this process the one that is given the orphans among its descendants. To be called inside a tokio runtime with
    /// I/O and time.
    ///
    /// # Errors
    /// [`Error::Reap`] when the kernel refuses.
    pub fn new() -> Result<Self, Error> {
        let failed = |source: io::Error| Error::Reap { source };
        // Heard before the first orphan can come.
        let ends = signal(SignalKind::child()).map_err(failed)?;
        set_child_subreaper(Some(getpid())).map_err(|errno| failed(errno.into()))?;
        Ok(Reaper { ends, met: HashMap::new() })
    }

    /// Reaps until it is dropped.
    pub async fn run(mut self) {
        loop {
            if self.reap() {
                // Somebody may be about to take it, or it ended while we were looking: once more.
                let _heard = tokio::time::timeout(GRACE, self.ends.recv()).await;
            } else if self.ends.recv().await.is_none() {
                // Never, as long as tokio has signals at all.
                tokio::time::sleep(GRACE).await;
            }
        }
    }

    /// One round. Whether a zombie is left.
    fn reap(&mut self) -> bool {
        if !has_zombie() {
            self.met.clear();
            return false;
        }
        let now = Instant::now();
        let zombies = zombies();
        self.met.retain(|life, _| zombies.contains(life));
        for zombie in &zombies {
            let since = *self.met.entry(*zombie).or_insert(now);
            if is_awaited(zombie) || now.duration_since(since) >= GRACE {
                collect(zombie, None);
            }
        }
        has_zombie()
    }
}

/// Whether any child of ours has ended and its status was not taken.
fn has_zombie() -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::All, look), Ok(Some(_)))
}

/// Our children that have ended.
fn zombies() -> Vec<Life> {
    let us = std::process::id();
    let listed = children(us);
    let of_listed = listed.into_iter().filter_map(|pid| zombie(pid, us, &Stat::of(pid)?));
    let found: Vec<Life> = of_listed.collect();
    if !found.is_empty() {
        return found;
    }
    // The list may miss some, and a kernel without CONFIG_PROC_CHILDREN has none.
    Table::read().rows().filter_map(|(pid, stat)| zombie(pid, us, stat)).collect()
}

fn zombie(pid: u32, parent: u32, stat: &Stat) -> Option<Life> {
    (stat.parent == parent && !stat.is_alive()).then(|| Life::from_stat(pid, stat))
}
