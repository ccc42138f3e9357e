//! Which route a request takes.
//!
//! **The rule, in one sentence**: the host decides first (exact, then the longest wildcard, then any), then the path (exact, then the pattern
//! that begins with the most literal characters, a glob before a prefix that begins alike, then regular expressions in the order
//! written, then no path at all), then the number of conditions (method, header, query, client), more before fewer; where a route's
//! conditions do not hold, the next in this order is asked.
//!
//! Routes that tie in all of this are asked in the order in which they are written. Two of them with the same conditions are an error.
//!
//! - `*.example.com` fits `a.example.com` and `a.b.example.com`, not `example.com` itself.
//! - `/assets/*` fits `/assets/` and everything below it. It does not fit `/assets`, which is another path: name it beside the other.
//! - `/*` is the same as no path.
//! - Paths are compared by what they mean ([`vestibule_http1::write_canonical`]): `//admin/`, `/%61dmin/` and `/x/../admin/` are `/admin/`, so that
//!   who guards it guards all of them. Case matters. The upstream gets the path as it was sent.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use crate::conditions::Conditions;
use crate::error::Error;
use crate::expression::Expression;
use crate::host::{self, HostPattern};
use crate::model::RouteId;
use crate::path_pattern::PathPattern;
use crate::path_tree::{Choice, Choices, Collected, PathTree};
use crate::problem::Problem;
use crate::reach;
use crate::shortlist::{Place, Shortlist};

/// What of a request decides its route.
pub trait Asked {
    /// What the client sent as `Host` or in an absolute target: any case, with or without a port and a last dot; empty when there was none.
    fn host(&self) -> &[u8];
    /// The target's path, with or without the query, as [`vestibule_http1::write_canonical`] writes it.
    fn path(&self) -> &[u8];
    /// What follows the `?`, as sent; `None` without one.
    fn query(&self) -> Option<&[u8]>;
    /// As sent.
    fn method(&self) -> &[u8];
    /// The method that a script asks for by a preflight (Fetch 3.2.2), which is itself an OPTIONS.
    fn preflight_for(&self) -> Option<&[u8]> {
        None
    }
    /// The address that the request really came from.
    fn client(&self) -> IpAddr;
    /// Whether the value of one of the fields with this name, which is in lower case, passes `test`.
    fn any_field(&self, name: &[u8], test: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

/// A GET for a path at a host, and nothing else; for tests and benches.
#[derive(Debug, Clone, Copy)]
pub struct HostAndPath<'a>(pub &'a [u8], pub &'a [u8]);

impl Asked for HostAndPath<'_> {
    fn host(&self) -> &[u8] {
        self.0
    }

    fn path(&self) -> &[u8] {
        self.1
    }

    fn query(&self) -> Option<&[u8]> {
        self.1.iter().position(|&byte| byte == b'?').map(|mark| &self.1[mark + 1..])
    }

    fn method(&self) -> &[u8] {
        b"GET"
    }

    fn client(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    }

    fn any_field(&self, _: &[u8], _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
}

/// Routes compiled for finding: the cost of [`Routes::find`] depends on the length of the host and the path that are
/// looked up, not on the number of routes. The default has no route at all.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    exact: HashMap<Box<[u8]>, Paths>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<[u8]>, Paths>,
    /// Labels of the longest key in `wildcard`: suffixes with more of them need not be looked up.
    wildcard_labels: usize,
    any: Paths,
    /// The paths of each route by its number, of which the first that fits is the one by which it was found.
    patterns: Vec<Vec<PathPattern>>,
    /// See [`Routes::never_reached`].
    never_reached: Vec<(RouteId, RouteId)>,
}

/// The paths of one host.
#[derive(Debug, Clone, Default)]
struct Paths {
    tree: PathTree,
    /// Asked after it; boxed, since hardly anybody has any.
    expressions: Option<Box<ByExpression>>,
    /// Those that name no path: asked last.
    rest: Choices,
}

#[derive(Debug, Clone)]
struct ByExpression {
    /// In the order in which they are asked.
    all: Box<[(Expression, Choices)]>,
    shortlist: Option<Box<Shortlist>>,
}

impl Routes {
    /// Every request to one route.
    #[must_use]
    pub fn all_to(route: RouteId) -> Self {
        let mut builder = Self::builder();
        builder.insert(&[HostPattern::Any], &[PathPattern::any()], Conditions::default(), route);
        builder.build()
    }

    /// Starts with no route; for tests and benches, and for whoever has routes from elsewhere than a file.
    #[must_use]
    pub fn builder() -> RoutesBuilder {
        RoutesBuilder::default()
    }

