//! The client of one request, as the upstream needs to know it. Each door to the house (HTTP/1 today) implements it.

use std::io;
use std::task::{Context, Poll};

/// What the forwarding of one request may ask of the connection that it came from.
pub trait Client {
    /// Ready when the client has left: nobody would read the answer.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Appends more of the request's body, decoded, to `out`; resolves to the number of bytes, 0 at its end.
    ///
    /// # Errors
    /// [`ClientError`] when the rest cannot come.
    fn poll_body(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Result<usize, ClientError>>;

    /// From now on a body of more than `most` bytes is [`ClientError::TooLarge`].
    fn limit_body(&mut self, most: u64);

    /// Passes on an interim answer (1xx): status line and fields, whole, with the empty line.
    ///
    /// # Errors
    /// The client's socket's.
    fn poll_interim(
        &mut self,
        cx: &mut Context<'_>,
        head: &[u8],
        written: &mut usize,
    ) -> Poll<io::Result<()>>;
}

/// Why the rest of a request does not come.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The client closed its connection.
    #[error("the client left")]
    Left,
    /// The client sent nothing for too long.
    #[error("the client was silent inside its request for too long")]
    Slow,
    /// The body is larger than a body may be.
    #[error("the request's body is too large")]
    TooLarge,
    /// The body's chunks are not what RFC 9112 7.1 asks.
    #[error("the request's chunks are not valid")]
    Chunks(#[source] vestibule_http1::ChunkError),
}
