//! What the driver of a connection and its streams share.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use vestibule_http2::{Connection, ErrorCode, FieldBlock, Gone, Limits, StreamId};
use vestibule_proxy::Door;
use vestibule_upstream::Buffer;

use super::line::Line;
use super::slot::{Slot, Slots};
use crate::connection::ClientSide;
use crate::house::{House, Place};

/// Bytes that may wait for the socket; who has more waits for its turn.
pub(super) const MOST_WAITING: usize = 64 * 1024;
/// Room that is kept for whoever has a turn: a frame, of the size that most clients take.
const TURN: usize = 16 * 1024;
/// What a stream may send ahead of what is taken of it.
const BODY_WINDOW: u32 = 256 * 1024;
/// The same for a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// One connection.
pub(super) struct Link {
    house: Rc<House>,
    door: Door,
    state: RefCell<State>,
    /// Held until the last stream's task has ended too.
    _place: Place,
}

/// What changes of it.
pub(super) struct State {
    pub(super) connection: Connection,
    /// What was received and is not used up.
    pub(super) received: Buffer,
    pub(super) slots: Slots,
    /// Streams that have something to send and no room for it.
    line: Line,
    /// Streams that a window stops: their own, or that of the connection.
    stopped: Line,
    /// Room kept for streams whose turn it is.
    kept: usize,
    /// Bytes written to the socket.
    pub(super) carried: u64,
    /// Whether nobody reads or writes for the connection any more.
    is_gone: bool,
    driver: Option<Waker>,
    is_driver_woken: bool,
}

impl Link {
    pub(super) fn new(house: Rc<House>, client: ClientSide, received: Buffer) -> Rc<Self> {
        let (mut door, place) = client.into_parts();
        door.is_http2 = true;
        let limits = house.limits();
        let limits = Limits {
            streams: limits.http2_streams,
            head: limits.head as usize,
            fields: limits.fields as usize,
            body_window: BODY_WINDOW,
            connection_window: CONNECTION_WINDOW,
        };
        let state = RefCell::new(State {
            connection: Connection::new(limits, Instant::now()),
            received,
            slots: Slots::default(),
            line: Line::default(),
            stopped: Line::default(),
            kept: 0,
            carried: 0,
            is_gone: false,
            driver: None,
            is_driver_woken: false,
        });
        Rc::new(Link { house, door, state, _place: place })
    }

    pub(super) fn house(&self) -> &Rc<House> {
        &self.house
    }

    pub(super) fn door(&self) -> &Door {
        &self.door
    }

    /// What changes. No caller may keep it for longer than its own turn, nor call back here.
    #[inline]
    pub(super) fn state(&self) -> std::cell::RefMut<'_, State> {
        self.state.borrow_mut()
    }

    /// The connection is over: all streams hear of it.
    pub(super) fn leave(&self) {
        let mut state = self.state();
        state.is_gone = true;
        state.driver = None;
        for slot in state.slots.iter_mut() {
            slot.reset.get_or_insert(ErrorCode::CANCEL);
            slot.wake();
        }
    }
}

impl State {
    /// Has the driver's task woken when there is something to write, or a stream has ended.
    pub(super) fn wait_for_streams(&mut self, cx: &Context<'_>) {
        self.is_driver_woken = false;
        match &self.driver {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => self.driver = Some(cx.waker().clone()),
        }
    }

    /// Wakes the driver, which then writes what many streams have put there.
    #[inline]
    fn wake_driver(&mut self) {
        if !std::mem::replace(&mut self.is_driver_woken, true)
            && let Some(driver) = &self.driver
        {
            driver.wake_by_ref();
        }
    }

    /// Gives the streams that are next their turn, as far as there is room.
    pub(super) fn give_turns(&mut self) {
        while self.has_room()
            && let Some(stream) = self.line.next()
        {
            if let Some(slot) = self.slots.get(stream) {
                slot.has_turn = true;
                self.kept += TURN;
                slot.wake();
            }
        }
    }

    fn has_room(&mut self) -> bool {
        self.connection.out().len() + self.kept < MOST_WAITING
    }

    /// A window has opened: of this stream, or of all.
    pub(super) fn opened(&mut self, stream: Option<StreamId>) {
        match stream {
            Some(stream) => {
                self.stopped.leave(stream);
                if let Some(slot) = self.slots.get(stream) {
                    slot.wake();
                }
            }
            None => {
                self.stopped.move_to(&mut self.line);
                self.give_turns();
            }
        }
    }

