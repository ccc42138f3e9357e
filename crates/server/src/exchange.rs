//! One request and its answer on an HTTP/1 connection, up to its line in the access log.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWrite;
use vestibule_http1::{CHUNK_END, LAST_CHUNK, Method, chunk_head};
use vestibule_proxy::{CLIENT_LEFT, Entry, Outcome, Own, Record, Request, Response};
use vestibule_upstream::{Answer, Client, Deadline, Stream};

use crate::connection::Next;
use crate::head::{self, Asked, BodyFraming};
use crate::house::House;
use crate::inbound::Inbound;
use crate::tunnel;

/// Answer bytes are written to the client when this much has come together, or when no more is there.
const FLUSH: usize = 64 * 1024;

/// Why an answer could not be written.
pub(crate) enum WriteError {
    Left,
    Slow,
}

/// Writes `bytes` and empties it.
pub(crate) async fn write_all(
    stream: &mut Stream,
    bytes: &mut Vec<u8>,
    deadline: &Deadline,
    limit: Duration,
) -> Result<(), WriteError> {
    deadline.reset(limit);
    let mut writing = Writing { written: 0, queued: None };
    let outcome = poll_fn(|cx| writing.poll(stream, bytes, (deadline, limit), cx)).await;
    bytes.clear();
    outcome
}

/// How far a write has come.
struct Writing {
    written: usize,
    /// Bytes that the kernel had not delivered when it last took no more.
    queued: Option<u32>,
}

