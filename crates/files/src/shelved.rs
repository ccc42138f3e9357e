//! A file that was found, ready to be sent: its heads are written, and what is small is in memory.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use vestibule_config::Coding;

use crate::negotiation;
use crate::open_file::OpenFile;
use crate::stamp::Stamp;

/// Up to this many bytes a file is kept in memory, and sent from there. Measured with files that are asked for again and again: see
/// ARCHITECTURE.md.
pub const IN_MEMORY: u64 = 256 << 10;
/// What one that is kept costs beside its bytes, roughly.
const OVERHEAD: usize = 1024;

/// A file and its precompressed siblings.
#[derive(Debug)]
pub(crate) struct Shelved {
    /// The name below the root that it was found by.
    pub(crate) name: Vec<u8>,
    /// The file itself, then those of its siblings that are there, the preferred first.
    pub(crate) variants: Vec<Variant>,
}

/// One representation of a file.
#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) coding: Option<Coding>,
    pub(crate) stamp: Stamp,
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
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner<'a> {
    pub(crate) content_type: &'a str,
    pub(crate) cache_control: Option<&'a str>,
    pub(crate) varies: bool,
}

impl Variant {
    /// One that is opened so, and whose content is this. `plain_tag` is the tag of the file itself, where this is a sibling.
    pub(crate) fn new(
        (coding, stamp, content): (Option<Coding>, Stamp, Content),
        manner: Manner<'_>,
        plain_tag: Option<&[u8]>,
    ) -> Self {
        let mut tag = stamp.tag();
        // Two representations have two tags (RFC 9110 8.8.3.3), even if both have the same length.
        if let (Some(coding), true) = (coding, plain_tag == Some(tag.as_bytes())) {
            tag.truncate(tag.len() - 1);
            tag.push('-');
            tag.push_str(coding.as_str());
            tag.push('"');
        }
        let mut unchanged = format!("ETag: {tag}\r\n");
        if let Some(value) = manner.cache_control {
            unchanged.push_str(&format!("Cache-Control: {value}\r\n"));
        }
        if manner.varies {
            unchanged.push_str("Vary: Accept-Encoding\r\n");
        }
        let mut rest =
            format!("Last-Modified: {}\r\n{unchanged}Accept-Ranges: bytes\r\n", stamp.modified_text());
        if let Some(coding) = coding {
            rest.push_str(&format!("Content-Encoding: {}\r\n", coding.as_str()));
        }
        let kind = format!("Content-Type: {}\r\n", manner.content_type);
        let lines = Bytes::from(format!("{kind}{rest}"));
        Variant {
            coding,
            stamp,
            modified: stamp.modified(),
            tag: tag.into(),
            content_type: Bytes::copy_from_slice(manner.content_type.as_bytes()),
            rest: lines.slice(kind.len()..),
            lines,
            unchanged: unchanged.into(),
            content,
        }
    }

    pub(crate) fn length(&self) -> u64 {
        self.stamp.size
    }
}

impl Shelved {
    /// The representation for a client that accepts these codings.
    pub(crate) fn variant(&self, accept_encoding: Option<&[u8]>) -> Option<&Variant> {
        let plain = self.variants.first();
        let (Some(accepted), true) = (accept_encoding, self.variants.len() > 1) else { return plain };
        let chosen = negotiation::choose(accepted, self.variants.iter().filter_map(|variant| variant.coding));
        match chosen {
            None => plain,
            Some(_) => self.variants.iter().find(|variant| variant.coding == chosen),
        }
    }

    /// Bytes of memory that it takes.
    pub(crate) fn weight(&self) -> usize {
        let bytes = |variant: &Variant| match &variant.content {
            Content::Memory(bytes) => bytes.len() + OVERHEAD,
            Content::Disk(_) => OVERHEAD,
        };
        self.name.len() + self.variants.iter().map(bytes).sum::<usize>()
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
        self.name == name
            && self.variants.len() == stamps.len()
            && self
                .variants
                .iter()
                .zip(stamps)
                .all(|(variant, &(coding, stamp))| variant.coding == coding && variant.stamp == stamp)
    }
}
