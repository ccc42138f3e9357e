//! The PROXY protocol: who the client is, from the proxies that may say so, and from nobody else.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::forwarding::connect;
use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::fake::{Fake, Request};
use crate::support::vestibule::{Vestibule, config};
use crate::support::wait::{seconds, until, until_true};

const GET: &str = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V1: &str = "PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n";

/// A configuration whose one listener asks for the header, of `trusted`.
fn settings(dir: &Dir, trusted: &str) -> String {
    let asking = config(dir, "").replace("[[listen]]\n", "[[listen]]\nproxy_protocol = true\n");
    format!("trusted_proxies = [{trusted}]\n{asking}")
}

fn start(dir: &Dir) -> (Vestibule, Fake) {
    let origin = Fake::echoing(&dir.socket());
    (Vestibule::start(dir, &settings(dir, "\"127.0.0.0/8\", \"10.0.0.0/8\"")), origin)
}

/// A header of version 2.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("a length").to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

/// Version 2 over IPv4 from 203.0.113.7, with these extensions.
fn v2_inet(extensions: &[u8]) -> Vec<u8> {
    let addresses = [203, 0, 113, 7, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb];
    v2(0x21, 0x11, &[&addresses[..], extensions].concat())
}

/// `PP2_TYPE_SSL` with these bits.
fn tls(bits: u8) -> Vec<u8> {
    [&[0x20, 0, 15, bits, 0, 0, 0, 0, 0x21, 0, 7][..], b"TLSv1.3"].concat()
}

/// Sends a header and then a request, and returns what the application got.
fn pass(vestibule: &Vestibule, origin: &Fake, header: &[u8], request: &str) -> Request {
    let before = origin.requests().len();
    let mut client = connect(vestibule);
    client.send([header, request.as_bytes()].concat()).expect("sent");
    let answer = client.response().expect("an answer");
    assert_eq!(answer.status, 200, "{:?}: {}", String::from_utf8_lossy(header), answer.text());
    // The connection is one like any other from now on.
    assert_eq!(client.get("/again").expect("an answer").text(), "/again");
    let requests = origin.requests();
    assert_eq!(requests.len(), before + 2, "exactly two requests reach the application");
    requests[before].clone()
}

#[test]
fn takes_the_client_from_the_header() {
    let dir = Dir::new();
    let (vestibule, origin) = start(&dir);
    let inet6 = {
        let source: std::net::Ipv6Addr = "2001:db8::7".parse().expect("an address");
        [&source.octets()[..], &[0; 16], &[0, 1, 0, 2]].concat()
    };
    let cases = [
        (V1.as_bytes().to_vec(), "203.0.113.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n".to_vec(), "2001:db8::7"),
        (b"PROXY TCP6 ::ffff:203.0.113.7 ::1 56324 443\r\n".to_vec(), "203.0.113.7"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v2_inet(&[]), "203.0.113.7"),
        (v2(0x21, 0x21, &inet6), "2001:db8::7"),
        (v2(0x20, 0x00, &[]), "127.0.0.1"),
        (v2(0x21, 0x31, &[0; 216]), "127.0.0.1"),
    ];
    for (header, client) in cases {
        let request = pass(&vestibule, &origin, &header, GET);
        assert_eq!(request.field("x-real-ip"), Some(client), "{header:x?}");
        assert_eq!(request.field("x-forwarded-for"), Some(client), "{header:x?}");
        assert_eq!(request.field("x-forwarded-proto"), Some("http"), "{header:x?}");
        vestibule.access_line("the client in the access log", |line| line["client"] == client);
    }
}

#[test]
fn tells_the_application_that_the_client_came_over_tls() {
    let dir = Dir::new();
    let (vestibule, origin) = start(&dir);
    for (bits, proto) in [(0x01, "https"), (0x07, "https"), (0x00, "http"), (0x02, "http")] {
        let request = pass(&vestibule, &origin, &v2_inet(&tls(bits)), GET);
        assert_eq!(request.field("x-forwarded-proto"), Some(proto), "{bits:x}");
    }
}

