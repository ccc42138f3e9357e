//! Certificates of clients.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateRevocationListParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose,
    KeyIdMethod, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::UnixTime;
use rustls::version::{TLS12, TLS13};
use vestibule_config::{ClientAuthority, Tls};

use super::support::{
    Authority, DAY, Dir, Met, Pair, Parted, acceptor, asking, client_of, ecdsa, logged, meet, settings,
};
use crate::{Acceptor, Error, FIELD_NAMES, Identity};

struct Stand {
    /// Of the server.
    authority: Authority,
    /// Of the clients.
    clients: Authority,
    dir: Dir,
}

impl Stand {
    fn new() -> Self {
        Self { authority: Authority::new("root"), clients: Authority::new("clients"), dir: Dir::new() }
    }

    fn settings(&self, required: bool) -> Tls {
        let files = vec![self.dir.keep("a", &self.authority.issue(&["example.com"]))];
        asking(files, self.dir.write("clients.pem", self.clients.pem()), required)
    }

    fn revoking(&self, list: &str) -> Tls {
        let revoked = Some(self.dir.write("crl.pem", list));
        let authorities = self.dir.write("clients.pem", self.clients.pem());
        Tls { client: Some(ClientAuthority { authorities, required: true, revoked }), ..self.settings(true) }
    }

    fn come(&self, acceptor: &Acceptor, identity: Option<&Pair>) -> Vec<Result<Met, Parted>> {
        let come = |version| {
            meet(acceptor, &Arc::new(client_of(&[version], &self.authority, identity)), "example.com")
        };
        vec![come(&TLS12), come(&TLS13)]
    }
}

fn revocations(authority: &Authority, serials: &[u64], until: SystemTime) -> String {
    let revoked = |serial: &u64| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: (SystemTime::now() - DAY).into(),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: (SystemTime::now() - 2 * DAY).into(),
        next_update: until.into(),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&authority.0).unwrap().pem().unwrap()
}

fn lines(identity: &Identity) -> Vec<(String, String)> {
    let text = std::str::from_utf8(identity.fields()).unwrap();
    let line =
        |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
    text.strip_suffix("\r\n").unwrap().split("\r\n").map(line).collect()
}

#[test]
fn asks_nobody_where_no_authority_is_named() {
    let stand = Stand::new();
    let acceptor = acceptor(&settings(stand.settings(true).certificates));
    for met in stand.come(&acceptor, Some(&stand.clients.issue(&["somebody"]))) {
        let server = met.unwrap().server;
        assert!(server.peer_certificates().is_none());
        assert_eq!(acceptor.identity(&server).unwrap(), None);
    }
}

#[test]
fn tells_a_verified_client_from_nobody_where_it_is_optional() {
    let stand = Stand::new();
    let acceptor = acceptor(&stand.settings(false));
    for met in stand.come(&acceptor, None) {
        let who = acceptor.identity(&met.unwrap().server).unwrap().unwrap();
        assert_eq!(who.fields(), b"X-SSL-Client-Verify: NONE\r\n");
    }
    for met in stand.come(&acceptor, Some(&stand.clients.issue(&["somebody"]))) {
        let server = met.unwrap().server;
        let who = acceptor.identity(&server).unwrap().unwrap();
        assert_eq!(Identity::of(&server).unwrap(), Some(who.clone()));
        assert_eq!(lines(&who)[1], ("X-SSL-Client-S-DN".to_owned(), "CN=somebody".to_owned()));
    }
}

#[test]
fn refuses_nobody_where_somebody_is_required() {
    let stand = Stand::new();
    let acceptor = acceptor(&stand.settings(true));
    for met in stand.come(&acceptor, None) {
        assert!(matches!(met, Err(Parted::ByServer(rustls::Error::NoCertificatesPresented))), "{met:?}");
    }
    for met in stand.come(&acceptor, Some(&stand.clients.issue(&["somebody"]))) {
        acceptor.identity(&met.unwrap().server).unwrap().unwrap();
    }
}

