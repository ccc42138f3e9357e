//! The keys of the WebSocket handshake (RFC 6455 4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// What RFC 6455 1.3 has the server put behind the key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Length of the hash in base64.
const ACCEPT: usize = 28;

/// Whether `key` is the base64 of 16 bytes, as a client's `Sec-WebSocket-Key` must be (RFC 6455 4.1).
pub fn is_websocket_key(key: &[u8]) -> bool {
    let mut bytes = [0; 18];
    key.len() == 24 && STANDARD.decode_slice(key, &mut bytes) == Ok(16)
}

/// Whether `accept` is the `Sec-WebSocket-Accept` that answers `key` (RFC 6455 4.2.2).
pub fn is_websocket_accept(key: &[u8], accept: &[u8]) -> bool {
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut expected = [0; ACCEPT];
    STANDARD.encode_slice(hash, &mut expected) == Ok(ACCEPT) && accept == expected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_answer_that_rfc_6455_1_3_works_out() {
        let key = b"dGhlIHNhbXBsZSBub25jZQ==";
        assert!(is_websocket_key(key));
        assert!(is_websocket_accept(key, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert!(!is_websocket_accept(key, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo"));
        assert!(!is_websocket_accept(b"dGhlIHNhbXBsZSBub25jZR==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[test]
    fn a_key_has_sixteen_bytes() {
        for bad in ["", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSE=", "not base64 at all, no!!!"] {
            assert!(!is_websocket_key(bad.as_bytes()), "{bad}");
        }
    }
}
