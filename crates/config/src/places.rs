//! Where the parts of a configuration are written: for what goes wrong after it was checked.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use crate::error::Error;
use crate::model::{Config, RouteId, UpstreamId};
use crate::problem::{Place, Problem};
use crate::process::ProcessPlaces;
use crate::source::Source;
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
    pub(crate) tables: TablePlaces,
    /// Whether there is a key in any file.
    pub(crate) has_keys: bool,
}

/// The places of the tables that have no other.
#[derive(Debug, Clone, Default)]
pub(crate) struct TablePlaces {
    /// Of each `[[route]]`, in order.
    routes: Vec<RoutePlaces>,
    /// Names of upstreams, in the order of the files.
    upstreams: Vec<Range<usize>>,
}

#[derive(Debug, Clone)]
struct RoutePlaces {
    table: Range<usize>,
    /// What each of its keys says, by the key's name; of `files` its `root`.
    keys: Vec<(String, Range<usize>)>,
}

impl TablePlaces {
    pub(crate) fn of(document: &DeTable<'_>) -> Self {
        let routes = document.get("route").and_then(|routes| routes.get_ref().as_array());
        let routes = routes.into_iter().flat_map(|routes| routes.iter());
        let upstreams = document.get("upstream").and_then(|upstreams| upstreams.get_ref().as_table());
        let mut upstreams: Vec<_> = upstreams.into_iter().flatten().map(|(name, _)| name.span()).collect();
        upstreams.sort_by_key(|span| span.start);
        Self {
            routes: routes.map(|route| RoutePlaces::of(route.get_ref(), route.span())).collect(),
            upstreams,
        }
    }
}

impl RoutePlaces {
    fn of(route: &DeValue<'_>, table: Range<usize>) -> Self {
        let keys = route.as_table().into_iter().flatten().map(|(key, value)| {
            let root = value.get_ref().as_table().and_then(|table| table.get("root"));
            (key.get_ref().to_string(), root.unwrap_or(value).span())
        });
        Self { keys: keys.collect(), table }
    }
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

    /// Where a route is written.
    #[must_use]
    pub fn route(&self, id: RouteId) -> Option<Place> {
        self.place(self.tables.routes.get(id.0)?.table.clone())
    }

    /// Where a route says this; of `files` where their root is. Where the route itself is, if it says nothing of it.
    #[must_use]
    pub fn route_key(&self, id: RouteId, key: &str) -> Option<Place> {
        let found = self.tables.routes.get(id.0)?.keys.iter().find(|(name, _)| name == key);
        found.and_then(|(_, span)| self.place(span.clone())).or_else(|| self.route(id))
    }

    /// Where the name of this upstream is written.
    #[must_use]
    pub fn upstream_name(&self, id: UpstreamId) -> Option<Place> {
        self.place(self.tables.upstreams.get(id.0)?.clone())
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

    /// Puts a problem where it belongs.
    pub(crate) fn locate(&self, problem: Problem, span: Range<usize>) -> Problem {
        match &self.source {
            Some(source) => source.locate(problem, span),
            None => problem,
        }
    }

    /// The problem without what variables of the environment gave: their names stand in its place.
    pub(crate) fn hidden(&self, problem: Problem) -> Problem {
        let at = problem.place.as_ref().map(|place| place.offset..place.offset);
        match &self.source {
            Some(source) => source.secrets.hidden(problem, at),
            None => problem,
        }
    }
}

impl Config {
    /// The files that it was read from: the one that was named, and then those that are included. Empty where no file gave it.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.places.source.as_ref().map_or_else(Vec::new, |source| source.paths())
    }

    /// Whether it is written without a single key, so that it is the defaults: as a file is that somebody has just begun to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.places.has_keys
    }

    /// Something about what is written at `place`, if it is written anywhere, without what variables gave.
    #[must_use]
    pub fn problem(
        &self,
        place: Option<Place>,
        message: impl Into<String>,
        instead: impl Into<String>,
    ) -> Problem {
        self.places.hidden(Problem::new(message).instead(instead).at(place))
    }

    /// Whether both were read from the same text, with the same variables filled in.
    #[must_use]
    pub fn is_same_text(&self, other: &Config) -> bool {
        match (&self.places.source, &other.places.source) {
            (Some(one), Some(other)) => one.is_same(other),
            (None, None) => true,
            _ => false,
        }
    }

    /// Text about this configuration without what variables of the environment gave: their names stand in its place.
    #[must_use]
    pub fn without_secrets(&self, text: &str) -> String {
        self.places.source.as_ref().map_or_else(|| text.to_owned(), |source| source.secrets.hide(text))
    }

    /// Something that turned out to be wrong with a listener's address after the configuration was read, such as a port
    /// in use: `message` says what, `instead` what to do about it.
    #[must_use]
    pub fn listener_error(
        &self,
        index: usize,
        message: impl Into<String>,
        instead: impl Into<String>,
    ) -> Error {
        self.places.hidden(Problem::new(message).instead(instead).at(self.places.listener(index))).into()
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
        self.places
            .hidden(Problem::new(message).instead(instead).at(self.places.tls_file(index, path)))
            .into()
    }
}
