//! The files of a configuration, watched: by inotify on their directories, and by a look now and then, where that hears nothing (a
//! network's file system, a link far away).

use std::collections::BTreeSet;
use std::fs;
use std::future::pending;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream as _;
use inotify::{EventStream, Inotify, WatchMask};
use tokio::time::{Instant, sleep, timeout_at};

/// Between two looks, whatever was heard.
const LOOK: Duration = Duration::from_secs(5);
/// Editors, and tools that copy several files, do it in steps: so long has nothing to happen before it counts.
const QUIET: Duration = Duration::from_millis(200);
/// But no longer than this after the first.
const LONGEST: Duration = Duration::from_secs(2);
/// Most files that are looked at in a directory of included ones.
const MOST: usize = 4096;

/// The files that the present configuration was read from.
pub(crate) struct Files {
    files: Vec<PathBuf>,
    /// Where others may come that are included, too.
    directories: Vec<PathBuf>,
    events: Option<EventStream<[u8; 4096]>>,
    seen: Vec<Stamp>,
}

/// What tells one state of a file from the next.
type Stamp = (PathBuf, Option<(u64, u64, u64, i64, i64)>);

impl Files {
    /// Watches these, as they are now, and all TOML files in these directories; nothing, if there are no files.
    pub(crate) fn watch((files, directories): (Vec<PathBuf>, Vec<PathBuf>)) -> Self {
        let events = listen(&files, &directories);
        let seen = look(&files, &directories);
        Files { files, directories, events, seen }
    }

    /// They are about to be read: what they are now is no news.
    pub(crate) fn begin(&mut self) {
        self.seen = look(&self.files, &self.directories);
    }

    /// From now on these. Where they are the same, what happened since [`Files::begin`] counts.
    pub(crate) fn follow(&mut self, (files, directories): (Vec<PathBuf>, Vec<PathBuf>)) {
        if (&self.files, &self.directories) != (&files, &directories) {
            *self = Files::watch((files, directories));
        }
    }

    /// Waits until some of them changed, and for the quiet after that. Never resolves for none.
    pub(crate) async fn changed(&mut self) {
        if self.files.is_empty() {
            return pending().await;
        }
        loop {
            tokio::select! {
                () = heard(&mut self.events) => {}
                () = sleep(LOOK) => {}
            }
            if look(&self.files, &self.directories) == self.seen {
                continue;
            }
            let end = Instant::now() + LONGEST;
            while timeout_at(end.min(Instant::now() + QUIET), heard(&mut self.events)).await.is_ok()
                && Instant::now() < end
            {}
            self.seen = look(&self.files, &self.directories);
            // Directories may have gone and come again.
            self.events = listen(&self.files, &self.directories);
            return;
        }
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

fn listen(files: &[PathBuf], further: &[PathBuf]) -> Option<EventStream<[u8; 4096]>> {
    if files.is_empty() {
        return None;
    }
    let inotify = Inotify::init().ok()?;
    let mask = WatchMask::CREATE
        | WatchMask::DELETE
        | WatchMask::MOVE
        | WatchMask::CLOSE_WRITE
        | WatchMask::ATTRIB
        | WatchMask::DELETE_SELF
        | WatchMask::MOVE_SELF
        | WatchMask::ONLYDIR;
    for directory in directories(files).into_iter().chain(further.iter().cloned()) {
        // The look now and then is behind it.
        let _ = inotify.watches().add(directory, mask);
    }
    inotify.into_event_stream([0; 4096]).ok()
}

async fn heard(events: &mut Option<EventStream<[u8; 4096]>>) {
    let Some(stream) = events else { return pending().await };
    match std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await {
        Some(Ok(_)) => {}
        Some(Err(_)) | None => *events = None,
    }
}

/// The files as they are, and all that may be included besides.
fn look(files: &[PathBuf], further: &[PathBuf]) -> Vec<Stamp> {
    let is_toml = |path: &Path| path.extension().is_some_and(|ending| ending == "toml");
    let mut all: BTreeSet<PathBuf> = files.iter().cloned().collect();
    for directory in further {
        let Ok(entries) = fs::read_dir(directory) else { continue };
        all.extend(entries.flatten().map(|entry| entry.path()).filter(|path| is_toml(path)).take(MOST));
    }
    let stamp = |path: PathBuf| {
        let found = fs::metadata(&path).ok();
        let of =
            |found: fs::Metadata| (found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec());
        (path, found.map(of))
    };
    all.into_iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

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
        let mut files = Files::watch((
            vec![at("vestibule.toml"), at("sites/a.toml"), at("current/b.toml")],
            vec![at("sites")],
        ));
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
    async fn a_burst_is_one_change() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("vestibule.toml");
        fs::write(&file, "").expect("written");
        let mut files = Files::watch((vec![file.clone()], Vec::new()));
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
