use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use vestibule_config::{Coding, Links};

use super::*;
use crate::answer::{Body, Part};
use crate::handed::{Kept, NotHanded};
use crate::shelved::IN_MEMORY;
use crate::stamp::Stamp;

const MOST: usize = 1 << 20;

fn asked(path: &str) -> Asked<'_> {
    let bytes = path.as_bytes();
    Asked { path: bytes.split(|&byte| byte == b'?').next().unwrap(), target: bytes, ..Asked::default() }
}

fn always(root: &Path) -> Files {
    Files { check: Duration::ZERO, ..Files::of(root) }
}

async fn answered(shelf: &Shelf, files: &Files, asked: &Asked<'_>) -> Answer {
    match shelf.find(files, asked, Instant::now()).await {
        Found::File(answer) => answer,
        other => panic!("{}: {other:?}", String::from_utf8_lossy(asked.path)),
    }
}

async fn is_nothing(shelf: &Shelf, files: &Files, path: &str) -> bool {
    matches!(shelf.find(files, &asked(path), Instant::now()).await, Found::Nothing)
}

/// All that a body sends.
fn bytes(answer: &Answer) -> Vec<u8> {
    match &answer.body {
        Body::None => Vec::new(),
        Body::Memory(bytes) => bytes.to_vec(),
        Body::Disk { file, parts } => {
            let mut out = Vec::new();
            for part in parts {
                match part {
                    Part::Text(text) => out.extend_from_slice(text),
                    Part::Range(range) => {
                        let mut piece = vec![0; (range.end - range.start) as usize];
                        file.read(&mut piece, range.start).unwrap();
                        out.extend_from_slice(&piece);
                    }
                }
            }
            out
        }
    }
}

fn field<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let mut lines = str::from_utf8(&answer.lines).unwrap().lines().filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

#[tokio::test]
async fn sends_a_file_with_all_that_belongs_to_it() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.css"), "body {}").unwrap();
    let files = Files {
        cache_control: Some("public, max-age=60".to_owned()),
        immutable: vec!["/assets/*".to_owned()],
        ..Files::of(root.path())
    };
    fs::create_dir(root.path().join("assets")).unwrap();
    fs::write(root.path().join("assets/b.js"), "1").unwrap();
    let shelf = Shelf::new(MOST);
    let answer = answered(&shelf, &files, &asked("/a.css")).await;
    assert_eq!((answer.status, answer.length), (200, Some(7)));
    assert_eq!(bytes(&answer), b"body {}");
    assert_eq!(field(&answer, "content-type"), Some("text/css; charset=utf-8"));
    assert_eq!(field(&answer, "cache-control"), Some("public, max-age=60"));
    assert_eq!(field(&answer, "accept-ranges"), Some("bytes"));
    assert_eq!(field(&answer, "vary"), None);
    let seconds = fs::metadata(root.path().join("a.css")).unwrap().modified().unwrap();
    let seconds = seconds.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(field(&answer, "etag"), Some(format!("\"{seconds:x}-7\"").as_str()), "as nginx writes it");
    assert!(field(&answer, "last-modified").unwrap().ends_with(" GMT"));
    let answer = answered(&shelf, &files, &asked("/assets/b.js")).await;
    assert_eq!(field(&answer, "cache-control"), Some("public, max-age=31536000, immutable"));
    let head = answered(&shelf, &files, &Asked { method_is_head: true, ..asked("/a.css") }).await;
    assert_eq!((head.status, head.length, bytes(&head)), (200, Some(7), Vec::new()));
}

#[tokio::test]
async fn says_when_the_client_has_it() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a"), "abc").unwrap();
    let (files, shelf) = (Files::of(root.path()), Shelf::new(MOST));
    let first = answered(&shelf, &files, &asked("/a")).await;
    let tag = field(&first, "etag").unwrap().as_bytes();
    let modified = field(&first, "last-modified").unwrap().as_bytes();
    for (if_none_match, if_modified_since) in [(Some(tag), None), (None, Some(modified))] {
        let again = Asked { if_none_match, if_modified_since, ..asked("/a") };
        let answer = answered(&shelf, &files, &again).await;
        assert_eq!((answer.status, answer.length, bytes(&answer)), (304, None, Vec::new()));
        assert_eq!(field(&answer, "etag").unwrap().as_bytes(), tag);
    }
    let failed = Asked { if_match: Some(b"\"x\""), ..asked("/a") };
    let answer = answered(&shelf, &files, &failed).await;
    assert_eq!((answer.status, answer.length), (412, Some(0)));
}

