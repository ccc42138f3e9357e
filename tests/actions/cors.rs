//! Which other sites' scripts may read an answer.

use super::{PROTOCOLS, ask, get, start};
use crate::support::browser::Browser;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::turn;
use crate::support::wait::{seconds, until};

/// An application that has an opinion of its own on CORS.
fn opinionated(dir: &Dir) -> Fake {
    Fake::start(&dir.socket(), |conversation| {
        while let Some(request) = conversation.request() {
            let body = format!("{} {}", request.line(), request.field("x-token").unwrap_or("-"));
            let _ = conversation.write(format!(
                "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: https://wrong.example\r\nX-Total: 7\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            ));
        }
    })
}

#[test]
fn a_preflight_is_answered_and_the_application_does_not_see_it() {
    let dir = Dir::new();
    let origin = opinionated(&dir);
    let hash = super::auth::htpasswd("ann", "secret");
    let vestibule = start(
        &dir,
        &format!(
            "[[route]]\nauth = {{ users = {{ ann = \"{hash}\" }} }}\nupstream = \"app\"\n\
             cors = {{ origins = [\"https://app.example\"], methods = [\"PUT\"], fields = [\"X-Token\"], expose = [\"X-Total\"], credentials = true, age = \"10m\" }}\n"
        ),
    );
    let address = vestibule.address();
    for protocol in PROTOCOLS {
        let asked = [("Origin", "https://app.example"), ("Access-Control-Request-Method", "PUT")];
        let seen = ask(address, protocol, ("OPTIONS", "/x"), &asked);
        assert_eq!((seen.status, seen.body.as_str()), (204, ""));
        for (name, value) in [
            ("access-control-allow-origin", "https://app.example"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "GET, HEAD, POST, PUT"),
            ("access-control-allow-headers", "X-Token"),
            ("access-control-max-age", "600"),
            ("vary", "Origin"),
        ] {
            assert_eq!(seen.field(name), Some(value), "{seen:?}");
        }
        let other = [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "PUT")];
        let seen = ask(address, protocol, ("OPTIONS", "/x"), &other);
        assert_eq!((seen.status, seen.field("access-control-allow-origin")), (204, None));
        assert!(origin.requests().is_empty());
        // A script is to see that a password is wanted, too.
        let seen = get(address, protocol, "/x", &[("Origin", "https://app.example")]);
        assert_eq!(seen.status, 401);
        assert_eq!(seen.field("access-control-allow-origin"), Some("https://app.example"));
    }
    for protocol in PROTOCOLS {
        let fields = [("Origin", "https://app.example"), ("Authorization", "Basic YW5uOnNlY3JldA==")];
        let seen = get(address, protocol, "/x", &fields);
        assert_eq!(seen.status, 200);
        assert_eq!(seen.field("access-control-allow-origin"), Some("https://app.example"));
        assert_eq!(seen.field("access-control-expose-headers"), Some("X-Total"));
        // Without the two that a browser sends, OPTIONS is the application's.
        let options = ask(address, protocol, ("OPTIONS", "/x"), &fields);
        assert!(options.body.starts_with("OPTIONS /x"), "{options:?}");
    }
}

#[test]
fn a_browser_lets_the_script_of_a_named_origin_read_and_no_other() {
    let _turn = turn::heavy();
    let dir = Dir::new();
    let _origin = opinionated(&dir);
    // Two origins that differ in their port, as browsers count.
    let page = "<!doctype html><title>page</title><script>let saw = {};\\n\
        async function go(to) { try { const answer = await fetch(to, { method: 'PUT', headers: { 'X-Token': 't' } });\\n\
        saw.text = await answer.text(); saw.total = answer.headers.get('X-Total'); } catch (error) { saw.text = 'refused'; } }</script>";
    let sites: Vec<_> = ["one", "two"]
        .iter()
        .map(|name| {
            let dir = Dir::new();
            let routes = format!(
                "[[route]]\nrespond = {{ status = 200, body = \"{page}\", type = \"text/html\" }}\n[upstream.{name}]\naddress = \"unix:{}\"\n",
                dir.socket().display()
            );
            let vestibule = start(&dir, &routes);
            (dir, vestibule)
        })
        .collect();
    let named = format!("http://{}", sites[0].1.address());
    let api = start(
        &dir,
        &format!(
            "[[route]]\nupstream = \"app\"\ncors = {{ origins = [\"{named}\"], methods = [\"PUT\"], fields = [\"X-Token\"], expose = [\"X-Total\"] }}\n"
        ),
    );
    for (index, (text, total)) in
        [("PUT /data HTTP/1.1 t", Some("7")), ("refused", None)].into_iter().enumerate()
    {
        let (dir, site) = &sites[index];
        let mut browser = Browser::open(dir, &format!("http://{}/page", site.address()));
        until("the page", seconds(30), || browser.is_true("typeof go === 'function'").then_some(()));
        browser.run(&format!("void go('http://{}/data')", api.address()));
        let seen = until("an outcome", seconds(30), || {
            Some(browser.run("saw")).filter(|saw| saw["text"].is_string())
        });
        assert_eq!(seen["text"], text, "{seen}");
        assert_eq!(seen["total"].as_str(), total, "{seen}");
    }
}
