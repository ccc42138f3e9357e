//! Opening what lies below a directory, and nothing else, whatever links and renames do meanwhile.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2, readlinkat};
use rustix::io::Errno;
use vestibule_config::Links;

use crate::error::Trouble;
use crate::stamp::Stamp;

/// How a file may be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct How {
    /// Whether this thread may wait for the disk. If not, [`Trouble::Wait`] says that it would have to.
    pub(crate) may_wait: bool,
    /// Whether openat2(2) is there. False only in tests: where it is not, the kernel says so each time.
    pub(crate) has_openat2: bool,
}

impl How {
    /// From what the kernel has in memory.
    pub(crate) const AT_ONCE: How = How { may_wait: false, has_openat2: true };
    /// Whatever it takes.
    pub(crate) const WAITING: How = How { may_wait: true, has_openat2: true };

    fn openat2(
        self,
        at: BorrowedFd<'_>,
        name: &[u8],
        flags: OFlags,
        mut resolve: ResolveFlags,
    ) -> Result<OwnedFd, Errno> {
        if !self.has_openat2 {
            return Err(Errno::NOSYS);
        }
        if !self.may_wait {
            resolve |= ResolveFlags::CACHED;
        }
        for _ in 0..RENAMES {
            match openat2(at, name, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                // Something above it was renamed while `..` of a link was followed (openat2(2)).
                Err(Errno::AGAIN) if self.may_wait => {}
                // RESOLVE_CACHED is younger (Linux 5.12) than openat2 (5.6).
                Err(Errno::INVAL) if !self.may_wait => return Err(Errno::AGAIN),
                outcome => return outcome,
            }
        }
        Err(Errno::BUSY)
    }
}

/// Attempts to follow a link while directories are being renamed.
const RENAMES: usize = 16;
/// Never waits for the other end of a pipe, never becomes anybody's terminal.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// A directory below which files are found. It stays the same directory when its name comes to mean another.
#[derive(Debug)]
pub(crate) struct Root {
    directory: OwnedFd,
    stamp: Stamp,
}

/// What a name means.
#[derive(Debug)]
pub(crate) enum Opened {
    File(File, Stamp),
    Directory,
}

