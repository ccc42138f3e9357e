//! A name and a password, kept as `htpasswd` and `argon2` write them.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{PROTOCOLS, Protocol, get, with_routes};
use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::wait::seconds;

/// What `htpasswd -nB` prints after the colon.
pub(super) fn htpasswd(name: &str, password: &str) -> String {
    costly(name, password, 5)
}

fn costly(name: &str, password: &str, cost: u32) -> String {
    let mut command = Command::new("htpasswd");
    command.args(["-n", "-i", "-B", "-C", &cost.to_string(), name]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("htpasswd (Debian: apache2-utils)");
    child.stdin.take().expect("stdin").write_all(password.as_bytes()).expect("the password");
    let out = String::from_utf8(child.wait_with_output().expect("htpasswd").stdout).expect("text");
    out.trim().split_once(':').expect("name:hash").1.to_owned()
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

#[test]
fn only_a_right_password_comes_in() {
    let dir = Dir::new();
    let file = dir.join("htpasswd");
    std::fs::write(&file, format!("# people\nbob:{}\n", htpasswd("bob", "pass:word"))).expect("a file");
    let (vestibule, origin) = with_routes(
        &dir,
        &format!(
            "[[route]]\nauth = {{ realm = \"Staging area\", users = {{ ann = \"{}\" }}, file = \"{}\" }}\nupstream = \"app\"\n",
            htpasswd("ann", "grüße"),
            file.display()
        ),
    );
    for protocol in PROTOCOLS {
        let asked = |value: &str| get(vestibule.address(), protocol, "/", &[("Authorization", value)]);
        for (name, password) in [("ann", "grüße"), ("bob", "pass:word"), ("ann", "grüße")] {
            assert_eq!(asked(&basic(name, password)).body, "app", "{name}");
        }
        for wrong in [
            basic("ann", "pass:word"),
            basic("bob", "grüße"),
            basic("nobody", "grüße"),
            basic("ann", ""),
            "Basic".to_owned(),
            "Basic %%%".to_owned(),
            "Bearer abc".to_owned(),
        ] {
            let seen = asked(&wrong);
            assert_eq!(seen.status, 401, "{wrong}");
            let challenge = "Basic realm=\"Staging area\", charset=\"UTF-8\"";
            assert_eq!(seen.field("www-authenticate"), Some(challenge));
        }
        assert_eq!(get(vestibule.address(), protocol, "/", &[]).status, 401);
    }
    assert_eq!(origin.requests().len(), 3 * PROTOCOLS.len());
}

/// What `echo -n hunter2 | argon2 saltsaltsalt -id -m 12 -t 2 -p 1 -e` prints.
const ARGON2: &str =
    "$argon2id$v=19$m=4096,t=2,p=1$c2FsdHNhbHRzYWx0$zZbJIFoOwOvlj2GaUuoBA3Vyxy0o7zg8S2arQTnVPR4";

#[test]
fn a_hash_of_argon2_is_taken_too() {
    let dir = Dir::new();
    let (vestibule, _origin) = with_routes(
        &dir,
        &format!("[[route]]\nauth = {{ users = {{ ann = \"{ARGON2}\" }} }}\nupstream = \"app\"\n"),
    );
    for (password, status) in [("hunter2", 200), ("hunter3", 401), ("hunter2", 200)] {
        let value = basic("ann", password);
        let seen = get(vestibule.address(), Protocol::Http1, "/", &[("Authorization", &value)]);
        assert_eq!(seen.status, status, "{password}");
    }
}

/// A check that costs a second of a processor is done once, and nobody else waits for it.
#[test]
fn a_costly_password_is_checked_once_and_holds_up_nobody() {
    let dir = Dir::new();
    let (vestibule, _origin) = with_routes(
        &dir,
        &format!(
            "[[route]]\npath = \"/in\"\nauth = {{ users = {{ ann = \"{}\" }} }}\nupstream = \"app\"\n[[route]]\nupstream = \"app\"\n",
            costly("ann", "secret", 13)
        ),
    );
    let address = vestibule.address();
    let value = basic("ann", "secret");
    let before = vestibule.cpu();
    let start = Instant::now();
    assert_eq!(get(address, Protocol::Http1, "/in", &[("Authorization", &value)]).status, 200);
    let (once, took) = (vestibule.cpu() - before, start.elapsed());
    let before = vestibule.cpu();
    let mut client = Client::connect(address).expect("a connection");
    for _ in 0..200 {
        client.send(format!("GET /in HTTP/1.1\r\nHost: a\r\nAuthorization: {value}\r\n\r\n")).expect("sent");
        assert_eq!(client.response().expect("an answer").status, 200);
    }
    let many = vestibule.cpu() - before;
    assert!(many < once, "200 requests took {many:?}, the first alone {once:?} ({took:?})");

    // Wrong ones are checked each time. While they are, others are answered: all of these before the first of those.
    let wrong = basic("ann", "wrong");
    let mut guessing: Vec<_> = (0..8)
        .map(|_| {
            let mut client = Client::connect(address).expect("a connection").patience(seconds(120));
            client
                .send(format!("GET /in HTTP/1.1\r\nHost: a\r\nAuthorization: {wrong}\r\n\r\n"))
                .expect("sent");
            client
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(get(address, Protocol::Http1, "/", &[]).body, "app");
    }
    let line = vestibule.access_log().into_iter().filter(|line| line["status"] == 401).count();
    assert!(line < 8, "the guesses were all answered before anybody else");
    for client in &mut guessing {
        assert_eq!(client.response().expect("an answer").status, 401);
    }
}
