//! Bodies both ways, and what is no request any more.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustls::ProtocolVersion;

use crate::support::certificates::Kind;
use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::tls::{NAME, Speaker, certified, tls_config};
use crate::support::vestibule::Vestibule;
use crate::support::wait::{seconds, until_true};

/// A body that shows what is lost, doubled or moved.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 7 + at % 251) as u8).collect()
}

/// An application that answers with what it was sent.
fn mirror(dir: &Dir) -> Fake {
    Fake::start(&dir.socket(), |conversation| {
        while let Some(request) = conversation.request() {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len());
            let _ = conversation.write([head.as_bytes(), &request.body].concat());
        }
    })
}

#[test]
fn carries_bodies_of_any_length_both_ways() {
    let dir = Dir::new();
    let _origin = mirror(&dir);
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    for version in [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3] {
        let mut client =
            Speaker::new(&authority).version(version).connect(vestibule.address()).expect("a handshake");
        // Around the size of a record, of what is read at once, of what is encrypted at once, and of what goes to disk.
        for length in [0, 1, 4095, 16_383, 16_384, 16_385, 65_535, 65_537, 300_000, 5_000_000] {
            let body = pattern(length);
            let answer = client.post("/", &body).expect("an answer");
            assert!(answer.status == 200 && answer.body == body, "{length} bytes of {version:?}");
        }
    }
}

#[test]
fn takes_records_of_any_length_and_however_they_are_cut() {
    let dir = Dir::new();
    let _origin = mirror(&dir);
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    let settings = Speaker::new(&authority).settings();
    let mut socket = std::net::TcpStream::connect(vestibule.address()).expect("connected");
    socket.set_nodelay(true).expect("no delay");
    let name = rustls::pki_types::ServerName::try_from(NAME).expect("a name");
    let mut tls = rustls::ClientConnection::new(settings, name).expect("settings");
    while tls.is_handshaking() {
        tls.complete_io(&mut socket).expect("a handshake");
    }
    let body = pattern(40_000);
    let request =
        [format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), &body]
            .concat();
    let mut wire = Vec::new();
    let mut rest = &request[..];
    for length in [1, 2, 3, 50, 700, 9_000, 16_000].iter().cycle() {
        let (piece, after) = rest.split_at(rest.len().min(*length));
        tls.writer().write_all(piece).expect("encrypted");
        while tls.wants_write() {
            tls.write_tls(&mut wire).expect("in memory");
        }
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    // Cut where no record ends.
    let mut random = fastrand::Rng::with_seed(7);
    let mut rest = &wire[..];
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(random.usize(1..5_000)));
        socket.write_all(piece).expect("sent");
        rest = after;
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut client = Client::over(rustls::StreamOwned::new(tls, socket));
    assert!(client.response().expect("an answer").body == body);
}

/// A record is the least that a client can use: the head of an answer without its body would be worth nothing.
#[test]
fn sends_a_small_answer_in_one_record() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    let mut client = Speaker::new(&authority).connect(vestibule.address()).expect("a handshake");
    // Tickets come with the first.
    assert_eq!(client.get("/first").expect("an answer").status, 200);
    client.send("GET /second HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let mut stream = client.into_stream();
    let mut wire = vec![0; 4096];
    let count = stream.sock.read(&mut wire).expect("bytes");
    let [kind, _, _, high, low] = wire[..5] else { panic!("five bytes") };
    assert_eq!(
        (kind, count),
        (23, 5 + usize::from(u16::from_be_bytes([high, low]))),
        "one record, and all of it"
    );
    stream.conn.read_tls(&mut &wire[..count]).expect("in memory");
    stream.conn.process_new_packets().expect("a record");
    let mut answer = Client::over(stream);
    assert_eq!(answer.response().expect("an answer").text(), "/second");
}

#[test]
fn answers_what_was_sent_ahead_in_order() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    let mut client = Speaker::new(&authority).connect(vestibule.address()).expect("a handshake");
    let ahead: String = (0..300).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(ahead).expect("sent");
    for n in 0..300 {
        assert_eq!(client.response().expect("an answer").text(), format!("/{n}"));
    }
}

