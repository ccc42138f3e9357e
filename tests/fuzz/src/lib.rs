//! What must hold for every input, whatever it is.
//!
//! Each module has one `check`, which takes any bytes and panics when something does not hold. The fuzz targets in
//! `targets/` call them with what libFuzzer makes up, `tests/fuzz.rs` with what fuzzing found worth keeping.

pub mod chunks;
pub mod config;
mod cuts;
mod growth;
pub mod hpack;
pub mod http2;
mod lines;
mod pieces;
pub mod proxy_header;
pub mod request;
pub mod response;
