//! Nothing outside of the root gets out, nor anything hidden in it.

use std::fs;
use std::os::unix::fs::symlink;

use super::{SECRET, config, files, public};
use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::h2::H2;
use crate::support::vestibule::Vestibule;

/// Ways up, in all the forms that a server might decode, or normalise, once too often.
fn ways_up() -> Vec<String> {
    let ups = [
        "..",
        "%2e%2e",
        ".%2e",
        "%2e.",
        "%252e%252e",
        "%25252e%25252e",
        "..%00",
        "..%0d",
        "..;",
        "..%20",
        "...",
        "....",
        "%c0%ae%c0%ae",
        "%e0%80%ae%e0%80%ae",
        "%uff0e%uff0e",
        "%u002e%u002e",
        ".\\.",
        "..\\",
        "%2e%2e%5c",
        "..%01",
        "%%32%65%%32%65",
        "%2%65%2%65",
        ".",
    ];
    let slashes = [
        "/",
        "%2f",
        "%2F",
        "%252f",
        "%5c",
        "\\",
        "%255c",
        "//",
        "/./",
        "%c0%af",
        "%c1%9c",
        "%e0%80%af",
        "%u2215",
        "%u2216",
        "/%00/",
        "%09/",
    ];
    let targets = [
        "secret.txt",
        "etc/passwd",
        "secret.txt%00.css",
        "secret.txt%00",
        "secret.txt/",
        "secret.txt?.css",
        "secret.txt%3f.css",
        "secret.txt.",
    ];
    let mut all = Vec::new();
    for up in ups {
        for slash in slashes {
            for depth in [1, 2, 8] {
                for start in ["/", "/assets/", "//", "/assets/app.css/"] {
                    let target = targets[all.len() % targets.len()];
                    all.push(format!("{start}{}{target}", format!("{up}{slash}").repeat(depth)));
                }
            }
        }
    }
    for one in [
        "/.env",
        "/%2eenv",
        "/.%65nv",
        "/assets/../.env",
        "//.env",
        "/./.env",
        "/.env/",
        "/.ENV",
        "/.env%00",
        "/.env%20",
        "/.env::$DATA",
        "/.well-known/../.env",
        "/.well-known/..%2f.env",
        "/%2e%65%6e%76",
        "/secret",
        "/out",
        "/out/",
        "/up/secret.txt",
        "/up/../public/../secret.txt",
        "/etc/passwd",
        "/file:///etc/passwd",
        "/magic/self/environ",
        "/assets/%2e%2e/%2e%2e/secret.txt",
        "/%2fetc%2fpasswd",
        "/%2f%2fetc/passwd",
        "/C:/secret.txt",
        "/..%c0%afsecret.txt",
    ] {
        all.push(one.to_owned());
    }
    all
}

/// A site with links that lead out of it.
fn site(dir: &Dir) -> std::path::PathBuf {
    let root = public(dir);
    symlink("../secret.txt", root.join("secret")).expect("a link");
    symlink(dir.join("secret.txt"), root.join("out")).expect("a link");
    symlink("..", root.join("up")).expect("a link");
    symlink("/etc", root.join("etc")).expect("a link");
    symlink("/proc", root.join("magic")).expect("a link");
    fs::create_dir(root.join(".git")).expect("a directory");
    fs::write(root.join(".git/config"), SECRET).expect("written");
    root
}

fn leaks(body: &[u8]) -> bool {
    [SECRET.as_bytes(), b"root:x:0:0", b"PATH="]
        .iter()
        .any(|secret| body.windows(secret.len()).any(|bytes| bytes == *secret))
}

#[test]
fn no_way_up_leads_out() {
    let dir = Dir::new();
    let root = site(&dir);
    let vestibule = Vestibule::start(&dir, &config(&dir, &files(&root), ""));
    let ways = ways_up();
    assert!(ways.len() > 3000, "{}", ways.len());
    let mut client = Client::connect(vestibule.address()).expect("connected");
    for way in &ways {
        client.send(format!("GET {way} HTTP/1.1\r\nHost: a\r\n\r\n")).expect("sent");
        let answer = client.response().unwrap_or_else(|error| panic!("{way}: {error}"));
        assert!(matches!(answer.status, 404 | 400), "{way}: {}", answer.head);
        assert!(!leaks(&answer.body), "{way}: {}", answer.text());
        if answer.closes() {
            client = Client::connect(vestibule.address()).expect("connected");
        }
    }
    let mut client = H2::connect(vestibule.address());
    for way in ways.iter().step_by(40) {
        let answer = client.get(way);
        assert!(matches!(answer.status(), 404 | 400) && !leaks(&answer.body), "{way}");
    }
    assert_eq!(crate::support::client::get(vestibule.address(), "/assets/app.css").status, 200);
}

#[test]
fn neither_what_is_stripped_nor_a_fallback_opens_a_way() {
    let dir = Dir::new();
    let root = site(&dir);
    let route = format!(
        "path = \"/static/*\"\nfiles = {{ root = {root:?}, strip = \"/static\", fallback = [\"$path.txt\", \"$path/index.html\"], check = \"0s\" }}"
    );
    let vestibule = Vestibule::start(&dir, &config(&dir, &route, ""));
    let mut client = Client::connect(vestibule.address()).expect("connected");
    for way in ways_up().iter().flat_map(|way| [format!("/static{way}"), format!("/static/{way}")]).step_by(5)
    {
        client.send(format!("GET {way} HTTP/1.1\r\nHost: a\r\n\r\n")).expect("sent");
        let answer = client.response().unwrap_or_else(|error| panic!("{way}: {error}"));
        assert!(matches!(answer.status, 404 | 400) && !leaks(&answer.body), "{way}: {}", answer.head);
        if answer.closes() {
            client = Client::connect(vestibule.address()).expect("connected");
        }
    }
    assert_eq!(crate::support::client::get(vestibule.address(), "/static/assets/app.css").status, 200);
}

#[test]
fn an_application_behind_files_gets_such_a_path_unchanged() {
    let dir = Dir::new();
    let root = site(&dir);
    let _origin = Fake::echoing(&dir.socket());
    let route = format!("{}\nupstream = \"app\"\ntry = [\"files\", \"upstream\"]", files(&root));
    let vestibule = Vestibule::start(&dir, &config(&dir, &route, ""));
    let mut client = Client::connect(vestibule.address()).expect("connected");
    for way in ways_up().iter().step_by(20) {
        client.send(format!("GET {way} HTTP/1.1\r\nHost: a\r\n\r\n")).expect("sent");
        let answer = client.response().unwrap_or_else(|error| panic!("{way}: {error}"));
        let is_refused = answer.status == 400;
        assert!(is_refused || answer.text() == *way, "{way}: {}", answer.text());
        if answer.closes() {
            client = Client::connect(vestibule.address()).expect("connected");
        }
    }
}
