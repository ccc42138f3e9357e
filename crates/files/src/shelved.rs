//! A file that was found, ready to be sent: its heads are written, and what is small is in memory.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::OnceCell;
use vestibule_config::Coding;

use crate::answer::Asked;
use crate::open_file::OpenFile;
use crate::stamp::Stamp;

/// Up to this many bytes a file is kept in memory, and sent from there. Measured with files that are asked for again and again: see
/// ARCHITECTURE.md.
pub const IN_MEMORY: u64 = 256 << 10;
/// What one that is kept costs beside its bytes, roughly.
const OVERHEAD: usize = 1024;

/// A file, its precompressed siblings, and what was made of it in other codings.
#[derive(Debug)]
pub(crate) struct Shelved {
    /// The name below the root that it was found by.
    pub(crate) name: Vec<u8>,
    /// The file itself, then those of its siblings that are there, the preferred first.
    pub(crate) variants: Vec<Variant>,
    /// The codings that it can be had in: those of its siblings, then those that can be made, in the order of [`Self::made`].
    offered: Vec<Coding>,
    /// What the file is in a coding that no sibling has, once somebody wanted it so; `None` where that is no shorter.
    made: Vec<OnceCell<Option<Variant>>>,
    manner: Manner,
    /// Whether a later change of any of its files would show.
    is_settled: bool,
}

/// Which representation a client gets.
#[derive(Debug)]
pub(crate) enum Choice<'a> {
    Variant(&'a Variant),
    /// One that is to be made first: this of [`Shelved::made`].
    ToMake(usize),
}

/// One representation of a file.
#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) coding: Option<Coding>,
    pub(crate) stamp: Stamp,
    /// Bytes of this representation.
    pub(crate) length: u64,
    pub(crate) modified: SystemTime,
    /// The entity tag, with its quotes.
    pub(crate) tag: Bytes,
    pub(crate) content_type: Bytes,
    /// The lines of an answer with the whole of it.
    pub(crate) lines: Bytes,
    /// The same but for `Content-Type`.
    pub(crate) rest: Bytes,
    /// Those of a 304.
    pub(crate) unchanged: Bytes,
    pub(crate) content: Content,
}

/// Where its bytes are.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Memory(Bytes),
    Disk(Arc<OpenFile>),
}

/// What all representations of a file say of themselves.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    pub(crate) content_type: String,
    pub(crate) cache_control: Option<String>,
    pub(crate) varies: bool,
}

impl Variant {
    /// One that is opened so, and whose content is this. `plain_tag` is the tag of the file itself, where this is a sibling.
    pub(crate) fn new(
        (coding, stamp, content): (Option<Coding>, Stamp, Content),
        manner: &Manner,
        plain_tag: Option<&[u8]>,
    ) -> Self {
        let mut tag = stamp.tag();
        // Two representations have two tags (RFC 9110 8.8.3.3), even if both have the same length.
        if let (Some(coding), true) = (coding, plain_tag == Some(tag.as_bytes())) {
            tag = marked(&tag, coding);
        }
        Variant::with_tag((coding, stamp, content), stamp.size, manner, tag)
    }

    /// One that was made of the file in this state. Its tag is weak: another release may code it otherwise, so parts of it do not go together
    /// (RFC 9110 8.8.1), and none are offered.
    pub(crate) fn made((coding, stamp, bytes): (Coding, Stamp, Bytes), manner: &Manner) -> Self {
        let tag = format!("W/{}", marked(&stamp.tag(), coding));
        let length = bytes.len() as u64;
        Variant::with_tag((Some(coding), stamp, Content::Memory(bytes)), length, manner, tag)
    }

    fn with_tag(
        (coding, stamp, content): (Option<Coding>, Stamp, Content),
        length: u64,
        manner: &Manner,
        tag: String,
    ) -> Self {
        let mut unchanged = format!("ETag: {tag}\r\n");
        if let Some(value) = &manner.cache_control {
            unchanged.push_str(&format!("Cache-Control: {value}\r\n"));
        }
        if manner.varies {
            unchanged.push_str("Vary: Accept-Encoding\r\n");
        }
        let mut rest = format!("Last-Modified: {}\r\n{unchanged}", stamp.modified_text());
        if !tag.starts_with("W/") {
            rest.push_str("Accept-Ranges: bytes\r\n");
        }
        if let Some(coding) = coding {
            rest.push_str(&format!("Content-Encoding: {}\r\n", coding.as_str()));
        }
        let kind = format!("Content-Type: {}\r\n", manner.content_type);
        let lines = Bytes::from(format!("{kind}{rest}"));
        Variant {
            coding,
            stamp,
            length,
            modified: stamp.modified(),
            tag: tag.into(),
            content_type: Bytes::copy_from_slice(manner.content_type.as_bytes()),
            rest: lines.slice(kind.len()..),
            lines,
            unchanged: unchanged.into(),
            content,
        }
    }
}

