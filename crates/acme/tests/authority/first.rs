//! The first certificate.

use std::sync::Arc;

use vestibule_acme::Renewal;
use vestibule_config::{Challenge, KeyKind};

use crate::pebble::EXTERNAL_KEY;
use crate::site::{Site, acceptor, during, external, is_self_signed, until};

const BOTH: [Challenge; 2] = [Challenge::TlsAlpn01, Challenge::Http01];

fn names(certificate: &vestibule_tls::Certificate) -> Vec<&str> {
    let mut names: Vec<&str> = certificate.names().iter().map(AsRef::as_ref).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn the_first_certificate_comes_by_http_01() {
    let mut site = Site::new(&["example.com", "www.example.com"], &[Challenge::Http01]).await;
    let _authority = site.authority();
    let renewal = site.renewal();
    assert!(is_self_signed(&site.served()), "served at once");
    let issued = site.issued(renewal, None).await;
    assert_eq!(names(&issued), ["example.com", "www.example.com"]);
    assert!(site.challenges.is_empty(), "nothing stands any more");
}

#[tokio::test]
async fn the_first_certificate_comes_by_tls_alpn_01() {
    let mut site = Site::new(&["example.com", "www.example.com"], &[Challenge::TlsAlpn01]).await;
    let _authority = site.authority();
    let issued = site.issued(site.renewal(), None).await;
    assert_eq!(names(&issued), ["example.com", "www.example.com"]);
}

#[tokio::test]
async fn an_rsa_key_is_had_for_the_asking() {
    let mut site = Site::new(&["example.com"], &BOTH).await;
    site.settings.key = KeyKind::Rsa;
    let _authority = site.authority();
    site.issued(site.renewal(), None).await;
    let pem = std::fs::read_to_string(&site.files("example.com-rsa-", ".pem")[0]).unwrap();
    let key = rcgen::KeyPair::from_pem(&pem).unwrap();
    assert!(key.is_compatible(&rcgen::PKCS_RSA_SHA256));
}

#[tokio::test]
async fn listeners_of_one_certificate_all_have_it() {
    let mut site = Site::new(&["example.com"], &BOTH).await;
    let _authority = site.authority();
    let other = acceptor(&site.settings, &site.challenges);
    let renewal = site.renewal();
    assert!(renewal.is_for(&site.settings));
    renewal.give_to(Arc::clone(other.certificates()));
    let issued = site.issued(renewal, None).await;
    assert_eq!(other.certificates().all()[0].chain(), issued.chain());
}

#[tokio::test]
async fn an_external_account_is_bound() {
    let mut site = Site::new(&["example.com"], &BOTH).await;
    site.wishes.external = true;
    let _authority = site.authority();
    during(site.renewal(), until("it is refused without", || (site.failures() > 0).then_some(()))).await;
    site.settings.eab = external("key-1", EXTERNAL_KEY);
    site.issued(site.renewal(), None).await;
}

#[tokio::test]
async fn two_that_share_a_store_order_once() {
    let mut site = Site::new(&["example.com"], &BOTH).await;
    let _authority = site.authority();
    let other = acceptor(&site.settings, &site.challenges);
    let mut second = Renewal::new(site.settings.clone(), &site.challenges).at(crate::site::BRISK);
    second.give_to(Arc::clone(other.certificates()));
    second.start();
    let first = site.renewal();
    let both = until("both have it", || {
        let [one, two] = [site.served(), other.certificates().all()[0].clone()];
        (!is_self_signed(&one) && !is_self_signed(&two)).then_some((one, two))
    });
    let (one, two) = during(first, Box::pin(during(second, both))).await;
    assert_eq!(one.chain(), two.chain());
    assert_eq!(site.record()["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(site.record()["accounts"].as_array().unwrap().len(), 1);
}
