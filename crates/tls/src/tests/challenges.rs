//! What an authority sees that asks whether a name is ours.

use std::sync::Arc;

use rustls::ClientConfig;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::names::Believes;
use super::support::{Authority, Dir, Parted, client, meet, settings};
use crate::{ACME_TLS_PROTOCOL, Acceptor, Challenges, Error, Tickets, provider};

#[test]
fn a_token_is_answered_while_its_guard_lives() {
    let challenges = Arc::new(Challenges::default());
    assert!(challenges.is_empty());
    let one = challenges.stand_http("token-1", "token-1.thumb");
    let two = challenges.stand_http("token-2", "token-2.thumb");
    assert_eq!(challenges.key_authorization("token-1").as_deref(), Some("token-1.thumb"));
    assert_eq!(challenges.key_authorization("token-3"), None);
    drop(one);
    assert_eq!(challenges.key_authorization("token-1"), None);
    assert!(!challenges.is_empty());
    drop(two);
    assert!(challenges.is_empty());
}

#[test]
fn the_end_of_an_older_order_does_not_end_the_newer() {
    let challenges = Arc::new(Challenges::default());
    let old = challenges.stand_http("token", "old");
    let new = challenges.stand_http("token", "new");
    drop(old);
    assert_eq!(challenges.key_authorization("token").as_deref(), Some("new"));
    drop(new);
    assert!(challenges.is_empty());
}

/// As an authority comes: RFC 8737 3.
fn validating(protocols: &[&[u8]], authority: &Authority) -> Arc<ClientConfig> {
    let mut config = client(authority);
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let schemes = provider().signature_verification_algorithms.supported_schemes();
    config.dangerous().set_certificate_verifier(Arc::new(Believes(schemes)));
    Arc::new(config)
}

#[test]
fn shows_the_challenges_certificate_while_it_stands_and_refuses_before_and_after() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let pair = authority.issue(&["example.com"]);
    let challenges = Arc::new(Challenges::default());
    // Whatever the listener asks of its clients, it does not ask an authority for a certificate.
    let settings =
        super::support::asking(vec![dir.keep("a", &pair)], dir.write("ca.pem", authority.pem()), true);
    let acceptor = Acceptor::new(&settings, true, &Tickets::new().unwrap(), &challenges).unwrap();
    let config = validating(&[ACME_TLS_PROTOCOL], &authority);
    let refused = || assert!(matches!(meet(&acceptor, &config, "example.com"), Err(Parted::ByServer(_))));
    refused();

    let standing = challenges.stand_tls("Example.com", &[7; 32]).unwrap();
    let met = meet(&acceptor, &config, "example.com").unwrap();
    assert_eq!(met.server.alpn_protocol(), Some(ACME_TLS_PROTOCOL));
    assert_eq!(acceptor.identity(&met.server).unwrap(), None);
    let (_, shown) = X509Certificate::from_der(met.shown()).unwrap();
    let names = shown.subject_alternative_name().unwrap().unwrap();
    assert_eq!(format!("{:?}", names.value.general_names), "[DNSName(\"example.com\")]");
    let identifier = shown
        .extensions()
        .iter()
        .find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31")
        .unwrap();
    assert!(identifier.critical);
    assert_eq!(identifier.value, [&[4, 32][..], &[7; 32]].concat());

    // No token: plain HTTP is not asked.
    assert!(challenges.is_empty());
    for name in ["www.example.com", "192.0.2.1"] {
        assert!(matches!(meet(&acceptor, &config, name), Err(Parted::ByServer(_))), "{name}");
    }
    drop(standing);
    refused();
}

#[test]
fn who_offers_other_protocols_beside_is_a_usual_client() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let pair = authority.issue(&["example.com"]);
    let challenges = Arc::new(Challenges::default());
    let settings = settings(vec![dir.keep("a", &pair)]);
    let acceptor = Acceptor::new(&settings, true, &Tickets::new().unwrap(), &challenges).unwrap();
    let _standing = challenges.stand_tls("example.com", &[7; 32]).unwrap();
    for (protocols, chosen) in [(&[ACME_TLS_PROTOCOL, b"h2"][..], Some(&b"h2"[..])), (&[], None)] {
        let met = meet(&acceptor, &validating(protocols, &authority), "example.com").unwrap();
        assert_eq!(met.server.alpn_protocol(), chosen);
        assert!(*met.shown() == pair.der);
    }
}

#[test]
fn refuses_what_can_be_no_challenge() {
    let challenges = Arc::new(Challenges::default());
    for (name, digest) in
        [("", &[0; 32][..]), ("*.example.com", &[0; 32]), ("ü", &[0; 32]), ("example.com", &[0; 31])]
    {
        assert!(matches!(challenges.stand_tls(name, digest), Err(Error::Make { .. })), "{name}");
    }
}
