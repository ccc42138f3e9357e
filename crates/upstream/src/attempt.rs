//! One attempt: one request on one connection, up to the head of its answer.

use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

use vestibule_http1::BodyLength;

use crate::client::{Client, ClientError};
use crate::connection::{Connection, READ_SIZE};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::interim;
use crate::ledger::{End, Ledger};
use crate::member::Member;
use crate::send::{Outgoing, Rest};
use crate::upload::{LateUpload, Step, Upload};

/// Why an attempt brought no answer.
pub(crate) enum Failure {
    /// The connection died; the ledger says whether the request may go again.
    Died(End),
    /// No further attempt would help, or may be made.
    Fatal(Error),
}

/// One request on one connection, up to the head of its answer.
pub(crate) struct Attempt<'a, 'r> {
    member: &'a Member,
    pub(crate) connection: Option<Box<Connection>>,
    request: &'a mut Outgoing<'r>,
    ledger: &'a mut Ledger,
    client: &'a mut dyn Client,
    /// What follows the request's own bytes.
    upload: Upload,
    is_writing: bool,
    /// How many bytes the whole answer has, when it is short enough to wait for.
    whole_at: Option<usize>,
    /// An interim answer on its way to the client, and how much of it is written.
    interim: Vec<u8>,
    interim_written: usize,
    interim_count: u32,
    pub(crate) deadline: Option<Deadline>,
    began: Option<Instant>,
    /// The sample that it was last looked at for.
    sampled: Option<u32>,
}

/// Interim answers (1xx) to one request; no honest application needs more than a few.
const MOST_INTERIM: u32 = 100;

/// An answer up to this length is taken whole before any of it is passed on.
const SHORT: u64 = 64 * 1024;

impl<'a, 'r> Attempt<'a, 'r> {
    pub(crate) fn new(
        member: &'a Member,
        connection: Box<Connection>,
        request: &'a mut Outgoing<'r>,
        ledger: &'a mut Ledger,
        client: &'a mut dyn Client,
    ) -> Self {
        let deadline = Deadline::after(request.timeout.response);
        deadline.wake_for_samples();
        Attempt {
            connection: Some(connection),
            upload: Upload::new(&mut request.rest),
            request,
            ledger,
            client,
            is_writing: true,
            whole_at: None,
            interim: Vec::new(),
            interim_written: 0,
            interim_count: 0,
            deadline: Some(deadline),
            began: None,
            member,
            sampled: None,
        }
    }

