//! The rules for each frame: its size, its stream, its flags, when it may come (RFC 9113 4 to 6).

use super::client::*;
use crate::connection::Connection;
use crate::error::{ConnectionError, ErrorCode};
use crate::frame::{LOW_31, flag, kind};

const END: u8 = flag::END_STREAM;

/// What a connection error is for, without its words.
fn code(result: Result<Vec<Heard>, ConnectionError>) -> Option<ErrorCode> {
    result.err().map(ConnectionError::code)
}

/// The connection error that frames give after a handshake.
fn fails(frames: &[Vec<u8>]) -> Option<ErrorCode> {
    let mut client = Client::new();
    let result = client.send(&frames.concat());
    if let Err(error) = result {
        // It says so, and says no more.
        let frames = client.frames();
        let (head, payload) = frames.last().unwrap();
        assert_eq!(head.kind, kind::GOAWAY);
        assert_eq!(payload[4..8], error.code().0.to_be_bytes());
        assert_eq!(client.send(b"more"), Err(error));
        assert!(client.frames().is_empty() && client.connection.has_ended());
        return Some(error.code());
    }
    None
}

#[test]
fn a_frame_has_the_length_of_its_type() {
    for bad in [
        frame(kind::RST_STREAM, 0, 1, b"123"),
        frame(kind::RST_STREAM, 0, 1, b"12345"),
        frame(kind::SETTINGS, 0, 0, b"12345"),
        frame(kind::SETTINGS, flag::ACK, 0, b"123456"),
        frame(kind::PING, 0, 0, b"1234567"),
        frame(kind::PING, flag::ACK, 0, b"123456789"),
        frame(kind::GOAWAY, 0, 0, b"1234567"),
        frame(kind::WINDOW_UPDATE, 0, 0, b"123"),
        frame(kind::PRIORITY_UPDATE, 0, 0, b"123"),
        frame(kind::PRIORITY, 0, 1, b"1234"),
        frame(kind::DATA, 0, 1, &[0; 16_385]),
        frame(kind::HEADERS, flag::END_HEADERS, 1, &[0; 16_385]),
        frame(0xfa, 0, 0, &[0; 16_385]),
        frame(kind::HEADERS, flag::END_HEADERS | flag::PRIORITY, 1, b"1234"),
        frame(kind::HEADERS, flag::END_HEADERS | flag::PADDED, 1, b""),
    ] {
        assert_eq!(fails(std::slice::from_ref(&bad)), Some(ErrorCode::FRAME_SIZE_ERROR), "{:?}", &bad[..9]);
    }
    assert_eq!(fails(&[frame(0xfa, 0xff, 7, &[0; 16_384])]), None);
    // A stream that is there is reset instead.
    let mut client = Client::new();
    client.post(1);
    let heard = client.send(&frame(kind::PRIORITY, 0, 1, b"1234")).unwrap();
    assert_eq!(heard, [Heard::Reset { stream: 1, code: ErrorCode::FRAME_SIZE_ERROR }]);
}

#[test]
fn a_frame_is_for_a_stream_or_for_the_connection() {
    for bad in [
        data(0, 0, b"x"),
        headers(0, END, &GET),
        frame(kind::PRIORITY, 0, 0, b"12345"),
        reset(0, ErrorCode::CANCEL),
        frame(kind::SETTINGS, 0, 1, b""),
        frame(kind::PING, 0, 1, b"12345678"),
        frame(kind::GOAWAY, 0, 1, b"12345678"),
        frame(kind::PRIORITY_UPDATE, 0, 1, b"\0\0\0\x01u=1"),
        frame(kind::PUSH_PROMISE, flag::END_HEADERS, 1, b"\0\0\0\x02"),
        frame(kind::CONTINUATION, flag::END_HEADERS, 0, b""),
        headers(2, END, &GET),
    ] {
        assert_eq!(fails(std::slice::from_ref(&bad)), Some(ErrorCode::PROTOCOL_ERROR), "{:?}", &bad[..9]);
    }
}

#[test]
fn a_stream_that_is_idle_takes_headers_and_priority_alone() {
    for stream in [1, 2] {
        for bad in [data(stream, 0, b"x"), reset(stream, ErrorCode::CANCEL), window(stream, 1)] {
            assert_eq!(fails(&[bad]), Some(ErrorCode::PROTOCOL_ERROR));
        }
    }
    assert_eq!(fails(&[frame(kind::PRIORITY, 0, 7, &[0, 0, 0, 3, 1])]), None);
}

#[test]
fn a_stream_does_not_depend_on_itself() {
    assert_eq!(fails(&[frame(kind::PRIORITY, 0, 7, &[0, 0, 0, 7, 1])]), Some(ErrorCode::PROTOCOL_ERROR));
    let mut client = Client::new();
    let bytes = [&[0x80, 0, 0, 1, 1], &block(&GET)[..]].concat();
    let flags = flag::END_HEADERS | flag::PRIORITY | END;
    assert_eq!(client.send(&frame(kind::HEADERS, flags, 1, &bytes)), Ok(vec![Heard::Refused]));
    assert_eq!(client.resets(), [(1, ErrorCode::PROTOCOL_ERROR)]);
}

