//! Routes that answer by themselves: redirects, fixed answers, refusals by network; and those that rewrite.

use super::{PROTOCOLS, ask, get, with_routes};
use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::h2::H2;

#[test]
fn a_redirect_goes_where_it_says_with_what_was_caught() {
    let dir = Dir::new();
    let (vestibule, origin) = with_routes(
        &dir,
        r#"
[[route]]
path = "/old/*"
redirect = "https://www.example.com/new/$1"
[[route]]
host = "example.com"
path = "~ ^/u/(\\d+)/(\\w+)$"
redirect = { to = "/users/$1?tab=$2", status = 302 }
[[route]]
path = "/all/*"
redirect = "https://$host$uri"
[[route]]
path = "/here/*"
redirect = "/$1"
[[route]]
upstream = "app"
"#,
    );
    for protocol in PROTOCOLS {
        for (path, status, location) in [
            ("/old/a/b", 308, "https://www.example.com/new/a/b"),
            ("/old/%0d%0aSet-Cookie:%20a", 308, "https://www.example.com/new/%0D%0ASet-Cookie:%20a"),
            ("/u/17/posts", 302, "/users/17?tab=posts"),
            ("/all/x?y=1&z", 308, "https://example.com/all/x?y=1&z"),
            ("/here//evil.example/x", 308, "/evil.example/x"),
        ] {
            let seen = get(vestibule.address(), protocol, path, &[]);
            assert_eq!(
                (seen.status, seen.field("location")),
                (status, Some(location)),
                "{protocol:?} {path}"
            );
            assert_eq!(seen.field("set-cookie"), None);
        }
        assert_eq!(get(vestibule.address(), protocol, "/u/x/posts", &[]).body, "app");
    }
    assert_eq!(origin.requests().len(), PROTOCOLS.len());
}

