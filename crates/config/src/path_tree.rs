//! The paths of one host's routes, as a radix tree over bytes.

use crate::model::RouteId;
use crate::problem::Problem;

/// The path of a route: one path, or everything that begins with a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum PathPattern {
    Exact(String),
    /// Empty, or with a `/` at its end.
    Prefix(String),
}

impl PathPattern {
    /// Fits every path, and `*` of `OPTIONS *` too.
    pub(crate) fn any() -> Self {
        Self::Prefix(String::new())
    }

    /// Reads `/exact` or `/prefix/*`.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        if !text.starts_with('/') {
            return Err(Problem::new(format!("the path `{text}` does not begin with `/`"))
                .instead(format!("write \"/{text}\"")));
        }
        if let Some(bad) = text.chars().find(|&c| c.is_ascii_control() || c == ' ' || !c.is_ascii()) {
            return Err(Problem::new(format!("the path has {bad:?} in it, which no client sends in a path"))
                .instead("write it percent-encoded, as clients send it"));
        }
        if text.contains(['?', '#']) {
            return Err(Problem::new(format!("`{text}` has a query or a fragment in it"))
                .instead("write the path only: a route does not look at the query"));
        }
        let pattern = match text.strip_suffix("/*") {
            Some("") => Self::any(),
            Some(prefix) => Self::Prefix(format!("{prefix}/")),
            None => Self::Exact(text.to_owned()),
        };
        if pattern.text().contains('*') {
            return Err(Problem::new(format!("`{text}` has a `*` elsewhere than in a last `/*`"))
                .instead("write an exact path (\"/up\") or a prefix (\"/assets/*\")"));
        }
        Ok(pattern)
    }

    fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) => text,
        }
    }
}

/// Paths and prefixes, each with its route. Finding walks down the path once.
#[derive(Debug, Clone, Default)]
pub(crate) struct PathTree {
    /// Bytes between the parent's and this node's children; empty at the root.
    edge: Box<[u8]>,
    /// The route of a path that ends here.
    exact: Option<RouteId>,
    /// The route of a path that comes through here, or ends here, when nothing below fits better.
    prefix: Option<RouteId>,
    /// First byte of each child's edge, in the order of `children`: one short scan instead of a visit to each child.
    first: Vec<u8>,
    children: Vec<PathTree>,
}

impl PathTree {
    /// Adds a path. If it is there already, nothing changes and its route is given.
    pub(crate) fn insert(&mut self, pattern: &PathPattern, route: RouteId) -> Option<RouteId> {
        let node = self.node(pattern.text().as_bytes());
        let slot = match pattern {
            PathPattern::Exact(_) => &mut node.exact,
            PathPattern::Prefix(_) => &mut node.prefix,
        };
        if slot.is_some() {
            return *slot;
        }
        *slot = Some(route);
        None
    }

    /// The route of a path: an exact one, else that of the longest prefix.
    pub(crate) fn find(&self, path: &[u8]) -> Option<RouteId> {
        let mut node = self;
        let mut rest = path;
        let mut best = self.prefix;
        while let Some(&byte) = rest.first() {
            let Some(child) = node.child(byte) else { return best };
            let Some(below) = rest.strip_prefix(&*child.edge) else { return best };
            (node, rest) = (child, below);
            best = node.prefix.or(best);
        }
        node.exact.or(best)
    }

    fn child(&self, byte: u8) -> Option<&Self> {
        let index = self.first.iter().position(|&first| first == byte)?;
        self.children.get(index)
    }

    /// The node at the end of `path` below this one, made if it is not there.
    fn node(&mut self, path: &[u8]) -> &mut Self {
        let Some(&byte) = path.first() else { return self };
        let Some(index) = self.first.iter().position(|&first| first == byte) else {
            self.first.push(byte);
            self.children.push(Self { edge: path.into(), ..Self::default() });
            let last = self.children.len() - 1;
            return &mut self.children[last];
        };
        let child = &mut self.children[index];
        let common = child.edge.iter().zip(path).take_while(|(a, b)| a == b).count();
        if common < child.edge.len() {
            child.split(common);
        }
        child.node(&path[common..])
    }

    /// Puts a node in the middle of this node's edge: it keeps the first `at` bytes, a new child gets the rest.
    fn split(&mut self, at: usize) {
        let (above, below) = (self.edge[..at].into(), self.edge[at..].into());
        let mut lower = std::mem::take(self);
        self.edge = above;
        lower.edge = below;
        self.first = lower.edge.first().copied().into_iter().collect();
        self.children = vec![lower];
    }
}
