//! What a handshake agrees on, and what comes instead of one.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use rustls::ProtocolVersion;

use crate::support::certificates::Kind;
use crate::support::client::Client;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::tls::{NAME, Speaker, certified, over, tls_config, with_tls};
use crate::support::vestibule::{Vestibule, binary, config};
use crate::support::wait::{seconds, until_true};

#[test]
fn answers_over_both_versions_and_says_so_to_the_application() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    for version in [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3] {
        let mut client =
            Speaker::new(&authority).version(version).connect(vestibule.address()).expect("a handshake");
        for path in ["/first", "/second"] {
            assert_eq!(client.get(path).expect("an answer").text(), path);
        }
        assert_eq!(client.stream().conn.protocol_version(), Some(version));
    }
    for request in origin.requests() {
        assert_eq!(request.field("x-forwarded-proto"), Some("https"));
        // What Rails' force_ssl redirects by.
        assert_eq!(request.field("x-forwarded-host"), Some("example.com"));
    }
}

#[test]
fn speaks_rsa_where_the_key_is_rsa() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Rsa);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    for version in [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3] {
        let mut client =
            Speaker::new(&authority).version(version).connect(vestibule.address()).expect("a handshake");
        assert_eq!(client.get("/").expect("an answer").status, 200);
    }
}

#[test]
fn shows_the_certificate_of_the_name_that_is_asked_for() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let other = authority.server(&["other.example", "*.wild.example"], Kind::Ecdsa);
    let (certificate, key) = other.write(dir.path(), "other");
    let first =
        format!("{{ certificate = {:?}, key = {:?} }}", dir.join("server.pem"), dir.join("server.key"));
    let tls =
        format!("tls = {{ certificates = [{first}, {{ certificate = {certificate:?}, key = {key:?} }}] }}");
    let vestibule = Vestibule::start(
        &dir,
        &config(&dir, "").replacen("[[listen]]\n", &format!("[[listen]]\n{tls}\n"), 1),
    );
    let settings = Speaker::new(&authority).settings();
    // The client verifies the name.
    for name in [NAME, "other.example", "a.wild.example", "127.0.0.1"] {
        let socket = TcpStream::connect(vestibule.address()).expect("connected");
        let mut client =
            over(socket, settings.clone(), name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(client.get("/").expect("an answer").status, 200);
    }
    let socket = TcpStream::connect(vestibule.address()).expect("connected");
    assert!(over(socket, settings, "a.b.wild.example").is_err());
}

#[test]
fn agrees_on_http_1_where_nothing_else_is_configured() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let config = tls_config(&dir, "").replacen("tls =", "http2 = false\ntls =", 1);
    let vestibule = Vestibule::start(&dir, &config);
    let speaker = Speaker::new(&authority);
    let mut client =
        speaker.clone().protocols(&["h2", "http/1.1"]).connect(vestibule.address()).expect("a handshake");
    assert_eq!(client.stream().conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(client.get("/").expect("an answer").status, 200);
    // RFC 7301 3.2: nothing in common is an error, and not a guess.
    assert!(speaker.protocols(&["spdy/3"]).connect(vestibule.address()).is_err());
}

#[test]
fn tells_who_speaks_plain_http_to_it_what_to_do() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let _authority = certified(&dir, Kind::Ecdsa);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    for rest in ["", "Content-Length: 100000\r\n"] {
        let mut client = Client::connect(vestibule.address()).expect("connected");
        let body = if rest.is_empty() { String::new() } else { "x".repeat(100_000) };
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{rest}\r\n{body}")).expect("sent");
        let answer = client.response().expect("an answer in the clear");
        assert_eq!((answer.status, answer.closes()), (400, true), "{}", answer.head);
        assert!(answer.text().contains("This port speaks HTTPS"), "{}", answer.text());
        assert!(client.is_closed());
    }
    let line = vestibule.access_line("the refused request", |line| line["status"] == 400);
    assert!(line.to_string().contains("plain HTTP"), "{line}");
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn ends_what_is_no_handshake_and_counts_it() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    let rubbish: [&[u8]; 5] = [
        &[0; 64],
        &[0xff; 64],
        // A handshake's record whose message is none.
        &[22, 3, 1, 0, 4, 1, 0, 0, 0],
        // One that is too long.
        &[22, 3, 1, 0xff, 0xff, 1, 0, 0, 0],
        b"\x80\x2e\x01\x03\x01 as SSL 2 began",
    ];
    for bytes in rubbish {
        let mut socket = TcpStream::connect(vestibule.address()).expect("connected");
        socket.set_read_timeout(Some(seconds(20))).expect("a timeout");
        socket.write_all(bytes).expect("sent");
        socket.shutdown(Shutdown::Write).expect("half-closed");
        let mut told = Vec::new();
        socket.read_to_end(&mut told).expect("an end, and no reset");
        // A fatal alert in the clear, or nothing.
        assert!(told.is_empty() || (told.len() == 7 && told.starts_with(&[21, 3])), "{bytes:?}: {told:?}");
    }
    // Those who come and go without a word are not counted: health checks do.
    drop(TcpStream::connect(vestibule.address()).expect("connected"));
    let count = || {
        let events = vestibule.events();
        let failed = events.iter().filter(|event| event.to_string().contains("TLS handshakes failed"));
        failed
            .map(|event| event["count"].as_u64().or(event["fields"]["count"].as_u64()).expect("a count"))
            .sum::<u64>()
    };
    until_true("they are counted in the log", seconds(30), || count() == rubbish.len() as u64);
    let mut client = Speaker::new(&authority).connect(vestibule.address()).expect("a handshake");
    assert_eq!(client.get("/").expect("an answer").status, 200);
}