    /// Ready when the head of an answer is there, or when there will be none.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if self.is_writing {
            self.poll_write(cx)?;
        }
        loop {
            if !self.interim.is_empty() {
                match self.client.poll_interim(cx, &self.interim, &mut self.interim_written) {
                    Poll::Ready(Ok(())) => {
                        self.interim.clear();
                        self.interim_written = 0;
                    }
                    Poll::Ready(Err(_)) => return left(),
                    Poll::Pending => break,
                }
            }
            let Some(connection) = self.connection.as_mut() else { break };
            if let Some(whole_at) = self.whole_at {
                if connection.received.len() >= whole_at {
                    return Poll::Ready(Ok(()));
                }
            } else if !connection.received.is_empty() {
                match connection.parse_head(self.request.method) {
                    Ok(true) => match self.take_head() {
                        Some(outcome) => return Poll::Ready(outcome),
                        None => continue,
                    },
                    Ok(false) => {}
                    Err(error) => return Poll::Ready(Err(Failure::Fatal(Error::Invalid(error)))),
                }
            }
            match connection.poll_read(cx, READ_SIZE) {
                Poll::Ready(Ok(0)) => return self.died(End::Closed),
                Poll::Ready(Ok(_)) => {
                    self.ledger.response_began();
                    if let (Some(_), Some(deadline)) = (self.whole_at, &self.deadline) {
                        deadline.reset(self.request.timeout.idle);
                    }
                }
                Poll::Ready(Err(error)) => return self.died(End::Reset(error)),
                Poll::Pending => break,
            }
        }
        if !self.waits_for_client() && self.client.poll_left(cx).is_ready() {
            return left();
        }
        self.sample();
        match self.deadline.as_ref().map(|deadline| deadline.poll(cx)) {
            Some(Poll::Ready(())) => {
                let limit = self.request.timeout.response;
                Poll::Ready(Err(Failure::Fatal(Error::NoAnswer(limit))))
            }
            _ => Poll::Pending,
        }
    }

    fn died(&self, end: End) -> Poll<Result<(), Failure>> {
        Poll::Ready(Err(Failure::Died(end)))
    }

    /// While the rest of the body is read from the client, reading it tells when the client leaves.
    fn waits_for_client(&self) -> bool {
        self.is_writing
            && self.ledger.written() == self.request.bytes.len()
            && self.upload.waits_for_client(&self.request.rest)
    }

    /// A whole head was received: the answer, or an interim one after which we go on (`None`).
    fn take_head(&mut self) -> Option<Result<(), Failure>> {
        let connection = self.connection.as_mut()?;
        match connection.head.status {
            // What is left of the body would be taken for the new protocol.
            101 if !self.ledger.is_whole() => Some(Err(Failure::Fatal(Error::Unasked))),
            101 if !self
                .request
                .upgrade
                .is_some_and(|offer| offer.is_accepted(&connection.head, connection.received.filled())) =>
            {
                Some(Err(Failure::Fatal(Error::Unasked)))
            }
            100..=199 if self.interim_count >= MOST_INTERIM => {
                Some(Err(Failure::Fatal(Error::EndlessInterim(MOST_INTERIM))))
            }
            // The client's own `Expect` was answered by us, so a 100 says nothing to it.
            100 => {
                self.interim_count += 1;
                connection.skip_head();
                None
            }
            102..=199 => {
                self.interim_count += 1;
                interim::write(&mut self.interim, &connection.head, connection.received.filled());
                connection.skip_head();
                None
            }
            _ => {
                if !self.ledger.is_whole() {
                    // The application answered before the end of the body: nothing else can use the connection.
                    connection.head.keep_alive = false;
                } else if let BodyLength::Length(length) = connection.head.body
                    && length <= SHORT
                {
                    // Taken whole, it is passed on in one write; and as long as nothing of it was, it may be asked
                    // for again if it breaks off.
                    self.whole_at = Some(connection.head.len + length as usize);
                    return None;
                }
                Some(Ok(()))
            }
        }
    }

    /// Writes what can be written now. An error only ends the writing: an answer may be there all the same.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        loop {
            let Some(connection) = self.connection.as_mut() else { return Ok(()) };
            let written = self.ledger.written();
            let bytes = self.request.bytes.get(written..).unwrap_or_default();
            if bytes.is_empty() {
                return self.poll_upload(cx);
            }
            // The first write goes past the event loop, which has not heard yet that a new socket is writable.
            let outcome = if written == 0 {
                match connection.stream.write_now(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        connection.poll_write(cx, bytes)
                    }
                    outcome => Poll::Ready(outcome),
                }
            } else {
                connection.poll_write(cx, bytes)
            };
            match outcome {
                Poll::Ready(Ok(count)) => self.ledger.wrote(count),
                Poll::Ready(Err(_)) => {
                    self.is_writing = false;
                    return Ok(());
                }
                Poll::Pending => return Ok(()),
            }
        }
    }

    /// The same for what follows the request's own bytes.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        loop {
            let Some(connection) = self.connection.as_mut() else { return Ok(()) };
            let step = self.upload.poll(cx, connection, &mut self.request.rest, self.client);
            if self.upload.has_taken() {
                self.ledger.took_from_client();
            }
            match step {
                Poll::Ready(Ok(Step::Wrote(count))) => {
                    self.ledger.wrote_rest(count);
                    if let Some(deadline) = &self.deadline {
                        deadline.reset(self.request.timeout.response);
                    }
                }
                Poll::Ready(Ok(Step::Done)) => {
                    self.is_writing = false;
                    self.ledger.sent_whole();
                    self.began = Some(Instant::now());
                    return Ok(());
                }
                Poll::Ready(Ok(Step::Refused)) => {
                    self.is_writing = false;
                    return Ok(());
                }
                Poll::Ready(Err(error)) => return Err(Failure::Fatal(error)),
                Poll::Pending => return Ok(()),
            }
        }
    }

    /// What the application had not taken of the request when it began to answer; `None` when that is nothing, or when
    /// it takes no more.
    pub(crate) fn take_upload(&mut self) -> Option<LateUpload> {
        if !self.is_writing {
            return None;
        }
        let unsent = self.request.bytes.get(self.ledger.written()..).unwrap_or_default();
        let mut rest = std::mem::replace(&mut self.request.rest, Rest::Nothing);
        let upload = match unsent {
            [] => std::mem::replace(&mut self.upload, Upload::new(&mut Rest::Nothing)),
            unsent => Upload::behind(unsent, &mut rest),
        };
        Some(LateUpload { upload, rest })
    }

    /// When the upstream's capacity is being sampled: has the application read this request?
    fn sample(&mut self) {
        if !self.deadline.as_ref().is_some_and(Deadline::take_sample_due) {
            return;
        }
        // Requests are woken for the sample of any member.
        let number = self.member.samples.number();
        if self.sampled.replace(number) == Some(number) {
            return;
        }
        if let (Some(began), Some(connection)) = (self.began, &self.connection) {
            self.member.samples.saw(began.elapsed(), connection.stream.unread_by_peer());
        }
    }
}

fn left<T>() -> Poll<Result<T, Failure>> {
    Poll::Ready(Err(Failure::Fatal(Error::Client(ClientError::Left))))
}
