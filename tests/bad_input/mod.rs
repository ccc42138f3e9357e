//! Bad input: every line of the list in the rules of HTTP that Vestibule is held to, against an origin that records
//! every byte, and families of faults beyond the list.
//!
//! A status alone does not show smuggling, so that one oracle (`oracle`) judges each case: the status is one of those
//! allowed, the origin got nothing or exactly one canonical request, and what is asked afterwards, on the same
//! connection and on another one, gets its own answer.

mod oracle;

mod chunks;
mod content_length;
mod desync;
mod fields;
mod host;
mod hostile_application;
mod http2;
mod real_server;
mod request_line;
mod slow_peer;
mod transfer_encoding;
