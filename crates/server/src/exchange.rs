//! One request and its answer on an HTTP/1 connection, up to its line in the access log.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use vestibule_config::{Buffer, Limits};
use vestibule_http1::{CHUNK_END, LAST_CHUNK_HEAD, Method, Name, ResponseHead, chunk_head, write_trailers};
use vestibule_proxy::{CLIENT_LEFT, Entry, Outcome, Own, Record, Request, Response};
use vestibule_upstream::{Answer, Client, ClientError, Error, Stream, Upstream};

use crate::connection::Next;
use crate::head::{self, Asked, BodyFraming};
use crate::house::House;
use crate::inbound::Inbound;
use crate::outflow::{FLUSH, FlowError, Outflow, WriteError};
use crate::tunnel;

/// Writes `bytes` and empties it.
pub(crate) async fn write_all(
    stream: &mut Stream,
    bytes: &mut Vec<u8>,
    limits: &Limits,
) -> Result<(), WriteError> {
    let mut flow = Outflow::new(bytes, limits);
    poll_fn(|cx| {
        loop {
            match flow.poll(stream, cx) {
                Ok(_) if flow.is_empty() => return Poll::Ready(Ok(())),
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(FlowError::Client(error)) => return Poll::Ready(Err(error)),
                Err(FlowError::Disk(_)) => return Poll::Ready(Err(WriteError::Left)),
            }
        }
    })
    .await
}

/// Writes `bytes`, which it empties, and then `rest`, with no more than a piece of that in memory.
pub(crate) async fn write_with(
    stream: &mut Stream,
    bytes: &mut Vec<u8>,
    rest: &[u8],
    limits: &Limits,
) -> Result<(), WriteError> {
    write_all(stream, bytes, limits).await?;
    for piece in rest.chunks(FLUSH) {
        bytes.extend_from_slice(piece);
        write_all(stream, bytes, limits).await?;
    }
    Ok(())
}

