//! Which release of an application a directory holds.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::status::Release;

/// A revision is a hash or a tag; of what is longer, the beginning tells enough.
const LONGEST_REVISION: u64 = 200;

impl Release {
    /// The release in `directory` now: the directory behind all links (`current` → `releases/20261122`), and the first line
    /// of the file REVISION in it, which Capistrano and its like write. `None` when there is no such directory.
    ///
    /// `/proc/PID/cwd` is a directory too: the one that a process was started in, whatever the links say by now.
    pub fn of(directory: &Path) -> Option<Self> {
        let directory = fs::canonicalize(directory).ok().filter(|path| path.is_dir())?;
        let revision = revision(&directory.join("REVISION"));
        Some(Release { directory, revision })
    }
}

fn revision(path: &Path) -> Option<String> {
    // Opened by us, it must not show what the application's user may not read; and opening a FIFO waits for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    if !file.metadata().is_ok_and(|found| found.is_file()) {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(LONGEST_REVISION).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line: String = text.lines().next()?.chars().filter(|c| !c.is_control()).collect();
    let line = line.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::mkfifo;

    #[test]
    fn follows_the_link_to_the_present_release() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().canonicalize().expect("its path");
        for name in ["1", "2"] {
            let release = root.join("releases").join(name);
            fs::create_dir_all(&release).expect("a release");
            fs::write(release.join("REVISION"), format!("rev-{name}\nsecond line\n")).expect("written");
        }
        let current = root.join("current");
        symlink("releases/1", &current).expect("linked");
        let first = Release::of(&current).expect("it is there");
        assert_eq!(first.directory, root.join("releases/1"));
        assert_eq!(first.revision.as_deref(), Some("rev-1"));
        fs::remove_file(&current).expect("removed");
        symlink("releases/2", &current).expect("linked");
        let second = Release::of(&current).expect("it is there");
        assert_eq!(second.directory, root.join("releases/2"));
        assert_eq!(second.revision.as_deref(), Some("rev-2"));
    }

    #[test]
    fn has_no_revision_where_none_is_written() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(Release::of(dir.path()).expect("it is there").revision, None);
        fs::write(dir.path().join("REVISION"), "\nlater\n").expect("written");
        assert_eq!(Release::of(dir.path()).expect("it is there").revision, None);
        fs::remove_file(dir.path().join("REVISION")).expect("removed");
        fs::create_dir(dir.path().join("REVISION")).expect("made");
        assert_eq!(Release::of(dir.path()).expect("it is there").revision, None);
    }

    #[test]
    fn follows_no_link_to_what_is_none_of_its_business() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("shadow"), "secret\n").expect("written");
        let path = dir.path().join("REVISION");
        symlink("shadow", &path).expect("linked");
        assert_eq!(Release::of(dir.path()).expect("it is there").revision, None);
        fs::remove_file(&path).expect("removed");
        mkfifo(&path);
        assert_eq!(Release::of(dir.path()).expect("it is there").revision, None);
    }

    #[test]
    fn takes_the_beginning_of_an_endless_revision_and_nothing_that_moves_the_cursor() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("REVISION"), format!("\u{1b}{}", "a".repeat(100_000))).expect("written");
        let revision = Release::of(dir.path()).expect("it is there").revision.expect("a revision");
        assert_eq!(revision, "a".repeat(LONGEST_REVISION as usize - 1));
    }

    #[test]
    fn a_missing_directory_and_a_file_hold_none() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(Release::of(&dir.path().join("none")), None);
        let file = dir.path().join("file");
        fs::write(&file, "").expect("written");
        assert_eq!(Release::of(&file), None);
    }

    #[test]
    fn finds_the_release_that_a_process_runs_in() {
        let own = Release::of(Path::new("/proc/self/cwd")).expect("we run somewhere");
        assert_eq!(
            own.directory,
            std::env::current_dir().expect("our directory").canonicalize().expect("its path")
        );
    }
}
