//! Whether a client sends the body of its request.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use vestibule_config::Limits;
use vestibule_upstream::{ClientError, Deadline};

/// Watches one body while we wait for it: it may not be silent for `limits.request_timeout`, and has to come as fast as
/// `limits.receive_rate` asks once it has been waited for that long. Only the time counts that we waited, not what the
/// application took.
#[derive(Debug)]
pub(crate) struct Arrival {
    silence: Duration,
    /// Least bytes per second.
    least_rate: u64,
    waited: Duration,
    came: u64,
    waits_since: Option<Instant>,
}

impl Arrival {
    pub(crate) fn new(limits: &Limits) -> Self {
        Arrival {
            silence: limits.request_timeout,
            least_rate: limits.receive_rate,
            waited: Duration::ZERO,
            came: 0,
            waits_since: None,
        }
    }

    /// So many bytes came.
    ///
    /// # Errors
    /// `Slow` when that is too little for the time that they were waited for.
    pub(crate) fn came(&mut self, count: usize) -> Result<(), ClientError> {
        self.came += count as u64;
        let Some(since) = self.waits_since.take() else { return Ok(()) };
        self.waited += since.elapsed();
        let counted = self.waited.saturating_sub(self.silence).as_millis();
        if u128::from(self.came) * 1000 < u128::from(self.least_rate) * counted {
            return Err(ClientError::Slow);
        }
        Ok(())
    }

    /// To be polled while nothing comes; ready when that has lasted for too long. `deadline` is the exchange's.
    pub(crate) fn poll(&mut self, deadline: &Deadline, cx: &mut Context<'_>) -> Poll<ClientError> {
        if self.waits_since.is_none() {
            self.waits_since = Some(Instant::now());
            deadline.reset(self.silence);
        }
        deadline.poll(cx).map(|()| ClientError::Slow)
    }
}
