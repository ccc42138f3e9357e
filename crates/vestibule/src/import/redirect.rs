//! `return` and `rewrite`.

use super::action::{Answer, Draft, NOTHING, Shared, Site, respond};
use super::condition::OldWay;
use super::directive::Directive;
use super::location::Location;
use super::note::Notes;
use super::order::{self, Kind};
use super::pattern::Regex;
use super::scope::Scope;
use super::variable::{self, Known};
use super::written::{self, Keys};

/// What a `return` answers.
pub(super) fn returned(
    directive: &Directive,
    scope: &Scope<'_>,
    known: Known<'_>,
    keys: &mut Keys,
    notes: &mut Notes,
) {
    let (status, rest) = match directive.argument(0).parse::<u16>() {
        Ok(status) => (status, directive.argument(1)),
        Err(_) => (302, directive.argument(0)),
    };
    if matches!(status, 301 | 302 | 303 | 307 | 308) {
        return match variable::template(rest, known) {
            Ok(to) => redirect(keys, &to, status),
            Err(unknown) => {
                notes.missing(
                    directive,
                    format!("{unknown} is not known here; write a redirect with what is"),
                );
                respond(keys, NOTHING);
            }
        };
    }
    if !is_answer(status) {
        notes.missing(directive, format!("{status} is not the status of an answer"));
        return respond(keys, NOTHING);
    }
    let Some(body) = variable::constant(rest) else {
        notes
            .missing(directive, "a fixed answer has the same text for all; have the application answer this");
        return respond(keys, status);
    };
    if body.is_empty() {
        return respond(keys, status);
    }
    let fields = scope.own("add_header");
    let kind = fields.iter().find(|field| field.argument(0).eq_ignore_ascii_case("content-type"));
    let kind =
        kind.map(|field| field.argument(1)).or_else(|| scope.word("default_type")).unwrap_or("text/plain");
    keys.set(
        "respond",
        written::table(&[
            ("status".to_owned(), status.to_string()),
            ("body".to_owned(), written::text(body)),
            ("type".to_owned(), written::text(kind)),
        ]),
    );
}

/// Whether a status can be answered by itself.
pub(super) fn is_answer(status: u16) -> bool {
    (200..=599).contains(&status) && !matches!(status, 301 | 302 | 303 | 307 | 308)
}

fn redirect(keys: &mut Keys, to: &str, status: u16) {
    // A path alone could begin with two slashes, which would lead to another host.
    let to = if to.starts_with("$uri") || to.starts_with("$path") {
        format!("$scheme://$host{to}")
    } else {
        to.to_owned()
    };
    let entries = [("to".to_owned(), written::text(&to)), ("status".to_owned(), status.to_string())];
    keys.set("redirect", written::table(&entries));
}

/// What a `rewrite` is.
pub(super) enum Rewritten {
    /// All that the location is for are sent elsewhere.
    All(Keys),
    /// Some of them.
    Some(Draft),
    /// All go on with another path.
    Path(String),
    Nothing,
}

/// A `rewrite` of a location or of a server.
pub(super) fn rewrite<'d>(
    directive: &'d Directive,
    location: &Location<'d>,
    site: &Site<'_, 'd>,
    shared: &mut Shared<'d>,
    notes: &mut Notes,
) -> Rewritten {
    let (expression, to, flag) = (directive.argument(0), directive.argument(1), directive.argument(2));
    let regex = match Regex::of(expression, false) {
        Ok(regex) => regex,
        Err(why) => {
            notes.missing(directive, why);
            return Rewritten::Nothing;
        }
    };
    let is_all = matches!(
        expression,
        "^" | "."
            | ".*"
            | "^.*"
            | "^.*$"
            | "^/"
            | "^(.*)$"
            | "^(.*)"
            | "(.*)"
            | "^/(.*)$"
            | "^/(.*)"
            | "^/.*$"
    );
    // What the whole path is caught as is the path.
    let to = match expression {
        "^(.*)$" | "^(.*)" | "(.*)" => to.replace("$1", "$uri"),
        "^/(.*)$" | "^/(.*)" => to.replace("/$1", "$uri"),
        _ => to.to_owned(),
    };
    let sends = matches!(flag, "permanent" | "redirect")
        || to.starts_with("http://")
        || to.starts_with("https://")
        || to.starts_with("$scheme");
    let known = Known { caught: if is_all { &[] } else { &regex.groups }, ..site.about.known };
    let template = match variable::template(to.trim_end_matches('?'), known) {
        Ok(template) => template,
        Err(unknown) => {
            notes.missing(directive, format!("{unknown} is not known here"));
            return Rewritten::Nothing;
        }
    };
    if sends {
        // nginx adds the query, unless the text ends with `?` or has one.
        let mut template = template;
        if is_all && !to.ends_with('?') {
            template = template.replace("$path", "$uri");
        }
        if !to.contains('?') && !template.contains("$uri") {
            notes.different(
                directive,
                "the query is left out of the new address: write ?$query behind it if it matters",
            );
        }
        let mut keys = Keys::default();
        redirect(&mut keys, &template, if flag == "permanent" { 301 } else { 302 });
        return if is_all {
            Rewritten::All(keys)
        } else {
            Rewritten::Some(Draft { only: Some(regex), keys })
        };
    }
    if let Some(Kind::Prefix(prefix, _)) = &location.kind
        && flag == "break"
    {
        // `rewrite ^/api/(.*)$ /$1 break`: what the location's prefix leaves over.
        let own = [
            format!("^{prefix}(.*)$"),
            format!("^{prefix}(.*)"),
            format!("^{prefix}/?(.*)$"),
            format!("{prefix}(.*)"),
        ];
        if own.iter().any(|own| own == expression) && prefix.ends_with('/') {
            return Rewritten::Path(template);
        }
        if is_all && template.starts_with('/') {
            return Rewritten::Path(template);
        }
    }
    if location.kind.is_none() && matches!(flag, "last" | "break" | "") && template.starts_with('/') {
        // The location that the new path leads to, as far as it can be known.
        let sample = template.replace("$1", "x").replace("$2", "x").replace("$3", "x");
        let target = order::choose(&site.locations.choices, &sample).unwrap_or(0);
        let other = site.locations.all[target].clone();
        if target != 0 || !other.scope.own("try_files").is_empty() {
            let mut keys = Keys::default();
            let answer = Answer::of(&other, &OldWay::default(), site, shared, notes);
            answer.write(&other, site, shared, notes, &mut keys);
            keys.set("rewrite", written::text(&template));
            notes.different(directive, format!("what answers is what answers {sample}"));
            return Rewritten::Some(Draft { only: Some(regex), keys });
        }
    }
    notes.missing(
        directive,
        "write a [[route]] with this expression as its path, `rewrite`, and what answers",
    );
    Rewritten::Nothing
}
