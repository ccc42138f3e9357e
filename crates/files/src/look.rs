//! Looking up what a name means: the file itself, a directory's index, a fallback; with its siblings, and its bytes if they are few.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;
use vestibule_coding::fits;
use vestibule_config::{Coding, Files};

use crate::error::Trouble;
use crate::media;
use crate::open::{How, Opened, Root};
use crate::open_file::OpenFile;
use crate::path;
use crate::shelved::{Content, IN_MEMORY, Manner, Shelved, Variant};
use crate::stamp::Stamp;

/// What never changes may be kept for a year (RFC 9111 has no longer), and need not be asked for again (RFC 8246).
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Longer files are not coded: it would take a thread seconds, and memory that others need. A sibling that was made once is for them.
const MOST_CODED: u64 = 8 << 20;
/// Attempts to read a file that is written to meanwhile. After that it is sent as it is found.
const ATTEMPTS: usize = 3;

/// One lookup. It can be made on the spot, and again, if that does not do, by a thread that may wait.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) files: Arc<Files>,
    pub(crate) root: Arc<Root>,
    /// The decoded path below the root.
    pub(crate) name: Vec<u8>,
    /// The decoded path of the request.
    pub(crate) path: Vec<u8>,
    /// What it was when it was last looked at.
    pub(crate) known: Option<Arc<Shelved>>,
}

/// What a name means.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    Nothing,
    /// A directory with an index, asked for without its slash.
    Directory,
    Refused(u16, &'static str),
    File(Arc<Shelved>),
}

/// It would have to wait.
#[derive(Debug)]
pub(crate) struct MustWait;

impl Look {
    /// Looks it up.
    ///
    /// # Errors
    /// [`MustWait`], only where it may not.
    pub(crate) fn run(&self, how: How) -> Result<Seen, MustWait> {
        match self.find(how) {
            Ok(seen) => Ok(seen),
            Err(Trouble::Wait) if !how.may_wait => Err(MustWait),
            Err(Trouble::Nothing | Trouble::Wait) => Ok(Seen::Nothing),
            Err(Trouble::Refused(error)) => {
                let (root, name) = (self.files.root.display(), String::from_utf8_lossy(&self.name));
                tracing::warn!(%root, %name, %error, "a file cannot be opened");
                Ok(match error {
                    Errno::ACCESS | Errno::PERM => Seen::Refused(403, "the file may not be read"),
                    _ => Seen::Refused(500, "the file cannot be opened"),
                })
            }
        }
    }

    fn find(&self, how: How) -> Result<Seen, Trouble> {
        let (name, index) = (&self.name, self.files.index.as_deref());
        let below = |directory: &[u8], file: &str| {
            let slash: &[u8] = if directory.is_empty() || directory.ends_with(b"/") { b"" } else { b"/" };
            [directory, slash, file.as_bytes()].concat()
        };
        if name.is_empty() || name.ends_with(b"/") {
            if let Some(index) = index {
                let file = below(name, index);
                if let Some(Opened::File(opened, stamp)) = self.open(&file, how)? {
                    return self.shelve(file, (opened, stamp), true, how);
                }
            }
        } else {
            match self.open(name, how)? {
                Some(Opened::File(file, stamp)) => {
                    return self.shelve(name.clone(), (file, stamp), true, how);
                }
                Some(Opened::Directory) => {
                    if let Some(index) = index
                        && let Some(Opened::File(..)) = self.open(&below(name, index), how)?
                    {
                        return Ok(Seen::Directory);
                    }
                }
                None => {}
            }
        }
        for fallback in &self.files.fallback {
            if let Some(file) = path::fallback(fallback, name)
                && let Some(Opened::File(opened, stamp)) = self.open(&file, how)?
            {
                return self.shelve(file, (opened, stamp), false, how);
            }
        }
        Ok(Seen::Nothing)
    }