#[tokio::test]
async fn sends_ranges_from_memory_and_from_disk_alike() {
    let root = tempfile::tempdir().unwrap();
    let short: Vec<u8> = (0..1000_u32).map(|n| n as u8).collect();
    let long: Vec<u8> = (0..IN_MEMORY + 1000).map(|n| (n / 7) as u8).collect();
    fs::write(root.path().join("short.txt"), &short).unwrap();
    fs::write(root.path().join("long.txt"), &long).unwrap();
    let (files, shelf) = (Files::of(root.path()), Shelf::new(MOST));
    for (path, content) in [("/short.txt", &short), ("/long.txt", &long)] {
        let size = content.len();
        let ranged = |range: &'static str| Asked { range: Some(range.as_bytes()), ..asked(path) };
        let answer = answered(&shelf, &files, &ranged("bytes=10-19")).await;
        assert_eq!((answer.status, answer.length), (206, Some(10)));
        assert_eq!(field(&answer, "content-range"), Some(format!("bytes 10-19/{size}").as_str()));
        assert_eq!(bytes(&answer), content[10..20]);

        let answer = answered(&shelf, &files, &ranged("bytes=0-4,-5")).await;
        let kind = field(&answer, "content-type").unwrap();
        let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
        let part = |range: &str, bytes: &[u8]| {
            let head = format!(
                "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes {range}/{size}\r\n\r\n"
            );
            [head.as_bytes(), bytes].concat()
        };
        let last = format!("{}-{}", size - 5, size - 1);
        let end = format!("\r\n--{boundary}--\r\n");
        let wanted =
            [part("0-4", &content[..5]), part(&last, &content[size - 5..]), end.into_bytes()].concat();
        assert_eq!(bytes(&answer), wanted);
        assert_eq!(answer.length, Some(wanted.len() as u64));

        let answer = answered(&shelf, &files, &ranged("bytes=9999999-")).await;
        assert_eq!((answer.status, answer.length), (416, Some(0)));
        assert_eq!(field(&answer, "content-range"), Some(format!("bytes */{size}").as_str()));

        let head = Asked { method_is_head: true, ..ranged("bytes=0-1") };
        assert_eq!(answered(&shelf, &files, &head).await.status, 200, "a range is for GET");
        let other = Asked { if_range: Some(b"\"other\""), ..ranged("bytes=0-1") };
        assert_eq!(answered(&shelf, &files, &other).await.status, 200);
    }
}

#[tokio::test]
async fn finds_the_index_and_sends_to_the_slash() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("docs/empty")).unwrap();
    fs::write(root.path().join("index.html"), "home").unwrap();
    fs::write(root.path().join("docs/index.html"), "docs").unwrap();
    let (files, shelf) = (Files::of(root.path()), Shelf::new(MOST));
    assert_eq!(bytes(&answered(&shelf, &files, &asked("/")).await), b"home");
    assert_eq!(bytes(&answered(&shelf, &files, &asked("/docs/")).await), b"docs");
    let answer = answered(&shelf, &files, &asked("/docs?a=%20&b")).await;
    assert_eq!((answer.status, field(&answer, "location")), (308, Some("/docs/?a=%20&b")));
    assert!(is_nothing(&shelf, &files, "/docs/empty").await, "no index, nothing to show");
    assert!(is_nothing(&shelf, &files, "/docs/empty/").await, "no listing");
    assert!(is_nothing(&shelf, &files, "/index.html/").await);
    let elsewhere = Asked { target: b"//evil.example/docs", ..asked("/docs") };
    assert!(matches!(shelf.find(&files, &elsewhere, Instant::now()).await, Found::Nothing));
    let none = Files { index: None, ..Files::of(root.path()) };
    assert!(is_nothing(&shelf, &none, "/").await);
    assert!(is_nothing(&shelf, &none, "/docs").await);
}

