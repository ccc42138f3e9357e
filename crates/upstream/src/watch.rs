//! Hearing at once when something changes at a path, by inotify on its directory.

use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use futures_core::Stream as _;
use inotify::{EventMask, EventStream, Inotify, WatchMask};

/// A watch on one name in one directory. Where there is nothing to watch it stays silent; the monitor's timer is
/// behind it.
pub(crate) struct Watch {
    directory: PathBuf,
    name: OsString,
    /// Whether a file that was written to is news.
    hears_content: bool,
    events: Option<EventStream<[u8; 4096]>>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("directory", &self.directory).field("name", &self.name).finish()
    }
}

impl Watch {
    /// Watches for `path` to appear, vanish or be replaced.
    pub(crate) fn new(path: &Path) -> Self {
        Watch::with(path, false)
    }

    /// Watches for `path` to appear, vanish, be replaced or be written.
    pub(crate) fn of_content(path: &Path) -> Self {
        Watch::with(path, true)
    }

    fn with(path: &Path, hears_content: bool) -> Self {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let name = path.file_name().unwrap_or_default().to_owned();
        let mut watch = Watch { directory, name, hears_content, events: None };
        watch.ensure();
        watch
    }

    /// Begins to watch if that was not possible before: the directory may have come since.
    pub(crate) fn ensure(&mut self) {
        if self.events.is_none() {
            self.events = self.start().ok();
        }
    }

    fn start(&self) -> io::Result<EventStream<[u8; 4096]>> {
        let inotify = Inotify::init()?;
        let mask = WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MOVE
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let content = if self.hears_content { WatchMask::CLOSE_WRITE } else { WatchMask::empty() };
        inotify.watches().add(&self.directory, mask | content)?;
        inotify.into_event_stream([0; 4096])
    }

    /// Resolves when the name was touched.
    pub(crate) async fn changed(&mut self) {
        loop {
            let Some(events) = self.events.as_mut() else { return pending().await };
            let event = std::future::poll_fn(|cx| Pin::new(&mut *events).poll_next(cx)).await;
            let lost =
                EventMask::IGNORED | EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::Q_OVERFLOW;
            match event {
                Some(Ok(event)) if event.mask.intersects(lost) => self.events = None,
                Some(Ok(event)) if event.name.as_ref() == Some(&self.name) => {}
                Some(Ok(_)) => continue,
                // The directory itself went: the timer tries again.
                Some(Err(_)) | None => self.events = None,
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn hears_its_name_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.sock");
        let mut watch = Watch::new(&path);
        std::fs::write(dir.path().join("other"), "").unwrap();
        let quiet = tokio::time::timeout(Duration::from_millis(50), watch.changed()).await;
        assert!(quiet.is_err());
        std::fs::write(&path, "").unwrap();
        tokio::time::timeout(Duration::from_secs(5), watch.changed()).await.unwrap();
    }

    #[tokio::test]
    async fn hears_of_content_if_asked_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page");
        std::fs::write(&path, "").unwrap();
        let (mut deaf, mut hearing) = (Watch::new(&path), Watch::of_content(&path));
        std::fs::write(&path, "more").unwrap();
        tokio::time::timeout(Duration::from_secs(5), hearing.changed()).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(50), deaf.changed()).await.is_err());
    }

    #[tokio::test]
    async fn survives_a_directory_that_comes_late() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("late/web.sock");
        let mut watch = Watch::new(&path);
        std::fs::create_dir(dir.path().join("late")).unwrap();
        watch.ensure();
        std::fs::write(&path, "").unwrap();
        tokio::time::timeout(Duration::from_secs(5), watch.changed()).await.unwrap();
    }
}
