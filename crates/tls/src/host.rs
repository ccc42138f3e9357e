//! Names of hosts, as certificates and clients write them.

use std::borrow::Cow;

/// The longest name of a host (RFC 1035 2.3.4, as text without the final dot).
const LONGEST: usize = 253;

/// The one form of `name` by which names are compared: lower case (RFC 4343), without a final dot. Copies only what is
/// not yet in that form.
pub(crate) fn canonical(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// What a name in a certificate stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern<'a> {
    /// This host.
    Exact(&'a str),
    /// Every host with one label more than this (RFC 9525 6.3: the asterisk is the whole first label, and stands for one).
    Wildcard(&'a str),
}

impl<'a> Pattern<'a> {
    /// What `name`, in canonical form, stands for; `None` if it can stand for no host.
    pub(crate) fn of(name: &'a str) -> Option<Self> {
        let (host, pattern): (_, fn(&'a str) -> Self) = match name.strip_prefix("*.") {
            Some(parent) => (parent, Self::Wildcard),
            None => (name, Self::Exact),
        };
        is_host(host).then(|| pattern(host))
    }
}

/// Whether `name` can be that of a host. Underscores are no part of a host's name, but they are in use.
fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= LONGEST && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_without_case_and_final_dot() {
        assert_eq!(canonical("WWW.Example.com."), "www.example.com");
        assert!(matches!(canonical("www.example.com."), Cow::Borrowed("www.example.com")));
    }

    #[test]
    fn takes_an_asterisk_only_as_the_whole_first_label() {
        assert_eq!(Pattern::of("example.com"), Some(Pattern::Exact("example.com")));
        assert_eq!(Pattern::of("*.example.com"), Some(Pattern::Wildcard("example.com")));
        let label = "a".repeat(64);
        let long = ["a"; 127].join(".") + ".a";
        for odd in
            ["", "*", "*.", "f*.example.com", "www.*.com", "*.*.com", "a..b", "ü.com", "a b", &label, &long]
        {
            assert_eq!(Pattern::of(odd), None, "{odd}");
        }
    }
}
