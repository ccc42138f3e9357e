//! The files of a configuration, watched: by inotify on their directories, and by a look now and then, where that hears nothing (a
//! network's file system, a link far away).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::future::pending;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep, timeout_at};
use vestibule_config::Origins;

use super::directories::{Directories, Heard};

/// Between two looks, whatever was heard.
const LOOK: Duration = Duration::from_secs(5);
/// Editors, and tools that copy several files, do it in steps: so long has nothing to happen before it counts.
const QUIET: Duration = Duration::from_millis(200);
/// But no longer than this after the first, or than some looks where nothing is heard.
const LONGEST: Duration = Duration::from_secs(2);
const MOST_LOOKS: u32 = 4;
/// A file that somebody has made and not closed is waited for so long.
const LONGEST_WRITING: Duration = Duration::from_secs(30);
/// Files bear the time of the clock's last tick, which may have been so long ago.
const TICK: Duration = Duration::from_millis(50);

/// The files that the present configuration was read from, and those that another that was refused would have been.
pub(crate) struct Files {
    origins: Origins,
    directories: Directories,
    seen: Seen,
    /// When the configuration was read the last time.
    read: SystemTime,
}

/// The files as they were; `None` for one that is not there, or of which nobody knows.
type Seen = BTreeMap<PathBuf, Option<Stamp>>;

/// What tells one state of a file from the next.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    size: u64,
    modified: (i64, i64),
    /// Its contents, its name, or who may read it.
    changed: (i64, i64),
}

impl Files {
    /// Watches these, as they are now; nothing, if there are none.
    pub(crate) fn watch(origins: Origins) -> Self {
        let directories = Directories::default();
        let seen = look(&origins);
        let mut files = Files { origins, directories, seen, read: SystemTime::now() };
        files.listen();
        files
    }

    /// They are about to be read: what they are now is no news.
    pub(crate) fn begin(&mut self) {
        self.seen = look(&self.origins);
        self.read = SystemTime::now();
    }

    /// From now on these. What happened since [`Files::begin`] counts, whether they were among these before or not.
    pub(crate) fn follow(&mut self, origins: Origins) {
        if self.origins == origins {
            return;
        }
        self.origins = origins;
        // How one was that nobody had looked at, is not known if it was touched since, or at the same time.
        let settled = self.read.checked_sub(TICK).unwrap_or(UNIX_EPOCH);
        let mut seen = look(&self.origins);
        for (path, stamp) in &mut seen {
            match self.seen.remove(path) {
                Some(before) => *stamp = before,
                None => *stamp = stamp.take().filter(|stamp| stamp.is_older_than(settled)),
            }
        }
        self.seen = seen;
        self.listen();
    }

    /// Waits until some of them changed, and until that has come to its end. Never resolves for none.
    pub(crate) async fn changed(&mut self) {
        if self.origins.files.is_empty() {
            return pending().await;
        }
        // At once, too: something may have happened while nobody waited.
        let mut pause = QUIET;
        loop {
            let found = look(&self.origins);
            if found != self.seen {
                let found = self.settled(found, pause).await;
                // Directories may have gone and come again.
                self.listen();
                if found != self.seen {
                    self.seen = found;
                    return;
                }
            }
            pause = tokio::select! {
                () = self.heard() => QUIET,
                () = sleep(LOOK) => LOOK,
            };
        }
    }

    /// How they are when they have been the same for this pause, and nobody is writing one of them.
    async fn settled(&mut self, mut found: Seen, pause: Duration) -> Seen {
        let began = Instant::now();
        let longest = LONGEST.max(pause * MOST_LOOKS);
        loop {
            let end = Instant::now() + LONGEST.max(pause);
            while timeout_at(end.min(Instant::now() + pause), self.heard()).await.is_ok()
                && Instant::now() < end
            {}
            let before = std::mem::replace(&mut found, look(&self.origins));
            let is_written = found.keys().any(|path| self.directories.is_unfinished(path));
            let longest = if is_written { longest.max(LONGEST_WRITING) } else { longest };
            if (found == before && !is_written) || began.elapsed() >= longest {
                return found;
            }
        }
    }