#[test]
fn decides_anew_whether_the_client_is_trusted() {
    let dir = Dir::new();
    let (vestibule, origin) = start(&dir);
    let request =
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.9\r\nX-Forwarded-Proto: https\r\n\r\n";
    let stranger = pass(&vestibule, &origin, V1.as_bytes(), request);
    assert_eq!(stranger.field("x-forwarded-for"), Some("203.0.113.7"));
    assert_eq!(stranger.field("x-forwarded-proto"), Some("http"));
    let proxy = pass(&vestibule, &origin, b"PROXY TCP4 10.0.0.9 198.51.100.1 1 2\r\n", request);
    assert_eq!(proxy.field("x-forwarded-for"), Some("198.51.100.9, 10.0.0.9"));
    assert_eq!(proxy.field("x-forwarded-proto"), Some("https"));
}

#[test]
fn serves_nothing_after_a_bad_header_or_none() {
    let dir = Dir::new();
    let (vestibule, origin) = start(&dir);
    let cases = [
        GET.as_bytes().to_vec(),
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_vec(),
        b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 198.51.100.1 56324\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 198.51.100.1 65536 443\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.07 198.51.100.1 1 443\r\n".to_vec(),
        b"PROXY TCP4 2001:db8::7 198.51.100.1 1 443\r\n".to_vec(),
        b"PROXY TCP5 203.0.113.7 198.51.100.1 1 443\r\n".to_vec(),
        [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat(),
        v2(0x11, 0x11, &[0; 12]),
        v2(0x22, 0x11, &[0; 12]),
        v2(0x21, 0x13, &[0; 12]),
        v2(0x21, 0x11, &[0; 11]),
        v2(0x21, 0x00, &[0; 5000]),
        v2_inet(&[0x20, 0, 9, 1]),
    ];
    for header in cases {
        let mut client = connect(&vestibule);
        client.send([&header[..], GET.as_bytes()].concat()).expect("sent");
        let answer = client.response().expect("an answer");
        assert_eq!(answer.status, 400, "{:?}", String::from_utf8_lossy(&header));
        assert!(answer.closes(), "{}", answer.head);
        assert!(client.is_closed());
    }
    assert_eq!(origin.requests().len(), 0, "something reached the application");
    vestibule.access_line("a line that says why", |line| {
        line["status"] == 400 && line["why"].as_str().is_some_and(|why| why.contains("PROXY protocol"))
    });
}

#[test]
fn knows_no_header_where_it_did_not_ask_for_one() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let trusting = format!("trusted_proxies = [\"127.0.0.0/8\"]\n{}", config(&dir, ""));
    let vestibule = Vestibule::start(&dir, &trusting);
    for header in [V1.as_bytes(), &v2_inet(&[])] {
        let mut client = connect(&vestibule);
        client.send([header, GET.as_bytes()].concat()).expect("sent");
        // A line of version 1 looks like a request of a version of HTTP that there is not.
        let status = client.response().expect("an answer").status;
        assert!(matches!(status, 400 | 505), "{status}");
    }
    // Nor a second one behind the first.
    let dir = Dir::new();
    let (asking, asked) = start(&dir);
    let mut client = connect(&asking);
    client.send(format!("{V1}{V1}{GET}")).expect("sent");
    let status = client.response().expect("an answer").status;
    assert!(matches!(status, 400 | 505), "{status}");
    assert_eq!(origin.requests().len() + asked.requests().len(), 0);
}

#[test]
fn closes_the_connections_of_strangers_at_once_and_says_so_once_in_a_while() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let vestibule = Vestibule::start(&dir, &settings(&dir, "\"192.0.2.0/24\""));
    for _ in 0..50 {
        let mut client = connect(&vestibule);
        // It may be closed already.
        let _ = client.send(format!("{V1}{GET}"));
        assert!(client.is_closed());
    }
    let told = || {
        let events = vestibule.events();
        events.into_iter().filter(|event| event.to_string().contains("trusted_proxies")).collect::<Vec<_>>()
    };
    until_true("an event that says why", seconds(30), || !told().is_empty());
    // The next report would come 10 s after the first; under load the 50 may take as long.
    assert!(told().len() <= 3, "{:?}", told());
    assert!(told()[0].to_string().contains("127.0.0.1"), "{}", told()[0]);
    assert_eq!(origin.requests().len(), 0);
    assert_eq!(vestibule.access_log().len(), 0, "a line for each");
}

