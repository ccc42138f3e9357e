//! Where something stands in nginx's configuration.

use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;

/// A file, and its place in the order in which they were read.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    pub(super) number: usize,
    pub(super) path: PathBuf,
}

/// A line of a file. Places are in the order in which nginx reads them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) source: Rc<Source>,
    pub(super) line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source.path.display(), self.line)
    }
}
