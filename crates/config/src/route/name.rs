//! Names of fields, as an operator writes them.

use crate::problem::Problem;

/// Longest name of a field that can be written.
const LONGEST: usize = 128;

/// Fields that say how long a message is and who it is for: whoever changes them breaks the connection (RFC 9110 7.6.1, RFC 9112 6).
const FRAMING: &[&str] = &[
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

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

/// The name of a field that may be changed.
pub(super) fn changeable(text: &str) -> Result<&str, Problem> {
    let name = field(text)?;
    if FRAMING.iter().any(|framing| framing.eq_ignore_ascii_case(name)) {
        return Err(Problem::new(format!(
            "`{name}` belongs to the connection, and Vestibule writes it itself"
        ))
        .instead("leave it out"));
    }
    Ok(name)
}

/// Whether a byte may stand in a token (RFC 9110 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