#[tokio::test]
async fn tries_the_fallbacks_in_their_order() {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in [("about.html", "about"), ("app.html", "app"), ("b", "b"), ("b.html", "not b")] {
        fs::write(root.path().join(name), text).unwrap();
    }
    let files = Files {
        fallback: vec!["$path.html".to_owned(), "/app.html".to_owned()],
        immutable: vec!["/*".to_owned()],
        ..Files::of(root.path())
    };
    let shelf = Shelf::new(MOST);
    for (path, text) in [("/about", "about"), ("/b", "b"), ("/what/ever", "app"), ("/", "app")] {
        assert_eq!(bytes(&answered(&shelf, &files, &asked(path)).await), text.as_bytes(), "{path}");
    }
    let answer = answered(&shelf, &files, &asked("/about")).await;
    assert_eq!(field(&answer, "cache-control"), None, "what stands in for another is not for ever");
    assert_eq!(field(&answer, "content-type"), Some("text/html; charset=utf-8"));
    assert!(is_nothing(&shelf, &files, "/../about").await);
}

#[tokio::test]
async fn sends_the_sibling_that_the_client_takes() {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in [("a.js", "plain"), ("a.js.gz", "zip"), ("a.js.br", "br"), ("b.js", "alone")] {
        fs::write(root.path().join(name), text).unwrap();
    }
    let files =
        Files { precompressed: vec![Coding::Brotli, Coding::Zstd, Coding::Gzip], ..Files::of(root.path()) };
    let shelf = Shelf::new(MOST);
    for (accept, coding, text) in [
        (None, None, "plain"),
        (Some("gzip, br"), Some("br"), "br"),
        (Some("gzip, br;q=0.1"), Some("gzip"), "zip"),
        (Some("zstd"), None, "plain"),
        (Some("identity"), None, "plain"),
    ] {
        let asked = Asked { accept_encoding: accept.map(str::as_bytes), ..asked("/a.js") };
        let answer = answered(&shelf, &files, &asked).await;
        assert_eq!((field(&answer, "content-encoding"), bytes(&answer)), (coding, text.as_bytes().to_vec()));
        assert_eq!(field(&answer, "vary"), Some("Accept-Encoding"));
        assert_eq!(field(&answer, "content-type"), Some("text/javascript; charset=utf-8"));
    }
    let tags = [None, Some(&b"gzip"[..]), Some(b"br")]
        .map(|accept_encoding| Asked { accept_encoding, ..asked("/a.js") });
    let mut seen = std::collections::HashSet::new();
    for asked in &tags {
        let answer = answered(&shelf, &files, asked).await;
        assert!(seen.insert(field(&answer, "etag").unwrap().to_owned()), "each has its own tag");
    }
    let answer = answered(&shelf, &files, &Asked { accept_encoding: Some(b"br"), ..asked("/b.js") }).await;
    assert_eq!((field(&answer, "vary"), bytes(&answer)), (None, b"alone".to_vec()));
}

#[tokio::test]
async fn believes_what_it_knows_for_as_long_as_it_may() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a");
    fs::write(&path, "one").unwrap();
    let files = Files { check: Duration::from_secs(10), ..Files::of(root.path()) };
    let shelf = Shelf::new(MOST);
    let begin = Instant::now();
    let at = |seconds| begin + Duration::from_secs(seconds);
    let text = async |at| match shelf.find(&files, &asked("/a"), at).await {
        Found::File(answer) => Some(bytes(&answer)),
        Found::Nothing => None,
        Found::Refused(..) => panic!("refused"),
    };
    assert!(matches!(shelf.find(&files, &asked("/b"), at(0)).await, Found::Nothing));
    assert_eq!(text(at(0)).await.as_deref(), Some(&b"one"[..]));
    // Replaced, as a deploy does it.
    fs::write(root.path().join("new"), "other").unwrap();
    fs::rename(root.path().join("new"), &path).unwrap();
    fs::write(root.path().join("b"), "b").unwrap();
    assert_eq!(text(at(9)).await.as_deref(), Some(&b"one"[..]));
    assert!(matches!(shelf.find(&files, &asked("/b"), at(9)).await, Found::Nothing));
    assert_eq!(text(at(10)).await.as_deref(), Some(&b"other"[..]));
    assert!(matches!(shelf.find(&files, &asked("/b"), at(10)).await, Found::File(_)));
    fs::remove_file(&path).unwrap();
    assert_eq!(text(at(21)).await, None);
}

