//! The TLS handshake of one connection: from its first byte to the first of a request.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use rustls::ServerConfig;
use vestibule_tls::{ACME_TLS_PROTOCOL, Acceptor};
use vestibule_upstream::{Buffer, Deadline};

use crate::client_stream::ClientStream;
use crate::house::House;
use crate::idle::Seat;
use crate::inbound::READ_SIZE;
use crate::linger::linger_briefly;
use crate::parking::LAST_WAIT_NEW;
use crate::tls_session::TlsSession;

/// What a client may have sent without its message being whole: RFC 8446 4 allows 16 MiB, rustls takes 64 KiB, and what is
/// behind that in smaller and smaller records only costs.
const MOST_RECEIVED: usize = 80 * 1024;

/// What came of a handshake.
#[derive(Debug)]
pub(crate) enum Shaken {
    /// The connection speaks TLS now, and this protocol over it.
    Done(Protocol),
    /// Nothing was received at all: wait on.
    Nothing,
    /// There is nothing more to do.
    Over,
    /// What came is HTTP, in the clear.
    PlainHttp,
}

/// What is spoken over TLS (ALPN).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Why there was no handshake.
#[derive(Debug)]
enum Failure {
    /// Somebody else needs its place, or it had none in the line.
    Displaced,
    Left,
    Late,
    Socket(io::Error),
    Tls(rustls::Error),
    Client(vestibule_tls::Error),
    TooLarge,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Left => f.write_str("the client left"),
            Failure::Displaced => f.write_str("too many others"),
            Failure::Late => f.write_str("limits.handshake_timeout has passed"),
            Failure::Socket(error) => error.fmt(f),
            Failure::Tls(error) => error.fmt(f),
            Failure::Client(error) => error.fmt(f),
            Failure::TooLarge => f.write_str("the client's message is too large"),
        }
    }
}

/// How far a handshake is.
enum Stage {
    /// The client's first message, by which the settings are chosen, is not whole.
    Hello { acceptor: Box<rustls::server::Acceptor>, fed: usize },
    /// They are chosen.
    Session(Box<TlsSession>),
}

/// A handshake under way.
pub(crate) struct Handshake<'a> {
    pub(crate) house: &'a House,
    pub(crate) stream: &'a mut ClientStream,
    pub(crate) acceptor: &'a Acceptor,
    pub(crate) address: IpAddr,
    /// `limits.handshake_timeout` since the connection was accepted.
    pub(crate) deadline: &'a Deadline,
    pub(crate) seat: &'a Seat,
    /// What was received so far.
    pub(crate) received: &'a mut Buffer,
}

