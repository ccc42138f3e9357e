//! The texts of a configuration: that of its file, and those of the files that it includes.
//!
//! They stand one behind the other in one space of offsets, so that a range of bytes says which file it is in.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::problem::{Place, Problem, SHOWN};
use crate::secrets::Secrets;

/// The texts, and what in them came from the environment.
#[derive(Default)]
pub(crate) struct Source {
    /// In the order in which they were read; never empty once the first is.
    files: Vec<Text>,
    pub(crate) secrets: Secrets,
    /// Patterns by which files are included, with the directory that they start from.
    pub(crate) patterns: Vec<String>,
    /// Files that are included, or would be if they could be read.
    pub(crate) named: Vec<PathBuf>,
}

/// One file.
struct Text {
    path: PathBuf,
    text: String,
    /// Offset of its first byte in all.
    start: usize,
    /// Offset in it of the first byte of each line.
    lines: Vec<usize>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The texts may have secrets in them, which do not belong in a log.
        f.debug_struct("Source").field("files", &self.paths()).finish_non_exhaustive()
    }
}

impl Source {
    /// One text, of `file`.
    pub(crate) fn new(file: &Path, text: &str) -> Arc<Self> {
        let mut source = Self::default();
        source.add(file, text);
        Arc::new(source)
    }

    /// Adds the text of a file. Gives the offset of its first byte.
    pub(crate) fn add(&mut self, file: &Path, text: &str) -> usize {
        // One more, so that the end of one file is not the beginning of the next.
        let start = self.files.last().map_or(0, |last| last.start + last.text.len() + 1);
        let after_newline = text.match_indices('\n').map(|(newline, _)| newline + 1);
        let lines = std::iter::once(0).chain(after_newline).collect();
        self.files.push(Text { path: file.to_owned(), text: text.to_owned(), start, lines });
        start
    }

    /// The files, in the order in which they were read.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().map(|file| file.path.clone()).collect()
    }

    /// Whether both are the same files with the same texts, and the same came from the environment.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let texts = |source: &Self| {
            source.files.iter().map(|file| (file.path.clone(), file.text.clone())).collect::<Vec<_>>()
        };
        texts(self) == texts(other) && self.secrets == other.secrets
    }

    /// Where the file is in which `offset` stands, for paths that are written without their root.
    pub(crate) fn directory(&self, offset: usize) -> &Path {
        self.file(offset).and_then(|file| file.path.parent()).unwrap_or(Path::new(""))
    }

    /// The line of an offset, for people.
    pub(crate) fn line(&self, offset: usize) -> Line<'_> {
        let several = self.files.len() > 1;
        let Some(file) = self.file(offset) else { return Line { number: 1, file: None } };
        Line { number: file.line(offset - file.start), file: several.then_some(file.path.as_path()) }
    }

    /// The place of a range of bytes. Ranges outside the texts are cut to them.
    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        match self.file(span.start) {
            Some(file) => file.place(span.start - file.start..span.end.saturating_sub(file.start)),
            None => Text { path: PathBuf::new(), text: String::new(), start: 0, lines: vec![0] }.place(0..0),
        }
    }

    /// Puts a problem where it belongs. What it says of a value from the environment, it says by the variable's name.
    pub(crate) fn locate(&self, problem: Problem, span: Range<usize>) -> Problem {
        let place = self.place(span.clone());
        self.secrets.hidden(problem, Some(span)).at(Some(place))
    }

    fn file(&self, offset: usize) -> Option<&Text> {
        let after = self.files.partition_point(|file| file.start <= offset);
        self.files.get(after.checked_sub(1)?)
    }
}

impl Text {
    /// Line number, counted from 1, of an offset in this file.
    fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|&start| start <= offset)
    }

    fn place(&self, span: Range<usize>) -> Place {
        let start = self.floor(span.start);
        let end = self.floor(span.end).max(start);
        let line = self.line(start);
        let line_start = self.lines.get(line - 1).copied().unwrap_or_default();
        let line_end = self.lines.get(line).map_or(self.text.len(), |next| next - 1);
        let column = self.text[line_start..start].chars().count() + 1;
        let marked = self.text[start..end.min(line_end).max(start)].chars().count();
        let skipped = (column - 1).saturating_sub(SHOWN * 2 / 3);
        let whole = self.text[line_start..line_end].trim_end_matches('\r');
        let source = whole.chars().skip(skipped).take(SHOWN).collect();
        let offset = self.start + start;
        Place { file: self.path.clone(), offset, line, column, width: marked.max(1), source, skipped }
    }

    /// The nearest offset at or before `offset` where a character begins.
    fn floor(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

/// A line by its number, and by its file too where there are several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Line<'s> {
    number: usize,
    file: Option<&'s Path>,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file {
            Some(file) => write!(f, "{} of {}", self.number, file.display()),
            None => write!(f, "{}", self.number),
        }
    }
}
