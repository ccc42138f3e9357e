//! The matcher gives what the rule says, however the routes lie: it is compared with the rule once more, as plainly as can be.

use std::cmp::Reverse;
use std::net::IpAddr;

use proptest::prelude::*;

use crate::conditions::{Conditions, Test};
use crate::host::HostPattern;
use crate::model::RouteId;
use crate::path_pattern::PathPattern;
use crate::routes::{Asked, Routes};

/// Expressions, each with what it means in plain words.
type Plain = fn(&str) -> bool;
const EXPRESSIONS: &[(&str, Plain)] = &[
    ("~ ^/a", |path| path.starts_with("/a")),
    ("~ ^/a/b$", |path| path == "/a/b"),
    ("~ b$", |path| path.ends_with('b')),
    ("~ a.b", |path| path.as_bytes().windows(3).any(|three| three[0] == b'a' && three[2] == b'b')),
    ("~ ^/(a|ab)/", |path| path.starts_with("/a/") || path.starts_with("/ab/")),
    ("~ ^/b/.*a", |path| path.strip_prefix("/b/").is_some_and(|rest| rest.contains('a'))),
    ("~ ^/ab+/?$", |path| {
        let path = path.strip_suffix('/').unwrap_or(path);
        path.strip_prefix("/a").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte == b'b'))
    }),
    ("~ ^/$", |path| path == "/"),
    ("~ (?i)^/A/", |path| path.starts_with("/a/")),
    ("~ ^/c", |_| false),
];

#[derive(Debug, Clone)]
struct Written {
    hosts: Vec<Option<String>>,
    paths: Vec<Option<String>>,
    methods: Vec<&'static str>,
    field: Option<(&'static str, Option<bool>)>,
    query: Option<&'static str>,
    network: Option<&'static str>,
}

#[derive(Debug, Clone)]
struct Request {
    host: String,
    path: String,
    query: Option<&'static str>,
    method: &'static str,
    field: Option<&'static str>,
    client: IpAddr,
}

impl Asked for Request {
    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }

    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }

    fn query(&self) -> Option<&[u8]> {
        self.query.map(str::as_bytes)
    }

    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }

    fn client(&self) -> IpAddr {
        self.client
    }

    fn any_field(&self, name: &[u8], test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        name == b"x-beta" && self.field.is_some_and(|value| test(value.as_bytes()))
    }
}

/// Whether a glob fits: every way is tried.
fn glob_fits(pattern: &[u8], before: u8, path: &[u8]) -> bool {
    match pattern {
        [] => path.is_empty(),
        b"*" | b"**" if before == b'/' => true,
        [b'*', b'*', b'/', rest @ ..] if before == b'/' => {
            let after = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at + 1);
            std::iter::once(0).chain(after).any(|at| glob_fits(rest, b'/', &path[at..]))
        }
        [b'*', rest @ ..] => {
            let within = path.iter().take_while(|byte| **byte != b'/').count();
            (0..=within).any(|taken| glob_fits(rest, b'*', &path[taken..]))
        }
        [byte, rest @ ..] => path.first() == Some(byte) && glob_fits(rest, *byte, &path[1..]),
    }
}

type Rank = (u8, Reverse<usize>, u8, usize);

/// How well a path is fitted, if it is; less is better. `written` are the expressions of this host in the order written.
fn path_rank(pattern: &Option<String>, path: &str, written: &[String]) -> Option<Rank> {
    let Some(pattern) = pattern else { return Some((3, Reverse(0), 0, 0)) };
    if let Some((_, plain)) = EXPRESSIONS.iter().find(|(text, _)| text == pattern) {
        let first = written.iter().position(|other| other == pattern).expect("it is written");
        return plain(path).then_some((2, Reverse(0), 0, first));
    }
    let literal = pattern.find('*').map_or(pattern.len(), |star| star);
    if literal == pattern.len() {
        return (pattern == path).then_some((0, Reverse(0), 0, 0));
    }
    let is_prefix = matches!(&pattern[literal..], "*" | "**") && pattern[..literal].ends_with('/');
    if matches!(&**pattern, "/*" | "/**") {
        return Some((3, Reverse(0), 0, 0));
    }
    glob_fits(pattern.as_bytes(), 0, path.as_bytes()).then_some((1, Reverse(literal), u8::from(is_prefix), 0))
}

