//! The files that a path would be looked for at, and whether they are there now.

use std::fs;
use std::path::Path;

use vestibule_config::{Coding, Files, Template};

use crate::measures::size;

/// What was found for a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A file, with words about it.
    There(String),
    /// Nothing: with words about where it was looked.
    Missing(String),
    /// No file is looked for: the path may not name one.
    Refused(String),
}

/// Looks for the file of `path`, which is as sent, without the query.
pub(super) fn look(files: &Files, path: &str) -> Seen {
    let path = if files.strip.is_empty() {
        path.to_owned()
    } else {
        String::from_utf8_lossy(Template::without(&files.strip, path.as_bytes())).into_owned()
    };
    let Some(path) = decoded(&path) else {
        return Seen::Refused("the path has an encoding that stands for no text".to_owned());
    };
    let segments = || path.split('/');
    if path.contains('\0') || segments().any(|segment| segment == "..") {
        return Seen::Refused("the path leads out of the directory".to_owned());
    }
    let first = segments().find(|segment| !segment.is_empty());
    if segments().any(|segment| {
        segment.starts_with('.') && !(segment == ".well-known" && first == Some(".well-known"))
    }) {
        return Seen::Refused("names that begin with a dot are not served".to_owned());
    }
    let mut tried = Vec::new();
    let index = files.index.as_ref().filter(|_| path.ends_with('/')).map(|index| format!("{path}{index}"));
    let itself = if path.ends_with('/') { index } else { Some(path.clone()) };
    let fallbacks =
        files.fallback.iter().map(|fallback| fallback.replace("$path", path.trim_end_matches('/')));
    for candidate in itself.into_iter().chain(fallbacks) {
        let file = files.root.join(candidate.trim_start_matches('/'));
        match fs::metadata(&file) {
            Ok(found) if found.is_file() => {
                let also = beside(&file, &files.precompressed);
                return Seen::There(format!(
                    "{}, which is there: {}{also}",
                    file.display(),
                    size(found.len())
                ));
            }
            Ok(found) if found.is_dir() && !path.ends_with('/') && candidate == path => {
                return Seen::There(format!("{} is a directory: redirected to {path}/", file.display()));
            }
            _ => tried.push(file.display().to_string()),
        }
    }
    if tried.is_empty() {
        return Seen::Missing("a directory has no file of its own here".to_owned());
    }
    Seen::Missing(format!("{}: not there", tried.join(", then ")))
}

/// The compressed variants that lie beside a file.
fn beside(file: &Path, codings: &[Coding]) -> String {
    let ending = |coding: &Coding| match coding {
        Coding::Brotli => "br",
        Coding::Zstd => "zst",
        Coding::Gzip => "gz",
    };
    let there = codings.iter().map(ending).filter(|ending| {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".{ending}"));
        Path::new(&name).is_file()
    });
    let there: Vec<_> = there.map(|ending| format!(".{ending}")).collect();
    if there.is_empty() { String::new() } else { format!(", and {} beside it", there.join(", ")) }
}

/// A path without its percent-encoding; `None` when it is no text then.
fn decoded(path: &str) -> Option<String> {
    let bytes = path.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        if byte != b'%' {
            plain.push(byte);
            at += 1;
            continue;
        }
        let (high, low) = digit(at + 1).zip(digit(at + 2))?;
        plain.push(u8::try_from(high << 4 | low).ok()?);
        at += 3;
    }
    String::from_utf8(plain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_where_the_files_would_be_looked_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        fs::create_dir(root.join("sub")).expect("made");
        for (name, text) in
            [("a b.txt", "x"), ("sub/index.html", "yy"), ("page.html", "zzz"), ("page.html.gz", "z")]
        {
            fs::write(root.join(name), text).expect("written");
        }
        let mut files = Files::of(root);
        files.fallback = vec!["$path.html".to_owned()];
        files.precompressed = vec![Coding::Gzip];
        let there = |path: &str| match look(&files, path) {
            Seen::There(words) => words.replace(&format!("{}/", root.display()), ""),
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(there("/a%20b.txt"), "a b.txt, which is there: 1 B");
        assert_eq!(there("/sub/"), "sub/index.html, which is there: 2 B");
        assert_eq!(there("/page"), "page.html, which is there: 3 B, and .gz beside it");
        assert!(there("/sub").contains("redirected to /sub/"));
        for path in ["/../etc/passwd", "/%2e%2e/x", "/.git/config", "/a%00", "/%ff", "/a/.well-known/x"] {
            assert!(matches!(look(&files, path), Seen::Refused(_)), "{path}");
        }
        assert!(matches!(look(&files, "/.well-known/x"), Seen::Missing(_)));
        assert!(
            matches!(look(&files, "/none"), Seen::Missing(words) if words.contains("none, then ") && words.contains("none.html: not there"))
        );
    }
}