impl Handshake<'_> {
    /// Goes through it. The lines that the application gets about the client's certificate are put into `certificate`.
    pub(crate) async fn run(mut self, certificate: &mut Box<[u8]>) -> Shaken {
        // Nothing is made before the first byte is there.
        if self.received.is_empty() {
            match poll_fn(|cx| Poll::Ready(self.received.poll_fill(self.stream, cx, READ_SIZE))).await {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Shaken::Over,
                Poll::Pending => return Shaken::Nothing,
            }
        }
        if self.received.filled().first().is_some_and(u8::is_ascii_alphabetic) {
            return Shaken::PlainHttp;
        }
        let outcome = self.shake(certificate).await;
        self.seat.leave();
        match outcome {
            Ok(Some(protocol)) => Shaken::Done(protocol),
            Ok(None) => {
                self.stream.farewell();
                Shaken::Over
            }
            Err(failure) => {
                self.house.failed_handshakes().count(self.address, &failure);
                Shaken::Over
            }
        }
    }

    async fn shake(&mut self, certificate: &mut Box<[u8]>) -> Result<Option<Protocol>, Failure> {
        let mut stage = Stage::Hello { acceptor: Box::default(), fed: 0 };
        let mut is_last = false;
        let session = loop {
            // Of hundreds at once even the reading of their messages adds up, so that is a part of the turn.
            let (turn, has_waited) =
                self.house.turnstile.enter().await.map_err(|_crowded| Failure::Displaced)?;
            if self.deadline.is_due() {
                return Err(Failure::Late);
            }
            // Who gave up while it waited needs no answer.
            if has_waited && self.stream.has_ended() {
                return Err(Failure::Left);
            }
            let outcome = self.compute(&mut stage);
            let mut sent = Poll::Ready(Ok(()));
            if let Stage::Session(session) = &mut stage {
                let socket = self.stream.socket();
                sent = poll_fn(|cx| Poll::Ready(session.poll_sent(socket, cx))).await;
            }
            turn.end().await;
            if let Err(failure) = outcome {
                // Its alert is on the way, if the kernel took it; what the client still sends would overtake it.
                linger_briefly(self.house, self.stream).await;
                return Err(failure);
            }
            if let Poll::Ready(Err(error)) = sent {
                return Err(Failure::Socket(error));
            }
            stage = match stage {
                Stage::Session(session) if sent.is_ready() && !session.agreed().is_handshaking() => {
                    break session;
                }
                stage => stage,
            };
            self.go_on(&mut stage, &mut is_last).await?;
        };
        self.agree(session, certificate)
    }

    /// Does what can be done with what was received; what there is to say to it waits in the session.
    fn compute(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        if let Stage::Hello { acceptor, fed } = stage {
            let settings = match self.settings(acceptor, fed)? {
                Some(settings) => settings,
                None => return Ok(()),
            };
            // The message stays where it is, and is read again: rustls has no way from the one to the other, and it takes a
            // hundredth of what follows.
            *stage = Stage::Session(Box::new(TlsSession::new(settings).map_err(Failure::Tls)?));
        }
        if let Stage::Session(session) = stage {
            let used = session.shake(self.received.filled_mut()).map_err(Failure::Tls)?;
            self.received.consume(used);
        }
        Ok(())
    }

    /// The settings for this client, once its first message is whole. `fed` of what was received has been looked at.
    fn settings(
        &mut self,
        hello: &mut rustls::server::Acceptor,
        fed: &mut usize,
    ) -> Result<Option<Arc<ServerConfig>>, Failure> {
        let mut rest = self.received.filled().get(*fed..).unwrap_or_default();
        while !rest.is_empty() {
            hello.read_tls(&mut rest).map_err(|_full| Failure::TooLarge)?;
            *fed = self.received.len() - rest.len();
            match hello.accept() {
                Ok(Some(accepted)) => return Ok(Some(self.acceptor.settings_for(&accepted.client_hello()))),
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut bytes = Vec::new();
                    let _ = alert.write_all(&mut bytes);
                    let _ = self.stream.socket().write_now(&bytes);
                    return Err(Failure::Tls(error));
                }
            }
        }
        Ok(None)
    }

    /// The handshake is over: from now on the connection speaks TLS. Gives what is spoken over it; `None` where the handshake
    /// was all.
    fn agree(
        &mut self,
        mut session: Box<TlsSession>,
        certificate: &mut Box<[u8]>,
    ) -> Result<Option<Protocol>, Failure> {
        session.begin_with(self.received.filled());
        self.received.clear();
        if let Some(identity) = self.acceptor.identity(session.agreed()).map_err(Failure::Client)? {
            *certificate = identity.fields().into();
        }
        let protocol = match session.agreed().alpn_protocol() {
            Some(b"h2") => Some(Protocol::Http2),
            // RFC 8737 3
            Some(ACME_TLS_PROTOCOL) => None,
            _ => Some(Protocol::Http1),
        };
        self.stream.secure(session);
        Ok(protocol)
    }

    /// Waits until something more is received, or what waits to be sent is.
    async fn go_on(&mut self, stage: &mut Stage, is_last: &mut bool) -> Result<(), Failure> {
        if self.received.len() >= MOST_RECEIVED {
            return Err(Failure::TooLarge);
        }
        poll_fn(|cx| {
            let mut may_read = true;
            if let Stage::Session(session) = stage
                && session.has_unsent()
            {
                match session.poll_sent(self.stream.socket(), cx) {
                    Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(Failure::Socket(error))),
                    // It has to read first.
                    Poll::Pending => may_read = false,
                }
            }
            if may_read {
                match self.received.poll_fill(self.stream, cx, READ_SIZE) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(Failure::Left)),
                    Poll::Ready(Ok(_)) => return Poll::Ready(Ok(())),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(Failure::Socket(error))),
                    Poll::Pending => {}
                }
            }
            // As a connection without a request: it has nothing that anybody waits for.
            if self.house.is_draining() && !std::mem::replace(is_last, true) {
                self.deadline.reset(LAST_WAIT_NEW);
            }
            if self.seat.poll_called(cx).is_ready() {
                return Poll::Ready(Err(Failure::Displaced));
            }
            self.deadline.poll(cx).map(|()| Err(Failure::Late))
        })
        .await
    }
}

/// Handshakes of all workers that failed, since they were last reported.
///
/// Anybody on the internet can make them fail, so they are counted, and one of them is shown.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    count: AtomicU64,
    example: Mutex<Option<(IpAddr, String)>>,
}

impl Failures {
    fn count(&self, address: IpAddr, failure: &Failure) {
        self.count.fetch_add(1, Ordering::Relaxed);
        // The first will do, so there is nothing to wait for, nor to format twice.
        if let Ok(mut example) = self.example.try_lock()
            && example.is_none()
        {
            *example = Some((address, with_causes(failure)));
        }
    }

    /// Logs what failed since the last call; whether anything did.
    pub(crate) fn report(&self) -> bool {
        let count = self.count.swap(0, Ordering::Relaxed);
        if count == 0 {
            return false;
        }
        let example = self.example.lock().ok().and_then(|mut example| example.take());
        let (address, why) = example.unzip();
        tracing::warn!(count, example = address.map(tracing::field::display), why, "TLS handshakes failed");
        true
    }
}

fn with_causes(failure: &Failure) -> String {
    let mut text = failure.to_string();
    let mut cause = match failure {
        Failure::Client(error) => std::error::Error::source(error),
        _ => None,
    };
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
