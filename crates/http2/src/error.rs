//! Why a stream or a connection ends before its time.

use std::fmt;

use thiserror::Error;

use crate::hpack::HpackError;

/// An error code as it stands in RST_STREAM and GOAWAY (RFC 9113 7). Codes that nobody has defined are kept as they came.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

#[allow(missing_docs)] // each is the code of that name
impl ErrorCode {
    pub const NO_ERROR: Self = Self(0x0);
    pub const PROTOCOL_ERROR: Self = Self(0x1);
    pub const INTERNAL_ERROR: Self = Self(0x2);
    pub const FLOW_CONTROL_ERROR: Self = Self(0x3);
    pub const SETTINGS_TIMEOUT: Self = Self(0x4);
    pub const STREAM_CLOSED: Self = Self(0x5);
    pub const FRAME_SIZE_ERROR: Self = Self(0x6);
    pub const REFUSED_STREAM: Self = Self(0x7);
    pub const CANCEL: Self = Self(0x8);
    pub const COMPRESSION_ERROR: Self = Self(0x9);
    pub const CONNECT_ERROR: Self = Self(0xa);
    pub const ENHANCE_YOUR_CALM: Self = Self(0xb);
    pub const INADEQUATE_SECURITY: Self = Self(0xc);
    pub const HTTP_1_1_REQUIRED: Self = Self(0xd);

    /// The name that the RFC gives it, if it does.
    pub fn name(self) -> Option<&'static str> {
        const NAMES: [&str; 14] = [
            "NO_ERROR",
            "PROTOCOL_ERROR",
            "INTERNAL_ERROR",
            "FLOW_CONTROL_ERROR",
            "SETTINGS_TIMEOUT",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "REFUSED_STREAM",
            "CANCEL",
            "COMPRESSION_ERROR",
            "CONNECT_ERROR",
            "ENHANCE_YOUR_CALM",
            "INADEQUATE_SECURITY",
            "HTTP_1_1_REQUIRED",
        ];
        NAMES.get(self.0 as usize).copied()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a connection is given up (RFC 9113 5.4.1). The text is for the log, and stands in the GOAWAY too, as its debug data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConnectionError {
    /// What the client sent is not HTTP/2.
    #[error("{0} (PROTOCOL_ERROR)")]
    Protocol(&'static str),
    /// A frame has a length that its type cannot have, or more than we take.
    #[error("{0} (FRAME_SIZE_ERROR)")]
    FrameSize(&'static str),
    /// More came than the window was open for, or a window became larger than windows can be.
    #[error("{0} (FLOW_CONTROL_ERROR)")]
    FlowControl(&'static str),
    /// A frame for a stream that the client itself had ended.
    #[error("{0} (STREAM_CLOSED)")]
    StreamClosed(&'static str),
    /// A header block that cannot be decoded; no later one could be.
    #[error("{0} (COMPRESSION_ERROR)")]
    Compression(HpackError),
    /// More of something than any honest client sends (RFC 9113 10.5).
    #[error("{0} (ENHANCE_YOUR_CALM)")]
    Flood(&'static str),
}

impl ConnectionError {
    /// The code that GOAWAY carries.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Protocol(_) => ErrorCode::PROTOCOL_ERROR,
            Self::FrameSize(_) => ErrorCode::FRAME_SIZE_ERROR,
            Self::FlowControl(_) => ErrorCode::FLOW_CONTROL_ERROR,
            Self::StreamClosed(_) => ErrorCode::STREAM_CLOSED,
            Self::Compression(_) => ErrorCode::COMPRESSION_ERROR,
            Self::Flood(_) => ErrorCode::ENHANCE_YOUR_CALM,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_codes_of_the_rfc_and_shows_others_as_numbers() {
        assert_eq!(ErrorCode::PROTOCOL_ERROR.to_string(), "PROTOCOL_ERROR");
        assert_eq!(ErrorCode::HTTP_1_1_REQUIRED.to_string(), "HTTP_1_1_REQUIRED");
        assert_eq!(ErrorCode(0xe).to_string(), "0xe");
        let flood = ConnectionError::Flood("too many PING frames");
        assert_eq!(flood.to_string(), "too many PING frames (ENHANCE_YOUR_CALM)");
        assert_eq!(flood.code(), ErrorCode::ENHANCE_YOUR_CALM);
    }
}
