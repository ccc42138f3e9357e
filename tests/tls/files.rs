//! Certificates that change on disk while they are used.

use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustls::pki_types::CertificateDer;

use crate::support::certificates::Kind;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::process::Signal;
use crate::support::stop::Stop;
use crate::support::tls::{NAME, Speaker, certified, over, tls_config};
use crate::support::turn;
use crate::support::vestibule::Vestibule;
use crate::support::wait::{seconds, until_true};

/// The certificate that a new client is shown.
fn shown(speaker: &Speaker, vestibule: &Vestibule) -> CertificateDer<'static> {
    let client = speaker.connect(vestibule.address()).expect("a handshake");
    client.stream().conn.peer_certificates().expect("a certificate")[0].clone()
}

#[test]
fn shows_a_new_certificate_and_keeps_its_connections() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    let speaker = Speaker::new(&authority);
    let mut kept = speaker.connect(vestibule.address()).expect("a handshake");
    let new = authority.server(&[NAME], Kind::Rsa);
    new.write(dir.path(), "server");
    until_true("the new certificate is shown", seconds(20), || {
        shown(&speaker, &vestibule) == new.certificate
    });
    assert_eq!(kept.get("/").expect("an answer").status, 200);
    // At once, when the operator asks.
    let newer = authority.server(&[NAME], Kind::Ecdsa);
    newer.write(dir.path(), "server");
    vestibule.signal(Signal::HUP);
    until_true("the newer certificate is shown", seconds(20), || {
        shown(&speaker, &vestibule) == newer.certificate
    });
    assert_eq!(kept.get("/").expect("an answer").status, 200);
}

#[test]
fn keeps_the_old_certificate_where_the_new_one_is_broken() {
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, ""));
    let speaker = Speaker::new(&authority);
    let old = shown(&speaker, &vestibule);
    let another = authority.server(&[NAME], Kind::Ecdsa);
    another.write(dir.path(), "another");
    fs::copy(dir.join("another.pem"), dir.join("server.pem")).expect("copied");
    vestibule.signal(Signal::HUP);
    until_true("it says so", seconds(20), || vestibule.stderr().contains("server."));
    assert_eq!(shown(&speaker, &vestibule), old);
    // And takes the new one once its key is there too.
    fs::copy(dir.join("another.key"), dir.join("server.key")).expect("copied");
    until_true("the other is shown", seconds(20), || shown(&speaker, &vestibule) == another.certificate);
}

/// Changes certificates on disk `times` times under load: no handshake fails.
fn swap(times: usize) {
    let _turn = turn::heavy();
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let vestibule = Vestibule::start(&dir, &tls_config(&dir, "").replace("workers = 1", "workers = 2"));
    let speaker = Speaker::new(&authority);
    let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let address = vestibule.address();
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        for _ in 0..4 {
            scope.spawn(|| {
                // Anew, and by the session before, in turn.
                while !stop.load(Ordering::Relaxed) {
                    let settings = speaker.settings();
                    for _ in 0..2 {
                        let socket = TcpStream::connect(address).expect("connected");
                        let mut client = over(socket, Arc::clone(&settings), NAME).expect("a handshake");
                        assert_eq!(client.get("/").expect("an answer").status, 200);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for number in 0..times {
            let kind = if number % 10 == 9 { Kind::Rsa } else { Kind::Ecdsa };
            let new = authority.server(&[NAME], kind);
            new.write(dir.path(), "server");
            vestibule.signal(Signal::HUP);
            until_true("it is shown", seconds(30), || shown(&speaker, &vestibule) == new.certificate);
        }
    });
    println!("{times} certificates, {} handshakes", count.load(Ordering::Relaxed));
}

#[test]
fn changes_certificates_under_load_without_a_failed_handshake() {
    swap(if std::env::var_os("VESTIBULE_SLOW").is_some() { 100 } else { 12 });
}

#[test]
fn the_check_tells_all_wrong_files_at_once_and_what_is_odd_in_words() {
    let dir = Dir::new();
    let authority = certified(&dir, Kind::Ecdsa);
    authority.server(&[NAME], Kind::Ecdsa).write(dir.path(), "another");
    fs::write(dir.join("empty.pem"), "").expect("written");
    let file = dir.join("vestibule.toml");
    let check = |pairs: &[[&str; 2]]| {
        let pairs: Vec<String> = pairs
            .iter()
            .map(|[certificate, key]| format!("{{ certificate = {certificate:?}, key = {key:?} }}"))
            .collect();
        let listen = "[[listen]]\naddress = \"127.0.0.1:8443\"\n";
        fs::write(&file, format!("{listen}tls.certificates = [{}]\n", pairs.join(", "))).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
        let output = command.args(["check", "--config"]).arg(&file).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (status, said) = check(&[
        ["server.pem", "another.key"],
        ["missing.pem", "server.key"],
        ["another.pem", "another.key"],
        ["empty.pem", "server.key"],
    ]);
    assert_eq!(status, Some(2), "{said}");
    for wrong in ["they are not a pair", "missing.pem: cannot be read", "empty.pem: is empty", "3 errors in"]
    {
        assert!(said.contains(wrong), "{wrong:?} is not in\n{said}");
    }
    assert!(said.contains("vestibule.toml:3:"), "without a place:\n{said}");

    fs::set_permissions(dir.join("server.key"), Permissions::from_mode(0o644)).expect("its mode");
    let (status, said) = check(&[["server.pem", "server.key"]]);
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains("everybody on this machine may use the key") && !said.contains("timestamp"),
        "{said}"
    );
}
