//! One thing that is wrong with a configuration, told so that the operator can put it right.

use std::fmt;
use std::path::PathBuf;

/// Longest piece of a source line that is shown; the piece around the caret is kept.
pub(crate) const SHOWN: usize = 120;
/// Longest message that is shown, in characters.
const LONGEST_MESSAGE: usize = 400;

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
    pub(crate) skipped: usize,
    /// Byte offset in all files, by which problems are put in order.
    pub(crate) offset: usize,
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

    /// Byte offset in all files; problems without a place come last.
    pub(crate) fn offset(&self) -> usize {
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
        let mut files: Vec<_> =
            self.0.iter().filter_map(|problem| Some(&problem.place.as_ref()?.file)).collect();
        files.dedup();
        match files.as_slice() {
            [] => write!(f, " in the configuration"),
            [file] => write!(f, " in {}", file.display()),
            [one, other] => write!(f, " in {} and {}", one.display(), other.display()),
            files => write!(f, " in {} files", files.len()),
        }
    }
}
