//! One thing that is wrong with a configuration, told so that the operator can put it right.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest piece of a source line that is shown; the piece around the caret is kept.
const SHOWN: usize = 120;
/// Longest message that is shown, in characters.
const LONGEST_MESSAGE: usize = 400;

/// The text of a configuration and the file that it came from.
pub(crate) struct Source {
    file: PathBuf,
    text: String,
    /// Offset of the first byte of each line.
    lines: Vec<usize>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text may have a secret in it, which does not belong in a log.
        f.debug_struct("Source").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Source {
    pub(crate) fn new(file: &Path, text: &str) -> Arc<Self> {
        let after_newline = text.match_indices('\n').map(|(newline, _)| newline + 1);
        let lines = std::iter::once(0).chain(after_newline).collect();
        Arc::new(Self { file: file.to_owned(), text: text.to_owned(), lines })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Where the file is, for paths that are written without their root.
    pub(crate) fn directory(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }

    /// Line number, counted from 1, of a byte offset.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|&start| start <= offset)
    }

    /// The place of a range of bytes. Ranges outside the text are cut to it.
    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        let start = self.floor(span.start);
        let end = self.floor(span.end).max(start);
        let line = self.line(start);
        let line_start = self.lines.get(line - 1).copied().unwrap_or_default();
        let line_end = self.lines.get(line).map_or(self.text.len(), |next| next - 1);
        let column = self.text[line_start..start].chars().count() + 1;
        let marked = self.text[start..end.min(line_end)].chars().count();
        let skipped = (column - 1).saturating_sub(SHOWN * 2 / 3);
        let whole = self.text[line_start..line_end].trim_end_matches('\r');
        let source = whole.chars().skip(skipped).take(SHOWN).collect();
        Place { file: self.file.clone(), offset: start, line, column, width: marked.max(1), source, skipped }
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

/// Where something stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Line, counted from 1.
    pub line: usize,
    /// Column, counted from 1, in characters.
    pub column: usize,
    /// Characters marked from `column` on; at least 1.
    pub width: usize,
    /// The line as written; of a very long one, the piece around the column.
    pub source: String,
    /// Characters of the line that are left out before `source`.
    skipped: usize,
    /// Byte offset in the file, by which problems are put in order.
    offset: usize,
}

/// One thing that is wrong, where, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where; `None` when it is not about something written in a file.
    pub place: Option<Box<Place>>,
    /// What is wrong, without a full stop.
    pub message: String,
    /// What to write instead.
    pub instead: Option<String>,
}

impl Problem {
    /// A problem that is nowhere in a file.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into(), instead: None }
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn instead(mut self, instead: impl Into<String>) -> Self {
        self.instead = Some(instead.into());
        self
    }

    /// Says where it is, unless that is known already.
    #[must_use]
    pub(crate) fn at(mut self, place: Option<Place>) -> Self {
        self.place = self.place.or(place.map(Box::new));
        self
    }

    /// Byte offset in its file; problems without a place come last.
    fn offset(&self) -> usize {
        self.place.as_ref().map_or(usize::MAX, |place| place.offset)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(place) = &self.place else {
            write!(f, "{}", printable(&self.message))?;
            if let Some(instead) = &self.instead {
                write!(f, "\n  = {}", printable(instead))?;
            }
            return Ok(());
        };
        let number = place.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(
            f,
            "{}:{}:{}: {}",
            place.file.display(),
            place.line,
            place.column,
            printable(&self.message)
        )?;
        let (source, before, width) = shown(place);
        writeln!(f, "{gutter} |\n{number} | {source}")?;
        write!(f, "{gutter} | {before}{}", "^".repeat(width))?;
        if let Some(instead) = &self.instead {
            write!(f, "\n{gutter} = {}", printable(instead))?;
        }
        Ok(())
    }
}

/// A message in one line that cannot write to the operator's terminal: it may have pieces of the file in it.
fn printable(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut piece: String = clean.take(LONGEST_MESSAGE).collect();
    if piece.len() < text.len() && text.chars().nth(LONGEST_MESSAGE).is_some() {
        piece.push('…');
    }
    piece
}

/// The piece of the line to show, the blanks that bring the caret below the right character, and how many carets.
fn shown(place: &Place) -> (String, String, usize) {
    // Control characters other than the tab would let a file write to the operator's terminal.
    let clean = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    let blank = |c: char| if c == '\t' { '\t' } else { ' ' };
    let ahead = place.column - 1 - place.skipped;
    let before = place.source.chars().chain(std::iter::repeat(' ')).take(ahead).map(blank).collect();
    let width = place.width.min(SHOWN.saturating_sub(ahead)).max(1);
    (place.source.chars().map(clean).collect(), before, width)
}

/// Problems in order of position; shown one block each, with their number at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub(crate) Vec<Problem>);

impl Problems {
    /// Puts them in order. `None` when there are none.
    pub(crate) fn from_found(mut found: Vec<Problem>) -> Option<Self> {
        found.sort_by_key(Problem::offset);
        (!found.is_empty()).then_some(Self(found))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            write!(f, "{problem}\n\n")?;
        }
        let noun = if self.0.len() == 1 { "error" } else { "errors" };
        write!(f, "{} {noun}", self.0.len())?;
        match self.0.iter().find_map(|problem| problem.place.as_ref()) {
            Some(place) => write!(f, " in {}", place.file.display()),
            None => write!(f, " in the configuration"),
        }
    }
}
