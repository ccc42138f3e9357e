//! `include = ["sites/*.toml"]`: further files of a configuration.
//!
//! What they say is as if it stood in one file: their `[[listen]]` and `[[route]]` come after those of the file that includes them,
//! their `[upstream.NAME]` and `[process.NAME]` beside its own, and the keys of `[limits]` and its like are one table. What can
//! stand only once, stands in one of them.

use std::collections::HashSet;
use std::fs;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Paths, Pattern, PatternError};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::problem::{Problem, Problems};
use crate::schema::ROOT;
use crate::source::Source;
use crate::syntax;
use crate::value::describe;
use crate::variables::{Environment, Filler, Puts, located};

/// Most files of one configuration.
const MOST_FILES: usize = 1000;
/// Files between the first and the last one of a chain of includes.
const MOST_DEPTH: usize = 8;
/// Most bytes of all included files together, and of the one that is named.
pub(crate) const MOST_BYTES: u64 = 64 << 20;

/// The texts of a configuration before they are read as one.
pub(crate) struct Loaded {
    pub(crate) source: Source,
    /// Each text with the offset of its first byte in all.
    pub(crate) texts: Vec<(usize, String)>,
    /// What variables put into them.
    pub(crate) puts: Puts,
    pub(crate) problems: Vec<Problem>,
    /// Where something is wrong with a variable: what else is wrong there is a consequence.
    pub(crate) unclear: Vec<Range<usize>>,
}

/// Reads the includes of a text, theirs, and so on. `environment` gives variables. With `follow` false nothing is read: the
/// includes are checked for their form.
///
/// # Errors
/// What is not TOML in any of them: then nothing else can be said.
pub(crate) fn load(
    text: String,
    file: &Path,
    environment: Environment<'_>,
    follow: bool,
) -> Result<Loaded, Problems> {
    let Loader { mut loaded, not_toml, .. } = Loader::loaded(text, file, environment, follow);
    if not_toml.is_empty() {
        return Ok(loaded);
    }
    // An include that cannot be read is worth a word beside them.
    loaded.problems.extend(not_toml);
    Problems::from_found(loaded.problems.clone()).map_or(Ok(loaded), Err)
}

/// The files of a text, its own and those that it includes, as far as they can be followed.
pub(crate) fn source(text: String, file: &Path, environment: Environment<'_>) -> Source {
    Loader::loaded(text, file, environment, true).loaded.source
}

/// What a whole pattern finds, in the order of the names.
///
/// # Errors
/// What is no pattern.
pub(crate) fn found(whole: &str) -> Result<Paths, PatternError> {
    glob::glob_with(whole, MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() })
}

struct Loader<'e> {
    loaded: Loaded,
    environment: Environment<'e>,
    follow: bool,
    /// Files that have been read, by their real path.
    seen: HashSet<PathBuf>,
    bytes: u64,
    is_full: bool,
    not_toml: Vec<Problem>,
}

impl<'e> Loader<'e> {
    /// With all that could be taken in.
    fn loaded(text: String, file: &Path, environment: Environment<'e>, follow: bool) -> Self {
        let loaded = Loaded {
            source: Source::default(),
            texts: Vec::new(),
            puts: Puts::new(),
            problems: Vec::new(),
            unclear: Vec::new(),
        };
        let mut loader = Loader {
            loaded,
            environment,
            follow,
            seen: HashSet::new(),
            bytes: 0,
            is_full: false,
            not_toml: Vec::new(),
        };
        let chain: Vec<PathBuf> = fs::canonicalize(file).into_iter().collect();
        loader.seen.extend(chain.iter().cloned());
        loader.text(text, file, &chain);
        loader
    }

    /// Takes in a text, and what it includes. `chain` has the real paths of the files that led here, it included.
    fn text(&mut self, text: String, file: &Path, chain: &[PathBuf]) {
        let start = self.loaded.source.add(file, &text);
        let (document, errors) = DeTable::parse_recoverable(&text);
        if let Some(problems) = syntax::problems(&self.loaded.source, start, &errors) {
            self.not_toml.extend(problems.0);
            return;
        }
        let mut filler = Filler {
            environment: self.environment,
            start,
            puts: std::mem::take(&mut self.loaded.puts),
            secrets: std::mem::take(&mut self.loaded.source.secrets),
            wrong: Vec::new(),
        };
        filler.table(document.get_ref(), Some(ROOT));
        self.loaded.puts = filler.puts;
        self.loaded.source.secrets = filler.secrets;
        self.loaded.unclear.extend(filler.wrong.iter().map(|(span, _)| span.clone()));
        self.loaded.problems.extend(located(&self.loaded.source, filler.wrong));

        let written = document.get_ref().get("include").cloned();
        drop(document);
        let wanted = written.map(|written| self.wanted(&written, start)).unwrap_or_default();
        self.loaded.texts.push((start, text));
        let directory = file.parent().unwrap_or(Path::new("")).to_owned();
        for (pattern, span) in wanted {
            if self.follow && !self.is_full {
                self.include(&directory, &pattern, span, chain);
            }
        }
    }

