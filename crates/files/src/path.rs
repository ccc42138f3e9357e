//! The path of a request, made the name of a file.

/// Longest name that is looked up (PATH_MAX of Linux, with the end that the kernel counts).
const LONGEST: usize = 4095;

/// The only directory beginning with a dot that may be seen (RFC 8615).
const WELL_KNOWN: &[u8] = b".well-known";

/// Decodes `path`, which is as the client sent it and without its query, without `strip` at its beginning: gives the name below
/// the root, without a slash before it. It ends with a slash, or is empty, where a directory is meant. `None` where it can be the name
/// of nothing that may be seen.
///
/// What no file of a site is called is not looked for, rather than repaired: two programs that repair differently are how files get
/// out. So there is no name for `..` and `.`, empty segments, a slash or a NUL that was encoded, a backslash, an escape
/// that is none, and what begins with a dot.
pub(crate) fn name(path: &[u8], strip: &str) -> Option<Vec<u8>> {
    let mut name = decoded(path)?;
    let strip = strip.trim_end_matches('/').as_bytes();
    if !strip.is_empty()
        && let Some(rest) = name.strip_prefix(strip)
        && rest.starts_with(b"/")
    {
        name.drain(..strip.len());
    }
    name.remove(0);
    is_visible(&name).then_some(name)
}

/// Percent-decoded once (RFC 3986 2.1); begins with a slash.
pub(crate) fn decoded(path: &[u8]) -> Option<Vec<u8>> {
    if path.first() != Some(&b'/') || path.len() > 3 * LONGEST {
        return None;
    }
    let mut name = Vec::with_capacity(path.len());
    let mut rest = path.iter();
    while let Some(&byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let high = hex(*rest.next()?)?;
                let byte = high << 4 | hex(*rest.next()?)?;
                if byte == b'/' {
                    return None;
                }
                byte
            }
            other => other,
        };
        if matches!(byte, 0 | b'\\') {
            return None;
        }
        name.push(byte);
    }
    Some(name)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Whether a decoded name below the root is one of a file that may be seen.
pub(crate) fn is_visible(name: &[u8]) -> bool {
    segments(name).is_some_and(|mut segments| {
        segments
            .all(|(index, segment)| segment.first() != Some(&b'.') || (index == 0 && segment == WELL_KNOWN))
    })
}

/// Whether a name below a root stays below it, as far as its letters say; it may have hidden files in it.
pub(crate) fn is_below(name: &[u8]) -> bool {
    segments(name).is_some_and(|mut segments| {
        segments.all(|(_, segment)| segment != b"." && segment != b".." && !segment.contains(&0))
    })
}

/// The segments of a name that has no empty ones but the last.
fn segments(name: &[u8]) -> Option<impl Iterator<Item = (usize, &[u8])>> {
    let whole = name.strip_suffix(b"/").unwrap_or(name);
    if name.len() > LONGEST || whole.starts_with(b"/") || memchr::memmem::find(name, b"//").is_some() {
        return None;
    }
    if name == b"/" {
        return None;
    }
    Some(whole.split(|&byte| byte == b'/').enumerate().filter(|(_, segment)| !segment.is_empty()))
}

