//! What REDbot, who knows HTTP better than most, has to say of our files.

use std::fs;

use serde_json::Value;

use crate::support::dir::Dir;
use crate::support::python;
use crate::support::vestibule::Vestibule;

/// What it has to find, by its names: a correct clock and length, ranges, both validators.
const WANTED: [&str; 5] = ["DATE_CORRECT", "CL_CORRECT", "RANGE_CORRECT", "INM_304", "IMS_304"];

/// Warnings that say what the operator wrote, and not what we made of it.
const OF_THE_OPERATOR: [&str; 1] = ["STORE_PUBLIC_UNNECESSARY"];

fn notes(urls: &[&str]) -> Vec<Value> {
    let said = python::run("python/with_redbot.py", urls);
    said.lines().map(|line| serde_json::from_str(line).expect("a note")).collect()
}

#[test]
fn redbot_finds_no_error_on_files() {
    let dir = Dir::new();
    let root = dir.join("public");
    fs::create_dir_all(root.join("assets")).expect("directories");
    let page = "<!DOCTYPE html><html lang=en><title>A page</title><body>".to_owned()
        + &(0..400).map(|n| format!("<p>Paragraph {n} has <a href=/{n}>a link</a>.</p>")).collect::<String>();
    fs::write(root.join("page.html"), &page).expect("a page");
    fs::write(root.join("assets/app-3f9a.js"), "export const n = 1;\n".repeat(300)).expect("a script");
    fs::write(root.join("assets/app-3f9a.js.gz"), gzip(&"export const n = 1;\n".repeat(300)))
        .expect("its sibling");
    // Below what is compressed, and longer than the part that REDbot asks for.
    fs::write(root.join("small.txt"), "small\n".repeat(100)).expect("a text");
    let big: Vec<u8> = (0..3_000_000_u32)
        .flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8..=255)
        .take(3_000_000)
        .collect();
    fs::write(root.join("big.bin"), big).expect("a large file");
    let config = format!(
        "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nfiles = {{ root = \"{}\", precompressed = [\"gzip\"], \
         cache_control = \"max-age=60\", immutable = \"/assets/*\" }}\n",
        root.display()
    );
    let vestibule = Vestibule::start(&dir, &config);
    for path in ["/page.html", "/assets/app-3f9a.js", "/small.txt", "/big.bin"] {
        let url = format!("http://{}{path}", vestibule.address());
        let notes = notes(&[&url]);
        let names = |level: &str| -> Vec<&str> {
            let of_level = notes.iter().filter(|note| note["level"] == level);
            of_level.map(|note| note["note"].as_str().expect("a name")).collect()
        };
        assert_eq!(names("bad"), [""; 0], "{path}: {notes:#?}");
        let warnings: Vec<_> =
            names("warning").into_iter().filter(|name| !OF_THE_OPERATOR.contains(name)).collect();
        assert_eq!(warnings, [""; 0], "{path}: {notes:#?}");
        for wanted in WANTED {
            assert!(names("good").contains(&wanted), "{path} without {wanted}: {notes:#?}");
        }
        if path == "/page.html" || path.starts_with("/assets/") {
            assert!(names("good").contains(&"CONNEG_GZIP_GOOD"), "{path} is not compressed: {notes:#?}");
        }
    }
}

/// As `gzip` makes it.
fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child = Command::new("gzip")
        .args(["-9", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip starts");
    child.stdin.take().expect("stdin").write_all(text.as_bytes()).expect("written");
    child.wait_with_output().expect("gzip ends").stdout
}