#[tokio::test]
async fn sees_a_link_to_another_release_and_survives_its_absence() {
    let place = tempfile::tempdir().unwrap();
    for release in ["1", "2"] {
        fs::create_dir(place.path().join(release)).unwrap();
        fs::write(place.path().join(release).join("v"), release).unwrap();
    }
    let current = place.path().join("current");
    symlink("1", &current).unwrap();
    let (files, shelf) = (always(&current), Shelf::new(MOST));
    assert_eq!(bytes(&answered(&shelf, &files, &asked("/v")).await), b"1");
    fs::remove_file(&current).unwrap();
    assert_eq!(bytes(&answered(&shelf, &files, &asked("/v")).await), b"1", "the link is just being replaced");
    symlink("2", &current).unwrap();
    assert_eq!(bytes(&answered(&shelf, &files, &asked("/v")).await), b"2");
}

#[tokio::test]
async fn a_large_file_that_is_being_sent_stays_what_it_was() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("film.mp4");
    let (old, new) = (vec![1; 1 << 20], vec![2; 2 << 20]);
    fs::write(&path, &old).unwrap();
    let files = Files { check: Duration::from_secs(1000), ..Files::of(root.path()) };
    let shelf = Shelf::new(MOST);
    let answer = answered(&shelf, &files, &asked("/film.mp4")).await;
    fs::write(root.path().join("new"), &new).unwrap();
    fs::rename(root.path().join("new"), &path).unwrap();
    assert_eq!(bytes(&answer), old);
    // One that is written to in place is seen at once, whatever `check` says: its length is a promise.
    let answer = answered(&shelf, &files, &asked("/film.mp4")).await;
    assert_eq!(answer.length, Some(1 << 20), "what was opened is what is sent");
    fs::write(root.path().join("log"), &old).unwrap();
    assert_eq!(answered(&shelf, &files, &asked("/log")).await.length, Some(1 << 20));
    fs::write(root.path().join("log"), &new).unwrap();
    let answer = answered(&shelf, &files, &asked("/log")).await;
    assert_eq!((answer.length, bytes(&answer)), (Some(2 << 20), new));
}

#[tokio::test]
async fn keeps_no_more_than_it_may() {
    let root = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(100 << 10);
    let files = Files::of(root.path());
    for index in 0..64 {
        fs::write(root.path().join(format!("{index}")), vec![index; 8 << 10]).unwrap();
    }
    for round in 0..2 {
        for index in 0..64 {
            let answer = answered(&shelf, &files, &asked(&format!("/{index}"))).await;
            assert_eq!(bytes(&answer), vec![index; 8 << 10], "round {round}");
            assert!(shelf.weight.get() <= 100 << 10);
        }
    }
    let kept: usize = shelf.small.borrow().iter().map(|(_, entry)| entry.what.weight()).sum();
    assert_eq!(shelf.weight.get(), kept);
    for index in 0..3 * MOST_ABSENT {
        assert!(is_nothing(&shelf, &files, &format!("/none/{index}")).await);
    }
    assert_eq!(shelf.absent.borrow().len(), MOST_ABSENT);
    let long = format!("/{}", "a".repeat(LONGEST_KEY));
    assert!(is_nothing(&shelf, &files, &long).await);
    assert!(shelf.absent.borrow().iter().all(|(key, _)| key.len() <= LONGEST_KEY));
    shelf.clear();
    assert_eq!((shelf.weight.get(), shelf.small.borrow().len()), (0, 0));
}

#[tokio::test]
async fn what_may_not_be_read_is_refused_and_what_hides_is_not_there() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = tempfile::tempdir().unwrap();
    for name in [".env", "a", ".well-known/x", "no"] {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "secret").unwrap();
    }
    let (files, shelf) = (Files::of(root.path()), Shelf::new(MOST));
    assert!(is_nothing(&shelf, &files, "/.env").await);
    assert!(is_nothing(&shelf, &files, "/%2eenv").await);
    assert_eq!(bytes(&answered(&shelf, &files, &asked("/.well-known/x")).await), b"secret");
    let no = root.path().join("no");
    fs::set_permissions(&no, fs::Permissions::from_mode(0o0)).unwrap();
    // root may read everything.
    if fs::File::open(&no).is_err() {
        assert!(matches!(shelf.find(&files, &asked("/no"), Instant::now()).await, Found::Refused(403, _)));
    }
    let missing = Files::of(root.path().join("nowhere"));
    assert!(is_nothing(&shelf, &missing, "/a").await);
}

