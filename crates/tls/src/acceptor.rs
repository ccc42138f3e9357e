//! What makes TLS connections of the bytes of one listener.

use std::sync::Arc;

use rustls::server::ClientHello;
use rustls::{ServerConfig, ServerConnection};
use vestibule_config::Tls;

use crate::{Certificates, Challenges, Error, Files, Identity, Tickets};

/// The protocol (ALPN) of RFC 8737: such a connection proves that a name is ours, carries nothing, and is closed after
/// its handshake.
pub const ACME_TLS_PROTOCOL: &[u8] = b"acme-tls/1";

/// What makes TLS connections of the bytes of one listener. Shared by all workers; what changes in it is swapped whole.
#[derive(Debug)]
pub struct Acceptor;

impl Acceptor {
    /// Reads and checks the files that `settings` name; what is odd but works is told in warnings. With `http2` the
    /// protocols `h2` and `http/1.1` are offered (ALPN), else `http/1.1` alone. A listener with `acme` gets a self-signed
    /// certificate for its domains until one is given to [`Certificates::replace`]. Blocks while it reads.
    ///
    /// # Errors
    /// The first file that cannot be used, and what to do about it.
    pub fn new(
        _settings: &Tls,
        _http2: bool,
        _tickets: &Tickets,
        _challenges: &Arc<Challenges>,
    ) -> Result<Arc<Self>, Error> {
        todo!()
    }

    /// The configuration for the client whose first message is `hello`. One that speaks `acme-tls/1` and nothing else gets
    /// the challenge's certificate, and a refused handshake when no challenge stands for the name that it asks for.
    #[must_use]
    pub fn settings_for(&self, _hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        todo!()
    }

    /// Who the client is, after the handshake; `None` where the listener asks for no client certificate. Where it asks and
    /// the client has none, an identity that says `NONE`.
    ///
    /// A resumed session brings along a certificate that was verified when the session began: that is verified anew, by
    /// today's date, authorities and revocations.
    ///
    /// # Errors
    /// The certificate counts no more, or cannot be rendered: the connection must be closed without an answer.
    pub fn identity(&self, _connection: &ServerConnection) -> Result<Option<Identity>, Error> {
        todo!()
    }

    /// The certificates by name, for who has new ones.
    #[must_use]
    pub fn certificates(&self) -> &Arc<Certificates> {
        todo!()
    }

    /// What looks whether the files behind this changed. One per acceptor: two would undo each other's work.
    #[must_use]
    pub fn files(self: &Arc<Self>) -> Files {
        todo!()
    }
}
