//! Which paths a location is for, and how a route says so.

use regex_automata::Input;
use regex_automata::hybrid::dfa::DFA;
use regex_automata::meta::{Config, Regex as Compiled};
use regex_automata::util::syntax;

/// A location's paths.
#[derive(Debug, Clone)]
pub(super) enum Pattern {
    /// This one.
    Exact(String),
    /// All that begin so, at a slash or not.
    Prefix(String),
    /// Those in which the expression finds something.
    Regex(Regex),
}

/// A regular expression that means the same to nginx and to a route.
#[derive(Debug, Clone)]
pub(super) struct Regex {
    /// As a route has it, without the `~`.
    pub(super) text: String,
    /// What each path that fits begins with.
    lead: String,
    /// Whether it begins with `^`.
    anchored: bool,
    /// The names of its groups; empty for those without.
    pub(super) groups: Vec<String>,
    compiled: Compiled,
}

impl Regex {
    /// Takes one of nginx's (PCRE); else why it cannot be taken.
    pub(super) fn of(text: &str, insensitive: bool) -> Result<Self, String> {
        // A slash needs no backslash anywhere, and here may not have one.
        let text = text.replace("\\/", "/");
        for (sign, what) in [
            ("(?=", "a look-ahead"),
            ("(?!", "a look-ahead"),
            ("(?<=", "a look-behind"),
            ("(?<!", "a look-behind"),
            ("(?>", "an atomic group"),
            ("(?|", "a branch reset"),
            ("(?R", "a recursion"),
            ("(*", "a verb of PCRE"),
        ] {
            if text.contains(sign) {
                return Err(format!(
                    "{what} (`{sign}`) is not in the language of routes, whose time is bounded"
                ));
            }
        }
        let text = if insensitive { format!("(?i){text}") } else { text };
        let config = Config::new().nfa_size_limit(Some(1 << 20)).utf8_empty(false);
        let syntax = syntax::Config::new().unicode(false).utf8(false);
        let compiled = Compiled::builder().configure(config).syntax(syntax).build(&text);
        let compiled = compiled.map_err(|error| {
            let why = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            format!("it is not in the language of routes (https://docs.rs/regex): {why}")
        })?;
        let info = compiled.group_info();
        let names = info.pattern_names(regex_automata::PatternID::ZERO).skip(1);
        let groups = names.map(|name| name.unwrap_or_default().to_owned()).collect();
        let (anchored, lead) = lead(&text);
        Ok(Regex { text, lead, anchored, groups, compiled })
    }

    /// All that begin with this text.
    fn beginning(prefix: &str) -> Option<Self> {
        Regex::of(&format!("^{}", escape(prefix)), false).ok()
    }

    /// Whether it finds something.
    pub(super) fn fits(&self, path: &str) -> bool {
        self.compiled.is_match(path)
    }

    /// Whether it may find something in a path that begins so; never false where it does.
    fn may_fit_below(&self, prefix: &str) -> bool {
        !self.anchored || self.lead.starts_with(prefix) || prefix.starts_with(&self.lead)
    }

    /// Whether it finds something in the prefix itself, whatever comes behind that.
    fn is_found_in(&self, prefix: &str) -> bool {
        let within = |path: &[u8]| self.compiled.is_match(Input::new(path).range(..prefix.len()));
        // `$` and `\b` look at what comes next.
        within(prefix.as_bytes()) && (0..=u8::MAX).all(|next| within(&[prefix.as_bytes(), &[next]].concat()))
    }

    /// Whether the prefix may be the beginning of what it finds; never false where it is.
    fn is_under_way_after(&self, prefix: &str) -> bool {
        let syntax = syntax::Config::new().unicode(false).utf8(false);
        let states = || {
            let dfa = DFA::builder().syntax(syntax).build(&self.text).ok()?;
            let mut cache = dfa.create_cache();
            let mut state = dfa.start_state_forward(&mut cache, &Input::new(prefix)).ok()?;
            for &byte in prefix.as_bytes() {
                state = dfa.next_state(&mut cache, state, byte).ok()?;
            }
            let anew = Input::new(prefix).range(prefix.len()..);
            Some((state, dfa.start_state_forward(&mut cache, &anew).ok()?))
        };
        states().is_none_or(|(state, anew)| state != anew)
    }

