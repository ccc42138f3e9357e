//! Certificates of clients.

use std::fs;

use rustls::ProtocolVersion;

use crate::support::certificates::{Authority, Kind};
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::tls::{Secure, Speaker, certified, with_tls};
use crate::support::vestibule::{Vestibule, config};

/// A Vestibule that asks for certificates of the authority in `dir`.
fn asking(dir: &Dir, required: bool) -> Vestibule {
    let client = format!(", client = {{ authorities = {:?}, required = {required} }}", dir.join("ca.pem"));
    Vestibule::start(dir, &with_tls(dir, &config(dir, ""), &client))
}

/// What a request gets that claims to be somebody.
fn ask_as_somebody(client: &mut Secure) -> std::io::Result<u16> {
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nX-SSL-Client-Verify: SUCCESS\r\nX-SSL-Client-S-DN: CN=root\r\n\
         x-ssl-client-fingerprint: 00\r\nClient-Cert: :AAAA:\r\n\r\n",
    )?;
    Ok(client.response()?.status)
}

#[test]
fn hands_the_verified_subject_to_the_application() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = asking(&dir, true);
    for version in [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3] {
        let speaker = Speaker::new(&authority).version(version).identity(authority.client("alice"));
        let mut client = speaker.connect(vestibule.address()).expect("a handshake");
        assert_eq!(ask_as_somebody(&mut client).expect("an answer"), 200);
    }
    for request in origin.requests() {
        assert_eq!(request.field("x-ssl-client-verify"), Some("SUCCESS"));
        assert_eq!(request.field("x-ssl-client-s-dn"), Some("CN=alice"));
        assert!(request.field("x-ssl-client-fingerprint").is_some_and(|print| print.len() >= 64));
    }
}

#[test]
fn refuses_who_has_none_where_one_is_required() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = asking(&dir, true);
    let stranger = Authority::new().client("mallory");
    for speaker in [Speaker::new(&authority), Speaker::new(&authority).identity(stranger)] {
        // Over TLS 1.3 the client learns of it with the first read.
        let asked = speaker.connect(vestibule.address()).and_then(|mut client| ask_as_somebody(&mut client));
        assert!(asked.is_err(), "{asked:?}");
    }
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn says_none_of_who_has_none_where_it_may_be_missing() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = asking(&dir, false);
    let mut client = Speaker::new(&authority).connect(vestibule.address()).expect("a handshake");
    assert_eq!(ask_as_somebody(&mut client).expect("an answer"), 200);
    let requests = origin.requests();
    let request = requests.first().expect("a request");
    assert_eq!(request.field("x-ssl-client-verify"), Some("NONE"));
    for name in ["x-ssl-client-s-dn", "x-ssl-client-fingerprint", "client-cert"] {
        assert_eq!(request.all(name), Vec::<&str>::new(), "{name}");
    }
}

#[test]
fn takes_nobodys_word_where_no_certificate_is_asked_for() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = Vestibule::start(&dir, &with_tls(&dir, &config(&dir, ""), ""));
    let mut client = Speaker::new(&authority).connect(vestibule.address()).expect("a handshake");
    assert_eq!(ask_as_somebody(&mut client).expect("an answer"), 200);
    let requests = origin.requests();
    for name in ["x-ssl-client-verify", "x-ssl-client-s-dn", "x-ssl-client-fingerprint", "client-cert"] {
        assert_eq!(requests.first().expect("a request").all(name), Vec::<&str>::new(), "{name}");
    }
}

#[test]
fn refuses_to_start_with_authorities_that_are_none() {
    let dir = Dir::new();
    let _authority = certified(&dir, Kind::Ecdsa);
    fs::write(dir.join("ca.pem"), "nothing").expect("written");
    let client = format!(", client = {{ authorities = {:?} }}", dir.join("ca.pem"));
    let ended = Vestibule::refused(&dir, &with_tls(&dir, &config(&dir, ""), &client));
    assert_eq!(ended.status, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("ca.pem"), "{}", ended.stderr);
}
