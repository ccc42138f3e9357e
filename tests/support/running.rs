//! A request that takes its time in the application.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::client::{Client, Response};
use super::kept::Kept;
use super::wait::{seconds, until_true};

/// A POST on its way, in a thread of its own.
pub(crate) struct Running {
    answer: JoinHandle<std::io::Result<Response>>,
    pub(crate) sent: Instant,
    takes: Duration,
}

impl Running {
    /// Sends one with this body that the application takes so long for; returns when it runs.
    pub(crate) fn begin(kept: &Kept, id: &str, takes: Duration) -> Running {
        let address = kept.vestibule.address();
        let path = format!("/once?ms={}", takes.as_millis());
        let body = id.to_owned();
        let sent = Instant::now();
        let answer = std::thread::spawn(move || {
            Client::connect(address)?.patience(seconds(150)).post(&path, body.as_bytes())
        });
        until_true("it runs", seconds(20), || kept.app.ledger().executions().contains_key(id));
        Running { answer, sent, takes }
    }

    /// Waits for its answer's status.
    pub(crate) fn status(self) -> u16 {
        self.answer.join().expect("its thread").expect("an answer").status
    }

    /// Waits for its answer, which has to be a good one, and not there before its time.
    #[track_caller]
    pub(crate) fn assert_finished(self) {
        let (sent, takes) = (self.sent, self.takes);
        assert_eq!(self.status(), 200);
        assert!(sent.elapsed() >= takes, "after {:?}", sent.elapsed());
    }
}
