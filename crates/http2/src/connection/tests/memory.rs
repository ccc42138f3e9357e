//! What a connection costs that waits.

use super::client::*;
use crate::error::ErrorCode;
use crate::frame::{flag, kind};

#[test]
fn an_idle_connection_keeps_well_under_a_kibibyte() {
    let mut client = Client::new();
    assert!(client.connection.is_idle());
    for stream in (1..=301).step_by(2) {
        client.post(stream);
        client.send(&data(stream, 0, &[b'x'; 5000])).unwrap();
        client.connection.reset(stream, ErrorCode::CANCEL);
        client.connection.close(stream);
    }
    for stream in (401..=599).step_by(2) {
        client.get(stream);
    }
    assert!(!client.connection.is_idle());
    for stream in (401..=599).step_by(2) {
        client.answer(stream);
    }
    assert!(!client.connection.is_idle());
    client.connection.out().clear();
    assert!(client.connection.is_idle());
    client.connection.shrink();
    let memory = client.connection.memory();
    println!("an idle connection: {memory} bytes");
    assert!(memory < 700, "{memory}");
    client.get(701);
}

#[test]
fn is_not_idle_when_something_is_half_read() {
    let mut client = Client::new();
    let bytes = block(&GET);
    client.send(&frame(kind::HEADERS, 0, 1, &bytes[..2])).unwrap();
    assert!(!client.connection.is_idle());
    client.connection.shrink();
    let heard = client.send(&frame(kind::CONTINUATION, flag::END_HEADERS, 1, &bytes[2..])).unwrap();
    assert!(matches!(heard[..], [Heard::Request { .. }]));
    client.connection.close(1);
    client.connection.out().clear();
    assert!(client.connection.is_idle());
    client.send(&frame(0xfa, 0, 0, b"1234")[..10]).unwrap();
    assert!(!client.connection.is_idle());
    assert!(!Client::silent(LIMITS).connection.is_idle());
}
