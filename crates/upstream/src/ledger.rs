//! What one attempt has sent, and whether the request may therefore be sent again.
//!
//! The rule: a request that must not run twice is replayed only with proof that the application never had the whole
//! of it. Over a Unix socket the kernel gives that proof (measured on Linux 6.18; unix_release_sock() sets it): when
//! the other end closes, or its listener goes before accepting, our read fails with ECONNRESET if any byte that we
//! sent was still unread, and ends with a plain EOF if all had been read.

use std::io;

use crate::send::{Outgoing, Rest};

/// What any of the servers takes in one read: Unicorn and Thin 16 KiB, Puma and Passenger more.
const ONE_READ: usize = 16 * 1024;

/// How a server reads a request, as far as that is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The application runs only when the whole body is there.
    pub(crate) whole_bodies: bool,
    /// A read takes [`ONE_READ`], if that much is there. What nobody knows may read less, and run the application with that.
    pub(crate) much_at_once: bool,
}

impl Reading {
    /// What holds for both.
    pub(crate) fn and(self, other: Self) -> Self {
        Reading {
            whole_bodies: self.whole_bodies && other.whole_bodies,
            much_at_once: self.much_at_once && other.much_at_once,
        }
    }
}

/// How a connection ended that brought no answer.
#[derive(Debug)]
pub(crate) enum End {
    /// The other side closed it (EOF).
    Closed,
    /// The read failed, with ECONNRESET as a rule.
    Reset(io::Error),
}

impl End {
    pub(crate) fn into_error(self) -> io::Error {
        match self {
            End::Closed => io::ErrorKind::UnexpectedEof.into(),
            End::Reset(error) => error,
        }
    }

    fn is_reset(&self) -> bool {
        matches!(self, End::Reset(error) if error.kind() == io::ErrorKind::ConnectionReset)
    }
}

/// The account of one attempt.
#[derive(Debug)]
pub(crate) struct Ledger {
    is_idempotent: bool,
    has_body: bool,
    /// Whether the body goes in chunks, which Thin and Passenger do not take apart: they run the application at once.
    is_chunked: bool,
    /// Whether the other end is a Unix socket, whose ECONNRESET is a proof.
    is_unix: bool,
    total: usize,
    written: usize,
    writes: u32,
    is_whole: bool,
    has_rest_gone: bool,
    has_begun: bool,
}

impl Ledger {
    pub(crate) fn new(request: &Outgoing<'_>, is_unix: bool) -> Self {
        Ledger {
            is_idempotent: request.method.is_idempotent(),
            has_body: request.bytes.len() > request.head_len || !matches!(request.rest, Rest::Nothing),
            is_chunked: matches!(request.rest, Rest::Chunked),
            is_unix,
            total: request.bytes.len(),
            written: 0,
            writes: 0,
            is_whole: false,
            has_rest_gone: false,
            has_begun: false,
        }
    }

    /// Bytes of the request's own that the kernel took.
    #[inline]
    pub(crate) fn written(&self) -> usize {
        self.written
    }

    /// Whether anything was sent.
    pub(crate) fn has_sent(&self) -> bool {
        self.written > 0
    }

    #[inline]
    pub(crate) fn wrote(&mut self, count: usize) {
        self.written += count;
        self.writes += 1;
    }

    /// Bytes came straight from the client, which we do not have any more once the connection is lost, whether they went
    /// or not.
    pub(crate) fn took_from_client(&mut self) {
        self.has_rest_gone = true;
    }

    /// Bytes went of what follows the request's own.
    pub(crate) fn wrote_rest(&mut self, count: usize) {
        self.total += count;
        self.writes += 1;
    }

    /// The kernel took the last byte.
    #[inline]
    pub(crate) fn sent_whole(&mut self) {
        self.is_whole = true;
    }

    /// Whether the kernel took the last byte.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// A byte of the answer came.
    #[inline]
    pub(crate) fn response_began(&mut self) {
        self.has_begun = true;
    }

    /// Whether the request may be sent again. `repeated` remembers the one repetition that an idempotent method has
    /// without proof (RFC 9110 9.2.2).
    pub(crate) fn may_replay(&self, end: &End, reading: Reading, repeated: &mut bool) -> bool {
        if self.has_rest_gone {
            return false;
        }
        if !self.has_begun && (self.written == 0 || self.application_cannot_have_run(end, reading)) {
            return true;
        }
        // An answer that began proves that it ran. Of this attempt nothing was passed on to the client.
        self.is_idempotent && !std::mem::replace(repeated, true)
    }