impl Root {
    /// The directory that `path` means now; links in it are the operator's, and followed.
    pub(crate) fn open(path: &Path, how: How) -> Result<Self, Trouble> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let opened = match how.openat2(CWD, path.as_os_str().as_bytes(), flags, ResolveFlags::empty()) {
            Err(Errno::NOSYS | Errno::PERM) if how.may_wait => {
                openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())
            }
            Err(Errno::NOSYS | Errno::PERM) => return Err(Trouble::Wait),
            outcome => outcome,
        };
        let directory = opened.map_err(Trouble::of)?;
        let stamp = Stamp::of(&fstat(&directory).map_err(Trouble::of)?);
        Ok(Root { directory, stamp })
    }

    /// Whether both are the same directory.
    pub(crate) fn is(&self, other: &Root) -> bool {
        self.stamp.is_of(&other.stamp)
    }

    /// Its path without links, as it is now.
    pub(crate) fn real(&self) -> Result<Vec<u8>, Errno> {
        real(self.directory.as_fd())
    }

    /// Opens `name`, which has neither `..` nor a slash at its beginning, following links as `links` says.
    pub(crate) fn open_below(&self, name: &[u8], links: &Links, how: How) -> Result<Opened, Trouble> {
        let resolve = match links {
            Links::None => ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS,
            Links::Inside | Links::Into(_) => ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
            Links::Any => ResolveFlags::NO_MAGICLINKS,
        };
        let opened = match how.openat2(self.directory.as_fd(), name, READ, resolve) {
            // A link that leads out, or an absolute one, which may yet lead back in.
            Err(Errno::XDEV) if matches!(links, Links::Inside | Links::Into(_)) => {
                if !how.may_wait {
                    return Err(Trouble::Wait);
                }
                return self.open_and_look_where(name, links);
            }
            // A kernel before 5.6, or a container whose filter does not know the call.
            Err(Errno::NOSYS | Errno::PERM) if how.may_wait => return self.open_by_steps(name, links),
            Err(Errno::NOSYS | Errno::PERM) => return Err(Trouble::Wait),
            outcome => outcome.map_err(Trouble::of)?,
        };
        sort(opened)
    }

    /// Opens it wherever links lead, and sees from what was opened whether that may be shown: nothing that is done to names
    /// meanwhile changes what it is.
    fn open_and_look_where(&self, name: &[u8], links: &Links) -> Result<Opened, Trouble> {
        // Without reading rights yet: opening for reading does something to a pipe or a device.
        let seen = openat(&self.directory, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(Trouble::of)?;
        let stat = fstat(&seen).map_err(Trouble::of)?;
        if !matches!(kind(&stat), FileType::RegularFile | FileType::Directory) {
            return Err(Trouble::Nothing);
        }
        let place = real(seen.as_fd()).map_err(Trouble::of)?;
        let is_below = |directory: &[u8]| {
            place.strip_prefix(directory).is_some_and(|rest| rest.first() == Some(&b'/') || directory == b"/")
        };
        let mut may_be_shown = is_below(&self.real().map_err(Trouble::of)?);
        if let Links::Into(directories) = links {
            may_be_shown |= directories.iter().any(|directory| {
                Root::open(directory, How::WAITING)
                    .is_ok_and(|root| root.real().is_ok_and(|real| is_below(&real)))
            });
        }
        if !may_be_shown {
            return Err(Trouble::Nothing);
        }
        let again = openat(CWD, by_descriptor(seen.as_fd()), READ | OFlags::CLOEXEC, Mode::empty());
        sort(again.map_err(Trouble::of)?)
    }

    /// Opens it segment by segment, each in the directory that the one before opened.
    fn open_by_steps(&self, name: &[u8], links: &Links) -> Result<Opened, Trouble> {
        if *links == Links::Any {
            return sort(
                openat(&self.directory, name, READ | OFlags::CLOEXEC, Mode::empty()).map_err(Trouble::of)?,
            );
        }
        let mut at: Option<OwnedFd> = None;
        let mut segments = name.split(|&byte| byte == b'/').filter(|segment| !segment.is_empty()).peekable();
        while let Some(segment) = segments.next() {
            if segment == b".." || segment == b"." {
                return Err(Trouble::Nothing);
            }
            let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let directory = at.as_ref().map_or(self.directory.as_fd(), AsFd::as_fd);
            let step =
                openat(directory, segment, OFlags::PATH | flags, Mode::empty()).map_err(Trouble::of)?;
            if kind(&fstat(&step).map_err(Trouble::of)?) == FileType::Symlink {
                if *links == Links::None {
                    return Err(Trouble::Nothing);
                }
                return self.open_and_look_where(name, links);
            }
            if segments.peek().is_none() {
                // Should it be a link by now, it is not followed.
                return sort(openat(directory, segment, READ | flags, Mode::empty()).map_err(Trouble::of)?);
            }
            at = Some(step);
        }
        Err(Trouble::Nothing)
    }
}

