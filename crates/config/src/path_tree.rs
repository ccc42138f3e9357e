//! The paths of one host's routes, as a radix tree over bytes.

use crate::conditions::Conditions;
use crate::glob;
use crate::model::RouteId;
use crate::path_pattern::PathPattern;
use crate::shortlist::{Place, Shortlist};

/// A route that may be the one: it is, if its conditions hold.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) route: RouteId,
    /// `None` for none.
    pub(crate) conditions: Option<Box<Conditions>>,
}

impl Choice {
    /// More conditions go before fewer, and then the order in which they are written holds.
    fn rank(&self) -> (std::cmp::Reverse<usize>, RouteId) {
        let count = self.conditions.as_ref().map_or(0, |conditions| conditions.count());
        (std::cmp::Reverse(count), self.route)
    }
}

/// The routes of one pattern, in the order in which they are asked.
#[derive(Debug, Clone, Default)]
pub(crate) enum Choices {
    #[default]
    None,
    /// The most usual: one, without conditions.
    Always(RouteId),
    Several(Box<[Choice]>),
}

impl Choices {
    /// Puts them in order.
    pub(crate) fn of(mut choices: Vec<Choice>) -> Self {
        choices.sort_by_key(Choice::rank);
        match choices.as_slice() {
            [] => Self::None,
            [Choice { route, conditions: None }] => Self::Always(*route),
            _ => Self::Several(choices.into()),
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Offers each to `take`, until it takes one.
    pub(crate) fn offer(&self, take: &mut impl FnMut(RouteId, Option<&Conditions>) -> bool) -> bool {
        match self {
            Self::None => false,
            Self::Always(route) => take(*route, None),
            Self::Several(choices) => {
                choices.iter().any(|choice| take(choice.route, choice.conditions.as_deref()))
            }
        }
    }
}

/// A glob and its route; the same glob may be there several times.
#[derive(Debug, Clone)]
struct Glob {
    /// The whole pattern.
    pattern: Box<[u8]>,
    choice: Choice,
}

/// The globs of a node, in the order in which they are asked.
#[derive(Debug, Clone, Default)]
struct Globs {
    all: Box<[Glob]>,
    shortlist: Option<Box<Shortlist>>,
}

impl Globs {
    fn of(mut all: Vec<Glob>) -> Self {
        all.sort_by_key(|glob| glob.choice.rank());
        let shortlist = Shortlist::of(all.iter().map(|glob| telling(&glob.pattern)));
        Self { all: all.into(), shortlist }
    }

    fn offer(&self, path: &[u8], take: &mut impl FnMut(RouteId, Option<&Conditions>) -> bool) -> bool {
        let mut offer = |glob: &Glob| {
            glob::fit(&glob.pattern, path).is_some()
                && take(glob.choice.route, glob.choice.conditions.as_deref())
        };
        match &self.shortlist {
            None => self.all.iter().any(offer),
            Some(shortlist) => {
                shortlist.numbers(path).filter_map(|number| self.all.get(number)).any(&mut offer)
            }
        }
    }
}

/// What tells most about the paths that a glob fits: a whole segment before any `**`, or what follows the last star.
fn telling(pattern: &[u8]) -> (Place, &[u8]) {
    let star = pattern.iter().rposition(|&byte| byte == b'*');
    let after = star.map_or(0, |star| star + 1);
    // `/**/x` fits `/x` too: the slash belongs to the stars.
    let slash = usize::from(pattern[..after].ends_with(b"/**") && pattern[after..].starts_with(b"/"));
    let ending = &pattern[after + slash..];
    let segments = pattern.split(|&byte| byte == b'/').enumerate();
    let fixed =
        segments.take_while(|(_, segment)| segment != b"**").filter(|(_, segment)| !segment.contains(&b'*'));
    match fixed.max_by_key(|(_, segment)| segment.len()) {
        Some((number, segment)) if segment.len() > ending.len() => (Place::Segment(number), segment),
        _ => (Place::Ending(ending.len()), ending),
    }
}

/// Collects the patterns of a host, with their routes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Collected {
    nodes: std::collections::HashMap<String, CollectedNode>,
}

#[derive(Debug, Clone, Default)]
struct CollectedNode {
    exact: Vec<Choice>,
    globs: Vec<Glob>,
    prefix: Vec<Choice>,
}

impl Collected {
    /// Adds one; an expression is not for a tree.
    pub(crate) fn add(&mut self, pattern: &PathPattern, choice: Choice) {
        let node = self.nodes.entry(pattern.literal().to_owned()).or_default();
        match pattern {
            PathPattern::Exact(_) => node.exact.push(choice),
            PathPattern::Prefix(_) => node.prefix.push(choice),
            PathPattern::Glob(text) => node.globs.push(Glob { pattern: text.as_bytes().into(), choice }),
            PathPattern::Expression(_) => {}
        }
    }

