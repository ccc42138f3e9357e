//! One application as traffic sees it: connect, pool, state, hold, probe.
