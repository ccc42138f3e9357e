//! What a configuration is read from, for who wants to know when that changes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::include::{self, found};
use crate::model::Config;
use crate::source::Source;

/// Most files, or directories, that are looked for by one pattern.
const MOST: usize = 4096;

/// Files, and patterns by which others may come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    /// The one that was named, and those that it includes, whether they can be read or not.
    pub files: Vec<PathBuf>,
    /// As they are looked for: with the directory of the file that they stand in.
    pub patterns: Vec<String>,
}

impl Origins {
    /// Of the configuration in `file`, as far as its includes can be followed, whatever else is wrong with it. Blocks.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        let source = crate::text_of(file).map(|text| include::source(text, file, &crate::variable));
        let mut origins = source.map_or_else(|_| Self::default(), |source| Self::from(&source));
        origins.add(Origins { files: vec![file.to_owned()], patterns: Vec::new() });
        origins
    }

    /// Adds what is not among them.
    pub fn add(&mut self, other: Origins) {
        let files = other.files.into_iter().filter(|file| !self.files.contains(file)).collect::<Vec<_>>();
        self.files.extend(files);
        let is_new = |pattern: &String| !self.patterns.contains(pattern);
        let patterns = other.patterns.into_iter().filter(is_new).collect::<Vec<_>>();
        self.patterns.extend(patterns);
    }

    /// The files, and all that the patterns name now. Blocks.
    #[must_use]
    pub fn now(&self) -> BTreeSet<PathBuf> {
        let matching = self.patterns.iter().flat_map(|pattern| expanded(pattern));
        self.files.iter().cloned().chain(matching.filter(|path| !path.is_dir())).collect()
    }

    /// The directories in which files have to come to be named by a pattern. Blocks.
    #[must_use]
    pub fn directories(&self) -> BTreeSet<PathBuf> {
        let is_wild = |part: &&str| part.contains(['*', '?', '[']);
        let mut all = BTreeSet::new();
        for pattern in &self.patterns {
            let parts: Vec<&str> = pattern.split('/').collect();
            let first = parts.iter().position(is_wild).unwrap_or(parts.len());
            // Those in which a part with a wildcard may find something: `sites/*/*.toml` looks into each directory of `sites`.
            for end in first.max(1)..parts.len() {
                let directory = parts.get(..end).unwrap_or_default().join("/");
                let directory = if directory.is_empty() { "/" } else { &directory };
                all.extend(expanded(directory).filter(|path| path.is_dir()));
            }
        }
        all
    }
}

impl From<&Source> for Origins {
    fn from(source: &Source) -> Self {
        let mut origins = Origins { files: source.paths(), patterns: source.patterns.clone() };
        origins.add(Origins { files: source.named.clone(), patterns: Vec::new() });
        origins
    }
}

impl Config {
    /// What it was read from. Empty where no file gave it.
    #[must_use]
    pub fn origins(&self) -> Origins {
        self.places.source.as_deref().map_or_else(Origins::default, Origins::from)
    }
}

/// What a pattern names now.
fn expanded(pattern: &str) -> impl Iterator<Item = PathBuf> {
    found(pattern).into_iter().flatten().flatten().take(MOST)
}
