//! Bodies on disk: files without a name, written and read by threads that may wait, within one budget for all.

use std::fs::File;
use std::future::Future as _;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use rustix::io::{ReadWriteFlags, preadv2};
use tokio::task::JoinHandle;

/// Bytes moved between memory and disk at once.
pub const PIECE: usize = 64 * 1024;

/// Where bodies go that memory does not take: one for the process.
#[derive(Debug)]
pub struct Store {
    /// Asked for only where a file is made, by a thread that may wait.
    directory: Mutex<PathBuf>,
    most: AtomicU64,
    used: AtomicU64,
}

/// Why a body cannot be kept on disk.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// All bodies together have as much as they may.
    #[error("the disk space set aside for bodies (disk.most) is used up")]
    Budget,
    /// The kernel refused: most likely the disk is full.
    #[error("a body cannot be kept on disk")]
    Io(#[source] io::Error),
}

/// How moving a piece went: its buffer comes back either way.
pub type Moved = Result<Vec<u8>, (SpoolError, Vec<u8>)>;

impl Store {
    /// The store that `settings` describes. Nothing is created before the first body needs it.
    pub fn new(settings: &vestibule_config::Disk) -> Arc<Self> {
        Arc::new(Store {
            directory: Mutex::new(settings.directory.clone()),
            most: AtomicU64::new(settings.most),
            used: AtomicU64::new(0),
        })
    }

    /// From now on as `settings` say. Bodies that are on disk stay where they are, and count.
    pub fn follow(&self, settings: &vestibule_config::Disk) {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&settings.directory);
        self.most.store(settings.most, Ordering::Relaxed);
    }

    /// A copy: nobody is to wait for a lock that somebody keeps while a disk hangs.
    fn directory(&self) -> PathBuf {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    /// Bytes on disk, of all bodies together.
    #[cfg(test)]
    fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether so many bytes would find room now.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.used.load(Ordering::Relaxed).saturating_add(bytes) <= self.most()
    }

    fn reserve(&self, bytes: u64) -> Result<(), SpoolError> {
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|total| *total <= self.most())
        });
        taken.map(drop).map_err(|_| SpoolError::Budget)
    }
}

/// One body on disk, or a part of one. One piece of work is under way at a time; the thread of the event loop never
/// waits for the disk.
#[derive(Debug)]
pub struct Spool {
    store: Arc<Store>,
    file: Option<Arc<File>>,
    len: u64,
    /// What is taken of the store's budget: as much as the file ever had.
    reserved: u64,
    work: Option<Work>,
}

/// A piece of work under way.
#[derive(Debug)]
enum Work {
    /// A thread that may wait does it.
    Elsewhere(JoinHandle<Done>),
    /// It could be done at once. Empty once that was given.
    Here(Option<Done>),
}

/// What a piece of work comes back with: its buffer, the file, and how it went.
#[derive(Debug)]
struct Done {
    bytes: Vec<u8>,
    file: Option<Arc<File>>,
    /// Bytes that were to be written; 0 for a reading.
    written: u64,
    outcome: io::Result<()>,
}

impl Spool {
    /// An empty one. The file comes with the first byte.
    pub fn new(store: &Arc<Store>) -> Self {
        Spool { store: Arc::clone(store), file: None, len: 0, reserved: 0, work: None }
    }

    /// Bytes in it, with those on their way.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a piece of work is under way: then [`poll`](Self::poll) it to its end before the next.
    pub fn is_busy(&self) -> bool {
        self.work.is_some()
    }

    /// Wants nothing more of a reading under way: another attempt begins anew.
    pub(crate) fn abandon_reading(&mut self) {
        self.work = None;
    }

    /// Forgets what is in it: the room in the file is used again.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Whether so many bytes more would find room now.
    pub fn has_room(&self, bytes: u64) -> bool {
        let end = self.len.saturating_add(bytes);
        end <= self.reserved || self.store.has_room(end - self.reserved)
    }