/// A request and what becomes of it, up to its line in the access log.
pub(crate) struct Exchange<'a> {
    pub(crate) house: &'a House,
    pub(crate) request: &'a Request<'a>,
    pub(crate) record: &'a Record,
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
        let has_left = matches!(&response, Response::Own(own) if own.status == CLIENT_LEFT);
        if !has_left && inbound.is_inside_interim() {
            // Whatever we wrote now would be taken for a part of that.
            return self.fail(&WriteError::Slow);
        }
        match response {
            Response::Own(own) => self.respond_own(&own, inbound, out).await,
            Response::Upstream(answer) => {
                // While the application still takes the body from the client, it is not ours to skip.
                let may_keep = self.request.head.keep_alive
                    && !self.house.is_draining()
                    && !answer.reads_from_client()
                    && inbound.is_read();
                self.respond_upstream(answer, inbound, out, may_keep).await
            }
        }
    }

    fn asked(&self) -> Asked {
        let head = self.request.head;
        Asked { version: head.version, method: head.method_kind, takes_trailers: false }
    }

    async fn respond_own(&mut self, own: &Own, mut inbound: Inbound<'_>, out: &mut Vec<u8>) -> Next {
        self.status = own.status;
        if own.status == CLIENT_LEFT {
            self.log(Outcome::ClientLeft, &own.why);
            return Next::Abort;
        }
        let is_read = inbound.is_read();
        let keep = self.request.head.keep_alive && !own.close && is_read && !self.house.is_draining();
        let rest = head::write_own(out, own, self.asked(), keep, &self.house.worker);
        self.sent = if self.request.head.method_kind == Method::Head { 0 } else { own.body.len() as u64 };
        match write_with(inbound.stream, out, rest, self.house.limits()).await {
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
        let Some((head, bytes)) = answer.head() else { return Next::Abort };
        let mut asked = self.asked();
        let framing = BodyFraming::of(head.body, asked);
        asked.takes_trailers =
            framing == BodyFraming::Chunked && self.request.head.takes_trailers(self.request.bytes);
        let keep = may_keep && framing != BodyFraming::UntilClose;
        self.status = head.status;
        let is_buffered = self.is_buffered(head, bytes);
        head::write(out, (head, bytes), asked, keep, &self.house.worker);
        if head.status == 101 {
            return self.tunnel(answer, inbound, out).await;
        }
        if asked.takes_trailers {
            answer.keep_trailers();
        }
        let head_len = out.len() as u64;
        let mut flow = Outflow::new(out, self.house.limits());
        if let Some(buffer) = is_buffered {
            flow.buffer(buffer, &self.house.worker.store);
        }
        let mut source = Source::Open(framing);
        let end =
            poll_fn(|cx| self.poll_pass_on(cx, &mut answer, &mut inbound, &mut flow, &mut source)).await;
        // Of what came, some may have been kept in vain.
        self.sent = self.sent.min(flow.written().saturating_sub(head_len));
        match (end, source) {
            (End::Client(error), _) => {
                if error == WriteError::Slow {
                    // Else the kernel would keep what was written for as long as the client likes.
                    inbound.stream.reset_on_close();
                }
                self.fail(&error)
            }
            (End::Broken(why), _) | (End::Whole, Source::Broken(why)) => {
                if framing == BodyFraming::UntilClose {
                    // An orderly end would make what came look whole (RFC 9112 8).
                    inbound.stream.reset_on_close();
                }
                self.log(Outcome::Broken, &why);
                Next::Abort
            }
            (End::Whole, _) => {
                self.log(Outcome::Answered, "");
                if keep {
                    Next::Park
                } else if inbound.is_read() {
                    Next::Close
                } else {
                    Next::Linger
                }
            }
        }
    }

    /// How the answer is kept when the client is slower than the application: `None` for one that goes straight through
    /// because its route or the application says so, or because it is a stream of events.
    fn is_buffered(&self, head: &ResponseHead, bytes: &[u8]) -> Option<&Buffer> {
        let buffer =
            self.record.route.and_then(|id| self.house.worker.config.route(id)).map(|route| &route.buffer)?;
        let says = |name, value: &[u8]| {
            head.field(bytes, name).is_some_and(|found| {
                found.get(..value.len()).is_some_and(|start| start.eq_ignore_ascii_case(value))
            })
        };
        let goes_through =
            says(Name::XAccelBuffering, b"no") || says(Name::ContentType, b"text/event-stream");
        (buffer.response && !goes_through).then_some(buffer)
    }

    /// Passes the answer on: from the application as fast as it writes, to the client as fast as it reads.
    fn poll_pass_on(
        &mut self,
        cx: &mut Context<'_>,
        answer: &mut Answer,
        inbound: &mut Inbound<'_>,
        flow: &mut Outflow<'_>,
        source: &mut Source,
    ) -> Poll<End> {
        loop {
            let mut has_moved = self.collect(cx, answer, flow, source);
            match flow.poll(inbound.stream, cx) {
                Ok(moved) => has_moved |= moved,
                Err(FlowError::Client(error)) => return Poll::Ready(End::Client(error)),
                Err(FlowError::Disk(error)) => return Poll::Ready(End::Broken(error.to_string())),
            }
            if flow.is_short() {
                answer.read_little();
            }
            let is_open = matches!(source, Source::Open(_));
            if !is_open && flow.is_empty() {
                return Poll::Ready(End::Whole);
            }
            if is_open && answer.is_uploading() {
                match answer.poll_upload(cx, inbound) {
                    Poll::Ready(Ok(())) => has_moved = true,
                    Poll::Ready(Err(Error::Client(ClientError::Left))) => {
                        return Poll::Ready(End::Client(WriteError::Left));
                    }
                    Poll::Ready(Err(error)) => {
                        *source = Source::Broken(error.to_string());
                        has_moved = true;
                    }
                    Poll::Pending => {}
                }
            }
            if has_moved {
                continue;
            }
            // Otherwise writing the answer, or reading the body, tells when the client leaves.
            if is_open && flow.is_empty() && !answer.waits_for_client() && inbound.poll_left(cx).is_ready() {
                return Poll::Ready(End::Client(WriteError::Left));
            }
            return Poll::Pending;
        }
    }

    /// Collects what there is of the answer, framed for the client, until it should be written. Gives whether there was
    /// anything.
    fn collect(
        &mut self,
        cx: &mut Context<'_>,
        answer: &mut Answer,
        flow: &mut Outflow<'_>,
        source: &mut Source,
    ) -> bool {
        let mut has_moved = false;
        while let Source::Open(framing) = *source
            && flow.has_room()
        {
            match answer.poll_data(cx) {
                Poll::Ready(Ok(true)) => {
                    let (data, out) = (answer.data(), flow.tail());
                    self.sent += data.len() as u64;
                    if framing == BodyFraming::Chunked {
                        chunk_head(out, data.len());
                        out.extend_from_slice(data);
                        out.extend_from_slice(CHUNK_END);
                    } else {
                        out.extend_from_slice(data);
                    }
                }
                Poll::Ready(Ok(false)) => {
                    if framing == BodyFraming::Chunked {
                        let out = flow.tail();
                        out.extend_from_slice(LAST_CHUNK_HEAD);
                        write_trailers(out, answer.trailers());
                        out.extend_from_slice(b"\r\n");
                    }
                    *source = Source::Ended;
                }
                Poll::Ready(Err(error)) => *source = Source::Broken(error.to_string()),
                Poll::Pending => break,
            }
            has_moved = true;
            if flow.is_due() {
                break;
            }
        }
        has_moved
    }

    async fn tunnel(&mut self, answer: Answer, inbound: Inbound<'_>, out: &mut Vec<u8>) -> Next {
        let Some((mut upstream, early)) = answer.into_tunnel() else { return Next::Abort };
        out.extend_from_slice(early.filled());
        let Inbound { stream, buffer, .. } = inbound;
        let _tunnel = self.house.count_tunnel();
        let silence = self.upstream().map_or(Duration::MAX, |upstream| upstream.config.timeout.tunnel);
        let outcome = match write_all(stream, out, self.house.limits()).await {
            Ok(()) => tunnel::run(stream, buffer, &mut upstream, silence).await,
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        };
        match outcome {
            Ok(sent) => {
                self.sent = sent + early.len() as u64;
                self.log(Outcome::Tunnel, "");
            }
            Err(error) => self.log(Outcome::Tunnel, &error.to_string()),
        }
        Next::Abort
    }

    fn upstream(&self) -> Option<&Arc<Upstream>> {
        self.record.upstream.and_then(|index| self.house.worker.upstreams.get(index))
    }

    fn fail(&mut self, error: &WriteError) -> Next {
        match error {
            WriteError::Left => self.log(Outcome::ClientLeft, "the client left inside its answer"),
            WriteError::Slow => self.log(Outcome::ClientSlow, "the client did not take its answer"),
        }
        Next::Abort
    }

    pub(crate) fn log(&self, outcome: Outcome, why: &str) {
        let worker = &self.house.worker;
        if !worker.access_log.is_on() {
            return;
        }
        let upstream = self.upstream();
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

/// The application's side of an answer that is being passed on.
#[derive(Debug)]
enum Source {
    /// There is more to come, framed so for the client.
    Open(BodyFraming),
    /// All of it came.
    Ended,
    /// It broke off. What came is passed on; that the end is missing shows by the missing end.
    Broken(String),
}

/// How the passing on of an answer ended.
#[derive(Debug)]
enum End {
    /// All that came of it was written.
    Whole,
    /// What came of it cannot be written.
    Broken(String),
    /// The client left or was too slow.
    Client(WriteError),
}
