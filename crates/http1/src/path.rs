//! What a path means, however it is written.

/// Appends to `out` the one way of writing that all paths have that mean the same as `path`; gives false, and appends nothing, where `path` is
/// written so already.
///
/// Escapes of what may stand in a path as itself are decoded, all others are in upper case (RFC 3986 6.2.2); dot segments and doubled slashes are
/// folded, an escaped slash is one. That is how nginx compares locations, and how Rails, Rack's file servers and others see paths in one
/// respect or another: who guards `/admin/` means `//admin/`, `/%61dmin/` and `/x/..%2Fadmin/` too. A star keeps its escape, as patterns
/// have stars of their own. A percent sign that begins no escape is one.
#[inline]
pub fn write_canonical(path: &[u8], out: &mut Vec<u8>) -> bool {
    let mut before = 0;
    for &byte in path {
        let is_plain = match byte {
            b'%' | b'"' | b'<' | b'>' => false,
            b'/' | b'.' => before != b'/',
            _ => true,
        };
        if !is_plain {
            return write(path, out);
        }
        before = byte;
    }
    false
}

#[cold]
fn write(path: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let decoded = decoded(path);
    let mut segments = decoded.split(|&byte| byte == b'/').skip(1).peekable();
    // What is not below a root, as `*`, is no path.
    if decoded.first() != Some(&b'/') {
        return false;
    }
    out.push(b'/');
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b"" | b"." => {}
            b".." => {
                let above = out.get(start..).unwrap_or_default();
                let above = above.strip_suffix(b"/").unwrap_or(above);
                let end = above.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                out.truncate(start + end + 1);
            }
            segment => {
                out.extend_from_slice(segment);
                if !is_last {
                    out.push(b'/');
                }
            }
        }
    }
    if out.get(start..) == Some(path) {
        out.truncate(start);
        return false;
    }
    true
}

/// With every escape decoded or in upper case.
fn decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    loop {
        let (byte, is_escaped) = match rest {
            [] => return decoded,
            [b'%', high, low, behind @ ..] if let (Some(high), Some(low)) = (digit(*high), digit(*low)) => {
                rest = behind;
                (high << 4 | low, true)
            }
            [byte, behind @ ..] => {
                rest = behind;
                (*byte, false)
            }
        };
        let stays = match byte {
            b'?' | b'#' | b'*' => !is_escaped,
            b'%' | b'"' | b'<' | b'>' => false,
            byte => byte.is_ascii_graphic(),
        };
        if stays {
            decoded.push(byte);
        } else {
            let hex = |nibble: u8| b"0123456789ABCDEF".get(usize::from(nibble)).copied().unwrap_or_default();
            decoded.extend([b'%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(path: &str) -> String {
        let mut out = b"before".to_vec();
        let is_other = write_canonical(path.as_bytes(), &mut out);
        let written = String::from_utf8(out.split_off(6)).unwrap();
        assert_eq!(is_other, !written.is_empty(), "{path}");
        assert_eq!(out, b"before");
        if is_other { written } else { path.to_owned() }
    }

    #[test]
    fn leaves_what_is_written_so_already() {
        for path in [
            "/",
            "/a",
            "/a/",
            "/a/b.c/.d-e_f~",
            "/a%20b",
            "/caf%C3%A9/",
            "/%2A",
            "/a%3Fb%23%25",
            "*",
            "/a;b=c,d:@!$&'()+",
        ] {
            // Dotfiles are looked at, and stay.
            assert_eq!(canonical(path), path);
        }
    }

    #[test]
    fn writes_in_one_way_what_means_the_same() {
        for (path, one) in [
            ("/%61dmin", "/admin"),
            ("/%7Euser", "/~user"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("//admin", "/admin"),
            ("//", "/"),
            ("/a//b///", "/a/b/"),
            ("/a%2Fb", "/a/b"),
            ("/a%2f%2fb", "/a/b"),
            ("/./a", "/a"),
            ("/a/.", "/a/"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/..", "/"),
            ("/../../a", "/a"),
            ("/a/b/../../../c", "/c"),
            ("/%2e%2E/a", "/a"),
            ("/a/%2e%2e%2fb", "/b"),
            ("/a\"b<c>", "/a%22b%3Cc%3E"),
            ("/%00%0d%0A", "/%00%0D%0A"),
            ("/%252e", "/%252e"),
            ("/%zz%2", "/%25zz%252"),
            ("/.../..a/.b./%2e", "/.../..a/.b./"),
        ] {
            assert_eq!(canonical(path), one, "{path}");
            assert_eq!(canonical(one), one);
        }
    }

    #[test]
    fn whatever_comes_is_written_once_and_for_all() {
        let pieces = [
            "/", "..", ".", "%2f", "%2F", "%2e", "a", "%61", "%", "%4", "%25", "%C3", "\"", "*", "%2a", "//",
        ];
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let path = "/".to_owned()
                + &(0..random.usize(..9)).map(|_| pieces[random.usize(..pieces.len())]).collect::<String>();
            let once = canonical(&path);
            assert_eq!(canonical(&once), once, "{path}");
            assert!(
                once.starts_with('/') && !once.contains("//") && !once.contains("/../"),
                "{path}: {once}"
            );
        }
    }
}
