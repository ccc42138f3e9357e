//! The bytes of HTTP/2: frames, HPACK, streams and windows, floods. No sockets and no clock: bytes and the time in, events out.

pub mod hpack;