    /// The route of a request, or `None` when no route fits (the answer is then 404). Allocates nothing where only exact paths and prefixes
    /// are asked.
    #[must_use]
    pub fn find<A: Asked + ?Sized>(&self, asked: &A) -> Option<RouteId> {
        let mut found = None;
        self.offer(asked, &mut |route, conditions| {
            let is_it = conditions.is_none_or(|conditions| conditions.hold(asked));
            if is_it {
                found = Some(route);
            }
            is_it
        });
        found
    }

    /// Hands each route whose host and path fit to `each`, in the order in which they are asked, with whether its conditions hold: the first
    /// with `true` is the one that [`Routes::find`] gives.
    pub fn candidates<A: Asked + ?Sized>(&self, asked: &A, each: &mut dyn FnMut(RouteId, bool)) {
        // A route with several hosts and paths may fit by more than one of them.
        let mut seen = Vec::new();
        self.offer(asked, &mut |route, conditions| {
            if !seen.contains(&route) {
                seen.push(route);
                each(route, conditions.is_none_or(|conditions| conditions.hold(asked)));
            }
            false
        });
    }

    /// The conditions of a route whose host and path fit, in words (`method is POST`), each with whether it holds.
    #[must_use]
    pub fn conditions<A: Asked + ?Sized>(&self, route: RouteId, asked: &A) -> Vec<(String, bool)> {
        let mut found = Vec::new();
        self.offer(asked, &mut |other, conditions| {
            if other == route
                && let Some(conditions) = conditions
            {
                found = conditions.each(asked);
            }
            other == route
        });
        found
    }

    /// Where in `path` stands what the path of this route catches: of each `*`, of what a last `/*` stands for, of each group of a regular
    /// expression (empty for one that took no part), in order; `$1` is the first. Nothing is added for a path that does not fit, or is exact.
    /// `path` may have a query, which is not looked at.
    pub fn caught(&self, route: RouteId, path: &[u8], out: &mut Vec<Range<usize>>) {
        let path = without_query(path);
        if let Some(patterns) = self.patterns.get(route.0) {
            // It stops at the first that fits.
            let _ = patterns.iter().any(|pattern| pattern.caught(path, out));
        }
    }

    /// Routes that no request reaches, each with one that takes what it would: a regular expression for what a prefix has whole.
    #[must_use]
    pub fn never_reached(&self) -> &[(RouteId, RouteId)] {
        &self.never_reached
    }

    /// Offers the routes whose host and path fit to `take` in their order, until it takes one.
    fn offer<A: Asked + ?Sized>(
        &self,
        asked: &A,
        take: &mut impl FnMut(RouteId, Option<&Conditions>) -> bool,
    ) -> bool {
        let path = without_query(asked.path());
        // Most configurations name no host: their requests pay for none.
        let by_host = !self.exact.is_empty() || !self.wildcard.is_empty();
        by_host && self.offer_by_host(asked.host(), path, take) || self.any.offer(path, take)
    }

    fn offer_by_host(
        &self,
        host: &[u8],
        path: &[u8],
        take: &mut impl FnMut(RouteId, Option<&Conditions>) -> bool,
    ) -> bool {
        let mut buffer = [0; host::LONGEST];
        let Some(host) = host::normalise(host, &mut buffer) else { return false };
        if self.exact.get(host).is_some_and(|paths| paths.offer(path, take)) {
            return true;
        }
        if self.wildcard.is_empty() {
            return false;
        }
        let mut labels = host::labels(host);
        for (dot, _) in host.iter().enumerate().filter(|&(_, &byte)| byte == b'.') {
            labels -= 1;
            // A client may send a hundred labels; no more lookups than the deepest wildcard has.
            if dot == 0 || labels > self.wildcard_labels {
                continue;
            }
            if self.wildcard.get(&host[dot + 1..]).is_some_and(|paths| paths.offer(path, take)) {
                return true;
            }
        }
        false
    }
}

fn without_query(path: &[u8]) -> &[u8] {
    path.iter().position(|&byte| byte == b'?').map_or(path, |query| &path[..query])
}

impl Paths {
    fn offer(&self, path: &[u8], take: &mut impl FnMut(RouteId, Option<&Conditions>) -> bool) -> bool {
        self.tree.offer(path, take)
            || self.expressions.as_ref().is_some_and(|expressions| expressions.offer(path, take))
            || self.rest.offer(take)
    }
}

impl ByExpression {
    fn offer(&self, path: &[u8], take: &mut impl FnMut(RouteId, Option<&Conditions>) -> bool) -> bool {
        let mut offer =
            |(expression, choices): &(Expression, Choices)| expression.fits(path) && choices.offer(take);
        match &self.shortlist {
            None => self.all.iter().any(offer),
            Some(shortlist) => {
                shortlist.numbers(path).filter_map(|number| self.all.get(number)).any(&mut offer)
            }
        }
    }
}

/// Collects routes into [`Routes`].
#[derive(Debug, Default)]
pub struct RoutesBuilder {
    hosts: HashMap<HostPattern, CollectedPaths>,
    patterns: Vec<Vec<PathPattern>>,
    /// Conditions of the routes of a host and a path.
    taken: HashMap<(HostPattern, PathPattern), Vec<(Conditions, RouteId)>>,
}

#[derive(Debug, Default)]
struct CollectedPaths {
    tree: Collected,
    /// In the order in which they were first written.
    expressions: Vec<Expression>,
    /// Of each expression.
    choices: Vec<Vec<Choice>>,
    /// Where it is in both.
    indices: HashMap<Expression, usize>,
    rest: Vec<Choice>,
}

impl RoutesBuilder {
    /// Adds one route: `host` as `example.com` or `*.example.com`, `path` as `/exact`, `/prefix/*`, `/a/*/glob` or `~ expression`; `None` fits
    /// any.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the host or the path is malformed, or when the same host and path have a route already.
    pub fn route(
        &mut self,
        host: Option<&str>,
        path: Option<&str>,
        route: RouteId,
    ) -> Result<&mut Self, Error> {
        let host = host.map_or(Ok(HostPattern::Any), HostPattern::parse)?;
        let path = path.map_or(Ok(PathPattern::any()), PathPattern::parse)?;
        match self.insert(&[host], &[path], Conditions::default(), route) {
            None => Ok(self),
            Some(_) => Err(Problem::new("two routes have the same host and path").into()),
        }
    }

