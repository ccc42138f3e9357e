//! What another implementation makes of it: the program `openssl`.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread;

use vestibule_config::CertificateFiles;

use super::support::{Authority, Dir, acceptor, asking, chmod, settings};
use crate::{Acceptor, Certificate, Challenges, Error, LocalAuthority, Tickets};

fn openssl(args: &[&str]) -> Output {
    let mut command = Command::new("openssl");
    let command = command.args(args).stdin(Stdio::null());
    command.output().expect("the program openssl is needed: apt-get install openssl")
}

/// Answers one connection with `Hello` and, where it is asked for, who the client is.
fn serve(acceptor: Arc<Acceptor>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut accepting = rustls::server::Acceptor::default();
        let accepted = loop {
            if accepting.read_tls(&mut socket).unwrap_or(0) == 0 {
                return;
            }
            match accepting.accept() {
                Ok(Some(accepted)) => break accepted,
                Ok(None) => {}
                Err((_, mut alert)) => return drop(alert.write_all(&mut socket)),
            }
        };
        let settings = acceptor.settings_for(&accepted.client_hello());
        let mut connection = match accepted.into_connection(settings) {
            Ok(connection) => connection,
            Err((_, mut alert)) => return drop(alert.write_all(&mut socket)),
        };
        let mut stream = rustls::Stream::new(&mut connection, &mut socket);
        if stream.flush().is_err() || stream.conn.is_handshaking() {
            return;
        }
        let who = acceptor.identity(stream.conn).unwrap();
        let who = who.as_ref().map_or(&b""[..], |who| who.fields());
        let _ = stream.write_all(&[b"Hello\r\n", who].concat());
        stream.conn.send_close_notify();
        let _ = stream.flush();
        let _ = socket.read(&mut [0; 1024]);
    });
    address
}

fn visit(acceptor: &Arc<Acceptor>, args: &[&str]) -> Output {
    let address = serve(Arc::clone(acceptor)).to_string();
    openssl(&[&["s_client", "-connect", &address, "-ign_eof"], args].concat())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn speaks_1_2_and_1_3_by_the_profile_and_nothing_older() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let acceptor = acceptor(&settings(vec![dir.keep("a", &authority.issue_rsa(&["example.com"]))]));
    let root = dir.write("root.pem", authority.pem());
    let verified =
        ["-CAfile", root.to_str().unwrap(), "-verify_return_error", "-verify_hostname", "example.com"];
    for (args, expected) in [
        (&["-tls1_3", "-alpn", "h2,http/1.1"][..], "ALPN protocol: h2"),
        (&["-tls1_2", "-alpn", "http/1.1"], "ALPN protocol: http/1.1"),
        (&["-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"], "Cipher is ECDHE-RSA-CHACHA20-POLY1305"),
        (&["-tls1_3", "-groups", "P-384"], "Server Temp Key: ECDH, secp384r1"),
    ] {
        let output = visit(&acceptor, &[&verified, args, &["-servername", "example.com"]].concat());
        assert!(output.status.success() && text(&output).contains(expected), "{args:?}: {}", text(&output));
        assert!(text(&output).contains("Verify return code: 0 (ok)"), "{}", text(&output));
    }
    for args in [
        // Of the old ciphers and versions, those that openssl still can.
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"][..],
        &["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
        &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256"],
        &["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"],
    ] {
        let output = visit(&acceptor, args);
        assert!(!output.status.success() && text(&output).contains("alert"), "{args:?}: {}", text(&output));
    }
}

#[test]
fn a_local_authority_is_believed() {
    let dir = Dir::new();
    let local = LocalAuthority::open(&dir.path("authority")).unwrap();
    let acceptor = acceptor(&settings(vec![local.localhost().unwrap()]));
    let root = local.certificate().to_str().unwrap();
    for args in [["-verify_hostname", "localhost"], ["-verify_ip", "127.0.0.1"], ["-verify_ip", "::1"]] {
        let output = visit(&acceptor, &[&["-CAfile", root, "-verify_return_error"], &args[..]].concat());
        assert!(output.status.success() && text(&output).contains("Hello"), "{args:?}: {}", text(&output));
    }
}

#[test]
fn names_are_written_as_openssl_writes_them() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let (key, certificate) = (dir.path("client.key"), dir.path("client.pem"));
    let (key, certificate) = (key.to_str().unwrap(), certificate.to_str().unwrap());
    let subject = "/C=DE/O=Bäcker, Söhne \\+ Co/OU=#1/emailAddress=a@b.example/CN=\"J\" <x>; y=1\\\\z";
    let settings =
        "[req]\ndistinguished_name = dn\nx509_extensions = ext\n[dn]\n[ext]\nbasicConstraints = CA:FALSE\n";
    let settings = dir.write("openssl.cnf", settings);
    let made = openssl(&[
        "req",
        "-x509",
        "-config",
        settings.to_str().unwrap(),
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-utf8",
        "-subj",
        subject,
        "-keyout",
        key,
        "-out",
        certificate,
        "-days",
        "30",
        "-set_serial",
        "0xA1B2",
    ]);
    assert!(made.status.success(), "{}", text(&made));
    let acceptor = acceptor(&asking(vec![dir.keep("a", &authority.issue(&["a"]))], certificate.into(), true));
    let output = visit(&acceptor, &["-cert", certificate, "-key", key]);
    let told = text(&openssl(&["x509", "-in", certificate, "-noout", "-subject", "-nameopt", "RFC2253"]));
    let expected = format!("X-SSL-Client-S-DN: {}\r\n", told.trim_end().strip_prefix("subject=").unwrap());
    assert!(text(&output).contains(&expected), "{expected}{}", text(&output));
    assert!(text(&output).contains("X-SSL-Client-Serial: A1B2\r\n"), "{}", text(&output));
}

