//! Letting what runs finish before something is done to the application.

use std::time::{Duration, Instant};

use super::Keeper;
use crate::traffic::Traffic;

/// So long are requests held at a time while others still run. One that runs for a minute must not keep all others
/// waiting for that minute.
const BRIEFLY: Duration = Duration::from_secs(2);
/// Between two tries the others are let in.
const BETWEEN: Duration = Duration::from_secs(1);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

impl<T: Traffic> Keeper<T> {
    /// Holds the traffic at a moment when nothing is in flight, if one comes within the traffic's patience. Whether it did. The
    /// traffic is held either way when this returns.
    pub(super) async fn quiesce(&self) -> bool {
        let end = Instant::now() + self.traffic.patience();
        loop {
            self.traffic.hold().await;
            let now = Instant::now();
            let is_last = now + BRIEFLY + BETWEEN >= end;
            if self.drained(if is_last { end } else { now + BRIEFLY }).await {
                return true;
            }
            if is_last {
                return false;
            }
            self.traffic.release().await;
            tokio::time::sleep(BETWEEN).await;
        }
    }

    /// Waits until nothing is in flight; whether that came before `end`.
    pub(super) async fn drained(&self, end: Instant) -> bool {
        while self.traffic.in_flight() > 0 {
            if Instant::now() >= end {
                return false;
            }
            tokio::time::sleep(LOOK).await;
        }
        true
    }
}
