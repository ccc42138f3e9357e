//! Directories, watched by inotify: that something happened in them, and which files in them somebody is still writing.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::future::pending;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use futures_core::Stream as _;
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask};

/// Most files that are known to be unfinished: of others it shows by looking twice.
const MOST: usize = 4096;

/// The directories. Without inotify, or where it hears nothing, nothing is ever heard.
#[derive(Debug, Default)]
pub(crate) struct Directories {
    events: Option<EventStream<[u8; 4096]>>,
    /// By what the events of each are told from others'. One directory may have several names.
    watched: HashMap<WatchDescriptor, Vec<PathBuf>>,
    /// Files that were made and have not been closed since.
    unfinished: BTreeSet<PathBuf>,
}

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Something.
    Something,
    /// A directory came.
    Directory,
}

impl Directories {
    /// From now on these. What was heard of those that were among them before is not lost.
    pub(crate) fn watch(&mut self, directories: BTreeSet<PathBuf>) {
        if directories.is_empty() {
            *self = Self::default();
            return;
        }
        if self.events.is_none() {
            *self = Self::default();
            self.events = Inotify::init().and_then(|inotify| inotify.into_event_stream([0; 4096])).ok();
        }
        let Some(events) = &self.events else { return };
        let mask = WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MOVE
            | WatchMask::CLOSE_WRITE
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let mut watches = events.watches();
        let mut watched: HashMap<WatchDescriptor, Vec<PathBuf>> = HashMap::new();
        for directory in directories {
            // One that is not there yet is found by looking now and then.
            if let Ok(descriptor) = watches.add(&directory, mask) {
                watched.entry(descriptor).or_default().push(directory);
            }
        }
        for (descriptor, _) in std::mem::replace(&mut self.watched, watched) {
            if !self.watched.contains_key(&descriptor) {
                // It may have gone by itself.
                let _ = watches.remove(descriptor);
            }
        }
        let is_watched = |parent: &Path| self.watched.values().flatten().any(|known| known == parent);
        self.unfinished.retain(|path| path.parent().is_some_and(is_watched));
    }

    /// Waits until something happens in one of them.
    pub(crate) async fn heard(&mut self) -> Heard {
        let Some(events) = &mut self.events else { return pending().await };
        match std::future::poll_fn(|cx| Pin::new(&mut *events).poll_next(cx)).await {
            Some(Ok(event)) => self.note(&event),
            Some(Err(_)) | None => {
                *self = Self::default();
                Heard::Something
            }
        }
    }

    /// Whether somebody is still writing this file.
    pub(crate) fn is_unfinished(&self, path: &Path) -> bool {
        !self.unfinished.is_empty()
            && (self.unfinished.contains(path)
                || path.canonicalize().is_ok_and(|real| self.unfinished.contains(&real)))
    }

    fn note(&mut self, event: &EventOwned) -> Heard {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            // Who has finished is not known any more.
            self.unfinished.clear();
        }
        if event.mask.contains(EventMask::ISDIR) {
            let came = event.mask.intersects(EventMask::CREATE | EventMask::MOVED_TO);
            return if came { Heard::Directory } else { Heard::Something };
        }
        let Some(name) = &event.name else { return Heard::Something };
        for directory in self.watched.get(&event.wd).into_iter().flatten() {
            let path = directory.join(name);
            if !event.mask.contains(EventMask::CREATE) {
                if !event.mask.contains(EventMask::ATTRIB) {
                    self.unfinished.remove(&path);
                }
            } else if self.unfinished.len() < MOST && is_being_written(&path) {
                self.unfinished.insert(path);
            }
        }
        Heard::Something
    }
}

/// Whether what has just come will be closed by who writes it: links are whole at once.
fn is_being_written(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.nlink() == 1)
}
