//! Types of files, by the ending of their name.

/// What mime_guess does not know, or knows otherwise than the registry of media types by now.
const NEWER: &[(&str, &str)] = &[
    ("js", "text/javascript"),
    ("mjs", "text/javascript"),
    ("cjs", "text/javascript"),
    ("map", "application/json"),
    ("webmanifest", "application/manifest+json"),
    ("ico", "image/x-icon"),
    ("avif", "image/avif"),
    ("jxl", "image/jxl"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("wasm", "application/wasm"),
    ("m4a", "audio/mp4"),
    ("rb", "text/plain"),
    ("gz", "application/gzip"),
    ("zst", "application/zstd"),
    ("br", "application/octet-stream"),
    ("md", "text/markdown"),
    ("yml", "application/yaml"),
    ("yaml", "application/yaml"),
];

/// What a file of an unknown kind is.
const UNKNOWN: &str = "application/octet-stream";

/// The value of `Content-Type` for a file of this name. `types` are the operator's, by ending, and count first, as they are written but
/// for the charset.
pub(crate) fn content_type(name: &[u8], types: &[(String, String)]) -> String {
    let found = ending(name).map_or(UNKNOWN, |ending| {
        let own = types.iter().find(|(known, _)| known.trim_start_matches('.').eq_ignore_ascii_case(ending));
        let newer =
            || NEWER.iter().find(|(known, _)| known.eq_ignore_ascii_case(ending)).map(|(_, kind)| *kind);
        let guessed = || mime_guess::from_ext(ending).first_raw();
        own.map(|(_, kind)| kind.as_str()).or_else(newer).or_else(guessed).unwrap_or(UNKNOWN)
    });
    let is_text = found.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("text/"))
        || found.eq_ignore_ascii_case("application/javascript")
        || found.eq_ignore_ascii_case("application/xml");
    if is_text && !found.contains(';') { format!("{found}; charset=utf-8") } else { found.to_owned() }
}

/// What stands behind the last dot of the last segment, if that is not all there is.
fn ending(name: &[u8]) -> Option<&str> {
    let file = name.rsplit(|&byte| byte == b'/').next()?;
    let dot = memchr::memrchr(b'.', file).filter(|&dot| dot > 0)?;
    str::from_utf8(file.get(dot + 1..)?).ok().filter(|ending| !ending.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_a_site_is_made_of() {
        for (name, kind) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a/b.CSS", "text/css; charset=utf-8"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("app.mjs", "text/javascript; charset=utf-8"),
            ("robots.txt", "text/plain; charset=utf-8"),
            ("app.js.map", "application/json"),
            ("data.json", "application/json"),
            ("feed.xml", "text/xml; charset=utf-8"),
            ("site.webmanifest", "application/manifest+json"),
            ("logo.svg", "image/svg+xml"),
            ("photo.jpeg", "image/jpeg"),
            ("photo.webp", "image/webp"),
            ("photo.avif", "image/avif"),
            ("icon.png", "image/png"),
            ("favicon.ico", "image/x-icon"),
            ("font.woff2", "font/woff2"),
            ("film.mp4", "video/mp4"),
            ("song.mp3", "audio/mpeg"),
            ("paper.pdf", "application/pdf"),
            ("code.wasm", "application/wasm"),
            ("release.tar.gz", "application/gzip"),
            ("archive.zip", "application/zip"),
            ("LICENSE", "application/octet-stream"),
            ("dir.css/file", "application/octet-stream"),
            ("what.unheard-of", "application/octet-stream"),
            ("ends.", "application/octet-stream"),
        ] {
            assert_eq!(content_type(name.as_bytes(), &[]), kind, "{name}");
        }
    }

    #[test]
    fn the_operator_knows_better() {
        let types = [
            ("foo".to_owned(), "text/x-foo".to_owned()),
            (".css".to_owned(), "text/css; charset=latin1".to_owned()),
        ];
        assert_eq!(content_type(b"a.FOO", &types), "text/x-foo; charset=utf-8");
        assert_eq!(content_type(b"a.css", &types), "text/css; charset=latin1");
    }
}