fn sendfile(from: &str, root: &Path) -> Vec<Sendfile> {
    vec![Sendfile { from: from.to_owned(), root: root.to_owned() }]
}

#[tokio::test]
async fn sends_what_an_application_hands_over() {
    let place = tempfile::tempdir().unwrap();
    let (real, link) = (place.path().join("real"), place.path().join("link"));
    fs::create_dir_all(real.join("sub")).unwrap();
    symlink(&real, &link).unwrap();
    fs::write(real.join("a b%.pdf"), "paper").unwrap();
    fs::write(place.path().join("secret"), "secret").unwrap();
    symlink("../secret", real.join("out")).unwrap();
    let (places, shelf) = (sendfile("/protected/", &link), Shelf::new(MOST));
    let asked = asked("/download");
    let kept =
        Kept { status: 200, content_type: Some(b"application/x-paper"), lines: b"Set-Cookie: a=1\r\n" };
    let now = Instant::now();
    let path = |name: &Path| name.as_os_str().to_owned().into_encoded_bytes();
    for known_by in
        [path(&link.join("a b%.pdf")), path(&real.join("a b%.pdf")), b"/protected/a b%.pdf".to_vec()]
    {
        let answer = shelf.by_path(&places, &known_by, (&asked, kept), now).await.unwrap();
        assert_eq!((answer.status, bytes(&answer)), (200, b"paper".to_vec()));
        assert_eq!(field(&answer, "content-type"), Some("application/x-paper"));
        assert_eq!(field(&answer, "set-cookie"), Some("a=1"));
        assert!(field(&answer, "etag").is_some() && field(&answer, "accept-ranges").is_some());
    }
    let answer =
        shelf.by_address(&places, b"/protected/a%20b%25.pdf?x=1", (&asked, kept), now).await.unwrap();
    assert_eq!(bytes(&answer), b"paper");
    let ranged = Asked { range: Some(b"bytes=1-2"), ..asked };
    let answer = shelf.by_address(&places, b"/protected/a%20b%25.pdf", (&ranged, kept), now).await.unwrap();
    assert_eq!((answer.status, bytes(&answer)), (206, b"ap".to_vec()));
    let odd = Kept { status: 410, content_type: None, lines: b"" };
    let answer = shelf.by_address(&places, b"/protected/a%20b%25.pdf", (&ranged, odd), now).await.unwrap();
    assert_eq!((answer.status, bytes(&answer)), (410, b"paper".to_vec()), "only a 200 is in parts");
    assert_eq!(field(&answer, "content-type"), Some("application/pdf"));

    for address in [
        "/elsewhere/a",
        "/protected",
        "/protectedx/a",
        "/protected%2fa",
        "a",
        "",
        "/",
        "//protected/a",
        "/%00",
    ] {
        let outcome = shelf.by_address(&places, address.as_bytes(), (&asked, kept), now).await;
        assert_eq!(outcome.err(), Some(NotHanded::NoMapping), "{address}");
    }
    for address in [
        "/protected/",
        "/protected/none",
        "/protected/sub",
        "/protected/out",
        "/protected/../secret",
        "/protected/%2e%2e/secret",
        "/protected//a",
    ] {
        let outcome = shelf.by_address(&places, address.as_bytes(), (&asked, kept), now).await;
        assert!(matches!(outcome, Err(NotHanded::Missing(_))), "{address}: {outcome:?}");
    }
    let outcome = shelf.by_path(&places, &path(&place.path().join("secret")), (&asked, kept), now).await;
    assert_eq!(outcome.err(), Some(NotHanded::NoMapping));
    let outcome = shelf.by_path(&places, &path(&real.join("../secret")), (&asked, kept), now).await;
    assert!(matches!(outcome, Err(NotHanded::Missing(_))));
}

