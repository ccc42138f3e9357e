//! A process and its descendants, what they are called and what they take.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::time::Duration;

use rustix::io::Errno;
use rustix::param::{clock_ticks_per_second, page_size};

use crate::life::Life;
use crate::stat::Stat;
use crate::table::Table;
use crate::title::Title;

/// More than `smaps_rollup` has ever had to say.
const LONGEST_ROLLUP: u64 = 16 * 1024;

/// A process and its descendants by parent at one moment, zombies left out. Who starts or ends during the look may be
/// missing.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    members: Vec<Member>,
}

/// A process in a [`Tree`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Which process it is.
    pub life: Life,
    /// The PID of its parent.
    pub parent: u32,
    /// Its command line, or the title that it gave itself.
    pub title: String,
    /// Bytes of memory, with each shared page divided by the number of those who share it (PSS). `None` until
    /// [`Tree::memory`] has read it, and where it may not be read.
    pub pss: Option<u64>,
    /// Bytes of memory, shared pages in full (RSS).
    pub rss: u64,
    /// Processor time that it took, and that those children took which it has waited for.
    pub cpu: Duration,
}

/// What a tree takes of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The sum over the tree.
    pub bytes: u64,
    /// Whether all of it is PSS. Otherwise at least one member's RSS stands in, and what it shares is counted again.
    pub is_pss: bool,
}

/// What came of asking for a member's PSS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    Pss(u64),
    /// It lives, and we may not see.
    Hidden,
    Gone,
}

impl Tree {
    /// The process with this PID and its descendants now, the process itself first and a parent before its children.
    /// Empty when there is no such process, and when we have no descriptors left to look. Memory is not read yet.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        Tree::from_table(pid, &Table::below(pid))
    }

    pub(crate) fn from_table(root: u32, table: &Table) -> Self {
        let mut members: Vec<Member> = table
            .descendants([root], &HashSet::new())
            .into_iter()
            .filter_map(|pid| Member::of(pid, table.get(pid)?))
            .collect();
        // Without its root it is no tree: it ended while we looked.
        if members.first().is_none_or(|first| first.life.pid != root) {
            members.clear();
        }
        Tree { members }
    }

    /// All of it, the root first, a parent before its children.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The process whose tree it is; `None` when there was none.
    #[must_use]
    pub fn root(&self) -> Option<&Member> {
        self.members.first()
    }

    /// The member with this PID.
    #[must_use]
    pub fn get(&self, pid: u32) -> Option<&Member> {
        self.members.iter().find(|member| member.life.pid == pid)
    }

    /// Processor time that the tree took since each of it started, those included who have ended and were waited for: what it
    /// grows by is what was used. It shrinks when a part of the tree is orphaned.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        self.members.iter().map(|member| member.cpu).sum()
    }

    /// Reads the PSS of each member, which takes the kernel milliseconds for a large process and keeps that from
    /// mapping memory meanwhile, and sums up. Members that have ended are left out of the tree from now on.
    pub fn memory(&mut self) -> Memory {
        self.weigh(Member::weight)
    }

    fn weigh(&mut self, weight: impl Fn(&Member) -> Weight) -> Memory {
        let mut memory = Memory { bytes: 0, is_pss: true };
        self.members.retain_mut(|member| {
            match weight(member) {
                Weight::Pss(bytes) => member.pss = Some(bytes),
                Weight::Hidden => {
                    member.pss = None;
                    memory.is_pss = false;
                }
                Weight::Gone => return false,
            }
            memory.bytes = memory.bytes.saturating_add(member.memory());
            true
        });
        memory
    }
}

impl Member {
    fn of(pid: u32, stat: &Stat) -> Option<Self> {
        if !stat.is_alive() {
            return None;
        }
        Some(Member {
            life: Life::from_stat(pid, stat),
            parent: stat.parent,
            title: Title::of(pid)?.to_string(),
            pss: None,
            rss: stat.pages.saturating_mul(page_size() as u64),
            cpu: duration(stat.ticks),
        })
    }

    /// Bytes of memory: PSS if it was read, else RSS.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.pss.unwrap_or(self.rss)
    }

    fn weight(&self) -> Weight {
        let read = rollup(self.life.pid);
        // Looked at after the reading: a PID that is ours still was ours then.
        if !self.life.is_alive() {
            return Weight::Gone;
        }
        match read {
            Ok(text) => pss(&text).map_or(Weight::Hidden, Weight::Pss),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => Weight::Gone,
            // Another user's process, or a kernel before 4.14.
            Err(_) => Weight::Hidden,
        }
    }
}

fn rollup(pid: u32) -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(1024);
    File::open(format!("/proc/{pid}/smaps_rollup"))?.take(LONGEST_ROLLUP).read_to_end(&mut text)?;
    Ok(text)
}

