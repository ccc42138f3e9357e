//! A client's connection: a bare socket, or one that speaks TLS.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use vestibule_upstream::{Buffer, Stream};

use crate::sink::Sink;
use crate::tls_session::TlsSession;

/// What a client is connected by.
#[derive(Debug)]
pub(crate) struct ClientStream {
    socket: Stream,
    /// What is spoken over it; `None` as long as bytes go as they are.
    tls: Option<Box<TlsSession>>,
}

impl From<Stream> for ClientStream {
    fn from(socket: Stream) -> Self {
        ClientStream { socket, tls: None }
    }
}

impl ClientStream {
    /// From now on it speaks TLS.
    pub(crate) fn secure(&mut self, tls: Box<TlsSession>) {
        self.tls = Some(tls);
    }

    /// The socket itself.
    pub(crate) fn socket(&mut self) -> &mut Stream {
        &mut self.socket
    }

    /// Ready when there is something to read: bytes, the end, or an error. Over TLS it may turn out to be nothing for us.
    #[inline]
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.tls {
            None => self.socket.poll_readable(cx),
            Some(tls) => tls.poll_readable(&self.socket, cx),
        }
    }

    /// Whether nothing is to be read, as far as the event loop has heard. A byte that is there may be lost by asking: after
    /// that nothing is read but [waste](Self::poll_waste).
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.tls.as_ref().map_or_else(|| self.socket.is_quiet(), |tls| tls.is_quiet(&self.socket))
    }

    /// Says that no more will come, where that needs saying, if the kernel takes it at once. To be called before an orderly
    /// end, and not before one that must not make what came look whole.
    pub(crate) fn farewell(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.farewell(&self.socket);
        }
    }

    /// Reads once what does not matter any more; gives how much that was, 0 at the end. After that nothing else is read.
    ///
    /// # Errors
    /// The socket's.
    pub(crate) fn poll_waste(
        &mut self,
        cx: &mut Context<'_>,
        waste: &mut Buffer,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        waste.clear();
        // Without the work of decrypting it.
        waste.poll_fill(&mut self.socket, cx, room)
    }

    /// Whether the client closed its sending, or all; bytes that it sent before may still be there to read.
    pub(crate) fn has_ended(&self) -> bool {
        self.socket.has_ended()
    }

    /// Makes closing it a reset: the client must not take what came for the whole.
    pub(crate) fn reset_on_close(&self) {
        self.socket.reset_on_close();
    }

    /// Has the kernel find out when a silent client is gone.
    pub(crate) fn keep_alive(&self) {
        self.socket.keep_alive();
    }
}

impl Sink for ClientStream {
    #[inline]
    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write(cx, bytes)
    }

    fn poll_send_both(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &self.tls {
            None => {
                let both = [IoSlice::new(first), IoSlice::new(second)];
                Pin::new(&mut self.socket).poll_write_vectored(cx, &both)
            }
            Some(_) => self.poll_send(cx, if first.is_empty() { second } else { first }),
        }
    }

    fn poll_send_before(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &self.tls {
            None => self.socket.poll_write_first(cx, bytes),
            Some(_) => self.poll_send(cx, bytes),
        }
    }

    fn sends_files(&self) -> bool {
        self.tls.is_none()
    }

    fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        file: BorrowedFd<'_>,
        offset: u64,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        match &self.tls {
            None => self.socket.poll_send_file(cx, file, offset, count),
            Some(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    #[inline]
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.tls {
            None => Poll::Ready(Ok(())),
            Some(tls) => tls.poll_sent(&mut self.socket, cx),
        }
    }

    fn undelivered(&self) -> Option<u32> {
        self.tls.as_ref().map_or_else(|| self.socket.undelivered(), |tls| tls.undelivered(&self.socket))
    }
}

impl AsyncRead for ClientStream {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match &mut this.tls {
            None => Pin::new(&mut this.socket).poll_read(cx, buf),
            Some(tls) => tls.poll_read(&mut this.socket, cx, buf),
        }
    }
}

impl AsyncWrite for ClientStream {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match &mut this.tls {
            None => Pin::new(&mut this.socket).poll_write(cx, buf),
            Some(tls) => tls.poll_write(&mut this.socket, cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_sent(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match &mut this.tls {
            None => Pin::new(&mut this.socket).poll_shutdown(cx),
            Some(tls) => tls.poll_shutdown(&mut this.socket, cx),
        }
    }
}
