//! TLS over a client's socket: records in, plaintext out, and back.
//!
//! Built on rustls' unbuffered connection, which owns no buffer: records are read into, decrypted in and encrypted to memory
//! that all connections of a thread share. What a connection keeps is what it cannot do without: the part of a record that
//! has come so far, plaintext that nobody has taken yet, records that the kernel has not taken yet. An idle one keeps none of
//! them.

use std::cell::RefCell;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};
use rustls::{CommonState, ServerConfig};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use vestibule_upstream::Stream;

/// The largest record, with its head (RFC 5246 6.2.3; those of RFC 8446 5.2 are smaller).
const RECORD: usize = 5 + 16 * 1024 + 2048;
/// What may wait for the rest of a record, or of a message over several: after the handshake a client has none to send that
/// would need it.
const MOST_PARTIAL: usize = RECORD + 4 * 1024;
/// Plaintext that is encrypted at once, into whole records: what an answer is flushed by.
const MOST_AT_ONCE: usize = 64 * 1024;
/// The same as long as the kernel does not take all: what is encrypted waits here, and for this client alone.
const MOST_BEHIND: usize = 16 * 1024;
/// Room for that with what its records need beyond, for a key update and a close.
const SEALED: usize = MOST_AT_ONCE + 1024;

thread_local! {
    /// Records of whichever connection has its turn: those that it receives, and those that it sends. Initialised once.
    static RECEIVED: RefCell<Vec<u8>> = RefCell::new(vec![0; MOST_PARTIAL + RECORD]);
    static SENT: RefCell<Vec<u8>> = RefCell::new(vec![0; SEALED]);
}

/// TLS over one socket, which each call is given.
pub(crate) struct TlsSession {
    tls: UnbufferedServerConnection,
    /// Received, and no whole record yet.
    partial: Vec<u8>,
    plain: Waiting,
    /// Encrypted.
    sealed: Waiting,
    /// The client will send no more.
    has_ended: bool,
    /// We will send no more.
    is_shut: bool,
    /// The kernel did not take all of the last write.
    is_behind: bool,
    /// What the client sent was wrong: nothing can be read or written any more.
    has_failed: bool,
}

/// Bytes that wait to be taken from the front.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    taken: usize,
}

impl Waiting {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn take(&mut self, count: usize) {
        self.taken += count;
        if self.is_empty() {
            *self = Waiting::default();
        }
    }
}

impl std::fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsSession").field("has_ended", &self.has_ended).finish_non_exhaustive()
    }
}

impl TlsSession {
    /// One whose handshake is still to come.
    ///
    /// # Errors
    /// When rustls cannot work by these settings.
    pub(crate) fn new(settings: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(TlsSession {
            tls: UnbufferedServerConnection::new(settings)?,
            partial: Vec::new(),
            plain: Waiting::default(),
            sealed: Waiting::default(),
            has_ended: false,
            is_shut: false,
            is_behind: false,
            has_failed: false,
        })
    }

    /// What was agreed on.
    pub(crate) fn agreed(&self) -> &CommonState {
        &self.tls
    }

    /// Goes on with the handshake by what was received; gives how many bytes of it are used up. The rest has to stand before
    /// what comes next. What it has to say waits for [`poll_sent`](Self::poll_sent), after an error too.
    ///
    /// # Errors
    /// What is wrong with what the client sent.
    pub(crate) fn shake(&mut self, received: &mut [u8]) -> Result<usize, rustls::Error> {
        let plain = &mut self.plain;
        Session { tls: &mut self.tls, sealed: &mut self.sealed, has_ended: &mut self.has_ended }
            .go_on(received, |bytes| plain.push(bytes), Then::Nothing)
            .inspect_err(|_| self.has_failed = true)
    }

    /// Begins with what is left of what was received for the handshake.
    pub(crate) fn begin_with(&mut self, partial: &[u8]) {
        self.partial = partial.to_vec();
    }

