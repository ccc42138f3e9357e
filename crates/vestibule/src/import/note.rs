//! What has to be said about an import: nothing is left out silently.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::directive::Directive;
use super::place::Place;
use super::scope::Scope;

/// Something that a reader has to know, and where it comes from.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Note {
    pub(super) place: Place,
    /// The directive.
    pub(super) what: String,
    /// Why, and what to do.
    pub(super) why: String,
}

/// All that has to be said.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// What is not in the configuration that was made.
    missing: Vec<Note>,
    /// What is in it, and does not do quite the same.
    different: Vec<Note>,
    /// What Vestibule does by itself, or has no use for: where, by directive and reason.
    needless: BTreeMap<(String, String), Vec<Place>>,
}

impl Notes {
    /// It is not carried over. `why` ends with what to do.
    pub(super) fn missing(&mut self, directive: &Directive, why: impl Into<String>) {
        directive.see_all();
        let note = Note { place: directive.place.clone(), what: directive.text(), why: why.into() };
        if !self.missing.contains(&note) {
            self.missing.push(note);
        }
    }

    /// The same for one that may stand in several blocks around.
    pub(super) fn missing_one(&mut self, scope: &Scope<'_>, name: &str, why: &str) {
        if let Some(directive) = scope.one(name) {
            self.missing(directive, why);
        }
    }

    /// It is carried over, and something is not the same.
    pub(super) fn different(&mut self, directive: &Directive, why: impl Into<String>) {
        directive.see();
        let note = Note { place: directive.place.clone(), what: directive.text(), why: why.into() };
        if !self.different.contains(&note) {
            self.different.push(note);
        }
    }

    /// Nothing has to be written for it.
    pub(super) fn needless(&mut self, directive: &Directive, why: &str) {
        directive.see_all();
        self.needless_part(directive, why);
    }

    /// A part of it is carried over, and nothing has to be written for the rest.
    pub(super) fn needless_part(&mut self, directive: &Directive, why: &str) {
        let places = self.needless.entry((directive.name.clone(), why.to_owned())).or_default();
        if !places.contains(&directive.place) {
            places.push(directive.place.clone());
        }
    }

    /// How many are not carried over.
    pub(super) fn missing_count(&self) -> usize {
        self.missing.len()
    }

    /// As text, for a terminal and for comments.
    pub(super) fn text(&mut self) -> String {
        let mut text = String::new();
        self.missing.sort();
        self.different.sort();
        for (title, notes) in
            [("NOT carried over:", &self.missing), ("Carried over, but not quite the same:", &self.different)]
        {
            if notes.is_empty() {
                continue;
            }
            let _ = writeln!(text, "{title}");
            // What is said for the same reason is said together, where the first of it stands.
            let mut reasons: Vec<&str> = Vec::new();
            for Note { why, .. } in notes {
                if reasons.contains(&why.as_str()) {
                    continue;
                }
                reasons.push(why);
                for Note { place, what, .. } in notes.iter().filter(|note| note.why == *why) {
                    let _ = writeln!(text, "  {place}: {what}");
                }
                let _ = writeln!(text, "      {why}");
            }
        }
        if !self.needless.is_empty() {
            text.push_str("Not needed:\n");
            for ((name, why), places) in &self.needless {
                let first: Vec<_> = places.iter().take(3).map(Place::to_string).collect();
                let more =
                    if places.len() > 3 { format!(" and {} more", places.len() - 3) } else { String::new() };
                let _ = writeln!(text, "  {name} ({}{more}): {why}", first.join(", "));
            }
        }
        text
    }
}