fn host_rank(pattern: &Option<String>, host: &str) -> Option<(u8, Reverse<usize>)> {
    match pattern {
        None => Some((2, Reverse(0))),
        Some(pattern) => match pattern.strip_prefix('*') {
            Some(suffix) => {
                (host.len() > suffix.len() && host.ends_with(suffix)).then_some((1, Reverse(suffix.len())))
            }
            None => (pattern == host).then_some((0, Reverse(0))),
        },
    }
}

impl Written {
    fn count(&self) -> usize {
        usize::from(!self.methods.is_empty())
            + usize::from(self.field.is_some())
            + usize::from(self.query.is_some())
            + usize::from(self.network.is_some())
    }

    fn holds(&self, request: &Request) -> bool {
        let field = match self.field {
            None => true,
            Some((_, None)) => request.field == self.field.map(|(value, _)| value),
            Some((_, Some(is_there))) => request.field.is_some() == is_there,
        };
        let query = self.query.is_none_or(|wanted| {
            request.query.is_some_and(|query| query.split('&').any(|pair| pair == format!("q={wanted}")))
        });
        let client = match self.network {
            None => true,
            Some("10.0.0.0/8") => request.client.to_string().starts_with("10."),
            Some(_) => request.client.is_ipv6(),
        };
        (self.methods.is_empty() || self.methods.contains(&request.method)) && field && query && client
    }

    fn conditions(&self) -> Conditions {
        let test = |(value, is_there): (&str, Option<bool>)| match is_there {
            None => Test::Is(value.to_owned()),
            Some(true) => Test::IsThere,
            Some(false) => Test::IsAbsent,
        };
        let mut methods: Vec<String> = self.methods.iter().map(|&method| method.to_owned()).collect();
        methods.sort_unstable();
        Conditions {
            methods,
            fields: self.field.map(|field| ("x-beta".to_owned(), test(field))).into_iter().collect(),
            query: self.query.map(|value| ("q".to_owned(), Test::Is(value.to_owned()))).into_iter().collect(),
            clients: self.network.map(|network| network.parse().expect("a network")).into_iter().collect(),
        }
    }
}

/// All routes whose host and path fit, in the order of the rule.
fn by_the_rule(routes: &[Written], request: &Request) -> Vec<usize> {
    let mut fitting = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        for host in &route.hosts {
            let same_host = routes.iter().filter(|other| other.hosts.contains(host));
            let expressions: Vec<String> =
                same_host.flat_map(|other| other.paths.iter().flatten().cloned()).collect();
            for path in &route.paths {
                let ranks = host_rank(host, &request.host).zip(path_rank(path, &request.path, &expressions));
                fitting.extend(ranks.map(|ranks| (ranks, Reverse(route.count()), index)));
            }
        }
    }
    fitting.sort_unstable();
    let mut order = Vec::new();
    for (_, _, index) in fitting {
        if !order.contains(&index) {
            order.push(index);
        }
    }
    order
}

fn names() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ab"]), 1..4)
        .prop_map(|labels| labels.join("."))
}

fn host() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        2 => Just(None),
        2 => names().prop_map(Some),
        1 => names().prop_map(|name| Some(format!("*.{name}"))),
    ]
}

fn path() -> impl Strategy<Value = Option<String>> {
    let word = prop::sample::select(vec!["a", "b", "ab", "bb", ""]);
    let words = prop::collection::vec(word, 1..4).prop_map(|words| {
        // Nothing between two slashes is no path of a route.
        let mut words: Vec<_> = words;
        let last = words.pop().unwrap_or_default();
        words.retain(|word| !word.is_empty());
        words.push(last);
        format!("/{}", words.join("/"))
    });
    let piece = prop::sample::select(vec!["a", "b", "ab", "*", "a*", "*b", "*a*", "**"]);
    let glob = prop::collection::vec(piece, 1..5).prop_map(|pieces| format!("/{}", pieces.join("/")));
    let expression = prop::sample::select(EXPRESSIONS).prop_map(|(text, _)| text.to_owned());
    prop_oneof![
        1 => Just(None),
        2 => words.clone().prop_map(Some),
        2 => words.prop_map(|words| Some(format!("{}/*", words.trim_end_matches('/')))),
        4 => glob.prop_filter("two `**` beside each other", |glob| !glob.contains("/**/**")).prop_map(Some),
        2 => expression.prop_map(Some),
    ]
}

