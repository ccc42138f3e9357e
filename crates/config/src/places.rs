//! Where the parts of a configuration are written: for what goes wrong after it was checked.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::error::Error;
use crate::model::{Config, UpstreamId};
use crate::problem::{Place, Problem, Source};
use crate::process::ProcessPlaces;
use crate::tls::{WrittenFile, WrittenTls};

/// The places of the addresses and paths in their file. Empty for a configuration that no file gave.
#[derive(Debug, Clone, Default)]
pub struct Places {
    pub(crate) source: Option<Arc<Source>>,
    /// As [`Config::listeners`]; `None` for one that is there by default.
    pub(crate) listeners: Vec<Option<Range<usize>>>,
    /// As [`Config::listeners`].
    pub(crate) tls: Vec<TlsPlaces>,
    /// As [`Config::upstreams`].
    pub(crate) upstreams: Vec<Option<Range<usize>>>,
    /// As [`Config::upstreams`]; `None` for those that have no maintenance page.
    pub(crate) maintenance: Vec<Option<Range<usize>>>,
    pub(crate) disk_directory: Option<Range<usize>>,
    pub(crate) log_output: Option<Range<usize>>,
    /// As [`Config::processes`].
    pub(crate) processes: Vec<ProcessPlaces>,
    pub(crate) control_socket: Option<Range<usize>>,
}

/// The places in `tls` of one listener.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsPlaces {
    table: Option<Range<usize>>,
    files: Vec<WrittenFile>,
}

impl TlsPlaces {
    pub(crate) fn of(written: Option<WrittenTls>) -> Self {
        written.map_or_else(Self::default, |tls| Self { table: Some(tls.span), files: tls.files })
    }
}

impl Places {
    /// Where the address of the listener at this index is written.
    #[must_use]
    pub fn listener(&self, index: usize) -> Option<Place> {
        self.place(self.listeners.get(index)?.clone()?)
    }

    /// Where `tls` of the listener at this index is written.
    #[must_use]
    pub fn tls(&self, index: usize) -> Option<Place> {
        self.place(self.tls.get(index)?.table.clone()?)
    }

    /// Where a path in `tls` of the listener at this index is written: of a certificate, a key, authorities, revoked certificates
    /// or a store, as the configuration has it. Where `tls` is, for a path that is there by default.
    #[must_use]
    pub fn tls_file(&self, index: usize, path: &Path) -> Option<Place> {
        let written = self.tls.get(index)?.files.iter().find(|file| file.value == path);
        written.and_then(|file| self.place(file.span.clone())).or_else(|| self.tls(index))
    }

    /// Where the address of this upstream is written.
    #[must_use]
    pub fn upstream(&self, id: UpstreamId) -> Option<Place> {
        self.place(self.upstreams.get(id.0)?.clone()?)
    }

    /// Where the path of this upstream's maintenance page is written.
    #[must_use]
    pub fn maintenance(&self, id: UpstreamId) -> Option<Place> {
        self.place(self.maintenance.get(id.0)?.clone()?)
    }

    /// Where the directory of temporary files is written.
    #[must_use]
    pub fn disk_directory(&self) -> Option<Place> {
        self.place(self.disk_directory.clone()?)
    }

    /// Where the file of the access log is written.
    #[must_use]
    pub fn log_output(&self) -> Option<Place> {
        self.place(self.log_output.clone()?)
    }

    /// Where the path of the control socket is written.
    #[must_use]
    pub fn control_socket(&self) -> Option<Place> {
        self.place(self.control_socket.clone()?)
    }

    /// Where a part of the process at this index is written.
    pub(crate) fn process(
        &self,
        index: usize,
        part: impl FnOnce(&ProcessPlaces) -> &Option<Range<usize>>,
    ) -> Option<Place> {
        self.place(part(self.processes.get(index)?).clone()?)
    }

    pub(crate) fn place(&self, span: Range<usize>) -> Option<Place> {
        Some(self.source.as_ref()?.place(span))
    }
}

impl Config {
    /// Something that turned out to be wrong with a listener's address after the configuration was read, such as a port
    /// in use: `message` says what, `instead` what to do about it.
    #[must_use]
    pub fn listener_error(
        &self,
        index: usize,
        message: impl Into<String>,
        instead: impl Into<String>,
    ) -> Error {
        Problem::new(message).instead(instead).at(self.places.listener(index)).into()
    }

    /// Something that turned out to be wrong with a file in `tls` of a listener, such as a key that is not the certificate's.
    #[must_use]
    pub fn tls_file_error(
        &self,
        index: usize,
        path: &Path,
        message: impl Into<String>,
        instead: impl Into<String>,
    ) -> Error {
        Problem::new(message).instead(instead).at(self.places.tls_file(index, path)).into()
    }
}
