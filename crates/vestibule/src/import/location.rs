//! The locations of a server, as they are nested.

use super::directive::Directive;
use super::note::Notes;
use super::order::{Choice, Kind};
use super::pattern::Regex;
use super::scope::Scope;

/// A location, or the server itself, which is what answers where no location fits.
#[derive(Debug, Clone)]
pub(super) struct Location<'d> {
    pub(super) directive: &'d Directive,
    pub(super) scope: Scope<'d>,
    pub(super) kind: Option<Kind>,
}

impl Location<'_> {
    /// The prefix of one that has one.
    pub(super) fn prefix(&self) -> Option<&str> {
        match &self.kind {
            Some(Kind::Prefix(prefix, _)) => Some(prefix),
            None => Some("/"),
            _ => None,
        }
    }
}

/// All locations of a server: those with paths, as they are chosen, and those with names.
#[derive(Debug, Default)]
pub(super) struct Locations<'d> {
    /// The server first; a choice's target is an index here.
    pub(super) all: Vec<Location<'d>>,
    pub(super) choices: Vec<Choice>,
    named: Vec<(&'d str, Location<'d>)>,
}

impl<'d> Locations<'d> {
    pub(super) fn of(server: &'d Directive, scope: &Scope<'d>, notes: &mut Notes) -> Self {
        let mut locations = Locations::default();
        locations.all.push(Location { directive: server, scope: scope.clone(), kind: None });
        locations.choices = locations.level(scope, notes);
        locations
    }

    /// The location with this name, such as `@app`.
    pub(super) fn named(&self, name: &str) -> Option<Location<'d>> {
        self.named.iter().find(|(known, _)| *known == name).map(|(_, location)| location.clone())
    }

    fn level(&mut self, scope: &Scope<'d>, notes: &mut Notes) -> Vec<Choice> {
        let mut choices = Vec::new();
        for directive in scope.block().iter().filter(|directive| directive.name == "location") {
            directive.see();
            let inner = scope.with(directive.inside());
            let kind = match kind(directive) {
                Ok(Some(kind)) => kind,
                Ok(None) => {
                    let location = Location { directive, scope: inner, kind: None };
                    self.named.push((directive.arguments.first().map_or("", String::as_str), location));
                    continue;
                }
                Err(why) => {
                    notes.missing(directive, why);
                    continue;
                }
            };
            let target = self.all.len();
            self.all.push(Location { directive, scope: inner.clone(), kind: Some(kind.clone()) });
            let mut nested = self.level(&inner, notes);
            if matches!(kind, Kind::Regex(_)) && !nested.is_empty() {
                for nested in std::mem::take(&mut nested) {
                    notes.missing(
                        self.all[nested.target].directive,
                        "it stands in a regular expression: write a [[route]] whose expression says both",
                    );
                }
            }
            choices.push(Choice { kind, target, inner: nested });
        }
        choices
    }
}

/// How it says which paths it is for; `None` for a name.
fn kind(directive: &Directive) -> Result<Option<Kind>, String> {
    let (first, second) = (directive.argument(0), directive.argument(1));
    // The sign may stand without a blank behind it.
    let (sign, path) = match first {
        "=" | "^~" | "~" | "~*" => (first, second.to_owned()),
        first => ["=", "^~", "~*", "~"]
            .iter()
            .find_map(|sign| Some((*sign, first.strip_prefix(sign)?.to_owned())))
            .unwrap_or(("", first.to_owned())),
    };
    Ok(Some(match sign {
        "=" => Kind::Exact(path),
        "^~" => Kind::Prefix(path, true),
        "~" => Kind::Regex(Regex::of(&path, false)?),
        "~*" => Kind::Regex(Regex::of(&path, true)?),
        _ if path.starts_with('@') => return Ok(None),
        _ => Kind::Prefix(path, false),
    }))
}