impl Writing {
    fn poll(
        &mut self,
        stream: &mut Stream,
        bytes: &[u8],
        (deadline, limit): (&Deadline, Duration),
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), WriteError>> {
        while self.written < bytes.len() {
            let rest = bytes.get(self.written..).unwrap_or_default();
            match Pin::new(&mut *stream).poll_write(cx, rest) {
                Poll::Ready(Ok(count)) => {
                    self.written += count;
                    self.queued = None;
                    deadline.reset(limit);
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(WriteError::Left)),
                Poll::Pending => {
                    let before = self.queued.or_else(|| stream.undelivered());
                    self.queued = before;
                    ready!(deadline.poll(cx));
                    // The kernel asks for more only when a third of its megabytes is free: a client that takes
                    // little, but takes it steadily, shows by what is left to deliver.
                    let now = stream.undelivered();
                    if now >= before {
                        return Poll::Ready(Err(WriteError::Slow));
                    }
                    self.queued = now;
                    deadline.reset(limit);
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// A request and what becomes of it, up to its line in the access log.
pub(crate) struct Exchange<'a> {
    pub(crate) house: &'a House,
    pub(crate) request: &'a Request<'a>,
    pub(crate) record: &'a Record,
    pub(crate) deadline: &'a Deadline,
    pub(crate) status: u16,
    pub(crate) sent: u64,
}

impl Exchange<'_> {
    /// Sends the answer and logs how that went.
    pub(crate) async fn respond(
        &mut self,
        response: Response,
        mut inbound: Inbound<'_>,
        out: &mut Vec<u8>,
    ) -> Next {
        out.clear();
        match response {
            Response::Own(own) => self.respond_own(&own, inbound, out).await,
            Response::Upstream(answer) => {
                let may_keep = self.request.head.keep_alive && !self.house.is_draining() && inbound.is_read();
                self.respond_upstream(answer, inbound, out, may_keep).await
            }
        }
    }

    fn asked(&self) -> Asked {
        Asked { version: self.request.head.version, method: self.request.head.method_kind }
    }

    async fn respond_own(&mut self, own: &Own, mut inbound: Inbound<'_>, out: &mut Vec<u8>) -> Next {
        self.status = own.status;
        if own.status == CLIENT_LEFT {
            self.log(Outcome::ClientLeft, &own.why);
            return Next::Close;
        }
        let is_read = inbound.is_read();
        let keep = self.request.head.keep_alive && !own.close && is_read && !self.house.is_draining();
        head::write_own(out, own, self.asked(), keep, &self.house.worker);
        self.sent = if self.request.head.method_kind == Method::Head { 0 } else { own.body.len() as u64 };
        match write_all(inbound.stream, out, self.deadline, self.house.limits().send_timeout).await {
            Ok(()) => {
                self.log(Outcome::Answered, &own.why);
                match (keep, is_read) {
                    (true, _) => Next::Park,
                    (false, true) => Next::Close,
                    (false, false) => Next::Linger,
                }
            }
            Err(error) => self.fail(&error),
        }
    }

    async fn respond_upstream(
        &mut self,
        mut answer: Answer,
        mut inbound: Inbound<'_>,
        out: &mut Vec<u8>,
        may_keep: bool,
    ) -> Next {
        let Some((head, bytes)) = answer.head() else { return Next::Close };
        let asked = self.asked();
        let framing = BodyFraming::of(head.body, asked);
        let keep = may_keep && framing != BodyFraming::UntilClose;
        self.status = head.status;
        head::write(out, (head, bytes), asked, keep, &self.house.worker);
        if head.status == 101 {
            return self.tunnel(answer, inbound, out).await;
        }
        loop {
            let step = poll_fn(|cx| self.poll_step(cx, &mut answer, &mut inbound, out, framing)).await;
            let outcome = match step {
                Step::Left => Err(WriteError::Left),
                Step::Flush | Step::End => {
                    write_all(inbound.stream, out, self.deadline, self.house.limits().send_timeout).await
                }
                Step::Broken(error) => {
                    // What came is passed on; that the end is missing shows by the missing end.
                    let _ =
                        write_all(inbound.stream, out, self.deadline, self.house.limits().send_timeout).await;
                    if framing == BodyFraming::UntilClose {
                        // An orderly end would make what came look whole (RFC 9112 8).
                        inbound.stream.reset_on_close();
                    }
                    self.log(Outcome::Broken, &error.to_string());
                    return Next::Close;
                }
            };
            match outcome {
                Ok(()) if matches!(step, Step::End) => {
                    self.log(Outcome::Answered, "");
                    return if keep {
                        Next::Park
                    } else if inbound.is_read() {
                        Next::Close
                    } else {
                        Next::Linger
                    };
                }
                Ok(()) => {}
                Err(error) => return self.fail(&error),
            }
        }
    }

    /// Collects what there is of the answer's body in `out`, framed for the client, until it should be written.
    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        answer: &mut Answer,
        inbound: &mut Inbound<'_>,
        out: &mut Vec<u8>,
        framing: BodyFraming,
    ) -> Poll<Step> {
        loop {
            match answer.poll_data(cx) {
                Poll::Ready(Ok(true)) => {
                    let data = answer.data();
                    self.sent += data.len() as u64;
                    if framing == BodyFraming::Chunked {
                        chunk_head(out, data.len());
                        out.extend_from_slice(data);
                        out.extend_from_slice(CHUNK_END);
                    } else {
                        out.extend_from_slice(data);
                    }
                    if out.len() >= FLUSH {
                        return Poll::Ready(Step::Flush);
                    }
                }
                Poll::Ready(Ok(false)) => {
                    if framing == BodyFraming::Chunked {
                        out.extend_from_slice(LAST_CHUNK);
                    }
                    return Poll::Ready(Step::End);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Step::Broken(error)),
                Poll::Pending if !out.is_empty() => return Poll::Ready(Step::Flush),
                Poll::Pending => {
                    ready!(inbound.poll_left(cx));
                    return Poll::Ready(Step::Left);
                }
            }
        }
    }

    async fn tunnel(&mut self, answer: Answer, inbound: Inbound<'_>, out: &mut Vec<u8>) -> Next {
        let Some((mut upstream, early)) = answer.into_tunnel() else { return Next::Close };
        out.extend_from_slice(early.filled());
        let Inbound { stream, buffer, .. } = inbound;
        let _tunnel = self.house.count_tunnel();
        let outcome = match write_all(stream, out, self.deadline, self.house.limits().send_timeout).await {
            Ok(()) => tunnel::run(stream, buffer, &mut upstream).await,
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        };
        match outcome {
            Ok(sent) => {
                self.sent = sent + early.len() as u64;
                self.log(Outcome::Tunnel, "");
            }
            Err(error) => self.log(Outcome::Tunnel, &error.to_string()),
        }
        Next::Close
    }

    fn fail(&mut self, error: &WriteError) -> Next {
        match error {
            WriteError::Left => self.log(Outcome::ClientLeft, "the client left inside its answer"),
            WriteError::Slow => self.log(Outcome::ClientSlow, "the client did not take its answer"),
        }
        Next::Close
    }

    pub(crate) fn log(&self, outcome: Outcome, why: &str) {
        let worker = &self.house.worker;
        if !worker.access_log.is_on() {
            return;
        }
        let upstream = self.record.upstream.and_then(|index| worker.upstreams.get(index));
        worker.access_log.write(&Entry {
            request: self.request,
            record: self.record,
            status: self.status,
            bytes: self.sent,
            outcome,
            why,
            upstream: upstream.map(|upstream| upstream.config.name.as_str()),
        });
    }
}

/// What is to be done with what was collected of an answer.
#[derive(Debug)]
enum Step {
    Flush,
    End,
    Left,
    Broken(vestibule_upstream::BodyError),
}
