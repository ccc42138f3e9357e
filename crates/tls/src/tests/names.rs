//! Which certificate a client gets.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, ClientConfig, SignatureScheme};

use super::support::{Authority, Dir, acceptor, client, logged, meet, settings};
use crate::{Acceptor, Certificate, Source, provider};

/// What a client that believes everything is shown for `name`.
fn shown(acceptor: &Acceptor, authority: &Authority, name: &str) -> CertificateDer<'static> {
    let mut config = client(authority);
    config.dangerous().set_certificate_verifier(Arc::new(Believes(provider_schemes())));
    meet(acceptor, &Arc::new(config), name).unwrap().shown().clone()
}

#[test]
fn shows_the_certificate_of_the_name_asked_for() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let names: [&[&str]; 5] = [
        &["default.example"],
        &["example.com", "www.example.com"],
        &["*.example.com"],
        &["*.www.example.com"],
        &["UPPER.example.net"],
    ];
    let pairs = names.map(|names| authority.issue(names));
    let files = pairs.iter().enumerate().map(|(index, pair)| dir.keep(&index.to_string(), pair)).collect();
    let acceptor = acceptor(&settings(files));

    for (name, expected) in [
        ("default.example", 0),
        ("example.com", 1),
        // Exact goes before wildcard.
        ("www.example.com", 1),
        ("shop.example.com", 2),
        ("SHOP.Example.COM", 2),
        ("shop.example.com.", 2),
        // An asterisk stands for one label, neither none nor two.
        ("a.www.example.com", 3),
        ("a.shop.example.com", 0),
        ("upper.example.net", 4),
        // Nobody we know; and an address, which is never sent as a name.
        ("other.example.org", 0),
        ("com", 0),
        ("127.0.0.1", 0),
    ] {
        let expected = &pairs[expected].der;
        assert!(shown(&acceptor, &authority, name) == *expected, "{name}");
    }
}

#[test]
fn a_verifying_client_accepts_what_it_is_shown() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let between = authority.below("between");
    let files = dir.keep("a", &between.issue(&["*.example.com"]).with(&between));
    let acceptor = acceptor(&settings(vec![files]));
    let config = Arc::new(client(&authority));
    meet(&acceptor, &config, "www.example.com").unwrap();
    meet(&acceptor, &config, "example.com").unwrap_err();
}

#[test]
fn shows_ecdsa_to_who_can_verify_it_and_rsa_to_the_rest() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let (first, ecdsa, rsa) = (
        authority.issue_rsa(&["default.example"]),
        authority.issue(&["example.com"]),
        authority.issue_rsa(&["example.com"]),
    );
    let companion = authority.issue(&["default.example", "more.example"]);
    // RSA is written first: the order of the files is not that of preference.
    let pairs = [("0", &first), ("1", &rsa), ("2", &ecdsa), ("3", &companion)];
    let acceptor = acceptor(&settings(pairs.iter().map(|(name, pair)| dir.keep(name, pair)).collect()));

    let any = Arc::new(client(&authority));
    for (config, expected, default) in [
        (&any, &ecdsa, &companion),
        (&Arc::new(rsa_schemes_only(&authority)), &rsa, &first),
        (&Arc::new(rsa_suites_only(&authority)), &rsa, &first),
    ] {
        assert!(*meet(&acceptor, config, "example.com").unwrap().shown() == expected.der);
        // Who names nobody that we know gets the first of all, or its companion of the other kind.
        assert!(*meet(&acceptor, config, "default.example").unwrap().shown() == default.der);
    }
}

#[test]
fn refuses_a_client_that_can_verify_nothing_we_have() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let acceptor = acceptor(&settings(vec![dir.keep("a", &authority.issue(&["example.com"]))]));
    meet(&acceptor, &Arc::new(rsa_schemes_only(&authority)), "example.com").unwrap_err();
}

#[test]
fn of_two_of_one_kind_for_a_name_the_first_wins_and_that_is_told_once() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let (one, two) =
        (authority.issue(&["example.com"]), authority.issue(&["example.com", "two.example.com"]));
    let files = vec![dir.keep("one", &one), dir.keep("two", &two)];
    let (acceptor, lines) = logged(|| acceptor(&settings(files)));
    let told = format!(
        "{}: not used for example.com, which {} is for as well",
        dir.path("two.pem").display(),
        dir.path("one.pem").display()
    );
    assert_eq!(lines.iter().filter(|line| line.contains(&told)).count(), 1, "{lines:?}");
    assert!(shown(&acceptor, &authority, "example.com") == one.der);
    assert!(shown(&acceptor, &authority, "two.example.com") == two.der);

    let again = acceptor.certificates().all();
    let ((), lines) = logged(|| acceptor.certificates().replace(Source::Files, again));
    assert_eq!(lines, [""; 0]);
}

#[test]
fn each_source_replaces_its_own_and_files_go_before() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let (file, fetched) =
        (authority.issue(&["file.example"]), authority.issue(&["file.example", "acme.example"]));
    let acceptor = acceptor(&settings(vec![dir.keep("a", &file)]));
    assert!(shown(&acceptor, &authority, "acme.example") == file.der);
    let read =
        Certificate::from_der(vec![fetched.der.clone()], fetched.key_der(), &dir.files("acme")).unwrap().0;
    acceptor.certificates().replace(Source::Acme, vec![Arc::new(read)]);
    assert!(shown(&acceptor, &authority, "acme.example") == fetched.der);
    assert!(shown(&acceptor, &authority, "file.example") == file.der);
    assert_eq!(acceptor.certificates().all().len(), 2);
    acceptor.certificates().replace(Source::Acme, Vec::new());
    assert!(shown(&acceptor, &authority, "acme.example") == file.der);
}

#[test]
fn a_listener_with_acme_answers_before_its_first_certificate_arrives() {
    let acme = vestibule_config::Acme {
        domains: vec!["example.com".to_owned(), "www.example.com".to_owned()],
        contact: Vec::new(),
        directory: String::new(),
        store: std::path::PathBuf::new(),
        challenges: Vec::new(),
        authorities: None,
        key: vestibule_config::KeyKind::Ecdsa,
        eab: None,
    };
    let acceptor = acceptor(&vestibule_config::Tls { acme: Some(acme), ..settings(Vec::new()) });
    let shown = shown(&acceptor, &Authority::new("root"), "www.example.com");
    let all = acceptor.certificates().all();
    assert!(*all[0].chain() == [shown]);
    assert_eq!(all[0].names(), ["example.com".into(), "www.example.com".into()]);
}

fn provider_schemes() -> Vec<SignatureScheme> {
    provider().signature_verification_algorithms.supported_schemes()
}

fn rsa_schemes_only(authority: &Authority) -> ClientConfig {
    let mut config = client(authority);
    let schemes =
        provider_schemes().into_iter().filter(|scheme| format!("{scheme:?}").starts_with("RSA")).collect();
    config.dangerous().set_certificate_verifier(Arc::new(Believes(schemes)));
    config
}

/// TLS 1.2, all signatures, but no suite that goes with ECDSA.
fn rsa_suites_only(authority: &Authority) -> ClientConfig {
    let mut few = rustls::crypto::CryptoProvider::clone(&provider());
    few.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(few))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Believes every certificate, and says that it can verify these schemes.
#[derive(Debug)]
pub(crate) struct Believes(pub(crate) Vec<SignatureScheme>);

mod believes {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    impl ServerCertVerifier for super::Believes {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.clone()
        }
    }
}
