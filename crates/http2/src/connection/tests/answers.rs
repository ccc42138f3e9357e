//! What goes out.

use super::client::*;
use crate::connection::Gone;
use crate::error::ErrorCode;
use crate::frame::{flag, kind};
use crate::hpack::Decoder;

const END: u8 = flag::END_STREAM;

fn fields(block: &[u8]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Decoder::new(4096).decode(block, 1 << 20, |name, value| fields.push((text(name), text(value)))).unwrap();
    fields
}

#[test]
fn sends_interim_heads_then_head_body_and_trailers() {
    let mut client = Client::new();
    client.get(1);
    let connection = &mut client.connection;
    connection.send_head(1, 100, |_| (), false).unwrap();
    connection.send_head(1, 103, |block| block.field(b"Link", b"</a>"), false).unwrap();
    assert_eq!(connection.send_data(1, b"early", false), Err(Gone));
    assert_eq!(connection.send_head(1, 101, |_| (), false), Err(Gone));
    connection.send_head(1, 200, |block| block.field(b"Server", b"x"), false).unwrap();
    assert_eq!(connection.send_head(1, 200, |_| (), false), Err(Gone));
    assert_eq!(connection.send_data(1, b"body", false), Ok(4));
    assert_eq!(connection.send_data(1, b"", false), Ok(0));
    connection.send_trailers(1, |block| block.field(b"X-Sum", b"1")).unwrap();
    assert_eq!(connection.send_data(1, b"late", false), Err(Gone));
    connection.close(1);
    let frames = client.frames();
    let seen: Vec<_> = frames.iter().map(|(head, _)| (head.kind, head.flags)).collect();
    let head = (kind::HEADERS, flag::END_HEADERS);
    assert_eq!(seen, [head, head, head, (kind::DATA, 0), (kind::HEADERS, flag::END_HEADERS | END)]);
    assert_eq!(fields(&frames[1].1)[1], ("link".into(), "</a>".into()));
    assert_eq!(fields(&frames[2].1)[0], (":status".into(), "200".into()));
    assert_eq!(fields(&frames[4].1), [("x-sum".into(), "1".into())]);
}

#[test]
fn goes_on_in_continuations_when_the_peers_frames_are_smaller() {
    let mut client = Client::new();
    client.get(1);
    let long = "v\u{1f600}".repeat(10_000);
    client.connection.send_head(1, 200, |block| block.field(b"X", long.as_bytes()), true).unwrap();
    let frames = client.frames();
    assert!(frames.len() > 2);
    assert_eq!(frames[0].0.flags, END);
    assert!(frames.iter().all(|(head, _)| head.length <= 16_384 && head.stream == 1));
    assert!(frames[1..].iter().all(|(head, _)| head.kind == kind::CONTINUATION));
    assert_eq!(frames.last().unwrap().0.flags, flag::END_HEADERS);
    let block: Vec<u8> = frames.into_iter().flat_map(|(_, part)| part).collect();
    assert_eq!(fields(&block)[1].1, long);
    // Larger frames are taken, where they are taken.
    client.get(3);
    client.send(&settings(&[(5, 1 << 20)])).unwrap();
    client.frames();
    client.connection.send_head(3, 200, |block| block.field(b"X", long.as_bytes()), true).unwrap();
    assert_eq!(client.frames().len(), 1);
}

#[test]
fn says_that_it_has_no_table_when_the_client_makes_that_smaller() {
    let mut client = Client::new();
    client.send(&settings(&[(1, 0)])).unwrap();
    client.get(1);
    client.get(3);
    client.frames();
    client.answer(1);
    assert_eq!(client.frames()[0].1[0], 0x20);
    client.answer(3);
    assert_ne!(client.frames()[0].1[0], 0x20);
}