    /// Whether something that it took still waits here.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.sealed.is_empty()
    }

    /// Ready when there is something to read: bytes, the end, or an error. It may turn out to be nothing yet.
    #[inline]
    pub(crate) fn poll_readable(&self, socket: &Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What is decrypted already, the socket knows nothing of.
        if self.plain.is_empty() && !self.has_ended { socket.poll_readable(cx) } else { Poll::Ready(Ok(())) }
    }

    /// Whether nothing is to be read, as far as the event loop has heard. A byte may be lost by asking: after it nothing may
    /// be read but waste, from the socket.
    pub(crate) fn is_quiet(&self, socket: &Stream) -> bool {
        self.plain.is_empty() && !self.has_ended && socket.is_quiet()
    }

    /// Bytes on their way that the client has not acknowledged.
    pub(crate) fn undelivered(&self, socket: &Stream) -> Option<u32> {
        let waiting = u32::try_from(self.sealed.rest().len()).unwrap_or(u32::MAX);
        socket.undelivered().map(|bytes| bytes.saturating_add(waiting))
    }

    /// Reads what the client sent, decrypted: nothing at its end.
    ///
    /// # Errors
    /// The socket's; `InvalidData` when what the client sent was wrong.
    pub(crate) fn poll_read(
        &mut self,
        socket: &mut Stream,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.plain.is_empty() {
            let rest = self.plain.rest();
            let count = rest.len().min(out.remaining());
            out.put_slice(rest.get(..count).unwrap_or_default());
            self.plain.take(count);
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        while !self.has_ended && out.filled().len() == before {
            if self.has_failed {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            ready!(self.poll_receive(socket, cx, out))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes bytes from the front of `bytes`, and gives how many; see [`poll_sent`](Self::poll_sent).
    ///
    /// # Errors
    /// When the client is gone, or what it sent was wrong.
    pub(crate) fn poll_write(
        &mut self,
        socket: &mut Stream,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.has_failed || self.is_shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_sent(socket, cx))?;
        self.poll_seal(socket, cx, bytes)
    }

    /// Ends our side, in an orderly way.
    ///
    /// # Errors
    /// When the client is gone.
    pub(crate) fn poll_shutdown(
        &mut self,
        socket: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.seal_close();
        ready!(self.poll_sent(socket, cx))?;
        Pin::new(&mut *socket).poll_shutdown(cx)
    }

    /// Says that no more will come, if that can be said at once.
    pub(crate) fn farewell(&mut self, socket: &Stream) {
        self.seal_close();
        if !self.sealed.is_empty() {
            let _ = socket.write_now(self.sealed.rest());
        }
    }

    /// Ready when all that was taken is with the kernel.
    ///
    /// # Errors
    /// When the client is gone.
    pub(crate) fn poll_sent(&mut self, socket: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.sealed.is_empty() {
            let count = ready!(Pin::new(&mut *socket).poll_write(cx, self.sealed.rest()))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sealed.take(count);
        }
        Poll::Ready(Ok(()))
    }

    /// Puts a close_notify behind what waits, once; none after an error, which had an alert of its own.
    fn seal_close(&mut self) {
        if mem::replace(&mut self.is_shut, true) || self.has_failed {
            return;
        }
        let mut room = [0; 256];
        let mut count = 0;
        let plain = &mut self.plain;
        let outcome =
            Session { tls: &mut self.tls, sealed: &mut self.sealed, has_ended: &mut self.has_ended }.go_on(
                &mut self.partial,
                |bytes| plain.push(bytes),
                Then::Close(&mut room, &mut count),
            );
        self.has_failed |= outcome.is_err();
        self.sealed.push(room.get(..count).unwrap_or_default());
    }

    /// Decrypts the records at the start of `received` into `out`, and what has no room there to `plain`. What is left begins
    /// a record whose rest has not come.
    fn open(&mut self, received: &mut [u8], out: &mut ReadBuf<'_>) {
        let plain = &mut self.plain;
        let take = |bytes: &[u8]| {
            let (first, rest) =
                bytes.split_at(if plain.is_empty() { bytes.len().min(out.remaining()) } else { 0 });
            out.put_slice(first);
            plain.push(rest);
        };
        let mut session =
            Session { tls: &mut self.tls, sealed: &mut self.sealed, has_ended: &mut self.has_ended };
        let outcome = session.go_on(received, take, Then::Nothing);
        let rest = outcome.as_ref().map_or(&[][..], |used| received.get(*used..).unwrap_or_default());
        self.has_failed = outcome.is_err() || rest.len() > MOST_PARTIAL;
        if !self.has_failed {
            self.partial.extend_from_slice(rest);
        }
    }

    /// Reads once, and decrypts what is whole by then.
    fn poll_receive(
        &mut self,
        socket: &mut Stream,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        RECEIVED.with_borrow_mut(|received| {
            let kept = self.partial.len();
            // As much as is wanted, or a record: what is more waits decrypted.
            let end = kept + out.remaining().clamp(RECORD, MOST_AT_ONCE);
            if received.len() < end {
                received.resize(end, 0);
            }
            let mut target = ReadBuf::new(received.get_mut(kept..end).unwrap_or_default());
            ready!(Pin::new(&mut *socket).poll_read(cx, &mut target))?;
            let count = target.filled().len();
            if count == 0 {
                // Without a close_notify. What this would make look whole has a length or an end of its own, and many
                // clients just close.
                self.has_ended = true;
                return Poll::Ready(Ok(()));
            }
            if let Some(start) = received.get_mut(..kept) {
                start.copy_from_slice(&self.partial);
                self.partial = Vec::new();
            }
            self.open(received.get_mut(..kept + count).unwrap_or_default(), out);
            // What it answers by itself: an alert, an update of keys. What the kernel does not take goes with the next answer.
            let _ = self.poll_sent(socket, cx)?;
            Poll::Ready(Ok(()))
        })
    }

    /// Encrypts as much from the front of `bytes` as may be under way at once, and writes it. Nothing may wait from before.
    fn poll_seal(
        &mut self,
        socket: &mut Stream,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let most = if self.is_behind { MOST_BEHIND } else { MOST_AT_ONCE };
        let bytes = bytes.get(..most).unwrap_or(bytes);
        SENT.with_borrow_mut(|sent| {
            let plain = &mut self.plain;
            let mut count = 0;
            let outcome =
                Session { tls: &mut self.tls, sealed: &mut self.sealed, has_ended: &mut self.has_ended }
                    .go_on(
                        &mut self.partial,
                        |bytes| plain.push(bytes),
                        Then::Send(bytes, sent.as_mut_slice(), &mut count),
                    );
            if let Err(error) = outcome {
                self.has_failed = true;
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
            }
            let mut sealed = sent.get(..count).unwrap_or_default();
            // What the session had to say comes first.
            while self.sealed.is_empty() && !sealed.is_empty() {
                match Pin::new(&mut *socket).poll_write(cx, sealed) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(count)) => sealed = sealed.get(count..).unwrap_or_default(),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => break,
                }
            }
            self.is_behind = !sealed.is_empty();
            self.sealed.push(sealed);
            Poll::Ready(Ok(bytes.len()))
        })
    }
}