/// The tag of a file in a coding.
fn marked(tag: &str, coding: Coding) -> String {
    format!("{}-{}\"", tag.strip_suffix('"').unwrap_or(tag), coding.as_str())
}

impl Shelved {
    /// One of this name, of these files, that can be made in these codings too.
    pub(crate) fn new(name: Vec<u8>, variants: Vec<Variant>, to_make: Vec<Coding>, manner: Manner) -> Self {
        let made = to_make.iter().map(|_| OnceCell::new()).collect();
        let mut offered: Vec<_> = variants.iter().filter_map(|variant| variant.coding).collect();
        offered.extend(to_make);
        let now = SystemTime::now();
        let is_settled = variants.iter().all(|variant| variant.stamp.is_settled(now));
        Shelved { name, variants, offered, made, manner, is_settled }
    }

    /// The file itself.
    pub(crate) fn plain(&self) -> Option<&Variant> {
        self.variants.first()
    }

    /// The representation for this request. `None` only if there is no file.
    pub(crate) fn choose(&self, asked: &Asked<'_>) -> Option<Choice<'_>> {
        let plain = self.plain().map(Choice::Variant);
        let (Some(accepted), false) = (asked.accept_encoding, self.offered.is_empty()) else { return plain };
        // Parts are of what is on the disk.
        let may_make = asked.range.is_none() && !asked.no_transform;
        let siblings = self.offered.len() - self.made.len();
        let offered = if may_make { self.offered.as_slice() } else { self.offered.get(..siblings)? };
        let chosen = vestibule_coding::choose(accepted, offered);
        let Some(place) = chosen.and_then(|chosen| offered.iter().position(|&coding| coding == chosen))
        else {
            return plain;
        };
        match place.checked_sub(siblings) {
            None => self.variants.iter().find(|variant| variant.coding == chosen).map(Choice::Variant),
            Some(place) => match self.made.get(place)?.get() {
                None => Some(Choice::ToMake(place)),
                Some(made) => made.as_ref().map(Choice::Variant).or(plain),
            },
        }
    }

    /// The coding of this of [`Self::made`], and where it is to be.
    pub(crate) fn to_make(&self, place: usize) -> Option<(Coding, &OnceCell<Option<Variant>>)> {
        let coding = self.offered.get(self.offered.len() - self.made.len() + place)?;
        Some((*coding, self.made.get(place)?))
    }

    /// The file in `coding`, if that is shorter. It takes its time, and may wait for the disk.
    pub(crate) fn make(&self, coding: Coding) -> Option<Variant> {
        let plain = self.plain()?;
        let coded = match &plain.content {
            Content::Memory(bytes) => vestibule_coding::whole(coding, bytes),
            // What changes meanwhile is looked up anew soon.
            Content::Disk(file) => vestibule_coding::whole(coding, &file.read_whole(true).ok()??),
        }?;
        Some(Variant::made((coding, plain.stamp, coded.into()), &self.manner))
    }

    /// Bytes of memory that it takes.
    pub(crate) fn weight(&self) -> usize {
        let bytes = |variant: &Variant| match &variant.content {
            Content::Memory(bytes) => bytes.len() + OVERHEAD,
            Content::Disk(_) => OVERHEAD,
        };
        let made = self.made.iter().filter_map(|made| made.get()?.as_ref());
        self.name.len() + self.variants.iter().chain(made).map(bytes).sum::<usize>()
    }

    /// The files that it holds open.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Arc<OpenFile>> {
        self.variants.iter().filter_map(|variant| match &variant.content {
            Content::Disk(file) => Some(file),
            Content::Memory(_) => None,
        })
    }

    /// Whether these are the files that it is made of, unchanged.
    pub(crate) fn is_made_of(&self, name: &[u8], stamps: &[(Option<Coding>, Stamp)]) -> bool {
        self.is_settled
            && self.name == name
            && self.variants.len() == stamps.len()
            && self
                .variants
                .iter()
                .zip(stamps)
                .all(|(variant, &(coding, stamp))| variant.coding == coding && variant.stamp == stamp)
    }
}