#[test]
fn a_handshake_has_a_time_limit() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let _authority = certified(&dir, Kind::Ecdsa);
    let config = format!("{}[limits]\nhandshake_timeout = \"1s\"\n", tls_config(&dir, ""));
    let vestibule = Vestibule::start(&dir, &config);
    let start = Instant::now();
    let sent: [&[u8]; 3] = [b"", &[22], &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]];
    let mut sockets = sent.map(|bytes| {
        let mut socket = TcpStream::connect(vestibule.address()).expect("connected");
        socket.set_read_timeout(Some(seconds(20))).expect("a timeout");
        socket.write_all(bytes).expect("sent");
        socket
    });
    // A byte now and then buys no time.
    let mut trickle = TcpStream::connect(vestibule.address()).expect("connected");
    let trickling = std::thread::spawn(move || {
        let hello = [&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 500]].concat();
        hello
            .iter()
            .take_while(|byte| {
                std::thread::sleep(std::time::Duration::from_millis(100));
                trickle.write_all(&[**byte]).is_ok()
            })
            .count()
    });
    for socket in &mut sockets {
        assert_eq!(socket.read(&mut [0; 64]).unwrap_or(0), 0);
    }
    assert!(start.elapsed() >= seconds(1));
    assert!(trickling.join().expect("its thread") < 400, "it is let go");
    assert!(start.elapsed() < seconds(15), "after {:?}", start.elapsed());
}

#[test]
fn takes_the_header_of_a_proxy_before_the_handshake() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let config = tls_config(&dir, "").replacen("[[listen]]", "[[listen]]\nproxy_protocol = true", 1);
    let vestibule = Vestibule::start(&dir, &format!("trusted_proxies = [\"127.0.0.0/8\"]\n{config}"));
    let settings = Speaker::new(&authority).settings();
    for path in ["/apart", "/together"] {
        let mut socket = TcpStream::connect(vestibule.address()).expect("connected");
        let header = b"PROXY TCP4 203.0.113.7 198.51.100.1 1234 443\r\n";
        let client = if path == "/apart" {
            socket.write_all(header).expect("sent");
            over(socket, settings.clone(), NAME)
        } else {
            // Header and first message in one segment.
            let name = rustls::pki_types::ServerName::try_from(NAME).expect("a name");
            let mut conn = rustls::ClientConnection::new(settings.clone(), name).expect("settings");
            let mut both = header.to_vec();
            conn.write_tls(&mut both).expect("a first message");
            socket.write_all(&both).expect("sent");
            let mut stream = rustls::StreamOwned::new(conn, socket);
            stream.flush().expect("a handshake");
            Ok(Client::over(stream))
        };
        let answer = client.expect("a handshake").get(path).expect("an answer");
        assert_eq!(answer.text(), path);
    }
    for request in origin.requests() {
        assert_eq!(request.field("x-forwarded-for"), Some("203.0.113.7"));
        assert_eq!(request.field("x-forwarded-proto"), Some("https"));
    }
    // What is no header gets no answer in the clear, which would be a broken record to the client behind the proxy.
    let mut socket = TcpStream::connect(vestibule.address()).expect("connected");
    socket.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    let mut told = Vec::new();
    let _ = socket.read_to_end(&mut told);
    assert_eq!(told, b"");
}

