//! `files = { … }`

use std::path::PathBuf;
use std::time::Duration;

use super::{Coding, Compress};
use crate::glob;

/// `files = { root = "public", index = "index.html", … }`, or `files = "public"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The directory. What a request may see lies in it. Looked up again when it changes: a link to the present release is followed.
    pub root: PathBuf,
    /// What of the path is left out before it is looked up: for a route `/assets/*` with `strip = "/assets"`. Default nothing.
    pub strip: String,
    /// The file of a directory, for paths that end with `/`. Default `index.html`; `None` for none.
    pub index: Option<String>,
    /// What else is tried when there is no such file, in this order; `$path` is the path, as in `"$path.html"`. With one that has no `$path`, every
    /// path has an answer. Default nothing.
    pub fallback: Vec<String>,
    /// Whether `FILE.br`, `FILE.zst`, `FILE.gz` beside a file are sent in its place, the preferred first. Default none.
    pub precompressed: Vec<Coding>,
    /// `Cache-Control` of what is found. Default none.
    pub cache_control: Option<String>,
    /// Paths whose content never changes: they get `Cache-Control: public, max-age=31536000, immutable`. Default none.
    pub immutable: Vec<String>,
    /// Which symbolic links are followed.
    pub links: Links,
    /// Types by file ending, beside those that are known. Default none.
    pub types: Vec<(String, String)>,
    /// How long a file is believed to be what it was before it is looked at again. Default 1 s.
    pub check: Duration,
    /// Which of them are compressed, and how: what the route says, else `[compress]`, else [`Compress::all`].
    pub compress: Compress,
}

impl Files {
    /// Whether the content of this path never changes: it fits one of the patterns, as it would that of a route.
    #[must_use]
    pub fn is_immutable(&self, path: &[u8]) -> bool {
        self.immutable.iter().any(|pattern| glob::fit(pattern.as_bytes(), path).is_some())
    }
}

/// `links = "inside"`, `"none"`, `"any"`, or a list of directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Links {
    /// None.
    None,
    /// Those that lead to something in the root. The default.
    Inside,
    /// Those too that lead into these directories, such as `/srv/app/shared`.
    Into(Vec<PathBuf>),
    /// All.
    Any,
}
