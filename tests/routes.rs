//! Which application a request goes to.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::h2::H2;
use crate::support::vestibule::{Vestibule, binary, told};

const NAMES: [&str; 3] = ["shop", "api", "rest"];

/// Three applications that answer with their name, and a Vestibule with these routes, to which this machine may name others as clients.
fn with_routes(dir: &Dir, routes: &str) -> (Vestibule, Vec<Fake>) {
    let mut config =
        "workers = 1\ntrusted_proxies = [\"127.0.0.1\"]\n[[listen]]\naddress = \"127.0.0.1:0\"\n".to_owned();
    let mut origins = Vec::new();
    for name in NAMES {
        let socket = dir.join(&format!("{name}.sock"));
        config += &format!("[upstream.{name}]\naddress = \"unix:{}\"\n", socket.display());
        origins.push(Fake::start(&socket, move |conversation| {
            while conversation.request().is_some() {
                conversation.answer(name);
            }
        }));
    }
    (Vestibule::start(dir, &(config + routes)), origins)
}

fn answer(address: SocketAddr, host: &str, path: &str) -> (u16, String) {
    answer_to(address, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n"))
}

/// The answer to a request with these lines.
fn answer_to(address: SocketAddr, lines: &str) -> (u16, String) {
    let mut client = Client::connect(address).expect("a connection");
    client.send(format!("{lines}\r\n")).expect("sent");
    let answer = client.response().expect("an answer");
    (answer.status, answer.text())
}

#[test]
fn chooses_by_host_and_path() {
    let dir = Dir::new();
    let (vestibule, _origins) = with_routes(
        &dir,
        "[[route]]\nhost = \"shop.example\"\nupstream = \"shop\"\n\
         [[route]]\nhost = \"shop.example\"\npath = \"/api/*\"\nupstream = \"api\"\n\
         [[route]]\nupstream = \"rest\"\n",
    );
    for (host, path, name) in [
        ("shop.example", "/", "shop"),
        ("SHOP.example:8080", "/x?y", "shop"),
        ("shop.example", "/api/things/1?x=/", "api"),
        ("shop.example", "/apiary", "shop"),
        ("other.example", "/api/things", "rest"),
        ("other.example", "/", "rest"),
    ] {
        assert_eq!(answer(vestibule.address(), host, path), (200, name.to_owned()), "{host}{path}");
    }
}

/// Where a request goes: its line and further fields, and the application that answers; none for 404.
#[track_caller]
fn assert_goes(vestibule: &Vestibule, request: &str, to: Option<&str>) {
    let lines = request.split('|').collect::<Vec<_>>().join("\r\n").replace("HTTP", "HTTP/1.1");
    let host = if request.contains("Host:") { "" } else { "Host: a.example\r\n" };
    let (status, text) = answer_to(vestibule.address(), &format!("{lines}\r\n{host}"));
    let expected = to.map_or(404, |_| 200);
    assert_eq!(status, expected, "{request}: {text}");
    if let Some(name) = to {
        assert_eq!(text, name, "{request}");
    }
}

#[test]
fn each_host_of_a_list_with_each_path_leads_to_the_same() {
    let dir = Dir::new();
    let (vestibule, _origins) = with_routes(
        &dir,
        "[[route]]\nhost = [\"shop.example\", \"*.shop.example\"]\npath = [\"/\", \"/cart/*\"]\nupstream = \"shop\"\n\
         [[route]]\nhost = \"api.shop.example\"\nupstream = \"api\"\n",
    );
    for (request, to) in [
        ("GET / HTTP|Host: shop.example", Some("shop")),
        ("GET /cart/1 HTTP|Host: shop.example", Some("shop")),
        ("GET /?a HTTP|Host: www.shop.example:8080", Some("shop")),
        ("GET /cart/ HTTP|Host: a.b.shop.example", Some("shop")),
        ("GET /cart HTTP|Host: shop.example", None),
        ("GET /cart/1 HTTP|Host: api.shop.example", Some("api")),
        ("GET / HTTP|Host: other.example", None),
    ] {
        assert_goes(&vestibule, request, to);
    }
}

#[test]
fn chooses_by_method_field_query_and_client() {
    let dir = Dir::new();
    let (vestibule, _origins) = with_routes(
        &dir,
        "[[route]]\nmethod = \"POST\"\nupstream = \"shop\"\n\
         [[route]]\nheader = { X-Beta = \"1\" }\nupstream = \"api\"\n\
         [[route]]\nheader = { Accept = '~ json', X-Not = false }\nupstream = \"api\"\n\
         [[route]]\nquery = { preview = true, \"a b\" = \"ü\" }\nupstream = \"api\"\n\
         [[route]]\nclient = \"10.0.0.0/8\"\nupstream = \"api\"\n\
         [[route]]\nmethod = \"GET\"\nupstream = \"rest\"\n",
    );
    for (request, to) in [
        ("GET / HTTP", Some("rest")),
        ("POST / HTTP|Content-Length: 0", Some("shop")),
        // One condition each: as they are written.
        ("POST / HTTP|Content-Length: 0|X-Beta: 1", Some("shop")),
        ("GET / HTTP|x-beta: 1", Some("api")),
        ("GET / HTTP|X-Beta: 11", Some("rest")),
        ("GET / HTTP|Accept: application/json", Some("api")),
        ("GET / HTTP|Accept: application/json|X-Not: ", Some("rest")),
        // Two conditions go before one.
        ("POST / HTTP|Content-Length: 0|Accept: application/json", Some("api")),
        ("GET /?preview&a+b=%C3%BC HTTP", Some("api")),
        ("GET /?a%20b=%c3%bc&preview=0 HTTP", Some("api")),
        ("GET /?preview&a+b=u HTTP", Some("rest")),
        ("GET / HTTP|X-Forwarded-For: 10.1.2.3", Some("api")),
        ("GET / HTTP|X-Forwarded-For: 11.1.2.3", Some("rest")),
        ("DELETE / HTTP", None),
        ("DELETE / HTTP|X-Forwarded-For: 10.1.2.3", Some("api")),
    ] {
        assert_goes(&vestibule, request, to);
    }
}

#[test]
fn chooses_by_glob_and_by_expression() {
    let dir = Dir::new();
    let (vestibule, _origins) = with_routes(
        &dir,
        "[[route]]\npath = '~ ^/u/(\\d+)$'\nupstream = \"shop\"\n\
         [[route]]\npath = '~ ^/u/'\nupstream = \"api\"\n\
         [[route]]\npath = \"/*/edit\"\nupstream = \"api\"\n\
         [[route]]\npath = \"/files/**/*.pdf\"\nupstream = \"shop\"\n\
         [[route]]\npath = \"/files/*\"\nupstream = \"rest\"\n\
         [[route]]\npath = \"/files/a.pdf\"\nupstream = \"api\"\n",
    );
    for (request, to) in [
        ("GET /u/17?x=y HTTP", Some("shop")),
        ("GET /u/17/ HTTP", Some("api")),
        ("GET /u/edit HTTP", Some("api")),
        ("GET /posts/edit HTTP", Some("api")),
        ("GET /posts/1/edit HTTP", None),
        ("GET /files/b.pdf HTTP", Some("shop")),
        ("GET /files/x/y/b.pdf HTTP", Some("shop")),
        ("GET /files/a.pdf HTTP", Some("api")),
        ("GET /files/edit HTTP", Some("rest")),
        // What it means, however it is written.
        ("GET /u%2F17 HTTP", Some("shop")),
        ("GET /x/../files/a HTTP", Some("rest")),
        ("GET http://a.example/u/3 HTTP", Some("shop")),
    ] {
        assert_goes(&vestibule, request, to);
    }
}

#[test]
fn the_route_is_found_alike_over_http2() {
    let dir = Dir::new();
    let socket = dir.join("app.sock");
    let _origin = Fake::start(&socket, |conversation| {
        while conversation.request().is_some() {
            conversation.answer("app");
        }
    });
    let vestibule = Vestibule::start(
        &dir,
        &format!(
            "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\nhttp2 = true\n[upstream.app]\naddress = \"unix:{}\"\n\
             [[route]]\nhost = \"example.com\"\npath = \"/x/*\"\nquery = {{ q = \"1\" }}\nheader = {{ Cookie = '~ b=2' }}\n\
             method = \"GET\"\nrespond = {{ body = \"found\" }}\n[[route]]\nupstream = \"app\"\n",
            socket.display()
        ),
    );
    let mut peer = H2::connect(vestibule.address());
    // Cookies may come apart there.
    for (cookies, expected) in
        [(["a=1", "b=2"], "found"), (["b=2; c", "a=1"], "found"), (["a=1", "b=3"], "app")]
    {
        let stream = peer.request("GET", "/x/y?q=1", &cookies.map(|cookie| ("cookie", cookie)), true);
        let answer = peer.answer(stream);
        assert_eq!((answer.status(), &*answer.text()), (200, expected), "{cookies:?}");
    }
}

#[test]
fn check_tells_routes_that_tie_and_what_the_rule_is_about() {
    let dir = Dir::new();
    let text = "[[route]]\nhost = [\"a.example\", \"b.example\"]\npath = \"/x/*\"\nmethod = [\"GET\", \"POST\"]\nrespond = 404\n\n\
                [[route]]\nhost = \"B.example\"\npath = [\"/y\", \"/x/*\"]\nmethod = [\"POST\", \"GET\"]\nrespond = 410\n\n\
                [[route]]\nhost = \"b.example\"\npath = \"/x/*\"\nmethod = \"get\"\nredirect = \"/z/$2\"\n";
    std::fs::write(dir.join("vestibule.toml"), text).expect("written");
    let mut check = Command::new(binary());
    check.arg("check").current_dir(dir.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let told = told(check);
    assert_eq!(told.status, Some(2), "{told:?}");
    for words in [
        "vestibule.toml:7:1: the route on line 1 has the same host and path",
        "give one of them a condition (method, header, query, client)",
        "vestibule.toml:16:10: there is no method \"get\"",
        "write \"GET\"",
        "vestibule.toml:17:12: the path `/x/*` catches no $2",
        "3 errors",
    ] {
        assert!(told.stderr.contains(words), "no {words:?} in {}", told.stderr);
    }
}

#[test]
fn answers_404_when_no_route_fits() {
    let dir = Dir::new();
    let (vestibule, origins) = with_routes(
        &dir,
        "[[route]]\nhost = \"shop.example\"\nupstream = \"shop\"\n[[route]]\npath = \"/api/*\"\nupstream = \"api\"\n",
    );
    assert_eq!(answer(vestibule.address(), "other.example", "/").0, 404);
    assert!(origins.iter().all(|origin| origin.requests().is_empty()));
    assert_eq!(answer(vestibule.address(), "other.example", "/api/x"), (200, "api".to_owned()));
}

#[test]
fn chooses_anew_for_each_request_of_a_connection() {
    let dir = Dir::new();
    let (vestibule, _origins) = with_routes(
        &dir,
        "[[route]]\npath = \"/shop/*\"\nupstream = \"shop\"\n[[route]]\npath = \"/api/*\"\nupstream = \"api\"\n",
    );
    let mut client = Client::connect(vestibule.address()).expect("a connection");
    for _ in 0..3 {
        assert_eq!(client.get("/shop/1").expect("an answer").text(), "shop");
        assert_eq!(client.get("/api/1").expect("an answer").text(), "api");
        assert_eq!(client.get("/none").expect("an answer").status, 404);
    }
}

#[test]
fn holds_for_one_application_while_others_answer() {
    let dir = Dir::new();
    let (vestibule, mut origins) = with_routes(
        &dir,
        "[[route]]\npath = \"/shop/*\"\nupstream = \"shop\"\n[[route]]\npath = \"/api/*\"\nupstream = \"api\"\n",
    );
    origins.remove(0).leave();
    let mut held = Client::connect(vestibule.address()).expect("a connection");
    held.send("GET /shop/held HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    for _ in 0..10 {
        assert_eq!(answer(vestibule.address(), "a", "/api/x"), (200, "api".to_owned()));
    }
    let _back = Fake::echoing(&dir.join("shop.sock"));
    assert_eq!(held.response().expect("an answer").text(), "/shop/held");
}

#[test]
fn serves_several_listeners_unix_sockets_too() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let public = dir.join("public.sock");
    let config = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[listen]]\naddress = \"unix:{}\"\n[upstream.app]\naddress = \"unix:{}\"\n",
        public.display(),
        dir.socket().display()
    );
    let vestibule = Vestibule::start(&dir, &config);
    assert_eq!(vestibule.addresses().len(), 2);
    assert_eq!(answer(vestibule.address(), "a", "/tcp"), (200, "/tcp".to_owned()));
    let mut client = Client::connect_unix(&public).expect("a connection");
    assert_eq!(client.get("/unix").expect("an answer").text(), "/unix");
}

