//! What a route asks of a request beside its host and its path.

use std::borrow::Cow;
use std::fmt;

use ipnet::IpNet;

use crate::expression::Expression;
use crate::routes::Asked;

/// All of them have to hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Conditions {
    /// One of them; empty for any. Sorted.
    pub(crate) methods: Vec<String>,
    /// By name in lower case; sorted.
    pub(crate) fields: Vec<(String, Test)>,
    /// By name, decoded; sorted.
    pub(crate) query: Vec<(String, Test)>,
    /// One of them; empty for any. Sorted.
    pub(crate) clients: Vec<IpNet>,
}

/// What is asked of a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Test {
    /// `"1"`
    Is(String),
    /// `"~ ^json"`
    Finds(Expression),
    /// `true`
    IsThere,
    /// `false`
    IsAbsent,
}

impl Test {
    /// Whether it holds, where `any` tells whether one of the values passes what it is given.
    fn holds(&self, any: impl FnOnce(&mut dyn FnMut(&[u8]) -> bool) -> bool) -> bool {
        match self {
            Self::Is(wanted) => any(&mut |value| value == wanted.as_bytes()),
            Self::Finds(expression) => any(&mut |value| expression.fits(value)),
            Self::IsThere => any(&mut |_| true),
            Self::IsAbsent => !any(&mut |_| true),
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(wanted) => write!(f, "is {wanted:?}"),
            Self::Finds(expression) => write!(f, "fits ~ {}", expression.text),
            Self::IsThere => write!(f, "is there"),
            Self::IsAbsent => write!(f, "is not there"),
        }
    }
}

impl Conditions {
    /// How many there are: a route with more is asked before one with fewer.
    pub(crate) fn count(&self) -> usize {
        usize::from(!self.methods.is_empty())
            + self.fields.len()
            + self.query.len()
            + usize::from(!self.clients.is_empty())
    }

    /// Whether all of them hold.
    pub(crate) fn hold<A: Asked + ?Sized>(&self, asked: &A) -> bool {
        self.method_holds(asked)
            && self.client_holds(asked)
            && self.fields.iter().all(|(name, test)| field_holds(name, test, asked))
            && self.query.iter().all(|(name, test)| query_holds(name, test, asked))
    }

    fn method_holds<A: Asked + ?Sized>(&self, asked: &A) -> bool {
        let is_one = |wanted: &[u8]| self.methods.iter().any(|method| method.as_bytes() == wanted);
        // Where a script may send a request, it may ask whether it may.
        self.methods.is_empty() || is_one(asked.method()) || asked.preflight_for().is_some_and(is_one)
    }

    fn client_holds<A: Asked + ?Sized>(&self, asked: &A) -> bool {
        if self.clients.is_empty() {
            return true;
        }
        let client = asked.client().to_canonical();
        self.clients.iter().any(|network| network.contains(&client))
    }

    /// Each condition in words, with whether it holds.
    pub(crate) fn each<A: Asked + ?Sized>(&self, asked: &A) -> Vec<(String, bool)> {
        let mut each = Vec::new();
        if !self.methods.is_empty() {
            each.push((format!("method is {}", self.methods.join(" or ")), self.method_holds(asked)));
        }
        for (name, test) in &self.fields {
            each.push((format!("header {name} {test}"), field_holds(name, test, asked)));
        }
        for (name, test) in &self.query {
            each.push((format!("query {name} {test}"), query_holds(name, test, asked)));
        }
        if !self.clients.is_empty() {
            let networks: Vec<_> = self.clients.iter().map(ToString::to_string).collect();
            each.push((format!("client is in {}", networks.join(" or ")), self.client_holds(asked)));
        }
        each
    }
}

fn field_holds<A: Asked + ?Sized>(name: &str, test: &Test, asked: &A) -> bool {
    test.holds(|passes| asked.any_field(name.as_bytes(), passes))
}

fn query_holds<A: Asked + ?Sized>(name: &str, test: &Test, asked: &A) -> bool {
    let query = asked.query().unwrap_or_default();
    let pairs = || query.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty());
    test.holds(|passes| {
        pairs().any(|pair| {
            let equals = pair.iter().position(|&byte| byte == b'=');
            let (key, value) = equals.map_or((pair, &b""[..]), |at| (&pair[..at], &pair[at + 1..]));
            *decoded(key) == *name.as_bytes() && passes(&decoded(value))
        })
    })
}

/// A name or a value of a query as forms write it: `+` is a blank, `%41` is `A`. A `%` that begins nothing is itself.
fn decoded(written: &[u8]) -> Cow<'_, [u8]> {
    if !written.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(written);
    }
    let digit = |at: usize| written.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let mut plain = Vec::with_capacity(written.len());
    let mut at = 0;
    while let Some(&byte) = written.get(at) {
        let encoded = if byte == b'%' { digit(at + 1).zip(digit(at + 2)) } else { None };
        match encoded.and_then(|(high, low)| u8::try_from(high << 4 | low).ok()) {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(if byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    Cow::Owned(plain)
}