    fn application_cannot_have_run(&self, end: &End, reading: Reading) -> bool {
        let needs_all = !self.has_body || (reading.whole_bodies && !self.is_chunked);
        if !self.is_whole {
            return needs_all;
        }
        let in_one_read = reading.much_at_once && self.writes == 1 && self.total < ONE_READ;
        self.is_unix && end.is_reset() && (needs_all || in_one_read)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vestibule_config::Timeouts;
    use vestibule_http1::Method;

    use super::*;
    use crate::spool::Store;

    struct Case {
        method: Method,
        body: usize,
        writes: &'static [usize],
        is_unix: bool,
        reset: bool,
        reads_whole: bool,
        is_known: bool,
    }

    fn reading(whole_bodies: bool) -> Reading {
        Reading { whole_bodies, much_at_once: true }
    }

    fn store() -> Arc<Store> {
        Store::new(&vestibule_config::Disk::default())
    }

    const POST: Case = Case {
        method: Method::Post,
        body: 10,
        writes: &[110],
        is_unix: true,
        reset: true,
        reads_whole: false,
        is_known: true,
    };

    fn replays(case: &Case) -> bool {
        let mut bytes = vec![b'x'; 100 + case.body];
        let request = Outgoing {
            method: case.method,
            bytes: &mut bytes,
            head_len: 100,
            rest: Rest::Nothing,
            upgrade: None,
            is_unusual: false,
            store: &store(),
            timeout: Timeouts::default(),
            key: 0,
        };
        let mut ledger = Ledger::new(&request, case.is_unix);
        case.writes.iter().for_each(|&count| ledger.wrote(count));
        if case.writes.iter().sum::<usize>() == 100 + case.body {
            ledger.sent_whole();
        }
        let end = if case.reset { End::Reset(io::ErrorKind::ConnectionReset.into()) } else { End::Closed };
        let reading = Reading { whole_bodies: case.reads_whole, much_at_once: case.is_known };
        ledger.may_replay(&end, reading, &mut true)
    }

    #[test]
    fn replays_a_post_only_with_proof() {
        assert!(replays(&POST), "unread and small enough for one read");
        assert!(!replays(&Case { is_known: false, ..POST }), "it may read ten bytes at once");
        assert!(
            replays(&Case { is_known: false, body: 0, writes: &[100], ..POST }),
            "it had not read the head"
        );
        assert!(!replays(&Case { reset: false, ..POST }), "EOF: all was read");
        assert!(!replays(&Case { is_unix: false, ..POST }), "TCP proves nothing");
        assert!(replays(&Case { writes: &[], reset: false, is_unix: false, ..POST }), "nothing was sent");
    }

    #[test]
    fn a_long_body_proves_something_only_where_the_server_reads_all_of_it_first() {
        let long = Case { body: 20_000, writes: &[20_100], ..POST };
        assert!(!replays(&long));
        assert!(replays(&Case { reads_whole: true, ..long }));
        let cut = Case { body: 20_000, writes: &[15_000], reset: false, ..POST };
        assert!(!replays(&cut), "Unicorn runs the application before the body is there");
        assert!(replays(&Case { reads_whole: true, ..cut }));
    }

    #[test]
    fn chunks_prove_nothing_where_the_application_is_given_them_raw() {
        let mut bytes = vec![b'x'; 70_000];
        let request = Outgoing {
            method: Method::Post,
            bytes: &mut bytes,
            head_len: 100,
            rest: Rest::Chunked,
            upgrade: None,
            is_unusual: false,
            store: &store(),
            timeout: Timeouts::default(),
            key: 0,
        };
        let mut ledger = Ledger::new(&request, true);
        ledger.wrote(30_000);
        assert!(!ledger.may_replay(
            &End::Reset(io::ErrorKind::ConnectionReset.into()),
            reading(true),
            &mut false
        ));
    }

    #[test]
    fn two_writes_may_have_been_two_reads() {
        assert!(!replays(&Case { writes: &[100, 10], ..POST }));
        assert!(replays(&Case { body: 0, writes: &[60, 40], ..POST }), "without a body the head was cut");
    }

    #[test]
    fn repeats_an_idempotent_request_once_without_proof() {
        let request = Outgoing {
            method: Method::Get,
            bytes: &mut b"GET".to_vec(),
            head_len: 3,
            rest: Rest::Nothing,
            upgrade: None,
            is_unusual: false,
            store: &store(),
            timeout: Timeouts::default(),
            key: 0,
        };
        let mut ledger = Ledger::new(&request, true);
        ledger.wrote(3);
        ledger.sent_whole();
        let mut repeated = false;
        assert!(ledger.may_replay(&End::Closed, reading(true), &mut repeated));
        assert!(!ledger.may_replay(&End::Closed, reading(true), &mut repeated));
    }

    #[test]
    fn an_answer_that_began_is_no_proof_but_may_be_asked_for_again() {
        for (method, again) in [(Method::Get, true), (Method::Post, false)] {
            let request = Outgoing {
                method,
                bytes: &mut b"x".to_vec(),
                head_len: 1,
                rest: Rest::Nothing,
                upgrade: None,
                is_unusual: false,
                store: &store(),
                timeout: Timeouts::default(),
                key: 0,
            };
            let mut ledger = Ledger::new(&request, true);
            ledger.wrote(1);
            ledger.sent_whole();
            ledger.response_began();
            let reset = End::Reset(io::ErrorKind::ConnectionReset.into());
            assert_eq!(ledger.may_replay(&reset, reading(true), &mut false), again, "{method:?}");
        }
    }
}
