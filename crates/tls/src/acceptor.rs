//! What makes TLS connections of the bytes of one listener.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{CommonState, HandshakeKind, ServerConfig};
use vestibule_config::{Tls, TlsVersion};

use crate::client::Clients;
use crate::files::Watched;
use crate::tickets::Rules;
use crate::{Certificates, Challenges, Error, Files, Identity, Source, Tickets, profile, self_signed};

/// The protocol (ALPN) of RFC 8737: such a connection proves that a name is ours, carries nothing, and is closed after
/// its handshake.
pub const ACME_TLS_PROTOCOL: &[u8] = b"acme-tls/1";

/// What makes TLS connections of the bytes of one listener. Shared by all workers; what changes in it is swapped whole.
#[derive(Debug)]
pub struct Acceptor {
    settings: Tls,
    http2: bool,
    tickets: Tickets,
    certificates: Arc<Certificates>,
    current: ArcSwap<Current>,
    /// For `acme-tls/1` alone.
    challenge: Arc<ServerConfig>,
    /// What the files were when they were read first.
    watched: Watched,
}

#[derive(Debug)]
struct Current {
    usual: Arc<ServerConfig>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl Acceptor {
    /// Reads and checks the files that `settings` name; what is odd but works is told in warnings. With `http2` the
    /// protocols `h2` and `http/1.1` are offered (ALPN), else `http/1.1` alone. A listener with `acme` gets a self-signed
    /// certificate for its domains until one is given to [`Certificates::replace`]. Blocks while it reads.
    ///
    /// # Errors
    /// The first file that cannot be used, and what to do about it.
    pub fn new(
        settings: &Tls,
        http2: bool,
        tickets: &Tickets,
        challenges: &Arc<Challenges>,
    ) -> Result<Arc<Self>, Error> {
        let (watched, clients) = Watched::read(settings)?;
        let certificates = Arc::new(Certificates::default());
        certificates.replace(Source::Files, watched.certificates());
        if let Some(acme) = &settings.acme {
            let stand_in = self_signed(&acme.domains)?.certificate;
            certificates.replace(Source::Acme, vec![Arc::new(stand_in)]);
        }
        let current = current(settings, http2, tickets, &certificates, clients)?;
        let mut challenge = builder(TlsVersion::V12, WebPkiClientVerifier::no_client_auth())?
            .with_cert_resolver(Arc::clone(challenges) as _);
        challenge.alpn_protocols = vec![ACME_TLS_PROTOCOL.to_vec()];
        challenge.session_storage = Arc::new(NoServerSessionStorage {});
        challenge.send_tls13_tickets = 0;
        Ok(Arc::new(Self {
            settings: settings.clone(),
            http2,
            tickets: tickets.clone(),
            certificates,
            current: ArcSwap::from_pointee(current),
            challenge: Arc::new(challenge),
            watched,
        }))
    }

    /// The configuration for the client whose first message is `hello`. One that speaks `acme-tls/1` and nothing else gets
    /// the challenge's certificate, and a refused handshake when no challenge stands for the name that it asks for.
    #[must_use]
    pub fn settings_for(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        // RFC 8737 3: an authority offers this protocol and no other.
        let is_challenge = hello
            .alpn()
            .is_some_and(|mut names| names.next() == Some(ACME_TLS_PROTOCOL) && names.next().is_none());
        if is_challenge { Arc::clone(&self.challenge) } else { Arc::clone(&self.current.load().usual) }
    }

    /// Who the client is, after the handshake; `None` where the listener asks for no client certificate. Where it asks and
    /// the client has none, an identity that says `NONE`.
    ///
    /// A resumed session brings along a certificate that was verified when the session began: that is verified anew, by
    /// today's date, authorities and revocations. (A session can go on from ticket to ticket without an end.)
    ///
    /// # Errors
    /// The certificate counts no more, or cannot be rendered: the connection must be closed without an answer.
    pub fn identity(&self, connection: &CommonState) -> Result<Option<Identity>, Error> {
        self.identity_at(connection, UnixTime::now())
    }

    pub(crate) fn identity_at(
        &self,
        connection: &CommonState,
        now: UnixTime,
    ) -> Result<Option<Identity>, Error> {
        let current = self.current.load();
        let Some(clients) = &current.clients else { return Ok(None) };
        if connection.alpn_protocol() == Some(ACME_TLS_PROTOCOL) {
            return Ok(None);
        }
        let Some((leaf, chain)) = connection.peer_certificates().and_then(<[_]>::split_first) else {
            if clients.client_auth_mandatory() {
                return Err(Error::NoClientCertificate);
            }
            return Ok(Some(Identity::none()));
        };
        if connection.handshake_kind() == Some(HandshakeKind::Resumed) {
            clients.verify_client_cert(leaf, chain, now).map_err(Error::ClientCertificate)?;
        }
        Identity::of_certificate(leaf).map(Some)
    }

    /// The certificates by name, for who has new ones.
    #[must_use]
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// What looks whether the files behind this changed. One per acceptor: two would undo each other's work.
    #[must_use]
    pub fn files(self: &Arc<Self>) -> Files {
        Files::new(Arc::clone(self), self.watched.clone())
    }

    pub(crate) fn settings(&self) -> &Tls {
        &self.settings
    }

    /// From now on clients are verified by these. Sessions that began under others are not resumed.
    pub(crate) fn take_clients(&self, clients: Clients) -> Result<(), Error> {
        let current = current(&self.settings, self.http2, &self.tickets, &self.certificates, Some(clients))?;
        self.current.store(Arc::new(current));
        Ok(())
    }
}

fn current(
    settings: &Tls,
    http2: bool,
    tickets: &Tickets,
    certificates: &Arc<Certificates>,
    clients: Option<Clients>,
) -> Result<Current, Error> {
    let (clients, rules) =
        clients.map_or((None, Rules::default()), |clients| (Some(clients.verifier), clients.rules));
    let verifier = clients.clone().unwrap_or_else(WebPkiClientVerifier::no_client_auth);
    let mut usual = builder(settings.minimum, verifier)?.with_cert_resolver(Arc::clone(certificates) as _);
    usual.alpn_protocols =
        if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    // The client knows what its processor is fast at; each suite is as good as the other (so Mozilla's profile).
    usual.ignore_client_order = false;
    // No early data: whoever recorded it could send it again (RFC 8446 8), and a POST must never run twice.
    usual.max_early_data_size = 0;
    // Tickets alone, no table of sessions that workers would share behind a lock.
    usual.session_storage = Arc::new(NoServerSessionStorage {});
    usual.ticketer = tickets.bound_to(rules);
    Ok(Current { usual: Arc::new(usual), clients })
}

fn builder(
    minimum: TlsVersion,
    verifier: Arc<dyn ClientCertVerifier>,
) -> Result<rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>, Error> {
    let builder = ServerConfig::builder_with_provider(profile::provider());
    let builder = builder.with_protocol_versions(profile::versions(minimum)).map_err(Error::Settings)?;
    Ok(builder.with_client_cert_verifier(verifier))
}
