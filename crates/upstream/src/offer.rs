//! What a client offers to change the protocol to, and whether the application's 101 accepts it.

use vestibule_http1::{ResponseHead, is_websocket_accept};

/// A client's offer to change the protocol (RFC 9110 7.8).
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// The protocols, as a list separated by commas.
    pub protocols: &'a [u8],
    /// The client's key, when a WebSocket is offered (RFC 6455 4.1).
    pub websocket_key: Option<&'a [u8]>,
}

impl Offer<'_> {
    /// Whether a 101 with this head, whose spans index `bytes`, accepts one of the protocols: a WebSocket with the proof
    /// that RFC 6455 4.2.2 wants, so that nobody else's 101 opens a tunnel.
    pub(crate) fn is_accepted(&self, head: &ResponseHead, bytes: &[u8]) -> bool {
        let Some(chosen) = head.upgrade.map(|span| span.of(bytes)) else { return false };
        let is_offered = self
            .protocols
            .split(|&byte| byte == b',')
            .any(|one| one.trim_ascii().eq_ignore_ascii_case(chosen));
        if !is_offered || !chosen.eq_ignore_ascii_case(b"websocket") {
            return is_offered;
        }
        let mut accepts = head
            .fields
            .iter()
            .filter(|field| field.name.of(bytes).eq_ignore_ascii_case(b"sec-websocket-accept"))
            .map(|field| field.value.of(bytes));
        match (self.websocket_key, accepts.next(), accepts.next()) {
            (Some(key), Some(accept), None) => is_websocket_accept(key, accept),
            _ => false,
        }
    }
}
