//! Text with places that a request fills.

/// Text in which `$host`, `$path`, `$query`, `$scheme`, `$client`, `$id`, `$uri` and what the path's pattern caught (`$1`, `${name}`) are put in.
/// `$$` is a dollar.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template {
    /// What it is made of, one after the other.
    pub parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// `$1`: what the route's path caught, from 1. Of `/old/*` what stands for the `*`, of a regular expression its groups.
    Caught(usize),
    /// `$host`: the host without its port.
    Host,
    /// `$path`: the path as sent, without the query.
    Path,
    /// The path without this at its beginning, as [`Template::without`] has it: what `strip` is made of.
    Stripped(String),
    /// `$query`: what follows `?`; empty without.
    Query,
    /// `$uri`: path and query as sent.
    Uri,
    /// `$scheme`: `http` or `https`.
    Scheme,
    /// `$client`: the client's address.
    Client,
    /// `$id`: the request's identity, as in `X-Request-Id`.
    Id,
    /// `$field:NAME`: a field of the request; empty where it has none. The name is in lower case.
    Field(String),
}

impl Template {
    /// Always the same.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { parts: vec![Part::Text(text.into())] }
    }

    /// The text, where nothing has to be put in.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// `path` without `prefix` (which has no `/` at its end) at its beginning: `/api/users` without `/api` is `/users`, `/api` is `/`. A
    /// path that does not begin so, or goes on in the same segment (`/apiary`), stays what it is.
    #[must_use]
    pub fn without<'p>(prefix: &str, path: &'p [u8]) -> &'p [u8] {
        match path.strip_prefix(prefix.as_bytes()) {
            Some([]) => b"/",
            Some(rest) if rest.starts_with(b"/") => rest,
            _ => path,
        }
    }

    /// Whether it asks for what the route's path caught.
    #[must_use]
    pub fn wants_caught(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Caught(_)))
    }
}