#[test]
fn refuses_forged_expired_and_other_certificates_even_where_none_is_needed() {
    let stand = Stand::new();
    let now = SystemTime::now();
    let forger = Authority::new("clients");
    let odd = [
        ("forged: the authority's name, another key", forger.issue(&["somebody"])),
        ("of another authority", stand.authority.issue(&["somebody"])),
        (
            "expired",
            stand.clients.issue_with(&["a"], ecdsa(), |params| params.not_after = (now - DAY / 2).into()),
        ),
        ("early", stand.clients.issue_with(&["a"], ecdsa(), |params| params.not_before = (now + DAY).into())),
        (
            "for servers alone",
            stand.clients.issue_with(&["a"], ecdsa(), |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }),
        ),
    ];
    for required in [true, false] {
        let acceptor = acceptor(&stand.settings(required));
        for (what, pair) in &odd {
            for met in stand.come(&acceptor, Some(pair)) {
                let refused = matches!(met, Err(Parted::ByServer(rustls::Error::InvalidCertificate(_))));
                assert!(refused, "{what}, {required}: {met:?}");
            }
        }
    }
}

#[test]
fn refuses_a_revoked_certificate_and_one_that_no_list_covers() {
    let stand = Stand::new();
    let numbered = |number: u64| {
        stand
            .clients
            .issue_with(&["a"], ecdsa(), |params| params.serial_number = Some(SerialNumber::from(number)))
    };
    let (good, revoked) = (numbered(1), numbered(2));
    let later = SystemTime::now() + DAY;
    let with_list = acceptor(&stand.revoking(&revocations(&stand.clients, &[2], later)));
    for met in stand.come(&with_list, Some(&good)) {
        met.unwrap();
    }
    for met in stand.come(&with_list, Some(&revoked)) {
        assert!(matches!(met, Err(Parted::ByServer(_))), "{met:?}");
    }
    let elses = acceptor(&stand.revoking(&revocations(&Authority::new("another"), &[], later)));
    for met in stand.come(&elses, Some(&good)) {
        assert!(matches!(met, Err(Parted::ByServer(_))), "{met:?}");
    }
    let over = revocations(&stand.clients, &[], SystemTime::now() - DAY);
    let (over, told) = logged(|| acceptor(&stand.revoking(&over)));
    assert!(
        told.iter().any(|line| line.contains("crl.pem: the revocations were to be renewed by 20")),
        "{told:?}"
    );
    for met in stand.come(&over, Some(&good)) {
        assert!(matches!(met, Err(Parted::ByServer(_))), "{met:?}");
    }
}

#[test]
fn names_the_file_of_authorities_or_revocations_that_cannot_be_used() {
    let stand = Stand::new();
    let refused = |settings: &Tls| {
        let (tickets, challenges) = (crate::Tickets::new().unwrap(), Arc::default());
        Acceptor::new(settings, true, &tickets, &challenges).unwrap_err().to_string()
    };
    let told = refused(&stand.revoking(""));
    assert!(told.contains("crl.pem: is empty"), "{told}");
    let told = refused(&stand.revoking(&stand.clients.pem()));
    assert!(told.contains("crl.pem: has no revocation list in it"), "{told}");
    let told = refused(&stand.revoking("-----BEGIN X509 CRL-----\nMAAA\n-----END X509 CRL-----\n"));
    assert!(told.contains("crl.pem: cannot serve to verify clients"), "{told}");
    let mut settings = stand.settings(true);
    let damaged = stand.clients.pem() + "-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n";
    settings.client.as_mut().unwrap().authorities = stand.dir.write("damaged.pem", damaged);
    let told = refused(&settings);
    assert!(told.contains("damaged.pem: certificate 2 in it cannot be understood"), "{told}");
}

#[test]
fn a_resumed_session_is_closed_when_its_certificate_has_ended() {
    let stand = Stand::new();
    let acceptor = acceptor(&stand.settings(true));
    let somebody = stand.clients.issue(&["a"]);
    let today = UnixTime::now();
    let later = UnixTime::since_unix_epoch(Duration::from_secs(today.as_secs()) + 100 * DAY);
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(client_of(&[version], &stand.authority, Some(&somebody)));
        meet(&acceptor, &config, "example.com").unwrap();
        let again = meet(&acceptor, &config, "example.com").unwrap().server;
        assert_eq!(again.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
        acceptor.identity_at(&again, today).unwrap().unwrap();
        assert!(matches!(acceptor.identity_at(&again, later), Err(Error::ClientCertificate(_))));
    }
}