    /// Adds one route, or gives one that is there already with one of the hosts, one of the paths and the same conditions; then nothing is
    /// added.
    pub(crate) fn insert(
        &mut self,
        hosts: &[HostPattern],
        paths: &[PathPattern],
        conditions: Conditions,
        route: RouteId,
    ) -> Option<RouteId> {
        let combinations =
            || hosts.iter().flat_map(|host| paths.iter().map(move |path| (host.clone(), path.clone())));
        for combination in combinations() {
            let taken = self.taken.get(&combination).into_iter().flatten();
            if let Some((_, earlier)) = taken.into_iter().find(|(other, _)| *other == conditions) {
                return Some(*earlier);
            }
        }
        for (host, path) in combinations() {
            let boxed = (conditions.count() > 0).then(|| Box::new(conditions.clone()));
            self.hosts.entry(host.clone()).or_default().add(&path, Choice { route, conditions: boxed });
            self.taken.entry((host, path)).or_default().push((conditions.clone(), route));
        }
        if self.patterns.len() <= route.0 {
            self.patterns.resize(route.0 + 1, Vec::new());
        }
        if let Some(patterns) = self.patterns.get_mut(route.0) {
            patterns.extend_from_slice(paths);
        }
        None
    }

    /// The routes, compiled.
    #[must_use]
    pub fn build(self) -> Routes {
        let ways = self.taken.iter().flat_map(|((host, path), routes)| {
            routes.iter().map(move |(conditions, route)| (host, path, conditions, *route))
        });
        let never_reached = reach::never_reached(ways);
        let mut routes = Routes { patterns: self.patterns, never_reached, ..Routes::default() };
        for patterns in &mut routes.patterns {
            patterns.sort_by_key(PathPattern::rank);
        }
        for (host, paths) in self.hosts {
            let paths = paths.build();
            match host {
                HostPattern::Any => routes.any = paths,
                HostPattern::Exact(name) => {
                    routes.exact.insert(name.into_bytes().into(), paths);
                }
                HostPattern::Wildcard(suffix) => {
                    routes.wildcard_labels = routes.wildcard_labels.max(host::labels(suffix.as_bytes()));
                    routes.wildcard.insert(suffix.into_bytes().into(), paths);
                }
            }
        }
        routes
    }
}

impl CollectedPaths {
    fn add(&mut self, path: &PathPattern, choice: Choice) {
        let expression = match path {
            PathPattern::Expression(expression) => expression,
            path if *path == PathPattern::any() => return self.rest.push(choice),
            path => return self.tree.add(path, choice),
        };
        let index = *self.indices.entry(expression.clone()).or_insert(self.expressions.len());
        if index == self.expressions.len() {
            self.expressions.push(expression.clone());
            self.choices.push(Vec::new());
        }
        if let Some(choices) = self.choices.get_mut(index) {
            choices.push(choice);
        }
    }

    fn build(self) -> Paths {
        let beginnings = self.expressions.iter().map(|expression| {
            let beginning = &*expression.beginning;
            (Place::Beginning(beginning.len()), beginning)
        });
        let shortlist = Shortlist::of(beginnings);
        let all: Box<[_]> =
            self.expressions.into_iter().zip(self.choices.into_iter().map(Choices::of)).collect();
        let expressions = (!all.is_empty()).then(|| Box::new(ByExpression { all, shortlist }));
        Paths { tree: self.tree.build(), expressions, rest: Choices::of(self.rest) }
    }
}