/// What goes through the session's own machinery.
struct Session<'a> {
    tls: &'a mut UnbufferedServerConnection,
    sealed: &'a mut Waiting,
    has_ended: &'a mut bool,
}

/// What is to be done once all that was received is used.
enum Then<'a> {
    Nothing,
    /// Encrypt this into that room, and say how much of it that took.
    Send(&'a [u8], &'a mut [u8], &'a mut usize),
    /// Say in the same way that no more will come.
    Close(&'a mut [u8], &'a mut usize),
}

impl Session<'_> {
    /// Goes through the records at the start of `received`, hands what they carry to `take`, and does what is to be done
    /// `then`. Gives how many bytes are used up; the rest is no whole record or message, and has to stand before what comes
    /// next.
    fn go_on(
        &mut self,
        received: &mut [u8],
        mut take: impl FnMut(&[u8]),
        mut then: Then<'_>,
    ) -> Result<usize, rustls::Error> {
        let mut used = 0;
        loop {
            let rest = received.get_mut(used..).unwrap_or_default();
            let UnbufferedStatus { mut discard, state } = self.tls.process_tls_records(rest);
            let mut is_done = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        take(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => self.sealed.encode(data),
                // It waits in order with all else that is sent.
                Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
                Ok(ConnectionState::PeerClosed) => *self.has_ended = true,
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    match mem::replace(&mut then, Then::Nothing) {
                        Then::Nothing => {}
                        Then::Send(bytes, room, count) => {
                            *count = traffic.encrypt(bytes, room).map_err(no_room)?;
                        }
                        Then::Close(room, count) => {
                            *count = traffic.queue_close_notify(room).map_err(no_room)?;
                        }
                    }
                    is_done = true;
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => is_done = true,
                Ok(_) => return Err(rustls::Error::General("early data, which is not taken".to_owned())),
                Err(error) => {
                    let rest = received.get_mut(used + discard..).unwrap_or_default();
                    // Its alert, behind what was to be said before.
                    while let Ok(ConnectionState::EncodeTlsData(data)) =
                        self.tls.process_tls_records(rest).state
                    {
                        self.sealed.encode(data);
                    }
                    return Err(error);
                }
            }
            used += discard;
            if is_done {
                return Ok(used);
            }
        }
    }
}

impl Waiting {
    fn encode(&mut self, mut data: EncodeTlsData<'_, ServerConnectionData>) {
        let start = self.bytes.len();
        // It only tells how long it is when there is no room.
        if let Err(EncodeError::InsufficientSize(error)) = data.encode(&mut []) {
            self.bytes.resize(start + error.required_size, 0);
            let count = data.encode(self.bytes.get_mut(start..).unwrap_or_default());
            self.bytes.truncate(start + count.unwrap_or_default());
        }
    }
}

fn no_room(error: EncryptError) -> rustls::Error {
    rustls::Error::General(error.to_string())
}
