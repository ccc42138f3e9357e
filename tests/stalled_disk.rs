//! A disk that hangs: the bodies on it wait, and nothing else does.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::buffering::temporary_files;
use crate::forwarding::connect;
use crate::support::client::get;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::process::Signal;
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::{seconds, until_true};

/// Uploads under way, more than there are threads that wait for the disk.
const UPLOADS: usize = 12;
const LENGTH: usize = 300_000;

/// A Vestibule whose disk hangs, which ends a drain after a second, and the file that has to go for the disk to go on.
fn on_a_disk_that_hangs(dir: &Dir) -> (Vestibule, PathBuf) {
    let (library, sign) = (dir.join("stalled_disk.so"), dir.join("hangs"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/stalled_disk.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl");
    assert!(compiler.status().expect("cc, which links Rust too").success());
    fs::write(&sign, "").expect("a file");
    let settings = config(dir, "drain = { timeout = \"1s\" }");
    let vestibule = Vestibule::start_with(dir, &settings, |command| {
        command.env("LD_PRELOAD", library).env("STALLED_DISK", &sign);
    });
    (vestibule, sign)
}

fn upload(vestibule: &Vestibule) -> crate::support::client::Client<std::net::TcpStream> {
    let mut client = connect(vestibule).patience(seconds(20));
    let head = format!("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n");
    client.send([head.as_bytes(), &vec![b'x'; LENGTH]].concat()).expect("sent");
    client
}

#[test]
fn other_requests_see_nothing_of_a_disk_that_hangs() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let (vestibule, sign) = on_a_disk_that_hangs(&dir);
    let mut clients: Vec<_> = (0..UPLOADS).map(|_| upload(&vestibule)).collect();
    for _ in 0..20 {
        assert_eq!(get(vestibule.address(), "/small").status, 200);
    }
    assert_eq!(origin.requests().len(), 20, "no upload is whole");
    // One leaves while its body hangs.
    drop(clients.pop());
    fs::remove_file(sign).expect("the disk goes on");
    for client in &mut clients {
        assert_eq!(client.response().expect("an answer").status, 200);
    }
    assert!(origin.requests().iter().skip(20).all(|request| request.body == vec![b'x'; LENGTH]));
}

#[test]
fn a_drain_ends_in_time_though_the_disk_hangs() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let (mut vestibule, _sign) = on_a_disk_that_hangs(&dir);
    let _client = upload(&vestibule);
    until_true("it writes to the disk", seconds(30), || temporary_files(&vestibule) == 1);
    vestibule.signal(Signal::TERM);
    assert_eq!(vestibule.exit(seconds(20)).code(), Some(1), "cut off after drain.timeout");
}
