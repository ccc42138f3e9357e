//! Files that are longer than memory should be: sent whole, over whatever is spoken, or visibly broken off.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use super::{config, files, pattern, public};
use crate::support::certificates::Kind;
use crate::support::client::{Client, get};
use crate::support::dir::Dir;
use crate::support::h2::H2;
use crate::support::tls::{NAME, certified, with_tls};
use crate::support::vestibule::Vestibule;
use crate::support::wait::{seconds, until_true};

const LENGTH: usize = 100_000_000;

fn digest(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().expect("sha256sum");
    String::from_utf8_lossy(&output.stdout).split(' ').next().expect("a digest").to_owned()
}

fn large(path: &Path) {
    let mut file = File::create(path).expect("created");
    let piece = pattern(1_000_000);
    for index in 0..LENGTH / piece.len() {
        // No piece is another's.
        file.write_all(&(index as u64).to_be_bytes())
            .and_then(|()| file.write_all(&piece[8..]))
            .expect("written");
    }
}

/// Has curl fetch it into a file; gives what it says.
fn curl(dir: &Dir, arguments: &[&str], url: &str) -> (std::path::PathBuf, String) {
    let into = dir.join("fetched");
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "240", "-w", "%{http_version} %{http_code}", "-o"]).arg(&into);
    let output = command.args(arguments).arg(url).output().expect("curl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (into, String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_hundred_megabytes_come_whole_over_each_protocol() {
    let dir = Dir::new();
    let root = public(&dir);
    large(&root.join("film.mp4"));
    let wanted = digest(&root.join("film.mp4"));
    let authority = certified(&dir, Kind::Ecdsa);
    let plain = Vestibule::start(&dir, &config(&dir, &files(&root), ""));
    let url = format!("http://{}/film.mp4", plain.address());
    for (arguments, said) in [(["--http1.1"], "1.1 200"), (["--http2-prior-knowledge"], "2 200")] {
        let (fetched, saying) = curl(&dir, &arguments, &url);
        assert_eq!((saying.as_str(), digest(&fetched)), (said, wanted.clone()), "{arguments:?}");
    }
    drop(plain);
    let secure = Vestibule::start(&dir, &with_tls(&dir, &config(&dir, &files(&root), ""), ""));
    let port = secure.address().port();
    let authority = authority.file(dir.path());
    let authority = authority.to_str().expect("a path");
    let to = format!("{NAME}:{port}:127.0.0.1");
    let url = format!("https://{NAME}:{port}/film.mp4");
    for (version, said) in [("--http1.1", "1.1 200"), ("--http2", "2 200")] {
        let (fetched, saying) = curl(&dir, &[version, "--cacert", authority, "--resolve", &to], &url);
        assert_eq!((saying.as_str(), digest(&fetched)), (said, wanted.clone()), "{version}");
    }
    // In two halves, as an interrupted download is gone on with.
    let (fetched, _) =
        curl(&dir, &["--http1.1", "--cacert", authority, "--resolve", &to, "-r", "0-49999999"], &url);
    let first = fs::read(&fetched).expect("read");
    let (fetched, said) = curl(&dir, &["--cacert", authority, "--resolve", &to, "-r", "50000000-"], &url);
    fs::write(&fetched, [first, fs::read(&fetched).expect("read")].concat()).expect("written");
    assert_eq!((said.as_str(), digest(&fetched)), ("2 206", wanted));
}

#[test]
fn what_the_kernel_has_not_in_memory_is_read_in_first() {
    let dir = Dir::new();
    let root = public(&dir);
    let path = root.join("film.mp4");
    large(&path);
    let wanted = digest(&path);
    let file = File::open(&path).expect("open");
    file.sync_all().expect("on disk");
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("forgotten");
    let vestibule = Vestibule::start(&dir, &config(&dir, &files(&root), ""));
    let (fetched, _) = curl(&dir, &["--http1.1"], &format!("http://{}/film.mp4", vestibule.address()));
    assert_eq!(digest(&fetched), wanted);
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("forgotten");
    let (fetched, _) =
        curl(&dir, &["--http2-prior-knowledge"], &format!("http://{}/film.mp4", vestibule.address()));
    assert_eq!(digest(&fetched), wanted);
}

