//! The rules of HTTP that an intermediary is held to, each by its number (C1 to C44) and by name. Where another module
//! tests the same thing at length, the test here is short.

mod rfc6455;
mod rfc9110;
mod rfc9112;
mod rfc9113;

use std::net::TcpStream;

use crate::support::canonical::{Canonical, Chunks};
use crate::support::client::{Client, Response};
use crate::support::origin::{Act, Seen};
use crate::support::stand::{Stand, send};

/// A Vestibule whose application echoes.
fn echoing() -> Stand {
    Stand::with("", Chunks::Refused, |_| None)
}

/// A Vestibule whose application answers `/x` with these bytes, and echoes elsewhere.
fn answering(answer: impl Into<Vec<u8>>) -> Stand {
    let answer = answer.into();
    Stand::with("", Chunks::Refused, move |seen| match seen {
        Seen::Whole(request) if request.target == "/x" => Some(vec![Act::Write(answer.clone())]),
        _ => None,
    })
}

/// The answer to these bytes on a connection of their own.
fn ask(stand: &Stand, bytes: impl AsRef<[u8]>) -> Response {
    ask_on(&mut stand.connect(), bytes)
}

/// The answer to these bytes.
fn ask_on(client: &mut Client<TcpStream>, bytes: impl AsRef<[u8]>) -> Response {
    send(client, bytes);
    client.response().expect("an answer")
}

/// A GET of `/x` with these lines, each ended by CRLF.
fn get(lines: &str) -> String {
    format!("GET /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

/// Asks with these bytes, and gives what the application got of it: one canonical request.
fn passed(stand: &Stand, bytes: impl AsRef<[u8]>) -> Canonical {
    let before = stand.origin.requests().len();
    let answer = ask(stand, bytes);
    assert!(stand.origin.record().faults().is_empty(), "{:?}", stand.origin.record().faults());
    let requests = stand.origin.requests();
    assert_eq!(requests.len(), before + 1, "exactly one request; answered {}", answer.head);
    requests[before].clone()
}
