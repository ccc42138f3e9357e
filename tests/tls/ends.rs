//! How connections end: with a word where the end is meant, without one where it is not.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustls::{ClientConnection, ProtocolVersion};

use crate::support::app;
use crate::support::certificates::Kind;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::process::Signal;
use crate::support::stop::Stop;
use crate::support::tls::{NAME, Secure, Speaker, certified, over, tls_config};
use crate::support::vestibule::Vestibule;
use crate::support::wait::{seconds, until_true};

/// Whether its end was said (close_notify); rustls tells the two apart, and [`Secure`] keeps the difference.
fn is_orderly(client: &mut Secure) -> bool {
    match client.rest() {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
        Err(error) => panic!("neither: {error}"),
    }
}

#[test]
fn says_that_it_closes_after_the_last_answer() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    for version in [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3] {
        let speaker = Speaker::new(&authority).version(version);
        let requests = [
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(),
            // More than is read: the answer is read all the same.
            format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n{}", "x".repeat(500_000)),
            "no request\r\n\r\n".to_owned(),
        ];
        for request in requests {
            let mut client = speaker.connect(vestibule.address()).expect("a handshake");
            let _ = client.send(request);
            assert!(client.response().expect("an answer").closes());
            assert!(is_orderly(&mut client));
        }
    }
}

#[test]
fn says_that_it_closes_an_idle_connection() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let config = format!("{}[limits]\nidle_timeout = \"1s\"\n", tls_config(&dir, ""));
    let vestibule = Vestibule::start(&dir, &config);
    let mut client = Speaker::new(&authority).connect(vestibule.address()).expect("a handshake");
    assert_eq!(client.get("/").expect("an answer").status, 200);
    assert!(is_orderly(&mut client));
}

#[test]
fn does_not_say_so_where_an_answer_broke_off() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        if conversation.request().is_some() {
            // An answer that ends with its connection, in chunks to the client; and the chunks have no end.
            let _ = conversation.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
            conversation.hang_up();
        }
    });
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    let mut client = Speaker::new(&authority).connect(vestibule.address()).expect("a handshake");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    assert_eq!(client.response_head().expect("a head").status, 200);
    let broken = client.rest();
    assert!(broken.is_err(), "{broken:?}");
}

#[test]
fn an_end_without_a_word_ends_the_exchange_too() {
    let dir = Dir::new();
    let origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    let before = vestibule.open_files();
    for body in ["", "half of it"] {
        let mut client = Speaker::new(&authority).connect(vestibule.address()).expect("a handshake");
        client
            .send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{body}"))
            .expect("sent");
        client.stream().sock.shutdown(std::net::Shutdown::Both).expect("gone");
    }
    until_true("they are gone", seconds(20), || vestibule.open_files() <= before);
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn finishes_what_is_under_way_in_a_drain() {
    let dir = Dir::new();
    let _origin = Fake::start(&dir.socket(), |conversation| {
        while let Some(request) = conversation.request() {
            if request.target() == "/slow" {
                std::thread::sleep(seconds(2));
            }
            conversation.answer("done");
        }
    });
    let authority = certified(&dir, Kind::Ecdsa);
    let mut vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    let speaker = Speaker::new(&authority);
    let mut busy = speaker.connect(vestibule.address()).expect("a handshake");
    let mut idle = speaker.connect(vestibule.address()).expect("a handshake");
    assert_eq!(idle.get("/").expect("an answer").status, 200);
    // Two that have not come far: one without a byte, one with half a message.
    let _silent = TcpStream::connect(vestibule.address()).expect("connected");
    let mut half = TcpStream::connect(vestibule.address()).expect("connected");
    half.write_all(&[22, 3, 1, 2, 0, 1, 0]).expect("sent");
    busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    std::thread::sleep(Duration::from_millis(500));
    vestibule.signal(Signal::TERM);
    assert!(is_orderly(&mut idle));
    let answer = busy.response().expect("an answer");
    assert_eq!((answer.status, answer.closes()), (200, true));
    assert!(is_orderly(&mut busy));
    assert!(vestibule.exit(seconds(20)).success());
}

#[test]
fn a_client_that_reads_nothing_in_its_handshake_is_let_go() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Rsa);
    let config = format!("{}[limits]\nhandshake_timeout = \"1s\"\n", tls_config(&dir, ""));
    let vestibule = Vestibule::start(&dir, &config);
    let before = vestibule.open_files();
    let settings = Speaker::new(&authority).settings();
    let silent: Vec<_> = (0..20)
        .map(|_| {
            let mut socket = TcpStream::connect(vestibule.address()).expect("connected");
            let name = rustls::pki_types::ServerName::try_from(NAME).expect("a name");
            let mut tls = ClientConnection::new(settings.clone(), name).expect("settings");
            tls.write_tls(&mut socket).expect("sent");
            socket
        })
        .collect();
    vestibule.wait_for_files(before, silent.len());
    until_true("they are let go", seconds(20), || vestibule.open_files() <= before);
    let mut client = over(TcpStream::connect(vestibule.address()).expect("connected"), settings, NAME)
        .expect("a handshake");
    assert_eq!(client.get("/").expect("an answer").status, 200);
    for mut socket in silent {
        // What it was sent is still there; and then an end.
        socket.set_read_timeout(Some(seconds(20))).expect("a timeout");
        let _ = socket.read_to_end(&mut Vec::new());
    }
}