    pub(crate) fn build(self) -> PathTree {
        let mut tree = PathTree { nodes: vec![Node::default()] };
        for (literal, collected) in self.nodes {
            let node = tree.node(literal.as_bytes());
            node.exact = Choices::of(collected.exact);
            node.globs = (!collected.globs.is_empty()).then(|| Box::new(Globs::of(collected.globs)));
            node.prefix = Choices::of(collected.prefix);
        }
        tree.link(0, None);
        tree
    }
}

/// Paths, globs and prefixes, each with its routes. Finding walks down the path once, and back up only where conditions do not hold or
/// globs do not fit.
#[derive(Debug, Clone, Default)]
pub(crate) struct PathTree {
    /// The first is the root; none of the default, which fits nothing.
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    /// Bytes between the parent's and this node's children; empty at the root.
    edge: Box<[u8]>,
    /// First byte of each child's edge, in the order of `children`: one short scan instead of a visit to each child.
    first: Vec<u8>,
    children: Vec<u32>,
    /// The routes of a path that ends here.
    exact: Choices,
    /// Those that begin with what leads here.
    globs: Option<Box<Globs>>,
    /// The routes of a path that comes through here, or ends here.
    prefix: Choices,
    /// The nearest node above that has globs or a prefix.
    above: Option<u32>,
}

impl Node {
    /// Whether a path that goes on has something here.
    fn is_open(&self) -> bool {
        self.globs.is_some() || !self.prefix.is_none()
    }

    fn child(&self, byte: u8) -> Option<u32> {
        let index = self.first.iter().position(|&first| first == byte)?;
        self.children.get(index).copied()
    }
}

impl PathTree {
    /// Offers the routes of a path to `take` in their order, until it takes one: the exact ones, then those of the pattern that begins
    /// with the most literal bytes, globs before a prefix.
    pub(crate) fn offer(
        &self,
        path: &[u8],
        take: &mut impl FnMut(RouteId, Option<&Conditions>) -> bool,
    ) -> bool {
        let Some(mut node) = self.nodes.first() else { return false };
        let mut rest = path;
        let mut open = node.is_open().then_some(node);
        while let Some(&byte) = rest.first() {
            let child = node.child(byte).and_then(|child| self.nodes.get(child as usize));
            let Some((child, below)) =
                child.and_then(|child| Some((child, rest.strip_prefix(&*child.edge)?)))
            else {
                break;
            };
            (node, rest) = (child, below);
            if node.is_open() {
                open = Some(node);
            }
        }
        if rest.is_empty() && node.exact.offer(take) {
            return true;
        }
        while let Some(node) = open {
            if node.globs.as_ref().is_some_and(|globs| globs.offer(path, take)) || node.prefix.offer(take) {
                return true;
            }
            open = node.above.and_then(|above| self.nodes.get(above as usize));
        }
        false
    }

    /// The node at the end of `path`, made if it is not there.
    fn node(&mut self, path: &[u8]) -> &mut Node {
        let (mut at, mut rest) = (0, path);
        while let Some(&byte) = rest.first() {
            let Some(child) = self.nodes[at].child(byte) else {
                at = self.add(at, rest);
                break;
            };
            let child = child as usize;
            let common = self.nodes[child].edge.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if common < self.nodes[child].edge.len() {
                self.split(child, common);
            }
            (at, rest) = (child, &rest[common..]);
        }
        &mut self.nodes[at]
    }

    /// A new child of `parent`.
    fn add(&mut self, parent: usize, edge: &[u8]) -> usize {
        let index = self.nodes.len();
        self.nodes.push(Node { edge: edge.into(), ..Node::default() });
        let parent = &mut self.nodes[parent];
        parent.first.push(edge[0]);
        parent.children.push(u32::try_from(index).unwrap_or(u32::MAX));
        index
    }

    /// Puts a node in the middle of a node's edge: it keeps the first `at` bytes, a new child gets the rest.
    fn split(&mut self, node: usize, at: usize) {
        let mut lower = std::mem::take(&mut self.nodes[node]);
        let index = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let upper = &mut self.nodes[node];
        upper.edge = lower.edge[..at].into();
        upper.first = vec![lower.edge[at]];
        upper.children = vec![index];
        lower.edge = lower.edge[at..].into();
        self.nodes.push(lower);
    }

    /// Tells each node below `from` what is the nearest open one above it.
    fn link(&mut self, from: usize, above: Option<u32>) {
        let mut open = vec![(from, above)];
        while let Some((index, above)) = open.pop() {
            let node = &mut self.nodes[index];
            node.above = above;
            let below = if node.is_open() { u32::try_from(index).ok() } else { above };
            open.extend(node.children.iter().map(|&child| (child as usize, below)));
        }
    }
}
