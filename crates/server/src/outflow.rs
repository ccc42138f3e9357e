//! Bytes on their way to a client that may be slower than the application: in memory, then on disk, both bounded.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use vestibule_config::{Buffer, Limits};
use vestibule_upstream::{PIECE, Spool, SpoolError, Store};

use crate::pace::Pace;
use crate::sink::Sink;

/// Bytes are written to the client when this much has come together, or when no more is there.
pub(crate) const FLUSH: usize = 64 * 1024;

/// Why bytes could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteError {
    Left,
    Slow,
}

/// Writes `bytes` and empties it.
pub(crate) async fn write_all(
    sink: &mut impl Sink,
    bytes: &mut Vec<u8>,
    limits: &Limits,
) -> Result<(), WriteError> {
    let mut flow = Outflow::new(bytes, limits);
    poll_fn(|cx| {
        loop {
            match flow.poll(sink, cx) {
                Ok(_) if flow.is_empty() => return Poll::Ready(Ok(())),
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(FlowError::Client(error)) => return Poll::Ready(Err(error)),
                Err(FlowError::Disk(_)) => return Poll::Ready(Err(WriteError::Left)),
            }
        }
    })
    .await
}

/// Writes `bytes`, which it empties, and then `rest`, with no more than a piece of that in memory.
pub(crate) async fn write_with(
    sink: &mut impl Sink,
    bytes: &mut Vec<u8>,
    rest: &[u8],
    limits: &Limits,
) -> Result<(), WriteError> {
    write_all(sink, bytes, limits).await?;
    for piece in rest.chunks(FLUSH) {
        bytes.extend_from_slice(piece);
        write_all(sink, bytes, limits).await?;
    }
    Ok(())
}

/// A queue of bytes towards a client: `out`, then what is on disk, then `back`.
#[derive(Debug)]
pub(crate) struct Outflow<'a> {
    /// Being written; the first `written` bytes are gone.
    out: &'a mut Vec<u8>,
    written: usize,
    /// Whether what was written may still wait on our side of the kernel.
    is_unsent: bool,
    disk: Option<OnDisk<'a>>,
    memory: usize,
    pace: Pace,
}

/// The part of the queue that memory does not take.
#[derive(Debug)]
struct OnDisk<'a> {
    store: &'a Arc<Store>,
    most: u64,
    spool: Option<Spool>,
    /// How far the file has been read.
    read: u64,
    is_writing: bool,
    has_failed: bool,
    back: Vec<u8>,
}

impl<'a> Outflow<'a> {
    /// A queue that begins with the bytes in `out`.
    pub(crate) fn new(out: &'a mut Vec<u8>, limits: &Limits) -> Self {
        Outflow { out, written: 0, is_unsent: false, disk: None, memory: FLUSH, pace: Pace::new(limits) }
    }

    /// From now on takes as much as `buffer` allows, on disk when memory is full.
    pub(crate) fn buffer(&mut self, buffer: &Buffer, store: &'a Arc<Store>) {
        self.memory = usize::try_from(buffer.memory).unwrap_or(usize::MAX).max(1);
        if buffer.disk > 0 {
            self.disk = Some(OnDisk {
                store,
                most: buffer.disk,
                spool: None,
                read: 0,
                is_writing: false,
                has_failed: false,
                back: Vec::new(),
            });
        }
    }

    /// Bytes given to the client's kernel so far.
    pub(crate) fn written(&self) -> u64 {
        self.pace.written()
    }

    /// Bytes in `out` that are still to be written.
    #[inline]
    fn waiting(&self) -> usize {
        self.out.len() - self.written
    }