#[test]
fn a_route_answers_by_itself_with_what_is_written() {
    let dir = Dir::new();
    std::fs::write(dir.join("down.html"), "<p>back soon").expect("a page");
    let (vestibule, origin) = with_routes(
        &dir,
        r#"
[[route]]
path = "/up"
respond = { status = 200, body = "fine\n", type = "text/plain" }
[[route]]
path = "/gone"
respond = 410
[[route]]
path = "/nothing"
respond = 204
[[route]]
path = "/down"
respond = { status = 503, body_file = "down.html", type = "text/html; charset=utf-8" }
[[route]]
upstream = "app"
"#,
    );
    let address = vestibule.address();
    for protocol in PROTOCOLS {
        let seen = get(address, protocol, "/up", &[]);
        assert_eq!((seen.status, seen.body.as_str()), (200, "fine\n"));
        assert_eq!(seen.field("content-type"), Some("text/plain"));
        assert_eq!(seen.field("cache-control"), None, "it may be kept");
        let head = ask(address, protocol, ("HEAD", "/up"), &[]);
        assert_eq!((head.status, head.field("content-length"), head.body.as_str()), (200, Some("5"), ""));
        let gone = get(address, protocol, "/gone", &[]);
        assert_eq!((gone.status, gone.field("cache-control")), (410, Some("no-store")));
        assert!(gone.body.contains("410 Gone"), "{gone:?}");
        let nothing = get(address, protocol, "/nothing", &[]);
        assert_eq!((nothing.status, nothing.field("content-length")), (204, None));
        let down = get(address, protocol, "/down", &[]);
        assert_eq!((down.status, down.body.as_str()), (503, "<p>back soon"));
        assert_eq!(down.field("content-type"), Some("text/html; charset=utf-8"));
    }
    assert!(origin.requests().is_empty());
    // An answer without a body leaves nothing on the connection.
    let mut client = Client::connect(address).expect("a connection");
    client.send("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\nGET /up HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    assert_eq!(client.response().expect("an answer").status, 204);
    assert_eq!(client.response().expect("an answer").text(), "fine\n");
}

#[test]
fn status_444_closes_without_a_word() {
    let dir = Dir::new();
    let (vestibule, _origin) =
        with_routes(&dir, "[[route]]\npath = \"/x\"\nrespond = 444\n[[route]]\nupstream = \"app\"\n");
    let mut client = Client::connect(vestibule.address()).expect("a connection");
    client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    assert!(client.is_closed());
    let line = vestibule.access_line("its line", |line| line["path"] == "/x");
    assert_eq!(line["status"], 444);
    let mut client = H2::connect(vestibule.address());
    let stream = client.request("GET", "/x", &[], true);
    let answer = client.answer(stream);
    assert!(answer.heads.is_empty() && answer.reset.is_some(), "{answer:?}");
    assert_eq!(client.get("/").text(), "app", "others of the connection go on");
}

#[test]
fn a_network_is_let_in_or_not() {
    let dir = Dir::new();
    let (vestibule, origin) = with_routes(
        &dir,
        r#"
trusted_proxies = ["127.0.0.0/8"]
[[route]]
path = "/inside"
allow = ["10.0.0.0/8", "2001:db8::/32"]
upstream = "app"
[[route]]
path = "/outside"
deny = ["10.0.0.0/8"]
upstream = "app"
[[route]]
path = "/nobody"
deny = ["all"]
upstream = "app"
[[route]]
path = "/some"
allow = ["10.1.0.0/16"]
deny = ["10.0.0.0/8"]
upstream = "app"
"#
        .replace("trusted_proxies = [\"127.0.0.0/8\"]\n", "")
        .as_str(),
    );
    for protocol in PROTOCOLS {
        for (path, status) in [("/inside", 403), ("/outside", 200), ("/nobody", 403), ("/some", 403)] {
            // What somebody says of himself does not count.
            let seen = get(vestibule.address(), protocol, path, &[("X-Forwarded-For", "10.1.0.1")]);
            assert_eq!(seen.status, status, "{path}");
        }
    }
    assert_eq!(origin.requests().len(), PROTOCOLS.len());
}

#[test]
fn the_client_behind_a_trusted_proxy_is_who_is_let_in() {
    let dir = Dir::new();
    let origin = crate::support::fake::Fake::echoing(&dir.socket());
    let config = format!(
        "trusted_proxies = [\"127.0.0.0/8\"]\n[[listen]]\naddress = \"127.0.0.1:0\"\nhttp2 = true\n\
         [upstream.app]\naddress = \"unix:{}\"\n[[route]]\nallow = [\"10.1.0.0/16\"]\ndeny = [\"10.0.0.0/8\"]\nupstream = \"app\"\n",
        dir.socket().display()
    );
    let vestibule = crate::support::vestibule::Vestibule::start(&dir, &config);
    for protocol in PROTOCOLS {
        for (client, status) in
            [("10.1.2.3", 200), ("10.2.0.1", 403), ("192.0.2.1", 403), ("10.1.2.3, 10.2.0.1", 403)]
        {
            let seen = get(vestibule.address(), protocol, "/", &[("X-Forwarded-For", client)]);
            assert_eq!(seen.status, status, "{client}");
        }
    }
    assert_eq!(origin.requests().len(), PROTOCOLS.len());
}

#[test]
fn a_rewritten_path_is_what_the_application_gets() {
    let dir = Dir::new();
    let (vestibule, origin) = with_routes(
        &dir,
        r#"
[[route]]
path = "/api/*"
strip = "/api"
upstream = "app"
[[route]]
path = "/v1/*"
rewrite = "/v2/$1"
upstream = "app"
[[route]]
path = "/find/*"
rewrite = "/search?q=$1"
upstream = "app"
"#,
    );
    let mut expected = Vec::new();
    for protocol in PROTOCOLS {
        for (path, target) in [
            ("/api/users/1?page=2", "/users/1?page=2"),
            ("/api/", "/"),
            // What is caught is of the path as routes see it, as with nginx.
            ("/v1/a%2Fb?x", "/v2/a/b?x"),
            ("//v1/./%61?x", "/v2/a?x"),
            ("/find/it?all=1", "/search?q=it"),
        ] {
            assert_eq!(get(vestibule.address(), protocol, path, &[]).status, 200, "{path}");
            expected.push(target);
        }
    }
    let requests = origin.requests();
    assert_eq!(requests.iter().map(|request| request.target()).collect::<Vec<_>>(), expected);
}

#[test]
fn refusals_have_the_operators_pages() {
    let dir = Dir::new();
    let page = |status: u16| {
        let path = dir.join(&format!("{status}.html"));
        std::fs::write(&path, format!("<p>own {status}")).expect("a page");
        format!("{status} = \"{}\"\n", path.display())
    };
    let pages = [401, 403, 429].map(page).concat();
    let hash = super::auth::htpasswd("ann", "secret");
    let (vestibule, _origin) = with_routes(
        &dir,
        &format!(
            "[[route]]\npath = \"/401\"\nauth = {{ users = {{ ann = \"{hash}\" }} }}\nupstream = \"app\"\n\
             [[route]]\npath = \"/403\"\ndeny = [\"all\"]\nupstream = \"app\"\n\
             [[route]]\npath = \"/429\"\nrate = {{ requests = 1, per = \"1h\" }}\nupstream = \"app\"\n\
             [error_pages]\n{pages}"
        ),
    );
    get(vestibule.address(), PROTOCOLS[0], "/429", &[]);
    for protocol in PROTOCOLS {
        for status in [401, 403, 429] {
            let seen = get(vestibule.address(), protocol, &format!("/{status}"), &[]);
            assert_eq!((seen.status, seen.body), (status, format!("<p>own {status}")));
            assert_eq!(seen.fields.iter().filter(|(name, _)| name == "cache-control").count(), 1);
        }
    }
}
