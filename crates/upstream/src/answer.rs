//! An upstream's answer: its head, and its body as it comes.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use vestibule_http1::{BodyLength, Chunk, ResponseHead};

use crate::buffer::Buffer;
use crate::client::Client;
use crate::connection::{Connection, LONG_READ_SIZE, READ_SIZE};
use crate::deadline::Deadline;
use crate::error::{BodyError, Error};
use crate::gate::Permit;
use crate::member::Member;
use crate::stream::Stream;
use crate::upload::{LateUpload, Step};

/// An answer whose head is there. It carries the permit until its body has ended; dropped before, it closes the
/// connection, which tells the application that nobody listens.
#[derive(Debug)]
pub struct Answer {
    member: Arc<Member>,
    worker: usize,
    connection: Option<Box<Connection>>,
    permit: Option<Permit>,
    deadline: Deadline,
    idle_limit: Duration,
    /// What of `Connection::received` the caller has been given, and is done with at the next call.
    given: Range<usize>,
    /// How many received bytes are used up with it.
    used: usize,
    /// Body bytes still to come, where the length is known.
    left: u64,
    read_size: usize,
    /// Whether it may not take more memory than for one short read.
    reads_little: bool,
    is_waiting: bool,
    /// What the application has not taken of the request yet.
    late: Option<Box<LateUpload>>,
    /// The trailer fields, if they were to be kept.
    trailers: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(
        member: Arc<Member>,
        worker: usize,
        connection: Box<Connection>,
        permit: Permit,
        (deadline, idle_limit): (Deadline, Duration),
        late: Option<LateUpload>,
    ) -> Self {
        deadline.reset(idle_limit);
        let left = match connection.head.body {
            BodyLength::Length(length) => length,
            _ => 0,
        };
        let used = connection.head.len;
        Answer {
            member,
            worker,
            connection: Some(connection),
            permit: Some(permit),
            deadline,
            idle_limit,
            given: 0..0,
            used,
            left,
            read_size: READ_SIZE,
            reads_little: false,
            is_waiting: false,
            late: late.map(Box::new),
            trailers: Vec::new(),
        }
    }

