//! Answers over HTTP/2.

use std::io;

use vestibule_http1::{BodyLength, Method, write_trailers};
use vestibule_http2::{ErrorCode, Kind};
use vestibule_proxy::{CLIENT_LEFT, Changed, Compression, NO_ANSWER, Outcome, Own, Response};
use vestibule_upstream::{Answer, Buffer};

use super::head::{self, add_lines, lines};
use super::inbound::Inbound;
use super::outlet::Outlet;
use super::tunnel::Ends;
use crate::exchange::{End, Exchange};
use crate::file_body::{Delivery, DeliveryError};
use crate::head::{Asked, BodyFraming};
use crate::outflow::{FLUSH, Outflow, WriteError, write_all, write_with};
use crate::tunnel;

/// Sends an answer of our own, whole; gives the bytes of its body that were sent.
///
/// # Errors
/// When the client leaves, or takes it too slowly.
pub(super) async fn own(
    outlet: &mut Outlet<'_>,
    own: &Own,
    asked: Asked<'_>,
    out: &mut Vec<u8>,
) -> Result<u64, WriteError> {
    let house = outlet.link.house();
    let is_empty = asked.method == Method::Head || own.body.is_empty() || own.is_bodiless();
    outlet.head(own.status, |block| head::of_own(block, own, asked, &house.worker), is_empty).await?;
    if is_empty {
        return Ok(0);
    }
    outlet.left = Some(own.body.len() as u64);
    out.clear();
    let (first, rest) = own.body.split_at_checked(FLUSH).unwrap_or((&own.body, b""));
    out.extend_from_slice(first);
    write_with(outlet, out, rest, &house.limits()).await?;
    Ok(own.body.len() as u64)
}

