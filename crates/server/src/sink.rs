//! Where the bytes of an answer go: a connection, or one stream of several on it.

use std::io;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

use vestibule_upstream::Client;

/// What takes bytes towards a client.
pub(crate) trait Sink {
    /// Takes bytes from the front of `bytes`; gives how many. What it took may still wait here: see
    /// [`poll_sent`](Self::poll_sent).
    ///
    /// # Errors
    /// When the client is gone.
    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// The same of `first` and what follows it, in one go where that can be done.
    ///
    /// # Errors
    /// When the client is gone.
    fn poll_send_both(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, if first.is_empty() { second } else { first })
    }

    /// The same of `bytes`, which a file follows.
    ///
    /// # Errors
    /// When the client is gone.
    fn poll_send_before(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, bytes)
    }

    /// Whether files can go without coming through our memory.
    fn sends_files(&self) -> bool {
        false
    }

    /// The same of a file, where [`sends_files`](Self::sends_files); 0 where it ends before `offset`.
    ///
    /// # Errors
    /// When the client is gone, or the file cannot be read.
    fn poll_send_file(
        &mut self,
        _: &mut Context<'_>,
        _file: BorrowedFd<'_>,
        _offset: u64,
        _count: usize,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Ready when all that it took is on its way.
    ///
    /// # Errors
    /// When the client is gone.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Bytes on their way that the client has not acknowledged, as far as that is known.
    fn undelivered(&self) -> Option<u32>;

    /// Whether it waits for its turn on a connection that others use too, and not for the client.
    fn is_in_line(&self) -> bool {
        false
    }

    /// Bytes that such a connection has carried for all of them so far.
    fn carried(&self) -> u64 {
        0
    }
}

/// A door by which a request came and its answer leaves.
pub(crate) trait Exit: Client {
    /// Where the answer goes.
    type Sink: Sink;

    /// Where the answer goes.
    fn sink(&mut self) -> &mut Self::Sink;

    /// As the upload of a request's rest knows it.
    fn client(&mut self) -> &mut dyn Client;
}
