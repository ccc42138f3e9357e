//! Frames: their heads, and those that are written (RFC 9113 4, 6).

use crate::error::ErrorCode;

/// Length of a frame's head (RFC 9113 4.1).
pub(crate) const HEAD: usize = 9;
/// The longest payload that we take, and that every peer takes: SETTINGS_MAX_FRAME_SIZE as it is at first (RFC 9113 4.2).
pub(crate) const LONGEST: u32 = 16_384;
/// What a stream's number, a window and an increment are kept in: the highest bit is reserved.
pub(crate) const LOW_31: u32 = 0x7fff_ffff;

/// The types of frames (RFC 9113 6, RFC 9218 7.1).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0x0;
    pub(crate) const HEADERS: u8 = 0x1;
    pub(crate) const PRIORITY: u8 = 0x2;
    pub(crate) const RST_STREAM: u8 = 0x3;
    pub(crate) const SETTINGS: u8 = 0x4;
    pub(crate) const PUSH_PROMISE: u8 = 0x5;
    pub(crate) const PING: u8 = 0x6;
    pub(crate) const GOAWAY: u8 = 0x7;
    pub(crate) const WINDOW_UPDATE: u8 = 0x8;
    pub(crate) const CONTINUATION: u8 = 0x9;
    pub(crate) const PRIORITY_UPDATE: u8 = 0x10;
}

/// The flags that mean something to some type.
pub(crate) mod flag {
    pub(crate) const END_STREAM: u8 = 0x1;
    pub(crate) const ACK: u8 = 0x1;
    pub(crate) const END_HEADERS: u8 = 0x4;
    pub(crate) const PADDED: u8 = 0x8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    /// Length of the payload.
    pub(crate) length: u32,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    /// 0: the connection.
    pub(crate) stream: u32,
}

impl FrameHead {
    /// Reads a head; the reserved bit is ignored, as it has to be.
    #[inline]
    pub(crate) fn read(bytes: [u8; HEAD]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = bytes;
        let length = u32::from_be_bytes([0, l0, l1, l2]);
        Self { length, kind, flags, stream: u32::from_be_bytes([s0, s1, s2, s3]) & LOW_31 }
    }

    /// The bytes of this head; the length is less than 2^24.
    #[inline]
    fn bytes(self) -> [u8; HEAD] {
        let [_, l0, l1, l2] = self.length.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.kind, self.flags, s0, s1, s2, s3]
    }

    #[inline]
    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    #[inline]
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes());
    }
}

/// Reads four bytes as a number; what is missing counts as 0, which callers have ruled out by the length.
#[inline]
pub(crate) fn number(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Appends a frame whose payload is a few bytes.
fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    FrameHead { length: payload.len() as u32, kind, flags, stream }.write(out);
    out.extend_from_slice(payload);
}

/// Appends RST_STREAM.
pub(crate) fn write_reset(out: &mut Vec<u8>, stream: u32, code: ErrorCode) {
    write(out, kind::RST_STREAM, 0, stream, &code.0.to_be_bytes());
}

/// Appends WINDOW_UPDATE, for a stream or for the connection.
pub(crate) fn write_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    write(out, kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes());
}

/// Appends SETTINGS, with these values in this order.
pub(crate) fn write_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    FrameHead { length: 6 * settings.len() as u32, kind: kind::SETTINGS, flags: 0, stream: 0 }.write(out);
    for (name, value) in settings {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Appends the acknowledgement of the peer's SETTINGS.
pub(crate) fn write_settings_ack(out: &mut Vec<u8>) {
    write(out, kind::SETTINGS, flag::ACK, 0, &[]);
}

/// Appends PING, one of ours or the answer to the peer's.
pub(crate) fn write_ping(out: &mut Vec<u8>, ack: bool, data: [u8; 8]) {
    write(out, kind::PING, if ack { flag::ACK } else { 0 }, 0, &data);
}

/// Appends GOAWAY. `words` are for whoever looks into the peer's log.
pub(crate) fn write_go_away(out: &mut Vec<u8>, last: u32, code: ErrorCode, words: &str) {
    FrameHead { length: 8 + words.len() as u32, kind: kind::GOAWAY, flags: 0, stream: 0 }.write(out);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.0.to_be_bytes());
    out.extend_from_slice(words.as_bytes());
}

/// Makes HEADERS, and as many CONTINUATIONs as it needs, of a header block that stands behind the room for one frame's head
/// which begins at `start`. No frame gets a payload longer than `most`.
pub(crate) fn frame_header_block(out: &mut Vec<u8>, start: usize, stream: u32, end: bool, most: u32) {
    let most = (most as usize).max(1);
    let block = out.len().saturating_sub(start + HEAD);
    let more = block.saturating_sub(1) / most; // frames beyond the first
    out.resize(out.len() + more * HEAD, 0);
    // From the last to the first, each part is moved to behind the heads that come before it.
    for at in (0..=more).rev() {
        let from = start + HEAD + at * most;
        let length = most.min(block - at * most);
        let to = from + at * HEAD;
        out.copy_within(from..from + length, to);
        let (kind, ends) = if at == 0 {
            (kind::HEADERS, if end { flag::END_STREAM } else { 0 })
        } else {
            (kind::CONTINUATION, 0)
        };
        let flags = ends | if at == more { flag::END_HEADERS } else { 0 };
        let head = FrameHead { length: length as u32, kind, flags, stream }.bytes();
        if let Some(place) = out.get_mut(to - HEAD..to) {
            place.copy_from_slice(&head);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(block: usize, most: u32) -> Vec<(FrameHead, Vec<u8>)> {
        let bytes: Vec<u8> = (0..block).map(|at| at as u8).collect();
        let mut out = b"before".to_vec();
        out.extend_from_slice(&[0; HEAD]);
        out.extend_from_slice(&bytes);
        frame_header_block(&mut out, 6, 7, true, most);
        assert_eq!(&out[..6], b"before");
        let (mut frames, mut rest) = (Vec::new(), &out[6..]);
        while let Some((head, after)) = rest.split_first_chunk::<HEAD>() {
            let head = FrameHead::read(*head);
            let (payload, after) = after.split_at(head.length as usize);
            frames.push((head, payload.to_vec()));
            rest = after;
        }
        assert!(rest.is_empty());
        assert_eq!(frames.iter().flat_map(|(_, part)| part.clone()).collect::<Vec<_>>(), bytes);
        frames
    }

    #[test]
    fn splits_a_block_at_the_peers_frame_size() {
        for block in [0, 1, 9, 10, 11, 19, 20, 21, 100, 255] {
            let frames = split(block, 10);
            assert_eq!(frames.len(), block.div_ceil(10).max(1), "{block}");
            for (at, (head, part)) in frames.iter().enumerate() {
                assert_eq!(head.stream, 7);
                assert!(part.len() <= 10);
                assert_eq!(head.kind, if at == 0 { kind::HEADERS } else { kind::CONTINUATION });
                assert_eq!(head.has(flag::END_HEADERS), at + 1 == frames.len());
                assert_eq!(head.has(flag::END_STREAM), at == 0);
            }
        }
    }

    #[test]
    fn ignores_the_reserved_bit_of_a_streams_number() {
        let head = FrameHead::read([0, 1, 2, 3, 4, 0x80, 0, 0, 5]);
        assert_eq!(head, FrameHead { length: 258, kind: 3, flags: 4, stream: 5 });
    }
}
