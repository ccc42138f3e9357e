//! C41 (RFC 9113 10.5): what honest clients never do so often ends the connection; what they do, does not.

use std::time::Duration;

use super::client::*;
use crate::error::{ConnectionError, ErrorCode};
use crate::frame::{flag, kind};

const END: u8 = flag::END_STREAM;

/// Sends what `bytes` makes for each turn, until that is too much; gives the turn. The server closes what it hears of, and
/// the client reads what it is sent. Neither side's memory grows on the way.
fn turns(client: &mut Client, most: u32, mut bytes: impl FnMut(u32) -> Vec<u8>) -> Option<u32> {
    for turn in 0..most {
        match client.send(&bytes(turn)) {
            Ok(heard) => {
                for heard in heard {
                    match heard {
                        Heard::Request { stream, .. } | Heard::Reset { stream, .. } => {
                            client.connection.close(stream);
                        }
                        _ => {}
                    }
                }
            }
            Err(error) => {
                assert!(matches!(error, ConnectionError::Flood(_)), "{error}");
                return Some(turn);
            }
        }
        client.connection.out().clear();
        assert!(client.connection.memory() < 64 << 10);
    }
    None
}

fn floods(bytes: impl FnMut(u32) -> Vec<u8>) {
    assert!(turns(&mut Client::new(), 5000, bytes).is_some());
}

#[test]
fn rapid_resets() {
    floods(|turn| [headers(1 + 2 * turn, END, &GET), reset(1 + 2 * turn, ErrorCode::CANCEL)].concat());
}

/// MadeYouReset: the client has us reset the streams.
#[test]
fn resets_that_the_client_provokes() {
    floods(|turn| [headers(1 + 2 * turn, END, &GET), window(1 + 2 * turn, 0)].concat());
    floods(|turn| [headers(1 + 2 * turn, 0, &POST), headers(1 + 2 * turn, 0, &[("x", "y")])].concat());
    floods(|turn| [headers(1 + 2 * turn, END, &GET), data(1 + 2 * turn, END, b"x")].concat());
    floods(|turn| headers(1 + 2 * turn, END, &[(":method", "GET")]));
    floods(|turn| [headers(1 + 2 * turn, END, &GET), frame(kind::PRIORITY, 0, 1 + 2 * turn, b"")].concat());
}

#[test]
fn streams_beyond_the_limit() {
    let mut client = Client::new();
    let refused = (0..5000).find_map(|turn| client.send(&headers(1 + 2 * turn, END, &GET)).err());
    assert!(matches!(refused, Some(ConnectionError::Flood(_))));
    assert_eq!(client.connection.streams(), 100);
}

