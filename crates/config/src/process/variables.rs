//! `environment` of `[process.NAME]`

use toml::de::DeValue;

use super::command::{fillable, without_nul};
use crate::document::{Found, Section};
use crate::problem::Problem;
use crate::value::describe;

/// The variables in the order of their names, and where their values are written.
pub(super) fn read(section: &Section<'_>) -> Vec<(String, Found<String>)> {
    let mut variables = Vec::new();
    for (name, written) in section.entries() {
        if !is_name(&name.value) {
            let problem = Problem::new(format!("{:?} cannot be the name of a variable", name.value));
            let instead = "choose one of letters, digits and `_` that does not begin with a digit";
            section.report(name.span, problem.instead(instead));
        }
        match value(written.get_ref()) {
            Ok(value) => variables.push((name.value, Found { value, span: written.span() })),
            Err(problem) => section.report(written.span(), problem),
        }
    }
    variables.sort_by(|(one, _), (other, _)| one.cmp(other));
    variables
}

/// Whether a shell takes it as a variable's name (POSIX.1-2017, 3.235).
pub(super) fn is_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Text; numbers and booleans are taken as they are written, where that says it all.
fn value(value: &DeValue<'_>) -> Result<String, Problem> {
    match value {
        DeValue::String(text) => {
            without_nul(text)?;
            fillable(text)?;
            Ok(text.to_string())
        }
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Boolean(value) => Ok(value.to_string()),
        other => Err(Problem::new(format!("the value of a variable is text, not {}", describe(other)))
            .instead("write it between quotes")),
    }
}
