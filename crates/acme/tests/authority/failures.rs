//! What does not succeed.

use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime};

use vestibule_acme::schedule::Pace;
use vestibule_config::Challenge;

use crate::fake::{Answer, Fake};
use crate::pebble::{Pebble, free_port};
use crate::site::{Site, during, is_self_signed, until};

const BOTH: [Challenge; 2] = [Challenge::Http01, Challenge::TlsAlpn01];
/// Nobody of ours listens there.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_stays_self_signed_until_it_leads_here() {
    let mut site = Site::new(&["example.com"], &[Challenge::Http01]).await;
    let authority = site.authority();
    authority.lead_to(ELSEWHERE);
    let failed =
        || (site.record()["attempts"][0]["reached"] == "validating" && site.failures() == 1).then_some(());
    during(site.renewal(), until("a failed attempt", || site.settings.store.exists().then(failed)?)).await;
    assert!(is_self_signed(&site.served()));
    assert!(site.challenges.is_empty(), "what failed stands no more");
    authority.lead_to(Ipv4Addr::LOCALHOST);
    // It is served a moment before it is written down that it worked.
    let issued = || (!is_self_signed(&site.served()) && site.failures() == 0).then_some(());
    during(site.renewal(), until("a certificate, and no failure any more", issued)).await;
}

#[tokio::test]
async fn when_one_challenge_fails_the_other_is_tried() {
    let mut site = Site::new(&["example.com"], &BOTH).await;
    site.wishes.http_port = free_port();
    let _authority = site.authority();
    site.issued(site.renewal(), None).await;
    let history = site.record()["certificates"].as_object().unwrap().values().next().unwrap().clone();
    assert_eq!(history["challenges_failed"], 1, "and only the first failed");
}

#[tokio::test]
async fn no_crash_loop_makes_the_authority_validate_a_name_more_than_four_times_an_hour() {
    let mut site = Site::new(&["example.com"], &BOTH).await;
    let authority = site.authority();
    authority.lead_to(ELSEWHERE);
    for _ in 0..12 {
        // No pause at all between attempts, and ended at some moment of its own.
        let renewal = site.renewal().at(Pace { first: 0, most: 0, look: 1 });
        let moment = tokio::time::sleep(Duration::from_millis(fastrand::u64(100..1500)));
        during(renewal, moment).await;
    }
    let record = site.record();
    let attempts = record["attempts"].as_array().unwrap();
    let validated = attempts.iter().filter(|attempt| attempt["reached"] == "validating").count();
    assert_eq!(validated, 4, "{record}");
    let said = std::fs::read_to_string(site.dir.path().join("pebble.log")).unwrap_or_default();
    let asked = said.matches("Attempting to validate").count();
    assert!(asked <= 5, "what the authority counts: {asked}");
}

#[tokio::test]
async fn a_directory_that_is_down_is_asked_again_until_it_is_up() {
    let mut site = Site::new(&["example.com"], &BOTH).await;
    let mut authority = Pebble::prepare(site.dir.path(), site.wishes.clone());
    site.settings.directory = authority.directory();
    during(site.renewal(), until("two attempts", || (site.failures() >= 2).then_some(()))).await;
    assert!(is_self_signed(&site.served()));
    authority.run();
    site.issued(site.renewal(), None).await;
}

