//! Patterns of paths whose content never changes.

/// Whether `path` fits `pattern`: `*` stands for anything within a segment, `**` for anything, and a `/*` at the end for
/// everything below.
pub(crate) fn fits(pattern: &str, path: &[u8]) -> bool {
    let pattern = pattern.as_bytes();
    match pattern.strip_suffix(b"/*") {
        Some(before) => matches(&[before, b"/**"].concat(), path),
        None => matches(pattern, path),
    }
}

/// Goes back to the last `**`, and within its segment to the last `*`: no more steps than both lengths multiplied.
fn matches(pattern: &[u8], path: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    // Where to go on in the pattern, and from where in the path, when it does not fit.
    let mut star: Option<(usize, usize)> = None;
    let mut stars: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at..at + 2) == Some(b"**") {
            (stars, star) = (Some((at + 2, seen)), None);
            at += 2;
        } else if pattern.get(at) == Some(&b'*') {
            star = Some((at + 1, seen));
            at += 1;
        } else if at == pattern.len() && seen == path.len() {
            return true;
        } else if at < pattern.len() && seen < path.len() && pattern[at] == path[seen] {
            (at, seen) = (at + 1, seen + 1);
        } else if let Some((behind, from)) =
            star.filter(|&(_, from)| path.get(from).is_some_and(|&byte| byte != b'/'))
        {
            star = Some((behind, from + 1));
            (at, seen) = (behind, from + 1);
        } else if let Some((behind, from)) = stars.filter(|&(_, from)| from < path.len()) {
            (stars, star) = (Some((behind, from + 1)), None);
            (at, seen) = (behind, from + 1);
        } else {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_in_its_segment_but_at_the_end() {
        for (pattern, path, is_fit) in [
            ("/assets/*", "/assets/a.css", true),
            ("/assets/*", "/assets/a/b.css", true),
            ("/assets/*", "/assetsx", false),
            ("/*", "/", true),
            ("/*.css", "/a.css", true),
            ("/*.css", "/a/b.css", false),
            ("/**.css", "/a/b.css", true),
            ("/a/*/c", "/a/b/c", true),
            ("/a/*/c", "/a/b/b/c", false),
            ("/a/**/c*d", "/a/b/b/cxd", true),
            ("/a/**/c*d", "/a/c/d", false),
            ("/packs/*-*.js", "/packs/app-12.js", true),
            ("/a", "/a", true),
            ("/a", "/ab", false),
            ("", "", true),
        ] {
            assert_eq!(fits(pattern, path.as_bytes()), is_fit, "{pattern} {path}");
        }
    }

    #[test]
    fn takes_no_exponential_time() {
        let pattern = "**a".repeat(12) + "*a".repeat(12).as_str() + "b";
        assert!(!fits(&pattern, &[b'a'; 4000]));
    }
}
