//! A test's own directory.

use std::path::{Path, PathBuf};

/// A temporary directory, removed when it goes. Short, because a Unix socket's path has 107 bytes at most.
pub(crate) struct Dir(tempfile::TempDir);

impl Dir {
    /// A new, empty directory.
    pub(crate) fn new() -> Dir {
        let dir = tempfile::Builder::new().prefix("vt-").tempdir().expect("a temporary directory");
        Dir(dir)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A path in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Where the application's socket is in tests that have one.
    pub(crate) fn socket(&self) -> PathBuf {
        self.join("web_server.sock")
    }
}
