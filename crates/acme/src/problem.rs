//! Problem documents (RFC 7807, RFC 8555 6.7), in words.

use instant_acme::{Error as Protocol, Identifier, Problem};

use crate::Error;

const PREFIX: &str = "urn:ietf:params:acme:error:";
/// The most of a text of somebody else's that we repeat.
const LONGEST: usize = 500;

/// Whether it is the problem of RFC 8555 6.7 that is called `kind`.
pub(crate) fn is(problem: &Problem, kind: &str) -> bool {
    problem.r#type.as_deref().and_then(|name| name.strip_prefix(PREFIX)) == Some(kind)
}

/// What the authority says, on one line.
pub(crate) fn in_words(problem: &Problem) -> String {
    let mut words = one(problem.detail.as_deref(), problem.r#type.as_deref());
    for part in problem.subproblems.iter().take(10) {
        words.push_str("; ");
        if let Some(Identifier::Dns(name)) = &part.identifier {
            words.push_str(&printable(name));
            words.push_str(": ");
        }
        words.push_str(&one(part.detail.as_deref(), part.r#type.as_deref()));
    }
    words
}

fn one(detail: Option<&str>, kind: Option<&str>) -> String {
    let kind = kind.map(|kind| printable(kind.strip_prefix(PREFIX).unwrap_or(kind)));
    match (detail, kind) {
        (Some(detail), Some(kind)) => format!("{} ({kind})", printable(detail)),
        (Some(detail), None) => printable(detail),
        (None, Some(kind)) => kind,
        (None, None) => "nothing about why".to_owned(),
    }
}

/// A text of somebody else's, so that it can stand in a line of the log.
pub(crate) fn printable(text: &str) -> String {
    let mut clean: String =
        text.chars().map(|char| if char.is_control() { ' ' } else { char }).take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        clean.push('…');
    }
    clean
}

/// What the protocol's crate says about `step`, as an error of ours.
pub(crate) fn of(step: &'static str, error: Protocol) -> Error {
    match error {
        Protocol::Api(problem) => Error::Refused { step, problem: Box::new(problem) },
        Protocol::Other(why) => match why.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(why) => Error::Nonsense { step, why: printable(&with_causes(why.as_ref())) },
        },
        Protocol::Json(why) => {
            Error::Nonsense { step, why: format!("the authority's answer makes no sense: {why}") }
        }
        Protocol::Timeout(_) => {
            Error::Nonsense { step, why: "the authority did not come to an end in time".to_owned() }
        }
        other => Error::Nonsense { step, why: printable(&other.to_string()) },
    }
}

/// An error with all that led to it, each said once.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let text = next.to_string();
        if !words.contains(&text) {
            words.push_str(": ");
            words.push_str(&text);
        }
        cause = next.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use instant_acme::Problem;

    use super::*;

    fn problem(kind: &str, detail: &str) -> Problem {
        Problem {
            r#type: Some(kind.to_owned()),
            detail: Some(detail.to_owned()),
            status: None,
            subproblems: Vec::new(),
        }
    }

    #[test]
    fn a_problem_is_told_in_its_own_words_and_by_its_short_name() {
        let problem = problem("urn:ietf:params:acme:error:rateLimited", "too many certificates");
        assert_eq!(in_words(&problem), "too many certificates (rateLimited)");
        assert!(is(&problem, "rateLimited") && !is(&problem, "dns"));
    }

    #[test]
    fn what_an_authority_says_cannot_forge_a_line_of_the_log() {
        let words = in_words(&problem("x", &format!("a\n\u{1b}[2Jb{}", "y".repeat(10_000))));
        assert!(!words.contains(['\n', '\u{1b}']), "{words:?}");
        assert!(words.len() < 600, "{}", words.len());
    }
}