#[test]
fn a_client_that_takes_its_time_keeps_nobody_else_waiting() {
    let dir = Dir::new();
    let body = pattern(8_000_000);
    let theirs = body.clone();
    let _origin = Fake::start(&dir.socket(), move |conversation| {
        while let Some(request) = conversation.request() {
            if request.target() == "/large" {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", theirs.len());
                let _ = conversation.write([head.as_bytes(), &theirs].concat());
            } else {
                conversation.answer("small");
            }
        }
    });
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    let speaker = Speaker::new(&authority);
    let mut slow = speaker.connect(vestibule.address()).expect("a handshake");
    slow.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let head = slow.response_head().expect("a head");
    for _ in 0..20 {
        let mut quick = speaker.connect(vestibule.address()).expect("a handshake");
        assert_eq!(quick.get("/small").expect("an answer").text(), "small");
    }
    assert!(slow.body(head, false).expect("the rest").body == body);
}

#[test]
fn a_client_that_takes_nothing_is_let_go() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        while conversation.request().is_some() {
            let body = vec![b'x'; 30_000_000];
            let _ = conversation.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
            let _ = conversation.write(body);
        }
    });
    let authority = certified(&dir, Kind::Ecdsa);
    let config = format!("{}[limits]\nsend_timeout = \"1s\"\n", tls_config(&dir, ""));
    let vestibule = Vestibule::start(&dir, &config);
    let mut client = Speaker::new(&authority).connect(vestibule.address()).expect("a handshake");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let line = vestibule.access_line("the client is let go", |line| line["outcome"] == "client_slow");
    assert_eq!(line["status"], 200, "{line}");
    // What it reads afterwards does not look whole.
    assert!(client.response().is_err());
}

#[test]
fn carries_a_tunnel() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        let Some(_head) = conversation.head() else { return };
        let _ = conversation
            .write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
        while let Some(word) = conversation.exact(5) {
            let _ = conversation.write(word);
        }
    });
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    let mut client = Speaker::new(&authority).connect(vestibule.address()).expect("a handshake");
    client
        .send("GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        .expect("sent");
    assert_eq!(client.response_head().expect("an answer").status, 101);
    for word in ["hello", "again", "alive"] {
        client.send(word).expect("sent");
        assert_eq!(client.exact(5).expect("an echo"), word.as_bytes());
    }
    let before = vestibule.open_files();
    drop(client);
    until_true("both sides are closed", seconds(20), || vestibule.open_files() <= before - 2);
}

/// Runs curl, which verifies the certificate against the authority in `dir`.
fn curl(dir: &Dir, vestibule: &Vestibule, words: &[&str]) -> Vec<u8> {
    let port = vestibule.address().port();
    let output = Command::new("curl")
        .args(["-sS", "--fail", "--http1.1", "--max-time", "60", "--cacert"])
        .arg(dir.join("ca.pem"))
        .args(["--resolve", &format!("{NAME}:{port}:127.0.0.1")])
        .args(words)
        .arg(format!("https://{NAME}:{port}/"))
        .output()
        .expect("curl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn serves_real_programs() {
    let dir = Dir::new();
    let _origin = mirror(&dir);
    let _authority = certified(&dir, Kind::Rsa);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    let body = pattern(2_000_000);
    std::fs::write(dir.join("body"), &body).expect("written");
    let file = format!("@{}", dir.join("body").display());
    for version in [["--tls-max", "1.2"], ["--tlsv1.3", "-4"]] {
        let back = curl(&dir, &vestibule, &[version[0], version[1], "--data-binary", &file]);
        assert!(back == body, "{version:?}");
    }
    // With its own keys changed in between, and a request behind that.
    let mut openssl = Command::new("openssl")
        .args(["s_client", "-quiet", "-verify_return_error", "-tls1_3", "-servername", NAME, "-CAfile"])
        .arg(dir.join("ca.pem"))
        .args(["-connect", &vestibule.address().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    let mut input = openssl.stdin.take().expect("stdin");
    input.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("written");
    let mut text = String::new();
    openssl.stdout.take().expect("stdout").read_to_string(&mut text).expect("read");
    let _ = openssl.wait();
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
}