/// The line `Pss:   306 kB`, in bytes.
fn pss(rollup: &[u8]) -> Option<u64> {
    let number = rollup.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Pss:"))?;
    let kib: u64 = std::str::from_utf8(number.trim_ascii().strip_suffix(b"kB")?).ok()?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn duration(ticks: u64) -> Duration {
    let per_second = clock_ticks_per_second().max(1);
    let nanoseconds = ticks % per_second * 1_000_000_000 / per_second;
    Duration::from_secs(ticks / per_second) + Duration::from_nanos(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Kept, until};

    /// A shell with a child and a grandchild, whose names are hard to read.
    fn family() -> Kept {
        Kept::shell("exec -a 'top' sh -c 'sh -c \"sleep 600 & wait\" \"a ) b\" & wait'")
    }

    fn sleeper(tree: &Tree) -> Option<&Member> {
        tree.members().iter().find(|member| member.title == "sleep 600")
    }

    #[test]
    fn finds_all_descendants_a_parent_before_its_children() {
        let family = family();
        until("its grandchild never came", || sleeper(&Tree::of(family.pid())).is_some());
        let tree = Tree::of(family.pid());
        let titles: Vec<_> = tree.members().iter().map(|member| member.title.as_str()).collect();
        assert_eq!(
            titles,
            [
                "top -c sh -c \"sleep 600 & wait\" \"a ) b\" & wait",
                "sh -c sleep 600 & wait a ) b",
                "sleep 600"
            ]
        );
        for pair in tree.members().windows(2) {
            assert_eq!(pair[1].parent, pair[0].life.pid);
        }
        assert_eq!(tree.root().map(|root| root.life.pid), Some(family.pid()));
        let last = sleeper(&tree).expect("it is there");
        assert_eq!(tree.get(last.life.pid), Some(last));
        assert_eq!(tree.get(std::process::id()), None);
    }

    #[test]
    fn shared_pages_count_once_in_pss() {
        let family = family();
        until("its grandchild never came", || sleeper(&Tree::of(family.pid())).is_some());
        let mut tree = Tree::of(family.pid());
        assert!(tree.members().iter().all(|member| member.pss.is_none()), "read without being asked for");
        let rss: u64 = tree.members().iter().map(Member::memory).sum();
        let memory = tree.memory();
        assert!(memory.is_pss, "{memory:?}");
        assert_eq!(memory.bytes, tree.members().iter().filter_map(|member| member.pss).sum::<u64>());
        // They share a C library with all the system, and the shells each other's pages.
        assert!(memory.bytes > 0 && memory.bytes < rss, "{} of {rss}", memory.bytes);
    }

    #[test]
    fn rss_stands_in_for_a_pss_that_may_not_be_read() {
        let family = family();
        until("its grandchild never came", || sleeper(&Tree::of(family.pid())).is_some());
        let mut tree = Tree::of(family.pid());
        let hidden = sleeper(&tree).expect("it is there").clone();
        let (root, gone) = (tree.members()[0].life, tree.members()[1].life);
        let memory = tree.weigh(|member| match member.life {
            life if life == root => Weight::Pss(7),
            life if life == gone => Weight::Gone,
            _ => Weight::Hidden,
        });
        assert_eq!(memory, Memory { bytes: 7 + hidden.rss, is_pss: false });
        assert!(hidden.rss > 0);
        assert_eq!(tree.members().len(), 2, "who has ended stays");
    }

    #[test]
    fn who_ends_between_the_look_and_the_reading_weighs_nothing() {
        let mut family = family();
        until("its grandchild never came", || sleeper(&Tree::of(family.pid())).is_some());
        let mut tree = Tree::of(family.pid());
        family.end();
        let orphans: Vec<Life> = tree.members()[1..].iter().map(|member| member.life).collect();
        let mut all_gone = tree.clone();
        for orphan in &orphans {
            orphan.signal(crate::Signal::KILL).expect("it is sent");
        }
        until("they never ended", || orphans.iter().all(|orphan| !orphan.is_alive()));
        assert_eq!(all_gone.memory(), Memory { bytes: 0, is_pss: true });
        assert_eq!(tree.memory(), Memory { bytes: 0, is_pss: true });
        assert!(Tree::of(family.pid()).members().is_empty());
    }

    #[test]
    fn counts_processor_time_of_children_that_have_ended() {
        let busy = Kept::shell("i=0; (while [ $i -lt 300000 ]; do i=$((i+1)); done); exec sleep 600");
        until("it never got to the end", || sleeper(&Tree::of(busy.pid())).is_some());
        let cpu = Tree::of(busy.pid()).cpu();
        assert!(cpu >= Duration::from_millis(20), "{cpu:?}");
    }

    #[test]
    fn reads_the_line_of_the_pss_and_no_other() {
        let text = b"5560-7ff ---p 00000000 00:00 0   [rollup]\nRss:    1784 kB\nPss:     306 kB\nPss_Dirty:  1 kB\n";
        assert_eq!(pss(text), Some(306 * 1024));
        for text in
            ["", "Rss: 1 kB", "Pss:", "Pss: kB", "Pss: 12", "Pss: x kB", "Pss: 99999999999999999999 kB"]
        {
            assert_eq!(pss(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn ticks_are_parts_of_a_second() {
        let per_second = clock_ticks_per_second();
        assert_eq!(duration(0), Duration::ZERO);
        assert_eq!(duration(per_second * 5 / 2), Duration::from_millis(2_500));
        assert!(duration(u64::MAX) > Duration::from_secs(1));
    }
}