#[tokio::test]
async fn a_directory_that_answers_nonsense_ends_nothing() {
    let mut site = Site::new(&["example.com"], &BOTH).await;
    drop(Pebble::prepare(site.dir.path(), site.wishes.clone()));
    let fake = Fake::start(site.dir.path()).await;
    site.settings.directory = fake.url("/dir");
    let whole = fake.url("/x");
    let directories = [
        Answer::json("200 OK", ""),
        Answer::json("200 OK", "<html>It works!</html>"),
        Answer::json("200 OK", "{}"),
        Answer::json("200 OK", r#"{"newNonce":"","newAccount":"::","newOrder":7}"#),
        Answer::json(
            "200 OK",
            &format!(r#"{{"newNonce":"http://[","newAccount":"{whole}","newOrder":"{whole}"}}"#),
        ),
        Answer::json("200 OK", &"[".repeat(100_000)),
        Answer::json("200 OK", &"x".repeat(5 << 20)),
        Answer {
            status: "301 Moved",
            fields: "Location: https://127.0.0.1:1/\r\n".to_owned(),
            body: String::new(),
        },
        Answer::json("502 Bad Gateway", "<html>"),
        Answer { status: "503 Busy", fields: "Retry-After: nonsense\r\n".to_owned(), body: "{}".to_owned() },
        Answer {
            status: "200 OK",
            fields: "Transfer-Encoding: nonsense\r\n".to_owned(),
            body: "{}".to_owned(),
        },
    ];
    for answer in directories {
        let words = format!("an attempt at {:.80}", answer.body);
        fake.answer("/dir", answer);
        let before = site.failures();
        let renewal = site.renewal().at(Pace { first: 0, most: 0, look: 1 });
        during(renewal, until(&words, || (site.failures() > before).then_some(()))).await;
        let asked = fake.asked("/dir");
        let renewal = site.renewal().at(Pace { first: 0, most: 0, look: 1 });
        during(renewal, until(&words, || (fake.asked("/dir") > asked + 1).then_some(()))).await;
    }
    assert!(is_self_signed(&site.served()));
    let accounts = site.record()["accounts"].as_array().map_or(0, Vec::len);
    assert_eq!(accounts, 0, "who finds no directory has asked for no account");
}

#[tokio::test]
async fn answers_that_make_no_sense_further_on_end_nothing() {
    let mut site = Site::new(&["example.com"], &BOTH).await;
    drop(Pebble::prepare(site.dir.path(), site.wishes.clone()));
    let fake = Fake::start(site.dir.path()).await;
    fake.behave();
    site.settings.directory = fake.url("/dir");
    let located = |answer: Answer, to: &str| Answer { fields: format!("Location: {to}\r\n"), ..answer };
    let order = |authorization: &str, finalize: &str| {
        let body =
            format!(r#"{{"status":"pending","authorizations":["{authorization}"],"finalize":"{finalize}"}}"#);
        located(Answer::json("201 Created", &body), &fake.url("/order/1"))
    };
    let authorization = fake.url("/authorization");
    let for_another = r#"{"status":"pending","identifier":{"type":"dns","value":"bank.example"},"challenges":[
        {"type":"http-01","url":"https://127.0.0.1/","token":"t","status":"pending"}]}"#;
    let nothing_offered = r#"{"status":"pending","identifier":{"type":"dns","value":"example.com"},"challenges":[
        {"type":"dns-01","url":"https://127.0.0.1/","token":"t","status":"pending"}]}"#;
    for (order, authorized) in [
        (Answer::json("201 Created", "{}"), ""),
        (located(Answer::json("201 Created", "[]"), "::"), ""),
        (Answer::json("400 Bad Request", "null"), ""),
        (Answer::problem("400 Bad Request", "badNonce", ""), ""),
        (order("::", "::"), ""),
        (order(&authorization, "::"), "{}"),
        (order(&authorization, "::"), for_another),
        (order(&authorization, "::"), nothing_offered),
    ] {
        let words = format!("an attempt at {} {authorized:.60}", order.body);
        fake.answer("/order", order);
        fake.answer("/authorization", Answer::json("200 OK", authorized));
        let asked = fake.asked("/order");
        let renewal = site.renewal().at(Pace { first: 0, most: 0, look: 1 });
        during(renewal, until(&words, || (fake.asked("/order") > asked + 1).then_some(()))).await;
        assert!(site.challenges.is_empty(), "nothing is put up: {words}");
    }
    assert_eq!(fake.asked("/account"), 1, "one account for all of it");
    assert!(is_self_signed(&site.served()));
}

#[tokio::test]
async fn who_is_told_to_come_later_does_not_come_sooner() {
    let mut site = Site::new(&["example.com"], &BOTH).await;
    drop(Pebble::prepare(site.dir.path(), site.wishes.clone()));
    for (told, at_least) in
        [("Retry-After: 7200\r\n", 7200), ("Retry-After: 99999999999999999999\r\n", 86_400 * 30), ("", 3600)]
    {
        let fake = Fake::start(site.dir.path()).await;
        fake.behave();
        fake.answer("/order", Answer::problem("429 Too Many Requests", "rateLimited", told));
        site.settings.directory = fake.url("/dir");
        site.settings.store = site.dir.path().join(format!("store-{}", fake.port));
        let start = now();
        let not_before = || {
            let record = site.settings.store.exists().then(|| site.record())?;
            let history = record["certificates"].as_object()?.values().next()?.clone();
            history["not_before"].as_u64().filter(|at| *at > 0)
        };
        let not_before = during(site.renewal(), until("it is written down", not_before)).await;
        assert!(not_before >= start + at_least, "{told}");
        // Nor after a restart, however short its pauses.
        let renewal = site.renewal().at(Pace { first: 0, most: 0, look: 1 });
        during(renewal, tokio::time::sleep(Duration::from_millis(2500))).await;
        assert_eq!(fake.asked("/order"), 1, "{told}");
    }
}

#[tokio::test]
async fn a_busy_directory_is_left_alone_by_all_certificates_of_the_store() {
    let mut site = Site::new(&["example.com"], &BOTH).await;
    drop(Pebble::prepare(site.dir.path(), site.wishes.clone()));
    let fake = Fake::start(site.dir.path()).await;
    fake.behave();
    fake.answer(
        "/account",
        Answer::problem("503 Service Unavailable", "rateLimited", "Retry-After: 900\r\n"),
    );
    site.settings.directory = fake.url("/dir");
    let told = || {
        let record = site.settings.store.exists().then(|| site.record())?;
        record["not_before"].as_u64().filter(|at| *at > 0)
    };
    let not_before = during(site.renewal(), until("it is written down", told)).await;
    assert!(not_before >= now() + 800);
    site.settings.domains = vec!["another.example".to_owned()];
    during(site.renewal(), tokio::time::sleep(Duration::from_millis(1500))).await;
    assert_eq!(fake.asked("/account"), 1);
}
