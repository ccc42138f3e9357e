//! One request and its answer, whatever door it came by: the passing on of its body, its line in the access log.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use vestibule_coding::Error as CodingError;
use vestibule_config::{Buffer, Route};
use vestibule_http1::{
    BodyLength, CHUNK_END, LAST_CHUNK_HEAD, Name, ResponseHead, chunk_head, write_trailers,
};
use vestibule_proxy::{Changed, Compression, Entry, Outcome, Plan, Record, Request};
use vestibule_upstream::{Answer, ClientError, Error, Upstream};

use crate::coder::{Coder, Way};
use crate::head::BodyFraming;
use crate::house::House;
use crate::outflow::{FlowError, Outflow, WriteError};
use crate::sink::Exit;

/// A request and what becomes of it, up to its line in the access log.
pub(crate) struct Exchange<'a> {
    pub(crate) house: &'a House,
    pub(crate) by: By,
    pub(crate) request: &'a Request<'a>,
    pub(crate) record: &'a Record,
    pub(crate) status: u16,
    pub(crate) sent: u64,
}

/// What it is served by.
pub(crate) enum By {
    Plan(Rc<Plan>),
    /// A tunnel may outlive many plans, each of which would be kept whole for it: it keeps its upstream alone.
    Upstream(Option<Arc<Upstream>>),
}

