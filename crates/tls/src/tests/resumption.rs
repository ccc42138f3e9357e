//! Sessions that go on.

use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind};

use super::support::{Authority, Dir, Pair, acceptor, asking, client_of, meet, settings};
use crate::{Acceptor, Challenges, Tickets};

fn kind(acceptor: &Acceptor, config: &Arc<ClientConfig>) -> HandshakeKind {
    let met = meet(acceptor, config, "example.com").unwrap();
    let kind = met.server.handshake_kind().unwrap();
    assert_eq!(met.client.handshake_kind().unwrap(), kind);
    // By name what it is: a full handshake may have one round more, for the group.
    if kind == HandshakeKind::FullWithHelloRetryRequest { HandshakeKind::Full } else { kind }
}

#[test]
fn a_session_goes_on_at_any_listener_with_the_same_rules() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let settings = settings(vec![dir.keep("a", &authority.issue(&["example.com"]))]);
    let (tickets, challenges) = (Tickets::new().unwrap(), Arc::new(Challenges::default()));
    let here = Acceptor::new(&settings, true, &tickets, &challenges).unwrap();
    let there = Acceptor::new(&settings, false, &tickets, &challenges).unwrap();
    let elsewhere = acceptor(&settings);
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(client_of(&[version], &authority, None));
        assert_eq!(kind(&here, &config), HandshakeKind::Full);
        assert_eq!(kind(&here, &config), HandshakeKind::Resumed);
        assert_eq!(kind(&there, &config), HandshakeKind::Resumed);
        // Another process has other keys: a whole handshake, and no error.
        assert_eq!(kind(&elsewhere, &config), HandshakeKind::Full);
    }
}

#[test]
fn a_session_goes_on_for_one_period_after_the_keys_were_replaced() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let settings = settings(vec![dir.keep("a", &authority.issue(&["example.com"]))]);
    let tickets = Tickets::new().unwrap();
    let acceptor = Acceptor::new(&settings, true, &tickets, &Arc::new(Challenges::default())).unwrap();
    for version in [&TLS12, &TLS13] {
        let begin = || {
            let config = Arc::new(client_of(&[version], &authority, None));
            assert_eq!(kind(&acceptor, &config), HandshakeKind::Full);
            config
        };
        let (once, twice) = (begin(), begin());
        tickets.rotate();
        assert_eq!(kind(&acceptor, &once), HandshakeKind::Resumed);
        tickets.rotate();
        assert_eq!(kind(&acceptor, &twice), HandshakeKind::Full);
    }
}

#[test]
fn a_session_never_goes_on_under_other_rules_for_clients() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let files = vec![dir.keep("a", &authority.issue(&["example.com"]))];
    let authorities = dir.write("ca.pem", authority.pem());
    let others = dir.write("both.pem", authority.pem() + &Authority::new("another").pem());
    let (tickets, challenges) = (Tickets::new().unwrap(), Arc::new(Challenges::default()));
    let rules = [
        settings(files.clone()),
        asking(files.clone(), authorities.clone(), false),
        asking(files.clone(), authorities, true),
        asking(files, others, true),
    ];
    let acceptors = rules.map(|rules| Acceptor::new(&rules, true, &tickets, &challenges).unwrap());
    let somebody: Pair = authority.issue(&["somebody"]);
    for version in [&TLS12, &TLS13] {
        for (index, here) in acceptors.iter().enumerate() {
            for (other, there) in acceptors.iter().enumerate() {
                let config = Arc::new(client_of(&[version], &authority, Some(&somebody)));
                assert_eq!(kind(here, &config), HandshakeKind::Full);
                let expected = if index == other { HandshakeKind::Resumed } else { HandshakeKind::Full };
                assert_eq!(kind(there, &config), expected, "from {index} to {other}");
            }
        }
    }
}

#[test]
fn a_resumed_session_knows_who_the_client_is() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let files = vec![dir.keep("a", &authority.issue(&["example.com"]))];
    let acceptor = acceptor(&asking(files, dir.write("ca.pem", authority.pem()), false));
    let somebody = authority.issue(&["somebody"]);
    for version in [&TLS12, &TLS13] {
        for identity in [Some(&somebody), None] {
            let config = Arc::new(client_of(&[version], &authority, identity));
            let first = meet(&acceptor, &config, "example.com").unwrap();
            let again = meet(&acceptor, &config, "example.com").unwrap();
            assert_eq!(again.server.handshake_kind(), Some(HandshakeKind::Resumed));
            let who = acceptor.identity(&first.server).unwrap().unwrap();
            assert_eq!(acceptor.identity(&again.server).unwrap().unwrap(), who);
            assert_eq!(who.fields() == b"X-SSL-Client-Verify: NONE\r\n", identity.is_none());
        }
    }
}
