//! What belongs to one application, wherever it hangs by now.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read as _;

use rustix::process::Signal;

use crate::error::Error;
use crate::exit::is_awaited;
use crate::life::Life;
use crate::stat::Stat;
use crate::table::Table;

/// In the environment of an application, and so of what it starts: its name. An orphan that we never saw below its application
/// is known by it.
pub const MEMBER_OF: &str = "VESTIBULE_MEMBER_OF";

/// Rounds of signalling: who is forked during one gets the signal in the next.
const ROUNDS: usize = 8;
/// More of an environment is not read; the kernel takes at most 2 MiB by default (execve(2)).
const LONGEST: u64 = 2 * 1024 * 1024;

/// The processes of one application: the descendants of its first process, and what once was one and left. A process
/// belongs to it, until it ends, when it
///
/// - descends from one that does, now or when we last looked;
/// - is in a process group or session that one of them began, though its parents have ended;
/// - is an orphan that was given to us ([`Reaper`](crate::Reaper)) with its name in the environment ([`MEMBER_OF`]).
///
/// We ourselves never do, nor those above us, nor what we started for others: a PID file may name anybody.
#[derive(Debug)]
pub struct Members {
    name: String,
    root: Life,
    /// All that belong to it and lived at the last look, by PID.
    living: HashMap<u32, Life>,
    /// Groups and sessions that a member began, and which it was. The kernel gives such a number to nobody else as long as somebody
    /// is in it.
    bands: HashMap<u32, Life>,
    /// Orphans whose environment did not have the name: not to be read again.
    strangers: HashMap<u32, Life>,
    /// In the tree of the root, at the last look.
    rooted: HashSet<u32>,
}

impl Members {
    /// What belongs to the application whose first process this is, as far as it can be seen now. `name` is what was put
    /// into its environment under [`MEMBER_OF`], if anything was; no other that runs at the same time has the same.
    #[must_use]
    pub fn new(name: &str, root: Life) -> Self {
        let mut members = Members {
            name: name.to_owned(),
            root,
            living: HashMap::new(),
            bands: HashMap::new(),
            strangers: HashMap::new(),
            rooted: HashSet::new(),
        };
        members.update();
        members
    }

    /// From now on this is its first process, as after a Unicorn replaced itself. What belonged to it does still.
    pub fn follow(&mut self, root: Life) {
        self.root = root;
        self.update();
    }

    /// These belong to it too, though nothing that can be seen says so any more.
    pub(crate) fn include(&mut self, lives: impl IntoIterator<Item = Life>) {
        self.living.extend(lives.into_iter().map(|life| (life.pid, life)));
        self.update();
    }

    /// Looks again: who came, who ended. One scan of `/proc`. The more often, the less can leave unseen.
    pub fn update(&mut self) {
        let table = Table::read();
        let above = above_us(&table);
        if !above.contains(&self.root.pid) {
            self.living.entry(self.root.pid).or_insert(self.root);
        }
        // Ended is who is seen to have, not who was missed for want of a descriptor.
        let lives =
            |life: &Life| table.get(life.pid).map_or_else(|| life.is_alive(), |stat| life.is_life_of(stat));
        self.living.retain(|_, life| lives(life));
        self.strangers.retain(|_, life| lives(life));
        self.join(&table, &above);
        let root = self.living.get(&self.root.pid).map(|root| root.pid);
        self.rooted = table.descendants(root, &above).into_iter().collect();
    }

    /// Takes in whoever belongs to it.
    fn join(&mut self, table: &Table, above: &HashSet<u32>) {
        loop {
            let mut found: Vec<u32> = self.living.keys().copied().collect();
            found.extend(table.rows().filter(|(_, stat)| self.is_of_a_band(stat, table)).map(|(pid, _)| pid));
            found.extend(self.orphans(table));
            let before = self.living.len();
            for pid in table.descendants(found, above) {
                if let Some(stat) = table.get(pid).filter(|stat| stat.is_alive()) {
                    self.living.entry(pid).or_insert_with(|| Life::from_stat(pid, stat));
                }
            }
            self.bands = self.bands_of_the_living(table);
            // Who came may have begun a band, in which there are others.
            if self.living.len() == before {
                return;
            }
        }
    }

    fn bands_of_the_living(&self, table: &Table) -> HashMap<u32, Life> {
        let stats = self.living.keys().filter_map(|&pid| table.get(pid));
        let founder = |band: u32| {
            // The first that was known: a band whose founder has ended keeps him.
            let founder = self.bands.get(&band).or_else(|| self.living.get(&band))?;
            Some((band, *founder))
        };
        stats.flat_map(|stat| [stat.group, stat.session]).filter_map(founder).collect()
    }

