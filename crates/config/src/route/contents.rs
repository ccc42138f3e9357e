//! Files that a route names and whose content is read at the start: noted where they are written, read later.

use std::fs::{self, File};
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::auth;
use crate::model::{Route, RouteId, Step};
use crate::problem::Problem;

/// Most bytes of a file: all of them stay in memory.
const MOST: u64 = 1 << 20;

/// A file that has not been looked at.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) path: PathBuf,
    /// Where its path is written.
    pub(super) span: Range<usize>,
    pub(super) goes: Goes,
}

/// What the content is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goes {
    /// The body of [`Step::Respond`].
    Body,
    /// Further users of [`Route::auth`].
    Users,
}

/// A file that a route names.
#[derive(Debug)]
pub(crate) struct NamedFile {
    pub(super) route: RouteId,
    pub(super) contents: Contents,
}

impl NamedFile {
    /// Where its path is written.
    pub(crate) fn span(&self) -> Range<usize> {
        self.contents.span.clone()
    }

    /// Reads the file into the route that names it. Everything that is wrong with it.
    pub(crate) fn load(&self, routes: &mut [Route]) -> Vec<Problem> {
        let Some(route) = routes.get_mut(self.route.0) else { return Vec::new() };
        let bytes = match read(&self.contents.path) {
            Ok(bytes) => bytes,
            Err(problem) => return vec![problem],
        };
        match self.contents.goes {
            Goes::Body => {
                for step in &mut route.steps {
                    if let Step::Respond(fixed) = step {
                        fixed.body = Some(bytes.as_slice().into());
                    }
                }
                Vec::new()
            }
            Goes::Users => match route.auth.as_mut() {
                Some(auth) => auth::add_file(auth, &self.contents.path, &bytes),
                None => Vec::new(),
            },
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let shown = path.display();
    let unreadable = |error| {
        Problem::new(format!("{shown} cannot be read: {error}"))
            .instead("write the path of a file that the user that Vestibule runs as can read")
    };
    // Before it is opened: opening a named pipe would wait for somebody to write to it.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(Problem::new(format!("{shown} is not a file")).instead("write the path of a file"));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > MOST {
        return Err(Problem::new(format!("{shown} is larger than 1 MiB"))
            .instead("make it smaller: it is kept in memory; what is larger is one for `files`"));
    }
    Ok(bytes)
}
