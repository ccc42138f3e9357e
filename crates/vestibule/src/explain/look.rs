//! The files that a path would be looked for at, and whether they are there now.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::runtime::Runtime;
use vestibule_config::{Coding, Files};
use vestibule_files::{Asked, Found, Shelf};

use super::request::Request;
use crate::measures::size;

/// As much memory as a file may take that is looked at once.
const MEMORY: usize = 64 << 20;

/// What was found for a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// An answer: its status, and words about it.
    Answer(u16, String),
    /// Nothing: with words about why.
    Nothing(String),
}

/// Looks for the file of `path`, which is as sent or rewritten, without the query. What there is is not judged here, but by what serves
/// files: only the words are of this place.
pub(super) fn look(runtime: &Runtime, files: &Files, path: &str, request: &Request) -> Seen {
    let found = |files: &Files| runtime.block_on(find(files, path, request));
    let name = Name::of(files, path);
    match found(files) {
        Found::Refused(status, why) => Seen::Answer(status, format!("{status}: {why}")),
        Found::Nothing => Seen::Nothing(match &name {
            Ok(name) => missing(files, name),
            Err(why) => (*why).to_owned(),
        }),
        Found::File(answer) => {
            let lines = String::from_utf8_lossy(&answer.lines).into_owned();
            let field =
                |name: &str| lines.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            let Ok(name) = name else {
                return Seen::Answer(answer.status, format!("{}: a file is there", answer.status));
            };
            if let Some(to) = field("Location") {
                let words = format!("{} is a directory: redirected to {to}", name.below(files).display());
                return Seen::Answer(answer.status, words);
            }
            // Which of them it was, the answer does not say: it is the last of those that it takes to find one.
            let is_enough = |count: &usize| {
                let fallback = files.fallback.iter().take(*count).cloned().collect();
                matches!(found(&Files { fallback, ..files.clone() }), Found::File(_))
            };
            let enough = (0..files.fallback.len()).find(is_enough).unwrap_or(files.fallback.len());
            let file = match enough.checked_sub(1).and_then(|last| files.fallback.get(last)) {
                Some(fallback) => name.filled(files, fallback),
                None => name.itself(files).unwrap_or_else(|| name.below(files)),
            };
            let long = fs::metadata(&file).map_or(0, |found| found.len());
            let mut words = format!("{}, which is there: {}", file.display(), size(long));
            words.push_str(&beside(&file, &files.precompressed));
            if let Some(coding) = field("Content-Encoding") {
                words.push_str(&format!("; sent as {coding}"));
            }
            if answer.status != 200 {
                words.push_str(&format!("; answered {}", answer.status));
            }
            Seen::Answer(answer.status, words)
        }
    }
}

/// Asks what serves files. Nothing is remembered from one question to the next.
async fn find(files: &Files, path: &str, request: &Request) -> Found {
    let value = |name: &str| {
        let values = request.fields.iter().filter(|(other, _)| other == name);
        let values: Vec<&str> = values.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    };
    let [accept_encoding, if_none_match, if_match, if_modified_since, if_unmodified_since, range, if_range] =
        [
            "accept-encoding",
            "if-none-match",
            "if-match",
            "if-modified-since",
            "if-unmodified-since",
            "range",
            "if-range",
        ]
        .map(value);
    let asked = Asked {
        method_is_head: request.method == "HEAD",
        path: path.as_bytes(),
        target: request.target.as_bytes(),
        accept_encoding: accept_encoding.as_deref().map(str::as_bytes),
        no_transform: value("cache-control")
            .is_some_and(|value| value.to_ascii_lowercase().contains("no-transform")),
        if_none_match: if_none_match.as_deref().map(str::as_bytes),
        if_match: if_match.as_deref().map(str::as_bytes),
        if_modified_since: if_modified_since.as_deref().map(str::as_bytes),
        if_unmodified_since: if_unmodified_since.as_deref().map(str::as_bytes),
        range: range.as_deref().map(str::as_bytes),
        if_range: if_range.as_deref().map(str::as_bytes),
    };
    Shelf::new(MEMORY).find(files, &asked, Instant::now()).await
}

/// Why there is nothing, at each place where it was looked.
fn missing(files: &Files, name: &Name) -> String {
    let why = |file: PathBuf| {
        let is = match (file.is_file(), file.is_dir()) {
            (true, _) => "there, but a link leads to it that `files.links` does not follow",
            (_, true) => "a directory without an index",
            _ => "not there",
        };
        format!("{}: {is}", file.display())
    };
    let fallbacks = files.fallback.iter().map(|fallback| name.filled(files, fallback));
    let all: Vec<String> = name.itself(files).into_iter().chain(fallbacks).map(why).collect();
    if all.is_empty() { "a directory has no file of its own here".to_owned() } else { all.join(", then ") }
}

/// A path as the name of something below the root, decoded; with a slash at its end where a directory is meant.
struct Name(String);

