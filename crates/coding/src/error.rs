//! Why something is not coded.

use vestibule_config::Coding;

/// An encoder failed. What it wrote so far cannot be ended as if it were whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot be coded as {}: {why}", .coding.as_str())]
pub struct Error {
    /// The coding.
    pub coding: Coding,
    /// What the library says.
    pub why: &'static str,
}
