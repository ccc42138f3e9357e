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

    /// Whether it asks for what the route's path caught.
    #[must_use]
    pub fn wants_caught(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Caught(_)))
    }
}
