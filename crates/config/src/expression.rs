//! Regular expressions, as a route has them for paths and for values: `"~ ^/u/(\\d+)$"`.
//!
//! They work on bytes and in ASCII: `\d`, `\w` and `(?i)` mean ASCII letters and digits, since that is what a path or a field is made
//! of. Time is linear in what they are asked about, whatever they say.

use regex_automata::meta::{BuildError, Builder, Regex};
use regex_automata::util::captures::Captures;
use regex_automata::{Anchored, Input, MatchKind, PatternID};
use regex_syntax::hir::{Dot, Hir, Repetition};
use regex_syntax::{Error as SyntaxError, ParserBuilder};

use crate::problem::Problem;

/// Most bytes of one compiled expression, before what it caches.
const LARGEST: usize = 1 << 20;

/// Most bytes of all expressions of a host together; more are divided.
const LARGEST_OF_ALL: usize = 64 << 20;

/// Longest expression that can be written.
const LONGEST: usize = 4096;

/// An expression that is right; as text only, to be compiled with its like.
#[derive(Debug, Clone)]
pub(crate) struct Expression {
    /// Without the `~`.
    pub(crate) text: String,
    /// How many groups catch something.
    pub(crate) groups: usize,
    /// Those of them that have a name.
    pub(crate) names: Vec<(String, usize)>,
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
    /// Takes what follows the `~`, and compiles it once to see whether it can be.
    pub(crate) fn parse(text: &str) -> Result<(Self, Regex), Problem> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Problem::new("there is no regular expression after `~`")
                .instead("write one, such as \"~ ^/u/([0-9]+)$\""));
        }
        if text.len() > LONGEST {
            return Err(Problem::new(format!("a regular expression of {} bytes is too long", text.len()))
                .instead(format!("write at most {LONGEST} bytes, and the rest as another route")));
        }
        let hir = hir(text).map_err(|error| wrong(&error))?;
        let regex = build(std::slice::from_ref(&hir), LARGEST).map_err(|error| too_large(&error))?;
        let groups = regex.group_info();
        let names = groups.pattern_names(PatternID::ZERO).enumerate();
        let names = names.filter_map(|(index, name)| Some((name?.to_owned(), index))).collect();
        let count = groups.group_len(PatternID::ZERO).saturating_sub(1);
        Ok((Self { text: text.to_owned(), groups: count, names }, regex))
    }
}

/// Several expressions in one automaton: asking all of them takes as long as asking one.
#[derive(Debug, Clone)]
pub(crate) struct Expressions {
    /// One, but for those that are too large together; each with the number of its first.
    parts: Vec<(usize, Regex)>,
}

impl Expressions {
    /// `None` of none.
    pub(crate) fn new<'e>(expressions: impl IntoIterator<Item = &'e Expression>) -> Option<Self> {
        // Begun at the first byte, each of them, so that all matches begin alike and only their order counts.
        let begun = |expression: &Expression| {
            hir(&expression.text).ok().map(|hir| Hir::concat(vec![anything(), hir]))
        };
        let hirs: Vec<Hir> = expressions.into_iter().map(begun).collect::<Option<_>>()?;
        let mut parts = Vec::new();
        divide(0, &hirs, &mut parts);
        (!parts.is_empty()).then_some(Self { parts })
    }

    /// The first that fits, in their order.
    pub(crate) fn first(&self, text: &[u8]) -> Option<usize> {
        let input = Input::new(text).anchored(Anchored::Yes);
        let mut parts = self.parts.iter();
        parts.find_map(|(from, part)| Some(from + part.search_half(&input)?.pattern().as_usize()))
    }

    /// Whether the one at `index` fits.
    pub(crate) fn fits(&self, index: usize, text: &[u8]) -> bool {
        self.one(index).is_some_and(|(part, pattern)| {
            part.is_match(Input::new(text).anchored(Anchored::Pattern(pattern)))
        })
    }

    /// Where the groups of the one at `index` are, if it fits.
    pub(crate) fn groups(&self, index: usize, text: &[u8]) -> Option<Captures> {
        let (part, pattern) = self.one(index)?;
        let mut captures = part.create_captures();
        part.search_captures(&Input::new(text).anchored(Anchored::Pattern(pattern)), &mut captures);
        captures.is_match().then_some(captures)
    }

    fn one(&self, index: usize) -> Option<(&Regex, PatternID)> {
        let (from, part) = self.parts.iter().rev().find(|(from, _)| *from <= index)?;
        Some((part, PatternID::new(index - from).ok()?))
    }
}

/// Builds as many automata as are needed. Each expression alone is small enough, which was looked at when it was read.
fn divide(from: usize, hirs: &[Hir], parts: &mut Vec<(usize, Regex)>) {
    if hirs.is_empty() {
        return;
    }
    match build(hirs, LARGEST_OF_ALL) {
        Ok(regex) => parts.push((from, regex)),
        Err(_) => {
            let (first, second) = hirs.split_at(hirs.len() / 2);
            if !first.is_empty() {
                divide(from, first, parts);
                divide(from + first.len(), second, parts);
            }
        }
    }
}

fn hir(text: &str) -> Result<Hir, Box<SyntaxError>> {
    ParserBuilder::new().utf8(false).unicode(false).nest_limit(100).build().parse(text).map_err(Box::new)
}

/// `.*?` over all bytes.
fn anything() -> Hir {
    Hir::repetition(Repetition { min: 0, max: None, greedy: false, sub: Box::new(Hir::dot(Dot::AnyByte)) })
}

fn build(hirs: &[Hir], limit: usize) -> Result<Regex, Box<BuildError>> {
    let config = Regex::config()
        .match_kind(MatchKind::LeftmostFirst)
        .utf8_empty(false)
        .nfa_size_limit(Some(limit))
        .hybrid_cache_capacity(4 << 20);
    Builder::new().configure(config).build_many_from_hir(hirs).map_err(Box::new)
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
