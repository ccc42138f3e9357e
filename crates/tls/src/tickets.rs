//! Session tickets: one rotating key for the process.

use crate::Error;

/// Session tickets: one rotating key for the process, so that a session that began on one worker or listener goes on
/// at any other with the same rules for client certificates. Cloned, it is the same.
#[derive(Debug, Clone)]
pub struct Tickets;

impl Tickets {
    /// Fresh keys, that nobody else has: sessions do not outlive the process.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new() -> Result<Self, Error> {
        todo!()
    }

    /// Replaces the key if it has been used for 6 hours. Handshakes do that too; called now and then without any, it lets
    /// old keys vanish in time.
    pub fn rotate_if_due(&self) {
        todo!()
    }
}
