//! What is said about files that cannot be used, or are odd.

use std::path::Path;
use std::time::SystemTime;

use rcgen::{CustomExtension, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SanType};
use vestibule_config::CertificateFiles;

use super::support::{Authority, DAY, Dir, chmod, ecdsa};
use crate::{Certificate, Warning};

fn refused(files: &CertificateFiles) -> String {
    Certificate::read(files).unwrap_err().to_string()
}

fn warnings(files: &CertificateFiles) -> Vec<Warning> {
    Certificate::read(files).unwrap().1
}

#[test]
fn takes_a_whole_chain_of_each_kind_of_key() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let between = authority.below("between");
    let others = [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519].map(|kind| KeyPair::generate_for(kind).unwrap());
    let keys = [ecdsa(), super::support::rsa()].into_iter().chain(others);
    for key in keys {
        let pair =
            between.issue_with(&["example.com", "192.0.2.1"], key, |_| {}).with(&between).with(&authority);
        let (certificate, warnings) = Certificate::read(&dir.keep("a", &pair)).unwrap();
        assert_eq!(warnings, []);
        assert_eq!(certificate.names(), ["example.com".into()]);
        assert_eq!(certificate.chain().len(), 3);
        let now = SystemTime::now();
        assert!(certificate.not_before() < now && now < certificate.not_after());
    }
}

#[test]
fn a_file_that_is_none_is_named_with_what_to_do() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let good = dir.keep("a", &authority.issue(&["example.com"]));
    let missing = CertificateFiles { certificate: dir.path("gone.pem"), ..good.clone() };
    let told = refused(&missing);
    assert!(told.contains("gone.pem: cannot be read") && told.contains("is the path right"), "{told}");

    let directory = CertificateFiles { key: dir.0.path().to_owned(), ..good.clone() };
    assert!(refused(&directory).contains("is no regular file"), "{}", refused(&directory));
    // A pipe without a writer would be waited for for ever.
    let pipe = CertificateFiles { certificate: dir.path("pipe"), ..good.clone() };
    assert!(std::process::Command::new("mkfifo").arg(&pipe.certificate).status().unwrap().success());
    assert!(refused(&pipe).contains("is no regular file"));

    for (text, expected) in [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("hello", "has no certificate in it"),
        ("-----BEGIN CERTIFICATE-----\nMIIB", "the line `-----END CERTIFICATE-----` is missing"),
        ("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", "is not base64"),
        (
            "-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n",
            "certificate 1 in it cannot be understood",
        ),
    ] {
        let odd = CertificateFiles { certificate: dir.write("odd.pem", text), ..good.clone() };
        assert!(refused(&odd).contains(expected), "{text:?}: {}", refused(&odd));
    }
    let large =
        CertificateFiles { certificate: dir.write("large.pem", vec![b'a'; (1 << 20) + 1]), ..good.clone() };
    assert!(refused(&large).contains("is larger than 1048576 bytes"), "{}", refused(&large));
    let der = CertificateFiles { certificate: dir.write("a.der", authority.der()), ..good };
    assert!(refused(&der).contains("openssl x509 -inform der"), "{}", refused(&der));
}

#[test]
fn an_unreadable_file_is_told_as_one_to_be_let_read() {
    let error = crate::Error::Read {
        file: "/etc/a.key".into(),
        source: std::io::Error::from(std::io::ErrorKind::PermissionDenied),
    };
    assert!(error.to_string().contains("let Vestibule's user read it"), "{error}");
}

#[test]
fn swapped_files_are_told_as_swapped() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let good = dir.keep("a", &authority.issue(&["example.com"]));
    let key_first = CertificateFiles { certificate: good.key.clone(), ..good.clone() };
    assert!(refused(&key_first).contains("are `certificate` and `key` swapped?"), "{}", refused(&key_first));
    let key_last = CertificateFiles { key: good.certificate.clone(), ..good };
    assert!(refused(&key_last).contains("are `certificate` and `key` swapped?"), "{}", refused(&key_last));
}

#[test]
fn a_key_of_another_certificate_is_refused_with_both_files() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let one = dir.keep("one", &authority.issue(&["example.com"]));
    let two = dir.keep("two", &authority.issue(&["example.com"]));
    let told = refused(&CertificateFiles { certificate: one.certificate, key: two.key });
    assert!(told.contains("two.key is not the key of") && told.contains("one.pem"), "{told}");
}

