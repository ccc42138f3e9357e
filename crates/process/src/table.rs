//! All processes at one moment, as far as `/proc` shows them.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use crate::stat::Stat;

/// What one scan of `/proc` found. Not all of it is of the same instant: who starts or ends meanwhile may be missing.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: HashMap<u32, Stat>,
    children: HashMap<u32, Vec<u32>>,
}

impl Table {
    /// Scans `/proc`: tens of µs for each process, of anybody (20 ms for 384 on a busy machine).
    pub(crate) fn read() -> Self {
        let Ok(entries) = fs::read_dir("/proc") else { return Table::default() };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Table::from_rows(pids.filter_map(|pid| Some((pid, Stat::of(pid)?))))
    }

    /// Only this process and its descendants, from the kernel's lists of children: what others there are costs nothing. Where the
    /// kernel has no such lists (CONFIG_PROC_CHILDREN), by a scan.
    pub(crate) fn below(root: u32) -> Self {
        if !Path::new("/proc/thread-self/children").exists() {
            return Table::read();
        }
        let mut seen = HashSet::from([root]);
        let mut next = vec![root];
        Table::from_rows(std::iter::from_fn(|| {
            loop {
                let pid = next.pop()?;
                next.extend(children(pid).into_iter().filter(|child| seen.insert(*child)));
                if let Some(stat) = Stat::of(pid) {
                    return Some((pid, stat));
                }
            }
        }))
    }

    pub(crate) fn from_rows(rows: impl Iterator<Item = (u32, Stat)>) -> Self {
        let mut table = Table::default();
        for (pid, stat) in rows {
            table.children.entry(stat.parent).or_default().push(pid);
            table.rows.insert(pid, stat);
        }
        for children in table.children.values_mut() {
            children.sort_unstable();
        }
        table
    }

    /// What the scan found at this PID.
    pub(crate) fn get(&self, pid: u32) -> Option<&Stat> {
        self.rows.get(&pid)
    }

    /// All that it found, in no order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (u32, &Stat)> {
        self.rows.iter().map(|(&pid, stat)| (pid, stat))
    }

    /// `roots` and all their descendants: a parent before its children, nobody twice; nobody of `without`, and nobody who descends
    /// only through them.
    pub(crate) fn descendants(
        &self,
        roots: impl IntoIterator<Item = u32>,
        without: &HashSet<u32>,
    ) -> Vec<u32> {
        let mut seen = without.clone();
        let mut found: Vec<u32> =
            roots.into_iter().filter(|pid| self.rows.contains_key(pid) && seen.insert(*pid)).collect();
        let mut next = 0;
        while let Some(parent) = found.get(next) {
            // Seen ones are skipped: a scan that is not of one instant could even show a circle.
            let children = self.children.get(parent).map_or(&[][..], Vec::as_slice);
            found.extend(children.iter().filter(|child| seen.insert(**child)));
            next += 1;
        }
        found
    }
}

/// The children of a process, as the kernel lists them: cheap, and may miss some while others are just ending.
#[must_use]
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_ascii_whitespace().flat_map(str::parse).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::tests::line;

    fn table(pairs: &[(u32, u32)]) -> Table {
        let stat = Stat::parse(line("sh", 'S', 1, 5, 1).as_bytes()).expect("a line");
        Table::from_rows(pairs.iter().map(|&(pid, parent)| (pid, Stat { parent, ..stat })))
    }

    #[test]
    fn descendants_come_after_their_parents_and_once() {
        let table = table(&[(9, 1), (4, 9), (30, 4), (5, 9), (7, 1), (31, 5)]);
        let none = HashSet::new();
        assert_eq!(table.descendants([9], &none), [9, 4, 5, 30, 31]);
        assert_eq!(table.descendants([4, 9], &none), [4, 9, 30, 5, 31]);
        assert!(table.descendants([77], &none).is_empty());
        assert_eq!(table.descendants([9, 7], &HashSet::from([4, 7])), [9, 5, 31]);
    }

    #[test]
    fn a_circle_ends() {
        assert_eq!(table(&[(2, 3), (3, 2)]).descendants([2], &HashSet::new()), [2, 3]);
        assert_eq!(table(&[(2, 2)]).descendants([2], &HashSet::new()), [2]);
    }

    #[test]
    fn finds_us_below_our_parent() {
        let us = std::process::id();
        let table = Table::read();
        let parent = table.get(us).expect("we run").parent;
        assert!(table.descendants([parent], &HashSet::new()).contains(&us));
        assert!(table.rows().any(|(pid, _)| pid == us));
    }
}
