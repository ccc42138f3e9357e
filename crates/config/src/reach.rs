//! Routes that no request reaches: regular expressions are asked after prefixes, so one that fits nothing but what a prefix takes whole is
//! never asked.
//!
//! Nothing else is hidden by the rule of the routes: what begins with more is asked before what begins with less, and more conditions
//! before fewer.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::conditions::Conditions;
use crate::host::HostPattern;
use crate::model::RouteId;
use crate::path_pattern::PathPattern;

/// One of the hosts and paths of a route.
pub(crate) type Way<'t> = (&'t HostPattern, &'t PathPattern, &'t Conditions, RouteId);

/// Each route that is never reached, with one that takes its requests; in the order in which they are written.
pub(crate) fn never_reached<'t>(ways: impl Iterator<Item = Way<'t>> + Clone) -> Vec<(RouteId, RouteId)> {
    let mut whole: HashMap<&HostPattern, HashMap<&str, RouteId>> = HashMap::new();
    for (host, path, conditions, route) in ways.clone() {
        // One without a path is asked after them.
        if let (PathPattern::Prefix(prefix), 0) = (path, conditions.count())
            && !prefix.is_empty()
        {
            whole.entry(host).or_default().insert(prefix, route);
        }
    }
    let (mut hidden, mut reached) = (BTreeMap::new(), BTreeSet::new());
    for (host, path, _, route) in ways {
        let by = match (path, whole.get(host)) {
            (PathPattern::Expression(expression), Some(prefixes)) => {
                // Prefixes end with a `/`.
                let literal = beginning(&expression.text);
                let ends = literal.match_indices('/').map(|(slash, _)| slash + 1);
                ends.filter_map(|end| prefixes.get(&literal[..end])).next()
            }
            _ => None,
        };
        match by {
            Some(by) => {
                hidden.insert(route, *by);
            }
            None => {
                reached.insert(route);
            }
        }
    }
    hidden.into_iter().filter(|(route, _)| !reached.contains(route)).collect()
}

/// What every path begins with that an expression finds something in, as far as that is plain to see.
fn beginning(expression: &str) -> &str {
    let Some(text) = expression.strip_prefix('^').filter(|text| !text.contains('|')) else { return "" };
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_')))
        .unwrap_or(text.len());
    // What may be left out, or said how often, is not sure to be there.
    let is_counted = text[end..].starts_with(['?', '*', '{', '+']);
    &text[..end.saturating_sub(usize::from(is_counted))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_an_expression_begins_with() {
        for (expression, literal) in [
            ("^/u/(\\d+)$", "/u/"),
            ("^/users?/", "/user"),
            ("^/a{2}", "/"),
            ("/u/", ""),
            ("^/a|^/b", ""),
            ("(?i)^/a", ""),
            ("^/a.b", "/a"),
            ("^/abc$", "/abc"),
        ] {
            assert_eq!(beginning(expression), literal, "{expression}");
        }
    }
}
