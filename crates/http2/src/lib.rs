//! The bytes of HTTP/2: frames, HPACK, streams and windows, floods. No sockets and no clock: bytes and the time in, events out.
//!
//! [`Connection`] is the whole of it: the server hands it what it has read, hears [`Event`]s, answers by stream, and writes
//! what stands in [`Connection::out`]. A request comes as a head in HTTP/1 form, every byte of it checked, so that one parser
//! (`vestibule-http1`) judges, and one code forwards, the requests of both protocols.
//!
//! The policy is strict: what RFC 9113 calls malformed never becomes a request. What only costs us, and would cost an honest
//! client nothing to leave out, is paid from a budget (`flood.rs`).

mod bytes;
mod connection;
mod error;
mod field_block;
mod flood;
mod frame;
mod head;
pub mod hpack;
mod settings;
mod stream;
mod streams;
mod window;

pub use connection::{Connection, Event, Gone, Kind, Limits, StreamId};
pub use error::{ConnectionError, ErrorCode};
pub use field_block::FieldBlock;
