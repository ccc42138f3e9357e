//! Several upstreams by weight, and the cookie that sticks.

use std::path::Path;

use super::{PROTOCOLS, get};
use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::vestibule::Vestibule;
use crate::support::wait::{seconds, until};

fn named(path: &Path, name: &'static str) -> Fake {
    Fake::start(path, move |conversation| {
        while conversation.request().is_some() {
            conversation.answer(name);
        }
    })
}

/// A site and its canary, with this in the route.
fn config(dir: &Dir, route: &str) -> String {
    let socket = |name: &str| dir.join(&format!("{name}.sock")).display().to_string();
    format!(
        "workers = 2\n[[listen]]\naddress = \"127.0.0.1:0\"\nhttp2 = true\n\
         [upstream.app]\naddress = \"unix:{}\"\nmaintenance = \"{}\"\n[upstream.canary]\naddress = \"unix:{}\"\nmaintenance = \"{}\"\n\
         [[route]]\n{route}\n",
        socket("app"),
        dir.join("app.html").display(),
        socket("canary"),
        dir.join("canary.html").display(),
    )
}

fn origins(dir: &Dir) -> [Fake; 2] {
    [named(&dir.join("app.sock"), "app"), named(&dir.join("canary.sock"), "canary")]
}

#[test]
fn a_canary_gets_its_share() {
    const REQUESTS: usize = 2000;
    let dir = Dir::new();
    let _origins = origins(&dir);
    let route = "upstreams = [{ upstream = \"app\", weight = 95 }, { upstream = \"canary\", weight = 5 }]";
    let vestibule = Vestibule::start(&dir, &config(&dir, route));
    let mut clients: Vec<_> =
        (0..4).map(|_| Client::connect(vestibule.address()).expect("a connection")).collect();
    let mut canary = 0;
    for index in 0..REQUESTS {
        let answer = clients[index % 4].get("/").expect("an answer");
        assert_eq!(answer.field("set-cookie"), None);
        canary += usize::from(answer.text() == "canary");
    }
    // 100 are expected; the standard deviation is 9.7. One run in 10^7 lies outside of these.
    assert!((48..=152).contains(&canary), "{canary} of {REQUESTS}");
}

const STICKY: &str = "upstreams = [{ upstream = \"app\", weight = 1 }, { upstream = \"canary\", weight = 1 }]\n\
    sticky = { cookie = \"release\", age = \"1h\" }";

#[test]
fn the_cookie_brings_a_client_to_the_same_upstream_after_a_restart_too() {
    let dir = Dir::new();
    let _origins = origins(&dir);
    let mut cookies = std::collections::BTreeMap::new();
    {
        let vestibule = Vestibule::start(&dir, &config(&dir, STICKY));
        for index in 0..100 {
            let seen = get(vestibule.address(), PROTOCOLS[index % 2], "/", &[]);
            let cookie = seen.field("set-cookie").expect("a cookie").to_owned();
            let value = cookie
                .strip_suffix("; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax")
                .unwrap_or_else(|| panic!("{cookie}"));
            assert_eq!(value, format!("release={}", seen.body));
            cookies.insert(seen.body, value.to_owned());
        }
    }
    assert_eq!(cookies.len(), 2, "both were drawn in 100 times");
    let vestibule = Vestibule::start(&dir, &config(&dir, STICKY));
    for (name, cookie) in &cookies {
        for index in 0..40 {
            let fields = [("Cookie", &*format!("a=b; {cookie}"))];
            let seen = get(vestibule.address(), PROTOCOLS[index % 2], "/", &fields);
            assert_eq!((&seen.body, seen.field("set-cookie")), (name, None), "nothing new to tell");
        }
    }
    // What names nobody is drawn anew.
    let seen = get(vestibule.address(), PROTOCOLS[0], "/", &[("Cookie", "release=none")]);
    assert!(
        seen.field("set-cookie").is_some_and(|cookie| cookie.starts_with(&format!("release={}", seen.body)))
    );
}

#[test]
fn whose_upstream_is_stopped_is_sent_to_another() {
    let dir = Dir::new();
    let _origins = origins(&dir);
    let vestibule = Vestibule::start(&dir, &config(&dir, STICKY));
    std::fs::write(dir.join("canary.html"), "<p>down").expect("a page");
    let cookie = [("Cookie", "release=canary")];
    until("the canary is stopped", seconds(30), || {
        (get(vestibule.address(), PROTOCOLS[0], "/", &cookie).body == "app").then_some(())
    });
    for index in 0..40 {
        let seen = get(vestibule.address(), PROTOCOLS[index % 2], "/", &cookie);
        assert_eq!(seen.body, "app");
        assert!(
            seen.field("set-cookie").is_some_and(|cookie| cookie.starts_with("release=app;")),
            "{seen:?}"
        );
    }
    // With all of them stopped, one of their pages is shown.
    std::fs::write(dir.join("app.html"), "<p>down").expect("a page");
    until("both are stopped", seconds(30), || {
        let seen = get(vestibule.address(), PROTOCOLS[0], "/", &cookie);
        (seen.status == 503 && seen.body == "<p>down").then_some(())
    });
}
