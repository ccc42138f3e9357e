//! `vestibule import`: a site is the same behind nginx and behind the configuration that is made of its nginx's file.

mod choice;
mod compared;

use std::fs;
use std::net::SocketAddr;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::browser::Browser;
use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::nginx::Nginx;
use crate::support::rails_site::RailsSite;
use crate::support::vestibule::{Told, Vestibule, binary, told};
use crate::support::wait::{seconds, until_true};

use compared::{Asked, assert_same};

/// `vestibule import` with these words.
fn import(words: &[&str]) -> Told {
    let mut command = Command::new(binary());
    command.arg("import").args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    told(command)
}

/// What it makes of an nginx's site file, on a port of its own.
fn imported(nginx: &Nginx) -> String {
    let made = import(&[nginx.site().to_str().expect("UTF-8")]);
    assert_eq!(made.status, Some(0), "{}", made.stderr);
    assert!(!made.stderr.contains("To be mended"), "{}", made.stderr);
    let address = format!("address = \"{}\"", nginx.address());
    assert_eq!(made.stdout.matches(&address).count(), 1, "{}", made.stdout);
    made.stdout.replace(&address, "address = \"127.0.0.1:0\"")
}

/// The Rails site behind both.
struct Both {
    vestibule: Vestibule,
    nginx: Nginx,
    site: RailsSite,
    dir: Dir,
}

impl Both {
    fn start() -> Both {
        let dir = Dir::new();
        let site = RailsSite::start(&dir);
        let nginx = Nginx::start(&dir, &site.nginx_site(&dir));
        // The page is read when the maintenance begins; `check` and `serve` want error pages to be there.
        fs::write(site.maintenance(), "").expect("written");
        fs::remove_file(site.maintenance()).expect("removed");
        let config = imported(&nginx);
        let vestibule = Vestibule::start(&dir, &config);
        Both { vestibule, nginx, site, dir }
    }

    fn addresses(&self) -> (SocketAddr, SocketAddr) {
        (self.nginx.address(), self.vestibule.address())
    }
}

#[test]
fn a_rails_site_is_the_same_behind_nginx_and_behind_what_import_makes_of_it() {
    let both = Both::start();
    let addresses = both.addresses();
    // All that differs at once; each says what as it panics.
    let all = Asked::all_of_a_site();
    let differ = all.iter().filter(|asked| catch_unwind(|| assert_same(addresses, asked)).is_err());
    assert_eq!(differ.collect::<Vec<_>>().len(), 0, "of {} answers", all.len());
    // What is compared is really what it should be, not the same fault twice.
    let body = |path: &str| {
        let mut client = Client::connect(addresses.1).expect("a connection");
        client.get(path).expect("an answer")
    };
    assert!(body("/").text().contains("<title>A site</title>"));
    assert!(body("/about").text().contains("About us"));
    assert!(body("/told").text().contains("HTTP_X_SITE=front"));
    assert_eq!(body("/large.bin").body, both.site.public("large.bin"));
    assert_eq!(body("/report").body.len(), 200_009);
    assert_eq!(body("/boom").status, 500);
}

#[test]
fn both_show_the_maintenance_page_and_go_on_after_it() {
    let both = Both::start();
    let addresses = both.addresses();
    let page = "<!doctype html><title>Back soon</title>\n";
    let beside = both.site.maintenance().with_extension("new");
    fs::write(&beside, page).expect("written");
    fs::rename(&beside, both.site.maintenance()).expect("moved");
    let answer = |address| {
        let mut client = Client::connect(address).expect("a connection");
        client.get("/plain").expect("an answer")
    };
    for address in [addresses.0, addresses.1] {
        until_true("the maintenance page", seconds(30), || {
            let answer = answer(address);
            answer.status == 503 && answer.text() == page
        });
    }
    fs::remove_file(both.site.maintenance()).expect("removed");
    for address in [addresses.0, addresses.1] {
        until_true("the site again", seconds(30), || answer(address).status == 200);
    }
}

#[test]
fn a_websocket_says_the_same_through_both() {
    let both = Both::start();
    let (nginx, vestibule) = both.addresses();
    assert_eq!(cable(nginx), cable(vestibule));
    assert!(cable(vestibule).iter().any(|message| message.contains("over the cable")));
}