#[test]
fn streams_are_opened_in_the_order_of_their_numbers() {
    assert_eq!(fails(&[headers(5, END, &GET), headers(3, END, &GET)]), Some(ErrorCode::PROTOCOL_ERROR));
    assert_eq!(fails(&[headers(5, END, &GET), data(3, END, b"x")]), Some(ErrorCode::PROTOCOL_ERROR));
    assert_eq!(fails(&[headers(5, END, &GET), headers(9, END, &GET)]), None);
}

#[test]
fn a_request_that_has_ended_takes_nothing_more() {
    for late in [data(1, 0, b"x"), data(1, END, b""), headers(1, END, &[("x", "y")])] {
        let mut client = Client::new();
        client.get(1);
        let code = ErrorCode::STREAM_CLOSED;
        assert_eq!(client.send(&late), Ok(vec![Heard::Reset { stream: 1, code }]));
        assert_eq!(client.resets(), [(1, code)]);
        // What follows had been sent before it could know.
        assert_eq!(client.send(&late), Ok(vec![]));
    }
}

#[test]
fn a_stream_that_the_client_ended_takes_nothing_more() {
    for late in [data(1, END, b"x"), headers(1, END, &GET)] {
        let mut client = Client::new();
        client.get(1);
        client.answer(1);
        assert_eq!(client.send(&window(1, 5)), Ok(vec![]));
        assert_eq!(client.send(&reset(1, ErrorCode::CANCEL)), Ok(vec![]));
        assert_eq!(code(client.send(&late)), Some(ErrorCode::STREAM_CLOSED));

        for is_closed in [true, false] {
            let mut client = Client::new();
            client.post(1);
            client.send(&reset(1, ErrorCode::CANCEL)).unwrap();
            if is_closed {
                client.connection.close(1);
            }
            assert_eq!(client.frames(), []);
            assert_eq!(code(client.send(&late)), Some(ErrorCode::STREAM_CLOSED), "{is_closed}");
        }
    }
}

#[test]
fn what_comes_for_a_stream_that_we_reset_is_ignored_and_its_window_given_back() {
    for is_closed in [true, false] {
        let mut client = Client::new();
        client.post(1);
        client.connection.reset(1, ErrorCode::CANCEL);
        if is_closed {
            client.connection.close(1);
        }
        assert_eq!(client.resets(), [(1, ErrorCode::CANCEL)]);
        let mut opened = 0;
        for _ in 0..200 {
            assert_eq!(client.send(&data(1, 0, &[0; 16_384])), Ok(vec![]));
            opened += client.frames().len();
        }
        assert!(opened > 4, "{opened}");
        assert_eq!(client.send(&headers(1, END, &[("x", "y")])), Ok(vec![]));
        assert_eq!(client.send(&reset(1, ErrorCode::CANCEL)), Ok(vec![]));
        client.get(3);
    }
}

#[test]
fn a_header_block_is_not_interrupted() {
    let begin = frame(kind::HEADERS, END, 1, &block(&GET));
    for other in [
        data(1, 0, b"x"),
        frame(kind::PING, 0, 0, b"12345678"),
        frame(kind::CONTINUATION, flag::END_HEADERS, 3, b""),
        headers(1, END, &GET),
        frame(0xfa, 0, 0, b""),
    ] {
        assert_eq!(fails(&[begin.clone(), other]), Some(ErrorCode::PROTOCOL_ERROR));
    }
    assert_eq!(fails(&[frame(kind::CONTINUATION, 0, 1, b"")]), Some(ErrorCode::PROTOCOL_ERROR));
    let mut client = Client::new();
    let rest = [frame(kind::CONTINUATION, 0, 1, b""), frame(kind::CONTINUATION, flag::END_HEADERS, 1, b"")];
    let heard = client.send(&[begin, rest.concat()].concat()).unwrap();
    assert!(matches!(heard[..], [Heard::Request { stream: 1, end: true, .. }]));
}

#[test]
fn padding_fits_into_its_frame() {
    for kind in [kind::DATA, kind::HEADERS] {
        let mut client = Client::new();
        client.post(1);
        let stream = if kind == kind::DATA { 1 } else { 3 };
        let flags = flag::PADDED | flag::END_HEADERS;
        assert_eq!(
            code(client.send(&frame(kind, flags, stream, &[3, 0, 0]))),
            Some(ErrorCode::PROTOCOL_ERROR)
        );
    }
    let mut client = Client::new();
    let padded = [&[4], &block(&GET)[..], &[0; 4]].concat();
    let heard = client.send(&frame(kind::HEADERS, flag::PADDED | flag::END_HEADERS, 1, &padded)).unwrap();
    assert!(matches!(heard[..], [Heard::Request { .. }]));
}

