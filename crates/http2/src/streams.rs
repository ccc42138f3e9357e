//! The streams of a connection: those that are open, and what is remembered of those that are not.

use std::collections::VecDeque;

use crate::stream::Stream;

/// Streams that we reset of which each is remembered; of older ones only that they were.
const REMEMBERED: usize = 64;

/// All streams of a connection.
///
/// The open ones stand in the order of their numbers, which is that in which they came: a new one goes to the end, one is
/// found by halving, and taking one out moves those on its shorter side, none in the usual case that the oldest goes.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    open: VecDeque<Stream>,
    /// The highest number that the client has used.
    pub(crate) highest: u32,
    /// The numbers that it left out when it last left out any: those from the first to before the second.
    skipped: (u32, u32),
    /// Streams that we reset while the client could still send on them.
    reset: VecDeque<u32>,
    /// The highest number that was among them and had to make room.
    forgotten: u32,
}

/// Where a stream's number stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Open, or reset and not yet closed by the caller: its place for [`Streams::at`].
    Open(usize),
    /// Not used yet.
    Idle,
    /// Left out: a higher number was used first (RFC 9113 5.1.1).
    Skipped,
    /// Closed, and the client may not know, as it was us.
    Reset,
    /// Closed by the client's own doing.
    Ended,
}

impl Streams {
    /// Where `id`, which is not 0, stands.
    #[inline]
    pub(crate) fn place(&self, id: u32) -> Place {
        if id > self.highest || id.is_multiple_of(2) {
            return Place::Idle;
        }
        match self.find(id) {
            Some(at) => Place::Open(at),
            None => self.closed_place(id),
        }
    }

    #[cold]
    fn closed_place(&self, id: u32) -> Place {
        if id >= self.skipped.0 && id < self.skipped.1 {
            Place::Skipped
        } else if id <= self.forgotten || self.reset.contains(&id) {
            Place::Reset
        } else {
            Place::Ended
        }
    }

    /// The place of an open stream.
    #[inline]
    pub(crate) fn find(&self, id: u32) -> Option<usize> {
        // The newest is what most is about.
        match self.open.back() {
            Some(stream) if stream.id == id => Some(self.open.len() - 1),
            Some(stream) if stream.id > id => self.open.binary_search_by_key(&id, |stream| stream.id).ok(),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn at(&mut self, place: usize) -> Option<&mut Stream> {
        self.open.get_mut(place)
    }

    #[inline]
    pub(crate) fn get(&mut self, id: u32) -> Option<&mut Stream> {
        let place = self.find(id)?;
        self.open.get_mut(place)
    }

    /// Notes that the client has used `id`, which is idle.
    pub(crate) fn use_up(&mut self, id: u32) {
        let next = if self.highest == 0 { 1 } else { self.highest + 2 };
        if id > next {
            self.skipped = (next, id);
        }
        self.highest = id;
    }

    /// Adds a stream, whose number is the highest that was used.
    pub(crate) fn add(&mut self, stream: Stream) {
        self.open.push_back(stream);
    }

    /// Takes a stream out.
    pub(crate) fn remove(&mut self, id: u32) -> Option<Stream> {
        let place = self.find(id)?;
        self.open.remove(place)
    }

    /// Remembers that we reset `id`, which is not open, while the client may still send on it.
    pub(crate) fn remember_reset(&mut self, id: u32) {
        if self.reset.len() == REMEMBERED
            && let Some(oldest) = self.reset.pop_front()
        {
            self.forgotten = self.forgotten.max(oldest);
        }
        self.reset.push_back(id);
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.open.iter_mut()
    }

    /// Gives back what memory is not needed now.
    pub(crate) fn shrink(&mut self) {
        self.forgotten = self.reset.iter().copied().fold(self.forgotten, u32::max);
        self.reset = VecDeque::new();
        self.open.shrink_to_fit();
    }

    /// The memory that is allocated, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.open.capacity() * size_of::<Stream>() + self.reset.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Answer;
    use crate::window::{ReceiveWindow, SendWindow};

    fn stream(id: u32) -> Stream {
        Stream {
            id,
            send: SendWindow::new(1),
            receive: ReceiveWindow::new(1),
            held: 0,
            body_left: None,
            request_ended: false,
            answer: Answer::Head,
            over: None,
            waits: false,
            is_tunnel: false,
        }
    }

    fn with(ids: &[u32]) -> Streams {
        let mut streams = Streams::default();
        for id in ids {
            streams.use_up(*id);
            streams.add(stream(*id));
        }
        streams
    }

    #[test]
    fn tells_numbers_that_were_used_from_those_that_were_not() {
        let mut streams = with(&[1, 3, 9]);
        streams.remove(3).unwrap();
        assert_eq!(streams.place(1), Place::Open(0));
        assert_eq!(streams.place(9), Place::Open(1));
        assert_eq!(streams.place(3), Place::Ended);
        assert_eq!(streams.place(5), Place::Skipped);
        assert_eq!(streams.place(7), Place::Skipped);
        assert_eq!(streams.place(11), Place::Idle);
        assert_eq!(streams.place(2), Place::Idle);
        assert_eq!(with(&[3]).place(1), Place::Skipped);
    }

    #[test]
    fn remembers_which_streams_were_reset_and_then_only_that_they_may_have_been() {
        let ids: Vec<u32> = (0..=REMEMBERED as u32).map(|at| 1 + 4 * at).collect();
        let mut streams = with(&ids);
        for id in &ids {
            streams.remove(*id).unwrap();
            streams.remember_reset(*id);
        }
        for id in &ids {
            assert_eq!(streams.place(*id), Place::Reset);
        }
        assert_eq!(streams.reset.len(), REMEMBERED);
        streams.shrink();
        assert_eq!((streams.place(ids[5]), streams.memory()), (Place::Reset, 0));
    }
}
