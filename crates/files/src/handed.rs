//! Files that an application has us send in its place: `X-Sendfile` and `X-Accel-Redirect`.

use std::os::unix::ffi::OsStrExt as _;
use std::time::Instant;

use vestibule_config::Sendfile;

use crate::answer::{Answer, Asked, Instead};
use crate::path;
use crate::shelf::Shelf;

/// What of the application's answer goes out with the file.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// Its status. Only with 200 the request's conditions and ranges count.
    pub status: u16,
    /// `Content-Type`, where it said one.
    pub content_type: Option<&'a [u8]>,
    /// Its other fields, whole lines, but for those that the file has itself.
    pub lines: &'a [u8],
}

/// Why nothing is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotHanded {
    /// The name lies in none of the directories that the route's `sendfile` names.
    #[error("it is in no directory that `sendfile` of the route names")]
    NoMapping,
    /// It lies in one, and cannot be sent.
    #[error("{0}")]
    Missing(&'static str),
}

impl Shelf {
    /// The file of an `X-Sendfile` with this path, which is not encoded.
    ///
    /// Beside the name that `sendfile` has for a directory, an application may use the directory's own, with links or without: Rails
    /// knows its root by the latter.
    ///
    /// # Errors
    /// [`NotHanded`].
    pub async fn by_path(
        &self,
        places: &[Sendfile],
        path: &[u8],
        (asked, kept): (&Asked<'_>, Kept<'_>),
        now: Instant,
    ) -> Result<Answer, NotHanded> {
        let mut best: Option<(&Sendfile, &[u8])> = None;
        for place in places {
            for from in [place.from.as_bytes(), place.root.as_os_str().as_bytes()] {
                best = longer(best, place, below(from, path));
            }
        }
        if best.is_none() {
            for place in places {
                if let Some(real) = self.real_root(place, now).await {
                    best = longer(best, place, below(&real, path));
                }
            }
        }
        let (place, name) = best.ok_or(NotHanded::NoMapping)?;
        self.handed(place, name, asked, (kept.into(), now)).await.map_err(NotHanded::Missing)
    }

    /// The file of an `X-Accel-Redirect` with this address, which is percent-encoded and may have a query that means nothing here, as nginx has
    /// it.
    ///
    /// # Errors
    /// [`NotHanded`].
    pub async fn by_address(
        &self,
        places: &[Sendfile],
        address: &[u8],
        (asked, kept): (&Asked<'_>, Kept<'_>),
        now: Instant,
    ) -> Result<Answer, NotHanded> {
        let end = memchr::memchr2(b'?', b'#', address).unwrap_or(address.len());
        let decoded = path::decoded(address.get(..end).unwrap_or_default()).ok_or(NotHanded::NoMapping)?;
        let mut best: Option<(&Sendfile, &[u8])> = None;
        for place in places {
            best = longer(best, place, below(place.from.as_bytes(), &decoded));
        }
        let (place, name) = best.ok_or(NotHanded::NoMapping)?;
        self.handed(place, name, asked, (kept.into(), now)).await.map_err(NotHanded::Missing)
    }
}

/// What of `path` is below `directory`, whose last slash may be missing.
fn below<'p>(directory: &[u8], path: &'p [u8]) -> Option<&'p [u8]> {
    path.strip_prefix(directory.strip_suffix(b"/").unwrap_or(directory))?.strip_prefix(b"/")
}

/// The one of both that leaves less of the name: the more precise.
fn longer<'a, 'p>(
    best: Option<(&'a Sendfile, &'p [u8])>,
    place: &'a Sendfile,
    name: Option<&'p [u8]>,
) -> Option<(&'a Sendfile, &'p [u8])> {
    match (best, name) {
        (Some((_, shorter)), Some(name)) if shorter.len() <= name.len() => best,
        (_, Some(name)) => Some((place, name)),
        (best, None) => best,
    }
}

impl<'a> From<Kept<'a>> for Instead<'a> {
    fn from(kept: Kept<'a>) -> Self {
        Instead { status: kept.status, content_type: kept.content_type, lines: kept.lines }
    }
}