#[test]
fn closes_without_a_word_in_the_clear_what_is_above_a_limit() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let config = format!("{}[limits]\nconnections_per_address = 2\n", tls_config(&dir, ""));
    let vestibule = Vestibule::start(&dir, &config);
    let speaker = Speaker::new(&authority);
    let mut inside: Vec<_> =
        (0..2).map(|_| speaker.connect(vestibule.address()).expect("a handshake")).collect();
    let mut socket = TcpStream::connect(vestibule.address()).expect("connected");
    let mut told = Vec::new();
    let _ = socket.read_to_end(&mut told);
    assert_eq!(told, b"");
    for client in &mut inside {
        assert_eq!(client.get("/in").expect("an answer").text(), "/in");
    }
    drop(inside);
    until_true("there is room again", seconds(20), || speaker.connect(vestibule.address()).is_ok());
}

#[test]
fn connections_in_their_handshake_make_room() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = Vestibule::start(&dir, &format!("{}[limits]\nconnections = 10\n", tls_config(&dir, "")));
    let mut half: Vec<_> = (0..9)
        .map(|_| {
            let mut socket = TcpStream::connect(vestibule.address()).expect("connected");
            socket.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc]).expect("sent");
            socket
        })
        .collect();
    std::thread::sleep(seconds(2));
    let speaker = Speaker::new(&authority);
    let mut kept = Vec::new();
    for number in 0..9 {
        let mut client = speaker
            .connect(vestibule.address())
            .unwrap_or_else(|error| panic!("connection {number} finds no room: {error}"));
        assert_eq!(client.get("/").expect("an answer").status, 200);
        kept.push(client);
    }
    half[0].set_read_timeout(Some(seconds(20))).expect("a timeout");
    assert!(matches!(half[0].read(&mut [0; 8]), Ok(0) | Err(_)));
}

#[test]
fn serves_in_the_clear_beside_it() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let both =
        config(&dir, "").replacen("[[listen]]", "[[listen]]\naddress = \"127.0.0.1:0\"\n[[listen]]", 1);
    let vestibule = Vestibule::start(&dir, &with_tls(&dir, &both, ""));
    let [secure, plain] = [0, 1].map(|index| vestibule.addresses()[index].parse().expect("an address"));
    let mut client = Speaker::new(&authority).connect(secure).expect("a handshake");
    assert_eq!(client.get("/secure").expect("an answer").text(), "/secure");
    let mut client = Client::connect(plain).expect("connected");
    assert_eq!(client.get("/plain").expect("an answer").text(), "/plain");
    let protocols: Vec<_> = origin
        .requests()
        .iter()
        .map(|request| request.field("x-forwarded-proto").map(str::to_owned))
        .collect();
    assert_eq!(protocols, [Some("https".to_owned()), Some("http".to_owned())]);
}

#[test]
fn refuses_to_start_with_files_that_it_cannot_use() {
    let dir = Dir::new();
    let authority = certified(&dir, Kind::Ecdsa);
    let config = tls_config(&dir, "");
    let refused = |what: &str| {
        let ended = Vestibule::refused(&dir, &config);
        assert_eq!(ended.status, Some(2), "{what}: {}", ended.stderr);
        let check = std::process::Command::new(binary())
            .arg("check")
            .arg("--config")
            .arg(dir.join("vestibule.toml"))
            .output()
            .expect("the binary starts");
        assert_eq!(check.status.code(), Some(2), "{what}: {check:?}");
        assert!(String::from_utf8_lossy(&check.stderr).contains("vestibule.toml:3:"), "{what}: {check:?}");
        assert!(ended.stderr.contains("vestibule.toml:3:"), "{what}: {}", ended.stderr);
        assert!(ended.stderr.contains("server."), "{what}: {}", ended.stderr);
    };
    let (certificate, key) = (dir.join("server.pem"), dir.join("server.key"));
    let good = std::fs::read(&key).expect("the key");
    authority.server(&[NAME], Kind::Ecdsa).write(dir.path(), "another");
    std::fs::copy(dir.join("another.key"), &key).expect("copied");
    refused("the key of another");
    std::fs::write(&key, "nothing").expect("written");
    refused("no key");
    std::fs::write(&key, good).expect("written");
    std::fs::remove_file(certificate).expect("removed");
    refused("no certificate");
}
