//! The part of a request's body that follows its first bytes: from the disk, or straight from the client.

use std::task::{Context, Poll};

use vestibule_http1::{CHUNK_END, LAST_CHUNK, chunk_head};

use crate::client::{Client, ClientError};
use crate::connection::Connection;
use crate::error::Error;
use crate::send::Rest;
use crate::spool::PIECE;

/// How far the sending of a [`Rest`] has come on one connection.
#[derive(Debug)]
pub(crate) struct Upload {
    piece: Vec<u8>,
    written: usize,
    /// Bytes taken from the disk so far.
    offset: u64,
    is_ended: bool,
    /// Whether bytes came from the client: we have them nowhere else.
    has_taken: bool,
}

/// What a step of an upload came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes were written.
    Wrote(usize),
    /// All is written.
    Done,
    /// The upstream takes no more. It may have answered all the same.
    Refused,
}

impl Upload {
    pub(crate) fn new(rest: &mut Rest) -> Self {
        if let Rest::Spooled(spool) = rest {
            spool.abandon_reading();
        }
        let is_ended = matches!(rest, Rest::Nothing);
        Upload { piece: Vec::new(), written: 0, offset: 0, is_ended, has_taken: false }
    }

    /// One that begins with these bytes.
    pub(crate) fn behind(bytes: &[u8], rest: &mut Rest) -> Self {
        Upload { piece: bytes.to_vec(), ..Upload::new(rest) }
    }

    /// Whether it took bytes from the client, written or not: another attempt would lack them.
    pub(crate) fn has_taken(&self) -> bool {
        self.has_taken
    }

    /// Whether more of it comes from the client.
    pub(crate) fn reads_from_client(&self, rest: &Rest) -> bool {
        !self.is_ended && matches!(rest, Rest::Plain | Rest::Chunked)
    }

    /// Whether it is the client that it waits for, whose leaving then shows by that, and not the application.
    pub(crate) fn waits_for_client(&self, rest: &Rest) -> bool {
        self.written >= self.piece.len() && self.reads_from_client(rest)
    }

    /// Writes some of it.
    ///
    /// # Errors
    /// When the rest cannot come: what was sent must not be ended as if whole.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
        rest: &mut Rest,
        client: &mut dyn Client,
    ) -> Poll<Result<Step, Error>> {
        loop {
            if let Some(bytes) = self.piece.get(self.written..).filter(|bytes| !bytes.is_empty()) {
                return connection.poll_write(cx, bytes).map(|outcome| {
                    Ok(outcome.map_or(Step::Refused, |count| {
                        self.written += count;
                        Step::Wrote(count)
                    }))
                });
            }
            if self.is_ended {
                return Poll::Ready(Ok(Step::Done));
            }
            self.written = 0;
            self.piece.clear();
            let outcome = match rest {
                Rest::Nothing => return Poll::Ready(Ok(Step::Done)),
                Rest::Spooled(spool) => {
                    if !spool.is_busy() {
                        if self.offset >= spool.len() {
                            self.is_ended = true;
                            continue;
                        }
                        spool.read(self.offset, std::mem::take(&mut self.piece));
                    }
                    spool.poll(cx).map(|read| match read {
                        Ok(piece) => {
                            self.offset += piece.len() as u64;
                            self.piece = piece;
                            Ok(())
                        }
                        Err((error, _)) => Err(Error::Spool(error)),
                    })
                }
                Rest::Plain => self.poll_client(cx, client, false).map_err(Error::Client),
                Rest::Chunked => self.poll_client(cx, client, true).map_err(Error::Client),
            };
            match outcome {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// More of the body from the client, framed as the head says.
    fn poll_client(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut dyn Client,
        is_chunked: bool,
    ) -> Poll<Result<(), ClientError>> {
        // The size of a chunk stands before it, so its bytes have to be there first.
        let mut body = Vec::new();
        let into = if is_chunked { &mut body } else { &mut self.piece };
        while into.len() < PIECE {
            match client.poll_body(cx, into)? {
                Poll::Ready(0) => {
                    self.is_ended = true;
                    break;
                }
                Poll::Ready(_) => self.has_taken = true,
                Poll::Pending if into.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        if !is_chunked {
            return Poll::Ready(Ok(()));
        }
        if !body.is_empty() {
            chunk_head(&mut self.piece, body.len());
            self.piece.extend_from_slice(&body);
            self.piece.extend_from_slice(CHUNK_END);
        }
        if self.is_ended {
            self.piece.extend_from_slice(LAST_CHUNK);
        }
        Poll::Ready(Ok(()))
    }
}

/// An upload that the application has not taken to its end when it begins to answer.
#[derive(Debug)]
pub(crate) struct LateUpload {
    pub(crate) upload: Upload,
    pub(crate) rest: Rest,
}