    /// Begins to write `bytes` behind what is there. [`poll`](Self::poll) gives the buffer back: emptied, or, when the
    /// writing failed, as it was.
    ///
    /// # Errors
    /// [`SpoolError::Budget`], with the bytes, when there is no room for them.
    pub fn append(&mut self, bytes: Vec<u8>) -> Result<(), (SpoolError, Vec<u8>)> {
        let (at, end) = (self.len, self.len + bytes.len() as u64);
        if end > self.reserved {
            if let Err(error) = self.store.reserve(end - self.reserved) {
                return Err((error, bytes));
            }
            self.reserved = end;
        }
        let (file, store) = (self.file.clone(), Arc::clone(&self.store));
        self.len = end;
        let work = tokio::task::spawn_blocking(move || write(bytes, file, &store, at));
        self.work = Some(Work::Elsewhere(work));
        Ok(())
    }

    /// Begins to read at most [`PIECE`] bytes at `offset` into `buffer`, in place of what it holds.
    pub fn read(&mut self, offset: u64, mut buffer: Vec<u8>) {
        let file = self.file.clone();
        let size = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(PIECE).min(PIECE);
        // One that an answer came in may be four times as large, and a slow client would hold it to the end.
        if buffer.capacity() > PIECE {
            buffer = Vec::new();
        }
        buffer.resize(size, 0);
        let had = file.as_ref().map_or(0, |file| read_from_memory(file, &mut buffer, offset));
        if had == size {
            self.work = Some(Work::Here(Some(Done { bytes: buffer, file, written: 0, outcome: Ok(()) })));
            return;
        }
        self.work = Some(Work::Elsewhere(tokio::task::spawn_blocking(move || {
            let rest = buffer.get_mut(had..).unwrap_or_default();
            let outcome = match &file {
                Some(file) => file.read_exact_at(rest, offset + had as u64),
                None => Err(io::ErrorKind::NotFound.into()),
            };
            Done { bytes: buffer, file, written: 0, outcome }
        })));
    }

    /// Ready when the work under way is done: with the buffer that was written from, or the one that was read into.
    ///
    /// # Errors
    /// [`SpoolError::Io`], with the buffer.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Moved> {
        let Some(work) = self.work.as_mut() else { return Poll::Ready(Ok(Vec::new())) };
        let done = match work {
            Work::Elsewhere(task) => ready!(Pin::new(task).poll(cx)).map_err(io::Error::other),
            Work::Here(done) => done.take().ok_or_else(|| io::ErrorKind::NotFound.into()),
        };
        self.work = None;
        Poll::Ready(match done {
            Ok(Done { mut bytes, file, written, outcome }) => {
                self.file = file;
                match outcome {
                    Ok(()) => {
                        if written > 0 {
                            bytes.clear();
                        }
                        Ok(bytes)
                    }
                    Err(error) => {
                        self.len -= written;
                        Err((SpoolError::Io(error), bytes))
                    }
                }
            }
            // The event loop is ending.
            Err(error) => Err((SpoolError::Io(error), Vec::new())),
        })
    }

    /// Writes `bytes` behind what is there and waits until that is done; gives the buffer back, emptied.
    ///
    /// # Errors
    /// [`SpoolError`], with the bytes.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Moved {
        self.append(bytes)?;
        std::future::poll_fn(|cx| self.poll(cx)).await
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.store.used.fetch_sub(self.reserved, Ordering::Relaxed);
    }
}

/// Reads what of it the kernel still has in memory, without waiting for the disk; gives how much that is. Most of what is
/// read was written a moment ago, and a thread that may wait costs more than the copy.
fn read_from_memory(file: &File, buffer: &mut [u8], offset: u64) -> usize {
    // An error is one for the thread that may wait, if it meets it too: not every file system can do this.
    preadv2(file, &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT).unwrap_or(0)
}