/// Who guards a path guards it however it is written: applications and our own files take all of these for the same.
#[test]
fn a_path_has_the_route_of_what_it_means() {
    let dir = Dir::new();
    std::fs::create_dir_all(dir.join("public/private")).expect("directories");
    std::fs::write(dir.join("public/private/secret.txt"), "TOP SECRET").expect("written");
    let (vestibule, origins) = with_routes(
        &dir,
        &format!(
            "[[route]]\npath = [\"/admin/*\", \"/private/*\"]\ndeny = \"all\"\nupstream = \"api\"\n\
             [[route]]\ntry = [\"files\", \"upstream\"]\nfiles = {:?}\nupstream = \"rest\"\n",
            dir.join("public")
        ),
    );
    for path in [
        "/admin/secret",
        "//admin/secret",
        "/%61dmin/secret",
        "/admi%6E/secret",
        "/./admin/secret",
        "/x/../admin/secret",
        "/x/%2e%2e/admin/secret",
        "/x/..%2fadmin/secret",
        "/admin%2Fsecret",
        "/admin//secret",
        "/private/secret.txt",
        "/%70rivate/secret.txt",
        "/privat%65/secret.txt",
        "//private//secret.txt",
        "http://shop.example//private/./secret.txt",
    ] {
        let (status, text) = answer(vestibule.address(), "shop.example", path);
        assert_eq!(status, 403, "{path}: {text}");
    }
    assert!(origins.iter().all(|origin| origin.requests().is_empty()));
    let [first, ..] = &origins[..] else { panic!("there are three") };
    let other = Dir::new();
    let over_http2 = Vestibule::start(
        &other,
        &format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\nhttp2 = true\n[upstream.shop]\naddress = \"unix:{}\"\n\
             [[route]]\npath = \"/admin/*\"\ndeny = \"all\"\n[[route]]\nupstream = \"shop\"\n",
            dir.join("shop.sock").display()
        ),
    );
    let mut client = H2::connect(over_http2.address());
    for path in ["//admin/secret", "/%61dmin/secret", "/x/..%2fadmin/secret", "/admin%2Fsecret"] {
        assert_eq!(client.get(path).status(), 403, "{path} over HTTP/2");
    }
    assert!(first.requests().is_empty());
    // What goes on goes on as it was sent.
    for path in ["/Admin/x", "/administration", "/a%2Fb//c", "/admin%252Fx", "/caf%c3%a9"] {
        assert_eq!(answer(vestibule.address(), "shop.example", path), (200, "rest".to_owned()), "{path}");
    }
    let sent: Vec<_> = origins[2].requests().iter().map(|request| request.target().to_owned()).collect();
    assert_eq!(sent, ["/Admin/x", "/administration", "/a%2Fb//c", "/admin%252Fx", "/caf%c3%a9"]);
}
