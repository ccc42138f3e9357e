use std::fs;
use std::path::Path;

use super::{assert_wrong, right, wrong};
use crate::{ErrorPage, PageKind, Problem, load};

/// A directory with pages and a configuration that has them under `[error_pages]`; `DIR` stands for it.
struct Case {
    directory: tempfile::TempDir,
}

impl Case {
    fn with(pages: &[(&str, &[u8])]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, page) in pages {
            fs::write(directory.path().join(name), page).expect("written");
        }
        Self { directory }
    }

    fn load(&self, pages: &str) -> Result<Vec<ErrorPage>, Vec<Problem>> {
        let file = self.directory.path().join("vestibule.toml");
        let text = format!("[error_pages]\n{pages}");
        fs::write(&file, text.replace("DIR", &self.directory.path().display().to_string())).expect("written");
        load(&file).map(|config| config.error_pages).map_err(|error| error.problems().to_vec())
    }

    fn assert_wrong(&self, page: &str, message: &str, instead: &str) {
        let problems = self.load(&format!("503 = \"{page}\"")).expect_err("not a page");
        assert_eq!(problems.len(), 1, "{problems:#?}");
        let place = problems[0].place.as_ref().expect("a place");
        assert_eq!((place.line, place.column), (2, 7), "{}", problems[0]);
        assert!(problems[0].message.contains(message), "{}", problems[0]);
        assert!(problems[0].instead.as_ref().is_some_and(|text| text.contains(instead)), "{}", problems[0]);
    }
}

#[test]
fn reads_each_page_from_its_file() {
    let case =
        Case::with(&[("a.html", b"<p>\xc3\xa4</p>"), ("b.HTM", b""), ("c.json", b"{}"), ("c.txt", b"c")]);
    let pages = case
        .load("404 = \"DIR/a.html\"\n503 = [\"DIR/b.HTM\", \"DIR/c.json\", \"DIR/c.txt\"]")
        .expect("right");
    let found: Vec<_> = pages.iter().map(|page| (page.status, page.kind, &*page.body)).collect();
    assert_eq!(
        found,
        [
            (404, PageKind::Html, "<p>ä</p>".as_bytes()),
            (503, PageKind::Html, b""),
            (503, PageKind::Json, b"{}"),
            (503, PageKind::Text, b"c"),
        ]
    );
    assert_eq!(pages[2].path, case.directory.path().join("c.json"));
}

#[test]
fn one_file_may_stand_for_many_statuses() {
    let case = Case::with(&[("a.html", b"a")]);
    let text: String =
        crate::error_page::STATUSES.iter().map(|status| format!("{status} = \"DIR/a.html\"\n")).collect();
    let statuses: Vec<u16> = case.load(&text).expect("right").iter().map(|page| page.status).collect();
    assert_eq!(statuses, crate::error_page::STATUSES);
}

#[test]
fn the_text_alone_is_checked_without_a_look_at_files() {
    assert_eq!(right("error_pages.404 = \"/nowhere/404.html\"").error_pages, []);
}

#[test]
fn refuses_files_that_are_no_pages() {
    let large = vec![b'a'; (1 << 20) + 1];
    let case = Case::with(&[("latin1.html", b"ab\xe9"), ("large.txt", &large), ("largest.txt", &large[1..])]);
    case.assert_wrong("DIR/none.html", "none.html cannot be read: No such file", "can read");
    case.assert_wrong("DIR/latin1.html", "latin1.html is not UTF-8 text (byte 3)", "as UTF-8");
    case.assert_wrong("DIR/large.txt", "large.txt is larger than a page may be", "at most 1 MiB");
    case.load("503 = \"DIR/largest.txt\"").expect("as large as it may be");
    fs::create_dir(case.directory.path().join("d.html")).expect("made");
    case.assert_wrong("DIR/d.html", "d.html is not a file", "of a page");
}

#[test]
fn does_not_wait_for_somebody_to_write_to_a_pipe() {
    let case = Case::with(&[]);
    make_pipe(&case.directory.path().join("pipe.html"));
    case.assert_wrong("DIR/pipe.html", "pipe.html is not a file", "of a page");
}

#[test]
fn what_is_wrong_with_pages_comes_with_the_other_errors() {
    let case = Case::with(&[("a.html", b"a")]);
    let text = "404 = \"DIR/none.html\"\n503 = [\"DIR/a.html\", \"DIR/none.json\"]\n[log]\naccess = 1\n[fields]\nvia = 1";
    let problems = case.load(text).expect_err("wrong");
    let places = problems.iter().filter_map(|problem| problem.place.as_ref());
    let lines: Vec<_> = places.map(|place| place.line).collect();
    assert_eq!(lines, [2, 3, 5, 7], "{problems:#?}");
}

#[test]
fn refuses_what_is_no_status_of_ours() {
    assert_wrong("[error_pages]\n500 = \"/500.html\"", (2, 1), "never answers 500 by itself", "leave it out");
    assert_wrong("[error_pages]\n50x = \"/50x.html\"", (2, 1), "`50x` is not a status", "one of 400, 401");
    assert_wrong(
        "[error_pages]\n\"0404\" = \"/a.html\"",
        (2, 1),
        "`0404` is not a status",
        "one of 400, 401",
    );
    assert_wrong("[error_pages]\n404.html = \"/a.html\"", (2, 1), "expected text, found a table", "503.html");
    assert_wrong("error_pages = []", (1, 15), "is a table", "error_pages = {");
}

#[test]
fn refuses_two_pages_of_a_kind_for_one_status() {
    let text = "[error_pages]\n404 = [\"/a.html\", \"/b.json\", \"/c.htm\"]\n503 = \"/a.html\"";
    assert_wrong(text, (2, 30), "404 has a page in HTML already: /a.html", "leave one of them out");
}

#[test]
fn refuses_pages_of_an_unknown_kind() {
    for path in ["/a.xml", "/a", "/html", "/.html", "/a.html.gz"] {
        let text = format!("[error_pages]\n404 = \"{path}\"");
        assert_wrong(&text, (2, 7), "does not say what it is", ".html, .json or .txt");
    }
    assert_wrong("[error_pages]\n404 = \"a.html\"", (2, 7), "not absolute", "/srv/app/public/503.html");
    assert_wrong("[error_pages]\n404 = []", (2, 7), "no page for 404", "leave 404 out");
    let problems = wrong("[error_pages]\n404 = [\"/a.html\", 1, \"b.txt\", []]");
    assert_eq!(problems.len(), 3, "{problems:#?}");
}

fn make_pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo runs");
    assert!(made.success());
}
