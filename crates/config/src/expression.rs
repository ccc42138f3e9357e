//! Regular expressions, as a route has them for paths and for values: `"~ ^/u/(\\d+)$"`.
//!
//! They work on bytes and in ASCII: `\d`, `\w` and `(?i)` mean ASCII letters and digits, since that is what a path or a field is made
//! of. Time is linear in what they are asked about, whatever they say.

use std::ops::Range;

use regex_automata::MatchKind;
use regex_automata::meta::{BuildError, Builder, Regex};
use regex_syntax::hir::{Hir, HirKind, Look};
use regex_syntax::{Error as SyntaxError, ParserBuilder};

use crate::problem::Problem;

/// Most bytes of one compiled expression, and again of what it caches in each thread.
const LARGEST: usize = 1 << 20;

/// Longest expression that can be written.
const LONGEST: usize = 4096;

/// Most groups: where an expression is asked in the slowest way, memory goes with their number times its size.
const MOST_GROUPS: usize = 32;

/// A regular expression, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Expression {
    /// Without the `~`.
    pub(crate) text: String,
    /// What every text begins with that it fits; often empty.
    pub(crate) beginning: Box<[u8]>,
    regex: Regex,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl std::hash::Hash for Expression {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Expression {
    /// Takes what follows the `~`.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Problem::new("there is no regular expression after `~`")
                .instead("write one, such as '~ ^/u/(\\d+)$'"));
        }
        if text.len() > LONGEST {
            return Err(Problem::new(format!("a regular expression of {} bytes is too long", text.len()))
                .instead(format!("write at most {LONGEST} bytes, and the rest as another route")));
        }
        let parser = ParserBuilder::new().utf8(false).unicode(false).nest_limit(100).build().parse(text);
        let hir = parser.map_err(|error| wrong(&error))?;
        let groups = hir.properties().explicit_captures_len();
        if groups > MOST_GROUPS {
            return Err(Problem::new(format!("the regular expression has {groups} groups"))
                .instead(format!("write at most {MOST_GROUPS}, and (?:…) where nothing is to be caught")));
        }
        let beginning = beginning(&hir).into();
        let config = Regex::config()
            .match_kind(MatchKind::LeftmostFirst)
            .utf8_empty(false)
            .nfa_size_limit(Some(LARGEST))
            .onepass_size_limit(Some(LARGEST / 4))
            .hybrid_cache_capacity(LARGEST);
        let regex = Builder::new().configure(config).build_from_hir(&hir);
        Ok(Self { text: text.to_owned(), beginning, regex: regex.map_err(|error| too_large(&error))? })
    }

    /// Whether it finds something in `text`.
    pub(crate) fn fits(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// How many groups it has.
    pub(crate) fn groups(&self) -> usize {
        self.regex.captures_len().saturating_sub(1)
    }

    /// The groups that have a name, with their numbers.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, usize)> {
        let names = self.regex.group_info().pattern_names(regex_automata::PatternID::ZERO).enumerate();
        names.filter_map(|(number, name)| Some((name?, number)))
    }

    /// Where its groups are in `text`, if it fits; one that took no part is empty.
    pub(crate) fn caught(&self, text: &[u8], out: &mut Vec<Range<usize>>) -> bool {
        let mut captures = self.regex.create_captures();
        self.regex.captures(text, &mut captures);
        if captures.is_match() {
            let place = |group| captures.get_group(group).map_or(0..0, |span| span.start..span.end);
            out.extend((1..captures.group_len()).map(place));
        }
        captures.is_match()
    }
}

/// The text that stands behind a `^`.
fn beginning(hir: &Hir) -> &[u8] {
    let HirKind::Concat(pieces) = hir.kind() else { return b"" };
    match pieces.as_slice() {
        [start, text, ..] => match (start.kind(), text.kind()) {
            (HirKind::Look(Look::Start), HirKind::Literal(literal)) => &literal.0,
            _ => b"",
        },
        _ => b"",
    }
}

fn wrong(error: &SyntaxError) -> Problem {
    let (at, what) = match error {
        SyntaxError::Parse(error) => (error.span().start.column, error.kind().to_string()),
        SyntaxError::Translate(error) => (error.span().start.column, error.kind().to_string()),
        _ => (1, error.to_string()),
    };
    Problem::new(format!("the regular expression is wrong at its character {at}: {what}")).instead(
        "write it in the syntax of https://docs.rs/regex, in ASCII and between single quotes, such as '~ ^/u/(\\d+)$'",
    )
}

fn too_large(error: &BuildError) -> Problem {
    let message = match error.size_limit() {
        Some(_) => "the regular expression takes more than 1 MiB".to_owned(),
        None => "the regular expression cannot be compiled".to_owned(),
    };
    Problem::new(message).instead("write smaller counts in its braces, or fewer alternatives")
}