impl Exchange<'_> {
    /// How the answer is kept when the client is slower than the application: `None` for one that goes straight through
    /// because its route or the application says so, or because it is a stream of events.
    pub(crate) fn is_buffered(&self, head: &ResponseHead, bytes: &[u8]) -> Option<Buffer> {
        let buffer = self.route()?.buffer;
        let says = |name, value: &[u8]| {
            head.field(bytes, name).is_some_and(|found| {
                found.get(..value.len()).is_some_and(|start| start.eq_ignore_ascii_case(value))
            })
        };
        let goes_through =
            says(Name::XAccelBuffering, b"no") || says(Name::ContentType, b"text/event-stream");
        (buffer.response && !goes_through).then_some(buffer)
    }

    /// What becomes of the answer's body, and of what there is of it in a coding: short ones are coded here, into `coded`, so that their head can
    /// say how long they are. To be called before the head is written.
    pub(crate) fn begin_body(&self, answer: &Answer, coded: &mut Vec<u8>) -> (Compression, Way) {
        let (Some(route), Some(head)) = (self.route(), answer.head()) else {
            return (Compression::default(), Way::Plain);
        };
        let mut compression = Compression::of(&route.compress, self.request, head);
        let Some(coding) = compression.coding.filter(|_| head.0.body != BodyLength::None) else {
            return (compression, Way::Plain);
        };
        let encoders = &self.house.encoders;
        let way = match answer.whole() {
            Some(body) => encoders.whole(coding, body, coded).ok().map(|()| {
                compression.length = Some(coded.len() as u64);
                Way::Coded
            }),
            None => encoders.begin(coding).map(|encoder| Way::Coding(Box::new(Coder::new(encoder)))),
        };
        // Without room for it, it goes as it is; others may get it otherwise.
        compression.coding = compression.coding.filter(|_| way.is_some());
        (compression, way.unwrap_or(Way::Plain))
    }

    /// Passes an answer on to its end, framed so, behind the `head_len` bytes of its head that stand in `flow`.
    pub(crate) async fn pass_on(
        &mut self,
        answer: &mut Answer,
        exit: &mut impl Exit,
        flow: &mut Outflow<'_>,
        (framing, head_len): (BodyFraming, u64),
        mut way: Way,
    ) -> End {
        let mut source = Source::Open(framing);
        let end = poll_fn(|cx| {
            if let Way::Coding(coder) = &mut way {
                coder.begin_turn();
            }
            self.poll_pass_on(cx, answer, exit, flow, &mut source, &mut way)
        })
        .await;
        // Of what came, some may have been kept in vain.
        self.sent = self.sent.min(flow.written().saturating_sub(head_len));
        match (end, source) {
            (End::Whole, Source::Broken(why)) => End::Broken(why),
            (end, _) => end,
        }
    }

    /// Passes the answer on: from the application as fast as it writes, to the client as fast as it reads.
    fn poll_pass_on(
        &mut self,
        cx: &mut Context<'_>,
        answer: &mut Answer,
        exit: &mut impl Exit,
        flow: &mut Outflow<'_>,
        source: &mut Source,
        way: &mut Way,
    ) -> Poll<End> {
        loop {
            let mut has_moved = self.collect(cx, answer, flow, source, way);
            match flow.poll(exit.sink(), cx) {
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
                match answer.poll_upload(cx, exit.client()) {
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
            if let (Way::Coding(coder), &mut Source::Open(framing)) = (&mut *way, &mut *source) {
                if coder.has_had_turn() {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                if let Poll::Ready(rested) = coder.poll_rest(cx) {
                    self.put_coded(rested, flow, framing, source);
                    continue;
                }
            }
            // Otherwise writing the answer, or reading the body, tells when the client leaves.
            if is_open && flow.is_empty() && !answer.waits_for_client() && exit.poll_left(cx).is_ready() {
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
        way: &mut Way,
    ) -> bool {
        let mut has_moved = false;
        while let Source::Open(framing) = *source
            && flow.has_room()
            && !matches!(way, Way::Coding(coder) if coder.has_had_turn())
        {
            match answer.poll_data(cx) {
                Poll::Ready(Ok(true)) => match &mut *way {
                    Way::Plain => self.put(answer.data(), flow, framing),
                    Way::Coded => {}
                    Way::Coding(coder) => {
                        self.put_coded(coder.write(answer.data()), flow, framing, source);
                    }
                },
                Poll::Ready(Ok(false)) => {
                    if let Way::Coding(coder) = &mut *way {
                        self.put_coded(coder.finish(), flow, framing, source);
                        if matches!(source, Source::Broken(_)) {
                            return true;
                        }
                    }
                    if framing == BodyFraming::Chunked {
                        let out = flow.tail();
                        out.extend_from_slice(LAST_CHUNK_HEAD);
                        write_trailers(out, answer.trailers());
                        out.extend_from_slice(b"\r\n");
                    }
                    *source = Source::Ended;
                }
                Poll::Ready(Err(error)) => {
                    if let Way::Coding(coder) = &mut *way {
                        self.put_coded(coder.flush(), flow, framing, source);
                    }
                    *source = Source::Broken(error.to_string());
                }
                Poll::Pending => {
                    if let Way::Coding(coder) = &mut *way {
                        has_moved |= self.put_coded(coder.flush(), flow, framing, source);
                    }
                    break;
                }
            }
            has_moved = true;
            if flow.is_due() {
                break;
            }
        }
        has_moved
    }

    /// What is changed in the head of the answer.
    pub(crate) fn changed(&self) -> Changed<'_> {
        self.plan().map_or(Changed::NONE, |plan| Changed::of(&plan.config, self.request, self.record))
    }

    /// It becomes a tunnel, and keeps nothing of the plan; gives how long both ends may be silent: as the route says, else the upstream.
    pub(crate) fn part_from_plan(&mut self) -> Duration {
        let of_upstream = || self.upstream().map(|upstream| upstream.config.timeout.tunnel);
        let of_route = self.route().and_then(|route| route.timeout.tunnel);
        let silence = of_route.or_else(of_upstream).unwrap_or(Duration::MAX);
        self.by = By::Upstream(self.upstream().cloned());
        silence
    }

    /// The plan, unless it has become a tunnel.
    pub(crate) fn plan(&self) -> Option<&Rc<Plan>> {
        match &self.by {
            By::Plan(plan) => Some(plan),
            By::Upstream(_) => None,
        }
    }

    fn route(&self) -> Option<&Route> {
        self.plan()?.config.route(self.record.route?)
    }

    /// Puts a piece of the body in `flow`, as it is framed.
    #[inline]
    fn put(&mut self, data: &[u8], flow: &mut Outflow<'_>, framing: BodyFraming) {
        // A chunk of nothing would end it.
        if data.is_empty() {
            return;
        }
        let out = flow.tail();
        self.sent += data.len() as u64;
        if framing == BodyFraming::Chunked {
            chunk_head(out, data.len());
            out.extend_from_slice(data);
            out.extend_from_slice(CHUNK_END);
        } else {
            out.extend_from_slice(data);
        }
    }

    /// The same with what came out of a coder; gives whether that was anything.
    fn put_coded(
        &mut self,
        coded: Result<&[u8], CodingError>,
        flow: &mut Outflow<'_>,
        framing: BodyFraming,
        source: &mut Source,
    ) -> bool {
        match coded {
            Ok(piece) => {
                self.put(piece, flow, framing);
                !piece.is_empty()
            }
            Err(error) => {
                *source = Source::Broken(error.to_string());
                true
            }
        }
    }

    pub(crate) fn upstream(&self) -> Option<&Arc<Upstream>> {
        match &self.by {
            By::Plan(plan) => plan.upstreams.get(self.record.upstream?),
            By::Upstream(upstream) => upstream.as_ref(),
        }
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
pub(crate) enum End {
    /// All that came of it was written.
    Whole,
    /// What came of it cannot be written.
    Broken(String),
    /// The client left or was too slow.
    Client(WriteError),
}
