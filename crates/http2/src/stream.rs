//! The state of one stream (RFC 9113 5.1).

use crate::window::{ReceiveWindow, SendWindow};

/// One stream, from its request's head until the caller closes it.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) id: u32,
    pub(crate) send: SendWindow,
    pub(crate) receive: ReceiveWindow,
    /// Bytes of the body that the caller has and has not released.
    pub(crate) held: u32,
    /// What Content-Length says that is still to come; `None` if it said nothing.
    pub(crate) body_left: Option<u64>,
    /// Whether the client has ended its side.
    pub(crate) request_ended: bool,
    pub(crate) answer: Answer,
    pub(crate) over: Option<Over>,
    /// Whether the caller waits for a window.
    pub(crate) waits: bool,
    /// Whether it is a tunnel (RFC 8441), which has no trailers.
    pub(crate) is_tunnel: bool,
}

/// How far our side has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// No final head yet.
    Head,
    /// Its head is sent.
    Body,
    /// It is whole.
    Ended,
}

/// Who has reset a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Client,
    /// Frames that the client sent before it knew may still come.
    Us,
}

impl Stream {
    /// Whether anything can be sent on it.
    #[inline]
    pub(crate) fn is_sending(&self) -> bool {
        self.over.is_none() && self.answer != Answer::Ended
    }
}
