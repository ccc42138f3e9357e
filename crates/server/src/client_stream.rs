//! A client's connection: a bare socket, or one that speaks TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;
use vestibule_upstream::Stream;

use crate::sink::Sink;

/// What a client is connected by.
#[derive(Debug)]
pub(crate) enum ClientStream {
    /// Bytes as they are.
    Plain(Stream),
    /// Over TLS, after its handshake.
    Tls(Box<TlsStream<Stream>>),
}

impl ClientStream {
    fn socket(&self) -> &Stream {
        match self {
            ClientStream::Plain(stream) => stream,
            ClientStream::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Ready when there is something to read: bytes, the end, or an error. Over TLS it may turn out to be nothing for us.
    #[inline]
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            ClientStream::Plain(stream) => stream.poll_readable(cx),
            ClientStream::Tls(stream) => {
                let (socket, session) = stream.get_mut();
                // What it has decrypted already, the socket knows nothing of.
                match session.process_new_packets() {
                    Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {
                        socket.poll_readable(cx)
                    }
                    _ => Poll::Ready(Ok(())),
                }
            }
        }
    }

    /// Whether nothing is to be read, as far as the event loop has heard. A byte that is there may be lost by asking.
    pub(crate) fn is_quiet(&mut self) -> bool {
        match self {
            ClientStream::Plain(stream) => stream.is_quiet(),
            ClientStream::Tls(stream) => {
                let (socket, session) = stream.get_mut();
                let has_plaintext =
                    session.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() > 0);
                !has_plaintext && socket.is_quiet()
            }
        }
    }

    /// Writes at once what the kernel takes. Over TLS nothing: what has no room for waiting cannot be encrypted first.
    ///
    /// # Errors
    /// `WouldBlock` when nothing can be written now; else the socket's own.
    pub(crate) fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            ClientStream::Plain(stream) => stream.write_now(bytes),
            ClientStream::Tls(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Whether the client closed its sending, or all; bytes that it sent before may still be there to read.
    pub(crate) fn has_ended(&self) -> bool {
        self.socket().has_ended()
    }

    /// Makes closing it a reset: the client must not take what came for the whole.
    pub(crate) fn reset_on_close(&self) {
        self.socket().reset_on_close();
    }

    /// Has the kernel find out when a silent client is gone.
    pub(crate) fn keep_alive(&self) {
        self.socket().keep_alive();
    }
}

impl Sink for ClientStream {
    #[inline]
    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            ClientStream::Plain(_) => Poll::Ready(Ok(())),
            ClientStream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn undelivered(&self) -> Option<u32> {
        self.socket().undelivered()
    }
}

impl AsyncRead for ClientStream {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ClientStream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            ClientStream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ClientStream {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            ClientStream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            ClientStream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_sent(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ClientStream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            ClientStream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
