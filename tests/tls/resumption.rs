//! Sessions go on from one connection to the next, whichever worker has it.

use std::net::TcpStream;

use rustls::{HandshakeKind, ProtocolVersion};

use crate::support::certificates::Kind;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::tls::{NAME, Speaker, certified, over, tls_config};
use crate::support::vestibule::Vestibule;

#[test]
fn resumes_every_session_at_any_worker() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let config = tls_config(&dir, "").replace("workers = 1", "workers = 2");
    let vestibule = Vestibule::start(&dir, &config);
    for version in [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3] {
        let settings = Speaker::new(&authority).version(version).settings();
        for number in 0..60 {
            let socket = TcpStream::connect(vestibule.address()).expect("connected");
            let mut client = over(socket, settings.clone(), NAME).expect("a handshake");
            // With its answer come the tickets of TLS 1.3.
            assert_eq!(client.get("/").expect("an answer").status, 200);
            let kind = client.stream().conn.handshake_kind();
            // rustls' client hands each ticket of TLS 1.3 out once; each connection brings new ones.
            let wanted = if number == 0 { HandshakeKind::Full } else { HandshakeKind::Resumed };
            assert_eq!(kind, Some(wanted), "connection {number} of {version:?}");
        }
    }
}

#[test]
fn sessions_end_with_the_process() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let settings = Speaker::new(&authority).settings();
    for _ in 0..2 {
        let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
        let socket = TcpStream::connect(vestibule.address()).expect("connected");
        let mut client = over(socket, settings.clone(), NAME).expect("a handshake");
        assert_eq!(client.get("/").expect("an answer").status, 200);
        assert_eq!(client.stream().conn.handshake_kind(), Some(HandshakeKind::Full));
    }
}
