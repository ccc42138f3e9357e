//! The bytes of HTTP/1: heads, fields, framing, chunks.
//!
//! Nothing here reads a socket or owns a buffer: the caller hands in what it has read so far and gets back
//! [`Span`]s, offsets into that same buffer, or the news that more is needed. A head that is parsed into a
//! reused [`RequestHead`] or [`ResponseHead`] allocates nothing.
//!
//! The policy is strict. What two parsers could read differently is refused here, so that the application never
//! gets to read it: a client's fault is a [`RequestError`] with its status, an application's a
//! [`ResponseError`] (502).

mod authority;
mod bytes;
mod chunked;
mod connection;
mod error;
mod field;
mod method;
mod path;
mod request;
mod response;
mod section;
mod span;
#[cfg(test)]
mod torture;
mod trailer;
mod unusual;
mod websocket;
mod write;

pub use chunked::{Chunk, ChunkDecoder};
pub use error::{ChunkError, FieldError, RequestError, ResponseError};
pub use field::{Field, Name};
pub use method::Method;
pub use path::write_canonical;
pub use request::{Framing, RequestHead};
pub use response::{BodyLength, ResponseHead};
pub use section::{HeadLimits, Version};
pub use span::Span;
pub use trailer::write_trailers;
pub use websocket::{is_websocket_accept, is_websocket_key};
pub use write::{
    CHUNK_END, LAST_CHUNK, LAST_CHUNK_HEAD, chunk_head, field, number_field, reason, status_line,
};
