//! What holds in a block: what it says itself, and what it inherits.

use super::directive::Directive;

/// A block within its blocks: http, server, location, … the outermost first.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope<'d> {
    levels: Vec<&'d [Directive]>,
}

impl<'d> Scope<'d> {
    /// The same with a block in it.
    pub(super) fn with(&self, block: &'d [Directive]) -> Self {
        let mut inner = self.clone();
        inner.levels.push(block);
        inner
    }

    /// The value that holds: the innermost one.
    pub(super) fn one(&self, name: &str) -> Option<&'d Directive> {
        self.all(name).last().copied()
    }

    /// All of the innermost level that has any: `add_header` and its like are inherited only by a block that has none itself.
    pub(super) fn all(&self, name: &str) -> Vec<&'d Directive> {
        let mut holds = Vec::new();
        for level in &self.levels {
            let here: Vec<_> = level.iter().filter(|directive| directive.name == name).collect();
            here.iter().for_each(|directive| directive.see());
            if !here.is_empty() {
                holds = here;
            }
        }
        holds
    }

    /// The same, without having seen it: the caller says which it has used.
    pub(super) fn look(&self, name: &str) -> Vec<&'d Directive> {
        let of = |level: &&'d [Directive]| -> Vec<&'d Directive> {
            level.iter().filter(|directive| directive.name == name).collect()
        };
        self.levels.iter().rev().map(of).find(|here| !here.is_empty()).unwrap_or_default()
    }

    /// The same for directives that are one list.
    pub(super) fn all_of(&self, names: &[&str]) -> Vec<&'d Directive> {
        let mut holds = Vec::new();
        for level in &self.levels {
            let here: Vec<_> =
                level.iter().filter(|directive| names.contains(&directive.name.as_str())).collect();
            here.iter().for_each(|directive| directive.see());
            if !here.is_empty() {
                holds = here;
            }
        }
        holds
    }

    /// What the block itself says: it is not inherited.
    pub(super) fn own(&self, name: &str) -> Vec<&'d Directive> {
        let here = self.levels.last().into_iter().flat_map(|level| level.iter());
        let found: Vec<_> = here.filter(|directive| directive.name == name).collect();
        found.iter().for_each(|directive| directive.see());
        found
    }

    /// The first argument of the one that holds.
    pub(super) fn word(&self, name: &str) -> Option<&'d str> {
        self.one(name).map(|directive| directive.argument(0))
    }

    /// Whether it is switched on.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.word(name) == Some("on")
    }

    /// The directives of the block itself.
    pub(super) fn block(&self) -> &'d [Directive] {
        self.levels.last().copied().unwrap_or_default()
    }
}
