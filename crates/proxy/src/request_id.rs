//! The identity of a request in all logs: `X-Request-Id`.

use vestibule_http1::Name;

use crate::request::Request;

/// Longest identity taken over from a trusted peer; Rails keeps up to 255 characters.
const LONGEST: usize = 200;

/// The identity given to a request: its peer's if that is trusted, else a new one.
#[derive(Debug, Clone, Copy)]
pub struct RequestId {
    bytes: [u8; LONGEST],
    len: u8,
}

impl Default for RequestId {
    /// An empty one.
    fn default() -> Self {
        RequestId { bytes: [0; LONGEST], len: 0 }
    }
}

impl RequestId {
    /// The identity of `request`: what a trusted peer calls it, or 32 hexadecimal digits at random.
    pub fn of(request: &Request<'_>) -> Self {
        let mut bytes = [0; LONGEST];
        if request.door.peer.is_trusted
            && let Some(given) = request.head.field(request.bytes, Name::XRequestId)
            && !given.is_empty()
            && given.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_@.".contains(byte))
            && let Some(room) = bytes.get_mut(..given.len())
        {
            room.copy_from_slice(given);
            return RequestId { bytes, len: given.len() as u8 };
        }
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let random = fastrand::u128(..).to_be_bytes();
        for (pair, byte) in bytes.chunks_exact_mut(2).zip(random) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        RequestId { bytes, len: 32 }
    }

    /// The identity.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The identity, which is ASCII.
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}
