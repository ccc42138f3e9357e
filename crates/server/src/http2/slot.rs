//! What the driver knows of each stream.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use vestibule_http2::{ErrorCode, StreamId};
use vestibule_upstream::Buffer;

use super::line::Urgency;

/// One stream, as long as its task lives.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) stream: StreamId,
    /// What has come of the body and was not taken yet. The stream's window bounds it.
    pub(super) body: Buffer,
    /// Whether the body ends behind that.
    pub(super) has_ended: bool,
    /// Why nothing more comes and nothing can be sent.
    pub(super) reset: Option<ErrorCode>,
    pub(super) urgency: Urgency,
    /// Whether room was kept for one frame of it.
    pub(super) has_turn: bool,
    /// Its task.
    waker: Option<Waker>,
}

impl Slot {
    pub(super) fn new(stream: StreamId, body: Buffer, has_ended: bool) -> Self {
        Slot { stream, body, has_ended, reset: None, urgency: 0, has_turn: false, waker: None }
    }

    /// Has the stream's task woken when something becomes of it.
    #[inline]
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        match &self.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => self.waker = Some(cx.waker().clone()),
        }
    }

    #[inline]
    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// All of a connection. New streams have higher numbers than all before (RFC 9113 5.1.1), so they stay in order by being
/// added at the end.
#[derive(Debug, Default)]
pub(super) struct Slots(VecDeque<Slot>);

impl Slots {
    pub(super) fn add(&mut self, slot: Slot) {
        self.0.push_back(slot);
    }

    #[inline]
    pub(super) fn get(&mut self, stream: StreamId) -> Option<&mut Slot> {
        let index = self.0.binary_search_by_key(&stream, |slot| slot.stream).ok()?;
        self.0.get_mut(index)
    }

    pub(super) fn remove(&mut self, stream: StreamId) -> Option<Slot> {
        let index = self.0.binary_search_by_key(&stream, |slot| slot.stream).ok()?;
        self.0.remove(index)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.0.iter_mut()
    }

    /// Gives back its memory.
    pub(super) fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}
