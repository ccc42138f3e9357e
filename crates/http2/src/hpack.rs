//! HPACK (RFC 7541): the fields of a message, made small.
//!
//! [`Decoder`] reads the peer's header blocks and has the only state there is, the dynamic table; [`encode_status`] and
//! [`encode_field`] write ours without one.

mod decoder;
mod dynamic_table;
mod encoder;
mod error;
mod huffman;
mod huffman_code;
mod integer;
mod static_table;
mod text;

pub use decoder::{Decoder, Outcome};
pub use encoder::{encode_field, encode_no_table, encode_status};
pub use error::HpackError;

#[cfg(test)]
mod examples;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod rules;
