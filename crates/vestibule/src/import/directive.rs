//! A directive, and how directives are read from tokens.

use std::cell::Cell;
use std::rc::Rc;

use super::place::{Place, Source};
use super::token::{Token, Tokens, Wrong};

/// Blocks within blocks.
const DEEPEST: usize = 32;

/// `name arguments;` or `name arguments { block }`.
#[derive(Debug)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    pub(super) block: Option<Vec<Directive>>,
    pub(super) place: Place,
    /// Whether somebody has looked at what it says: what nobody has looked at is told in the end.
    seen: Cell<bool>,
}

impl Directive {
    /// The argument with this number, from 0; empty if there is none.
    pub(super) fn argument(&self, number: usize) -> &str {
        self.arguments.get(number).map_or("", String::as_str)
    }

    /// Its block, empty if it has none.
    pub(super) fn inside(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }

    /// Whether one of its arguments is this word.
    pub(super) fn says(&self, word: &str) -> bool {
        self.arguments.iter().any(|argument| argument == word)
    }

    /// Whether it has `zone=NAME` or `zone=NAME:SIZE`.
    pub(super) fn says_zone(&self, name: &str) -> bool {
        let zones = self.arguments.iter().filter_map(|argument| argument.strip_prefix("zone="));
        zones.into_iter().any(|zone| zone.split(':').next() == Some(name))
    }

    /// Notes that its meaning is in what is written, or in a note.
    pub(super) fn see(&self) {
        self.seen.set(true);
    }

    /// The same for all that stands in it.
    pub(super) fn see_all(&self) {
        self.see();
        self.inside().iter().for_each(Directive::see_all);
    }

    pub(super) fn is_seen(&self) -> bool {
        self.seen.get()
    }

    /// As it stands in the file, shortened.
    pub(super) fn text(&self) -> String {
        let mut text = self.name.clone();
        for argument in &self.arguments {
            let bare = !argument.is_empty() && !argument.contains([' ', ';', '{', '}', '"', '\n', '\t']);
            text.push(' ');
            text.push_str(&if bare { argument.clone() } else { format!("{argument:?}") });
        }
        if text.chars().count() > 100 {
            text = text.chars().take(99).chain(['…']).collect();
        }
        text.push_str(if self.block.is_some() { " { … }" } else { ";" });
        text
    }
}

/// Reads all directives of a text. `include` is not followed here.
pub(super) fn read(text: &str, source: &Rc<Source>) -> Result<Vec<Directive>, Wrong> {
    let mut tokens = Tokens::new(text);
    block(&mut tokens, source, 0)
}

/// Directives up to the `}` that ends them, or to the end of the text outside of any block.
fn block(tokens: &mut Tokens<'_>, source: &Rc<Source>, depth: usize) -> Result<Vec<Directive>, Wrong> {
    if depth > DEEPEST {
        return Err((tokens.line, format!("blocks are nested more than {DEEPEST} deep")));
    }
    let opened = tokens.line;
    let mut directives = Vec::new();
    loop {
        let (line, name) = match tokens.next()? {
            Some((line, Token::Word(name))) => (line, name),
            Some((_, Token::Close)) if depth > 0 => return Ok(directives),
            None if depth == 0 => return Ok(directives),
            None => return Err((opened, "the `{` is never closed".to_owned())),
            Some((line, Token::Close)) => return Err((line, "there is a `}` too many".to_owned())),
            Some((line, _)) => return Err((line, "a directive begins with its name".to_owned())),
        };
        let mut arguments = Vec::new();
        let block = loop {
            match tokens.next()? {
                Some((_, Token::Word(word))) => arguments.push(word),
                Some((_, Token::End)) => break None,
                // Lua has braces and semicolons of its own.
                Some((_, Token::Open)) if name.ends_with("_by_lua_block") => {
                    tokens.skip_foreign()?;
                    break Some(Vec::new());
                }
                Some((_, Token::Open)) => break Some(block(tokens, source, depth + 1)?),
                Some((_, Token::Close)) | None => {
                    return Err((line, format!("`{name}` is not ended by a `;`")));
                }
            }
        };
        let place = Place { source: Rc::clone(source), line };
        directives.push(Directive { name, arguments, block, place, seen: Cell::new(false) });
    }
}
