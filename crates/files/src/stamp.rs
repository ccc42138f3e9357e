//! What tells one state of a file from the next.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;

/// How long ago a change has to be for that of [`Stamp::is_settled`]. Whole seconds are compared.
const SETTLED: Duration = Duration::from_secs(2);

/// One state of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    pub(crate) size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)] // the types are other ones on other machines
    pub(crate) fn of(stat: &Stat) -> Self {
        Stamp {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }

    /// Whether it is the same file, in whatever state.
    pub(crate) fn is_of(&self, other: &Stamp) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// The entity tag, with its quotes, in the form that nginx has: seconds of the last change and size, in hexadecimal.
    ///
    /// So caches that were filled through nginx stay valid, and so do those filled by another machine with the same release: rsync, tar
    /// and git keep or make no fractions of a second, and no inode numbers. The price: a file that is replaced by one of the same size within
    /// the second keeps its tag, as there.
    pub(crate) fn tag(&self) -> String {
        let mut tag = String::with_capacity(28);
        // Writing to a String cannot fail.
        let _ = write!(tag, "\"{:x}-{:x}\"", self.modified.0, self.size);
        tag
    }

    /// The last change of its content, as exactly as the kernel knows it.
    pub(crate) fn modified_exactly(&self) -> (i64, i64) {
        self.modified
    }

    /// Whether the last change of anything about it was so long before `now` that another one would show by its time: that clock, the
    /// kernel's own, which nobody sets for a file, ticks every few milliseconds.
    pub(crate) fn is_settled(&self, now: SystemTime) -> bool {
        let seconds = u64::try_from(self.changed.0).unwrap_or(0);
        let age = now.duration_since(UNIX_EPOCH + Duration::from_secs(seconds));
        age.is_ok_and(|age| age >= SETTLED)
    }

    /// The last change, in whole seconds as `Last-Modified` has it.
    pub(crate) fn modified(&self) -> SystemTime {
        let seconds = Duration::from_secs(u64::try_from(self.modified.0).unwrap_or(0));
        UNIX_EPOCH + seconds
    }

    /// The same in the form of the field (RFC 9110 5.6.7). Years that it has no room for become the last that it has.
    pub(crate) fn modified_text(&self) -> String {
        let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        httpdate::fmt_http_date(self.modified().min(last))
    }
}
