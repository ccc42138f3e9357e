//! Session tickets: one rotating key for the process.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;

use crate::Error;

/// How long a key makes tickets, seconds; for as long again it takes them.
const PERIOD: u64 = 6 * 60 * 60;

/// The largest session that becomes a ticket: a ticket is at most 64 KiB on the wire (RFC 8446 4.6.1), and goes into every
/// first message that resumes it. Only a client certificate with its chain makes one as large as this; such a client
/// has a whole handshake each time.
const LARGEST: usize = 16 * 1024;

/// What a session with these client rules is marked with: a digest.
pub(crate) type Rules = [u8; 32];

/// Session tickets: one rotating key for the process, so that a session that began on one worker or listener goes on
/// at any other with the same rules for client certificates. Cloned, it is the same.
///
/// The tickets are those of rustls (AES-256-CBC with HMAC-SHA256, RFC 5077 4). A key makes tickets for 6 hours and takes
/// them for 6 more. rustls' own rotation inside takes a `RwLock` to read while it makes or takes one: once or twice per
/// handshake, never on a request's way.
#[derive(Debug, Clone)]
pub struct Tickets(Arc<Rotation>);

impl Tickets {
    /// Fresh keys, that nobody else has: sessions do not outlive the process.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new() -> Result<Self, Error> {
        let keys = Keys { current: fresh()?, previous: None };
        Ok(Self(Arc::new(Rotation {
            keys: ArcSwap::from_pointee(keys),
            began: Instant::now(),
            due: AtomicU64::new(PERIOD),
            rotating: Mutex::new(()),
        })))
    }

    /// Replaces the key if it has been used for 6 hours. Handshakes do that too; called now and then without any, it lets
    /// old keys vanish in time.
    pub fn rotate_if_due(&self) {
        self.0.rotate_if_due(Instant::now());
    }

    /// The ticketer of listeners with these rules for client certificates.
    ///
    /// rustls binds a ticket to the cipher suite and the name (SNI), not to the configuration: a session that began where
    /// nobody asked for a certificate would go on where one is required, and one with a certificate that has been revoked
    /// since would go on after it. So what is encrypted begins with the rules' digest (authorities, revocations, whether
    /// required), and a ticket from elsewhere is as good as none: a whole handshake follows. Certificates of the server,
    /// protocols (ALPN, chosen anew when a session is resumed) and the minimum version (a ticket is of its own version)
    /// need no such mark.
    pub(crate) fn bound_to(&self, rules: Rules) -> Arc<dyn ProducesTickets> {
        Arc::new(Bound { rotation: Arc::clone(&self.0), rules })
    }

    #[cfg(test)]
    pub(crate) fn rotate(&self) {
        self.0.rotate();
    }
}

struct Rotation {
    keys: ArcSwap<Keys>,
    began: Instant,
    /// When the current key has done its time, in seconds since `began`.
    due: AtomicU64,
    rotating: Mutex<()>,
}

struct Keys {
    current: Arc<dyn ProducesTickets>,
    previous: Option<Arc<dyn ProducesTickets>>,
}

impl Rotation {
    fn rotate_if_due(&self, now: Instant) {
        let now = now.saturating_duration_since(self.began).as_secs();
        let due = self.due.load(Ordering::Relaxed);
        // Of those who see it at the same time one does it; the others go on with what there is.
        if now >= due
            && self.due.compare_exchange(due, now + PERIOD, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            // After a pause of two periods or more the key before is too old as well.
            if now >= due + PERIOD {
                self.rotate();
            }
            self.rotate();
        }
    }

    fn rotate(&self) {
        let _one = self.rotating.lock().unwrap_or_else(PoisonError::into_inner);
        match fresh() {
            Ok(current) => {
                let previous = Some(Arc::clone(&self.keys.load().current));
                self.keys.store(Arc::new(Keys { current, previous }));
            }
            // The old key goes on for a period more: sessions are no reason to refuse clients.
            Err(error) => tracing::error!("session tickets keep their key: {error}"),
        }
    }
}

impl fmt::Debug for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotation").field("due", &self.due).finish_non_exhaustive()
    }
}

fn fresh() -> Result<Arc<dyn ProducesTickets>, Error> {
    Ticketer::new().map_err(Error::Random)
}

#[derive(Debug)]
struct Bound {
    rotation: Arc<Rotation>,
    rules: Rules,
}

impl ProducesTickets for Bound {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(2 * PERIOD).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        if plain.len() > LARGEST {
            return None;
        }
        self.rotation.rotate_if_due(Instant::now());
        let marked = [&self.rules, plain].concat();
        self.rotation.keys.load().current.encrypt(&marked)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.rotation.rotate_if_due(Instant::now());
        let keys = self.rotation.keys.load();
        let before = || keys.previous.as_ref()?.decrypt(ticket);
        let marked = keys.current.decrypt(ticket).or_else(before)?;
        marked.strip_prefix(&self.rules).map(<[u8]>::to_vec)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn takes_a_ticket_for_one_period_after_its_key_was_replaced() {
        let tickets = Tickets::new().unwrap();
        let ticketer = tickets.bound_to([1; 32]);
        let ticket = ticketer.encrypt(b"a session").unwrap();
        assert_eq!(ticketer.decrypt(&ticket).as_deref(), Some(&b"a session"[..]));
        tickets.rotate();
        assert_eq!(ticketer.decrypt(&ticket).as_deref(), Some(&b"a session"[..]));
        tickets.rotate();
        assert_eq!(ticketer.decrypt(&ticket), None);
    }

    #[test]
    fn takes_no_ticket_of_other_rules_nor_a_forged_one() {
        let tickets = Tickets::new().unwrap();
        let (here, there) = (tickets.bound_to([1; 32]), tickets.bound_to([2; 32]));
        let mut ticket = here.encrypt(b"a session").unwrap();
        assert_eq!(there.decrypt(&ticket), None);
        assert_eq!(tickets.bound_to([1; 32]).decrypt(&ticket).as_deref(), Some(&b"a session"[..]));
        assert_eq!(Tickets::new().unwrap().bound_to([1; 32]).decrypt(&ticket), None);
        *ticket.last_mut().unwrap() ^= 1;
        assert_eq!(here.decrypt(&ticket), None);
        assert_eq!(here.decrypt(b""), None);
    }

    #[test]
    fn makes_no_ticket_larger_than_the_wire_takes() {
        let ticketer = Tickets::new().unwrap().bound_to([0; 32]);
        assert!(ticketer.encrypt(&[0; LARGEST]).unwrap().len() < 1 << 16);
        assert_eq!(ticketer.encrypt(&[0; LARGEST + 1]), None);
    }

    #[test]
    fn replaces_its_key_when_its_time_has_come() {
        let tickets = Tickets::new().unwrap();
        let ticketer = tickets.bound_to([0; 32]);
        let began = tickets.0.began;
        let second = Duration::from_secs(1);
        let period = Duration::from_secs(PERIOD);
        let current = || Arc::as_ptr(&tickets.0.keys.load().current).cast::<u8>();
        let first = current();

        tickets.0.rotate_if_due(began + period - second);
        assert_eq!(current(), first);
        tickets.0.rotate_if_due(began + period);
        assert_ne!(current(), first);
        let second_key = current();
        let ticket = ticketer.encrypt(b"a session").unwrap();
        tickets.0.rotate_if_due(began + period + second);
        assert_eq!(current(), second_key);
        // Nothing happened for a day: the key before has outlived its time too.
        tickets.0.rotate_if_due(began + 5 * period);
        assert_eq!(ticketer.decrypt(&ticket), None);
    }
}