    /// Whether so much has come together that it should be written.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.waiting() >= FLUSH
    }

    /// Whether all is written.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting() == 0 && !self.is_unsent && self.disk.as_ref().is_none_or(OnDisk::is_empty)
    }

    /// Whether more may be put in.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        match &self.disk {
            None => self.waiting() < self.memory,
            Some(disk) if disk.is_empty() => self.waiting() < self.memory || disk.takes_more(),
            Some(disk) => disk.takes_more(),
        }
    }

    /// Whether it waits in memory though it was to go on to the disk: that takes no more.
    #[inline]
    pub(crate) fn is_short(&self) -> bool {
        self.waiting() >= self.memory && self.disk.as_ref().is_some_and(OnDisk::is_full)
    }

    /// Where more is to be put, at its end.
    #[inline]
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        let waiting = self.waiting();
        match &mut self.disk {
            Some(disk) if !disk.is_empty() || waiting >= self.memory => &mut disk.back,
            _ => {
                // What is gone makes room once it is more than what is left.
                if self.written > waiting {
                    self.out.drain(..self.written);
                    self.written = 0;
                }
                self.out
            }
        }
    }

    /// Moves what can be moved now: to the disk, from there, to the client. Gives whether anything moved; if not, the
    /// task is woken when something can.
    ///
    /// # Errors
    /// When the client left, took too little, or a part of the answer cannot be read back.
    pub(crate) fn poll(&mut self, sink: &mut impl Sink, cx: &mut Context<'_>) -> Result<bool, FlowError> {
        let mut has_moved = false;
        if let Some(disk) = &mut self.disk
            && !disk.is_empty()
        {
            let mut out = (self.written == self.out.len()).then_some(&mut *self.out);
            let was_free = out.is_some();
            has_moved = disk.poll(&mut out, cx)?;
            if was_free && out.is_none() {
                self.written = 0;
            }
        }
        while self.written < self.out.len() {
            let rest = self.out.get(self.written..).unwrap_or_default();
            match sink.poll_send(cx, rest) {
                Poll::Ready(Ok(count)) => {
                    self.written += count;
                    self.is_unsent = true;
                    self.pace.wrote(count);
                    has_moved = true;
                }
                Poll::Ready(Err(_)) => return Err(FlowError::Client(WriteError::Left)),
                Poll::Pending if self.pace.poll(sink, cx).is_ready() => {
                    return Err(FlowError::Client(WriteError::Slow));
                }
                Poll::Pending => return Ok(has_moved),
            }
        }
        self.out.clear();
        self.written = 0;
        if self.is_unsent {
            match sink.poll_sent(cx) {
                Poll::Ready(Ok(())) => self.is_unsent = false,
                Poll::Ready(Err(_)) => return Err(FlowError::Client(WriteError::Left)),
                Poll::Pending if self.pace.poll(sink, cx).is_ready() => {
                    return Err(FlowError::Client(WriteError::Slow));
                }
                Poll::Pending => return Ok(has_moved),
            }
        }
        self.pace.caught_up();
        Ok(has_moved)
    }
}

/// Why a queue got stuck.
#[derive(Debug)]
pub(crate) enum FlowError {
    Client(WriteError),
    /// What had been put on disk is lost.
    Disk(SpoolError),
}

impl OnDisk<'_> {
    fn is_empty(&self) -> bool {
        self.back.is_empty() && self.spool.as_ref().is_none_or(|spool| spool.is_empty() && !spool.is_busy())
    }

    fn len(&self) -> u64 {
        self.spool.as_ref().map_or(0, Spool::len)
    }

    fn takes_more(&self) -> bool {
        self.back.len() < PIECE && !self.is_full()
    }

    /// Whether what is put at its back could not go on to the disk.
    fn is_full(&self) -> bool {
        // A piece is written when it is whole; what made it so may be as much again.
        let next = 2 * PIECE as u64;
        self.has_failed
            || self.len() + PIECE as u64 > self.most
            || !self.spool.as_ref().map_or_else(|| self.store.has_room(next), |spool| spool.has_room(next))
    }

    /// Goes on with the work on the file, or begins the next. What is next for the client is put in `out` when that
    /// is free, and `out` taken. Gives whether anything moved.
    fn poll(&mut self, out: &mut Option<&mut Vec<u8>>, cx: &mut Context<'_>) -> Result<bool, FlowError> {
        let mut has_moved = false;
        loop {
            let spool = self.spool.get_or_insert_with(|| Spool::new(self.store));
            if spool.is_busy() {
                match spool.poll(cx) {
                    Poll::Pending => return Ok(has_moved),
                    Poll::Ready(Ok(bytes)) if self.is_writing => drop(bytes),
                    Poll::Ready(Ok(bytes)) => {
                        self.read += bytes.len() as u64;
                        if self.read == spool.len() {
                            spool.clear();
                            self.read = 0;
                        }
                        // A reading begins only when `out` is free, and nothing else fills it.
                        if let Some(out) = out.take() {
                            *out = bytes;
                        }
                    }
                    Poll::Ready(Err((error, mut bytes))) if self.is_writing => {
                        tracing::warn!(%error, cause = ?std::error::Error::source(&error), "an answer is not kept on disk");
                        // They stay in memory; no more is taken until they are gone.
                        bytes.append(&mut self.back);
                        self.back = bytes;
                        self.has_failed = true;
                    }
                    Poll::Ready(Err((error, _))) => return Err(FlowError::Disk(error)),
                }
                has_moved = true;
                self.is_writing = false;
                continue;
            }
            if let Some(free) = out.as_deref_mut() {
                if self.read < spool.len() {
                    spool.read(self.read, std::mem::take(free));
                    continue;
                }
                if !self.back.is_empty() {
                    std::mem::swap(free, &mut self.back);
                    self.back.clear();
                    if self.has_failed {
                        // Nothing more is put there.
                        self.back = Vec::new();
                    }
                    *out = None;
                    return Ok(true);
                }
                return Ok(has_moved);
            }
            if self.back.len() < PIECE || self.has_failed {
                return Ok(has_moved);
            }
            match spool.append(std::mem::take(&mut self.back)) {
                Ok(()) => self.is_writing = true,
                Err((error, bytes)) => {
                    tracing::debug!(%error, "an answer waits for its client");
                    self.back = bytes;
                    self.has_failed = true;
                }
            }
            has_moved = true;
        }
    }
}