#[test]
fn takes_a_header_that_comes_in_single_bytes() {
    let dir = Dir::new();
    let (vestibule, origin) = start(&dir);
    for header in [V1.as_bytes().to_vec(), v2_inet(&tls(1))] {
        let mut client = connect(&vestibule);
        for byte in [&header[..], GET.as_bytes()].concat() {
            client.send([byte]).expect("sent");
        }
        assert_eq!(client.response().expect("an answer").status, 200);
        let request = origin.requests().pop().expect("a request");
        assert_eq!(request.field("x-forwarded-for"), Some("203.0.113.7"));
    }
}

#[test]
fn serves_the_requests_that_come_with_the_header_in_their_order() {
    let dir = Dir::new();
    let (vestibule, origin) = start(&dir);
    let mut client = connect(&vestibule);
    let requests: String = (0..20).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send([&v2_inet(&tls(1))[..], requests.as_bytes()].concat()).expect("sent");
    for n in 0..20 {
        assert_eq!(client.response().expect("an answer").text(), format!("/{n}"));
    }
    assert_eq!(origin.requests().len(), 20);
    for request in origin.requests() {
        assert_eq!(request.field("x-forwarded-proto"), Some("https"));
        assert_eq!(request.field("x-forwarded-for"), Some("203.0.113.7"));
    }
}

#[test]
fn bounds_the_time_of_a_header_however_steadily_it_comes() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let limits = "[limits]\nrequest_timeout = \"1s\"\n";
    let vestibule = Vestibule::start(&dir, &format!("{}{limits}", settings(&dir, "\"127.0.0.0/8\"")));
    let header = v2(0x21, 0x00, &[0; 2000]);
    let mut stream = TcpStream::connect(vestibule.address()).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    let (start, mut answer, mut sent) = (Instant::now(), Vec::new(), 0);
    // A byte every 20 ms would take 40 s.
    while sent < header.len() {
        if stream.write_all(&header[sent..=sent]).is_err() {
            break;
        }
        sent += 1;
        let mut block = [0; 4096];
        match stream.read(&mut block) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&block[..count]),
            Err(_) => {}
        }
    }
    assert!(sent < header.len(), "the whole header was taken, in {:?}", start.elapsed());
    assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 408 "), "{answer:?}");
    // One that says nothing at all is closed without a word.
    assert!(connect(&vestibule).is_closed());
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn takes_headers_over_a_unix_socket() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let path = dir.join("front.sock");
    let settings =
        settings(&dir, "\"127.0.0.1\"").replace("127.0.0.1:0", &format!("unix:{}", path.display()));
    let _vestibule = Vestibule::start(&dir, &settings);
    let mut client = Client::connect_unix(&path).expect("a connection");
    client.send(format!("{V1}{GET}")).expect("sent");
    assert_eq!(client.response().expect("an answer").status, 200);
    assert_eq!(origin.requests()[0].field("x-forwarded-for"), Some("203.0.113.7"));
}

#[test]
fn takes_the_header_of_curl() {
    let dir = Dir::new();
    let (vestibule, origin) = start(&dir);
    let url = format!("http://{}/by-curl", vestibule.address());
    let curl = |more: &[&str]| {
        let output = Command::new("curl").args(["-sS", "--max-time", "20"]).args(more).arg(&url).output();
        String::from_utf8_lossy(&output.expect("curl: install Debian's package `curl`").stdout).into_owned()
    };
    assert_eq!(curl(&["--haproxy-protocol"]), "/by-curl");
    assert_eq!(origin.requests()[0].field("x-forwarded-for"), Some("127.0.0.1"));
    let status = curl(&["-o", "/dev/null", "-w", "%{http_code}"]);
    assert_eq!((status.as_str(), origin.requests().len()), ("400", 1), "without the header");
}

