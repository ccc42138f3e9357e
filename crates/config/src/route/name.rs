//! Names of fields, as an operator writes them.

use crate::problem::Problem;

/// Longest name of a field that can be written.
const LONGEST: usize = 128;

/// A field's name, as it is written.
pub(super) fn field(text: &str) -> Result<&str, Problem> {
    if let Some(name) = text.strip_suffix(':') {
        return Err(Problem::new(format!("{text:?} is not the name of a field"))
            .instead(format!("write it without the colon: {name:?}")));
    }
    if text.is_empty() || text.len() > LONGEST || !text.bytes().all(is_token) {
        return Err(Problem::new(format!("{text:?} is not the name of a field"))
            .instead("write letters, digits and `-`, such as \"X-Beta\""));
    }
    Ok(text)
}

/// Whether a byte may stand in a token (RFC 9110 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
