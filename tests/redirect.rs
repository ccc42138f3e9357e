//! A listener that sends everybody to https.

use std::net::SocketAddr;

use crate::support::client::{Client, Response};
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::vestibule::Vestibule;

/// A Vestibule whose only listener redirects so.
fn redirecting(dir: &Dir, to: &str) -> (Vestibule, Fake) {
    let origin = Fake::echoing(&dir.socket());
    let socket = dir.socket();
    let text = format!(
        "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\nredirect = \"{to}\"\n[upstream.app]\naddress = \"unix:{}\"\n",
        socket.display()
    );
    (Vestibule::start(dir, &text), origin)
}

fn asked(address: SocketAddr, request: &str) -> Response {
    let mut client = Client::connect(address).expect("connected");
    client.send(request).expect("sent");
    client.response().expect("an answer")
}

#[test]
fn keeps_host_path_and_query_and_takes_the_port_away() {
    let dir = Dir::new();
    let (vestibule, origin) = redirecting(&dir, "https");
    for (request, location) in [
        ("GET /a/b?c=%20&d HTTP/1.1\r\nHost: shop.example\r\n\r\n", "https://shop.example/a/b?c=%20&d"),
        ("GET / HTTP/1.1\r\nHost: shop.example:8080\r\n\r\n", "https://shop.example/"),
        ("GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\n\r\n", "https://[2001:db8::1]/"),
        ("GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", "https://[2001:db8::1]/"),
        ("GET http://other.example?q HTTP/1.1\r\nHost: shop.example\r\n\r\n", "https://other.example/?q"),
        ("GET //evil.example/ HTTP/1.1\r\nHost: shop.example\r\n\r\n", "https://shop.example//evil.example/"),
    ] {
        let answer = asked(vestibule.address(), request);
        assert_eq!((answer.status, answer.field("location")), (308, Some(location)), "{request:?}");
        assert!(
            answer.field("strict-transport-security").is_none(),
            "a browser must not believe it from here: {}",
            answer.head
        );
    }
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn names_another_port() {
    let dir = Dir::new();
    let (vestibule, _origin) = redirecting(&dir, "https:8443");
    let answer = asked(vestibule.address(), "GET /a HTTP/1.1\r\nHost: shop.example:8080\r\n\r\n");
    assert_eq!((answer.status, answer.field("location")), (308, Some("https://shop.example:8443/a")));
}

#[test]
fn a_post_keeps_its_method_and_its_body_is_not_taken_for_the_next_request() {
    let dir = Dir::new();
    let (vestibule, origin) = redirecting(&dir, "https");
    let mut client = Client::connect(vestibule.address()).expect("connected");
    client
        .send("POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 25\r\n\r\nGET /x HTTP/1.1\r\nHost: b\r\n")
        .expect("sent");
    let answer = client.response().expect("an answer");
    assert_eq!((answer.status, answer.field("location")), (308, Some("https://a/form")));
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn without_a_host_there_is_nowhere_to_be_sent() {
    let dir = Dir::new();
    let (vestibule, origin) = redirecting(&dir, "https");
    let answer = asked(vestibule.address(), "GET / HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status, answer.field("location")), (400, None));
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn a_challenge_that_nobody_set_is_redirected_as_everything_else() {
    let dir = Dir::new();
    let (vestibule, _origin) = redirecting(&dir, "https");
    let answer = asked(vestibule.address(), "GET /.well-known/acme-challenge/x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (answer.status, answer.field("location")),
        (308, Some("https://a/.well-known/acme-challenge/x"))
    );
}
