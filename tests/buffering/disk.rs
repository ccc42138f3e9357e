//! The disk: its budget, its end, and that nothing stays on it.

use std::fs;
use std::io::Write;
use std::net::TcpStream;

use super::{buffered, disk_of, noise, sizes_on_disk, temporary_files};
use crate::forwarding::{connect, plain};
use crate::support::client::{Client, Response, get, post};
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::slow::connect_narrow;
use crate::support::small_disk::SmallDisk;
use crate::support::vestibule::Vestibule;
use crate::support::wait::{seconds, until_true};

/// Bytes that go to the disk at once.
const PIECE: u64 = 64 << 10;

/// Larger than the budget, and short enough for all of it to be read after a refusal.
const TOO_LARGE: usize = 900_000;

/// Uploads this much and returns the answer, which may come before all is sent.
fn upload(vestibule: &Vestibule, length: usize, chunked: bool) -> Response {
    let mut client = connect(vestibule).patience(seconds(30));
    let body = noise(length);
    let bytes = if chunked {
        let head =
            format!("POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n");
        [head.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat()
    } else {
        let head = format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        [head.as_bytes(), &body].concat()
    };
    let _ = client.send(bytes);
    client.response().expect("an answer")
}

/// A client that has sent all of a body but its last byte, and the body.
fn begins_upload(vestibule: &Vestibule, length: usize) -> (Client<TcpStream>, Vec<u8>) {
    let mut client = connect(vestibule).patience(seconds(30));
    let body = noise(length);
    client.send(format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")).expect("sent");
    client.send(&body[..length - 1]).expect("sent");
    (client, body)
}

/// An origin that answers `/large` with this body, of which the kernel and memory take little.
fn large(dir: &Dir) -> (Fake, Vec<u8>) {
    let body = noise(20 << 20);
    let answer =
        [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat();
    let origin = Fake::start(&dir.socket(), move |conversation| {
        while let Some(request) = conversation.request() {
            if request.target() == "/large" {
                let _ = conversation.write(&answer);
            } else {
                conversation.answer(request.target());
            }
        }
    });
    (origin, body)
}

/// Waits until the disk has all of the only upload under way, of which the last byte is missing, but what is less than
/// a piece and stays in memory until the end. It takes no more room until then.
fn is_on_disk(vestibule: &Vestibule, length: usize) {
    until_true(
        "the upload is on disk",
        seconds(20),
        || matches!(sizes_on_disk(vestibule)[..], [size] if size + PIECE > length as u64 - 1),
    );
}

/// Waits until the file of the last body is gone, which is a moment after its answer.
fn disk_is_free(vestibule: &Vestibule) {
    until_true("the disk is free", seconds(20), || temporary_files(vestibule) == 0);
}

#[test]
fn an_upload_without_room_on_the_disk_is_refused_with_507_and_nothing_else_is() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let vestibule = Vestibule::start(&dir, &buffered(&dir, "", "most = \"512 KiB\""));
    for chunked in [false, true] {
        disk_is_free(&vestibule);
        let answer = upload(&vestibule, TOO_LARGE, chunked);
        assert_eq!(answer.status, 507, "{}", answer.text());
        assert_eq!(post(vestibule.address(), "/small", &noise(60_000)).text(), "/small");
        assert_eq!(upload(&vestibule, 400_000, chunked).status, 200, "what fits goes on");
    }
    // Two that fit alone, and not together: the first is none the worse for the second.
    disk_is_free(&vestibule);
    let (mut first, body) = begins_upload(&vestibule, 400_000);
    is_on_disk(&vestibule, 400_000);
    assert_eq!(upload(&vestibule, 400_000, false).status, 507);
    first.send(&body[body.len() - 1..]).expect("sent");
    assert_eq!(first.response().expect("an answer").text(), "/up");
    let requests = origin.requests();
    assert!(requests.last().expect("the upload").body == body);
    assert!(requests.iter().all(|request| request.body.len() < TOO_LARGE), "the refused reached nobody");
    disk_is_free(&vestibule);
    assert_eq!(upload(&vestibule, 400_000, false).status, 200, "the room came back");
}

#[test]
fn without_a_disk_what_fits_in_memory_goes_on() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let vestibule = Vestibule::start(&dir, &buffered(&dir, "", "most = \"0 B\""));
    assert_eq!(upload(&vestibule, 64 << 10, false).status, 200);
    assert_eq!(upload(&vestibule, 64 << 10, true).status, 200);
    assert_eq!(upload(&vestibule, TOO_LARGE, false).status, 507);
}

#[test]
fn a_full_disk_fails_the_body_that_finds_it_full_and_nothing_else() {
    let dir = Dir::new();
    let _disk = SmallDisk::mount(&disk_of(&dir), "1777");
    let (_origin, body) = large(&dir);
    let vestibule = Vestibule::start(&dir, &buffered(&dir, "", ""));

    // Uploads: more than there is, twice; then what fits.
    for chunked in [false, true] {
        disk_is_free(&vestibule);
        assert_eq!(upload(&vestibule, 1_900_000, chunked).status, 507);
        assert_eq!(get(vestibule.address(), "/other").text(), "/other");
        assert_eq!(upload(&vestibule, 600_000, chunked).text(), "/up");
    }
    // One that has its room keeps it while another finds none.
    disk_is_free(&vestibule);
    let (mut first, rest) = begins_upload(&vestibule, 600_000);
    is_on_disk(&vestibule, 600_000);
    assert_eq!(upload(&vestibule, 900_000, false).status, 507);
    first.send(&rest[rest.len() - 1..]).expect("sent");
    assert_eq!(first.response().expect("an answer").text(), "/up");

    // Answers wait for their client instead.
    let stream = connect_narrow(vestibule.address()).expect("a connection");
    stream.set_read_timeout(Some(seconds(60))).expect("a read timeout");
    (&stream).write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let mut client = Client::over(stream);
    let head = client.response_head().expect("the head");
    assert_eq!(head.status, 200);
    assert_eq!(get(vestibule.address(), "/other").text(), "/other");
    let got = client.exact(body.len()).expect("the whole answer");
    assert!(got == body, "{} bytes", got.len());
    disk_is_free(&vestibule);
}

#[test]
fn temporary_files_have_no_name() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let vestibule = Vestibule::start(&dir, &buffered(&dir, "", ""));
    let (mut client, body) = begins_upload(&vestibule, 1_000_000);
    until_true("it is on disk", seconds(20), || temporary_files(&vestibule) == 1);
    assert_eq!(fs::read_dir(disk_of(&dir)).expect("the directory").count(), 0);
    client.send(&body[body.len() - 1..]).expect("sent");
    assert_eq!(client.response().expect("an answer").status, 200);
    until_true("the file is gone", seconds(30), || temporary_files(&vestibule) == 0);
}