    /// The patterns of `include`, and where they are written.
    fn wanted(&mut self, written: &Spanned<DeValue<'_>>, start: usize) -> Vec<(String, Range<usize>)> {
        let place = |value: &Spanned<DeValue<'_>>| value.span().start + start..value.span().end + start;
        let DeValue::Array(array) = written.get_ref() else {
            let what = describe(written.get_ref());
            let problem = Problem::new(format!("`include` is a list, not {what}"));
            self.report(place(written), problem.instead("write include = [\"sites/*.toml\"]"));
            return Vec::new();
        };
        let mut wanted = Vec::new();
        for value in array.iter() {
            let span = place(value);
            match value.get_ref() {
                DeValue::String(text) if text.is_empty() || text.contains('\0') => {
                    let problem = Problem::new("this is not the path of a file");
                    self.report(span, problem.instead("write one such as \"sites/*.toml\""));
                }
                DeValue::String(text) => {
                    let text = match self.loaded.puts.get(&span.start) {
                        Some(crate::variables::Put::Text(text) | crate::variables::Put::Bare(text)) => {
                            text.clone()
                        }
                        None => text.to_string(),
                    };
                    if !self.loaded.unclear.contains(&span) {
                        wanted.push((text, span));
                    }
                }
                other => {
                    let problem =
                        Problem::new(format!("each `include` is the path of files, not {}", describe(other)));
                    self.report(span, problem.instead("write include = [\"sites/*.toml\"]"));
                }
            }
        }
        wanted
    }

    /// Takes in what one pattern names. A pattern may name nothing, a name may not.
    fn include(&mut self, directory: &Path, pattern: &str, span: Range<usize>, chain: &[PathBuf]) {
        if !pattern.contains(['*', '?', '[']) {
            let path = directory.join(pattern);
            self.file(&path, span, chain);
            return;
        }
        let below = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let Some(below) = below.to_str() else {
            let problem = Problem::new("the directory of this file has a name that no pattern can be below");
            self.report(span, problem.instead("write the names of the files, without `*`"));
            return;
        };
        let is_absolute = pattern.starts_with('/');
        let whole =
            if is_absolute { pattern.to_owned() } else { format!("{}/{pattern}", Pattern::escape(below)) };
        let found = match found(&whole) {
            Ok(found) => found,
            Err(error) => {
                let problem = Problem::new(format!("{pattern:?} is not a pattern: {}", error.msg));
                self.report(span, problem.instead("write one such as \"sites/*.toml\""));
                return;
            }
        };
        if !self.loaded.source.patterns.contains(&whole) {
            self.loaded.source.patterns.push(whole);
        }
        for path in found {
            match path {
                Ok(path) if path.is_dir() => {}
                Ok(path) => {
                    // As the operator would write it.
                    let path = path.strip_prefix(".").map(Path::to_owned).unwrap_or(path);
                    self.file(&path, span.clone(), chain);
                }
                Err(error) => {
                    let path = error.path().display().to_string();
                    let problem = Problem::new(format!("{path} cannot be looked into: {}", error.error()));
                    self.report(span.clone(), problem.instead("let the user that Vestibule runs as read it"));
                }
            }
            if self.is_full {
                return;
            }
        }
    }

    /// Takes in one file, unless it has been.
    fn file(&mut self, path: &Path, span: Range<usize>, chain: &[PathBuf]) {
        let shown = path.display();
        if self.loaded.source.named.len() < MOST_FILES {
            self.loaded.source.named.push(path.to_owned());
        }
        let real = match fs::canonicalize(path) {
            Ok(real) => real,
            Err(error) => {
                let problem = Problem::new(format!("{shown} cannot be read: {error}"));
                let instead = "write the path of a file from the root or from the directory of this one, or a pattern such as \
                               \"sites/*.toml\", which may find none";
                self.report(span, problem.instead(instead));
                return;
            }
        };
        if chain.contains(&real) {
            let own = chain.last() == Some(&real);
            let what = if own {
                "this file includes itself".to_owned()
            } else {
                format!("{shown} includes this file, and would be included by it")
            };
            let instead =
                "leave it out; files that are included by a pattern lie best in a directory of their own";
            self.report(span, Problem::new(what).instead(instead));
            return;
        }
        if !self.seen.insert(real.clone()) {
            return;
        }
        if chain.len() > MOST_DEPTH {
            let problem = Problem::new(format!("includes go deeper than {MOST_DEPTH} files here"));
            self.report(span, problem.instead("include the files from fewer files"));
            return;
        }
        if self.seen.len() > MOST_FILES {
            self.is_full = true;
            let problem = Problem::new(format!("these are more than {MOST_FILES} files"));
            self.report(span, problem.instead("put what belongs together into one file"));
            return;
        }
        match self.contents(path) {
            Ok(text) => {
                let chain: Vec<PathBuf> = chain.iter().cloned().chain([real]).collect();
                self.text(text, path, &chain);
            }
            Err(problem) => self.report(span, problem),
        }
    }

