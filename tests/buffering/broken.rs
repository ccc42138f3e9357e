//! An answer that breaks off is never ended as if it were whole, however much of it is kept when that is seen.

use std::io::{ErrorKind, Write};

use super::{buffered, noise};
use crate::support::client::{Client, get};
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::slow::connect_narrow;
use crate::support::vestibule::Vestibule;
use crate::support::wait::{seconds, until_true};

/// What comes before the break: more than memory and the kernel take.
const PART: usize = 10 << 20;

/// An origin whose answer has this head, `parts`, and then the connection's end; it tells when that is.
fn breaking(dir: &Dir, head: String, body: Vec<u8>) -> (Fake, std::sync::mpsc::Receiver<()>) {
    let (tell, hear) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let origin = Fake::start(&dir.socket(), move |conversation| {
        while let Some(request) = conversation.request() {
            if request.target() != "/broken" {
                conversation.answer("fine");
                continue;
            }
            conversation.write(&head).expect("written");
            conversation.write(&body).expect("written");
            tell.lock().expect("the sender").send(()).expect("told");
            return;
        }
    });
    (origin, hear)
}

#[test]
fn an_answer_that_breaks_off_after_it_was_buffered_is_not_ended_as_if_whole() {
    let part = noise(PART);
    let chunk = [format!("{PART:x}\r\n").as_bytes(), &part, b"\r\n"].concat();
    let length = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", PART + 1);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    for (version, head, body) in [
        ("1.1", &length, &part),
        ("1.0", &length, &part),
        ("1.1", &chunked, &chunk),
        // Without a length, only a reset tells an HTTP/1.0 client that something is missing.
        ("1.0", &chunked, &chunk),
    ] {
        let dir = Dir::new();
        let (_origin, ended) = breaking(&dir, head.clone(), body.clone());
        let vestibule = Vestibule::start(&dir, &buffered(&dir, "", ""));
        let stream = connect_narrow(vestibule.address()).expect("a connection");
        stream.set_read_timeout(Some(seconds(30))).expect("a read timeout");
        (&stream)
            .write_all(format!("GET /broken HTTP/{version}\r\nHost: a\r\n\r\n").as_bytes())
            .expect("sent");
        ended.recv_timeout(seconds(30)).expect("the application has written all and gone");
        // Only now the client reads: everything was kept until then.
        let mut client = Client::over(stream);
        let got = client.response();
        let error = got.map(|answer| answer.body.len()).expect_err("an end as if it were whole");
        let kinds = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
        assert!(kinds.contains(&error.kind()), "HTTP/{version}, {head}: {error}");
        assert_eq!(get(vestibule.address(), "/after").text(), "fine");
        until_true("nothing of it is kept", seconds(30), || super::temporary_files(&vestibule) == 0);
    }
}

#[test]
fn bad_chunks_behind_what_was_buffered_are_not_passed_on() {
    let part = noise(PART);
    let body = [format!("{PART:x}\r\n").as_bytes(), &part, b"\r\nzz\r\n0\r\n\r\n"].concat();
    let dir = Dir::new();
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    let (_origin, ended) = breaking(&dir, head, body);
    let vestibule = Vestibule::start(&dir, &buffered(&dir, "", ""));
    let stream = connect_narrow(vestibule.address()).expect("a connection");
    stream.set_read_timeout(Some(seconds(30))).expect("a read timeout");
    (&stream).write_all(b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    ended.recv_timeout(seconds(30)).expect("the application has written all and gone");
    let got = Client::over(stream).response();
    let error = got.map(|answer| answer.body.len()).expect_err("an end as if it were whole");
    let kinds = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
    assert!(kinds.contains(&error.kind()), "{error}");
}
