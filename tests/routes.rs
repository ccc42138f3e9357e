//! Which application a request goes to.

use std::net::SocketAddr;

use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::vestibule::Vestibule;

const NAMES: [&str; 3] = ["shop", "api", "rest"];

/// Three applications that answer with their name, and a Vestibule with these routes.
fn with_routes(dir: &Dir, routes: &str) -> (Vestibule, Vec<Fake>) {
    let mut config = "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n".to_owned();
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
    let mut client = Client::connect(address).expect("a connection");
    client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).expect("sent");
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
