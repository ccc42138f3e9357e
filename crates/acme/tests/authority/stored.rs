//! What lies in the store.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use vestibule_acme::Renewal;
use vestibule_config::Challenge;

use crate::fake::Fake;
use crate::pebble::Pebble;
use crate::site::{Site, during, is_self_signed, until};

const BOTH: [Challenge; 2] = [Challenge::Http01, Challenge::TlsAlpn01];

#[tokio::test]
async fn after_a_restart_the_same_certificate_is_served_at_once() {
    let mut site = Site::new(&["example.com"], &BOTH).await;
    let authority = site.authority();
    let issued = site.issued(site.renewal(), None).await;
    for path in fs::read_dir(site.place()).unwrap().map(|entry| entry.unwrap().path()) {
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "{}", path.display());
    }
    drop(authority);
    // Another process, which has nothing in memory and finds nobody to ask.
    site.acceptor.certificates().replace(vestibule_tls::Source::Acme, Vec::new());
    let renewal = site.renewal();
    assert_eq!(site.served().chain(), issued.chain());
    during(renewal, tokio::time::sleep(Duration::from_millis(1500))).await;
    assert_eq!(site.record()["attempts"].as_array().unwrap().len(), 1, "nothing is ordered");
}

#[tokio::test]
async fn the_account_is_made_once() {
    let mut site = Site::new(&["example.com"], &BOTH).await;
    let _authority = site.authority();
    let first = site.issued(site.renewal(), None).await;
    let account = fs::read(site.place().join("account.json")).unwrap();
    fs::remove_file(&site.files("example.com", ".pem")[0]).unwrap();
    site.settings.contact = vec!["other@example.com".to_owned()];
    site.issued(site.renewal(), Some(&first)).await;
    let kept = fs::read(site.place().join("account.json")).unwrap();
    let [was, is] = [account, kept].map(|text| serde_json::from_slice::<serde_json::Value>(&text).unwrap());
    assert_eq!(was["credentials"], is["credentials"]);
    assert_eq!(is["contact"][0], "other@example.com", "with its new contact");
    assert_eq!(site.record()["accounts"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_site_that_gets_a_further_name_goes_on_with_what_it_has() {
    let mut site = Site::new(&["example.com"], &BOTH).await;
    let authority = site.authority();
    let issued = site.issued(site.renewal(), None).await;
    authority.lead_to("127.0.0.2".parse().unwrap());
    site.settings.domains.push("new.example.com".to_owned());
    let renewal = site.renewal();
    let served = site.acceptor.certificates().all();
    assert_eq!(served[0].chain(), issued.chain());
    assert_eq!(&*served[1].names()[0], "new.example.com");
    assert!(is_self_signed(&served[1]));
    authority.lead_to("127.0.0.1".parse().unwrap());
    let both = site.issued(renewal, Some(&issued)).await;
    assert_eq!(both.names().len(), 2);
}

#[tokio::test]
async fn broken_files_are_moved_aside_and_made_anew() {
    let mut site = Site::new(&["example.com"], &BOTH).await;
    let _authority = site.authority();
    let first = site.issued(site.renewal(), None).await;
    let file = site.files("example.com", ".pem")[0].clone();
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    fs::write(site.place().join("account.json"), "{").unwrap();
    let renewal = site.renewal();
    assert!(is_self_signed(&site.served()));
    site.issued(renewal, Some(&first)).await;
    assert_eq!(site.files("example.com", ".pem.broken-").len(), 1);
    assert_eq!(site.files("account", ".json.broken-").len(), 1);
}

#[tokio::test]
async fn a_broken_record_counts_as_one_that_is_full() {
    let mut site = Site::new(&["example.com"], &BOTH).await;
    drop(Pebble::prepare(site.dir.path(), site.wishes.clone()));
    let fake = Fake::start(site.dir.path()).await;
    fake.behave();
    site.settings.directory = fake.url("/dir");
    drop(site.renewal());
    fs::write(site.place().join("attempts.json"), "{").unwrap();
    let aside = || (!site.files("attempts", ".broken-").is_empty()).then_some(());
    during(site.renewal(), until("it is moved aside", aside)).await;
    during(site.renewal(), tokio::time::sleep(Duration::from_millis(1500))).await;
    assert_eq!(fake.asked("/dir"), 0);
}

#[tokio::test]
async fn without_a_store_nothing_is_asked_and_what_is_there_is_served() {
    let mut site = Site::new(&["example.com"], &BOTH).await;
    drop(Pebble::prepare(site.dir.path(), site.wishes.clone()));
    let fake = Fake::start(site.dir.path()).await;
    fake.behave();
    site.settings.directory = fake.url("/dir");
    fs::write(site.dir.path().join("file"), "").unwrap();
    site.settings.store = site.dir.path().join("file/store");
    let words = Renewal::check(&site.settings).unwrap_err().to_string();
    assert!(words.contains("file/store") && words.contains("tls.acme.store"), "{words}");
    during(site.renewal(), tokio::time::sleep(Duration::from_millis(1500))).await;
    assert!(is_self_signed(&site.served()));
    assert_eq!(fake.asked("/dir"), 0, "what cannot be counted is not asked");
}
