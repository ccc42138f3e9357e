//! Answers over HTTP/1.

use std::io;

use vestibule_http1::Method;
use vestibule_proxy::{CLIENT_LEFT, Compression, NO_ANSWER, Outcome, Own, Response};
use vestibule_upstream::Answer;

use crate::connection::Next;
use crate::exchange::{End, Exchange};
use crate::file_body::{Delivery, DeliveryError};
use crate::head::{self, Asked, BodyFraming};
use crate::inbound::Inbound;
use crate::outflow::{Outflow, WriteError, write_all, write_with};
use crate::tunnel;

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
            Response::File(answer) => self.respond_file(&answer, inbound, out).await,
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

    fn asked(&self) -> Asked<'_> {
        let head = self.request.head;
        Asked {
            version: head.version,
            method: head.method_kind,
            takes_trailers: false,
            hsts: self.request.door.hsts(),
            changed: self.changed(),
            compression: Compression::default(),
        }
    }

    async fn respond_own(&mut self, own: &Own, mut inbound: Inbound<'_>, out: &mut Vec<u8>) -> Next {
        self.status = own.status;
        if own.status == CLIENT_LEFT {
            self.log(Outcome::ClientLeft, &own.why);
            return Next::Abort;
        }
        if own.status == NO_ANSWER {
            self.log(Outcome::Refused, &own.why);
            return Next::Abort;
        }
        let is_read = inbound.is_read();
        let keep = self.request.head.keep_alive && !own.close && is_read && !self.house.is_draining();
        let rest = head::write_own(out, own, self.asked(), keep, &self.house.worker);
        let is_empty = self.request.head.method_kind == Method::Head || own.is_bodiless();
        self.sent = if is_empty { 0 } else { own.body.len() as u64 };
        match write_with(inbound.stream, out, rest, &self.house.limits()).await {
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

    async fn respond_file(
        &mut self,
        answer: &vestibule_files::Answer,
        mut inbound: Inbound<'_>,
        out: &mut Vec<u8>,
    ) -> Next {
        self.status = answer.status;
        let is_read = inbound.is_read();
        let keep = self.request.head.keep_alive && is_read && !self.house.is_draining();
        head::write_file(out, answer, self.asked(), keep, &self.house.worker);
        let head_len = out.len() as u64;
        let mut delivery = Delivery::new(inbound.stream, out, &self.house.limits());
        let outcome = delivery.deliver(&answer.body).await;
        self.sent = delivery.written().saturating_sub(head_len);
        match outcome {
            Ok(()) => {
                self.log(Outcome::Answered, "");
                match (keep, is_read) {
                    (true, _) => Next::Park,
                    (false, true) => Next::Close,
                    (false, false) => Next::Linger,
                }
            }
            Err(DeliveryError::Client(error)) => {
                if error == WriteError::Slow {
                    // Else the kernel would keep what was written for as long as the client likes.
                    inbound.stream.reset_on_close();
                }
                self.fail(&error)
            }
            // What is missing of the promised length tells the client.
            Err(DeliveryError::Broken(why)) => {
                self.log(Outcome::Broken, &why.to_string());
                Next::Abort
            }
        }
    }

    async fn respond_upstream(
        &mut self,
        mut answer: Answer,
        mut inbound: Inbound<'_>,
        out: &mut Vec<u8>,
        may_keep: bool,
    ) -> Next {
        let mut coded = self.house.take_coded();
        let (compression, way) = self.begin_body(&answer, &mut coded);
        let Some((head, bytes)) = answer.head() else { return Next::Abort };
        self.status = head.status;
        let mut asked = self.asked();
        asked.compression = compression;
        let framing = BodyFraming::of(compression.body(head.body), asked);
        // Those of a coded body could speak of its bytes as they were.
        asked.takes_trailers = compression.coding.is_none()
            && framing == BodyFraming::Chunked
            && self.request.head.takes_trailers(self.request.bytes);
        let keep = may_keep && framing != BodyFraming::UntilClose;
        let is_buffered = self.is_buffered(head, bytes);
        head::write(out, (head, bytes), asked, keep, &self.house.worker);
        if head.status == 101 {
            return self.tunnel(answer, inbound, out).await;
        }
        if asked.takes_trailers {
            answer.keep_trailers();
        }
        let head_len = out.len() as u64;
        self.sent = coded.len() as u64;
        out.extend_from_slice(&coded);
        self.house.put_coded(coded);
        let mut flow = Outflow::new(out, &self.house.limits());
        if let Some(buffer) = is_buffered {
            flow.buffer(&buffer, &self.house.worker.store);
        }
        match self.pass_on(&mut answer, &mut inbound, &mut flow, (framing, head_len), way).await {
            End::Client(error) => {
                if error == WriteError::Slow {
                    // Else the kernel would keep what was written for as long as the client likes.
                    inbound.stream.reset_on_close();
                }
                self.fail(&error)
            }
            End::Broken(why) => {
                if framing == BodyFraming::UntilClose {
                    // An orderly end would make what came look whole (RFC 9112 8).
                    inbound.stream.reset_on_close();
                }
                self.log(Outcome::Broken, &why);
                Next::Abort
            }
            End::Whole => {
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

    async fn tunnel(&mut self, answer: Answer, inbound: Inbound<'_>, out: &mut Vec<u8>) -> Next {
        let Some((mut upstream, early)) = answer.into_tunnel() else { return Next::Abort };
        out.extend_from_slice(early.filled());
        let Inbound { stream, buffer, .. } = inbound;
        let _tunnel = self.house.count_tunnel();
        // The kernel finds out earlier when a client is gone without a word.
        stream.keep_alive();
        let silence = self.part_from_plan();
        let outcome = match write_all(stream, out, &self.house.limits()).await {
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

    fn fail(&mut self, error: &WriteError) -> Next {
        match error {
            WriteError::Left => self.log(Outcome::ClientLeft, "the client left inside its answer"),
            WriteError::Slow => self.log(Outcome::ClientSlow, "the client did not take its answer"),
        }
        Next::Abort
    }
}
