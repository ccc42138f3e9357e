//! What grows old.

use vestibule_config::Challenge;

use crate::fake::{Answer, Fake};
use crate::pebble::Pebble;
use crate::site::Site;

const BOTH: [Challenge; 2] = [Challenge::Http01, Challenge::TlsAlpn01];

#[tokio::test]
async fn a_certificate_is_renewed_when_a_third_of_its_life_is_left() {
    let mut site = Site::new(&["example.com"], &BOTH).await;
    site.wishes.validity = 20;
    let _authority = site.authority();
    let first = site.issued(site.renewal(), None).await;
    let second = site.issued(site.renewal(), Some(&first)).await;
    let [born, reborn] = [&first, &second].map(|certificate| certificate.not_before());
    let age = reborn.duration_since(born).unwrap().as_secs();
    assert!(age >= 13, "after two thirds of 20 s, not {age} s");
    assert_eq!(site.files("account", ".json").len(), 1);
}

#[tokio::test]
async fn what_the_authority_advises_goes_before_the_third_of_its_life() {
    let mut site = Site::new(&["example.com"], &BOTH).await;
    let _authority = site.authority();
    let fake = Fake::start(site.dir.path()).await;
    // Pebble's own addresses, and one of ours: Debian's pebble knows nothing of RFC 9773, nor of what an order replaces.
    let directory = serde_json::json!({
        "newNonce": at(&site.settings.directory, "/nonce-plz"),
        "newAccount": at(&site.settings.directory, "/sign-me-up"),
        "newOrder": at(&site.settings.directory, "/order-plz"),
        "renewalInfo": fake.url("/renewal"),
    });
    fake.answer("/dir", Answer::json("200 OK", &directory.to_string()));
    site.settings.directory = fake.url("/dir");
    let first = site.issued(site.renewal(), None).await;
    // It is young, and nobody would renew it. Its name is in the address (RFC 9773 4.1).
    let x509 = instant_acme::CertificateIdentifier::try_from(&first.chain()[0]).unwrap();
    let window = r#"{"suggestedWindow":{"start":"2020-01-01T00:00:00Z","end":"2020-01-02T00:00:00Z"}}"#;
    fake.answer(&format!("/renewal/{x509}"), Answer::json("200 OK", window));
    // When it was asked before there was an answer, it asks again in hours: a restart does not make that sooner.
    let record = site.place().join("attempts.json");
    let mut asked = site.record();
    for (_, history) in asked["certificates"].as_object_mut().unwrap() {
        history["advice"] = serde_json::Value::Null;
    }
    std::fs::write(record, asked.to_string()).unwrap();
    let second = site.issued(site.renewal(), Some(&first)).await;
    assert_ne!(first.chain(), second.chain());
}

fn at(directory: &str, path: &str) -> String {
    directory.replace("/dir", path)
}

#[tokio::test]
async fn an_account_that_the_authority_has_lost_is_made_anew() {
    let mut site = Site::new(&["example.com"], &BOTH).await;
    site.wishes.validity = 20;
    let mut authority: Pebble = site.authority();
    let first = site.issued(site.renewal(), None).await;
    authority.run();
    site.issued(site.renewal(), Some(&first)).await;
    assert_eq!(site.files("account.json", ".broken-").len(), 1, "the old one is kept aside");
}
