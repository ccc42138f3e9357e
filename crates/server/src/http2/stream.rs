//! The task of one stream: one request, its answer.

use std::rc::Rc;
use std::time::{Instant, SystemTime};

use vestibule_http1::{HeadLimits, Method, Name, RequestError, Version};
use vestibule_http2::{Kind, StreamId};
use vestibule_proxy::{Changed, Compression, Request, bad_head, stack};

use super::inbound::Inbound;
use super::line::urgency;
use super::link::Link;
use super::outlet::Outlet;
use super::{refusal, respond};
use crate::exchange::{By, Exchange};
use crate::head::Asked;
use crate::house::Ground;

/// Answers the request whose head stands in `ground`.
pub(super) async fn answer(link: Rc<Link>, stream: StreamId, kind: Kind, ground: Ground) {
    let mut open = Open { link: &link, stream, ground: Some(ground) };
    let Some(ground) = &mut open.ground else { return };
    let house = link.house();
    let limits = house.limits();
    let mut bytes = std::mem::take(&mut ground.scratch.head_bytes);
    let mut head = std::mem::take(&mut ground.scratch.head);
    // Its limits were kept already, of the form in which it came; this one has a few fields more.
    let limit = HeadLimits { bytes: bytes.len() + 1, fields: limits.fields as usize + 8 };
    let parsed = match kind {
        Kind::TooLarge => Err(RequestError::HeadTooLarge),
        Kind::Connect => Err(RequestError::Connect),
        Kind::Usual | Kind::Tunnel => head.parse(&bytes, &mut 0, &limit),
    };
    let mut outlet = Outlet { link: &link, stream, left: None };
    if let Err(error) =
        parsed.and_then(|is_whole| if is_whole { Ok(()) } else { Err(RequestError::HeadTooLarge) })
    {
        let own = bad_head(&house.worker.plan().config, &error);
        let hsts = link.door().hsts();
        let asked = Asked {
            version: Version::Http11,
            method: Method::Other,
            takes_trailers: false,
            hsts,
            changed: Changed::NONE,
            compression: Compression::default(),
        };
        let _ = respond::own(&mut outlet, &own, asked, &mut ground.scratch.answer).await;
        refusal::log(house, link.door(), own.status, &own.why);
    } else {
        let _active = house.count_request();
        let urgent = urgency(priority(&head, &bytes));
        if let Some(slot) = link.state().slots.get(stream) {
            slot.urgency = urgent;
        }
        let request = Request {
            head: &head,
            bytes: &bytes,
            door: link.door(),
            arrived: Instant::now(),
            arrived_at: SystemTime::now(),
            serial: house.worker.next_serial(),
        };
        let plan = house.worker.plan();
        let mut inbound = Inbound::new(outlet, &head, &limits);
        let (response, record) =
            stack((&house.worker, &plan), &request, &mut ground.scratch, &mut inbound).await;
        let mut exchange =
            Exchange { house, by: By::Plan(plan), request: &request, record: &record, sent: 0, status: 0 };
        exchange.respond_on(response, inbound, &mut ground.scratch.answer, kind).await;
    }
    bytes.clear();
    ground.scratch.head_bytes = bytes;
    ground.scratch.head = head;
}

/// What the client says of its order among others (RFC 9218 5).
fn priority<'a>(head: &vestibule_http1::RequestHead, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let mut fields = head.fields.iter().filter(|field| field.kind == Name::Other);
    let found = fields.find(|field| field.name.of(bytes).eq_ignore_ascii_case(b"priority"))?;
    Some(found.value.of(bytes))
}

/// A stream that counts among those of its connection until its task has ended, however that ends.
struct Open<'a> {
    link: &'a Link,
    stream: StreamId,
    ground: Option<Ground>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let received = self.link.state().close(self.stream);
        if let Some(mut ground) = self.ground.take() {
            ground.received = received;
            self.link.house().put_ground(ground);
        }
    }
}