/// What ActionCable says to a client that subscribes and speaks once, but for its pings.
fn cable(address: SocketAddr) -> Vec<String> {
    let mut client = Client::connect(address).expect("a connection");
    client
        .send(format!(
            "GET /cable HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dmVzdGlidWxlLXRlc3RzIQ==\r\nSec-WebSocket-Protocol: actioncable-v1-json\r\nOrigin: http://{address}\r\n\r\n"
        ))
        .expect("sent");
    let head = client.response_head().expect("an answer");
    assert_eq!(head.status, 101, "{}", head.head);
    assert_eq!(head.field("sec-websocket-protocol"), Some("actioncable-v1-json"));
    let identifier = r#"{\"channel\":\"EchoChannel\",\"name\":\"tester\"}"#;
    let mut heard = Vec::new();
    let subscribe = format!(r#"{{"command":"subscribe","identifier":"{identifier}"}}"#);
    let say = format!(
        r#"{{"command":"message","identifier":"{identifier}","data":"{{\"action\":\"say\",\"text\":\"over the cable\"}}"}}"#
    );
    for (wanted, then) in
        [("\"welcome\"", Some(subscribe)), ("confirm_subscription", Some(say)), ("over the cable", None)]
    {
        loop {
            let message = frame(&mut client);
            if message.contains("\"ping\"") {
                continue;
            }
            let is_it = message.contains(wanted);
            heard.push(message);
            if is_it {
                break;
            }
        }
        if let Some(text) = then {
            client.send(masked(&text)).expect("sent");
        }
    }
    // The greeting of the channel and its confirmation come in the order of two threads.
    heard.sort();
    heard
}

/// A text frame of the server's (RFC 6455 5.2).
fn frame(client: &mut Client<std::net::TcpStream>) -> String {
    let head = client.exact(2).expect("a frame");
    assert_eq!(head[0], 0x81, "a whole text message");
    let length = match head[1] {
        126 => {
            let bytes = client.exact(2).expect("a length");
            usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))
        }
        short => usize::from(short),
    };
    String::from_utf8(client.exact(length).expect("a message")).expect("UTF-8")
}

/// A text frame of a client's, whose mask is zero.
fn masked(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(short @ 0..=125) => frame.push(0x80 | short),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(text.len()).expect("a short text").to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

#[test]
fn a_browser_sees_the_same_site_through_both() {
    let both = Both::start();
    let (nginx, vestibule) = both.addresses();
    let seen = [nginx, vestibule].map(|address| {
        let browser_dir = Dir::new();
        let mut browser = Browser::open(&browser_dir, &format!("http://{address}/"));
        until_true("the page's script is through", seconds(60), || {
            let done = "['cable', 'fetched'].every((id) => document.getElementById(id)?.textContent)";
            browser.is_true(&format!("{done} && document.readyState === 'complete' && !!document.getElementById('picture').naturalWidth"))
        });
        let page = browser.run("document.documentElement.outerHTML");
        let color = browser.run("getComputedStyle(document.getElementById('title')).color");
        let loaded = browser.run(
            "performance.getEntriesByType('resource').map((entry) => `${new URL(entry.name).pathname} ${entry.responseStatus} ${entry.decodedBodySize}`).sort().join('\\n')",
        );
        [page, color, loaded].map(|value| value.as_str().unwrap_or_default().replace(&address.to_string(), "HOST"))
    });
    assert_eq!(seen[0], seen[1]);
    let [page, color, loaded] = &seen[1];
    assert_eq!(color, "rgb(12, 34, 56)");
    assert!(page.contains("grüß Gott") && page.contains("long.txt 100000"), "{page}");
    assert!(loaded.contains("/shown 200"), "{loaded}");
    drop(both.dir);
}

#[test]
fn writes_a_file_that_check_takes() {
    let dir = Dir::new();
    let site = "upstream app { server unix:/run/app.sock; }\nserver {\nlisten 127.0.0.1:8080;\nlocation / { proxy_pass http://app; proxy_set_header Host $host; }\nsub_filter a b;\n}\n";
    fs::write(dir.join("site.conf"), site).expect("written");
    let (from, to) = (dir.join("site.conf"), dir.join("vestibule.toml"));
    let words = [from.to_str().expect("UTF-8"), "--output", to.to_str().expect("UTF-8")];
    let made = import(&words);
    assert_eq!((made.status, made.stdout.as_str()), (Some(0), ""), "{}", made.stderr);
    assert!(made.stderr.contains("site.conf:5: sub_filter a b;"), "{}", made.stderr);
    assert!(made.stderr.contains("1 directive is not carried over"), "{}", made.stderr);
    let mut check = Command::new(binary());
    check.args(["check", "--config"]).arg(&to);
    check.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let checked = told(check);
    assert_eq!(checked.status, Some(0), "{}\n{}", checked.stderr, fs::read_to_string(&to).expect("written"));
    // What somebody has worked on is not written over.
    let before = fs::read_to_string(&to).expect("written");
    let again = import(&words);
    assert_eq!(again.status, Some(2), "{}", again.stderr);
    assert_eq!(fs::read_to_string(&to).expect("still there"), before);
}

#[test]
fn says_what_cannot_be_read() {
    let dir = Dir::new();
    let nowhere = import(&[dir.join("nowhere.conf").to_str().expect("UTF-8")]);
    assert_eq!(nowhere.status, Some(2));
    assert!(nowhere.stderr.contains("nowhere.conf: No such file"), "{}", nowhere.stderr);
    let broken = dir.join("broken.conf");
    fs::write(&broken, "server {\n  listen 80\n}\n").expect("written");
    let refused = import(&[broken.to_str().expect("UTF-8")]);
    assert_eq!((refused.status, refused.stdout.as_str()), (Some(2), ""));
    assert!(refused.stderr.contains("broken.conf:2: `listen` is not ended by a `;`"), "{}", refused.stderr);
    let directory = import(&[Path::new(dir.path()).to_str().expect("UTF-8")]);
    assert_eq!(directory.status, Some(2), "{}", directory.stderr);
}