/// A running HAProxy, killed when it goes.
struct Haproxy {
    child: Child,
    address: SocketAddr,
}

impl Haproxy {
    /// In front of `vestibule`, in TCP mode; `bind` and `server` are added to the lines of that name.
    fn start(dir: &Dir, vestibule: &Vestibule, bind: &str, server: &str) -> Haproxy {
        // Free now, and hardly taken by another in the next moment.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
        let (file, behind) = (dir.join("haproxy.cfg"), vestibule.address());
        let text = format!(
            "defaults\n mode tcp\n timeout connect 10s\n timeout client 30s\n timeout server 30s\n\
             listen l\n bind {address} {bind}\n server s {behind} {server}\n"
        );
        fs::write(&file, text).expect("its configuration is written");
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        let mut command = Command::new("haproxy");
        command.env("PATH", path).arg("-db").arg("-f").arg(file).stdout(Stdio::null());
        let child = command.spawn().expect("haproxy: install Debian's package `haproxy`");
        let haproxy = Haproxy { child, address };
        until_true("HAProxy listens", seconds(20), || TcpStream::connect(address).is_ok());
        haproxy
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn takes_the_headers_of_haproxy() {
    for options in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"] {
        let dir = Dir::new();
        let (vestibule, origin) = start(&dir);
        // The address that HAProxy connects from is another than the client's: 127.0.0.1.
        let haproxy = Haproxy::start(&dir, &vestibule, "", &format!("source 127.0.0.9 {options}"));
        let mut client = Client::connect(haproxy.address).expect("a connection").patience(seconds(20));
        for path in ["/one", "/two"] {
            assert_eq!(client.get(path).expect("an answer").text(), path, "{options}");
        }
        for request in origin.requests() {
            assert_eq!(request.field("x-real-ip"), Some("127.0.0.1"), "{options}");
            assert_eq!(request.field("x-forwarded-proto"), Some("http"), "{options}");
        }
    }
}

#[test]
fn takes_the_health_checks_of_haproxy_for_no_clients() {
    for options in ["send-proxy", "send-proxy-v2"] {
        let dir = Dir::new();
        let (vestibule, origin) = start(&dir);
        let check = format!("source 127.0.0.9 {options} check check-send-proxy inter 100ms");
        let haproxy = Haproxy::start(&dir, &vestibule, "", &check);
        std::thread::sleep(seconds(1));
        // They did not take Vestibule for ill, and left no trace.
        assert_eq!(crate::support::client::get(haproxy.address, "/").status, 200, "{options}");
        assert_eq!(origin.requests().len(), 1, "{options}");
        vestibule.access_line("the request", |line| line["status"] == 200);
        assert_eq!(vestibule.access_log().len(), 1, "{options}: {:?}", vestibule.access_log());
    }
}

#[test]
fn hears_from_haproxy_that_the_client_came_over_tls() {
    let dir = Dir::new();
    let (vestibule, origin) = start(&dir);
    let (key, certificate, both) = (dir.join("key"), dir.join("certificate"), dir.join("both.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    openssl.args(["-days", "2", "-subj", "/CN=localhost", "-keyout"]).arg(&key).arg("-out").arg(&certificate);
    let made = openssl.output().expect("openssl: install Debian's package `openssl`");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = [fs::read(&certificate).expect("a certificate"), fs::read(&key).expect("a key")].concat();
    fs::write(&both, text).expect("written");
    let bind = format!("ssl crt {}", both.display());
    let haproxy = Haproxy::start(&dir, &vestibule, &bind, "send-proxy-v2-ssl-cn");
    let url = format!("https://{}/over-tls", haproxy.address);
    let output = until("curl gets its answer", seconds(20), || {
        let curl = Command::new("curl").args(["-sSk", "--max-time", "20", &url]).output();
        Some(curl.expect("curl: install Debian's package `curl`")).filter(|output| output.status.success())
    });
    assert_eq!(String::from_utf8_lossy(&output.stdout), "/over-tls");
    let request = origin.requests().pop().expect("a request");
    assert_eq!(request.field("x-forwarded-proto"), Some("https"));
}