/// What `fallback` means for a decoded name: `$path` is the path, without a slash at its end.
pub(crate) fn fallback(fallback: &str, name: &[u8]) -> Option<Vec<u8>> {
    let path = name.strip_suffix(b"/").unwrap_or(name);
    let mut out = Vec::with_capacity(fallback.len() + path.len());
    let mut pieces = fallback.split("$path");
    out.extend_from_slice(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        // The path begins with a slash; where the text has one there already it is the same.
        if !path.is_empty() && !out.is_empty() && !out.ends_with(b"/") {
            out.push(b'/');
        }
        out.extend_from_slice(path);
        let piece = piece.as_bytes();
        let piece = if out.is_empty() { piece.strip_prefix(b"/").unwrap_or(piece) } else { piece };
        out.extend_from_slice(piece);
    }
    let start = out.iter().position(|&byte| byte != b'/').unwrap_or(out.len());
    out.drain(..start);
    (!out.is_empty() && is_visible(&out)).then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(path: &str, strip: &str) -> Option<String> {
        name(path.as_bytes(), strip).map(|name| String::from_utf8(name).unwrap())
    }

    #[test]
    fn decodes_once() {
        for (path, name) in [
            ("/", ""),
            ("/a", "a"),
            ("/a/b.css", "a/b.css"),
            ("/a/", "a/"),
            ("/a%20b", "a b"),
            ("/%61", "a"),
            ("/%2561", "%61"),
            ("/a..b/c...", "a..b/c..."),
            ("/a+b", "a+b"),
            ("/.well-known/security.txt", ".well-known/security.txt"),
        ] {
            assert_eq!(text(path, "").as_deref(), Some(name), "{path}");
        }
        assert_eq!(name(b"/%ff%fe", ""), Some(b"\xff\xfe".to_vec()));
    }

    #[test]
    fn has_no_name_for_what_leads_elsewhere() {
        for path in [
            "",
            "a",
            "*",
            "/..",
            "/../",
            "/../a",
            "/a/../b",
            "/a/..",
            "/./a",
            "/a/.",
            "/%2e%2e/a",
            "/.%2e/a",
            "/%2E./a",
            "//a",
            "/a//b",
            "//",
            "/a//",
            "/..%2fa",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/..\\a",
            "/a%00",
            "/a%00.css",
            "/%",
            "/%2",
            "/%g0",
            "/%0g",
            "/a%",
            "/.git/config",
            "/.env",
            "/a/.b",
            "/a/.well-known/b",
            "/.well-known/.b",
            "/%2eenv",
            "/.well-known-not/a",
        ] {
            assert_eq!(text(path, ""), None, "{path}");
        }
        assert_eq!(name(&[b"/".as_slice(), &[b'a'; LONGEST + 1]].concat(), ""), None);
    }

    #[test]
    fn leaves_out_what_is_to_be_stripped_as_a_whole_segment() {
        assert_eq!(text("/assets/a.css", "/assets").as_deref(), Some("a.css"));
        assert_eq!(text("/assets/a.css", "/assets/").as_deref(), Some("a.css"));
        assert_eq!(text("/assets/", "/assets").as_deref(), Some(""));
        assert_eq!(text("/assetsx/a.css", "/assets").as_deref(), Some("assetsx/a.css"));
        assert_eq!(text("/assets", "/assets").as_deref(), Some("assets"));
        assert_eq!(text("/assets/.env", "/assets"), None);
        assert_eq!(text("/assets//etc/passwd", "/assets"), None);
    }

    #[test]
    fn fills_a_fallback() {
        let filled =
            |with, name: &str| fallback(with, name.as_bytes()).map(|name| String::from_utf8(name).unwrap());
        assert_eq!(filled("$path.html", "about").as_deref(), Some("about.html"));
        assert_eq!(filled("$path.html", "a/b/").as_deref(), Some("a/b.html"));
        assert_eq!(filled("$path/index.html", "").as_deref(), Some("index.html"));
        assert_eq!(filled("/index.html", "any/thing").as_deref(), Some("index.html"));
        assert_eq!(filled("/en$path.html", "about").as_deref(), Some("en/about.html"));
        assert_eq!(filled("$path.html", ""), None, "a hidden file");
        assert_eq!(filled("", "a"), None);
    }

    proptest! {
        #[test]
        fn no_name_leaves_the_root(path in proptest::collection::vec(
            prop_oneof![Just(b"..".to_vec()), Just(b"/".to_vec()), Just(b"%2e".to_vec()), Just(b"%2f".to_vec()), Just(b"%5c".to_vec()),
                Just(b".".to_vec()), Just(b"%00".to_vec()), Just(b"%25".to_vec()), Just(b"\\".to_vec()), any::<Vec<u8>>()], 0..12)) {
            let path = [b"/".as_slice(), &path.concat()].concat();
            if let Some(name) = name(&path, "") {
                prop_assert!(!name.starts_with(b"/") && !name.contains(&0) && !name.contains(&b'\\'));
                prop_assert!(name.split(|&byte| byte == b'/').all(|segment| segment != b".." && segment != b"."));
                prop_assert!(is_below(&name));
            }
        }

        #[test]
        fn what_is_encoded_is_found_again(segments in proptest::collection::vec("[^/\\\\\0.][^/\\\\\0]{0,8}", 1..5)) {
            let plain = segments.join("/");
            let encoded: String = plain.bytes().map(|byte| if byte == b'/' { "/".to_owned() } else { format!("%{byte:02X}") }).collect();
            prop_assert_eq!(name(format!("/{encoded}").as_bytes(), ""), Some(plain.into_bytes()));
        }
    }
}
