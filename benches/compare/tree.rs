//! What a program costs, by the kernel's own accounting: a process and all its descendants.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// One process. The start time tells it from a later one with the same PID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    pid: u32,
    started: u64,
}

impl Member {
    /// Its PID.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it still runs; a zombie does not.
    pub(crate) fn is_alive(&self) -> bool {
        read_stat(self.pid).is_some_and(|stat| stat.started == self.started && stat.state != "Z")
    }
}

/// A process and its descendants at one moment.
pub(crate) struct Tree {
    members: Vec<Member>,
}

/// Resident memory in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Resident set size: pages shared by several processes are counted in each.
    pub(crate) rss: u64,
    /// Proportional set size: a shared page is divided among those that share it.
    pub(crate) pss: u64,
}

impl Tree {
    /// The tree below `root`.
    pub(crate) fn of(root: u32) -> Result<Self> {
        let mut children: HashMap<u32, Vec<Member>> = HashMap::new();
        let mut members = Vec::new();
        for entry in fs::read_dir("/proc").context("cannot read /proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A process may end between the listing and the reading.
            let Some(stat) = read_stat(pid) else { continue };
            let member = Member { pid, started: stat.started };
            if pid == root {
                members.push(member);
            }
            children.entry(stat.parent).or_default().push(member);
        }
        let mut next = 0;
        while next < members.len() {
            let below = children.remove(&members[next].pid).unwrap_or_default();
            members.extend(below);
            next += 1;
        }
        Ok(Self { members })
    }

    /// The root first, then its descendants.
    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// CPU time used by every thread so far.
    ///
    /// From schedstat, in nanoseconds: utime and stime of /proc/PID/stat count in ticks of 10 ms.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut nanoseconds = 0u64;
        for member in &self.members {
            let threads = fs::read_dir(format!("/proc/{}/task", member.pid)).context("a process ended")?;
            for thread in threads {
                let path = thread?.path().join("schedstat");
                let text = fs::read_to_string(&path).context("cannot read schedstat")?;
                let running = text.split_whitespace().next().context("empty schedstat")?;
                nanoseconds += running.parse::<u64>()?;
            }
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// CPU time used so far, also by threads that have ended, which [`cpu`](Self::cpu) does not see; to 10 ms.
    pub(crate) fn cpu_of_ended_too(&self) -> Result<Duration> {
        let ticks = self.members.iter().map(|member| Some(read_stat(member.pid)?.ticks));
        let ticks: u64 = ticks.sum::<Option<u64>>().context("a process ended")?;
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Memory of all members together.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let mut memory = Memory::default();
        for member in &self.members {
            let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", member.pid))
                .context("cannot read smaps_rollup")?;
            memory.rss += kibibytes(&text, "Rss:") * 1024;
            memory.pss += kibibytes(&text, "Pss:") * 1024;
        }
        Ok(memory)
    }
}

struct Stat {
    state: String,
    parent: u32,
    started: u64,
    /// CPU time, in the hundredths of a second that Linux counts in towards programs.
    ticks: u64,
}

fn read_stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything, parentheses and spaces too: start behind the last one.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        state: (*fields.first()?).to_owned(),
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
        ticks: fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?,
    })
}

fn kibibytes(rollup: &str, field: &str) -> u64 {
    rollup
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
