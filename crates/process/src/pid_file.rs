//! Where an application writes its PID.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};
use rustix::process::geteuid;

use crate::error::Error;
use crate::life::Life;

/// No PID file is longer: a PID, and white space around it.
const LONGEST: u64 = 64;

/// A file with a PID in decimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PidFile {
    path: PathBuf,
}

/// What was found in a PID file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) pid: u32,
    /// The user whose file it is.
    pub(crate) owner: u32,
    /// When it was written, by the clock of that time.
    pub(crate) written: Option<SystemTime>,
}

impl PidFile {
    /// The PID file at `path`, whether it exists or not.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        PidFile { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The PID that it names; `None` when there is no file. That the process exists, and is the application, is not
    /// said by that.
    ///
    /// # Errors
    /// [`Error::ReadPidFile`], and [`Error::NoPid`] when it holds something else.
    pub fn read(&self) -> Result<Option<u32>, Error> {
        Ok(self.look()?.map(|entry| entry.pid))
    }

    /// The PID that it names, and who says so; `None` when there is no file.
    ///
    /// # Errors
    /// As [`PidFile::read`].
    pub(crate) fn look(&self) -> Result<Option<Entry>, Error> {
        let no_pid = || Error::NoPid { path: self.path.clone() };
        let mut text = Vec::new();
        let read = open(&self.path).and_then(|file| {
            let metadata = file.metadata()?;
            if metadata.is_file() {
                file.take(LONGEST + 1).read_to_end(&mut text)?;
            }
            Ok(metadata)
        });
        match read {
            Ok(metadata) if text.len() as u64 <= LONGEST => {
                let pid = self.parse(&text).ok_or_else(no_pid)?;
                Ok(Some(Entry { pid, owner: metadata.uid(), written: metadata.modified().ok() }))
            }
            Ok(_) => Err(no_pid()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::ReadPidFile { path: self.path.clone(), source }),
        }
    }

    fn parse(&self, text: &[u8]) -> Option<u32> {
        let digits = text.trim_ascii();
        // `parse` would take a sign, and a negative PID names a whole group to kill(2).
        let is_number = digits.iter().all(u8::is_ascii_digit);
        let pid: i32 = std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()?;
        u32::try_from(pid).ok().filter(|&pid| pid > 0)
    }

    /// Writes `pid`, so that whoever reads finds the old PID or the new one and never half of it.
    ///
    /// # Errors
    /// [`Error::WritePidFile`].
    pub fn write(&self, pid: u32) -> Result<(), Error> {
        self.write_as(pid, None)
    }

    /// Writes the PID of this process as [`PidFile::write`] does, into a file of the user that it acts as, if we may give it one: it may
    /// have to write or move it itself, when it restarts.
    ///
    /// # Errors
    /// [`Error::WritePidFile`].
    pub(crate) fn write_for(&self, life: &Life) -> Result<(), Error> {
        self.write_as(life.pid, life.owner())
    }

    fn write_as(&self, pid: u32, owner: Option<(u32, u32)>) -> Result<(), Error> {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{pid}"));
        let beside = PathBuf::from(name);
        let written = write_new(&beside, pid, owner).and_then(|()| fs::rename(&beside, &self.path));
        written.map_err(|source| {
            let _ = fs::remove_file(&beside);
            Error::WritePidFile { path: self.path.clone(), source }
        })
    }

    /// Removes it if it still names `pid`: another's PID file stays.
    ///
    /// # Errors
    /// [`Error::RemovePidFile`], and as [`PidFile::read`].
    pub fn remove(&self, pid: u32) -> Result<(), Error> {
        if self.read()? != Some(pid) {
            return Ok(());
        }
        match fs::remove_file(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::RemovePidFile { path: self.path.clone(), source })
            }
            _ => Ok(()),
        }
    }

    /// Removes it whoever it names, and also when it names nobody: an empty one, as a full disk leaves it. What is too long for a
    /// PID file stays.
    ///
    /// # Errors
    /// [`Error::RemovePidFile`].
    pub(crate) fn clear(&self) -> Result<(), Error> {
        match fs::metadata(&self.path) {
            Ok(found) if !found.is_file() || found.len() > LONGEST => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            _ => {}
        }
        match fs::remove_file(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::RemovePidFile { path: self.path.clone(), source })
            }
            _ => Ok(()),
        }
    }
}

