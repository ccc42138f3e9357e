//! Reading a configuration with all that it includes.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::directive::{self, Directive};
use super::glob;
use super::note::Notes;
use super::place::Source;

/// Most bytes of all files together.
const MOST_BYTES: u64 = 16 << 20;
/// Most files.
const MOST_FILES: usize = 1000;
/// Includes within includes.
const DEEPEST: usize = 16;

/// What keeps a configuration from being read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file that was named cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// Something is not nginx's language.
    #[error("{}:{line}: {message}; nginx would not take it either (nginx -t)", path.display())]
    Syntax { path: PathBuf, line: u32, message: String },
    /// More than any site has.
    #[error("{}: {what}; name the file of one site instead", path.display())]
    TooMuch { path: PathBuf, what: String },
}

/// Reads the file and what it includes.
pub(super) struct Reader<'n> {
    /// Directories that relative names may begin at, the preferred first.
    bases: Vec<PathBuf>,
    notes: &'n mut Notes,
    files: usize,
    bytes: u64,
}

impl<'n> Reader<'n> {
    /// `prefix`: where names begin that are not absolute; nginx takes the directory of its nginx.conf, which is not the one of a
    /// file in sites-available.
    pub(super) fn new(file: &Path, prefix: Option<&Path>, notes: &'n mut Notes) -> Self {
        let bases = match prefix {
            Some(prefix) => vec![prefix.to_owned()],
            None => {
                let beside = file.parent().map(Path::to_owned).unwrap_or_default();
                let of_sites = ["sites-available", "sites-enabled", "conf.d", "snippets"];
                let above = beside.parent().filter(|_| of_sites.iter().any(|name| beside.ends_with(name)));
                let above = above.map(Path::to_owned);
                [Some(beside), above, Some(PathBuf::from("/etc/nginx"))].into_iter().flatten().collect()
            }
        };
        Reader { bases, notes, files: 0, bytes: 0 }
    }

    /// All directives of the file.
    pub(super) fn read(&mut self, file: &Path) -> Result<Vec<Directive>, Error> {
        self.file(file, 0).map_err(|error| match error {
            Failed::Unreadable(source) => Error::Read { path: file.to_owned(), source },
            Failed::Wrong(error) => error,
        })
    }

    fn file(&mut self, path: &Path, depth: usize) -> Result<Vec<Directive>, Failed> {
        let too_much = |what: String| Failed::Wrong(Error::TooMuch { path: path.to_owned(), what });
        self.files += 1;
        if self.files > MOST_FILES {
            return Err(too_much(format!("more than {MOST_FILES} files are included")));
        }
        let file = fs::File::open(path).map_err(Failed::Unreadable)?;
        let mut bytes = Vec::new();
        file.take(MOST_BYTES + 1 - self.bytes).read_to_end(&mut bytes).map_err(Failed::Unreadable)?;
        self.bytes += bytes.len() as u64;
        if self.bytes > MOST_BYTES {
            return Err(too_much(format!("the files have more than {} MiB", MOST_BYTES >> 20)));
        }
        let text = String::from_utf8_lossy(&bytes);
        let source = Rc::new(Source { number: self.files, path: path.to_owned() });
        let wrong = |(line, message)| Failed::Wrong(Error::Syntax { path: path.to_owned(), line, message });
        let directives = directive::read(&text, &source).map_err(wrong)?;
        self.follow(directives, depth)
    }

    /// Puts in the place of each `include` what it includes.
    fn follow(&mut self, directives: Vec<Directive>, depth: usize) -> Result<Vec<Directive>, Failed> {
        let mut all = Vec::new();
        for mut directive in directives {
            if let Some(block) = directive.block.take() {
                directive.block = Some(self.follow(block, depth)?);
            }
            if directive.name == "include" {
                self.include(&directive, depth, &mut all)?;
            } else {
                all.push(directive);
            }
        }
        Ok(all)
    }

    fn include(
        &mut self,
        directive: &Directive,
        depth: usize,
        all: &mut Vec<Directive>,
    ) -> Result<(), Failed> {
        let name = directive.argument(0);
        if depth >= DEEPEST {
            let what = format!("files include each other more than {DEEPEST} deep");
            return Err(Failed::Wrong(Error::TooMuch { path: directive.place.source.path.clone(), what }));
        }
        if glob::is_pattern(name) {
            // A pattern that fits nothing is fine with nginx too.
            let found = self.bases.iter().map(|base| glob::files(base, name, MOST_FILES));
            for path in found.into_iter().find(|found| !found.is_empty()).unwrap_or_default() {
                self.included(directive, &path, depth, all)?;
            }
            return Ok(());
        }
        let places = self.bases.iter().map(|base| base.join(name));
        let path = places.clone().find(|path| path.exists()).or_else(|| places.clone().next());
        self.included(directive, &path.unwrap_or_else(|| PathBuf::from(name)), depth, all)
    }

    fn included(
        &mut self,
        directive: &Directive,
        path: &Path,
        depth: usize,
        all: &mut Vec<Directive>,
    ) -> Result<(), Failed> {
        match self.file(path, depth + 1) {
            Ok(directives) => all.extend(directives),
            // What is on another machine cannot be looked at here; what else there is can.
            Err(Failed::Unreadable(error)) => {
                if path.ends_with("mime.types") {
                    self.notes.needless(directive, "the types of files are known");
                } else {
                    let why = format!("{}: {error}; import where it lies, or say --prefix", path.display());
                    self.notes.missing(directive, why);
                }
            }
            Err(wrong) => return Err(wrong),
        }
        Ok(())
    }
}

enum Failed {
    Unreadable(std::io::Error),
    Wrong(Error),
}