    /// Whether it is in a group or session that a member began, and whose number is nobody else's.
    fn is_of_a_band(&self, stat: &Stat, table: &Table) -> bool {
        let is_ours = |band: &u32| {
            // When all have left it, a stranger may get the number as his PID, and begin a group of his own.
            let is_founder =
                |founder: &Life| table.get(*band).is_none_or(|stat| stat.started == founder.process().1);
            self.bands.get(band).is_some_and(is_founder)
        };
        stat.is_alive() && (is_ours(&stat.group) || is_ours(&stat.session))
    }

    /// Orphans given to us whose environment says that they belong here.
    fn orphans(&mut self, table: &Table) -> Vec<u32> {
        let us = std::process::id();
        let mut found = Vec::new();
        for (pid, stat) in table.rows().filter(|(_, stat)| stat.parent == us && stat.is_alive()) {
            let life = Life::from_stat(pid, stat);
            // What we started ourselves, and wait for, is the first process of another.
            if self.living.contains_key(&pid) || self.strangers.contains_key(&pid) || is_awaited(&life) {
                continue;
            }
            match has_name(pid, &self.name) {
                Some(true) => found.push(pid),
                Some(false) => _ = self.strangers.insert(pid, life),
                None => {}
            }
        }
        found
    }

    /// All that belonged to it at the last look, in no order.
    pub fn all(&self) -> impl Iterator<Item = Life> {
        self.living.values().copied()
    }

    /// Those that lived at the last look without hanging below the first process: all of them, when that has ended.
    #[must_use]
    pub fn left_over(&self) -> Vec<Life> {
        self.living.values().filter(|life| !self.rooted.contains(&life.pid)).copied().collect()
    }

    /// Sends a signal to all that belong to it now, to each once, those forked meanwhile included. Says how many got it.
    ///
    /// # Errors
    /// [`Error::Signal`] when one may not be sent it; the others have got it all the same.
    pub fn signal_all(&mut self, signal: Signal) -> Result<usize, Error> {
        let mut met: HashSet<(u32, u64)> = HashSet::new();
        let mut signalled = 0;
        let mut failure = None;
        for _ in 0..ROUNDS {
            self.update();
            let mut fresh: Vec<Life> = self.all().filter(|life| met.insert(life.process())).collect();
            if fresh.is_empty() {
                break;
            }
            // Masters before workers, so that none is started anew.
            fresh.sort_unstable_by_key(|life| life.process().1);
            for life in fresh {
                match life.signal(signal) {
                    Ok(()) => signalled += 1,
                    Err(Error::HasEnded { .. }) => {}
                    Err(error) => failure = Some(error),
                }
            }
        }
        failure.map_or(Ok(signalled), Err)
    }
}

/// Ourselves, our parent, and so on.
fn above_us(table: &Table) -> HashSet<u32> {
    let mut above = HashSet::new();
    let mut next = std::process::id();
    while above.insert(next) {
        match table.get(next) {
            Some(stat) => next = stat.parent,
            None => break,
        }
    }
    above
}

/// Whether the environment that a process was started with names this application; `None` when it cannot be read.
fn has_name(pid: u32, name: &str) -> Option<bool> {
    let mut environment = Vec::new();
    File::open(format!("/proc/{pid}/environ")).ok()?.take(LONGEST).read_to_end(&mut environment).ok()?;
    let wanted = format!("{MEMBER_OF}={name}");
    Some(environment.split(|&byte| byte == 0).any(|entry| entry == wanted.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::tests::line;

    #[test]
    fn the_group_of_a_stranger_with_a_members_old_pid_is_not_ours() {
        let stat = Stat::parse(line("sh", 'S', 1, 5, 1).as_bytes()).expect("a line");
        let founder = Life::from_stat(77, &stat);
        let mut members = Members::new("nobody", Life::of(std::process::id()).expect("we live").successor());
        members.bands.insert(77, founder);
        let other = Stat { group: 77, session: 77, started: 9, ..stat };
        let (in_group, in_session) = (Stat { session: 1, ..other }, Stat { group: 1, ..other });
        let with = |rows: &[(u32, Stat)]| Table::from_rows(rows.iter().copied());
        for found in [in_group, in_session] {
            assert!(members.is_of_a_band(&found, &with(&[])), "the founder has ended");
            let founder_is_there = Stat { state: b'Z', ..stat };
            assert!(
                members.is_of_a_band(&found, &with(&[(77, founder_is_there)])),
                "the founder is a zombie"
            );
            assert!(!members.is_of_a_band(&found, &with(&[(77, other)])), "the number is another's");
        }
        assert!(!members.is_of_a_band(&Stat { group: 78, session: 1, ..other }, &with(&[])));
        assert!(!members.is_of_a_band(&Stat { state: b'Z', ..in_group }, &with(&[])));
    }
}
