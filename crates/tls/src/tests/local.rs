//! The authority of this machine, and certificates that nobody vouches for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::support::{DAY, Dir, acceptor, chmod, meet, settings};
use crate::self_signed::server_params;
use crate::{Certificate, Error, LocalAuthority, provider, self_signed};

fn trusting(root: CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let builder =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

#[test]
fn vouches_for_this_machine_and_for_nobody_else() {
    let dir = Dir::new();
    let local = LocalAuthority::open(&dir.path("deep/authority")).unwrap();
    let config = trusting(CertificateDer::from_pem_file(local.certificate()).unwrap());
    let acceptor_of_it = acceptor(&settings(vec![local.localhost().unwrap()]));
    for name in ["localhost", "127.0.0.1", "::1"] {
        meet(&acceptor_of_it, &config, name).unwrap();
    }
    // Whoever steals its key cannot be a bank.
    let key = KeyPair::from_pem(&fs::read_to_string(dir.path("deep/authority/ca.key")).unwrap()).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&fs::read_to_string(local.certificate()).unwrap(), key).unwrap();
    for name in ["bank.example", "192.0.2.1"] {
        let key = KeyPair::generate().unwrap();
        let forged = server_params(&[name.to_owned()], DAY).unwrap().signed_by(&key, &issuer).unwrap();
        let files = dir.files("forged");
        dir.write("forged.pem", forged.pem());
        dir.write("forged.key", key.serialize_pem());
        meet(&acceptor(&settings(vec![files])), &config, name).unwrap_err();
    }
}

#[test]
fn keeps_what_it_made_and_keys_to_its_owner() {
    let dir = Dir::new();
    let path = dir.path("authority");
    let made = |path| {
        let local = LocalAuthority::open(path).unwrap();
        let files = local.localhost().unwrap();
        [local.certificate(), &files.certificate, &files.key].map(|file| fs::read(file).unwrap())
    };
    let first = made(&path);
    assert!(made(&path) == first);
    let mode = |name: &str| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("."), mode("ca.key"), mode("localhost.key")), (0o700, 0o600, 0o600));
    let mut names: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["ca.key", "ca.pem", "localhost.key", "localhost.pem", "lock"]);
    chmod(&path, 0o755);
    chmod(&path.join("ca.key"), 0o644);
    LocalAuthority::open(&path).unwrap();
    assert_eq!((mode("."), mode("ca.key")), (0o700, 0o600));
    chmod(&path, 0o777);
    assert!(matches!(LocalAuthority::open(&path), Err(Error::OpenToOthers { mode: 0o777, .. })));
}

#[test]
fn makes_the_leaf_anew_when_it_ends_soon_or_is_of_another_authority_or_broken() {
    let dir = Dir::new();
    let path = dir.path("authority");
    let local = LocalAuthority::open(&path).unwrap();
    let files = local.localhost().unwrap();
    let first = fs::read(&files.certificate).unwrap();
    let key = KeyPair::from_pem(&fs::read_to_string(path.join("ca.key")).unwrap()).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&fs::read_to_string(local.certificate()).unwrap(), key).unwrap();
    let mut last = first;
    for (days, anew) in [(8, false), (6, true)] {
        let key = KeyPair::generate().unwrap();
        let leaf =
            server_params(&["localhost".to_owned()], days * DAY).unwrap().signed_by(&key, &issuer).unwrap();
        fs::write(&files.certificate, leaf.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        local.localhost().unwrap();
        let now = fs::read(&files.certificate).unwrap();
        assert_eq!(now != leaf.pem().as_bytes(), anew, "{days}");
        last = now;
    }
    fs::write(&files.key, "").unwrap();
    local.localhost().unwrap();
    assert!(fs::read(&files.certificate).unwrap() != last);
    // The authority is gone, and with it what it signed.
    fs::remove_file(path.join("ca.key")).unwrap();
    let other = LocalAuthority::open(&path).unwrap();
    let config = trusting(CertificateDer::from_pem_file(other.certificate()).unwrap());
    meet(&acceptor(&settings(vec![other.localhost().unwrap()])), &config, "localhost").unwrap();
}

#[test]
fn many_at_once_agree_on_one_authority() {
    let dir = Dir::new();
    let path = dir.path("authority");
    let made: Vec<_> = std::thread::scope(|scope| {
        let open = || {
            let local = LocalAuthority::open(&path).unwrap();
            local.localhost().unwrap();
            fs::read(local.certificate()).unwrap()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(made.iter().all(|certificate| *certificate == made[0]));
}

#[test]
fn a_self_signed_certificate_is_for_its_names_and_a_year() {
    let made =
        self_signed(&["example.com".to_owned(), "*.example.com".to_owned(), "192.0.2.1".to_owned()]).unwrap();
    assert_eq!(made.certificate.names(), ["example.com".into(), "*.example.com".into()]);
    let year = made.certificate.not_after().duration_since(SystemTime::now()).unwrap();
    assert!(year > Duration::from_secs(364 * 86_400) && year < Duration::from_secs(366 * 86_400));
    let called = Dir::new().files("a");
    let (again, warnings) =
        Certificate::from_pem(made.chain.as_bytes(), made.key.as_bytes(), &called).unwrap();
    assert_eq!((again.chain(), warnings), (made.certificate.chain(), vec![]));
    assert!(matches!(self_signed(&[]), Err(Error::Make { .. })));
    assert!(matches!(self_signed(&["ü".to_owned()]), Err(Error::Make { .. })));
}
