//! The idle connections to an upstream: one stack per worker, last in, first out.
//!
//! A worker takes from its own stack. Only when that is empty and the upstream already has as many connections as it
//! may have, it takes one out of another worker's: a Puma thread waits on each kept-alive connection, so that a new
//! connection beside the idle ones would wait for a thread that waits for us.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::connection::{Connection, Idle};

/// Idle connections, per worker.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Each lock is its worker's own; another worker holds it for the time of one pop, and only when it steals.
    stacks: Vec<Mutex<Vec<Idle>>>,
    /// Connections in all, idle and in use, of all workers.
    connections: Arc<AtomicU32>,
    idle: AtomicU32,
}

/// Counts one connection for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicU32>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    pub(crate) fn new(workers: usize) -> Self {
        Pool {
            stacks: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            connections: Arc::default(),
            idle: AtomicU32::new(0),
        }
    }

    fn stack(&self, worker: usize) -> MutexGuard<'_, Vec<Idle>> {
        self.stacks[worker % self.stacks.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that this worker used last, if it is of this generation and still open.
    pub(crate) fn take(&self, worker: usize, generation: u64) -> Option<Box<Connection>> {
        if self.idle.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut stack = self.stack(worker);
        while let Some(idle) = stack.pop() {
            self.idle.fetch_sub(1, Ordering::Relaxed);
            if idle.connection.generation == generation && !idle.is_stale() {
                return Some(idle.connection);
            }
        }
        None
    }

    /// A connection out of another worker's stack, moved into this worker's event loop.
    pub(crate) fn steal(&self, worker: usize, generation: u64) -> Option<Box<Connection>> {
        for other in (0..self.stacks.len()).map(|step| worker + 1 + step) {
            if self.idle.load(Ordering::Relaxed) == 0 {
                return None;
            }
            let taken = self.stack(other).pop();
            let Some(idle) = taken else { continue };
            self.idle.fetch_sub(1, Ordering::Relaxed);
            if idle.connection.generation == generation
                && let Ok(connection) = (*idle.connection).adopt()
            {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for this worker's next request.
    pub(crate) fn put(&self, worker: usize, connection: Box<Connection>) {
        self.idle.fetch_add(1, Ordering::Relaxed);
        self.stack(worker).push(Idle { connection, since: Instant::now() });
    }

    /// Closes all idle connections, of all workers.
    pub(crate) fn clear(&self) {
        for worker in 0..self.stacks.len() {
            let gone = std::mem::take(&mut *self.stack(worker));
            self.idle.fetch_sub(gone.len() as u32, Ordering::Relaxed);
        }
    }

    /// Counts a connection about to be made.
    pub(crate) fn count(&self) -> Counted {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(&self.connections))
    }

    /// Connections in all, idle and in use.
    pub(crate) fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Closes this worker's idle connections that are of another generation, closed by the upstream, or idle for
    /// longer than `longest`.
    pub(crate) fn tidy(&self, worker: usize, generation: u64, longest: Duration) {
        if self.idle.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut gone = 0;
        self.stack(worker).retain(|idle| {
            let keep = idle.connection.generation == generation
                && idle.since.elapsed() < longest
                && !idle.is_stale();
            gone += u32::from(!keep);
            keep
        });
        self.idle.fetch_sub(gone, Ordering::Relaxed);
    }
}