#[test]
fn a_stream_waits_for_its_own_window() {
    let mut client = Client::new();
    client.send(&settings(&[(4, 10)])).unwrap();
    client.get(1);
    client.get(3);
    for stream in [1, 3] {
        client.connection.send_head(stream, 200, |_| (), false).unwrap();
    }
    assert_eq!(client.connection.send_data(1, &[b'x'; 30], true), Ok(10));
    assert_eq!(client.connection.send_data(1, &[b'x'; 20], true), Ok(0));
    // Stream 3 has nothing to send: nothing to hear of.
    assert_eq!(client.send(&window(3, 5)), Ok(vec![]));
    assert_eq!(client.send(&window(1, 5)), Ok(vec![Heard::Opened(Some(1))]));
    assert_eq!(client.send(&window(1, 5)), Ok(vec![]));
    assert_eq!(client.connection.send_data(1, &[b'x'; 10], true), Ok(10));
    assert_eq!(client.send(&window(1, 5)), Ok(vec![]));
    let frames = client.frames();
    let (last, _) = frames.last().unwrap();
    assert_eq!((last.kind, last.flags, last.length), (kind::DATA, END, 10));
}

#[test]
fn all_streams_wait_for_the_connections_window() {
    let mut client = Client::new();
    client.send(&settings(&[(4, 1 << 20)])).unwrap();
    for stream in [1, 3, 5] {
        client.get(stream);
        client.connection.send_head(stream, 200, |_| (), false).unwrap();
    }
    let mut sent = 0;
    loop {
        match client.connection.send_data(1, &[b'x'; 50_000], false).unwrap() {
            0 => break,
            some => sent += some,
        }
    }
    assert_eq!(sent, 65_535);
    assert_eq!(client.connection.send_data(3, b"x", false), Ok(0));
    // An end without bytes needs no window.
    assert_eq!(client.connection.send_data(5, b"", true), Ok(0));
    assert_eq!(client.frames().last().unwrap().0.flags, END);
    assert_eq!(client.send(&window(3, 5)), Ok(vec![]));
    assert_eq!(client.send(&window(0, 5)), Ok(vec![Heard::Opened(None)]));
    assert_eq!(client.connection.send_data(3, b"x", true), Ok(1));
    assert_eq!(client.send(&window(0, 5)), Ok(vec![]));
}

/// RFC 9113 6.9.2: the windows of open streams change with the setting, to below 0 and back.
#[test]
fn a_smaller_initial_window_shuts_open_streams() {
    let mut client = Client::new();
    client.get(1);
    client.connection.send_head(1, 200, |_| (), false).unwrap();
    for _ in 0..3 {
        assert_eq!(client.connection.send_data(1, &[b'x'; 16_384], false), Ok(16_384));
    }
    assert_eq!(client.send(&settings(&[(4, 100)])), Ok(vec![]));
    assert_eq!(client.connection.send_data(1, b"x", false), Ok(0));
    assert_eq!(client.send(&window(1, 3 * 16_384 - 100)), Ok(vec![])); // open for 0
    assert_eq!(client.connection.send_data(1, b"x", false), Ok(0));
    assert_eq!(client.send(&settings(&[(4, 101)])), Ok(vec![Heard::Opened(None)]));
    assert_eq!(client.connection.send_data(1, b"xy", false), Ok(1));
}

#[test]
fn closing_says_what_is_missing() {
    for (is_whole, code) in [(false, ErrorCode::INTERNAL_ERROR), (true, ErrorCode::NO_ERROR)] {
        let mut client = Client::new();
        client.post(1);
        client.connection.send_head(1, 200, |_| (), is_whole).unwrap();
        client.frames();
        client.connection.close(1);
        assert_eq!(client.resets(), [(1, code)]);
        assert_eq!(client.connection.streams(), 0);
        client.connection.close(1);
        assert_eq!(client.frames(), []);
        assert_eq!(client.send(&data(1, END, b"late")), Ok(vec![]));
    }
}

#[test]
fn nothing_is_sent_on_a_stream_that_is_gone() {
    let mut client = Client::new();
    client.get(1);
    client.connection.send_head(1, 200, |_| (), false).unwrap();
    client.send(&reset(1, ErrorCode::CANCEL)).unwrap();
    client.frames();
    assert_eq!(client.connection.send_data(1, b"x", true), Err(Gone));
    assert_eq!(client.connection.send_trailers(1, |_| ()), Err(Gone));
    assert_eq!(client.connection.send_head(99, 200, |_| (), true), Err(Gone));
    client.connection.reset(1, ErrorCode::CANCEL);
    client.connection.close(1);
    assert_eq!(client.frames(), []);
}
