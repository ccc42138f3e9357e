//! The path of a route.

use std::ops::Range;

use crate::expression::Expression;
use crate::glob;
use crate::problem::Problem;

/// One path, everything that begins with a prefix, what a glob fits, or what a regular expression finds something in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum PathPattern {
    Exact(String),
    /// Empty, or with a `/` at its end.
    Prefix(String),
    /// With a `*` elsewhere than in a last `/*`; see [`glob`].
    Glob(String),
    Expression(Expression),
}

impl PathPattern {
    /// Fits every path, and `*` of `OPTIONS *` too.
    pub(crate) fn any() -> Self {
        Self::Prefix(String::new())
    }

    /// Reads `/exact`, `/prefix/*`, `/a/*/glob` or `~ expression`.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        if let Some(expression) = text.strip_prefix('~') {
            return Expression::parse(expression).map(Self::Expression);
        }
        if text.starts_with(['^', '(']) {
            return Err(Problem::new(format!("the path `{text}` does not begin with `/`"))
                .instead(format!("write '~ {text}' for a regular expression")));
        }
        check(text)?;
        check_canonical(text)?;
        let prefix = text.strip_suffix("/**").or_else(|| text.strip_suffix("/*"));
        match prefix {
            Some("") => Ok(Self::any()),
            Some(prefix) if !prefix.contains('*') => Ok(Self::Prefix(format!("{prefix}/"))),
            _ if text.contains('*') => check_glob(text).map(|()| Self::Glob(text.to_owned())),
            _ => Ok(Self::Exact(text.to_owned())),
        }
    }

    /// What every path begins with that fits; the whole path of an exact one. Nothing is known of an expression.
    pub(crate) fn literal(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) => text,
            Self::Glob(text) => text.split('*').next().unwrap_or_default(),
            Self::Expression(_) => "",
        }
    }

    /// The rule of the routes, for two patterns that fit the same path: the one that sorts before the other wins.
    pub(crate) fn rank(&self) -> (u8, std::cmp::Reverse<usize>, u8) {
        let (kind, second) = match self {
            Self::Exact(_) => (0, 0),
            Self::Glob(_) => (1, 0),
            Self::Prefix(prefix) if prefix.is_empty() => (3, 0),
            Self::Prefix(_) => (1, 1),
            Self::Expression(_) => (2, 0),
        };
        (kind, std::cmp::Reverse(self.literal().len()), second)
    }

    /// How much it catches: `$1` to this number.
    pub(crate) fn catches(&self) -> usize {
        match self {
            Self::Exact(_) => 0,
            Self::Prefix(_) => 1,
            Self::Glob(text) => glob::stars(text.as_bytes()),
            Self::Expression(expression) => expression.groups(),
        }
    }

    /// What it caught of a path, if it fits it: nothing is added otherwise.
    pub(crate) fn caught(&self, path: &[u8], out: &mut Vec<Range<usize>>) -> bool {
        match self {
            Self::Exact(text) => text.as_bytes() == path,
            Self::Prefix(text) => {
                let fits = path.starts_with(text.as_bytes());
                if fits {
                    // That of any path has its slash too.
                    out.push(text.len().max(1).min(path.len())..path.len());
                }
                fits
            }
            Self::Glob(text) => match glob::fit(text.as_bytes(), path) {
                Some(stars) => {
                    out.extend(stars.iter());
                    true
                }
                None => false,
            },
            Self::Expression(expression) => expression.caught(path, out),
        }
    }

    /// As it is written.
    pub(crate) fn written(&self) -> String {
        match self {
            Self::Exact(text) | Self::Glob(text) => text.clone(),
            Self::Prefix(text) if text.is_empty() => "/*".to_owned(),
            Self::Prefix(text) => format!("{text}*"),
            Self::Expression(expression) => format!("~ {}", expression.text),
        }
    }
}

/// Refuses what no client can send as a path.
pub(crate) fn check(text: &str) -> Result<(), Problem> {
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
            .instead("write the path only, and what the query has to say as query = { name = \"value\" }"));
    }
    Ok(())
}

/// Refuses what no path is that routes are asked about: there all are written in one way.
fn check_canonical(text: &str) -> Result<(), Problem> {
    let mut canonical = Vec::new();
    if vestibule_http1::write_canonical(text.as_bytes(), &mut canonical) {
        let canonical = String::from_utf8_lossy(&canonical).into_owned();
        return Err(Problem::new(format!(
            "no path is `{text}` where routes are chosen: it means `{canonical}`"
        ))
        .instead(format!("write \"{canonical}\": a path fits however a client writes it")));
    }
    Ok(())
}

fn check_glob(text: &str) -> Result<(), Problem> {
    let segments = text.split('/');
    if let Some(segment) = segments.clone().find(|segment| segment.contains("**") && *segment != "**") {
        return Err(Problem::new(format!("`{segment}` has a `**` beside something else"))
            .instead("write `**` for whole segments (\"/files/**/*.pdf\"), and `*` within one"));
    }
    if text.contains("/**/**") {
        return Err(
            Problem::new(format!("`{text}` has a `**` beside another")).instead("leave one of them out")
        );
    }
    let stars = glob::stars(text.as_bytes());
    if stars > glob::MOST {
        return Err(Problem::new(format!("`{text}` has {stars} times `*`"))
            .instead(format!("write at most {}; one `**` stands for several segments", glob::MOST)));
    }
    Ok(())
}
