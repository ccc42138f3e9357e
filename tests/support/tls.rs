//! A client that speaks TLS, and a Vestibule that does.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, StreamOwned, SupportedProtocolVersion};

use super::certificates::{Authority, Kind, Pair};
use super::client::Client;
use super::dir::Dir;
use super::vestibule::config;
use super::wait::seconds;

/// The name that the certificate of most tests is for.
pub(crate) const NAME: &str = "example.com";

static TLS12_ALONE: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
static TLS13_ALONE: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

/// A client's connection.
pub(crate) type Secure = Client<StreamOwned<ClientConnection, TcpStream>>;

/// How a client speaks TLS.
#[derive(Clone)]
pub(crate) struct Speaker {
    authority: Arc<Authority>,
    versions: &'static [&'static SupportedProtocolVersion],
    protocols: Vec<Vec<u8>>,
    pair: Option<Arc<Pair>>,
}

impl Speaker {
    /// One who trusts `authority`.
    pub(crate) fn new(authority: &Arc<Authority>) -> Speaker {
        let versions = rustls::ALL_VERSIONS;
        Speaker { authority: Arc::clone(authority), versions, protocols: Vec::new(), pair: None }
    }

    pub(crate) fn version(mut self, version: ProtocolVersion) -> Speaker {
        self.versions = match version {
            ProtocolVersion::TLSv1_2 => &TLS12_ALONE,
            _ => &TLS13_ALONE,
        };
        self
    }

    pub(crate) fn protocols(mut self, protocols: &[&str]) -> Speaker {
        self.protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// Who shows this certificate when asked for one.
    pub(crate) fn identity(mut self, pair: Pair) -> Speaker {
        self.pair = Some(Arc::new(pair));
        self
    }

    /// The settings: connections that share them resume each other's sessions.
    pub(crate) fn settings(&self) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(self.versions)
            .expect("versions")
            .with_root_certificates(self.authority.roots());
        let mut settings = match &self.pair {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                builder.with_client_auth_cert(vec![pair.certificate.clone()], pair.key()).expect("a pair")
            }
        };
        settings.alpn_protocols = self.protocols.clone();
        settings.resumption = Resumption::in_memory_sessions(256);
        Arc::new(settings)
    }

    /// A new connection, without a session to resume, that asks for `NAME`.
    pub(crate) fn connect(&self, address: SocketAddr) -> io::Result<Secure> {
        over(TcpStream::connect(address)?, self.settings(), NAME)
    }
}

/// Speaks TLS over `socket`, and goes through the handshake.
pub(crate) fn over(socket: TcpStream, settings: Arc<ClientConfig>, name: &str) -> io::Result<Secure> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(seconds(60)))?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut stream = StreamOwned::new(ClientConnection::new(settings, name).expect("settings"), socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(Client::over(stream))
}

/// An authority, and a certificate of its for [`NAME`] in `dir`.
pub(crate) fn certified(dir: &Dir, kind: Kind) -> Arc<Authority> {
    let authority = Arc::new(Authority::new());
    authority.server(&[NAME, "127.0.0.1"], kind).write(dir.path(), "server");
    authority.file(dir.path());
    authority
}

/// A configuration as [`config`] gives it, with TLS by the certificate in `dir`; `more` goes into `[upstream.app]`.
pub(crate) fn tls_config(dir: &Dir, more: &str) -> String {
    with_tls(dir, &config(dir, more), "")
}

/// The same of any configuration, with `more` keys of `tls`.
pub(crate) fn with_tls(dir: &Dir, config: &str, more: &str) -> String {
    let (certificate, key) = (dir.join("server.pem"), dir.join("server.key"));
    let tls = format!("tls = {{ certificate = {certificate:?}, key = {key:?}{more} }}\n");
    config.replacen("[[listen]]\n", &format!("[[listen]]\n{tls}"), 1)
}
