//! One client connection over HTTP/2 (RFC 9113).
//!
//! One task, the driver, reads and writes for the connection; each stream is a task of its own, which answers its request as
//! HTTP/1 does and puts its frames where the driver writes them from, many streams' at once. Between requests there is only
//! the driver, parked, and what HTTP/2 makes both sides remember.

use std::rc::Rc;

use vestibule_upstream::Buffer;

use crate::client_stream::ClientStream;
use crate::connection::ClientSide;
use crate::house::House;
use crate::linger::linger;

mod driver;
mod head;
mod inbound;
mod line;
mod link;
mod outlet;
mod refusal;
mod respond;
mod slot;
mod stream;
mod tunnel;

use driver::Ending;
use link::Link;

/// What a client begins with that speaks HTTP/2 (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether a client that begins so speaks HTTP/2 without having asked whether we do; `None` while it may yet turn out.
pub(crate) fn is_begun_by(received: &[u8]) -> Option<bool> {
    match (received.strip_prefix(PREFACE), PREFACE.starts_with(received)) {
        (Some(_), _) => Some(true),
        (None, true) => None,
        (None, false) => Some(false),
    }
}

/// Serves a client until its connection ends. `received` was read of it already; it is in any case known to speak HTTP/2, or
/// is told that it does not.
///
/// No `async fn`: what it is given would be kept in the task for as long as the connection lasts.
pub(crate) fn serve(
    house: Rc<House>,
    stream: ClientStream,
    client: ClientSide,
    received: Buffer,
) -> impl Future<Output = ()> {
    let link = Link::new(house, client, received);
    async move {
        let mut stream = stream;
        let ending = driver::drive(&link, &mut stream).await;
        // What streams there still are hear that nobody listens.
        link.leave();
        if ending == Ending::Linger {
            Box::pin(linger(link.house(), &mut stream)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_preface_from_a_request() {
        for length in 0..PREFACE.len() {
            assert_eq!(is_begun_by(&PREFACE[..length]), None, "{length}");
        }
        assert_eq!(is_begun_by(PREFACE), Some(true));
        assert_eq!(is_begun_by(&[PREFACE, b"\0\0"].concat()), Some(true));
        for other in [&b"G"[..], b"PROPFIND", b"PRI * HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSX"] {
            assert_eq!(is_begun_by(other), Some(false), "{:?}", String::from_utf8_lossy(other));
        }
    }
}