#[test]
fn a_file_that_is_cut_off_meanwhile_never_ends_as_if_whole() {
    let dir = Dir::new();
    let root = public(&dir);
    let path = root.join("film.mp4");
    let vestibule = Vestibule::start(&dir, &config(&dir, &files(&root), ""));
    large(&path);
    let mut client = Client::connect(vestibule.address()).expect("connected");
    client.send("GET /film.mp4 HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let head = client.response_head().expect("a head");
    assert_eq!(head.field("content-length"), Some(LENGTH.to_string().as_str()));
    File::options().write(true).open(&path).expect("open").set_len(1000).expect("cut");
    let error = client.exact(LENGTH).expect_err("it cannot be whole");
    assert!(error.to_string().contains("closed after"), "{error}");
    let line = vestibule.access_line("a broken answer", |line| line["outcome"] == "broken");
    assert!(line["why"].as_str().is_some_and(|why| why.contains("shorter")), "{line}");

    large(&path);
    let mut client = H2::with_window(vestibule.address(), 100_000);
    let stream = client.request("GET", "/film.mp4", &[], true);
    client.wait("some of it", |client| client.seen(stream).body.len() >= 60_000);
    File::options().write(true).open(&path).expect("open").set_len(1000).expect("cut");
    client.open_window(stream, 1_000_000);
    client.open_window(0, 1_000_000);
    let answer = client.answer_and_reset(stream);
    assert!(!answer.has_ended && answer.reset.is_some(), "{:?} {}", answer.reset, answer.has_ended);
}

#[test]
fn a_file_that_is_rewritten_in_place_is_not_ended_and_one_that_grows_is() {
    let dir = Dir::new();
    let root = public(&dir);
    let path = root.join("film.mp4");
    let vestibule = Vestibule::start(&dir, &config(&dir, &files(&root), ""));
    let begun = |path: &Path| {
        large(path);
        let mut client = Client::connect(vestibule.address()).expect("connected");
        client.send("GET /film.mp4 HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        client.response_head().expect("a head");
        client
    };
    let mut client = begun(&path);
    File::options().append(true).open(&path).and_then(|mut file| file.write_all(b"more")).expect("grown");
    let body = client.exact(LENGTH).expect("what was promised");
    assert_eq!(&body[..8], &[0; 8]);
    let mut client = begun(&path);
    // At the end, which has not been sent yet: no socket takes as much as that.
    let file = File::options().write(true).open(&path).expect("open");
    file.write_all_at(b"something else", LENGTH as u64 - 100).expect("written");
    assert!(client.exact(LENGTH).is_err(), "it would be of both");
    vestibule.access_line("a broken answer", |line| line["outcome"] == "broken");
}

#[test]
fn a_file_that_is_replaced_or_removed_meanwhile_comes_as_it_was() {
    let dir = Dir::new();
    let root = public(&dir);
    let path = root.join("film.mp4");
    large(&path);
    let vestibule = Vestibule::start(&dir, &config(&dir, &files(&root), ""));
    let mut client = Client::connect(vestibule.address()).expect("connected");
    client.send("GET /film.mp4 HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    client.response_head().expect("a head");
    fs::write(dir.join("new"), "new").expect("written");
    fs::rename(dir.join("new"), &path).expect("replaced");
    let body = client.exact(LENGTH).expect("what was promised");
    let last = LENGTH / 1_000_000 - 1;
    assert_eq!(body[last * 1_000_000..][..8], (last as u64).to_be_bytes());
    until_true("the new one", seconds(20), || get(vestibule.address(), "/film.mp4").text() == "new");
}

#[test]
fn a_client_that_takes_nothing_is_left_and_others_are_not_kept_waiting() {
    let dir = Dir::new();
    let root = public(&dir);
    large(&root.join("film.mp4"));
    let vestibule = Vestibule::start(&dir, &config(&dir, &files(&root), "[limits]\nsend_timeout = \"1s\""));
    let mut idle: Vec<_> = (0..5)
        .map(|_| {
            let mut client = Client::connect(vestibule.address()).expect("connected");
            client.send("GET /film.mp4 HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
            client
        })
        .collect();
    for _ in 0..50 {
        assert_eq!(get(vestibule.address(), "/docs/").text(), "docs");
    }
    let line = vestibule.access_line("a slow client", |line| line["outcome"] == "client_slow");
    assert!(line["bytes"].as_u64().is_some_and(|bytes| bytes > 0 && bytes < LENGTH as u64), "{line}");
    assert!(idle.iter_mut().all(|client| client.exact(LENGTH).is_err()));
}