#[test]
fn a_chain_in_the_wrong_order_is_refused_with_which_is_to_be_first() {
    let (root, dir) = (Authority::new("root"), Dir::new());
    let between = root.below("between");
    let lower = between.below("lower");
    let mut pair = lower.issue(&["example.com"]);
    let leaf = pair.chain.clone();

    pair.chain = lower.pem() + &leaf;
    let told = refused(&dir.keep("a", &pair));
    assert!(
        told.contains("it is certificate 2 in the file (CN=example.com), the first is CN=lower"),
        "{told}"
    );

    pair.chain = leaf.clone() + &between.pem() + &lower.pem();
    let told = refused(&dir.keep("a", &pair));
    let expected = "certificate 2 in the file (CN=between) did not sign the one before it, which was signed by CN=lower, \
                    which is certificate 3 in the file";
    assert!(told.contains(expected), "{told}");

    pair.chain = leaf.clone() + &root.pem();
    let told = refused(&dir.keep("a", &pair));
    assert!(told.contains("certificate 2 in the file (CN=root) did not sign the one before it"), "{told}");

    // The right name, another key: an authority that was made anew.
    pair.chain = leaf + &between.below("lower").pem();
    let told = refused(&dir.keep("a", &pair));
    assert!(told.contains("certificate 2 in the file (CN=lower) did not sign the one before it"), "{told}");
}

#[test]
fn a_certificate_out_of_date_is_served_with_a_warning() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let now = SystemTime::now();
    let expired = authority.issue_with(&["a"], ecdsa(), |params| params.not_after = (now - DAY / 2).into());
    assert!(matches!(warnings(&dir.keep("a", &expired))[..], [Warning::Expired { .. }]));
    let early = authority.issue_with(&["a"], ecdsa(), |params| params.not_before = (now + DAY).into());
    let told = warnings(&dir.keep("a", &early));
    assert!(matches!(told[..], [Warning::NotYet { .. }]));
    assert!(told[0].to_string().contains("a.pem: the certificate counts only from 20"), "{}", told[0]);
}

#[test]
fn a_certificate_without_a_name_or_with_an_odd_one_is_served_with_a_warning() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let nameless = warnings(&dir.keep("a", &authority.issue(&[])));
    assert_eq!(nameless, [Warning::Nameless { file: dir.path("a.pem"), subject: "CN=nobody".to_owned() }]);
    assert_eq!(warnings(&dir.keep("a", &authority.issue(&["192.0.2.1"]))), []);
    let odd = authority.issue_with(&["example.com"], ecdsa(), |params| {
        params.subject_alt_names.push(SanType::DnsName("f*.example.com".try_into().unwrap()));
    });
    let name = "f*.example.com".to_owned();
    assert_eq!(warnings(&dir.keep("a", &odd)), [Warning::OddName { file: dir.path("a.pem"), name }]);
}

#[test]
fn a_public_certificate_without_its_chain_is_served_with_a_warning() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    // AuthorityInfoAccess with one caIssuers, http://a (RFC 5280 4.2.2.1).
    let access = b"\x30\x16\x30\x14\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x02\x86\x08http://a".to_vec();
    let public = || {
        authority.issue_with(&["example.com"], ecdsa(), |params| {
            params.custom_extensions =
                vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access.clone())];
        })
    };
    let alone = warnings(&dir.keep("a", &public()));
    assert_eq!(alone, [Warning::Alone { file: dir.path("a.pem"), issuer: "CN=root".to_owned() }]);
    assert_eq!(warnings(&dir.keep("a", &public().with(&authority))), []);
}

#[test]
fn a_key_that_everybody_may_read_is_told_with_its_mode() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let files = dir.keep("a", &authority.issue(&["example.com"]));
    for (mode, odd) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
        chmod(&files.key, mode);
        let expected = odd.then(|| Warning::OpenKey { file: files.key.clone(), mode });
        assert_eq!(warnings(&files), Vec::from_iter(expected), "{mode:o}");
    }
    let told = Warning::OpenKey { file: Path::new("a.key").to_owned(), mode: 0o644 }.to_string();
    assert!(told.contains("(mode 644)"), "{told}");
}

#[test]
fn takes_files_with_other_things_in_them_and_lines_of_windows() {
    let (authority, dir) = (Authority::new("root"), Dir::new());
    let pair = authority.issue(&["example.com"]);
    // Key and certificate in one file, as HAProxy has it; text around it, as `openssl x509 -text` writes.
    let both =
        format!("\u{feff}subject: me\n{}\n{}", pair.key.serialize_pem(), pair.chain).replace('\n', "\r\n");
    let file = dir.write("both.pem", both);
    chmod(&file, 0o600);
    let (certificate, warnings) =
        Certificate::read(&CertificateFiles { certificate: file.clone(), key: file }).unwrap();
    assert_eq!((certificate.chain(), warnings), (&[pair.der][..], vec![]));
}