/// What was opened; nothing that is neither a file nor a directory.
fn sort(opened: OwnedFd) -> Result<Opened, Trouble> {
    let stat = fstat(&opened).map_err(Trouble::of)?;
    match kind(&stat) {
        FileType::RegularFile => Ok(Opened::File(File::from(opened), Stamp::of(&stat))),
        FileType::Directory => Ok(Opened::Directory),
        _ => Err(Trouble::Nothing),
    }
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// The path of what was opened, without links, as the kernel knows it (proc(5)).
fn real(opened: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    Ok(readlinkat(CWD, by_descriptor(opened), Vec::new())?.into_bytes())
}

fn by_descriptor(opened: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", opened.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, create_dir_all, write};
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use super::*;

    const STEPS: How = How { may_wait: true, has_openat2: false };

    struct Place {
        _directory: tempfile::TempDir,
        root: Root,
        outside: std::path::PathBuf,
        inside: std::path::PathBuf,
    }

    fn place() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let (inside, outside) = (directory.path().join("public"), directory.path().join("shared"));
        create_dir_all(inside.join("sub")).unwrap();
        create_dir(&outside).unwrap();
        write(inside.join("a"), "inside").unwrap();
        write(inside.join("sub/b"), "below").unwrap();
        write(outside.join("s"), "shared").unwrap();
        write(directory.path().join("secret"), "secret").unwrap();
        let root = Root::open(&inside, How::WAITING).unwrap();
        Place { _directory: directory, root, outside, inside }
    }

    /// What is read by a name in both ways: with openat2, and step by step.
    fn read(place: &Place, name: &str, links: &Links) -> Option<String> {
        let [one, other] =
            [How::WAITING, STEPS].map(|how| match place.root.open_below(name.as_bytes(), links, how) {
                Ok(Opened::File(mut file, _)) => {
                    let mut text = String::new();
                    file.read_to_string(&mut text).unwrap();
                    Some(text)
                }
                Ok(Opened::Directory) => Some("directory".to_owned()),
                Err(Trouble::Nothing) => None,
                Err(trouble) => panic!("{name}: {trouble:?}"),
            });
        assert_eq!(one, other, "{name}");
        one
    }

    #[test]
    fn opens_what_is_below() {
        let place = place();
        for links in [Links::None, Links::Inside, Links::Any] {
            assert_eq!(read(&place, "a", &links).as_deref(), Some("inside"));
            assert_eq!(read(&place, "sub/b", &links).as_deref(), Some("below"));
            assert_eq!(read(&place, "sub", &links).as_deref(), Some("directory"));
            assert_eq!(read(&place, "none", &links), None);
            assert_eq!(read(&place, "a/b", &links), None);
        }
        assert_eq!(read(&place, "../secret", &Links::Inside), None);
        assert_eq!(read(&place, "sub/../../secret", &Links::None), None);
    }

    #[test]
    fn follows_the_links_that_it_is_told_to() {
        let place = place();
        let (inside, outside) = (&place.inside, &place.outside);
        symlink("a", inside.join("relative")).unwrap();
        symlink("../a", inside.join("sub/up")).unwrap();
        symlink(inside.join("a"), inside.join("absolute")).unwrap();
        symlink("../secret", inside.join("out")).unwrap();
        symlink(outside, inside.join("shared")).unwrap();
        symlink("/etc", inside.join("etc")).unwrap();
        symlink("/proc/self/root", inside.join("magic")).unwrap();
        symlink("loop", inside.join("loop")).unwrap();
        symlink("../shared/s", inside.join("around")).unwrap();
        let into = Links::Into(vec![outside.clone()]);
        for (name, none, in_root, into_shared) in [
            ("relative", None, Some("inside"), Some("inside")),
            ("sub/up", None, Some("inside"), Some("inside")),
            ("absolute", None, Some("inside"), Some("inside")),
            ("out", None, None, None),
            ("etc/hostname", None, None, None),
            ("magic/etc/passwd", None, None, None),
            ("loop", None, None, None),
            ("shared/s", None, None, Some("shared")),
            ("around", None, None, Some("shared")),
        ] {
            assert_eq!(read(&place, name, &Links::None).as_deref(), none, "{name}, none");
            assert_eq!(read(&place, name, &Links::Inside).as_deref(), in_root, "{name}, inside");
            assert_eq!(read(&place, name, &into).as_deref(), into_shared, "{name}, into");
        }
        assert_eq!(read(&place, "out", &Links::Any).as_deref(), Some("secret"));
    }

    #[test]
    fn shows_no_pipe_and_does_not_wait_for_one() {
        let place = place();
        rustix::fs::mknodat(CWD, place.inside.join("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .unwrap();
        symlink(place.inside.join("pipe"), place.inside.join("link")).unwrap();
        symlink("/dev/zero", place.inside.join("zero")).unwrap();
        for links in [Links::Inside, Links::Any] {
            assert_eq!(read(&place, "pipe", &links), None);
            assert_eq!(read(&place, "link", &links), None);
            assert_eq!(read(&place, "zero", &links), None);
        }
    }

    #[test]
    fn a_root_stays_what_it_was_when_its_name_means_another() {
        let place = place();
        std::fs::rename(&place.inside, place.outside.join("old")).unwrap();
        create_dir(&place.inside).unwrap();
        write(place.inside.join("a"), "new").unwrap();
        assert_eq!(read(&place, "a", &Links::Inside).as_deref(), Some("inside"));
        let new = Root::open(&place.inside, How::WAITING).unwrap();
        assert!(!new.is(&place.root));
        assert!(new.is(&Root::open(&place.inside, STEPS).unwrap()));
    }

    #[test]
    fn at_once_it_is_what_the_kernel_has_in_memory() {
        let place = place();
        // Just written: its name and what it names are there.
        assert!(matches!(
            place.root.open_below(b"a", &Links::Inside, How::AT_ONCE),
            Ok(Opened::File(..)) | Err(Trouble::Wait)
        ));
        assert!(matches!(
            place.root.open_below(b"nothing-yet", &Links::Inside, How::AT_ONCE),
            Err(Trouble::Wait | Trouble::Nothing)
        ));
        let none = How { may_wait: false, has_openat2: false };
        assert!(matches!(place.root.open_below(b"a", &Links::Inside, none), Err(Trouble::Wait)));
    }
}