    /// The same for paths that begin so only; `None` where one expression cannot say both.
    pub(super) fn below(&self, prefix: &str) -> Option<Self> {
        if prefix.is_empty() || prefix == "/" || (self.anchored && self.lead.starts_with(prefix)) {
            return Some(self.clone());
        }
        if self.is_found_in(prefix) {
            return Regex::beginning(prefix);
        }
        if self.anchored
            || self.text.contains('|') && !self.text.contains('(')
            || self.is_under_way_after(prefix)
        {
            return None;
        }
        let (flags, text) = match self.text.strip_prefix("(?i)") {
            Some(text) => ("i", text),
            None => ("", self.text.as_str()),
        };
        Regex::of(&format!("^{}.*(?{flags}:{text})", escape(prefix)), false).ok()
    }
}

/// A text in which nothing means anything else to an expression.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Whether an expression begins at the beginning, and the text that it begins with then.
fn lead(text: &str) -> (bool, String) {
    let Some(rest) = text.trim_start_matches("(?i)").strip_prefix('^') else { return (false, String::new()) };
    // `^a|b`: only one side begins at the beginning.
    if rest.contains('|') {
        let depth = |at: usize| {
            let before = &rest[..at];
            before.matches('(').count() as i64 - before.matches(')').count() as i64
        };
        if rest.match_indices('|').any(|(at, _)| depth(at) <= 0) {
            return (false, String::new());
        }
    }
    let mut lead = String::new();
    let mut chars = rest.chars().peekable();
    while let Some(c) = chars.next() {
        let literal = match c {
            '\\' => match chars.next() {
                Some(c) if !c.is_ascii_alphanumeric() => c,
                _ => break,
            },
            '.' | '[' | '(' | '$' | '|' | '^' | ')' => break,
            '*' | '?' | '{' => {
                // What stands before it may be missing.
                lead.pop();
                break;
            }
            '+' => break,
            c => c,
        };
        lead.push(literal);
    }
    (true, if text.starts_with("(?i)") { String::new() } else { lead })
}

impl Pattern {
    /// Whether both are written alike.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(one), Self::Exact(other)) | (Self::Prefix(one), Self::Prefix(other)) => one == other,
            (Self::Regex(one), Self::Regex(other)) => one.text == other.text,
            _ => false,
        }
    }

    /// Whether some path may fit both; never false where one does.
    pub(super) fn overlaps(&self, other: &Pattern) -> bool {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) => a == b,
            (Self::Exact(path), Self::Prefix(prefix)) | (Self::Prefix(prefix), Self::Exact(path)) => {
                path.starts_with(prefix.as_str())
            }
            (Self::Prefix(a), Self::Prefix(b)) => a.starts_with(b.as_str()) || b.starts_with(a.as_str()),
            (Self::Exact(path), Self::Regex(regex)) | (Self::Regex(regex), Self::Exact(path)) => {
                regex.fits(path)
            }
            (Self::Prefix(prefix), Self::Regex(regex)) | (Self::Regex(regex), Self::Prefix(prefix)) => {
                regex.may_fit_below(prefix)
            }
            (Self::Regex(_), Self::Regex(_)) => true,
        }
    }

    /// Whether a route asks it before `other` where both fit: an exact path, then the longer beginning, and `/`, which is any path,
    /// after everything.
    pub(super) fn is_asked_before(&self, other: &Pattern) -> bool {
        match (self, other) {
            (Self::Exact(_), Self::Prefix(_)) => true,
            (Self::Prefix(a), Self::Prefix(b)) => a.len() > b.len(),
            (Self::Regex(_), Self::Prefix(prefix)) => prefix == "/",
            _ => false,
        }
    }

    /// The same paths by an expression, which is asked after all that are not expressions.
    pub(super) fn as_regex(&self) -> Option<Pattern> {
        let regex = match self {
            Self::Exact(path) => Regex::of(&format!("^{}$", escape(path)), false).ok(),
            Self::Prefix(prefix) => Regex::beginning(prefix),
            Self::Regex(regex) => Some(regex.clone()),
        };
        regex.map(Pattern::Regex)
    }

    /// As `path` of a route has it. Several where one cannot say it: a prefix that does not end at a slash.
    pub(super) fn written(&self) -> Vec<String> {
        match self {
            // A star is a star to nginx.
            Self::Exact(path) | Self::Prefix(path) if path.contains('*') => {
                self.as_regex().map_or_else(Vec::new, |regex| regex.written())
            }
            Self::Exact(path) => vec![encoded(path)],
            Self::Prefix(prefix) if prefix.is_empty() || prefix == "/" => vec!["/*".to_owned()],
            Self::Prefix(prefix) if prefix.ends_with('/') => vec![format!("{}*", encoded(prefix))],
            Self::Prefix(prefix) => {
                let prefix = encoded(prefix);
                vec![format!("{prefix}*"), format!("{prefix}*/**")]
            }
            Self::Regex(regex) => vec![format!("~ {}", regex.text)],
        }
    }
}