#[tokio::test]
async fn what_is_handed_over_is_looked_at_each_time_and_kept_by_nobody() {
    let root = tempfile::tempdir().unwrap();
    let (places, shelf) = (sendfile("/private/", root.path()), Shelf::new(MOST));
    let asked = asked("/export");
    let kept = Kept { status: 200, content_type: None, lines: b"" };
    for size in [100, IN_MEMORY as usize + 100] {
        for visitor in ["ann", "bob", "cat"] {
            let own = visitor.repeat(size);
            // In place, of one size, within one tick of the clock of files.
            fs::write(root.path().join("export.csv"), &own).unwrap();
            let now = Instant::now();
            let answer =
                shelf.by_address(&places, b"/private/export.csv", (&asked, kept), now).await.unwrap();
            assert!(bytes(&answer) == own.as_bytes(), "{visitor}");
        }
    }
    fs::remove_file(root.path().join("export.csv")).unwrap();
    let gone = shelf.by_address(&places, b"/private/export.csv", (&asked, kept), Instant::now()).await;
    assert!(matches!(gone, Err(NotHanded::Missing(_))), "{gone:?}");
    assert_eq!(shelf.large.borrow().len() + shelf.small.borrow().len(), 0);
}

#[tokio::test]
async fn sees_a_change_within_the_tick_of_the_clock_of_files() {
    let root = tempfile::tempdir().unwrap();
    let (files, shelf) = (always(root.path()), Shelf::new(MOST));
    for text in ["first", "other", "third", "forth"] {
        fs::write(root.path().join("a.txt"), text).unwrap();
        assert_eq!(bytes(&answered(&shelf, &files, &asked("/a.txt")).await), text.as_bytes());
    }
}

/// A file from a machine whose clock is ahead, or one that is dated by hand, is read once like others: the kernel dates its change.
#[test]
fn settles_by_the_kernels_clock_and_not_by_what_a_file_is_dated() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let now = std::time::SystemTime::now();
    for dated in [now + Duration::from_secs(86_400), now - Duration::from_secs(86_400)] {
        file.as_file().set_modified(dated).unwrap();
        let stamp = Stamp::of(&rustix::fs::fstat(&file).unwrap());
        assert!(!stamp.is_settled(std::time::SystemTime::now()), "it was changed just now");
        assert!(stamp.is_settled(now + Duration::from_secs(5)));
    }
}

#[tokio::test]
async fn closes_what_nobody_asks_for_and_holds_few_open() {
    let root = tempfile::tempdir().unwrap();
    let files = Files { precompressed: vec![Coding::Gzip], ..Files::of(root.path()) };
    let shelf = Shelf::new(MOST);
    let open = || shelf.large.borrow().iter().map(|(_, entry)| entry.what.open().count()).sum::<usize>();
    for n in 0..MOST_OPEN {
        for ending in ["", ".gz"] {
            let file = fs::File::create(root.path().join(format!("{n}.bin{ending}"))).unwrap();
            file.set_len(IN_MEMORY + 1).unwrap();
        }
        answered(&shelf, &files, &asked(&format!("/{n}.bin"))).await;
    }
    assert_eq!(open(), MOST_OPEN);
    shelf.sweep(Instant::now());
    assert_eq!(open(), MOST_OPEN);
    shelf.sweep(Instant::now() + LONGEST_OPEN);
    assert_eq!((open(), shelf.weight.get()), (0, 0));
}

#[tokio::test]
async fn a_sibling_that_may_not_be_read_is_left_out() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.html"), "readable").unwrap();
    // A link to itself can be opened by nobody, root included.
    symlink("a.html.gz", root.path().join("a.html.gz")).unwrap();
    let files = Files { precompressed: vec![Coding::Gzip], ..Files::of(root.path()) };
    let answer = answered(&Shelf::new(MOST), &files, &wanting("/a.html", "gzip")).await;
    assert_eq!((answer.status, bytes(&answer)), (200, b"readable".to_vec()));
}

#[tokio::test]
async fn links_lead_where_the_operator_lets_them() {
    let place = tempfile::tempdir().unwrap();
    let (public, shared) = (place.path().join("public"), place.path().join("shared"));
    fs::create_dir(&public).unwrap();
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("a"), "shared").unwrap();
    symlink(&shared, public.join("uploads")).unwrap();
    let shelf = Shelf::new(MOST);
    let inside = Files::of(&public);
    assert!(is_nothing(&shelf, &inside, "/uploads/a").await);
    let into = Files { links: Links::Into(vec![shared]), ..Files::of(&public) };
    assert_eq!(bytes(&answered(&shelf, &into, &asked("/uploads/a")).await), b"shared");
}

