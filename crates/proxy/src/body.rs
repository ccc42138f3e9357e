//! A request's body on its way to the application: whole first, in memory or on disk, or as it comes.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use vestibule_config::Buffer;
use vestibule_http1::{CHUNK_END, Framing, chunk_head, number_field};
use vestibule_upstream::{Client, ClientError, Error, PIECE, Rest, Spool, Store, Upstream};

/// What decides how a body is read.
pub(crate) struct Reading<'a> {
    pub(crate) buffer: &'a Buffer,
    /// Most bytes of a body.
    pub(crate) most: u64,
    pub(crate) store: &'a Arc<Store>,
    pub(crate) upstream: &'a Upstream,
}

impl Reading<'_> {
    /// Ends the head in `out`, which lacks only the framing and the empty line, and reads the body: behind the head if
    /// it fits in memory. Gives the length of the head, and where the rest of the body is. `scratch` is empty.
    ///
    /// # Errors
    /// [`Error::Client`] when the body does not come or is too large, [`Error::Spool`] when there is no room for it.
    pub(crate) async fn read(
        &self,
        framing: Framing,
        out: &mut Vec<u8>,
        scratch: &mut Vec<u8>,
        client: &mut dyn Client,
    ) -> Result<(usize, Rest), Error> {
        match framing {
            Framing::None => Ok((end_head(out), Rest::Nothing)),
            Framing::Length(length) if length > self.most => Err(Error::Client(ClientError::TooLarge)),
            Framing::Length(length) => {
                number_field(out, b"Content-Length", length);
                let head_len = end_head(out);
                let rest = if !self.buffer.request {
                    let is_whole = take_what_is_there(client, out, self.buffer.memory).await?;
                    if is_whole { Rest::Nothing } else { Rest::Plain }
                } else if length <= self.buffer.memory {
                    while read(client, out).await? > 0 {}
                    Rest::Nothing
                } else {
                    Rest::Spooled(self.read_to_disk(std::mem::take(scratch), client).await?)
                };
                Ok((head_len, rest))
            }
            Framing::Chunked => {
                if !self.buffer.request && self.upstream.takes_chunks() {
                    let is_whole = take_what_is_there(client, scratch, self.buffer.memory).await?;
                    if !is_whole {
                        return Ok(begin_chunks(out, scratch));
                    }
                } else {
                    let mut is_whole = false;
                    while !is_whole && scratch.len() as u64 <= self.buffer.memory {
                        is_whole = read(client, scratch).await? == 0;
                    }
                    if !is_whole {
                        let spool = self.read_to_disk(std::mem::take(scratch), client).await?;
                        number_field(out, b"Content-Length", spool.len());
                        return Ok((end_head(out), Rest::Spooled(spool)));
                    }
                }
                // Thin and Passenger hand chunks to the application as they are, so a whole body gets a length.
                number_field(out, b"Content-Length", scratch.len() as u64);
                let head_len = end_head(out);
                out.extend_from_slice(scratch);
                Ok((head_len, Rest::Nothing))
            }
        }
    }

    /// Reads the rest of the body, of which `piece` is the beginning, to disk.
    async fn read_to_disk(&self, mut piece: Vec<u8>, client: &mut dyn Client) -> Result<Spool, Error> {
        let mut spool = Spool::new(self.store);
        loop {
            let mut is_ended = false;
            while !is_ended && piece.len() < PIECE {
                is_ended = read(client, &mut piece).await? == 0;
            }
            if !piece.is_empty() {
                piece = spool.write(piece).await.map_err(|(error, _)| Error::Spool(error))?;
            }
            if is_ended {
                return Ok(spool);
            }
        }
    }
}

async fn read(client: &mut dyn Client, into: &mut Vec<u8>) -> Result<usize, Error> {
    poll_fn(|cx| client.poll_body(cx, into)).await.map_err(Error::Client)
}

/// Takes what has come of the body without waiting for more, up to about `most` bytes. Gives whether that is all of it.
async fn take_what_is_there(client: &mut dyn Client, into: &mut Vec<u8>, most: u64) -> Result<bool, Error> {
    let start = into.len();
    poll_fn(|cx| {
        while ((into.len() - start) as u64) < most {
            match client.poll_body(cx, into) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(true)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Error::Client(error))),
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(false))
    })
    .await
}

/// Ends the head; gives its length.
fn end_head(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(b"\r\n");
    out.len()
}

/// Ends the head of a request whose body goes in chunks, of which `body` is the first if it is not empty.
fn begin_chunks(out: &mut Vec<u8>, body: &[u8]) -> (usize, Rest) {
    out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    let head_len = end_head(out);
    if !body.is_empty() {
        chunk_head(out, body.len());
        out.extend_from_slice(body);
        out.extend_from_slice(CHUNK_END);
    }
    (head_len, Rest::Chunked)
}
