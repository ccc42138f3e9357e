//! Certificates made for a test, a client, and the two brought together.

use std::cell::RefCell;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection, SupportedProtocolVersion};
use tempfile::TempDir;
use vestibule_config::{CertificateFiles, ClientAuthority, Tls, TlsVersion};

use crate::{Acceptor, Challenges, Tickets, provider};

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// An authority, or one below it.
pub(crate) struct Authority(pub(crate) CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self(CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn below(&self, name: &str) -> Self {
        Self(
            CertifiedIssuer::signed_by(authority_params(name), KeyPair::generate().unwrap(), &self.0)
                .unwrap(),
        )
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A pair for `names`, valid from yesterday till in 90 days.
    pub(crate) fn issue(&self, names: &[&str]) -> Pair {
        self.issue_with(names, ecdsa(), |_| {})
    }

    pub(crate) fn issue_rsa(&self, names: &[&str]) -> Pair {
        self.issue_with(names, rsa(), |_| {})
    }

    pub(crate) fn issue_with(
        &self,
        names: &[&str],
        key: KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Pair {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("nobody"));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let now = SystemTime::now();
        (params.not_before, params.not_after) = ((now - DAY).into(), (now + 90 * DAY).into());
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pair { der: certificate.der().clone(), chain: certificate.pem(), key }
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

pub(crate) fn ecdsa() -> KeyPair {
    KeyPair::generate().unwrap()
}

/// Always the same: to make one takes long.
pub(crate) fn rsa() -> KeyPair {
    static KEY: LazyLock<String> = LazyLock::new(|| {
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap().serialize_pem()
    });
    KeyPair::from_pem(&KEY).unwrap()
}

pub(crate) struct Pair {
    pub(crate) der: CertificateDer<'static>,
    /// PEM: the certificate, and what a test puts behind it.
    pub(crate) chain: String,
    pub(crate) key: KeyPair,
}

impl Pair {
    pub(crate) fn with(mut self, authority: &Authority) -> Self {
        self.chain.push_str(&authority.pem());
        self
    }

    pub(crate) fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

/// A directory for the files of one test.
pub(crate) struct Dir(pub(crate) TempDir);

impl Dir {
    pub(crate) fn new() -> Self {
        listen();
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn files(&self, name: &str) -> CertificateFiles {
        CertificateFiles {
            certificate: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
        }
    }

    /// Writes `name.pem` and `name.key`.
    pub(crate) fn keep(&self, name: &str, pair: &Pair) -> CertificateFiles {
        self.write(&format!("{name}.pem"), &pair.chain);
        let key = self.write(&format!("{name}.key"), pair.key.serialize_pem());
        chmod(&key, 0o600);
        self.files(name)
    }
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn settings(certificates: Vec<CertificateFiles>) -> Tls {
    Tls { certificates, acme: None, client: None, minimum: TlsVersion::V12, hsts: None }
}

pub(crate) fn asking(certificates: Vec<CertificateFiles>, authorities: PathBuf, required: bool) -> Tls {
    let client = Some(ClientAuthority { authorities, required, revoked: None });
    Tls { client, ..settings(certificates) }
}

pub(crate) fn acceptor(settings: &Tls) -> Arc<Acceptor> {
    Acceptor::new(settings, true, &Tickets::new().unwrap(), &Arc::new(Challenges::default())).unwrap()
}

/// A client that trusts this authority and is nobody.
pub(crate) fn client(authority: &Authority) -> ClientConfig {
    client_of(&[&rustls::version::TLS13, &rustls::version::TLS12], authority, None)
}

pub(crate) fn client_of(
    versions: &[&'static SupportedProtocolVersion],
    authority: &Authority,
    identity: Option<&Pair>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    match identity {
        Some(pair) => builder.with_client_auth_cert(vec![pair.der.clone()], pair.key_der()).unwrap(),
        None => builder.with_no_client_auth(),
    }
}

#[derive(Debug)]
pub(crate) struct Met {
    pub(crate) client: ClientConnection,
    pub(crate) server: ServerConnection,
}

impl Met {
    /// The certificate that the server showed.
    pub(crate) fn shown(&self) -> &CertificateDer<'static> {
        &self.client.peer_certificates().unwrap()[0]
    }
}

/// Why the two did not come together: who gave up first, and why.
#[derive(Debug)]
#[expect(dead_code, reason = "what a test that fails shows")]
pub(crate) enum Parted {
    ByServer(rustls::Error),
    ByClient(rustls::Error),
}

/// A handshake, and what follows it (tickets), through memory.
pub(crate) fn meet(acceptor: &Acceptor, config: &Arc<ClientConfig>, name: &str) -> Result<Met, Parted> {
    let mut client =
        ClientConnection::new(Arc::clone(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut accepting = rustls::server::Acceptor::default();
    let mut wire = Vec::new();
    let accepted = loop {
        client.write_tls(&mut wire).unwrap();
        accepting.read_tls(&mut wire.as_slice()).unwrap();
        wire.clear();
        match accepting.accept() {
            Ok(Some(accepted)) => break accepted,
            Ok(None) => {}
            Err((error, _)) => return Err(Parted::ByServer(error)),
        }
    };
    let settings = acceptor.settings_for(&accepted.client_hello());
    let mut server = accepted.into_connection(settings).map_err(|(error, _)| Parted::ByServer(error))?;
    while client.wants_write() || server.wants_write() || client.is_handshaking() || server.is_handshaking() {
        pass(&mut |wire| server.write_tls(wire), &mut |wire| client.read_tls(wire));
        client.process_new_packets().map_err(Parted::ByClient)?;
        pass(&mut |wire| client.write_tls(wire), &mut |wire| server.read_tls(wire));
        server.process_new_packets().map_err(Parted::ByServer)?;
    }
    Ok(Met { client, server })
}

fn pass(
    from: &mut dyn FnMut(&mut dyn Write) -> io::Result<usize>,
    to: &mut dyn FnMut(&mut dyn Read) -> io::Result<usize>,
) {
    let mut wire = Vec::new();
    while from(&mut wire).unwrap() > 0 {}
    let mut rest = wire.as_slice();
    while !rest.is_empty() {
        to(&mut rest).unwrap();
    }
}

thread_local! {
    static LOGGED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// What was logged while `work` ran, as lines.
pub(crate) fn logged<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    listen();
    LOGGED.set(Some(Vec::new()));
    let done = work();
    let text = String::from_utf8(LOGGED.take().unwrap()).unwrap();
    (done, text.lines().map(str::to_owned).collect())
}

/// One listener for all tests, set up before the first can log: one per test would now and then miss an event that
/// another test logs for the first time at the same moment (tracing remembers that nobody listens).
fn listen() {
    struct Log;
    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            LOGGED.with_borrow_mut(|logged| {
                if let Some(logged) = logged {
                    logged.extend_from_slice(bytes);
                }
            });
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    static LISTENING: LazyLock<()> =
        LazyLock::new(|| tracing_subscriber::fmt().with_ansi(false).with_writer(|| Log).init());
    LazyLock::force(&LISTENING);
}
