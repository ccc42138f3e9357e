//! `compress` of a `[[route]]`, and `[compress]`
//!
//! What a route says holds for all its answers; where it says nothing, what `[compress]` says; where that is not written either, files are
//! compressed, which have no secrets, and the answers of applications are not.

use toml::de::DeValue;

use crate::document::Section;
use crate::model::{Coding, Compress};
use crate::problem::Problem;
use crate::value;

const CODINGS: &[(&str, Coding)] = &[("br", Coding::Brotli), ("zstd", Coding::Zstd), ("gzip", Coding::Gzip)];

/// For the answers of applications, and for files.
#[derive(Debug, Clone)]
pub(crate) struct ByKind {
    pub(super) answers: Compress,
    pub(super) files: Compress,
}

impl Default for ByKind {
    fn default() -> Self {
        Self { answers: Compress::default(), files: Compress::all() }
    }
}

/// `[compress]`, or `compress = true`
pub(crate) fn read_top(top: &Section<'_>) -> ByKind {
    written(top, "in [compress]", &Compress::all()).map_or_else(ByKind::default, same)
}

/// `compress` of a route: key by key where it is a table.
pub(super) fn read(section: &Section<'_>, default: &ByKind) -> ByKind {
    let on = if default.answers.codings.is_empty() { &default.files } else { &default.answers };
    let on =
        if on.codings.is_empty() { &Compress { codings: Compress::all().codings, ..on.clone() } } else { on };
    written(section, "in `compress` of [[route]]", on).map_or_else(|| default.clone(), same)
}

fn same(compress: Compress) -> ByKind {
    ByKind { files: compress.clone(), answers: compress }
}

/// What is written; `on` is what `true` means, and the keys that are not written.
fn written(section: &Section<'_>, kind: &'static str, on: &Compress) -> Option<Compress> {
    let found = section.short_or_table(
        "compress",
        kind,
        |value| match value::boolean(value) {
            Ok(true) => Ok(on.clone()),
            Ok(false) => Ok(Compress { codings: Vec::new(), ..on.clone() }),
            Err(problem) => {
                Err(problem.instead("write true, false, or { codings = [\"br\", \"zstd\", \"gzip\"] }"))
            }
        },
        |section| {
            let is_written = section.is_written();
            let codings = codings(&section, "codings");
            let types: Vec<_> =
                section.one_or_list("types", media).into_iter().map(|found| found.value).collect();
            let compress = Compress {
                codings: if codings.is_empty() { on.codings.clone() } else { codings },
                least: section.or("least", on.least, value::size(0..=1 << 30)),
                types: if types.is_empty() { on.types.clone() } else { types },
            };
            section.finish();
            is_written.then_some(compress)
        },
    );
    found.map(|found| found.value)
}

/// The codings below a key, the preferred first.
pub(super) fn codings(section: &Section<'_>, key: &'static str) -> Vec<Coding> {
    let mut codings: Vec<Coding> = Vec::new();
    for found in section.one_or_list(key, coding) {
        if codings.contains(&found.value) {
            let problem = Problem::new(format!("\"{}\" is in the list twice", found.value.as_str()));
            section.report(found.span, problem.instead("leave one of them out"));
        } else {
            codings.push(found.value);
        }
    }
    codings
}

fn coding(value: &DeValue<'_>) -> Result<Coding, Problem> {
    let known = match value.as_str() {
        Some("brotli") => Some("br"),
        Some("gz" | "x-gzip") => Some("gzip"),
        Some("zst" | "zstandard") => Some("zstd"),
        _ => None,
    };
    match known {
        Some(known) => Err(Problem::new(format!("{} is not known here", value::describe(value)))
            .instead(format!("write \"{known}\""))),
        None => value::one_of(CODINGS)(value),
    }
}

/// A type: `text/html`, or `text/*`.
fn media(value: &DeValue<'_>) -> Result<String, Problem> {
    let text = value::text(value, "text/*")?;
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(super::name::is_token) && !name.contains('*');
    let fits = text
        .split_once('/')
        .is_some_and(|(kind, subtype)| is_name(kind) && (subtype == "*" || is_name(subtype)));
    if !fits {
        return Err(Problem::new(format!("{text:?} is not a type"))
            .instead("write one such as \"text/html\", or \"text/*\", without what follows a `;`"));
    }
    Ok(text.to_ascii_lowercase())
}
