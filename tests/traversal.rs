//! Nothing outside of the root: Debian's wfuzz list of traversals, line by line, in every form in which a path can come.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::h2::H2;
use crate::support::vestibule::Vestibule;

/// From Debian's package wfuzz, which `make deps` installs.
const LIST: &str = "/usr/share/wfuzz/wordlist/vulns/dirTraversal-nix.txt";

/// What stands in every file that a line could reach from somewhere between the root and the top, and what every Unix has in the one that
/// most lines name.
const MARKS: [&str; 2] = ["outside-of-the-root", "root:x:0:0"];

/// How many directories lie above the root, each with an `etc/passwd` of its own.
const DEPTH: usize = 12;

fn lines() -> Vec<Vec<u8>> {
    let list = fs::read(LIST).unwrap_or_else(|error| panic!("{LIST}: {error}; run `make deps`"));
    let lines: Vec<Vec<u8>> =
        list.split(|&byte| byte == b'\n').map(|line| line.trim_ascii().to_vec()).collect();
    let lines: Vec<_> = lines.into_iter().filter(|line| !line.is_empty()).collect();
    assert!(lines.len() >= 800, "{LIST} has {} lines", lines.len());
    lines
}

/// A root deep inside of directories with baits, and a Vestibule that serves it.
fn site(dir: &Dir) -> Vestibule {
    let mut place = dir.path().to_owned();
    bait(&place);
    for level in 0..DEPTH {
        place.push(format!("d{level}"));
        fs::create_dir(&place).expect("a directory");
        bait(&place);
    }
    let root = place.join("public");
    fs::create_dir(&root).expect("the root");
    fs::write(root.join("index.html"), "inside").expect("a page");
    let root = root.display();
    let config = format!(
        "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\nhttp2 = true\n\
         [[route]]\nfiles = {{ root = \"{root}\", precompressed = [\"br\", \"gzip\"] }}\n\
         [[route]]\npath = \"/assets/*\"\nfiles = {{ root = \"{root}\", strip = \"/assets\", fallback = [\"$path.html\"] }}\n\
         [[route]]\npath = \"/open/*\"\nfiles = {{ root = \"{}\", strip = \"/open\" }}\n",
        dir.join("d0").display(),
    );
    Vestibule::start(dir, &config)
}

fn bait(directory: &Path) {
    fs::create_dir(directory.join("etc")).expect("a directory");
    for name in ["passwd", "shadow", "group", "hosts", "passwd.html", "passwd.gz"] {
        fs::write(directory.join("etc").join(name), MARKS[0]).expect("a bait");
    }
}

fn check(line: &[u8], form: &str, status: u16, answer: &[u8]) {
    let answer = String::from_utf8_lossy(answer);
    for mark in MARKS {
        assert!(!answer.contains(mark), "{form} {}: {answer}", String::from_utf8_lossy(line));
    }
    assert!(
        matches!(status, 400 | 403 | 404 | 414),
        "{form} {}: {status}\n{answer}",
        String::from_utf8_lossy(line)
    );
}

fn over_http1(address: SocketAddr, line: &[u8], beginning: &str) {
    let mut client = Client::connect(address).expect("a connection");
    let request =
        [b"GET ", beginning.as_bytes(), line, b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"].concat();
    client.send(request).expect("sent");
    let rest = client.rest().expect("an answer");
    let status = rest.get(9..12).and_then(|code| str::from_utf8(code).ok()?.parse().ok());
    check(
        line,
        beginning,
        status.unwrap_or_else(|| panic!("no answer to {}", String::from_utf8_lossy(line))),
        &rest,
    );
}

#[test]
fn the_baits_would_be_seen() {
    let dir = Dir::new();
    let vestibule = site(&dir);
    let mut client = Client::connect(vestibule.address()).expect("a connection");
    let answer = client.get("/open/etc/passwd").expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, MARKS[0]));
    assert_eq!(client.get("/").expect("an answer").text(), "inside");
}

#[test]
fn no_line_of_the_list_leads_out_of_the_root() {
    let dir = Dir::new();
    let vestibule = site(&dir);
    for line in lines() {
        for beginning in ["/", "", "/assets/", "//", "/index.html/"] {
            over_http1(vestibule.address(), &line, beginning);
        }
    }
}

#[test]
fn no_line_of_the_list_leads_out_of_the_root_over_http_2() {
    let dir = Dir::new();
    let vestibule = site(&dir);
    let mut client = H2::connect(vestibule.address());
    for (number, line) in lines().into_iter().enumerate() {
        // A connection that asks for nothing but what is refused may be closed for it.
        if number.is_multiple_of(50) {
            client = H2::connect(vestibule.address());
        }
        let Ok(line) = String::from_utf8(line) else { continue };
        let answer = client.get(&format!("/{line}"));
        if answer.reset.is_some() {
            continue;
        }
        check(line.as_bytes(), "HTTP/2", answer.status(), answer.text().as_bytes());
    }
}
