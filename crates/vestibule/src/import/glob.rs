//! The patterns of `include`: `*`, `?` and `[…]` in the names of files.

use std::fs;
use std::path::{Path, PathBuf};

/// Whether a name is a pattern.
pub(super) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// The files that fit, in the order of their names, at most `most`. A relative pattern begins at `base`.
pub(super) fn files(base: &Path, pattern: &str, most: usize) -> Vec<PathBuf> {
    let (start, pattern) = match pattern.strip_prefix('/') {
        Some(below) => (PathBuf::from("/"), below),
        None => (base.to_owned(), pattern),
    };
    let mut found = vec![start];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let mut below = Vec::new();
        for directory in found {
            if !is_pattern(part) {
                below.push(directory.join(part));
                continue;
            }
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
            // A leading dot wants to be named, as everywhere.
            let mut names: Vec<_> = names
                .filter(|name| (!name.starts_with('.') || part.starts_with('.')) && fits(part, name))
                .collect();
            names.sort();
            below.extend(names.into_iter().map(|name| directory.join(name)));
            below.truncate(most);
        }
        found = below;
    }
    found.retain(|path| path.is_file());
    found
}

/// Whether a name fits a pattern without `/`.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut read) = (0, 0);
    // Where the last `*` was, and how much it has taken: a `*` before it never has to be tried again.
    let mut star: Option<(usize, usize)> = None;
    while read < name.len() {
        match one(&pattern[at..], name[read]) {
            Some(length) if pattern.get(at) != Some(&'*') => {
                at += length;
                read += 1;
            }
            _ if pattern.get(at) == Some(&'*') => {
                star = Some((at, read));
                at += 1;
            }
            _ => {
                let Some((back, taken)) = star else { return false };
                star = Some((back, taken + 1));
                (at, read) = (back + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|&c| c == '*')
}

/// How much of the pattern stands for this one character, if it fits.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match *pattern.first()? {
        '?' => Some(1),
        '[' => {
            let end = pattern.iter().skip(2).position(|&c| c == ']')? + 2;
            let negated = matches!(pattern[1], '!' | '^');
            let set = &pattern[1 + usize::from(negated)..end];
            let mut fits = false;
            let mut at = 0;
            while at < set.len() {
                if at + 2 < set.len() && set[at + 1] == '-' {
                    fits |= (set[at]..=set[at + 2]).contains(&c);
                    at += 3;
                } else {
                    fits |= set[at] == c;
                    at += 1;
                }
            }
            (fits != negated).then_some(end + 1)
        }
        literal => (literal == c).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_what_a_shell_would_fit() {
        for (pattern, name, fit) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("??", "ab", true),
            ("??", "a", false),
            ("[a-c]1", "b1", true),
            ("[!a-c]1", "b1", false),
            ("[]]", "]", true),
            ("[", "[", false),
        ] {
            assert_eq!(fits(pattern, name), fit, "{pattern} {name}");
        }
    }
}
