//! `[error_pages]`: the operator's own pages, noted where they are written, read from their files later.

use std::fs::{self, File};
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeValue;

use crate::document::{Found, Reader, Section, Written};
use crate::model::{ErrorPage, PageKind};
use crate::problem::Problem;
use crate::value;

/// The statuses that we answer with ourselves.
pub(crate) const STATUSES: &[u16] =
    &[400, 401, 403, 404, 405, 408, 413, 414, 417, 429, 431, 501, 502, 503, 504, 505, 507];

/// Most bytes of a page: all of them stay in memory.
const MOST: u64 = 1 << 20;

const EXAMPLE: &str = "/srv/app/public/503.html";

/// A page whose file has not been looked at.
#[derive(Debug)]
pub(crate) struct WrittenPage {
    status: u16,
    kind: PageKind,
    path: PathBuf,
    /// Where its path is written.
    pub(crate) span: Range<usize>,
}

/// All pages in the order of the file. Its keys are numbers that may be any, so a wrong one is told in its own words.
pub(crate) fn read_all(reader: &Reader, section: &Section<'_>) -> Vec<WrittenPage> {
    let mut pages: Vec<WrittenPage> = Vec::new();
    for (key, written) in section.entries() {
        let Some(status) = STATUSES.iter().copied().find(|status| status.to_string() == key.value) else {
            reader.report(key.span.clone(), not_ours(&key));
            continue;
        };
        let paths: Vec<Written<'_>> = match written.get_ref() {
            DeValue::Array(array) if array.is_empty() => {
                let problem = Problem::new(format!("there is no page for {status} in the list"));
                let instead = format!("leave {status} out to have the page that is built in");
                reader.report(written.span(), problem.instead(instead));
                continue;
            }
            DeValue::Array(array) => array.iter().collect(),
            _ => vec![written],
        };
        for written in paths {
            let page = page(written.get_ref()).and_then(|(path, kind)| {
                let same = |page: &&WrittenPage| page.status == status && page.kind == kind;
                match pages.iter().find(same) {
                    Some(page) => Err(second(page)),
                    None => Ok(WrittenPage { status, kind, path, span: written.span() }),
                }
            });
            match page {
                Ok(page) => pages.push(page),
                Err(problem) => reader.report(written.span(), problem),
            }
        }
    }
    pages
}

/// A key that is no status of ours.
fn not_ours(key: &Found<String>) -> Problem {
    let is_status = key.value.len() == 3 && key.value.bytes().all(|byte| byte.is_ascii_digit());
    if is_status {
        return Problem::new(format!("Vestibule never answers {} by itself", key.value)).instead(format!(
            "leave it out: the application's own answers stay as they are; known here: {}",
            statuses()
        ));
    }
    Problem::new(format!("`{}` is not a status", key.value)).instead(format!("write one of {}", statuses()))
}

/// The statuses in words.
pub(crate) fn statuses() -> String {
    STATUSES.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A second page of a kind.
fn second(first: &WrittenPage) -> Problem {
    let kind = match first.kind {
        PageKind::Html => "HTML",
        PageKind::Json => "JSON",
        PageKind::Text => "plain text",
    };
    Problem::new(format!("{} has a page in {kind} already: {}", first.status, first.path.display()))
        .instead("leave one of them out: a status has at most one page of each kind")
}

fn page(value: &DeValue<'_>) -> Result<(PathBuf, PageKind), Problem> {
    let path = value::path(value, EXAMPLE)?;
    match PageKind::of(&path) {
        Some(kind) => Ok((path, kind)),
        None => Err(Problem::new(format!("the ending of {} does not say what it is", path.display()))
            .instead("give it one of .html, .json or .txt")),
    }
}

impl PageKind {
    /// The type of the page at `path`, which its ending tells: `.html`, `.htm`, `.json` or `.txt`, in any case.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_ascii_lowercase();
        match ending.to_str()? {
            "html" | "htm" => Some(Self::Html),
            "json" => Some(Self::Json),
            "txt" => Some(Self::Text),
            _ => None,
        }
    }
}

impl WrittenPage {
    /// Reads the page from its file.
    pub(crate) fn load(&self) -> Result<ErrorPage, Problem> {
        let body = Arc::from(contents(&self.path)?);
        Ok(ErrorPage { status: self.status, path: self.path.clone(), kind: self.kind, body })
    }
}

fn contents(path: &Path) -> Result<Vec<u8>, Problem> {
    let shown = path.display();
    let unreadable = |error| {
        Problem::new(format!("{shown} cannot be read: {error}"))
            .instead("write the path of a file that the user that Vestibule runs as can read")
    };
    // Before it is opened: opening a named pipe would wait for somebody to write to it.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(Problem::new(format!("{shown} is not a file")).instead("write the path of a page"));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > MOST {
        return Err(Problem::new(format!("{shown} is larger than a page may be"))
            .instead("make it at most 1 MiB: pages are kept in memory"));
    }
    if let Err(error) = str::from_utf8(&bytes) {
        return Err(Problem::new(format!("{shown} is not UTF-8 text (byte {})", error.valid_up_to() + 1))
            .instead("save the page as UTF-8"));
    }
    Ok(bytes)
}
