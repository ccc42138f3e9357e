//! What tells one state of a file from the next, without reading it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file written twice within a tick of the kernel's clock (up to 10 ms) may look the same after both; some file systems
/// count in whole seconds. What is younger than this is looked at again.
const YOUNG: Duration = Duration::from_secs(2);

/// What tells one state of some files from the next: of the file that a path leads to in the end (certbot replaces
/// symbolic links), which it is, when it was changed, and its size. A missing file is a state as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp(Vec<Option<State>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// Unlike the time above, nobody can set it: `cp -p` and `rsync -t` do not hide from it.
    changed: (i64, i64),
}

impl Stamp {
    /// One `stat` for each of `files`.
    pub(crate) fn of(files: &[&Path]) -> Self {
        Self(files.iter().map(|file| State::of(file)).collect())
    }

    /// Whether a change at `now` could be hidden in it.
    pub(crate) fn is_young(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.0.iter().flatten().any(|state| {
            let changed = Duration::from_secs(u64::try_from(state.changed.0).unwrap_or(0));
            // From the future, by a file server's clock: as old as it can be known to be.
            now.abs_diff(changed) < YOUNG
        })
    }
}

impl State {
    fn of(file: &Path) -> Option<Self> {
        let state = file.metadata().ok()?;
        Some(Self {
            device: state.dev(),
            inode: state.ino(),
            size: state.size(),
            modified: (state.mtime(), state.mtime_nsec()),
            changed: (state.ctime(), state.ctime_nsec()),
        })
    }
}