    /// Keeps the trailer fields of a chunked body, for [`trailers`](Self::trailers). To be called before the body is
    /// asked for.
    pub fn keep_trailers(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.chunks.keep_trailers();
        }
    }

    /// The lines of the trailer fields that were kept, each with its CRLF, after the end of the body.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Whether the application has not taken the whole request yet: then [`poll_upload`](Self::poll_upload) too, while
    /// the answer is read.
    #[inline]
    pub fn is_uploading(&self) -> bool {
        self.late.is_some()
    }

    /// Whether what the application has not taken yet comes from the client.
    pub fn reads_from_client(&self) -> bool {
        self.late.as_ref().is_some_and(|late| late.upload.reads_from_client(&late.rest))
    }

    /// Whether the sending of the request waits for the client at this moment: then reading its body tells when it leaves.
    pub fn waits_for_client(&self) -> bool {
        self.late.as_ref().is_some_and(|late| late.upload.waits_for_client(&late.rest))
    }

    /// Goes on sending the request to an application that answers before it has all of it. Ready when there is nothing
    /// more to send, or nobody to take it.
    ///
    /// # Errors
    /// When the rest of the request cannot come: then the application must not take what it has for the whole, and the
    /// answer is to be dropped.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>, client: &mut dyn Client) -> Poll<Result<(), Error>> {
        while let (Some(late), Some(connection)) = (&mut self.late, &mut self.connection) {
            match ready!(late.upload.poll(cx, connection, &mut late.rest, client)) {
                Ok(Step::Wrote(_)) => self.deadline.reset(self.idle_limit),
                Ok(Step::Done | Step::Refused) => self.late = None,
                Err(error) => {
                    self.close();
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The parsed head, and the bytes that its spans index. `None` once the body has been asked for to its end.
    #[inline]
    pub fn head(&self) -> Option<(&ResponseHead, &[u8])> {
        self.connection.as_ref().map(|connection| (&connection.head, connection.received.filled()))
    }

    /// The whole body, where its length is known and all of it is there; until [`poll_data`](Self::poll_data) is called.
    #[must_use]
    pub fn whole(&self) -> Option<&[u8]> {
        let connection = self.connection.as_ref()?;
        let BodyLength::Length(length) = connection.head.body else { return None };
        let start = connection.head.len;
        if self.used != start || self.left != length {
            return None;
        }
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        connection.received.filled().get(start..end)
    }

    /// The body bytes that the last [`poll_data`](Self::poll_data) made available.
    #[inline]
    pub fn data(&self) -> &[u8] {
        let received = self.connection.as_ref().map(|connection| connection.received.filled());
        received.and_then(|bytes| bytes.get(self.given.clone())).unwrap_or_default()
    }

    /// Makes the next piece of the body available; `false` at its end, where connection and permit go back. The head
    /// and the piece before are gone with this call.
    ///
    /// # Errors
    /// [`BodyError`] when the rest cannot come: what was passed on must not be ended as if whole.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        loop {
            let Some(connection) = self.connection.as_mut() else { return Poll::Ready(Ok(false)) };
            connection.received.consume(std::mem::take(&mut self.used));
            self.given = 0..0;
            match connection.head.body {
                BodyLength::None => return Poll::Ready(Ok(self.finish())),
                BodyLength::Length(_) if self.left == 0 => return Poll::Ready(Ok(self.finish())),
                BodyLength::Length(_) if !connection.received.is_empty() => {
                    let count =
                        connection.received.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                    self.left -= count as u64;
                    return self.give(0..count, count);
                }
                BodyLength::UntilClose if !connection.received.is_empty() => {
                    let count = connection.received.len();
                    return self.give(0..count, count);
                }
                BodyLength::Chunked if !connection.received.is_empty() => {
                    let mut position = 0;
                    match connection.chunks.next(connection.received.filled(), &mut position) {
                        Ok(Chunk::Data(range)) => return self.give(range, position),
                        Ok(Chunk::End) => {
                            self.trailers = connection.chunks.take_trailers();
                            connection.received.consume(position);
                            return Poll::Ready(Ok(self.finish()));
                        }
                        Ok(Chunk::More) => connection.received.consume(position),
                        Err(error) => return self.fail(BodyError::Chunks(error)),
                    }
                }
                _ => {}
            }
            let Some(connection) = self.connection.as_mut() else { return Poll::Ready(Ok(false)) };
            let Poll::Ready(read) = connection.poll_read(cx, self.read_size) else {
                // Time in which nobody asked, because the client took its time, is not the application's silence.
                if !std::mem::replace(&mut self.is_waiting, true) {
                    self.deadline.reset(self.idle_limit);
                }
                ready!(self.deadline.poll(cx));
                return self.fail(BodyError::Idle(self.idle_limit));
            };
            self.is_waiting = false;
            match read {
                Err(error)
                    if connection.head.body == BodyLength::UntilClose
                        && error.kind() == io::ErrorKind::ConnectionReset
                        && self.member.is_unix() =>
                {
                    return Poll::Ready(Ok(self.finish()));
                }
                Ok(0) if connection.head.body == BodyLength::UntilClose => {
                    return Poll::Ready(Ok(self.finish()));
                }
                Ok(0) => return self.fail(BodyError::Broken(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => {
                    if count >= self.read_size && !self.reads_little {
                        self.read_size = LONG_READ_SIZE;
                    }
                }
                Err(error) => return self.fail(BodyError::Broken(error)),
            }
        }
    }

    /// Takes no more memory from now on than for one short read: the application is to wait for the client, and long
    /// reads would gain nothing. What the last [`poll_data`](Self::poll_data) made available is gone.
    pub fn read_little(&mut self) {
        if std::mem::replace(&mut self.reads_little, true) {
            return;
        }
        self.read_size = READ_SIZE;
        self.given = 0..0;
        if let Some(connection) = &mut self.connection {
            connection.received.consume(std::mem::take(&mut self.used));
            connection.received.shrink();
        }
    }

    fn give(&mut self, range: Range<usize>, used: usize) -> Poll<Result<bool, BodyError>> {
        self.given = range;
        self.used = used;
        Poll::Ready(Ok(true))
    }

    fn fail(&mut self, error: BodyError) -> Poll<Result<bool, BodyError>> {
        self.close();
        Poll::Ready(Err(error))
    }

    /// The body is read: the connection goes back to the pool before the permit does, so that who gets the permit
    /// finds it there.
    fn finish(&mut self) -> bool {
        if let Some(connection) = self.connection.take() {
            // Bytes behind the answer belong to nothing that was asked: never use such a connection again.
            if !connection.received.is_empty() {
                self.member.distrust();
            } else if connection.head.keep_alive {
                self.member.keep(self.worker, connection);
            }
        }
        self.permit = None;
        self.late = None;
        false
    }

    fn close(&mut self) {
        self.connection = None;
        self.permit = None;
    }

    /// After a 101: the socket, and what the application sent behind its head. The permit goes back, because the
    /// server's thread is free again.
    pub fn into_tunnel(mut self) -> Option<(Stream, Buffer)> {
        let connection = self.connection.take()?;
        let Connection { stream, mut received, head, .. } = *connection;
        received.consume(head.len);
        Some((stream, received))
    }
}
