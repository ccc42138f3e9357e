//! Sending a body that comes from files: from memory, or from the disk without holding up the worker.

use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::task::{Context, Poll};

use vestibule_config::Limits;
use vestibule_files::{Body, Error, OpenFile, Part};

use crate::outflow::{FLUSH, WriteError};
use crate::pace::Pace;
use crate::sink::Sink;

/// Bodies up to this are copied behind their head: a second piece costs the kernel more than the copy.
const JOINED: usize = 16 * 1024;
/// Bytes that one answer may send before others have their turn, however fast its client takes them.
const TURN: u64 = 1 << 20;

/// Why a body was not sent whole.
#[derive(Debug)]
pub(crate) enum DeliveryError {
    Client(WriteError),
    /// The file is not what was promised.
    Broken(Error),
}

impl From<WriteError> for DeliveryError {
    fn from(error: WriteError) -> Self {
        DeliveryError::Client(error)
    }
}

impl From<Error> for DeliveryError {
    fn from(error: Error) -> Self {
        DeliveryError::Broken(error)
    }
}

/// One body on its way, behind the head that stands in `out`.
pub(crate) struct Delivery<'a, S> {
    sink: &'a mut S,
    out: &'a mut Vec<u8>,
    pace: Pace,
    /// Bytes since others had their turn.
    since_turn: u64,
}

impl<'a, S: Sink> Delivery<'a, S> {
    pub(crate) fn new(sink: &'a mut S, out: &'a mut Vec<u8>, limits: &Limits) -> Self {
        Delivery { sink, out, pace: Pace::new(limits), since_turn: 0 }
    }

    /// Bytes given to the client so far, the head among them.
    pub(crate) fn written(&self) -> u64 {
        self.pace.written()
    }

    /// Sends the head and `body`.
    ///
    /// # Errors
    /// When the client left, took too little, or the file is not what it was: what was sent must not be ended as if whole.
    pub(crate) async fn deliver(&mut self, body: &Body) -> Result<(), DeliveryError> {
        match body {
            Body::None => self.write(b"").await?,
            Body::Memory(bytes) if bytes.len() <= JOINED => {
                self.out.extend_from_slice(bytes);
                self.write(b"").await?;
            }
            Body::Memory(bytes) => self.write(bytes).await?,
            Body::Disk { file, parts } => {
                for (index, part) in parts.iter().enumerate() {
                    match part {
                        Part::Text(text) => self.out.extend_from_slice(text),
                        Part::Range(range) => {
                            let is_last =
                                !parts.iter().skip(index + 1).any(|part| matches!(part, Part::Range(_)));
                            if self.sink.sends_files() {
                                self.send(file, range.clone(), is_last).await?;
                            } else {
                                self.copy(file, range.clone(), is_last).await?;
                            }
                        }
                    }
                }
                self.write(b"").await?;
            }
        }
        let sent = poll_fn(|cx| match self.sink.poll_sent(cx) {
            Poll::Pending => self.is_too_slow(cx),
            Poll::Ready(sent) => Poll::Ready(sent.map_err(|_| WriteError::Left)),
        });
        Ok(sent.await?)
    }

