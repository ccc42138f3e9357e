//! What is spoken, and what is not.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use vestibule_config::{Tls, TlsVersion};

use super::support::{Authority, Dir, Parted, acceptor, client, client_of, meet, settings};
use crate::{Acceptor, Challenges, Tickets};

struct Stand {
    authority: Authority,
    settings: Tls,
    _dir: Dir,
}

fn stand() -> Stand {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let settings = settings(vec![dir.keep("a", &authority.issue(&["example.com"]))]);
    Stand { authority, settings, _dir: dir }
}

/// A client with the suites that `wanted` picks, in its order, and these groups.
fn special(
    stand: &Stand,
    version: &'static SupportedProtocolVersion,
    wanted: &[CipherSuite],
    groups: Vec<&'static dyn SupportedKxGroup>,
) -> Arc<ClientConfig> {
    let mut provider = aws_lc_rs::default_provider();
    let all = provider.cipher_suites.clone();
    if !wanted.is_empty() {
        let find = |wanted: &CipherSuite| all.iter().copied().find(|suite| suite.suite() == *wanted).unwrap();
        provider.cipher_suites = wanted.iter().map(find).collect();
    }
    provider.kx_groups = groups;
    let mut roots = RootCertStore::empty();
    roots.add(stand.authority.der()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(CryptoProvider::clone(&provider)))
        .with_protocol_versions(&[version])
        .unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

#[test]
fn speaks_1_3_and_1_2_and_with_a_minimum_only_1_3() {
    let mut stand = stand();
    let only = |version| Arc::new(client_of(&[version], &stand.authority, None));
    let (old, new) = (only(&TLS12), only(&TLS13));
    let from_12 = acceptor(&stand.settings);
    let version = |acceptor: &Acceptor, config: &Arc<ClientConfig>| {
        meet(acceptor, config, "example.com").unwrap().client.protocol_version()
    };
    assert_eq!(version(&from_12, &old), Some(ProtocolVersion::TLSv1_2));
    assert_eq!(version(&from_12, &new), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(version(&from_12, &Arc::new(client(&stand.authority))), Some(ProtocolVersion::TLSv1_3));
    stand.settings.minimum = TlsVersion::V13;
    let from_13 = acceptor(&stand.settings);
    assert_eq!(version(&from_13, &new), Some(ProtocolVersion::TLSv1_3));
    assert!(matches!(meet(&from_13, &old, "example.com"), Err(Parted::ByServer(_))));
}

#[test]
fn follows_the_clients_order_of_suites() {
    let stand = stand();
    let acceptor = acceptor(&stand.settings);
    let [aes128, aes256, chacha] = [
        CipherSuite::TLS13_AES_128_GCM_SHA256,
        CipherSuite::TLS13_AES_256_GCM_SHA384,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    for order in [[aes128, aes256, chacha], [chacha, aes128, aes256], [aes256, chacha, aes128]] {
        let config = special(&stand, &TLS13, &order, vec![kx_group::X25519]);
        let met = meet(&acceptor, &config, "example.com").unwrap();
        assert_eq!(met.client.negotiated_cipher_suite().unwrap().suite(), order[0]);
    }
}

#[test]
fn exchanges_keys_by_each_group_and_the_hybrid_first() {
    let stand = stand();
    let acceptor = acceptor(&stand.settings);
    let all: [&'static dyn SupportedKxGroup; 4] =
        [kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
    for group in all {
        let config = special(&stand, &TLS13, &[], vec![group]);
        let met = meet(&acceptor, &config, "example.com").unwrap();
        assert_eq!(met.server.negotiated_key_exchange_group().unwrap().name(), group.name());
    }
    let met = meet(&acceptor, &special(&stand, &TLS13, &[], all.to_vec()), "example.com").unwrap();
    assert_eq!(
        met.server.negotiated_key_exchange_group().unwrap().name(),
        rustls::NamedGroup::X25519MLKEM768
    );
    meet(&acceptor, &special(&stand, &TLS13, &[], vec![kx_group::SECP256R1MLKEM768]), "example.com")
        .unwrap_err();
}

#[test]
fn offers_http2_only_where_it_is_on() {
    let stand = stand();
    let (tickets, challenges) = (Tickets::new().unwrap(), Arc::new(Challenges::default()));
    for (http2, wanted, chosen) in [
        (true, &["http/1.1", "h2"][..], Some("h2")),
        (true, &["http/1.1"], Some("http/1.1")),
        (true, &[], None),
        (false, &["h2", "http/1.1"], Some("http/1.1")),
        (false, &[], None),
    ] {
        let acceptor = Acceptor::new(&stand.settings, http2, &tickets, &challenges).unwrap();
        let mut config = client(&stand.authority);
        config.alpn_protocols = wanted.iter().map(|name| name.as_bytes().to_vec()).collect();
        let met = meet(&acceptor, &Arc::new(config), "example.com").unwrap();
        assert_eq!(met.server.alpn_protocol(), chosen.map(str::as_bytes), "{http2} {wanted:?}");
    }
    // RFC 7301 3.2: no protocol in common is the end of it.
    let acceptor = Acceptor::new(&stand.settings, false, &tickets, &challenges).unwrap();
    let mut config = client(&stand.authority);
    config.alpn_protocols = vec![b"h2".to_vec()];
    meet(&acceptor, &Arc::new(config), "example.com").unwrap_err();
}

#[test]
fn takes_no_early_data() {
    let stand = stand();
    let acceptor = acceptor(&stand.settings);
    let mut config = client(&stand.authority);
    config.enable_early_data = true;
    let config = Arc::new(config);
    meet(&acceptor, &config, "example.com").unwrap();
    let name = rustls::pki_types::ServerName::try_from("example.com").unwrap();
    let mut again = rustls::ClientConnection::new(config, name).unwrap();
    assert!(again.early_data().is_none());
}