/// A text of this many bytes that shrinks.
fn text(bytes: usize) -> String {
    "body { color: black; margin: 0 }\n".repeat(bytes / 33 + 1)[..bytes].to_owned()
}

/// Bytes that do not shrink (xorshift64).
fn noise(mut seed: u64) -> impl Iterator<Item = u8> {
    std::iter::repeat_with(move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 32) as u8
    })
}

fn wanting<'a>(path: &'a str, accepted: &'a str) -> Asked<'a> {
    Asked { accept_encoding: Some(accepted.as_bytes()), ..asked(path) }
}

#[tokio::test]
async fn codes_a_text_once_for_all_who_want_it_so() {
    let root = tempfile::tempdir().unwrap();
    for (name, size) in [("small.css", 20_000), ("large.css", IN_MEMORY as usize + 50_000)] {
        fs::write(root.path().join(name), text(size)).unwrap();
        let (files, shelf) = (Files::of(root.path()), Shelf::new(MOST));
        let path = format!("/{name}");
        let plain = answered(&shelf, &files, &asked(&path)).await;
        assert_eq!((plain.length, field(&plain, "content-encoding")), (Some(size as u64), None));
        assert_eq!(field(&plain, "vary"), Some("Accept-Encoding"));
        let tag = field(&plain, "etag").unwrap().trim_matches('"').to_owned();
        for (accepted, coding) in [("gzip", "gzip"), ("gzip, deflate, br, zstd", "zstd"), ("br", "br")] {
            let now = Instant::now();
            assert!(shelf.find_here(&files, &wanting(&path, accepted), now).is_none(), "it is to be made");
            let answer = answered(&shelf, &files, &wanting(&path, accepted)).await;
            assert_eq!(field(&answer, "content-encoding"), Some(coding));
            let mark = format!("W/\"{tag}-{coding}\"");
            assert_eq!(field(&answer, "etag"), Some(mark.as_str()));
            assert_eq!(field(&answer, "vary"), Some("Accept-Encoding"));
            assert_eq!(field(&answer, "accept-ranges"), None);
            assert!(answer.length.unwrap() < size as u64 / 10);
            assert_eq!(bytes(&answer).len() as u64, answer.length.unwrap());
            let Body::Memory(made) = &answer.body else { panic!("made anew: {answer:?}") };
            let Some(Found::File(again)) = shelf.find_here(&files, &wanting(&path, accepted), Instant::now())
            else {
                panic!("it is at hand")
            };
            let Body::Memory(kept) = &again.body else { panic!("{again:?}") };
            assert_eq!(made.as_ptr(), kept.as_ptr(), "made once");
            let head = Asked { method_is_head: true, ..wanting(&path, accepted) };
            assert_eq!(answered(&shelf, &files, &head).await.length, answer.length);
            let known = Asked { if_none_match: Some(mark.as_bytes()), ..wanting(&path, accepted) };
            let unchanged = answered(&shelf, &files, &known).await;
            assert_eq!((unchanged.status, field(&unchanged, "etag")), (304, Some(mark.as_str())));
            assert_eq!(field(&unchanged, "vary"), Some("Accept-Encoding"));
        }
    }
}