    async fn heard(&mut self) {
        // Files may come in it, too.
        if self.directories.heard().await == Heard::Directory {
            self.listen();
        }
    }

    fn listen(&mut self) {
        let mut directories = directories(&self.origins.files);
        directories.extend(self.origins.directories());
        self.directories.watch(directories);
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Stamp {
            place: (found.dev(), found.ino()),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    fn is_older_than(&self, time: SystemTime) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        let nanoseconds = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default());
        UNIX_EPOCH + seconds + nanoseconds < time
    }
}

/// The directories that the files are in, and those that links among them lead to.
fn directories(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let of = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let resolved = files.iter().filter_map(|file| file.canonicalize().ok());
    files.iter().cloned().chain(resolved).map(|file| of(&file)).collect()
}

/// The files as they are, and all that may be included besides.
fn look(origins: &Origins) -> Seen {
    let stamped = |path: PathBuf| {
        let stamp = Stamp::of(&path);
        (path, stamp)
    };
    origins.now().into_iter().map(stamped).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn only(file: &Path) -> Origins {
        Origins { files: vec![file.to_owned()], patterns: Vec::new() }
    }

    fn pattern(dir: &tempfile::TempDir, below: &str) -> String {
        format!("{}/{below}", dir.path().display())
    }

    #[tokio::test]
    async fn hears_what_is_written_renamed_and_linked_anew_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("sites")).expect("made");
        fs::create_dir_all(at("releases/1")).expect("made");
        fs::create_dir_all(at("releases/2")).expect("made");
        for name in ["vestibule.toml", "sites/a.toml", "releases/1/b.toml", "releases/2/b.toml"] {
            fs::write(at(name), "").expect("written");
        }
        std::os::unix::fs::symlink(at("releases/1"), at("current")).expect("linked");
        let mut files = Files::watch(Origins {
            files: vec![at("vestibule.toml"), at("sites/a.toml"), at("current/b.toml")],
            patterns: vec![pattern(&dir, "sites/*.toml")],
        });
        fs::write(at("unrelated.toml"), "").expect("written");
        assert!(timeout(Duration::from_millis(600), files.changed()).await.is_err(), "it is not ours");
        fs::write(at("vestibule.toml"), "workers = 1\n").expect("written");
        timeout(LONG, files.changed()).await.expect("written in place");
        // As an editor does it.
        fs::write(at(".vestibule.toml.swp"), "workers = 2\n").expect("written");
        fs::rename(at(".vestibule.toml.swp"), at("vestibule.toml")).expect("renamed");
        timeout(LONG, files.changed()).await.expect("renamed");
        fs::write(at("sites/c.toml"), "").expect("written");
        timeout(LONG, files.changed()).await.expect("one more that may be included");
        fs::remove_file(at("sites/a.toml")).expect("removed");
        timeout(LONG, files.changed()).await.expect("removed");
        std::os::unix::fs::symlink(at("releases/2"), at("next")).expect("linked");
        fs::rename(at("next"), at("current")).expect("renamed");
        timeout(LONG, files.changed()).await.expect("another release");
        assert!(timeout(Duration::from_millis(600), files.changed()).await.is_err(), "all was said");
    }

    #[tokio::test]
    async fn hears_what_comes_by_any_pattern_in_new_directories_and_who_may_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("sites/a")).expect("made");
        fs::write(at("vestibule.toml"), "").expect("written");
        let files = vec![at("vestibule.toml")];
        let mut files = Files::watch(Origins { files, patterns: vec![pattern(&dir, "sites/*/x.conf")] });
        fs::write(at("sites/a/y.conf"), "").expect("written");
        fs::write(at("sites/x.conf"), "").expect("written");
        assert!(timeout(Duration::from_millis(600), files.changed()).await.is_err(), "it is not ours");
        fs::write(at("sites/a/x.conf"), "").expect("written");
        timeout(LONG, files.changed()).await.expect("one more, below");
        fs::create_dir(at("sites/b")).expect("made");
        assert!(timeout(Duration::from_millis(600), files.changed()).await.is_err(), "nothing is in it");
        fs::write(at("sites/b/x.conf"), "").expect("written");
        timeout(LOOK, files.changed()).await.expect("one in a new directory, by what is heard");
        fs::set_permissions(at("vestibule.toml"), fs::Permissions::from_mode(0o400)).expect("set");
        timeout(LONG, files.changed()).await.expect("who may read it");
    }

    #[tokio::test]
    async fn a_file_that_is_being_written_is_waited_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let main = dir.path().join("vestibule.toml");
        fs::write(&main, "").expect("written");
        let patterns = vec![pattern(&dir, "sites-*.toml")];
        let mut files = Files::watch(Origins { files: vec![main], patterns });
        let mut new = fs::File::create(dir.path().join("sites-a.toml")).expect("made");
        // Longer than any other change is waited for.
        assert!(timeout(LONGEST * 2, files.changed()).await.is_err(), "it is not whole");
        new.write_all(b"workers = 1").expect("written");
        drop(new);
        timeout(LONG, files.changed()).await.expect("it is whole");
        std::os::unix::fs::symlink("sites-a.toml", dir.path().join("sites-b.toml")).expect("linked");
        timeout(LONGEST, files.changed()).await.expect("a link is whole at once");
    }

    #[tokio::test]
    async fn where_nothing_is_heard_a_change_counts_when_it_is_found_twice() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("vestibule.toml");
        fs::write(&file, "").expect("written");
        let mut files = Files::watch(only(&file));
        files.directories = Directories::default();
        assert!(timeout(Duration::from_millis(50), files.changed()).await.is_err());
        let began = Instant::now();
        let write = async {
            sleep(Duration::from_millis(50)).await;
            fs::write(&file, "workers = 1").expect("written");
            pending::<()>().await;
        };
        tokio::select! {
            () = write => {}
            changed = timeout(LONG, files.changed()) => changed.expect("found"),
        }
        assert!(began.elapsed() >= LOOK * 2, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn what_is_written_while_they_are_read_counts_though_others_are_followed_then() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        fs::write(at("vestibule.toml"), "").expect("written");
        fs::write(at("old.toml"), "").expect("written");
        fs::write(at("new.toml"), "").expect("written");
        let both = || Origins { files: vec![at("vestibule.toml"), at("old.toml")], patterns: Vec::new() };
        let all = || Origins {
            files: vec![at("vestibule.toml"), at("old.toml"), at("new.toml")],
            patterns: Vec::new(),
        };
        let mut files = Files::watch(only(&at("vestibule.toml")));
        sleep(TICK * 4).await;
        files.begin();
        files.follow(both());
        assert!(timeout(Duration::from_millis(600), files.changed()).await.is_err(), "it was read as it is");
        files.begin();
        fs::write(at("vestibule.toml"), "workers = 1").expect("written");
        files.follow(all());
        timeout(LOOK, files.changed()).await.expect("one that was known before");
        files.begin();
        files.follow(both());
        files.begin();
        fs::write(at("new.toml"), "workers = 1").expect("written");
        files.follow(all());
        timeout(LOOK, files.changed()).await.expect("one that was not");
        assert!(timeout(Duration::from_millis(600), files.changed()).await.is_err(), "all was said");
    }

    #[tokio::test]
    async fn a_burst_is_one_change() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("vestibule.toml");
        fs::write(&file, "").expect("written");
        let mut files = Files::watch(only(&file));
        let writer = std::thread::spawn(move || {
            for number in 0..20 {
                fs::write(&file, "#".repeat(number)).expect("written");
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        timeout(LONG, files.changed()).await.expect("it is heard");
        writer.join().expect("written");
        // The machine may have stopped the writer for longer than the quiet: then once more, and not twenty times.
        let mut more = 0;
        while timeout(Duration::from_millis(600), files.changed()).await.is_ok() {
            more += 1;
        }
        assert!(more < 10, "{more}");
    }
}
