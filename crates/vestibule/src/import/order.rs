//! nginx's choice of a location, in the order of routes.
//!
//! nginx: an exact location; else the longest prefix is noted, and if that one does not say `^~`, the first regular expression that fits wins
//! over it. Routes: exact, longest beginning, expressions last. So a prefix that an expression of nginx may win over becomes an expression
//! itself, behind that one; all others stay what they are.

use super::pattern::{Pattern, Regex};

/// A location as it is chosen; `target` is whatever the caller knows it by.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) kind: Kind,
    pub(super) target: usize,
    /// Locations in it.
    pub(super) inner: Vec<Choice>,
}

/// How a location says which paths it is for.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// `= /path`
    Exact(String),
    /// `/prefix`, and with `^~`: no regular expression wins over it.
    Prefix(String, bool),
    /// `~ expression`
    Regex(Regex),
}

/// One of a list in which the first that fits wins.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) pattern: Pattern,
    pub(super) target: usize,
}

/// The list that chooses as nginx does among `level`, and `rest` for what none of them fits. The second of what comes back are the
/// targets for which it does not, because an expression cannot be bounded to what is below a prefix.
pub(super) fn list(level: &[Choice], rest: usize) -> (Vec<Entry>, Vec<usize>) {
    let mut level = level.to_vec();
    flatten(&mut level);
    let mut entries = Vec::new();
    let mut lost = Vec::new();
    if is_plain(&level) {
        exact(&level, &mut entries);
        let mut prefixes = longest_first(&level);
        if expressions(&level).next().is_none() {
            prefixes.iter_mut().for_each(|(_, sure, _)| *sure = false);
        }
        // Nothing wins over these …
        entries.extend(
            prefixes
                .iter()
                .filter(|(.., sure, _)| *sure)
                .map(|(prefix, _, choice)| prefix_entry(prefix, choice)),
        );
        // … the expressions win over those.
        entries.extend(
            expressions(&level)
                .map(|(regex, target)| Entry { pattern: Pattern::Regex(regex.clone()), target }),
        );
        entries.extend(
            prefixes
                .iter()
                .filter(|(.., sure, _)| !sure)
                .map(|(prefix, _, choice)| prefix_entry(prefix, choice)),
        );
    } else {
        decide(&level, "", &[], &mut entries, &mut lost);
    }
    if !entries.iter().any(|entry| matches!(&entry.pattern, Pattern::Prefix(prefix) if prefix == "/")) {
        entries.push(Entry { pattern: Pattern::Prefix("/".to_owned()), target: rest });
    }
    lost.dedup();
    (entries, lost)
}

/// Nested locations without expressions are chosen as if they stood beside the one that they are in.
fn flatten(level: &mut Vec<Choice>) {
    let mut at = 0;
    while at < level.len() {
        let outer = &mut level[at];
        at += 1;
        let Kind::Prefix(_, sure) = outer.kind else { continue };
        flatten(&mut outer.inner);
        if outer.inner.iter().any(|inner| matches!(inner.kind, Kind::Regex(_)) || !inner.inner.is_empty()) {
            continue;
        }
        for mut inner in std::mem::take(&mut outer.inner) {
            // The expressions around them are asked if the outer one lets them.
            if let Kind::Prefix(_, inner_sure) = &mut inner.kind {
                *inner_sure = sure;
            }
            level.push(inner);
        }
    }
}

/// Whether one list of expressions is right for all prefixes: none has expressions of its own, and none below a `^~` is without it.
fn is_plain(level: &[Choice]) -> bool {
    let prefixes = longest_first(level);
    level.iter().all(|choice| choice.inner.is_empty())
        && (expressions(level).next().is_none()
            || prefixes.iter().all(|(long, sure, _)| {
                *sure
                    || !prefixes
                        .iter()
                        .any(|(short, sure, _)| *sure && long.len() > short.len() && long.starts_with(short))
            }))
}

