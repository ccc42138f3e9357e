//! A connection that changed its protocol (101): bytes both ways until both sides are done.

use std::io;

use tokio::io::AsyncWriteExt;
use vestibule_upstream::{Buffer, Stream};

/// Carries bytes both ways; `early` is what the client sent before it knew. Gives the bytes that went to the client.
///
/// # Errors
/// The socket's that failed first.
pub(crate) async fn run(client: &mut Stream, early: &mut Buffer, upstream: &mut Stream) -> io::Result<u64> {
    // A tunnel may be silent for hours, and its client gone all the while.
    client.keep_alive();
    if !early.is_empty() {
        upstream.write_all(early.filled()).await?;
        early.clear();
    }
    let (_, to_client) = tokio::io::copy_bidirectional(client, upstream).await?;
    Ok(to_client)
}