#[test]
fn the_first_frame_is_settings() {
    for first in [
        frame(kind::PING, 0, 0, b"12345678"),
        frame(kind::SETTINGS, flag::ACK, 0, b""),
        headers(1, END, &GET),
    ] {
        let mut client = Client::silent(LIMITS);
        assert_eq!(code(client.send(&[PREFACE, &first].concat())), Some(ErrorCode::PROTOCOL_ERROR));
    }
}

#[test]
fn a_header_block_that_cannot_be_decoded_ends_the_connection() {
    for bytes in [&[0x80][..], &[0xff, 0xff, 0xff], &[0x7f, 0x20], &[0x40, 0x01], &[0x82, 0x20]] {
        assert_eq!(
            fails(&[frame(kind::HEADERS, flag::END_HEADERS, 1, bytes)]),
            Some(ErrorCode::COMPRESSION_ERROR),
            "{bytes:x?}"
        );
    }
}

#[test]
fn a_ping_is_answered_with_what_it_brought() {
    let mut client = Client::new();
    client.send(&frame(kind::PING, 0, 0, b"whatever")).unwrap();
    let frames = client.frames();
    assert_eq!(
        (frames[0].0.kind, frames[0].0.flags, &frames[0].1[..]),
        (kind::PING, flag::ACK, &b"whatever"[..])
    );
    assert_eq!(client.send(&frame(kind::PING, flag::ACK, 0, b"whatever")), Ok(vec![]));
    assert_eq!(client.frames(), []);
}

#[test]
fn windows_are_opened_by_something_and_not_too_far() {
    assert_eq!(fails(&[window(0, 0)]), Some(ErrorCode::PROTOCOL_ERROR));
    assert_eq!(fails(&[window(0, LOW_31)]), Some(ErrorCode::FLOW_CONTROL_ERROR));
    assert_eq!(fails(&[window(0, LOW_31 - 65_535)]), None);
    for (increment, code) in [(0, ErrorCode::PROTOCOL_ERROR), (LOW_31, ErrorCode::FLOW_CONTROL_ERROR)] {
        let mut client = Client::new();
        client.post(1);
        assert_eq!(client.send(&window(1, increment)), Ok(vec![Heard::Reset { stream: 1, code }]));
        assert_eq!(client.resets(), [(1, code)]);
    }
    let mut client = Client::new();
    client.post(1);
    client.send(&window(1, LOW_31 - 65_535)).unwrap();
    assert_eq!(code(client.send(&settings(&[(4, 65_536)]))), Some(ErrorCode::FLOW_CONTROL_ERROR));
}

#[test]
fn no_more_is_taken_than_the_windows_are_open_for() {
    let mut client = Client::new();
    client.post(1);
    for _ in 0..16 {
        client.send(&data(1, 0, &[0; 16_384])).unwrap();
    }
    let code_ = ErrorCode::FLOW_CONTROL_ERROR;
    assert_eq!(client.send(&data(1, 0, b"x")), Ok(vec![Heard::Reset { stream: 1, code: code_ }]));
    // The connection's window is as wide as those of four streams.
    for stream in [3, 5, 7] {
        client.post(stream);
        for _ in 0..15 {
            client.send(&data(stream, 0, &[0; 16_384])).unwrap();
        }
    }
    client.post(9);
    for _ in 0..2 {
        client.send(&data(9, 0, &[0; 16_384])).unwrap();
    }
    // All but one frame, and the byte that was one too many for its stream.
    client.send(&data(9, 0, &[0; 16_383])).unwrap();
    assert_eq!(code(client.send(&data(9, 0, b"x"))), Some(code_));
}

#[test]
fn what_is_released_may_be_sent_again() {
    let mut client = Client::new();
    client.post(1);
    let mut updates = 0;
    for _ in 0..1000 {
        client.send(&data(1, 0, &[0; 10_000])).unwrap();
        client.connection.release(1, 10_000);
        updates += client.frames().len();
    }
    // 10 MB by halves of 256 KiB, and of 1 MiB.
    assert!((70..120).contains(&updates), "{updates}");
    // What the caller never released is, when it is done with the stream.
    for _ in 0..10 {
        client.send(&data(1, 0, &[0; 10_000])).unwrap();
    }
    client.connection.close(1);
    for stream in (3..400).step_by(2) {
        client.post(stream);
        client.send(&data(stream, 0, &[0; 16_000])).unwrap();
        client.connection.close(stream);
    }
}

#[test]
fn the_longest_frame_fits_into_what_a_caller_is_told_to_have() {
    let mut client = Client::new();
    let bytes = frame(kind::SETTINGS, 0, 0, &[0; 16_380]);
    assert!(bytes.len() <= Connection::LONGEST_FRAME);
    for byte in bytes {
        client.send(&[byte]).unwrap();
    }
    assert_eq!(client.frames()[0].0.kind, kind::SETTINGS);
}
