//! Limits that a route has for itself.

use super::{PROTOCOLS, get, with_routes};
use crate::support::client::{Client, post};
use crate::support::dir::Dir;
use crate::support::h2::H2;
use crate::support::wait::seconds;

#[test]
fn a_route_takes_bodies_up_to_its_own_limit() {
    let dir = Dir::new();
    let (vestibule, origin) = with_routes(
        &dir,
        "[limits]\nbody = \"2 KiB\"\n\
         [[route]]\npath = \"/small\"\nlimits = { body = \"1 KiB\" }\nupstream = \"app\"\n\
         [[route]]\npath = \"/large\"\nlimits = { body = \"100 KiB\" }\nupstream = \"app\"\n\
         [[route]]\nupstream = \"app\"\n",
    );
    let chunked = |path: &str, length: usize| {
        let mut client = Client::connect(vestibule.address()).expect("a connection");
        client
            .send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"))
            .expect("sent");
        client
            .send(
                [format!("{length:x}\r\n").into_bytes(), vec![b'x'; length], b"\r\n0\r\n\r\n".to_vec()]
                    .concat(),
            )
            .expect("sent");
        client.response().expect("an answer").status
    };
    for (path, length, status) in [
        ("/small", 1024, 200),
        ("/small", 1025, 413),
        ("/other", 2048, 200),
        ("/other", 2049, 413),
        ("/large", 102_400, 200),
        ("/large", 102_401, 413),
    ] {
        let before = origin.requests().len();
        let body = vec![b'x'; length];
        assert_eq!(post(vestibule.address(), path, &body).status, status, "{path} {length}");
        assert_eq!(chunked(path, length), status, "{path} {length} in chunks");
        let mut client = H2::connect(vestibule.address());
        assert_eq!(client.post(path, &body).status(), status, "{path} {length} over HTTP/2");
        assert_eq!(origin.requests().len() - before, if status == 200 { 3 } else { 0 });
    }
}

#[test]
fn a_route_waits_as_long_as_it_says() {
    let dir = Dir::new();
    let origin = crate::support::fake::Fake::start(&dir.socket(), |conversation| {
        while let Some(request) = conversation.request() {
            if request.target() != "/fast" {
                std::thread::sleep(seconds(3));
            }
            conversation.answer("app");
        }
    });
    let vestibule = super::start(
        &dir,
        "[[route]]\npath = \"/slow\"\ntimeout = { response = \"60s\" }\nupstream = \"app\"\n\
         [[route]]\npath = \"/hasty\"\ntimeout = { response = \"1s\" }\nupstream = \"app\"\n\
         [[route]]\nupstream = \"app\"\n",
    );
    for protocol in PROTOCOLS {
        assert_eq!(get(vestibule.address(), protocol, "/hasty", &[]).status, 504);
        assert_eq!(get(vestibule.address(), protocol, "/slow", &[]).status, 200);
        assert_eq!(get(vestibule.address(), protocol, "/fast", &[]).status, 200);
    }
    assert_eq!(origin.requests().len(), 6);
}
