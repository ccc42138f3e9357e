//! A TLS client that costs little: a load that checked signatures would be slower than what it measures.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned, version};

/// A connection through TLS.
pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// How a client shakes hands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hello {
    /// The protocol that it speaks, by its name in ALPN.
    pub(crate) protocol: &'static str,
    /// Whether it comes back with the tickets that it got.
    pub(crate) resumes: bool,
    /// Whether it also offers X25519MLKEM768, first, as browsers do; X25519 alone otherwise.
    pub(crate) post_quantum: bool,
}

impl Hello {
    /// A client of HTTP/1.1 that always makes a whole handshake with X25519.
    pub(crate) const PLAIN: Self = Self { protocol: "http/1.1", resumes: false, post_quantum: false };

    /// The settings of such a client: TLS 1.3, AES-256-GCM before all others, which is all that it offers, so that
    /// every server has the same work. Tickets are kept in them.
    pub(crate) fn settings(self) -> Result<Arc<ClientConfig>> {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384];
        provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
        if self.post_quantum {
            provider.kx_groups.insert(0, aws_lc_rs::kx_group::X25519MLKEM768);
        }
        let trusting = Arc::new(Trusting(provider.clone()));
        let mut settings = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&version::TLS13])
            .context("no TLS 1.3")?
            .dangerous()
            .with_custom_certificate_verifier(trusting)
            .with_no_client_auth();
        settings.alpn_protocols = vec![self.protocol.into()];
        if !self.resumes {
            settings.resumption = Resumption::disabled();
        }
        Ok(Arc::new(settings))
    }
}

/// Connects; the handshake is made by the first write or read. Both give up after 30 s.
pub(crate) fn connect(address: SocketAddr, settings: &Arc<ClientConfig>) -> Result<Stream> {
    let stream = TcpStream::connect(address).context("cannot connect")?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").context("not a name")?;
    Ok(StreamOwned::new(ClientConnection::new(Arc::clone(settings), name)?, stream))
}

/// Takes every certificate and every signature: the server's work is the same, the client's is half.
#[derive(Debug)]
struct Trusting(CryptoProvider);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