#[tokio::test]
async fn codes_nothing_that_is_better_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let random: Vec<u8> = noise(1).take(5000).collect();
    for (name, content) in [
        ("short.css", text(900).into_bytes()),
        ("picture.png", text(5000).into_bytes()),
        ("noise.css", random),
        ("plain.css", text(5000).into_bytes()),
    ] {
        fs::write(root.path().join(name), content).unwrap();
    }
    let (files, shelf) = (Files::of(root.path()), Shelf::new(MOST));
    for path in ["/short.css", "/picture.png", "/noise.css"] {
        let answer = answered(&shelf, &files, &wanting(path, "gzip")).await;
        assert_eq!(field(&answer, "content-encoding"), None, "{path}");
        let again = shelf.find_here(&files, &wanting(path, "gzip"), Instant::now());
        assert!(again.is_some(), "{path} is not tried again");
    }
    for path in ["/short.css", "/picture.png"] {
        assert_eq!(field(&answered(&shelf, &files, &asked(path)).await, "vary"), None, "{path}");
    }
    let ranged = Asked { range: Some(b"bytes=0-9"), ..wanting("/plain.css", "gzip") };
    let answer = answered(&shelf, &files, &ranged).await;
    assert_eq!((answer.status, field(&answer, "content-encoding")), (206, None));
    let fixed = Asked { no_transform: true, ..wanting("/plain.css", "gzip") };
    assert_eq!(field(&answered(&shelf, &files, &fixed).await, "content-encoding"), None);
    for files in [
        Files { cache_control: Some("No-Transform, max-age=1".to_owned()), ..Files::of(root.path()) },
        Files { compress: Compress::default(), ..Files::of(root.path()) },
    ] {
        let answer = answered(&Shelf::new(MOST), &files, &wanting("/plain.css", "gzip")).await;
        assert_eq!((field(&answer, "content-encoding"), field(&answer, "vary")), (None, None));
    }
}

#[tokio::test]
async fn what_lies_beside_a_file_goes_before_what_is_made_of_it() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.css"), text(5000)).unwrap();
    fs::write(root.path().join("a.css.gz"), "as gzip made it").unwrap();
    let files = Files { precompressed: vec![Coding::Gzip], ..Files::of(root.path()) };
    let shelf = Shelf::new(MOST);
    for (accepted, coding, is_sibling) in
        [("gzip, br, zstd", "gzip", true), ("gzip;q=0.5, br", "br", false), ("zstd", "zstd", false)]
    {
        let answer = answered(&shelf, &files, &wanting("/a.css", accepted)).await;
        assert_eq!(field(&answer, "content-encoding"), Some(coding), "{accepted}");
        assert_eq!(bytes(&answer) == b"as gzip made it", is_sibling, "{accepted}");
    }
}

#[tokio::test]
async fn codes_a_changed_file_anew() {
    let root = tempfile::tempdir().unwrap();
    let (files, shelf) = (always(root.path()), Shelf::new(MOST));
    let mut lengths = Vec::new();
    for size in [5000, 50_000] {
        fs::write(root.path().join("a.css"), text(size)).unwrap();
        let answer = answered(&shelf, &files, &wanting("/a.css", "gzip")).await;
        assert_eq!(field(&answer, "content-encoding"), Some("gzip"));
        lengths.push(answer.length);
    }
    assert!(lengths[0] < lengths[1]);
}

#[tokio::test]
async fn codes_few_at_once_and_sends_the_others_as_they_are() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.css"), text(5000)).unwrap();
    let (files, shelf) = (Files::of(root.path()), Shelf::new(MOST));
    let others = shelf.coding.acquire_many(MOST_CODING as u32).await.unwrap();
    let answer = answered(&shelf, &files, &wanting("/a.css", "gzip")).await;
    assert_eq!((answer.length, field(&answer, "content-encoding")), (Some(5000), None));
    drop(others);
    let answer = answered(&shelf, &files, &wanting("/a.css", "gzip")).await;
    assert_eq!(field(&answer, "content-encoding"), Some("gzip"), "it was not taken for what does not shrink");
}

#[tokio::test]
async fn what_is_made_counts_as_memory() {
    let root = tempfile::tempdir().unwrap();
    // Half of it is there to stay.
    let noisy = |seed: u64| -> String {
        noise(seed).map(|byte| char::from(b'a' + (byte >> 4))).take(300_000).collect()
    };
    let (files, shelf) = (Files::of(root.path()), Shelf::new(MOST));
    for n in 1..=20 {
        fs::write(root.path().join(format!("{n}.css")), noisy(n)).unwrap();
        let path = format!("/{n}.css");
        answered(&shelf, &files, &wanting(&path, "gzip")).await;
        let held = |cache: &RefCell<LruCache<Key, Entry<Arc<Shelved>>>>| -> usize {
            cache.borrow().iter().map(|(_, entry)| entry.what.weight()).sum()
        };
        assert_eq!(held(&shelf.small) + held(&shelf.large), shelf.weight.get());
        assert!(shelf.weight.get() <= MOST, "{}", shelf.weight.get());
    }
    assert!(shelf.weight.get() > MOST / 2, "{}", shelf.weight.get());
}