fn exact(level: &[Choice], entries: &mut Vec<Entry>) {
    for choice in level {
        if let Kind::Exact(path) = &choice.kind {
            entries.push(Entry { pattern: Pattern::Exact(path.clone()), target: choice.target });
        }
    }
}

fn longest_first(level: &[Choice]) -> Vec<(&str, bool, &Choice)> {
    let mut prefixes: Vec<_> = level
        .iter()
        .filter_map(|choice| match &choice.kind {
            Kind::Prefix(prefix, sure) => Some((prefix.as_str(), *sure, choice)),
            _ => None,
        })
        .collect();
    prefixes.sort_by_key(|(prefix, ..)| std::cmp::Reverse(prefix.len()));
    prefixes
}

fn expressions(level: &[Choice]) -> impl Iterator<Item = (&Regex, usize)> {
    level.iter().filter_map(|choice| match &choice.kind {
        Kind::Regex(regex) => Some((regex, choice.target)),
        _ => None,
    })
}

fn prefix_entry(prefix: &str, choice: &Choice) -> Entry {
    Entry { pattern: Pattern::Prefix(prefix.to_owned()), target: choice.target }
}

/// The general case: each prefix has its expressions, its own before those around it, bounded to what is below it. Says of `region`
/// only what is chosen at this level.
fn decide(
    level: &[Choice],
    region: &str,
    around: &[(Regex, usize)],
    entries: &mut Vec<Entry>,
    lost: &mut Vec<usize>,
) {
    exact(level, entries);
    let own: Vec<(Regex, usize)> =
        expressions(level).map(|(regex, target)| (regex.clone(), target)).collect();
    for (prefix, sure, choice) in longest_first(level) {
        let own: &[_] = if sure { &[] } else { &own };
        let asked: Vec<_> = own.iter().chain(around).cloned().collect();
        decide(&choice.inner, prefix, &asked, entries, lost);
        entries.push(prefix_entry(prefix, choice));
    }
    for (regex, target) in own.iter().chain(around) {
        match regex.below(region) {
            Some(regex) => entries.push(Entry { pattern: Pattern::Regex(regex), target: *target }),
            // It has nothing to do with what is below.
            None if !Pattern::Prefix(region.to_owned()).overlaps(&Pattern::Regex(regex.clone())) => {}
            None => lost.push(*target),
        }
    }
}

/// Gives each entry the pattern by which the routes choose as the list does.
pub(super) fn for_routes(entries: Vec<Entry>) -> Vec<Entry> {
    let mut ordered: Vec<Entry> = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let behind = ordered.iter().any(|earlier| {
            matches!(earlier.pattern, Pattern::Regex(_)) && earlier.pattern.overlaps(&entry.pattern)
        });
        // It would lose against one that comes later in the list.
        let loses = entries[at + 1..].iter().any(|later| {
            later.target != entry.target
                && later.pattern.is_asked_before(&entry.pattern)
                && later.pattern.overlaps(&entry.pattern)
        });
        let pattern = if behind || loses { entry.pattern.as_regex() } else { None };
        let pattern = pattern.unwrap_or_else(|| entry.pattern.clone());
        // Of two that are the same the first has all that they fit.
        if !ordered.iter().any(|earlier| earlier.pattern.is(&pattern)) {
            ordered.push(Entry { pattern, target: entry.target });
        }
    }
    ordered
}

/// Which target nginx would take: for what has to be known of an address before any request comes.
pub(super) fn choose(level: &[Choice], path: &str) -> Option<usize> {
    search(level, path).0
}