#[test]
fn frames_that_get_nothing_done() {
    floods(|_| frame(kind::PING, 0, 0, b"12345678"));
    floods(|_| frame(kind::PING, flag::ACK, 0, b"12345678"));
    floods(|_| frame(kind::SETTINGS, 0, 0, b""));
    floods(|_| frame(kind::SETTINGS, flag::ACK, 0, b""));
    floods(|turn| frame(kind::PRIORITY, 0, 1 + 2 * turn, &[0, 0, 0, 0, 1]));
    floods(|_| frame(kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1"));
    floods(|_| frame(0xfa, 0, 0, b"what"));
    floods(|_| frame(kind::GOAWAY, 0, 0, &[0; 8]));
    floods(|_| window(0, 1));
    floods(|turn| if turn == 0 { headers(1, 0, &POST) } else { reset(1, ErrorCode::CANCEL) });
    let mut client = Client::new();
    client.post(1);
    assert!(turns(&mut client, 5000, |_| data(1, 0, b"")).is_some());
    let mut client = Client::new();
    client.post(1);
    assert!(turns(&mut client, 5000, |_| data(1, flag::PADDED, &[5; 6])).is_some());
}

#[test]
fn settings_that_are_many_in_one_frame() {
    let many = settings(&[(4, 1); 2000]);
    assert!(turns(&mut Client::new(), 100, |_| many.clone()).is_some());
}

#[test]
fn a_header_block_without_end() {
    // By its bytes, by the number of its frames, by frames of nothing.
    for part in [16_384, 1, 0] {
        let mut client = Client::new();
        client.send(&frame(kind::HEADERS, END, 1, &block(&GET))).unwrap();
        let error = (0..5000)
            .find_map(|_| client.send(&frame(kind::CONTINUATION, 0, 1, &vec![0x82; part])).err())
            .unwrap();
        assert!(matches!(error, ConnectionError::Flood(_)), "{error}");
        assert!(client.connection.memory() < 128 << 10);
    }
}

/// One field in the table, and a block that is nothing but references to it.
#[test]
fn a_header_block_that_grows_when_it_is_decoded() {
    let mut client = Client::new();
    let long = [b'v'; 3000];
    let mut bytes = block(&GET);
    bytes.extend_from_slice(&[0x40, 1, b'x', 0x7f]);
    bytes.extend_from_slice(&[(3000 - 127) as u8 | 0x80, ((3000 - 127) >> 7) as u8]);
    bytes.extend_from_slice(&long);
    bytes.resize(bytes.len() + 12_000, 0x80 | 62);
    let heard = client.send(&frame(kind::HEADERS, END | flag::END_HEADERS, 1, &bytes)).unwrap();
    assert!(matches!(&heard[..], [Heard::Request { head, .. }] if head.is_empty()), "{heard:?}");
    assert!(client.connection.memory() < 64 << 10, "{}", client.connection.memory());
}

#[test]
fn answers_that_the_client_does_not_read() {
    let mut client = Client::new();
    let mut error = None;
    for _ in 0..200_000 {
        // Slowly enough for the budget of PINGs.
        client.wait(Duration::from_millis(10));
        error = client.send(&frame(kind::PING, 0, 0, b"12345678")).err();
        if error.is_some() {
            break;
        }
    }
    assert!(matches!(error, Some(ConnectionError::Flood(_))));
    let waiting = client.connection.out().len();
    assert!((64 << 10..66 << 10).contains(&waiting), "{waiting}");
}

/// Each window update lets one byte go, in a frame of its own.
#[test]
fn windows_that_are_tiny() {
    let mut client = Client::new();
    client.send(&settings(&[(4, 1)])).unwrap();
    client.get(1);
    client.connection.send_head(1, 200, |_| (), false).unwrap();
    let gave_up = (0..5000).find(|_| {
        let _ = client.connection.send_data(1, &[b'x'; 1000], false);
        client.connection.out().clear();
        client.send(&window(1, 1)).is_err()
    });
    assert!(gave_up.is_some());
}

#[test]
fn a_browser_may_leave_a_page_of_a_hundred_pictures() {
    let mut client = Client::new();
    let mut stream = 1;
    for _ in 0..60 {
        let first = stream;
        for _ in 0..100 {
            client.get(stream);
            stream += 2;
        }
        for canceled in (first..stream).step_by(2) {
            client.send(&reset(canceled, ErrorCode::CANCEL)).unwrap();
            client.connection.close(canceled);
        }
        client.wait(Duration::from_secs(2));
    }
}

#[test]
fn a_client_that_is_answered_may_cancel_every_other_request() {
    let mut client = Client::new();
    for turn in 0..20_000 {
        client.get(4 * turn + 1);
        client.answer(4 * turn + 1);
        client.get(4 * turn + 3);
        client.send(&reset(4 * turn + 3, ErrorCode::CANCEL)).unwrap();
        client.connection.close(4 * turn + 3);
        client.connection.out().clear();
    }
}

/// As Python's h2 and gRPC do: a window update for the stream and one for the connection for each frame, and now and then a
/// PING to measure the way.
#[test]
fn each_frame_of_ours_may_be_answered_with_two_window_updates_and_some_pings() {
    let mut client = Client::new();
    client.get(1);
    client.connection.send_head(1, 200, |_| (), false).unwrap();
    for event in 0..50_000 {
        assert_eq!(client.connection.send_data(1, b"data: 1\n\n", false), Ok(9));
        client.connection.out().clear();
        client.send(&[window(1, 9), window(0, 9)].concat()).unwrap();
        if event % 100 == 0 {
            client.wait(Duration::from_millis(100));
            client.send(&frame(kind::PING, 0, 0, b"12345678")).unwrap();
        }
    }
}

#[test]
fn a_ping_each_second_is_welcome_for_days() {
    let mut client = Client::new();
    for _ in 0..200_000 {
        client.wait(Duration::from_secs(1));
        client.send(&frame(kind::PING, 0, 0, b"12345678")).unwrap();
        client.connection.out().clear();
    }
}
