//! A file that is too long for memory, held open.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::fstat;
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::error::Error;
use crate::stamp::Stamp;

/// How much of a file is looked for in the kernel's memory at once.
pub const WINDOW: u64 = 1 << 20;
/// How far the places lie apart that are looked at: the kernel reads ahead, and lets go, in pieces of this size and more.
const STEP: u64 = 128 << 10;

/// An open file, as it was when it was opened.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    stamp: Stamp,
}

impl OpenFile {
    pub(crate) fn new(file: File, stamp: Stamp) -> Self {
        OpenFile { file, stamp }
    }

    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Whether it is what it was when it was opened. A file that was removed, or replaced by another of its name, is.
    pub(crate) fn is_unchanged(&self) -> bool {
        fstat(&self.file).is_ok_and(|stat| {
            let now = Stamp::of(&stat);
            // Removing it, or giving it another name, changes the time of its change too.
            now == self.stamp
                || (now.size == self.stamp.size && now.modified_exactly() == self.stamp.modified_exactly())
        })
    }

    /// To be called when all that was promised of it has been sent but the last piece: what was written to in place must not
    /// be ended as if it were whole. One that is longer by now has what was promised, as a log does; that it was written anew and longer does not
    /// show. Who deploys by renaming has none of this.
    ///
    /// # Errors
    /// [`Error::Shorter`], [`Error::Changed`].
    pub fn check(&self) -> Result<(), Error> {
        let now = Stamp::of(&fstat(&self.file).map_err(|error| Error::Read(error.into()))?);
        if now.size < self.stamp.size {
            Err(Error::Shorter)
        } else if now.size == self.stamp.size && now.modified_exactly() != self.stamp.modified_exactly() {
            Err(Error::Changed)
        } else {
            Ok(())
        }
    }

    /// Reads what the kernel has in memory of it from `offset` on, without waiting for the disk; gives how much that is, 0 when
    /// there is nothing.
    #[must_use]
    pub fn read_now(&self, bytes: &mut [u8], offset: u64) -> usize {
        // An error is one for the thread that may wait, if it meets it too: not every file system can do this.
        preadv2(&self.file, &mut [IoSliceMut::new(bytes)], offset, ReadWriteFlags::NOWAIT).unwrap_or(0)
    }

    /// Fills `bytes` with what stands at `offset`. It may wait for the disk.
    ///
    /// # Errors
    /// [`Error::Shorter`] when there is less by now, or [`Error::Read`].
    pub fn read(&self, bytes: &mut [u8], offset: u64) -> Result<(), Error> {
        self.file.read_exact_at(bytes, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::Shorter,
            _ => Error::Read(error),
        })
    }

    /// How much of `range`, from its beginning and up to [`WINDOW`], the kernel seems to have in memory: a few bytes are
    /// read, without waiting. What lies between them may yet have to be waited for, which then is one read of the disk.
    #[must_use]
    pub fn in_memory(&self, range: &Range<u64>) -> u64 {
        let end = range.end.min(range.start.saturating_add(WINDOW));
        let mut at = range.start;
        while at < end {
            if self.read_now(&mut [0], at) == 0 {
                return at - range.start;
            }
            at += STEP - at % STEP;
        }
        if end == range.end && end > range.start && self.read_now(&mut [0], end - 1) == 0 {
            return ((end - 1) / STEP * STEP).saturating_sub(range.start);
        }
        end - range.start
    }

    /// Has the kernel read `range` into its memory, up to [`WINDOW`]; gives how much that was. It may wait for the disk.
    ///
    /// # Errors
    /// [`Error::Shorter`], [`Error::Read`].
    pub fn read_in(&self, range: &Range<u64>) -> Result<u64, Error> {
        let end = range.end.min(range.start.saturating_add(WINDOW));
        let mut waste = vec![0; 64 << 10];
        let mut at = range.start;
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(waste.len());
            match self.file.read_at(waste.get_mut(..most).unwrap_or_default(), at) {
                Ok(0) => return Err(Error::Shorter),
                Ok(count) => at += count as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Read(error)),
            }
        }
        Ok(end - range.start)
    }

    /// The same file, as it is now.
    pub(crate) fn again(self) -> Result<Self, Errno> {
        let stamp = Stamp::of(&fstat(&self.file)?);
        Ok(OpenFile { file: self.file, stamp })
    }

    /// Reads all of it, if it stayed the same meanwhile. `None`: not without waiting, which it does only if it may.
    pub(crate) fn read_whole(&self, may_wait: bool) -> Result<Option<Vec<u8>>, Errno> {
        let size = usize::try_from(self.stamp.size).map_err(|_| Errno::FBIG)?;
        let mut bytes = vec![0; size];
        let had = self.read_now(&mut bytes, 0);
        if had < size {
            if !may_wait {
                return Ok(None);
            }
            let rest = bytes.get_mut(had..).unwrap_or_default();
            self.file.read_exact_at(rest, had as u64).map_err(|error| {
                // One that is shorter by now has changed.
                error.raw_os_error().map_or(Errno::STALE, Errno::from_raw_os_error)
            })?;
        }
        if Stamp::of(&fstat(&self.file)?) == self.stamp { Ok(Some(bytes)) } else { Err(Errno::STALE) }
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn opened(content: &[u8]) -> (tempfile::NamedTempFile, OpenFile) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let again = file.reopen().unwrap();
        let stamp = Stamp::of(&fstat(&again).unwrap());
        (file, OpenFile::new(again, stamp))
    }

    #[test]
    fn one_that_was_removed_or_replaced_is_what_it_was() {
        let (file, open) = opened(b"abc");
        let path = file.into_temp_path();
        assert!(open.is_unchanged());
        std::fs::remove_file(&path).unwrap();
        assert!(open.is_unchanged() && open.check().is_ok());
        let mut bytes = [0; 3];
        open.read(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"abc");
    }

    #[test]
    fn sees_that_it_became_shorter() {
        let (file, open) = opened(&[7; 5000]);
        file.as_file().set_len(10).unwrap();
        assert!(!open.is_unchanged());
        assert!(matches!(open.check(), Err(Error::Shorter)));
        assert!(matches!(open.read(&mut [0; 20], 0), Err(Error::Shorter)));
        assert!(matches!(open.read_in(&(0..5000)), Err(Error::Shorter)));
        assert!(open.read_whole(true).is_err());
    }

    #[test]
    fn sees_that_it_was_written_to_in_place_and_lets_it_grow() {
        let (mut file, open) = opened(&[7; 5000]);
        std::thread::sleep(std::time::Duration::from_millis(20));
        file.write_all(b"more").unwrap();
        assert!(open.check().is_ok(), "what was promised is there");
        file.as_file().set_len(5000).unwrap();
        assert!(matches!(open.check(), Err(Error::Changed)));
    }

    #[test]
    fn knows_what_the_kernel_has_in_memory() {
        let (file, open) = opened(&vec![7; 3 << 20]);
        assert_eq!(open.in_memory(&(0..3 << 20)), WINDOW);
        assert_eq!(open.in_memory(&(10..20)), 10);
        assert_eq!(open.in_memory(&(5..5)), 0);
        file.as_file().sync_all().unwrap();
        rustix::fs::fadvise(file.as_file(), 0, None, rustix::fs::Advice::DontNeed).unwrap();
        let had = open.in_memory(&(0..3 << 20));
        assert!(had < WINDOW, "{had}");
        assert_eq!(open.read_in(&(had..3 << 20)).unwrap(), WINDOW);
        assert!(open.in_memory(&(had..3 << 20)) > 0);
    }
}
