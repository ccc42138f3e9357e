//! Paths of files and directories that may begin at the directory of the configuration.

use std::path::{Path, PathBuf};

use toml::de::DeValue;

use crate::problem::Problem;
use crate::value;

/// A path from the root, or from the `directory` of the configuration: certificates often lie beside it. What is there is
/// not looked at.
pub(crate) fn file(value: &DeValue<'_>, directory: &Path, example: &str) -> Result<PathBuf, Problem> {
    let text = value::text(value, example)?;
    let wrong = |message: String, instead: String| Err(Problem::new(message).instead(instead));
    if text.contains("-----BEGIN ") {
        // It may be a secret: it is not shown once more.
        return wrong(
            "this is what is in a file, not its path".to_owned(),
            format!("save it as a file, and write its path, such as \"{example}\""),
        );
    }
    if text.is_empty() || text.ends_with('/') {
        return wrong(
            format!("{text:?} is not the path of a file"),
            format!("write one such as \"{example}\""),
        );
    }
    if text.contains('\0') {
        return wrong("a path cannot have a NUL byte in it".to_owned(), format!("write \"{example}\""));
    }
    if let Some((_, path)) = text.split_once("://") {
        return wrong(format!("{text:?} is a URL, not a path"), format!("write a path, such as {path:?}"));
    }
    if text.starts_with('~') || text.starts_with('$') {
        return wrong(
            format!("{text:?} does not say where it is: only a shell knows that"),
            format!("write the path from the root, such as \"{example}\""),
        );
    }
    // An absolute path stays what it is.
    Ok(directory.join(text))
}

/// The path of a directory, as [`file()`].
pub(crate) fn directory(value: &DeValue<'_>, from: &Path, example: &str) -> Result<PathBuf, Problem> {
    match value.as_str().map(|text| text.trim_end_matches('/')) {
        Some(text) if !text.is_empty() => file(&DeValue::String(text.into()), from, example),
        _ => file(value, from, example),
    }
}
