//! The settings of both sides (RFC 9113 6.5).

use crate::error::ConnectionError;
use crate::frame::{self, LONGEST, LOW_31};
use crate::window::INITIAL;

const HEADER_TABLE_SIZE: u16 = 0x1;
const ENABLE_PUSH: u16 = 0x2;
const MAX_CONCURRENT_STREAMS: u16 = 0x3;
const INITIAL_WINDOW_SIZE: u16 = 0x4;
const MAX_FRAME_SIZE: u16 = 0x5;
const MAX_HEADER_LIST_SIZE: u16 = 0x6;
const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
const NO_RFC7540_PRIORITIES: u16 = 0x9;

/// The table that our encoder could have by default (RFC 9113 6.5.2). It has none, and says so when this is made less.
const TABLE: u32 = 4096;

/// What the client has set, as far as it matters to what we send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerSettings {
    /// What a new stream's window is open for.
    pub(crate) initial_window: u32,
    /// The longest payload it takes.
    pub(crate) max_frame: u32,
    /// Whether the next header block is to begin with the news that our encoder has no table (RFC 7541 4.2).
    pub(crate) owes_no_table: bool,
    /// Whether it was said once, which is enough: no size is below 0.
    said_no_table: bool,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self { initial_window: INITIAL, max_frame: LONGEST, owes_no_table: false, said_no_table: false }
    }
}

impl PeerSettings {
    /// Takes the payload of a SETTINGS frame, whose length is a multiple of 6. What is unknown is ignored.
    pub(crate) fn apply(&mut self, payload: &[u8]) -> Result<(), ConnectionError> {
        for setting in payload.chunks_exact(6) {
            let (name, value) = setting.split_at(2);
            let name = name.first_chunk().map_or(0, |name| u16::from_be_bytes(*name));
            let value = frame::number(value);
            match name {
                HEADER_TABLE_SIZE if value < TABLE && !self.said_no_table => self.owes_no_table = true,
                ENABLE_PUSH | ENABLE_CONNECT_PROTOCOL | NO_RFC7540_PRIORITIES if value > 1 => {
                    return Err(ConnectionError::Protocol("a setting that is 0 or 1 has another value"));
                }
                INITIAL_WINDOW_SIZE if value > LOW_31 => {
                    return Err(ConnectionError::FlowControl(
                        "the initial window is larger than a window can be",
                    ));
                }
                INITIAL_WINDOW_SIZE => self.initial_window = value,
                MAX_FRAME_SIZE if !(LONGEST..1 << 24).contains(&value) => {
                    return Err(ConnectionError::Protocol("the maximum size of a frame is out of range"));
                }
                MAX_FRAME_SIZE => self.max_frame = value,
                _ => {}
            }
        }
        Ok(())
    }

    /// Says that a header block has begun as `owes_no_table` wants it.
    pub(crate) fn said_no_table(&mut self) {
        (self.owes_no_table, self.said_no_table) = (false, true);
    }
}

/// Appends our own SETTINGS: the limits, extended CONNECT (RFC 8441 3), and that the priorities of RFC 7540 mean nothing here
/// (RFC 9218 2.1).
pub(crate) fn write_own(out: &mut Vec<u8>, streams: u32, window: u32, head: usize) {
    let settings = [
        (MAX_CONCURRENT_STREAMS, streams),
        (INITIAL_WINDOW_SIZE, window),
        (MAX_HEADER_LIST_SIZE, u32::try_from(head).unwrap_or(u32::MAX)),
        (ENABLE_CONNECT_PROTOCOL, 1),
        (NO_RFC7540_PRIORITIES, 1),
    ];
    frame::write_settings(out, &settings);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(settings: &[(u16, u32)]) -> Result<PeerSettings, ConnectionError> {
        let mut out = Vec::new();
        frame::write_settings(&mut out, settings);
        let mut peer = PeerSettings::default();
        peer.apply(&out[frame::HEAD..]).map(|()| peer)
    }

    #[test]
    fn takes_what_is_in_range_and_ignores_what_is_unknown() {
        let peer = apply(&[(0x4, LOW_31), (0x5, (1 << 24) - 1), (0xfafa, 7), (0x2, 1), (0x8, 0)]).unwrap();
        assert_eq!((peer.initial_window, peer.max_frame), (LOW_31, (1 << 24) - 1));
        assert_eq!(apply(&[(0x4, 1), (0x4, 2)]).unwrap().initial_window, 2);
    }

    #[test]
    fn refuses_what_is_out_of_range() {
        for (name, value) in [(0x2, 2), (0x8, 2), (0x9, 2), (0x5, 16_383), (0x5, 1 << 24)] {
            assert!(matches!(apply(&[(name, value)]), Err(ConnectionError::Protocol(_))), "{name} = {value}");
        }
        assert!(matches!(apply(&[(0x4, LOW_31 + 1)]), Err(ConnectionError::FlowControl(_))));
    }

    #[test]
    fn owes_one_word_about_the_table_once_it_is_made_smaller() {
        assert!(!apply(&[(0x1, 4096)]).unwrap().owes_no_table);
        assert!(!apply(&[(0x1, 65_536)]).unwrap().owes_no_table);
        let mut peer = apply(&[(0x1, 0)]).unwrap();
        assert!(peer.owes_no_table);
        peer.said_no_table();
        peer.apply(&[0, 1, 0, 0, 0, 0]).unwrap();
        assert!(!peer.owes_no_table);
    }
}
