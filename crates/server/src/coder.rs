//! The body of an answer on its way through an encoder.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use vestibule_coding::{Encoder, Error};
use vestibule_upstream::Deadline;

/// Bytes of a body that are coded before others have their turn: about 0.3 ms.
const TURN: usize = 64 * 1024;

/// An encoder that had nothing to do for so long gives its memory back.
const REST: Duration = Duration::from_secs(2);

/// What is done with the bytes of a body before they are framed.
#[derive(Debug)]
pub(crate) enum Way {
    /// Nothing.
    Plain,
    /// They were coded before the head was written, and stand behind it.
    Coded,
    /// They are coded as they come.
    Coding(Box<Coder>),
}

/// Codes one body as it comes.
#[derive(Debug)]
pub(crate) struct Coder {
    encoder: Option<Encoder>,
    /// What came out and is not framed yet.
    piece: Vec<u8>,
    /// Bytes taken in this turn.
    taken: usize,
    was_used: bool,
    idle: Option<Deadline>,
}

impl Coder {
    pub(crate) fn new(encoder: Encoder) -> Self {
        Coder { encoder: Some(encoder), piece: Vec::new(), taken: 0, was_used: false, idle: None }
    }

    /// Its task has been given the thread again.
    #[inline]
    pub(crate) fn begin_turn(&mut self) {
        self.taken = 0;
    }

    /// Whether the thread is to be left to others before it codes any more.
    #[inline]
    pub(crate) fn has_had_turn(&self) -> bool {
        self.taken >= TURN
    }

    /// Codes `data`.
    pub(crate) fn write(&mut self, data: &[u8]) -> Result<&[u8], Error> {
        self.taken += data.len();
        self.was_used = true;
        self.act(|encoder, piece| encoder.write(data, piece))
    }

    /// The application pauses: what it has said so far is to be read.
    pub(crate) fn flush(&mut self) -> Result<&[u8], Error> {
        self.act(Encoder::flush)
    }

    /// The body is whole.
    pub(crate) fn finish(&mut self) -> Result<&[u8], Error> {
        self.piece.clear();
        if let Some(encoder) = self.encoder.take() {
            encoder.finish(&mut self.piece)?;
        }
        Ok(&self.piece)
    }

    /// To be polled while nothing happens; ready when it has given its memory back, with what had to be said for that.
    pub(crate) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], Error>> {
        if !self.encoder.as_ref().is_some_and(Encoder::can_rest) {
            return Poll::Pending;
        }
        let was_used = std::mem::take(&mut self.was_used);
        match &self.idle {
            None => self.idle = Some(Deadline::after(REST)),
            Some(idle) if was_used => idle.reset(REST),
            Some(_) => {}
        }
        if let Some(idle) = &self.idle {
            ready!(idle.poll(cx));
        }
        self.idle = None;
        let rested = match &mut self.encoder {
            Some(encoder) => {
                self.piece = Vec::new();
                encoder.rest(&mut self.piece)
            }
            None => Ok(()),
        };
        Poll::Ready(rested.map(|()| &*self.piece))
    }

    fn act(
        &mut self,
        act: impl FnOnce(&mut Encoder, &mut Vec<u8>) -> Result<(), Error>,
    ) -> Result<&[u8], Error> {
        self.piece.clear();
        if let Some(encoder) = &mut self.encoder {
            act(encoder, &mut self.piece)?;
        }
        Ok(&self.piece)
    }
}