    fn contents(&mut self, path: &Path) -> Result<String, Problem> {
        let shown = path.display();
        let unreadable = |error| {
            Problem::new(format!("{shown} cannot be read: {error}"))
                .instead("let the user that Vestibule runs as read it")
        };
        let found = fs::metadata(path).map_err(unreadable)?;
        if found.is_dir() {
            return Err(Problem::new(format!("{shown} is a directory")).instead(format!(
                "write \"{}/*.toml\" for the files in it",
                shown.to_string().trim_end_matches('/')
            )));
        }
        // Before it is opened: opening a named pipe would wait for somebody to write to it.
        if !found.is_file() {
            return Err(Problem::new(format!("{shown} is not a file")).instead("write the path of a file"));
        }
        let left = MOST_BYTES - self.bytes;
        let mut bytes = Vec::new();
        let read = fs::File::open(path).and_then(|file| file.take(left + 1).read_to_end(&mut bytes));
        read.map_err(unreadable)?;
        if bytes.len() as u64 > left {
            self.is_full = true;
            return Err(Problem::new("the included files are larger than a configuration may be")
                .instead(format!("keep them below {} MiB together", MOST_BYTES >> 20)));
        }
        self.bytes += bytes.len() as u64;
        String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let mut source = Source::default();
            source.add(path, &String::from_utf8_lossy(error.as_bytes()));
            source.locate(
                Problem::new("this is not UTF-8 text").instead("save the file as UTF-8"),
                valid..valid,
            )
        })
    }

    fn report(&mut self, span: Range<usize>, problem: Problem) {
        self.loaded.problems.push(self.loaded.source.locate(problem, span));
    }
}

/// One document of several. What stands in two of them and can stand only once is reported, and the first one is taken.
pub(crate) fn merged<'d>(
    documents: impl IntoIterator<Item = DeTable<'d>>,
    source: &Source,
    problems: &mut Vec<Problem>,
) -> DeTable<'d> {
    let mut documents = documents.into_iter();
    let mut whole = documents.next().unwrap_or_default();
    for document in documents {
        merge(&mut whole, document, None, source, problems);
    }
    whole
}

/// Tables that have names below them, not keys.
const NAMED: &[&str] = &["upstream", "process"];

fn merge<'d>(
    into: &mut DeTable<'d>,
    from: DeTable<'d>,
    above: Option<&str>,
    source: &Source,
    problems: &mut Vec<Problem>,
) {
    for (key, value) in from {
        // Each file has includes of its own.
        let is_include = above.is_none() && key.get_ref() == "include";
        let name = key.get_ref().to_string();
        let Some((first, there)) = into.remove_entry(&*name) else {
            into.insert(key, value);
            continue;
        };
        let (there, first_span) = (there, first.span());
        let merged = match (there.get_ref(), value.get_ref()) {
            _ if is_include => there,
            (DeValue::Array(_), DeValue::Array(_)) if above.is_none() && tables(&there) && tables(&value) => {
                let span = there.span();
                let elements = list(there).into_iter().chain(list(value));
                Spanned::new(span, DeValue::Array(elements.collect()))
            }
            (DeValue::Table(_), DeValue::Table(_)) if above.is_none() => {
                let span = there.span();
                let mut table = table(there);
                merge(&mut table, self::table(value), Some(&name), source, problems);
                Spanned::new(span, DeValue::Table(table))
            }
            _ => {
                let line = source.line(first_span.start);
                let what = match above {
                    Some(above) if NAMED.contains(&above) => format!("[{above}.{name}]"),
                    Some(above) => format!("`{name}` in [{above}]"),
                    None => format!("`{name}`"),
                };
                let problem = Problem::new(format!("{what} is written already, on line {line}"));
                let problem = problem.instead("leave one of them out: it can stand in one file only");
                problems.push(source.locate(problem, key.span()));
                there
            }
        };
        into.insert(first, merged);
    }
}

/// Whether these are `[[tables]]`.
fn tables(value: &Spanned<DeValue<'_>>) -> bool {
    let array = value.get_ref().as_array();
    array.is_some_and(|array| !array.is_empty() && array.iter().all(|element| element.get_ref().is_table()))
}

fn list(value: Spanned<DeValue<'_>>) -> DeArray<'_> {
    match value.into_inner() {
        DeValue::Array(array) => array,
        _ => DeArray::new(),
    }
}

fn table(value: Spanned<DeValue<'_>>) -> DeTable<'_> {
    match value.into_inner() {
        DeValue::Table(table) => table,
        _ => DeTable::new(),
    }
}
