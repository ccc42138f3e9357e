//! Interim answers (1xx, RFC 9110 15.2) in the form in which they go on to the client.

use vestibule_http1::{Name, ResponseHead};

/// Writes the head of an interim answer, without the fields that belong to one connection, to `out`.
pub(crate) fn write(out: &mut Vec<u8>, head: &ResponseHead, bytes: &[u8]) {
    vestibule_http1::status_line(out, head.status, head.reason.of(bytes));
    for field in &head.fields {
        let name = field.name.of(bytes);
        let stays = match field.kind {
            Name::Connection
            | Name::KeepAlive
            | Name::ProxyConnection
            | Name::TransferEncoding
            | Name::ContentLength
            | Name::Te
            | Name::Trailer
            | Name::Upgrade => false,
            _ => !head.is_nominated(bytes, name),
        };
        if stays {
            vestibule_http1::field(out, name, field.value.of(bytes));
        }
    }
    out.extend_from_slice(b"\r\n");
}