    /// Ready when a stream may put a frame into the connection's output; it then has to do so, or to say
    /// [`pass`](Self::pass).
    ///
    /// # Errors
    /// When the stream, or the client, is gone.
    pub(super) fn poll_room(&mut self, cx: &Context<'_>, stream: StreamId) -> Poll<io::Result<()>> {
        let has_room = self.has_room() && self.line.is_empty();
        let Some(slot) = self.slots.get(stream).filter(|slot| slot.reset.is_none()) else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        if slot.has_turn || has_room {
            return Poll::Ready(Ok(()));
        }
        slot.wait(cx);
        let urgency = slot.urgency;
        self.line.join(stream, urgency);
        Poll::Pending
    }

    /// The stream has used its turn, if it had one, or does not need it.
    pub(super) fn pass(&mut self, stream: StreamId) {
        if self.slots.get(stream).is_some_and(|slot| std::mem::take(&mut slot.has_turn)) {
            self.kept = self.kept.saturating_sub(TURN);
        }
        self.give_turns();
    }

    /// Whether a stream waits for its turn.
    pub(super) fn is_in_line(&self, stream: StreamId) -> bool {
        self.line.contains(stream)
    }

    /// Puts a frame of DATA into the output, with as much of `bytes` as it takes, and `end` with the last of them. To be
    /// called when there is room.
    ///
    /// # Errors
    /// When the stream, or the client, is gone.
    pub(super) fn poll_data(
        &mut self,
        cx: &Context<'_>,
        stream: StreamId,
        bytes: &[u8],
        end: bool,
    ) -> Poll<io::Result<usize>> {
        let sent = if self.is_gone { Err(Gone) } else { self.connection.send_data(stream, bytes, end) };
        let outcome = match sent {
            Ok(0) if !bytes.is_empty() => {
                if let Some(slot) = self.slots.get(stream) {
                    slot.wait(cx);
                    self.stopped.join(stream, slot.urgency);
                }
                Poll::Pending
            }
            Ok(count) => {
                self.wake_driver();
                Poll::Ready(Ok(count))
            }
            Err(Gone) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        };
        self.pass(stream);
        outcome
    }

    /// Puts a head into the output. To be called when there is room.
    ///
    /// # Errors
    /// When the stream, or the client, is gone.
    pub(super) fn head(
        &mut self,
        stream: StreamId,
        status: u16,
        fields: impl FnOnce(&mut FieldBlock<'_>),
        end: bool,
    ) -> io::Result<()> {
        let sent =
            if self.is_gone { Err(Gone) } else { self.connection.send_head(stream, status, fields, end) };
        self.wake_driver();
        self.pass(stream);
        sent.map_err(|Gone| io::ErrorKind::BrokenPipe.into())
    }

    /// Puts trailers into the output, which end the answer.
    ///
    /// # Errors
    /// When the stream, or the client, is gone.
    pub(super) fn trailers(
        &mut self,
        stream: StreamId,
        fields: impl FnOnce(&mut FieldBlock<'_>),
    ) -> io::Result<()> {
        let sent = if self.is_gone { Err(Gone) } else { self.connection.send_trailers(stream, fields) };
        self.wake_driver();
        sent.map_err(|Gone| io::ErrorKind::BrokenPipe.into())
    }

    /// Ends a stream before its time.
    pub(super) fn reset(&mut self, stream: StreamId, code: ErrorCode) {
        self.connection.reset(stream, code);
        self.wake_driver();
    }

    /// Says that so many bytes of a stream's body were taken.
    pub(super) fn release(&mut self, stream: StreamId, bytes: usize) {
        self.connection.release(stream, bytes);
        if !self.connection.out().is_empty() {
            self.wake_driver();
        }
    }

    /// A stream's task has ended. Gives its buffer back.
    pub(super) fn close(&mut self, stream: StreamId) -> Buffer {
        self.pass(stream);
        self.line.leave(stream);
        self.stopped.leave(stream);
        self.connection.close(stream);
        self.wake_driver();
        self.slots.remove(stream).map(|slot| slot.body).unwrap_or_default()
    }

    /// Adds a stream.
    pub(super) fn open(&mut self, slot: Slot) {
        self.slots.add(slot);
    }

    /// Gives back what a connection without streams needs not.
    pub(super) fn shrink(&mut self) {
        self.connection.shrink();
        self.slots.shrink();
        self.line.shrink();
        self.stopped.shrink();
    }
}