fn distinct<T: Clone + Ord + std::fmt::Debug + 'static>(
    of: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Vec<T>> {
    prop::collection::btree_set(of, 1..3).prop_map(|set| set.into_iter().collect())
}

fn written() -> impl Strategy<Value = Written> {
    let methods = prop_oneof![
        3 => Just(Vec::new()),
        1 => Just(vec!["POST"]),
        1 => Just(vec!["GET", "HEAD"]),
    ];
    let fields = vec![("1", None), ("2", None), ("", Some(true)), ("", Some(false))];
    let field = prop::option::weighted(0.3, prop::sample::select(fields));
    let query = prop::option::weighted(0.2, prop::sample::select(vec!["1", "2"]));
    let network = prop::option::weighted(0.2, prop::sample::select(vec!["10.0.0.0/8", "::/0"]));
    (distinct(host()), distinct(path()), methods, field, query, network).prop_map(
        |(hosts, paths, methods, field, query, network)| Written {
            hosts,
            paths,
            methods,
            field,
            query,
            network,
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    let word = prop::sample::select(vec!["a", "b", "ab", "bb", "aab", ""]);
    let path = prop::collection::vec(word, 1..6).prop_map(|words| format!("/{}", words.join("/")));
    let query = prop::sample::select(vec![None, Some("q=1"), Some("p=1&q=2"), Some("q"), Some("")]);
    let method = prop::sample::select(vec!["GET", "POST", "PUT"]);
    let field = prop::sample::select(vec![None, Some("1"), Some("2"), Some("")]);
    let client = prop::sample::select(vec!["10.1.2.3", "192.0.2.1", "::1"]);
    (names(), path, query, method, field, client).prop_map(|(host, path, query, method, field, client)| {
        Request { host, path, query, method, field, client: client.parse().expect("an address") }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn finds_what_the_rule_says(
        routes in prop::collection::vec(written(), 0..30),
        requests in prop::collection::vec(request(), 30),
    ) {
        let mut builder = Routes::builder();
        let mut taken = Vec::new();
        for route in routes {
            let host = |text: &Option<String>| text.as_ref().map_or(HostPattern::Any, |text| HostPattern::parse(text).expect("a host"));
            let path = |text: &Option<String>| {
                text.as_ref().map_or_else(PathPattern::any, |text| PathPattern::parse(text).expect("a path"))
            };
            let hosts: Vec<_> = route.hosts.iter().map(host).collect();
            let paths: Vec<_> = route.paths.iter().map(path).collect();
            // Those that tie in everything are refused, which other tests look at.
            if builder.insert(&hosts, &paths, route.conditions(), RouteId(taken.len())).is_none() {
                taken.push(route);
            }
        }
        let routes = builder.build();
        for request in requests {
            let order = by_the_rule(&taken, &request);
            let mut candidates = Vec::new();
            routes.candidates(&request, &mut |RouteId(index), holds| candidates.push((index, holds)));
            let expected: Vec<_> = order.iter().map(|&index| (index, taken[index].holds(&request))).collect();
            prop_assert_eq!(&candidates, &expected, "{:?} in {:?}", request, taken);
            let winner = expected.iter().find(|(_, holds)| *holds).map(|(index, _)| RouteId(*index));
            prop_assert_eq!(routes.find(&request), winner, "{:?} in {:?}", request, taken);
        }
    }
}

#[test]
fn the_model_tells_globs_apart() {
    for (pattern, path, fits) in [
        ("/*/edit", "/a/edit", true),
        ("/*/edit", "//edit", true),
        ("/*/edit", "/a/b/edit", false),
        ("/a/**/b", "/a/b", true),
        ("/a/**/b", "/a/x/y/b", true),
        ("/a/**/b", "/axb", false),
        ("/a/*", "/a", false),
        ("/a/*", "/a/b/c", true),
    ] {
        assert_eq!(glob_fits(pattern.as_bytes(), 0, path.as_bytes()), fits, "{pattern} {path}");
    }
}
