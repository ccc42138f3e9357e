//! A byte buffer that is read into at one end and consumed at the other.
//!
//! Its memory is initialised once and kept, so reading needs neither `unsafe` nor a fresh zeroing per read.

use std::task::{Context, Poll};
use std::{io, pin::Pin};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes received and not yet used, in memory that only grows on demand.
#[derive(Debug, Default)]
pub struct Buffer {
    data: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// The bytes received and not yet consumed.
    #[inline]
    pub fn filled(&self) -> &[u8] {
        self.data.get(self.start..self.end).unwrap_or_default()
    }

    /// The same, to be changed where they stand.
    #[inline]
    pub fn filled_mut(&mut self) -> &mut [u8] {
        self.data.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Whether nothing is waiting.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How many bytes are waiting.
    #[inline]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Bytes of memory held.
    pub fn capacity(&self) -> usize {
        self.data.len()
    }

    /// Drops the first `count` bytes (all of them if there are fewer).
    #[inline]
    pub fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Forgets everything that waits; the memory stays.
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Gives back the memory that nothing waits in.
    pub(crate) fn shrink(&mut self) {
        let waiting = self.filled().to_vec();
        *self = Buffer { start: 0, end: waiting.len(), data: waiting };
    }

    /// Adds bytes that did not come from a socket.
    pub fn push(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        let end = self.end + bytes.len();
        if let Some(room) = self.data.get_mut(self.end..end) {
            room.copy_from_slice(bytes);
            self.end = end;
        }
    }

    /// Room for at least `room` more bytes: by moving what waits to the front, then by growing.
    fn make_room(&mut self, room: usize) {
        if self.data.len() - self.end >= room {
            return;
        }
        if self.start > 0 {
            self.data.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.data.len() - self.end < room {
            self.data.resize((self.end + room).next_power_of_two(), 0);
        }
    }

    /// Reads once from `stream`, with room for at least `room` bytes; 0 means the end of the stream.
    ///
    /// # Errors
    /// The socket's own.
    #[inline]
    pub fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        self.make_room(room);
        let mut target = ReadBuf::new(self.data.get_mut(self.end..).unwrap_or_default());
        match Pin::new(stream).poll_read(cx, &mut target) {
            Poll::Ready(Ok(())) => {
                let count = target.filled().len();
                self.end += count;
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_waits_while_it_grows_and_moves() {
        let mut buffer = Buffer::default();
        let mut expected = Vec::new();
        for round in 0..200_u32 {
            let bytes: Vec<u8> = (0..round).map(|n| (n ^ round) as u8).collect();
            buffer.push(&bytes);
            expected.extend_from_slice(&bytes);
            let used = expected.len() / 3;
            buffer.consume(used);
            expected.drain(..used);
            assert_eq!(buffer.filled(), expected);
        }
        buffer.consume(usize::MAX / 2);
        assert!(buffer.is_empty());
    }
}