    fn open(&self, name: &[u8], how: How) -> Result<Option<Opened>, Trouble> {
        match self.root.open_below(name, &self.files.links, how) {
            Ok(opened) => Ok(Some(opened)),
            Err(Trouble::Nothing) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Makes a file ready. `is_itself`: it is what was asked for, and no fallback.
    fn shelve(
        &self,
        name: Vec<u8>,
        plain: (File, Stamp),
        is_itself: bool,
        how: How,
    ) -> Result<Seen, Trouble> {
        let mut opened: Vec<(Option<Coding>, File, Stamp)> = vec![(None, plain.0, plain.1)];
        for &coding in &self.files.precompressed {
            let sibling = [&name, ending(coding).as_bytes()].concat();
            match self.open(&sibling, how) {
                Ok(Some(Opened::File(file, stamp))) => opened.push((Some(coding), file, stamp)),
                Ok(_) => {}
                Err(Trouble::Wait) => return Err(Trouble::Wait),
                // The file itself can be sent all the same.
                Err(trouble) => {
                    let (root, name) = (self.files.root.display(), String::from_utf8_lossy(&sibling));
                    tracing::warn!(%root, %name, ?trouble, "what is coded already cannot be opened: left out");
                }
            }
        }
        let stamps: Vec<_> = opened.iter().map(|&(coding, _, stamp)| (coding, stamp)).collect();
        if let Some(known) = self.known.as_ref().filter(|known| known.is_made_of(&name, &stamps)) {
            return Ok(Seen::File(Arc::clone(known)));
        }
        let content_type = media::content_type(&name, &self.files.types);
        let is_immutable = is_itself && self.files.is_immutable(&self.path);
        let cache_control = if is_immutable { Some(IMMUTABLE) } else { self.files.cache_control.as_deref() };
        let compress = &self.files.compress;
        let may_make = (compress.least.max(1)..=MOST_CODED)
            .contains(&stamps.first().map_or(0, |plain| plain.1.size))
            && fits(compress, content_type.as_bytes())
            && !cache_control.is_some_and(|value| value.to_ascii_lowercase().contains("no-transform"));
        let mut to_make = if may_make { compress.codings.clone() } else { Vec::new() };
        to_make.retain(|&coding| opened.iter().all(|&(sibling, ..)| sibling != Some(coding)));
        let manner = Manner {
            content_type,
            cache_control: cache_control.map(str::to_owned),
            varies: opened.len() > 1 || !to_make.is_empty(),
        };
        let mut variants: Vec<Variant> = Vec::with_capacity(opened.len());
        for (coding, file, stamp) in opened {
            let (content, stamp) = content(file, stamp, how)?;
            let plain_tag = variants.first().map(|plain| plain.tag.clone());
            variants.push(Variant::new((coding, stamp, content), &manner, plain_tag.as_deref()));
        }
        Ok(Seen::File(Arc::new(Shelved::new(name, variants, to_make, manner))))
    }
}

/// What stands behind the name of a precompressed sibling.
fn ending(coding: Coding) -> &'static str {
    match coding {
        Coding::Brotli => ".br",
        Coding::Zstd => ".zst",
        Coding::Gzip => ".gz",
    }
}

/// The bytes of a file if they are few, in one state; else the file.
fn content(file: File, mut stamp: Stamp, how: How) -> Result<(Content, Stamp), Trouble> {
    let mut open = OpenFile::new(file, stamp);
    for _ in 0..ATTEMPTS {
        if stamp.size > IN_MEMORY {
            break;
        }
        match open.read_whole(how.may_wait) {
            Ok(Some(bytes)) => return Ok((Content::Memory(Bytes::from(bytes)), stamp)),
            Ok(None) => return Err(Trouble::Wait),
            Err(Errno::STALE) => {
                open = open.again().map_err(Trouble::Refused)?;
                stamp = open.stamp();
            }
            Err(error) => return Err(Trouble::Refused(error)),
        }
    }
    Ok((Content::Disk(Arc::new(open)), stamp))
}