/// A path as clients send it: nginx's are decoded.
fn encoded(path: &str) -> String {
    let mut text = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_graphic() && !b"?#%\"<>".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    // What nginx never compares, as `//`, is no path of a route either.
    let mut canonical = Vec::new();
    if vestibule_http1::write_canonical(text.as_bytes(), &mut canonical) {
        text = String::from_utf8_lossy(&canonical).into_owned();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Below each beginning: what it is together with an expression, and paths that do and do not fit both.
    #[test]
    fn says_both_a_beginning_and_an_expression_or_neither() {
        for (prefix, text, both) in [
            ("/a/", r"\.js$", Some(r"^/a/.*(?:\.js$)")),
            ("/b/", "b", Some("^/b/")),
            ("/b", "b$", None),
            ("/a/b/", "^/a/", Some("^/a/b/")),
            ("/a", "^/a/", Some("^/a/")),
            ("/ab", "^/a.*c", None),
            ("/a/", "^/a/b", Some("^/a/b")),
            ("/api", "piv", None),
            ("/api", "(?i)B", Some("^/api.*(?i:B)")),
            ("/", r"\.js$", Some(r"\.js$")),
        ] {
            let regex = Regex::of(text, false).unwrap();
            let found = regex.below(prefix).map(|regex| regex.text);
            assert_eq!(found.as_deref(), both, "{text} below {prefix}");
        }
    }

    #[test]
    fn what_both_say_holds_for_every_path() {
        let expressions =
            [r"\.js$", "b", "^/a/", "^/(a|b)", "b/c", "a+", r"\bx", "^/a", "(a|/b)$", r"[^/]\.css", "/$"];
        let letters = ["", "/", "a", "b", "c", "x", ".js", ".css", "/b"];
        let mut compared = 0;
        for text in expressions {
            let regex = Regex::of(text, false).unwrap();
            for prefix in ["/a", "/a/", "/b", "/a/b", "/a.j", "/x/", "/ab/c"] {
                let Some(both) = regex.below(prefix) else { continue };
                for end in
                    letters.iter().flat_map(|one| letters.iter().map(move |other| format!("{one}{other}")))
                {
                    let below = format!("{prefix}{end}");
                    assert_eq!(
                        both.fits(&below),
                        regex.fits(&below),
                        "{text} below {prefix}, of {below}: {}",
                        both.text
                    );
                    assert!(!both.fits(&format!("/other{below}")), "{text} below {prefix}: {}", both.text);
                    compared += 1;
                }
            }
        }
        assert!(compared > 2000, "{compared}");
    }
}