impl Name {
    fn of(files: &Files, path: &str) -> Result<Name, &'static str> {
        let Some(path) = decoded(path) else {
            return Err("the path has an encoding that stands for no text");
        };
        let strip = files.strip.trim_end_matches('/');
        let rest = path.strip_prefix(strip).filter(|rest| rest.starts_with('/'));
        let path = rest.unwrap_or(&path);
        let segments = || path.split('/');
        if path.contains('\0') || segments().any(|segment| segment == "..") {
            return Err("the path leads out of the directory");
        }
        let first = segments().find(|segment| !segment.is_empty());
        if segments().any(|segment| {
            segment.starts_with('.') && !(segment == ".well-known" && first == Some(".well-known"))
        }) {
            return Err("names that begin with a dot are not served");
        }
        if path.contains("//") || path.contains('\\') {
            return Err("no file is called that");
        }
        Ok(Name(path.trim_start_matches('/').to_owned()))
    }

    /// Where it lies itself.
    fn below(&self, files: &Files) -> PathBuf {
        files.root.join(self.0.trim_end_matches('/'))
    }

    /// The file that is meant: a directory's index, if it has one.
    fn itself(&self, files: &Files) -> Option<PathBuf> {
        if !self.0.is_empty() && !self.0.ends_with('/') {
            return Some(self.below(files));
        }
        files.index.as_ref().map(|index| self.below(files).join(index))
    }

    /// What a fallback means for it.
    fn filled(&self, files: &Files, fallback: &str) -> PathBuf {
        let path = self.0.trim_end_matches('/');
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        let file = fallback.replace("/$path", "$path").replace("$path", &path);
        files.root.join(file.trim_start_matches('/'))
    }
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

    /// A root with a few files, and beside it one that is nobody's business.
    fn laid_out() -> (tempfile::TempDir, Files) {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("root");
        for made in ["sub", "bare"] {
            fs::create_dir_all(root.join(made)).expect("made");
        }
        for (name, text) in [
            ("a b.txt", "x"),
            ("sub/index.html", "yy"),
            ("page.html", "zzz"),
            ("page.html.gz", "z"),
            ("../out.txt", "out"),
        ] {
            fs::write(root.join(name), text).expect("written");
        }
        std::os::unix::fs::symlink("../out.txt", root.join("link.txt")).expect("a link");
        let mut files = Files::of(&root);
        files.fallback = vec!["$path.html".to_owned()];
        files.precompressed = vec![Coding::Gzip];
        (directory, files)
    }

    fn looked(files: &Files, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let request = Request {
            method: "GET".to_owned(),
            scheme: "http",
            host: "a".to_owned(),
            port: None,
            target: path.to_owned(),
            canonical_path: String::new(),
            client: std::net::Ipv4Addr::LOCALHOST.into(),
            fields: fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
        };
        let (status, words) = match look(&runtime, files, path, &request) {
            Seen::Answer(status, words) => (status, words),
            Seen::Nothing(words) => (404, words),
        };
        (status, words.replace(&format!("{}/", files.root.display()), ""))
    }

    #[test]
    fn finds_what_is_served() {
        let (_directory, mut files) = laid_out();
        for (path, fields, status, words) in [
            ("/a%20b.txt", &[][..], 200, "a b.txt, which is there: 1 B"),
            ("/sub/", &[], 200, "sub/index.html, which is there: 2 B"),
            ("/sub", &[], 308, "sub is a directory: redirected to /sub/"),
            ("/page", &[], 200, "page.html, which is there: 3 B, and .gz beside it"),
            (
                "/page",
                &[("accept-encoding", "gzip")],
                200,
                "page.html, which is there: 3 B, and .gz beside it; sent as gzip",
            ),
            ("/a%20b.txt", &[("if-none-match", "*")], 304, "a b.txt, which is there: 1 B; answered 304"),
            ("/a%20b.txt", &[("range", "bytes=7-")], 416, "a b.txt, which is there: 1 B; answered 416"),
        ] {
            assert_eq!(looked(&files, path, fields), (status, words.to_owned()), "{path}");
        }
        files.strip = "/d".to_owned();
        assert_eq!(
            looked(&files, "/d/sub", &[]),
            (308, "sub is a directory: redirected to /d/sub/".to_owned()),
            "where the client knows it"
        );
        assert_eq!(looked(&files, "/d/page", &[]).0, 200);
    }

    #[test]
    fn says_why_nothing_is_served() {
        let (_directory, mut files) = laid_out();
        for (path, words) in [
            ("/../etc/passwd", "leads out of"),
            ("/%2e%2e/x", "leads out of"),
            ("/.git/config", "begin with a dot"),
            ("/a%00", "leads out of"),
            ("/%ff", "no text"),
            ("/a/.well-known/x", "begin with a dot"),
            ("/a//b", "no file is called that"),
            ("/.well-known/x", ".well-known/x: not there, then .well-known/x.html: not there"),
            ("/none", "none: not there, then none.html: not there"),
            ("/link.txt", "link.txt: there, but a link leads to it that `files.links` does not follow"),
            ("/bare", "bare: a directory without an index"),
            ("/bare/", "bare/index.html: not there"),
        ] {
            let (status, said) = looked(&files, path, &[]);
            assert!(status == 404 && said.contains(words), "{path}: {status} {said}");
        }
        files.links = vestibule_config::Links::Any;
        assert_eq!(looked(&files, "/link.txt", &[]).0, 200);
        files.index = None;
        files.fallback.clear();
        assert_eq!(looked(&files, "/sub/", &[]).1, "a directory has no file of its own here");
    }
}