/// The keys of TLS 1.3 may be changed at any time, and as often as there is data in between.
#[test]
fn follows_a_change_of_keys_and_bears_no_flood_of_them() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    let settings = Speaker::new(&authority).settings();
    let socket = TcpStream::connect(vestibule.address()).expect("connected");
    let mut client = over(socket, settings, NAME).expect("a handshake").into_stream();
    for number in 0..50 {
        client.conn.refresh_traffic_keys().expect("TLS 1.3");
        let mut ask = Secure::over(client);
        assert_eq!(ask.get(&format!("/{number}")).expect("an answer").text(), format!("/{number}"));
        client = ask.into_stream();
    }
    // Without data in between it is a flood, and ends.
    let mut flood = Vec::new();
    for _ in 0..200 {
        client.conn.refresh_traffic_keys().expect("TLS 1.3");
        client.conn.write_tls(&mut flood).expect("in memory");
    }
    let _ = client.sock.write_all(&flood);
    let answer = Secure::over(client).get("/after");
    assert!(answer.is_err(), "{answer:?}");
}

#[test]
fn loses_nothing_over_a_restart_of_the_application() {
    let dir = Dir::new();
    let authority = certified(&dir, Kind::Ecdsa);
    let mut puma = app::App::start(app::Kind::Puma, &dir);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    let settings = Speaker::new(&authority).settings();
    let address = vestibule.address();
    let stop = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        let clients: Vec<_> = (0..4)
            .map(|number| {
                let (settings, stop, answered) = (settings.clone(), &stop, &answered);
                scope.spawn(move || {
                    let mut kept: Option<Secure> = None;
                    while !stop.load(Ordering::Relaxed) {
                        let mut client = kept.take().unwrap_or_else(|| {
                            let socket = TcpStream::connect(address).expect("connected");
                            over(socket, settings.clone(), NAME).expect("a handshake")
                        });
                        let answer = client.get("/sleep?ms=5&token=a").expect("an answer");
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        let count = answered.fetch_add(1, Ordering::Relaxed);
                        // One in three on a connection of its own.
                        kept = (!answer.closes() && (count + number) % 3 != 0).then_some(client);
                    }
                })
            })
            .collect();
        let more = |count: usize| {
            let goal = answered.load(Ordering::Relaxed) + count;
            until_true("more answers", seconds(60), || {
                clients.iter().any(|client| client.is_finished()) || answered.load(Ordering::Relaxed) >= goal
            });
        };
        more(50);
        for _ in 0..2 {
            puma.stop_and_start();
            more(50);
        }
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("no client failed");
        }
    });
}
