//! A real browser: headless Chromium, asked over its DevTools protocol (JSON in WebSocket messages).

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::client::Client;
use super::dir::Dir;
use super::wait::{seconds, until};

/// What keeps it from needing a display, a sandbox that root may not have, or the network.
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
];

/// A browser with one page. It is killed when it goes.
pub(crate) struct Browser {
    _child: Killed,
    socket: TcpStream,
    asked: u64,
}

impl Browser {
    /// Starts it with this page.
    pub(crate) fn open(dir: &Dir, url: &str) -> Browser {
        Browser::open_by(Command::new("chromium"), dir, url)
    }

    /// The same for a user whose home is at `home`: it believes the authorities that are kept there.
    pub(crate) fn open_at_home(home: &Path, dir: &Dir, url: &str) -> Browser {
        let mut command = Command::new("chromium");
        command.env("HOME", home);
        Browser::open_by(command, dir, url)
    }

    /// The same for a page over TLS, by a certificate of an authority that the browser does not know. `pin` is the SHA-256 of its
    /// public key, in base64; any other certificate stays as wrong as it is.
    pub(crate) fn open_pinned(dir: &Dir, url: &str, pin: &str) -> Browser {
        let mut command = Command::new("chromium");
        command.arg(format!("--ignore-certificate-errors-spki-list={pin}"));
        Browser::open_by(command, dir, url)
    }

    fn open_by(mut command: Command, dir: &Dir, url: &str) -> Browser {
        let profile = dir.join("browser");
        command.args(FLAGS).arg(format!("--user-data-dir={}", profile.display())).arg(url);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("chromium is missing, or cannot be started: run `make deps`");
        let child = Killed(child);
        let port_file = profile.join("DevToolsActivePort");
        let address = until("Chromium's DevTools", seconds(60), || {
            let written = fs::read_to_string(&port_file).ok()?;
            Some(SocketAddr::from(([127, 0, 0, 1], written.lines().next()?.parse().ok()?)))
        });
        let path = until("the page in Chromium", seconds(60), || page(address, url));
        let socket = connect(address, &path);
        Browser { _child: child, socket, asked: 0 }
    }

    /// The number in the element with this id.
    pub(crate) fn number(&mut self, id: &str) -> u64 {
        let text = self.run(&format!("document.getElementById('{id}')?.textContent"));
        let text = text.as_str().unwrap_or("0").replace(',', "");
        text.parse().unwrap_or_else(|_| panic!("{id} is {text:?}"))
    }

    /// Whether the expression is true.
    pub(crate) fn is_true(&mut self, expression: &str) -> bool {
        self.run(expression).as_bool().unwrap_or_else(|| panic!("neither true nor false: {expression}"))
    }

    /// Evaluates an expression in the page.
    pub(crate) fn run(&mut self, expression: &str) -> Value {
        self.asked += 1;
        let id = self.asked;
        let parameters = json!({ "expression": expression, "returnByValue": true });
        let call = json!({ "id": id, "method": "Runtime.evaluate", "params": parameters });
        self.send(call.to_string().as_bytes());
        loop {
            let message: Value = serde_json::from_slice(&self.receive()).expect("JSON");
            if message["id"] == id {
                let result = &message["result"];
                assert!(result["exceptionDetails"].is_null(), "{expression}: {message}");
                return result["result"]["value"].clone();
            }
        }
    }

    /// One text frame (RFC 6455 5.2); a client masks, and zero is a mask too.
    fn send(&mut self, payload: &[u8]) {
        let mut frame = vec![0x81];
        match payload.len() {
            length @ 0..=125 => frame.push(0x80 | length as u8),
            length => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(length).expect("a short expression").to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.socket.write_all(&frame).expect("Chromium listens");
    }

    fn receive(&mut self) -> Vec<u8> {
        let [first, length] = self.exact();
        assert_eq!(first, 0x81, "a whole text message");
        let length = match length {
            126 => u64::from(u16::from_be_bytes(self.exact())),
            127 => u64::from_be_bytes(self.exact()),
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).expect("a length")];
        self.socket.read_exact(&mut payload).expect("Chromium answers");
        payload
    }

    fn exact<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.socket.read_exact(&mut bytes).expect("Chromium answers");
        bytes
    }
}

/// A child that is killed when it goes, whatever went wrong.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The WebSocket's path for the page at this address, once there is one.
fn page(address: SocketAddr, url: &str) -> Option<String> {
    let mut client = Client::connect(address).ok()?;
    client.send(format!("GET /json/list HTTP/1.1\r\nHost: {address}\r\n\r\n")).ok()?;
    let pages: Value = serde_json::from_slice(&client.response().ok()?.body).ok()?;
    let page = pages.as_array()?.iter().find(|page| page["url"] == url)?;
    let socket = page["webSocketDebuggerUrl"].as_str()?;
    Some(socket.strip_prefix(&format!("ws://{address}"))?.to_owned())
}

fn connect(address: SocketAddr, path: &str) -> TcpStream {
    let mut client = Client::connect(address).expect("Chromium listens");
    let key = "Sec-WebSocket-Key: dmVzdGlidWxlLXRlc3RzIQ==\r\nSec-WebSocket-Version: 13";
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade";
    client
        .send(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{upgrade}\r\n{key}\r\n\r\n"))
        .expect("Chromium listens");
    let answer = client.response_head().expect("an answer");
    assert_eq!(answer.status, 101, "{}", answer.head);
    // Nothing comes before the first call, so that nothing of it can have been read already.
    client.stream().try_clone().expect("the connection")
}
