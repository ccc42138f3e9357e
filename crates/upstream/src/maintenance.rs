//! The maintenance file: while it exists, its upstream is stopped and its content is what visitors see.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vestibule_config::PageKind;

use crate::watch::Watch;

/// The largest page taken: it stands in memory, and goes out as many times as there are visitors.
const MOST: u64 = 1 << 20;

/// The content of a maintenance file.
#[derive(Debug, Clone)]
pub struct MaintenancePage {
    /// Its type, by the file's ending.
    pub kind: PageKind,
    /// Its bytes; never empty.
    pub body: Arc<[u8]>,
}

/// Why a maintenance file gives no page.
#[derive(Debug, thiserror::Error)]
enum BadPage {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("is not a regular file")]
    NotAFile,
    #[error("is larger than 1 MiB")]
    TooLarge,
    #[error("has an ending that tells no type: use .html, .htm, .json or .txt")]
    UnknownType,
}

/// What tells one content of the file from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        Version {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What a look at the file found.
#[derive(Debug)]
pub(crate) enum News {
    /// As before.
    None,
    /// It is there, for the first time or with another content; without a page of its own when it is empty or bad.
    On(Option<MaintenancePage>),
    /// It went.
    Off,
}

/// Looks after one maintenance file. For the monitor.
#[derive(Debug)]
pub(crate) struct Maintenance {
    path: PathBuf,
    pub(crate) watch: Watch,
    seen: Option<Version>,
}

impl Maintenance {
    pub(crate) fn new(path: &Path) -> Self {
        Maintenance { path: path.to_owned(), watch: Watch::of_content(path), seen: None }
    }

    /// Whether the file is there, as far as was seen.
    pub(crate) fn is_on(&self) -> bool {
        self.seen.is_some()
    }

    /// Looks at the file, and reads it if it changed.
    pub(crate) fn look(&mut self) -> News {
        self.watch.ensure();
        // A link that leads nowhere is a file that is not there.
        let version = match std::fs::metadata(&self.path) {
            Ok(metadata) => Version::of(&metadata),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return if self.seen.take().is_some() { News::Off } else { News::None };
            }
            // What cannot be looked at just now stays as it was.
            Err(_) => return News::None,
        };
        if self.seen.replace(version) == Some(version) {
            return News::None;
        }
        News::On(read(&self.path).unwrap_or_else(|error| {
            tracing::warn!(file = %self.path.display(), "the maintenance file {error}; a built-in page is shown");
            None
        }))
    }
}

/// Reads the page. An empty file is a switch without a page, and no fault.
fn read(path: &Path) -> Result<Option<MaintenancePage>, BadPage> {
    // Not blocking: a pipe would keep the control thread waiting.
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(BadPage::NotAFile);
    }
    let mut body = Vec::new();
    file.take(MOST + 1).read_to_end(&mut body)?;
    if body.is_empty() {
        return Ok(None);
    }
    if body.len() as u64 > MOST {
        return Err(BadPage::TooLarge);
    }
    let kind = PageKind::of(path).ok_or(BadPage::UnknownType)?;
    Ok(Some(MaintenancePage { kind, body: body.into() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_a_directory(name: &str) -> (tempfile::TempDir, PathBuf, Maintenance) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        let maintenance = Maintenance::new(&path);
        (dir, path, maintenance)
    }

    fn page(news: News) -> Option<MaintenancePage> {
        let News::On(page) = news else { panic!("{news:?}") };
        page
    }

    #[tokio::test]
    async fn tells_of_a_file_that_comes_changes_and_goes() {
        let (_dir, path, mut maintenance) = in_a_directory("down.html");
        assert!(matches!(maintenance.look(), News::None));
        std::fs::write(&path, "one").unwrap();
        let found = page(maintenance.look()).unwrap();
        assert_eq!((&*found.body, found.kind), (&b"one"[..], PageKind::Html));
        assert!(matches!(maintenance.look(), News::None) && maintenance.is_on());
        std::fs::write(&path, "other").unwrap();
        assert_eq!(&*page(maintenance.look()).unwrap().body, b"other");
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(maintenance.look(), News::Off) && !maintenance.is_on());
        assert!(matches!(maintenance.look(), News::None));
    }

    #[tokio::test]
    async fn an_empty_file_is_a_switch_whatever_its_name() {
        let (_dir, path, mut maintenance) = in_a_directory("stop");
        std::fs::write(&path, "").unwrap();
        assert!(page(maintenance.look()).is_none() && maintenance.is_on());
    }

    #[tokio::test]
    async fn what_cannot_be_a_page_still_stops() {
        let (_dir, path, mut maintenance) = in_a_directory("down.html");
        std::fs::write(&path, vec![b'x'; MOST as usize + 1]).unwrap();
        assert!(page(maintenance.look()).is_none());
        std::fs::write(&path, vec![b'x'; MOST as usize]).unwrap();
        assert_eq!(page(maintenance.look()).unwrap().body.len() as u64, MOST);
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(page(maintenance.look()).is_none());
        std::fs::remove_dir(&path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .unwrap();
        assert!(page(maintenance.look()).is_none(), "a pipe is no page, and nobody waits for it");
    }
}
