//! Chromium: a form, an upload with progress, an event stream, a WebSocket.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Site;
use crate::forwarding::sha256;
use crate::support::app::Kind;
use crate::support::browser::Browser;
use crate::support::turn;
use crate::support::wait::{seconds, until};

/// Of the upload.
const LENGTH: usize = 5_000_000;

/// Waits until the page's expression is something.
fn seen(browser: &mut Browser, expression: &str) -> Value {
    until(expression, seconds(30), || Some(browser.run(expression)).filter(|value| !value.is_null()))
}

#[test]
fn a_browser_posts_a_form_uploads_listens_and_talks() {
    let _turn = turn::heavy();
    let site = Site::start(Kind::Puma);
    let mut browser = Browser::open(&site.dir, &site.url("/page"));
    uses(&mut browser);
}

#[test]
fn a_browser_does_all_of_it_over_one_connection_of_http_2() {
    let _turn = turn::heavy();
    let site = Site::secure(Kind::Puma);
    let key = site.certificate.as_ref().expect("a certificate").public_key();
    let digest: Vec<u8> = sha256(&key)
        .as_bytes()
        .chunks(2)
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).expect("ASCII"), 16).expect("a digit"))
        .collect();
    let mut browser = Browser::open_pinned(&site.dir, &site.url("/page"), &STANDARD.encode(digest));
    uses(&mut browser);
    // A WebSocket that says HTTP/2 in the log came as an extended CONNECT (RFC 8441); a browser that does not find that in the
    // server's SETTINGS makes another connection, with HTTP/1.1.
    let line = site.vestibule.access_line("the WebSocket's line", |line| line["path"] == "/websocket");
    assert_eq!((&line["protocol"], &line["status"]), (&"HTTP/2.0".into(), &101.into()), "{line}");
    let log = site.vestibule.access_log();
    for path in ["/page", "/upload", "/sse", "/form"] {
        let line = log.iter().find(|line| line["path"] == path).unwrap_or_else(|| panic!("{path}: {log:#?}"));
        assert_eq!((&line["protocol"], &line["status"]), (&"HTTP/2.0".into(), &200.into()), "{line}");
    }
}

/// Goes through all that the page can do.
fn uses(browser: &mut Browser) {
    seen(browser, "typeof talk === 'function' || null");

    browser.run(&format!("upload({LENGTH})"));
    let upload = seen(browser, "saw.upload");
    let body: Vec<u8> = (0..LENGTH).map(|index| (index * 31 + (index >> 8)) as u8).collect();
    assert_eq!(upload["status"], 200, "{upload}");
    assert_eq!(upload["text"], format!("{LENGTH} {}", sha256(&body)));
    let progress = upload["progress"].as_array().expect("progress");
    assert_eq!(progress.last(), Some(&json!(LENGTH)), "{upload}");
    assert!(progress.windows(2).all(|two| two[0].as_u64() <= two[1].as_u64()), "{upload}");

    browser.run("listen()");
    let events = seen(browser, "saw.events.length >= 3 ? saw.events : null");
    let events = events.as_array().expect("events");
    let words: Vec<&Value> = events.iter().map(|event| &event[0]).collect();
    assert_eq!(words, ["one", "two", "three"]);
    // The application waits 100 ms before each but the first; kept back, all would come at once.
    let at = |index: usize| events[index][1].as_f64().expect("a time");
    assert!(at(2) - at(0) > 100.0, "the events came together: {events:?}");

    browser.run("talk()");
    let heard = seen(browser, "saw.socket.length >= 3 ? saw.socket : null");
    assert_eq!(heard, json!(["grüße", 200_000, [1001, "as asked", true]]));

    browser.run("document.forms[0].submit()");
    let page = seen(
        browser,
        "location.pathname === '/form' && document.readyState === 'complete' ? document.body.textContent : null",
    );
    let expected = "form: name=gr%C3%BC%C3%9Fe+%26+more as application/x-www-form-urlencoded";
    assert_eq!(page, expected);
}
