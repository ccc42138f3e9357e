//! What a route does with a request, over HTTP/1 and over HTTP/2.

use std::net::SocketAddr;

use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::h2::H2;
use crate::support::vestibule::Vestibule;

mod answers;
mod auth;
mod cors;
mod fields;
mod limits;
mod rate;
mod split;

/// An answer, whichever protocol it came by.
#[derive(Debug)]
struct Seen {
    status: u16,
    /// Names in lower case.
    fields: Vec<(String, String)>,
    body: String,
}

impl Seen {
    fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of the only field of this name.
    fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} came more than once: {self:?}");
        all.first().copied()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

const PROTOCOLS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

/// One request on a connection of its own.
fn ask(
    address: SocketAddr,
    protocol: Protocol,
    (method, path): (&str, &str),
    fields: &[(&str, &str)],
) -> Seen {
    match protocol {
        Protocol::Http1 => {
            let mut client = Client::connect(address).expect("a connection");
            let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            client
                .send(format!("{method} {path} HTTP/1.1\r\nHost: example.com\r\n{lines}\r\n"))
                .expect("sent");
            let answer = if method == "HEAD" { client.head_response() } else { client.response() };
            let answer = answer.expect("an answer");
            let lines = answer.head.lines().skip(1).filter_map(|line| line.split_once(": "));
            let fields = lines.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
            Seen { status: answer.status, fields, body: answer.text() }
        }
        Protocol::Http2 => {
            let mut client = H2::connect(address);
            let lower: Vec<_> = fields.iter().map(|(name, value)| (name.to_lowercase(), *value)).collect();
            let fields: Vec<_> = lower.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            let stream = client.request(method, path, &fields, true);
            let answer = client.answer(stream);
            Seen { status: answer.status(), fields: answer.head().to_vec(), body: answer.text() }
        }
    }
}

fn get(address: SocketAddr, protocol: Protocol, path: &str, fields: &[(&str, &str)]) -> Seen {
    ask(address, protocol, ("GET", path), fields)
}

/// A Vestibule that speaks both protocols, with these routes, before an application that answers with its name.
fn with_routes(dir: &Dir, routes: &str) -> (Vestibule, Fake) {
    let origin = Fake::start(&dir.socket(), |conversation| {
        while conversation.request().is_some() {
            conversation.answer("app");
        }
    });
    (start(dir, routes), origin)
}

/// The same without the application.
fn start(dir: &Dir, routes: &str) -> Vestibule {
    let config = format!(
        "workers = 2\n[[listen]]\naddress = \"127.0.0.1:0\"\nhttp2 = true\n[upstream.app]\naddress = \"unix:{}\"\n{routes}",
        dir.socket().display()
    );
    Vestibule::start(dir, &config)
}