impl Exchange<'_> {
    /// Sends the answer on its stream and logs how that went.
    pub(super) async fn respond_on(
        &mut self,
        response: Response,
        mut inbound: Inbound<'_>,
        out: &mut Vec<u8>,
        kind: Kind,
    ) {
        out.clear();
        let plan = self.plan().cloned();
        let (request, record) = (self.request, self.record);
        let mut asked = Asked {
            version: self.request.head.version,
            method: self.request.head.method_kind,
            takes_trailers: false,
            hsts: self.request.door.hsts(),
            changed: plan.as_ref().map_or(Changed::NONE, |plan| Changed::of(&plan.config, request, record)),
            compression: Compression::default(),
        };
        let error = match response {
            Response::Own(own) if own.status == CLIENT_LEFT => {
                self.status = CLIENT_LEFT;
                return self.log(Outcome::ClientLeft, &own.why);
            }
            Response::Own(own) if own.status == NO_ANSWER => {
                self.status = NO_ANSWER;
                inbound.outlet.reset(ErrorCode::CANCEL);
                return self.log(Outcome::Refused, &own.why);
            }
            Response::Own(own) if kind == Kind::Tunnel && (200..300).contains(&own.status) => {
                // It would say that a tunnel is open, as below.
                self.status = 501;
                let number = |block: &mut vestibule_http2::FieldBlock<'_>| block.number(b"content-length", 0);
                match inbound.outlet.head(501, number, true).await {
                    Ok(()) => return self.log(Outcome::Answered, "its route has no tunnel"),
                    Err(error) => error,
                }
            }
            Response::Own(own) => {
                self.status = own.status;
                match self::own(&mut inbound.outlet, &own, asked, out).await {
                    Ok(sent) => {
                        self.sent = sent;
                        return self.log(Outcome::Answered, &own.why);
                    }
                    Err(error) => error,
                }
            }
            Response::File(answer) => {
                match self.respond_file_on(&answer, &mut inbound.outlet, out, asked).await {
                    Ok(()) => return,
                    Err(error) => error,
                }
            }
            Response::Upstream(answer) => {
                asked.takes_trailers = self.request.head.takes_trailers(self.request.bytes);
                match self.respond_upstream_on(answer, &mut inbound, out, asked, kind).await {
                    Ok(None) => return,
                    Ok(Some(tunnel)) => {
                        drop(plan);
                        return self.tunnel_on(tunnel, &mut inbound, out).await;
                    }
                    Err(error) => error,
                }
            }
        };
        match error {
            WriteError::Left => self.log(Outcome::ClientLeft, "the client left inside its answer"),
            WriteError::Slow => {
                inbound.outlet.reset(ErrorCode::CANCEL);
                self.log(Outcome::ClientSlow, "the client did not take its answer");
            }
        }
    }

    /// The same for an answer from files, but for the log of a client that does not take it.
    async fn respond_file_on(
        &mut self,
        answer: &vestibule_files::Answer,
        outlet: &mut Outlet<'_>,
        out: &mut Vec<u8>,
        asked: Asked<'_>,
    ) -> Result<(), WriteError> {
        self.status = answer.status;
        let is_empty = matches!(answer.body, vestibule_files::Body::None);
        let fields = |block: &mut vestibule_http2::FieldBlock<'_>| {
            head::of_file(block, answer, asked, &self.house.worker);
        };
        outlet.head(answer.status, fields, is_empty).await?;
        if !is_empty {
            outlet.left = answer.length;
            let mut delivery = Delivery::new(outlet, out, &self.house.limits());
            let outcome = delivery.deliver(&answer.body).await;
            self.sent = delivery.written();
            match outcome {
                Ok(()) => {}
                Err(DeliveryError::Client(error)) => return Err(error),
                Err(DeliveryError::Broken(why)) => {
                    // Closed without its end, the stream is reset (INTERNAL_ERROR): nobody takes what came for the whole.
                    self.log(Outcome::Broken, &why.to_string());
                    return Ok(());
                }
            }
        }
        self.log(Outcome::Answered, "");
        Ok(())
    }

    /// The same for an application's answer, but for the log of a client that does not take it. Gives back the one that has become
    /// a tunnel, of which the head is sent.
    async fn respond_upstream_on(
        &mut self,
        mut answer: Answer,
        inbound: &mut Inbound<'_>,
        out: &mut Vec<u8>,
        mut asked: Asked<'_>,
        kind: Kind,
    ) -> Result<Option<Answer>, WriteError> {
        let Some((head, bytes)) = answer.head() else { return Ok(None) };
        self.status = head.status;
        let worker = &self.house.worker;
        if head.status == 101 {
            inbound
                .outlet
                .head(200, |block| head::of_answer(block, (head, bytes), asked, worker), false)
                .await?;
            return Ok(Some(answer));
        }
        if kind == Kind::Tunnel && (200..300).contains(&head.status) {
            // To this client it would say that the tunnel is open (RFC 8441 5, RFC 9110 9.3.6).
            self.status = 502;
            drop(answer);
            inbound.outlet.head(502, |block| block.number(b"content-length", 0), true).await?;
            self.log(
                Outcome::Answered,
                "the application did not change the protocol, and said that it succeeded",
            );
            return Ok(None);
        }
        out.clear();
        let (compression, way) = self.begin_body(&answer, out);
        asked.compression = compression;
        self.sent = out.len() as u64;
        let (has_body, length) = match compression.body(head.body) {
            BodyLength::None | BodyLength::Length(0) => (false, Some(0)),
            BodyLength::Length(length) => (true, Some(length)),
            BodyLength::Chunked | BodyLength::UntilClose => (true, None),
        };
        // Those of a coded body could speak of its bytes as they were.
        asked.takes_trailers &= head.body == BodyLength::Chunked && compression.coding.is_none();
        let is_buffered = self.is_buffered(head, bytes);
        let fields = |block: &mut vestibule_http2::FieldBlock<'_>| {
            head::of_answer(block, (head, bytes), asked, worker);
        };
        inbound.outlet.left = length;
        inbound.outlet.head(head.status, fields, !has_body).await?;
        if asked.takes_trailers {
            answer.keep_trailers();
        }
        let mut flow = Outflow::new(out, &self.house.limits());
        if let Some(buffer) = is_buffered {
            flow.buffer(&buffer, &worker.store);
        }
        match self.pass_on(&mut answer, inbound, &mut flow, (BodyFraming::Plain, 0), way).await {
            End::Client(error) => return Err(error),
            // Closed without its end, the stream is reset (INTERNAL_ERROR): nobody takes what came for the whole.
            End::Broken(why) => self.log(Outcome::Broken, &why),
            End::Whole => {
                out.clear();
                write_trailers(out, answer.trailers());
                if out.is_empty() {
                    inbound.outlet.end()?;
                } else {
                    inbound.outlet.trailers(|block| add_lines(block, lines(out)))?;
                }
                self.log(Outcome::Answered, "");
            }
        }
        Ok(None)
    }

    /// Carries the bytes of a tunnel (RFC 8441), of which the head is sent.
    async fn tunnel_on(&mut self, answer: Answer, inbound: &mut Inbound<'_>, out: &mut Vec<u8>) {
        let Some((mut upstream, early)) = answer.into_tunnel() else { return };
        out.extend_from_slice(early.filled());
        let _tunnel = self.house.count_tunnel();
        let silence = self.part_from_plan();
        let outlet = &mut inbound.outlet;
        let outcome = match write_all(outlet, out, &self.house.limits()).await {
            Ok(()) => tunnel::run(&mut Ends(outlet), &mut Buffer::default(), &mut upstream, silence).await,
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        };
        match outcome {
            Ok(sent) => {
                self.sent = sent + early.len() as u64;
                self.log(Outcome::Tunnel, "");
            }
            Err(error) => {
                // RFC 9113 8.5 has it so for CONNECT.
                inbound.outlet.reset(ErrorCode::CONNECT_ERROR);
                self.log(Outcome::Tunnel, &error.to_string());
            }
        }
    }
}
