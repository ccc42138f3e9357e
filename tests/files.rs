//! Files: what is found, what never gets out, and that what is sent is whole or shows that it is not.

mod deploy;
mod handed;
mod large;
mod rails;
mod serving;
mod traversal;

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::dir::Dir;

/// A directory with files in it, and beside it what must never get out.
fn public(dir: &Dir) -> PathBuf {
    let root = dir.join("public");
    fs::create_dir_all(root.join("assets")).expect("a directory");
    fs::create_dir_all(root.join("docs")).expect("a directory");
    fs::write(root.join("index.html"), "<h1>home</h1>").expect("written");
    fs::write(root.join("docs/index.html"), "docs").expect("written");
    fs::write(root.join("assets/app.css"), "body { color: red }").expect("written");
    fs::write(root.join(".env"), SECRET).expect("written");
    fs::write(dir.join("secret.txt"), SECRET).expect("written");
    root
}

/// What stands in the files that nobody may see.
const SECRET: &str = "TOP-SECRET-2f6e";

/// One listener, one worker, and one route with these keys; `more` goes to its end.
fn config(dir: &Dir, route: &str, more: &str) -> String {
    format!(
        "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\nhttp2 = true\n\n[upstream.app]\naddress = \"unix:{}\"\n\n[[route]]\n{route}\n\n{more}\n",
        dir.socket().display()
    )
}

/// A route to the files below `root` alone.
fn files(root: &Path) -> String {
    format!("files = {root:?}")
}

/// Bytes that show what is lost, doubled or moved.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 7 + at % 251) as u8).collect()
}
