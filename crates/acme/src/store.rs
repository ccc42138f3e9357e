//! Where account and certificates are kept: one directory for each authority, readable by nobody else.
//!
//! A file is whole or not there: it is written beside, brought to the disk and renamed. All of this blocks.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use hyper::Uri;
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use vestibule_config::{Acme, KeyKind};

use crate::Error;

/// No file of ours is larger: a record of the busiest week has less.
const LARGEST: u64 = 4 << 20;
/// No store has more certificates, as far as we look.
const MOST_FILES: usize = 500;
/// What is being written has such a name.
const UNFINISHED: &str = ".new-";

/// The directory of one authority in the operator's store.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    root: PathBuf,
    place: PathBuf,
}

/// What a file is known again by: inode, and when it was written.
pub(crate) type Stamp = (u64, i64, i64);

/// Nobody else has it as long as it lives: another Vestibule with the same store, or a task of our own.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Store {
    /// The part of the store that belongs to the authority of `settings`. Touches nothing yet.
    pub(crate) fn new(settings: &Acme) -> Self {
        let host = settings.directory.parse::<Uri>().ok();
        let host = host.as_ref().and_then(|uri| uri.authority()).map_or("directory", |host| host.as_str());
        let name = format!("{}-{}", as_file_name(host), short_hash(&[&settings.directory]));
        Store { root: settings.store.clone(), place: settings.store.join(name) }
    }

    /// Does `work` with this store on a thread that may wait for the disk.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = self.clone();
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(done) => done,
            // Only a panic or the end of the event loop leads here.
            Err(why) => Err(error(&self.place, io::Error::other(why))),
        }
    }

    /// Makes the directories, and sees whether they can be written.
    pub(crate) fn prepare(&self) -> Result<(), Error> {
        if let Some(parent) = self.root.parent() {
            fs::create_dir_all(parent).map_err(|why| error(&self.root, why))?;
        }
        for directory in [&self.root, &self.place] {
            match DirBuilder::new().mode(0o700).create(directory) {
                Err(why) if why.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(error(directory, why));
                }
                _ => {}
            }
            let found = fs::metadata(directory).map_err(|why| error(directory, why))?;
            if !found.is_dir() {
                return Err(error(directory, io::ErrorKind::NotADirectory.into()));
            }
            // Who can write here could give us his key.
            if found.mode() & 0o022 != 0 {
                return Err(Error::Open { path: directory.clone() });
            }
        }
        fs::set_permissions(&self.place, fs::Permissions::from_mode(0o700))
            .map_err(|why| error(&self.place, why))?;
        self.sweep();
        // Only writing shows whether it can be written: file system, quota, rights.
        self.write_bytes("writable", b"")?;
        fs::remove_file(self.path("writable")).map_err(|why| error(&self.path("writable"), why))
    }

    /// Removes what writers left that were killed.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.place).into_iter().flatten().flatten() {
            let is_unfinished = entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes());
            let age = entry.metadata().and_then(|data| data.modified()).map(|at| at.elapsed());
            if is_unfinished && matches!(age, Ok(Ok(age)) if age > Duration::from_secs(3600)) {
                // What cannot be removed now is tried again at the next start.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Where `name` lies.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// What is in `name`; `None` when there is no such file.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path(name);
        let read = || -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            // A FIFO in its place must not hold us.
            let file = OpenOptions::new().read(true).custom_flags(nonblocking()).open(&path)?;
            file.take(LARGEST + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) if bytes.len() as u64 > LARGEST => {
                Err(Error::Broken { path, why: "it is too large".to_owned() })
            }
            Ok(bytes) => Ok(Some(bytes)),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(error(&path, why)),
        }
    }

    /// Writes `name`, for our eyes only. Whoever reads it meanwhile, and whatever happens, finds the old or the new.
    pub(crate) fn write_bytes(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path(name);
        let write = || -> io::Result<()> {
            // Such a file is made with 0600.
            let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.place)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            // The name too.
            File::open(&self.place)?.sync_all()
        };
        write().map_err(|why| error(&path, why))
    }

    /// Reads JSON from `name`.
    pub(crate) fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let Some(bytes) = self.read(name)? else { return Ok(None) };
        let value = serde_json::from_slice(&bytes);
        value.map(Some).map_err(|why| Error::Broken { path: self.path(name), why: why.to_string() })
    }

    /// Writes `value` to `name` as JSON.
    pub(crate) fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Error> {
        match serde_json::to_vec_pretty(value) {
            Ok(bytes) => self.write_bytes(name, &bytes),
            Err(why) => Err(error(&self.path(name), io::Error::other(why))),
        }
    }

    /// Moves a broken file aside, so that it can be looked at and is in nobody's way. Gives where it is now.
    pub(crate) fn set_aside(&self, name: &str) -> Result<PathBuf, Error> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let aside = self.path(&format!("{name}.broken-{}", now.as_secs()));
        fs::rename(self.path(name), &aside).map_err(|why| error(&self.path(name), why))?;
        Ok(aside)
    }

    /// What tells whether `name` is still the same file: `None` when there is none.
    pub(crate) fn stamp(&self, name: &str) -> Option<Stamp> {
        let found = fs::metadata(self.path(name)).ok()?;
        Some((found.ino(), found.mtime(), found.mtime_nsec()))
    }

    /// The names of the files that end in `ending`, in order; not more than a few hundred.
    pub(crate) fn files(&self, ending: &str) -> Vec<String> {
        let entries = fs::read_dir(&self.place).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(ending)).take(MOST_FILES).collect();
        names.sort_unstable();
        names
    }

    /// Takes the lock `name`; `None` when somebody else has it.
    pub(crate) fn lock(&self, name: &str) -> Result<Option<Lock>, Error> {
        let path = self.path(name);
        let open = || OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = open().map_err(|why| error(&path, why))?;
        // The file stays: one that is removed would be locked by two who opened it before and after.
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(why) => Err(error(&path, why.into())),
        }
    }
}

fn error(path: &Path, why: io::Error) -> Error {
    Error::Store { path: path.to_owned(), why }
}

fn nonblocking() -> i32 {
    i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0)
}

/// What the certificate of `settings` is called in its store: the same for the same names and kind of key, in whatever order.
pub(crate) fn name_of(settings: &Acme) -> String {
    let mut names: Vec<&str> = settings.domains.iter().map(String::as_str).collect();
    names.sort_unstable();
    let kind = match settings.key {
        KeyKind::Ecdsa => "ecdsa",
        KeyKind::Rsa => "rsa",
    };
    let first = names.first().copied().unwrap_or("certificate");
    format!("{}-{kind}-{}", as_file_name(first), short_hash(&names))
}

fn as_file_name(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    let mut name: String =
        text.bytes().map(|byte| if is_plain(byte) { char::from(byte) } else { '_' }).take(100).collect();
    // Nothing hidden, and neither `.` nor `..`.
    if name.starts_with('.') || name.is_empty() {
        name.insert(0, '_');
    }
    name
}

fn short_hash(parts: &[&str]) -> String {
    let hash = digest(&SHA256, parts.join("\n").as_bytes());
    hash.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