/// The target, and whether it is final.
fn search(level: &[Choice], path: &str) -> (Option<usize>, bool) {
    let exact = level.iter().find(|choice| matches!(&choice.kind, Kind::Exact(exact) if exact == path));
    if let Some(choice) = exact {
        return (Some(choice.target), true);
    }
    let longest = longest_first(level).into_iter().find(|(prefix, ..)| path.starts_with(prefix));
    let mut found = None;
    if let Some((_, _, choice)) = longest {
        let (inner, is_final) = search(&choice.inner, path);
        found = Some(inner.unwrap_or(choice.target));
        if is_final {
            return (found, true);
        }
    }
    if !longest.is_some_and(|(_, sure, _)| sure)
        && let Some((_, target)) = expressions(level).find(|(regex, _)| regex.fits(path))
    {
        return (Some(target), true);
    }
    (found, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str, sure: bool, target: usize, inner: Vec<Choice>) -> Choice {
        Choice { kind: Kind::Prefix(text.to_owned(), sure), target, inner }
    }

    fn regex(text: &str, target: usize) -> Choice {
        Choice { kind: Kind::Regex(Regex::of(text, false).unwrap()), target, inner: Vec::new() }
    }

    fn exact(text: &str, target: usize) -> Choice {
        Choice { kind: Kind::Exact(text.to_owned()), target, inner: Vec::new() }
    }

    fn fits(pattern: &Pattern, path: &str) -> bool {
        match pattern {
            Pattern::Exact(exact) => exact == path,
            Pattern::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Pattern::Regex(regex) => regex.fits(path),
        }
    }

    /// The rule of the routes.
    fn route(entries: &[Entry], path: &str) -> Option<usize> {
        let fitting = entries.iter().filter(|entry| fits(&entry.pattern, path));
        let rank = |entry: &&Entry| match &entry.pattern {
            Pattern::Exact(_) => (0, 0),
            Pattern::Prefix(prefix) if prefix == "/" => (3, 0),
            Pattern::Prefix(prefix) => (1, usize::MAX - prefix.len()),
            Pattern::Regex(_) => (2, 0),
        };
        fitting.min_by_key(rank).map(|entry| entry.target)
    }

    #[test]
    fn routes_choose_what_nginx_chooses() {
        let paths = [
            "/",
            "/a",
            "/ab",
            "/a/",
            "/a/x.js",
            "/a/b/",
            "/a/b/x.js",
            "/a/b/c",
            "/assets/x.js",
            "/assets/p/y.js",
            "/x.js",
            "/api",
            "/api/",
            "/api/x.js",
            "/api/v1",
            "/exact",
            "/exact.js",
            "/z",
        ];
        let pool = |number: usize, target: usize| match number {
            0 => exact("/exact", target),
            1 => prefix("/", false, target, Vec::new()),
            2 => prefix("/a/", false, target, vec![prefix("/a/b/", true, target + 100, Vec::new())]),
            3 => prefix("/assets/", true, target, Vec::new()),
            4 => regex(r"\.js$", target),
            5 => prefix("/api", false, target, Vec::new()),
            6 => regex("^/a(pi|b)", target),
            7 => prefix("/assets/p/", false, target, Vec::new()),
            8 => prefix("/a", true, target, vec![regex("c$", target + 100), exact("/a/x.js", target + 200)]),
            _ => regex("^/api/v[0-9]", target),
        };
        // Every choice of them.
        for set in 0_u32..1 << 10 {
            let level: Vec<_> = (0..10).filter(|bit| set & 1 << bit != 0).map(|bit| pool(bit, bit)).collect();
            let (entries, lost) = list(&level, 99);
            let entries = for_routes(entries);
            for path in paths {
                let wanted = choose(&level, path).unwrap_or(99);
                let found = route(&entries, path);
                assert!(
                    found == Some(wanted) || lost.contains(&wanted),
                    "{level:#?} {path}: {wanted}, not {found:?} by {entries:#?}"
                );
            }
        }
    }

    #[test]
    fn leaves_alone_what_no_expression_touches() {
        let level = [
            prefix("/", false, 1, Vec::new()),
            prefix("/assets/", true, 2, Vec::new()),
            regex("^/u/([0-9]+)$", 3),
        ];
        let written: Vec<_> =
            for_routes(list(&level, 0).0).iter().flat_map(|entry| entry.pattern.written()).collect();
        assert_eq!(written, ["/assets/*", "~ ^/u/([0-9]+)$", "~ ^/"]);
    }
}