    /// Writes what stands in `out`, which it empties, and then `bytes`.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let (mut first, mut second) = (0, 0);
        while first < self.out.len() || second < bytes.len() {
            let count = poll_fn(|cx| {
                let rest = self.out.get(first..).unwrap_or_default();
                let behind = bytes.get(second..).unwrap_or_default();
                let sent = if behind.is_empty() {
                    self.sink.poll_send(cx, rest)
                } else {
                    self.sink.poll_send_both(cx, rest, behind)
                };
                self.took(sent, cx)
            })
            .await?;
            let of_first = count.min(self.out.len() - first);
            first += of_first;
            second += count - of_first;
            self.turn(count as u64).await;
        }
        self.out.clear();
        Ok(())
    }

    /// Sends a range of a file without its coming through our memory: as much as the kernel has in its memory; else a thread that may wait
    /// has it read in first.
    async fn send(
        &mut self,
        file: &Arc<OpenFile>,
        mut range: Range<u64>,
        is_last: bool,
    ) -> Result<(), DeliveryError> {
        let mut head = 0;
        while head < self.out.len() {
            head += poll_fn(|cx| {
                let sent = self.sink.poll_send_before(cx, self.out.get(head..).unwrap_or_default());
                self.took(sent, cx)
            })
            .await?;
        }
        self.out.clear();
        let mut at_hand = 0;
        // What goes out in one piece was looked at when it was found.
        let mut has_waited = false;
        while range.start < range.end {
            if at_hand == 0 {
                at_hand = file.in_memory(&range);
            }
            if at_hand == 0 {
                at_hand = self.read_in(file, &range).await?;
            }
            if is_last && has_waited && range.start + at_hand >= range.end {
                file.check()?;
            }
            let most = usize::try_from(at_hand).unwrap_or(usize::MAX);
            let count = poll_fn(|cx| {
                let sent = self.sink.poll_send_file(cx, file.as_fd(), range.start, most);
                self.took(sent, cx)
            })
            .await? as u64;
            if count == 0 {
                return Err(Error::Shorter.into());
            }
            if count < at_hand {
                // The socket is full, or the file ends here, and then nobody would wake us.
                file.check()?;
            }
            has_waited = true;
            range.start += count;
            at_hand = at_hand.saturating_sub(count);
            self.turn(count).await;
        }
        Ok(())
    }

    /// Has a thread that may wait read the beginning of a range into the kernel's memory; gives how much.
    async fn read_in(&mut self, file: &Arc<OpenFile>, range: &Range<u64>) -> Result<u64, DeliveryError> {
        // This is our slowness, not the client's.
        self.pace.caught_up();
        let (file, range) = (Arc::clone(file), range.clone());
        let reading = tokio::task::spawn_blocking(move || file.read_in(&range)).await;
        Ok(reading.map_err(|ending| Error::Read(io::Error::other(ending)))??)
    }

    /// Sends a range of a file through our memory, a piece at a time, the first behind what stands in `out`.
    async fn copy(
        &mut self,
        file: &Arc<OpenFile>,
        mut range: Range<u64>,
        is_last: bool,
    ) -> Result<(), DeliveryError> {
        while range.start < range.end {
            let begin = self.out.len();
            let room = FLUSH.saturating_sub(begin).max(FLUSH / 2);
            let count = usize::try_from(range.end - range.start).unwrap_or(usize::MAX).min(room);
            self.out.resize(begin + count, 0);
            let had = file.read_now(self.out.get_mut(begin..).unwrap_or_default(), range.start);
            if had < count {
                self.pace.caught_up();
                let (file, offset) = (Arc::clone(file), range.start + had as u64);
                let mut bytes = std::mem::take(self.out);
                let reading = tokio::task::spawn_blocking(move || {
                    let outcome = file.read(bytes.get_mut(begin + had..).unwrap_or_default(), offset);
                    (bytes, outcome)
                });
                let (bytes, outcome) =
                    reading.await.map_err(|ending| Error::Read(io::Error::other(ending)))?;
                *self.out = bytes;
                outcome?;
            }
            range.start += count as u64;
            if is_last && range.start == range.end {
                file.check()?;
            }
            self.write(b"").await?;
        }
        Ok(())
    }

    /// Notes what the client took. Where it takes nothing now, ready when it has been too slow.
    fn took(
        &mut self,
        sent: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, WriteError>> {
        match sent {
            Poll::Ready(Ok(count)) => {
                self.pace.wrote(count);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(WriteError::Left)),
            Poll::Pending => self.is_too_slow(cx),
        }
    }

    fn is_too_slow<T>(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, WriteError>> {
        self.pace.poll(self.sink, cx).map(|()| Err(WriteError::Slow))
    }

    /// Lets others have their turn when `count` bytes more are enough for one.
    async fn turn(&mut self, count: u64) {
        self.since_turn += count;
        if self.since_turn >= TURN {
            self.since_turn = 0;
            tokio::task::yield_now().await;
        }
    }
}