/// Runs on a thread that may wait.
fn write(bytes: Vec<u8>, file: Option<Arc<File>>, store: &Store, at: u64) -> Done {
    let written = bytes.len() as u64;
    let opened = file.map_or_else(|| tempfile::tempfile_in(store.directory()).map(Arc::new), Ok);
    match opened {
        Ok(file) => {
            let outcome = file.write_all_at(&bytes, at);
            Done { bytes, file: Some(file), written, outcome }
        }
        Err(error) => Done { bytes, file: None, written, outcome: Err(error) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(most: u64) -> (tempfile::TempDir, Arc<Store>) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(&vestibule_config::Disk { directory: directory.path().to_owned(), most });
        (directory, store)
    }

    async fn read(spool: &mut Spool, offset: u64) -> Vec<u8> {
        spool.read(offset, Vec::new());
        std::future::poll_fn(|cx| spool.poll(cx)).await.unwrap()
    }

    #[tokio::test]
    async fn follows_other_settings_and_counts_what_is_there() {
        let (first, store) = store(100);
        let mut spool = Spool::new(&store);
        spool.write(vec![1; 60]).await.unwrap();
        let second = tempfile::tempdir().unwrap();
        let settings = |most| vestibule_config::Disk { directory: second.path().to_owned(), most };
        store.follow(&settings(70));
        assert!(!store.has_room(20) && store.has_room(10));
        drop(first);
        store.follow(&settings(200));
        let mut other = Spool::new(&store);
        other.write(vec![2; 80]).await.unwrap();
        assert_eq!(store.used(), 140);
        drop((spool, other));
        assert_eq!(store.used(), 0);
    }

    #[tokio::test]
    async fn gives_back_what_was_written_and_leaves_no_name() {
        let (directory, store) = store(1 << 20);
        let mut spool = Spool::new(&store);
        spool.write(vec![1; 70_000]).await.unwrap();
        assert!(spool.write(vec![2; 10]).await.unwrap().is_empty());
        assert_eq!(spool.len(), 70_010);
        assert_eq!(read(&mut spool, 0).await, vec![1; PIECE]);
        let end = read(&mut spool, 69_999).await;
        assert_eq!(end, [vec![1], vec![2; 10]].concat());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn reads_from_the_disk_what_the_kernel_has_no_longer_in_memory() {
        let (_directory, store) = store(1 << 20);
        let mut spool = Spool::new(&store);
        let bytes: Vec<u8> = (0..2 * PIECE).map(|n| (n / 1000) as u8).collect();
        for piece in bytes.chunks(PIECE) {
            spool.write(piece.to_vec()).await.unwrap();
        }
        let file = spool.file.clone().unwrap();
        file.sync_all().unwrap();
        // The kernel lets go of what was written at once only as a whole.
        rustix::fs::fadvise(&*file, PIECE as u64, None, rustix::fs::Advice::DontNeed).unwrap();
        let (start, end) = (PIECE / 2, PIECE / 2 + PIECE);
        assert_eq!(read(&mut spool, start as u64).await, bytes[start..end]);
        assert_eq!(read(&mut spool, PIECE as u64).await, bytes[PIECE..]);
    }

    #[tokio::test]
    async fn reads_into_no_more_memory_than_a_piece() {
        let (_directory, store) = store(1 << 20);
        let mut spool = Spool::new(&store);
        spool.write(vec![3; 2 * PIECE]).await.unwrap();
        spool.read(0, Vec::with_capacity(4 * PIECE));
        let piece = std::future::poll_fn(|cx| spool.poll(cx)).await.unwrap();
        assert_eq!(piece, vec![3; PIECE]);
        assert!(piece.capacity() <= PIECE, "{} bytes", piece.capacity());
    }

    #[tokio::test]
    async fn keeps_to_the_budget_of_all_and_returns_it() {
        let (_directory, store) = store(100);
        let (mut one, mut other) = (Spool::new(&store), Spool::new(&store));
        one.write(vec![0; 60]).await.unwrap();
        assert!(other.has_room(40) && !other.has_room(41) && store.has_room(40) && !store.has_room(41));
        let (error, bytes) = other.write(vec![7; 41]).await.unwrap_err();
        assert!(matches!(error, SpoolError::Budget));
        assert_eq!(bytes, [7; 41]);
        one.clear();
        assert!(one.has_room(100) && !one.has_room(101), "its own room and what is left");
        one.write(vec![0; 50]).await.unwrap();
        assert_eq!(store.used(), 60, "room that was used once is used again");
        drop(one);
        assert_eq!(store.used(), 0);
        other.write(vec![7; 100]).await.unwrap();
    }

    #[tokio::test]
    async fn gives_the_bytes_back_when_the_disk_refuses() {
        let settings = vestibule_config::Disk { directory: "/proc/nowhere".into(), most: 100 };
        let mut spool = Spool::new(&Store::new(&settings));
        let (error, bytes) = spool.write(vec![7; 10]).await.unwrap_err();
        assert!(matches!(error, SpoolError::Io(_)));
        assert_eq!(bytes, [7; 10]);
        assert!(spool.is_empty());
    }
}