#[test]
fn a_short_body_touches_no_disk() {
    let dir = Dir::new();
    let (vestibule, _origin) = plain(&dir);
    let (mut client, body) = begins_upload(&vestibule, 60_000);
    // One that was sent later has been answered.
    assert_eq!(get(vestibule.address(), "/").status, 200);
    assert_eq!(temporary_files(&vestibule), 0);
    client.send(&body[body.len() - 1..]).expect("sent");
    assert_eq!(client.response().expect("an answer").status, 200);
}

#[test]
fn a_client_that_leaves_frees_the_disk() {
    let dir = Dir::new();
    let (origin, _) = large(&dir);
    let vestibule = Vestibule::start(&dir, &buffered(&dir, "", ""));

    let uploads: Vec<_> = (0..10).map(|_| begins_upload(&vestibule, 1_000_000)).collect();
    until_true("ten uploads are on disk", seconds(20), || temporary_files(&vestibule) == 10);
    drop(uploads);
    until_true("the disk is free after the uploads", seconds(30), || temporary_files(&vestibule) == 0);
    assert!(origin.requests().is_empty(), "nothing of them reached the application");

    let asks = |_| {
        let stream = connect_narrow(vestibule.address()).expect("a connection");
        (&stream).write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        stream
    };
    let downloads: Vec<TcpStream> = (0..10).map(asks).collect();
    until_true("ten answers are on disk", seconds(20), || temporary_files(&vestibule) == 10);
    drop(downloads);
    until_true("the disk is free after the downloads", seconds(30), || temporary_files(&vestibule) == 0);
    assert_eq!(get(vestibule.address(), "/after").text(), "/after");
}
