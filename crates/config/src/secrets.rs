//! What came from the environment, and is not to be shown: passwords and keys come from there.

use std::ops::Range;

use crate::problem::Problem;

/// Least bytes of a value that give it away: what is shorter says nothing by itself.
const TELLING: usize = 4;

/// The values that variables gave.
#[derive(Default, PartialEq)]
pub(crate) struct Secrets(Vec<Secret>);

/// One value in the configuration that a variable gave, whole or in part.
#[derive(PartialEq)]
struct Secret {
    /// Where it is written.
    span: Range<usize>,
    /// As it is written there: `${NAME}`, with what stands around it.
    written: String,
    /// What came of it.
    value: String,
    /// What the variables in it gave, each with its name.
    parts: Vec<(String, String)>,
}

impl Secrets {
    /// Notes that what is `written` at `span` became `value`, with `parts`: names and values of the variables in it.
    pub(crate) fn add(
        &mut self,
        span: Range<usize>,
        written: String,
        value: String,
        parts: Vec<(String, String)>,
    ) {
        self.0.push(Secret { span, written, value, parts });
    }

    /// `text` with the names of variables in the places of what they gave. Numbers, sizes and durations stay: they would be
    /// found where they do not come from.
    pub(crate) fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            if is_word(&secret.value) {
                text = replaced(&text, &secret.value, &secret.written);
            }
            for (name, value) in secret.parts.iter().filter(|(_, value)| is_word(value)) {
                text = replaced(&text, value, &format!("${{{name}}}"));
            }
        }
        text
    }

    /// The problem without what variables gave; `at` is where it will be.
    pub(crate) fn hidden(&self, mut problem: Problem, at: Option<Range<usize>>) -> Problem {
        if self.0.is_empty() {
            return problem;
        }
        problem.message = self.hide(&problem.message);
        problem.instead = problem.instead.map(|text| self.hide(&text));
        let here = |secret: &&Secret| {
            at.as_ref().is_some_and(|at| secret.span.start <= at.start && at.end <= secret.span.end)
        };
        let Some(secret) = self.0.iter().find(here) else { return problem };
        let names: Vec<_> = secret.parts.iter().map(|(name, _)| format!("${{{name}}}")).collect();
        let names = names.join(" and ");
        let clean = |text: &str| {
            let mut text = replaced(text, &secret.value, &secret.written);
            for (name, value) in &secret.parts {
                text = replaced(&text, value, &format!("${{{name}}}"));
            }
            // What is left of it, by itself or in another form.
            let mut rest = text.replace(&secret.written, "");
            for (name, _) in &secret.parts {
                rest = rest.replace(&format!("${{{name}}}"), "");
            }
            let tells = secret.parts.iter().any(|(_, value)| shares(&rest, value));
            (!tells).then_some(text)
        };
        let message = clean(&problem.message);
        problem.message = message.unwrap_or_else(|| format!("what {names} stands for is not right here"));
        let instead = problem.instead.as_deref().map(|text| {
            clean(text)
                .unwrap_or_else(|| format!("give the variable another value: that of {names} is not shown"))
        });
        problem.instead = instead;
        problem
    }
}

/// Whether a value can be told from other texts: no number, size, duration or boolean.
fn is_word(value: &str) -> bool {
    let unit = value.trim_start_matches(|c: char| c.is_ascii_digit()).trim();
    let is_number = value.starts_with(|c: char| c.is_ascii_digit())
        && unit.len() <= 3
        && unit.chars().all(char::is_alphabetic);
    value.len() >= TELLING && !is_number && !matches!(value, "true" | "false")
}

/// `text` with `by` in the places where `value` stands by itself, also with the escapes of a debugged string.
fn replaced(text: &str, value: &str, by: &str) -> String {
    let mut text = text.to_owned();
    let debugged = format!("{value:?}");
    let escaped = &debugged[1..debugged.len() - 1];
    for form in [value, escaped] {
        text = replaced_form(&text, form, by);
    }
    text
}

fn replaced_form(text: &str, form: &str, by: &str) -> String {
    if form.is_empty() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (start, found) in text.match_indices(form) {
        let end = start + found.len();
        // Long values are hidden wherever they stand, short ones as words of their own.
        let inside = |c: Option<char>, edge: Option<char>| {
            c.is_some_and(char::is_alphanumeric) && edge.is_some_and(char::is_alphanumeric)
        };
        let is_part = inside(text[..start].chars().next_back(), form.chars().next())
            || inside(text[end..].chars().next(), form.chars().next_back());
        if is_part && form.len() < 2 * TELLING {
            continue;
        }
        out.push_str(&text[done..start]);
        out.push_str(by);
        done = end;
    }
    out.push_str(&text[done..]);
    out
}

/// Whether a telling piece of `value` stands in `text`, in any case of letters.
fn shares(text: &str, value: &str) -> bool {
    let (text, value) = (text.to_lowercase(), value.to_lowercase());
    let value: Vec<char> = value.chars().collect();
    value.windows(TELLING).any(|piece| text.contains(&piece.iter().collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(written: &str, value: &str, name: &str, part: &str) -> Secrets {
        let mut secrets = Secrets::default();
        secrets.add(10..20, written.to_owned(), value.to_owned(), vec![(name.to_owned(), part.to_owned())]);
        secrets
    }

    #[test]
    fn says_the_name_in_the_place_of_the_value() {
        let secrets = secrets("Bearer ${TOKEN}", "Bearer s3cr\"et", "TOKEN", "s3cr\"et");
        assert_eq!(secrets.hide("a Bearer s3cr\"et b"), "a Bearer ${TOKEN} b");
        assert_eq!(secrets.hide("s3cr\"et"), "${TOKEN}");
        assert_eq!(secrets.hide(&format!("{:?} is wrong", "s3cr\"et")), "\"${TOKEN}\" is wrong");
    }

    #[test]
    fn numbers_are_hidden_only_where_they_came_from() {
        let secrets = secrets("${N}", "70000", "N", "70000");
        assert_eq!(secrets.hide("at most 70000"), "at most 70000");
        let problem = Problem::new("70000 is out of bounds").instead("write a number from 1 to 1024");
        let hidden = secrets.hidden(problem.clone(), Some(10..20));
        assert_eq!(hidden.message, "${N} is out of bounds");
        assert_eq!(hidden.instead.as_deref(), Some("write a number from 1 to 1024"));
        assert_eq!(secrets.hidden(problem.clone(), Some(0..5)), problem);
    }

    #[test]
    fn what_gives_a_piece_away_is_not_said() {
        let secrets = secrets("${URL}", "https://user:hunter2@host", "URL", "https://user:hunter2@host");
        let problem =
            Problem::new("\"https://user:hunter2@host\" is a URL").instead("write \"user:hunter2@host\"");
        let hidden = secrets.hidden(problem, Some(10..20));
        assert_eq!(hidden.message, "\"${URL}\" is a URL");
        let instead = hidden.instead.expect("something");
        assert!(!instead.contains("hunter2") && instead.contains("${URL}"), "{instead}");
    }
}
