//! What is kept on the way arrives to the byte.

use std::io::Write;
use std::net::TcpStream;

use super::{buffered, lines, noise};
use crate::forwarding::{KINDS, connect, sha256};
use crate::support::app::App;
use crate::support::client::{Client, Response};
use crate::support::dir::Dir;
use crate::support::turn;
use crate::support::vestibule::Vestibule;
use crate::support::wait::seconds;

/// Around what memory takes, what is moved at once, and larger than every buffer of the kernel.
const SIZES: [usize; 8] =
    [0, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 20_000_000];

/// Sends `body` in chunks of many sizes.
fn upload_chunked(client: &mut Client<TcpStream>, body: &[u8]) -> Response {
    client.send("POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").expect("sent");
    let mut stream = std::io::BufWriter::with_capacity(30_000, client.stream());
    let mut rest = body;
    for size in [1, 15, 4096, 65_536, 70_000, 3].iter().cycle() {
        let (chunk, behind) = rest.split_at((*size).min(rest.len()));
        if chunk.is_empty() {
            break;
        }
        // An extension now and then: all together they are bounded.
        let extension = if *size == 15 { ";of=15" } else { "" };
        write!(stream, "{:x}{extension}\r\n", chunk.len()).expect("sent");
        stream.write_all(chunk).expect("sent");
        stream.write_all(b"\r\n").expect("sent");
        rest = behind;
    }
    stream.write_all(b"0\r\n\r\n").expect("sent");
    drop(stream);
    client.response().expect("an answer")
}

#[test]
fn uploads_of_every_size_arrive_to_the_byte_at_every_server() {
    let _turn = turn::heavy();
    for kind in KINDS {
        let dir = Dir::new();
        let _app = App::start(kind, &dir);
        let vestibule = Vestibule::start(&dir, &buffered(&dir, "", ""));
        let mut client = connect(&vestibule).patience(seconds(60));
        for size in SIZES {
            let body = noise(size);
            let expected = format!("{size} {}", sha256(&body));
            let answer = client.post("/upload", &body).expect("an answer");
            assert_eq!(answer.text(), expected, "{kind:?} with a length");
            let answer = upload_chunked(&mut client, &body);
            assert_eq!(answer.text(), expected, "{kind:?} in chunks");
        }
    }
}

#[test]
fn downloads_of_every_size_arrive_to_the_byte_from_every_server() {
    let _turn = turn::heavy();
    for kind in KINDS {
        let dir = Dir::new();
        let _app = App::start(kind, &dir);
        let vestibule = Vestibule::start(&dir, &buffered(&dir, "", ""));
        let mut client = connect(&vestibule).patience(seconds(60));
        for size in SIZES {
            let expected = lines(size);
            for more in ["", "&chunked=1"] {
                let answer = client.get(&format!("/lines?bytes={size}{more}")).expect("an answer");
                assert_eq!(answer.status, 200, "{kind:?}, {size}{more}");
                assert!(answer.body == expected, "{kind:?}, {size}{more}: {} bytes", answer.body.len());
            }
            let mut old = connect(&vestibule).patience(seconds(60));
            old.send(format!("GET /lines?bytes={size}&chunked=1 HTTP/1.0\r\nHost: a\r\n\r\n")).expect("sent");
            let answer = old.response().expect("an answer");
            assert_eq!(answer.field("transfer-encoding"), None, "HTTP/1.0 knows no chunks");
            assert!(answer.body == expected, "{kind:?}, {size} in HTTP/1.0: {} bytes", answer.body.len());
        }
    }
}

#[test]
fn bodies_arrive_to_the_byte_however_little_memory_they_may_have() {
    let _turn = turn::heavy();
    for buffer in [
        "memory = \"0 B\"",
        "memory = \"1 B\"",
        "memory = \"16 MiB\"",
        "request = false\nresponse = false",
        "request = false\nmemory = \"0 B\"",
    ] {
        let dir = Dir::new();
        let _app = App::start(crate::support::app::Kind::Puma, &dir);
        let vestibule = Vestibule::start(&dir, &buffered(&dir, buffer, ""));
        let mut client = connect(&vestibule).patience(seconds(60));
        for size in [0, 1, 1000, 65_537, 3_000_000] {
            let body = noise(size);
            let expected = format!("{size} {}", sha256(&body));
            assert_eq!(client.post("/upload", &body).expect("an answer").text(), expected, "{buffer}");
            assert_eq!(upload_chunked(&mut client, &body).text(), expected, "{buffer}, in chunks");
            let answer = client.get(&format!("/lines?bytes={size}")).expect("an answer");
            assert!(answer.body == lines(size), "{buffer}: {} of {size} bytes", answer.body.len());
        }
    }
}