/// Never waits, as opening a FIFO does for somebody who writes to it. A link is followed: who moved a PID file elsewhere may have left
/// one where it is looked for.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// Only a new file is written: in a directory like /tmp a link laid there by somebody else would lead elsewhere.
fn write_new(path: &Path, pid: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    if let Some((user, group)) = owner.filter(|&(user, _)| user != geteuid().as_raw()) {
        match fchown(&file, Some(user), Some(group)) {
            // Without that right of root's it stays ours: it still says the right thing.
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
            _ => {}
        }
    }
    writeln!(file, "{pid}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> (tempfile::TempDir, PidFile) {
        let dir = tempfile::tempdir().expect("a directory");
        let file = PidFile::new(dir.path().join("app.pid"));
        fs::write(file.path(), text).expect("written");
        (dir, file)
    }

    #[test]
    fn reads_what_it_wrote() {
        let (dir, file) = with("1");
        file.write(4711).expect("written");
        assert_eq!(file.read().expect("read"), Some(4711));
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1, "something was left beside it");
    }

    #[test]
    fn belongs_to_the_user_of_the_process_where_we_may_give_it_away() {
        let (_dir, file) = with("1");
        let owner = || {
            let found = fs::metadata(file.path()).expect("it is there");
            (found.uid(), found.gid())
        };
        let us = Life::of(std::process::id()).expect("we live");
        file.write_for(&us).expect("written");
        assert_eq!(file.read().expect("read"), Some(us.pid));
        let ours = owner();
        assert_eq!(Some(ours.0), us.owner().map(|(user, _)| user));
        file.write_as(7, Some((65_534, 65_534))).expect("written");
        let wanted = if geteuid().is_root() { (65_534, 65_534) } else { ours };
        assert_eq!((file.read().expect("read"), owner()), (Some(7), wanted));
    }

    #[test]
    fn takes_white_space_around_the_pid() {
        assert_eq!(with("  42\r\n").1.read().expect("read"), Some(42));
    }

    #[test]
    fn refuses_what_is_not_a_pid() {
        let long = format!("1{}", " ".repeat(64));
        for text in ["", "\n", "0", "-1", "+1", "1 2", "0x10", "puma", "2147483648", "99999999999", &long] {
            let refused = with(text).1.read();
            assert!(matches!(refused, Err(Error::NoPid { .. })), "{text:?} was read as {refused:?}");
        }
    }

    #[test]
    fn a_missing_file_names_nobody() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(PidFile::new(dir.path().join("none")).read().expect("read"), None);
    }

    #[test]
    fn a_link_to_a_pid_file_is_one() {
        let (dir, file) = with("42\n");
        let link = PidFile::new(dir.path().join("link"));
        std::os::unix::fs::symlink(file.path(), link.path()).expect("linked");
        assert_eq!(link.read().expect("read"), Some(42));
    }

    #[test]
    fn a_fifo_names_nobody_and_is_not_waited_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = PidFile::new(dir.path().join("app.pid"));
        crate::testing::mkfifo(file.path());
        for file in [file, PidFile::new(dir.path())] {
            let (read, reads) = std::sync::mpsc::channel();
            let opened = file.clone();
            std::thread::spawn(move || read.send(opened.read()));
            let refused = reads.recv_timeout(crate::testing::LONG).expect("it waits for a writer");
            assert!(matches!(refused, Err(Error::NoPid { .. })), "{refused:?}");
            file.clear().expect("left alone");
            assert!(file.path().exists());
        }
    }

    #[test]
    fn removes_its_own_only() {
        let (_dir, file) = with("42\n");
        file.remove(41).expect("left alone");
        assert_eq!(file.read().expect("read"), Some(42));
        file.remove(42).expect("removed");
        assert_eq!(file.read().expect("read"), None);
        file.remove(42).expect("nothing to do");
    }

    #[test]
    fn clears_away_what_may_be_a_pid_file_and_nothing_else() {
        for text in ["42\n", "", "nonsense"] {
            let (_dir, file) = with(text);
            file.clear().expect("removed");
            assert!(!file.path().exists(), "{text:?}");
            file.clear().expect("nothing to do");
        }
        let (dir, file) = with(&"precious ".repeat(10));
        file.clear().expect("left alone");
        assert!(file.path().exists());
        PidFile::new(dir.path()).clear().expect("left alone");
    }

    #[test]
    fn replaces_a_link_instead_of_following_it() {
        let (dir, file) = with("1");
        let precious = dir.path().join("precious");
        fs::write(&precious, "kept").expect("written");
        fs::remove_file(file.path()).expect("removed");
        std::os::unix::fs::symlink(&precious, file.path()).expect("linked");
        file.write(7).expect("written");
        assert_eq!(fs::read_to_string(&precious).expect("read"), "kept");
        assert_eq!(file.read().expect("read"), Some(7));
    }
}