#[test]
fn renders_each_field_as_it_is_written_down() {
    let stand = Stand::new();
    let pair = stand.clients.issue_with(&["somebody"], ecdsa(), |params| {
        params.serial_number = Some(SerialNumber::from_slice(&[0x8a, 0, 0x0b]));
    });
    let who = Identity::of_certificate(&pair.der).unwrap();
    let lines = lines(&who);
    assert_eq!(lines.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), FIELD_NAMES);
    let values: Vec<_> = lines.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(values[..4], ["SUCCESS", "CN=somebody", "CN=clients", "8A000B"]);
    let print = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &pair.der);
    assert_eq!(values[4], print.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    // The certificate as PEM has it, without its lines.
    let base64: String = pair.chain.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(values[5], format!(":{base64}:"));
}

#[test]
fn no_byte_of_a_name_leaves_its_line() {
    let stand = Stand::new();
    for (name, expected) in [
        ("a\r\nX-Admin: 1", "CN=a\\0D\\0AX-Admin: 1"),
        ("a\0b\tc\u{7f}", "CN=a\\00b\\09c\\7F"),
        ("Jürgen ✓", "CN=J\\C3\\BCrgen \\E2\\9C\\93"),
        (" a, b+c;\"<>\\#=d ", "CN=\\20a\\, b\\+c\\;\\\"\\<\\>\\\\#=d\\20"),
        ("#1", "CN=\\#1"),
        (" ", "CN=\\20"),
    ] {
        let pair = stand.clients.issue_with(&["a"], ecdsa(), |params| {
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
        });
        let who = Identity::of_certificate(&pair.der).unwrap();
        assert_eq!(lines(&who)[1].1, expected);
        let plain = |line: &[u8]| line.iter().all(|byte| (b' '..=b'~').contains(byte));
        assert!(
            who.fields()
                .split(|byte| *byte == b'\n')
                .all(|line| plain(line.strip_suffix(b"\r").unwrap_or(line)))
        );
    }
}

#[test]
fn writes_names_of_each_kind_last_part_first() {
    let stand = Stand::new();
    let pair = stand.clients.issue_with(&["a"], ecdsa(), |params| {
        let name = &mut params.distinguished_name;
        *name = DistinguishedName::new();
        name.push(DnType::CountryName, DnValue::PrintableString("DE".try_into().unwrap()));
        name.push(DnType::OrganizationName, DnValue::BmpString("Bäcker".try_into().unwrap()));
        name.push(DnType::OrganizationalUnitName, DnValue::TeletexString("Ofen".try_into().unwrap()));
        name.push(
            DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]),
            DnValue::Ia5String("a@b".try_into().unwrap()),
        );
        name.push(DnType::CustomDnType(vec![1, 2, 3]), "x");
        name.push(DnType::CommonName, DnValue::UniversalString("Ä".try_into().unwrap()));
    });
    let who = Identity::of_certificate(&pair.der).unwrap();
    assert_eq!(lines(&who)[1].1, "CN=\\C3\\84,1.2.3=#0C0178,emailAddress=a@b,OU=Ofen,O=B\\C3\\A4cker,C=DE");
}

#[test]
fn a_large_certificate_goes_without_the_whole_and_a_huge_name_is_refused() {
    let stand = Stand::new();
    let names: Vec<_> =
        (0..700).map(|number| format!("a-name-of-some-length-{number}.example.com")).collect();
    let large =
        stand.clients.issue_with(&names.iter().map(String::as_str).collect::<Vec<_>>(), ecdsa(), |_| {});
    let who = Identity::of_certificate(&large.der).unwrap();
    assert_eq!(lines(&who).len(), 5);
    assert!(who.fields().len() < 16 * 1024);
    let huge = stand.clients.issue_with(&["a"], ecdsa(), |params| {
        params.distinguished_name.push(DnType::OrganizationName, "ü".repeat(3000));
    });
    assert!(matches!(Identity::of_certificate(&huge.der), Err(Error::Identity { .. })));
}