#[test]
fn takes_keys_in_each_of_their_forms_and_none_that_is_locked() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    for (pair, heading) in [
        (authority.issue(&["example.com"]), "-----BEGIN EC PRIVATE KEY-----"),
        (authority.issue_rsa(&["example.com"]), "-----BEGIN RSA PRIVATE KEY-----"),
    ] {
        let files = dir.keep("a", &pair);
        let plain = files.key.to_str().unwrap();
        let other = |name: &str, args: &[&str]| {
            let path = dir.path(name);
            let output = openssl(&[&["pkey", "-in", plain, "-out", path.to_str().unwrap()], args].concat());
            assert!(output.status.success(), "{}", text(&output));
            chmod(&path, 0o600);
            CertificateFiles { key: path, ..files.clone() }
        };
        let traditional = other("traditional.key", &["-traditional"]);
        assert!(fs::read_to_string(&traditional.key).unwrap().starts_with(heading));
        assert!(Certificate::read(&traditional).unwrap().1.is_empty());
        // As `openssl ecparam -genkey` writes it.
        let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        let text = fs::read_to_string(&traditional.key).unwrap();
        fs::write(&traditional.key, parameters.to_owned() + &text).unwrap();
        Certificate::read(&traditional).unwrap();

        for args in [
            &["-aes256", "-passout", "pass:secret"][..],
            &["-traditional", "-aes256", "-passout", "pass:secret"],
        ] {
            let error = Certificate::read(&other("locked.key", args)).unwrap_err();
            assert!(matches!(error, Error::EncryptedKey { .. }), "{error}");
            assert!(error.to_string().contains("openssl pkey -in FILE"), "{error}");
        }
    }
}

#[test]
fn refuses_keys_too_weak_or_not_spoken() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let files = dir.keep("a", &authority.issue(&["example.com"]));
    let weak: [&[&str]; 2] = [
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
    ];
    for args in weak {
        let key = Path::to_str(&files.key).unwrap();
        let made = openssl(&[&["genpkey", "-out", key], args].concat());
        assert!(made.status.success(), "{}", text(&made));
        let error = Certificate::read(&files).unwrap_err();
        assert!(matches!(error, Error::BadKey { .. }), "{error}");
        assert!(error.to_string().contains("usable are ECDSA"), "{error}");
    }
}

#[test]
fn sees_the_challenges_certificate_with_its_extension() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let settings = settings(vec![dir.keep("a", &authority.issue(&["example.com"]))]);
    let challenges = Arc::new(Challenges::default());
    let acceptor = Acceptor::new(&settings, true, &Tickets::new().unwrap(), &challenges).unwrap();
    let _standing = challenges.stand_tls("example.com", &[0xAB; 32]).unwrap();
    let output = visit(&acceptor, &["-alpn", "acme-tls/1", "-servername", "example.com", "-showcerts"]);
    assert!(text(&output).contains("ALPN protocol: acme-tls/1"), "{}", text(&output));
    let shown = dir.write("shown.pem", &output.stdout);
    let read = text(&openssl(&["x509", "-in", shown.to_str().unwrap(), "-noout", "-text"]));
    assert!(read.contains("1.3.6.1.5.5.7.1.31: critical"), "{read}");
    assert!(read.contains("DNS:example.com"), "{read}");
}
