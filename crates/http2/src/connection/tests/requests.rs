//! Requests, their bodies, and what is wrong with them.

use super::client::*;
use crate::connection::{Kind, Limits};
use crate::error::{ConnectionError, ErrorCode};
use crate::frame::{flag, kind};

const END: u8 = flag::END_STREAM;

fn data_of(heard: &[Heard]) -> Vec<u8> {
    let parts = heard.iter().filter_map(|heard| match heard {
        Heard::Data { bytes, .. } => Some(bytes.as_slice()),
        _ => None,
    });
    parts.collect::<Vec<_>>().concat()
}

#[test]
fn hears_a_request_and_its_body() {
    let mut client = Client::new();
    client.post(1);
    assert_eq!(
        client.send(&[data(1, 0, b"ab"), data(1, 0, b""), data(1, END, b"c")].concat()).unwrap(),
        [
            Heard::Data { stream: 1, bytes: b"ab".to_vec(), end: false },
            Heard::Data { stream: 1, bytes: b"c".to_vec(), end: true },
        ]
    );
}

#[test]
fn leaves_padding_out_of_a_body_and_gives_its_window_back() {
    let mut client = Client::new();
    client.post(1);
    let mut padded = vec![200];
    padded.extend_from_slice(b"body");
    padded.extend_from_slice(&[0; 200]);
    for _ in 0..2000 {
        let heard = client.send(&data(1, flag::PADDED, &padded)).unwrap();
        assert_eq!(data_of(&heard), b"body");
        client.connection.release(1, 4);
    }
    padded.truncate(1);
    padded.extend_from_slice(&[0; 200]);
    let heard = client.send(&data(1, flag::PADDED | END, &padded)).unwrap();
    assert_eq!(heard, [Heard::End { stream: 1 }]);
}

/// C34 (RFC 9113 8.1): trailers end a body, are checked, and stay here.
#[test]
fn drops_trailers_that_are_well_formed_and_resets_for_others() {
    let mut client = Client::new();
    for (at, fields) in [&[("x", "y")][..], &[(":path", "/")], &[("x", "a\nb")], &[("connection", "close")]]
        .into_iter()
        .enumerate()
    {
        let stream = 1 + 2 * at as u32;
        client.post(stream);
        let heard = client.send(&headers(stream, END, fields)).unwrap();
        if at == 0 {
            assert_eq!(heard, [Heard::End { stream }]);
        } else {
            let code = ErrorCode::PROTOCOL_ERROR;
            assert_eq!(heard, [Heard::Reset { stream, code }], "{fields:?}");
            assert_eq!(client.resets(), [(stream, code)]);
        }
    }
    client.post(21);
    let heard = client.send(&headers(21, 0, &[("x", "y")])).unwrap();
    assert_eq!(heard, [Heard::Reset { stream: 21, code: ErrorCode::PROTOCOL_ERROR }]);
}

/// C34 (RFC 9113 8.1.1): what is forwarded of a body that is not as long as was said is never ended as if it were whole.
#[test]
fn tells_that_a_body_is_not_as_long_as_its_length_says() {
    let bodies: [(&[Vec<u8>], &[u8]); 6] = [
        (&[data(1, END, b"1234")], b""),
        (&[data(1, 0, b"123"), data(1, END, b"4")], b"123"),
        (&[data(1, 0, b"123456")], b""),
        (&[data(1, 0, b"12345"), data(1, END, b"6")], b"12345"),
        (&[data(1, 0, b"123"), data(1, END, b"")], b"123"),
        (&[data(1, 0, b"123"), headers(1, END, &[("x", "y")])], b"123"),
    ];
    for (frames, forwarded) in bodies {
        let mut client = Client::new();
        let request = [&POST[..], &[("content-length", "5")]].concat();
        client.send(&headers(1, 0, &request)).unwrap();
        let heard = client.send(&frames.concat()).unwrap();
        assert_eq!(data_of(&heard), forwarded);
        assert_eq!(heard.last(), Some(&Heard::Reset { stream: 1, code: ErrorCode::PROTOCOL_ERROR }));
        assert!(
            !heard.iter().any(|heard| matches!(heard, Heard::End { .. } | Heard::Data { end: true, .. }))
        );
        assert_eq!(client.resets(), [(1, ErrorCode::PROTOCOL_ERROR)]);
        assert!(client.connection.send_head(1, 200, |_| (), true).is_err());
        assert!(matches!(client.connection.take_fault(), Some((1, _))));
        assert_eq!(client.connection.take_fault(), None);
    }
    let mut client = Client::new();
    client.send(&headers(1, 0, &[&POST[..], &[("content-length", "5")]].concat())).unwrap();
    let heard = client.send(&[data(1, 0, b"123"), data(1, END, b"45")].concat()).unwrap();
    assert_eq!(heard.last(), Some(&Heard::Data { stream: 1, bytes: b"45".to_vec(), end: true }));
}

/// C34, C35, C36, C38: a malformed request is reset, and never heard of as a request; the connection goes on.
#[test]
fn resets_a_malformed_request_that_is_heard_of_as_none() {
    let mut client = Client::new();
    for (at, field) in
        [("Upper", "x"), ("connection", "close"), ("te", "gzip"), (":path", "/"), ("x", "a\r\nb")]
            .into_iter()
            .enumerate()
    {
        let stream = 1 + 2 * at as u32;
        // The encoder would write the name in lower case.
        let mut bytes = block(&GET);
        bytes.push(0);
        for text in [field.0, field.1] {
            bytes.push(text.len() as u8);
            bytes.extend_from_slice(text.as_bytes());
        }
        let heard = client.send(&frame(kind::HEADERS, flag::END_HEADERS, stream, &bytes)).unwrap();
        assert_eq!(heard, [Heard::Refused], "{field:?}");
        assert_eq!(client.resets(), [(stream, ErrorCode::PROTOCOL_ERROR)]);
        // What was on its way when it was reset is no fault.
        assert_eq!(client.send(&data(stream, END, b"late")), Ok(vec![]));
        assert_eq!(client.resets(), []);
    }
    client.get(101);
}

/// C32 (RFC 9113 5.1.2): the caller's close counts, not the client's reset.
#[test]
fn refuses_a_stream_beyond_the_limit_until_one_is_closed() {
    let mut client = Client::with(Limits { streams: 2, ..LIMITS });
    client.get(1);
    client.get(3);
    assert_eq!(
        client.send(&reset(1, ErrorCode::CANCEL)).unwrap(),
        [Heard::Reset { stream: 1, code: ErrorCode::CANCEL }]
    );
    assert_eq!(client.send(&headers(5, END, &GET)), Ok(vec![Heard::Refused]));
    assert_eq!(client.resets(), [(5, ErrorCode::REFUSED_STREAM)]);
    client.connection.close(1);
    assert_eq!(client.resets(), []);
    client.get(7);
    assert_eq!(client.connection.streams(), 2);
}

/// C33 (RFC 9113 6.8): first the announcement, then the last stream; what is open is finished.
#[test]
fn goes_away_gently() {
    let mut client = Client::new();
    client.get(1);
    client.connection.go_away(ErrorCode::NO_ERROR, true);
    let frames = client.frames();
    assert_eq!((frames[0].0.kind, &frames[0].1[..4]), (kind::GOAWAY, &[0x7f, 0xff, 0xff, 0xff][..]));
    assert_eq!(frames[1].0.kind, kind::PING);
    client.get(3);
    assert_eq!(client.send(&frame(kind::PING, flag::ACK, 0, &frames[1].1)), Ok(vec![Heard::Ping]));
    client.connection.go_away(ErrorCode::NO_ERROR, true);
    assert_eq!(client.frames()[0].1, [0, 0, 0, 3, 0, 0, 0, 0]);
    assert!(!client.connection.has_ended());
    // It is not heard, but its block is decoded: the next one depends on it.
    assert_eq!(client.send(&headers(5, 0, &POST)), Ok(vec![]));
    assert_eq!(client.send(&data(5, END, b"x")), Ok(vec![]));
    assert_eq!(client.frames(), []);
    client.answer(1);
    assert!(!client.connection.has_ended());
    client.answer(3);
    assert!(client.connection.has_ended());
}

/// C33: the client leaves; what it asked for is answered.
#[test]
fn hears_that_the_client_goes_away() {
    let mut client = Client::new();
    client.get(1);
    assert_eq!(client.send(&frame(kind::GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0why")), Ok(vec![Heard::GoAway]));
    assert!(!client.connection.has_ended());
    client.answer(1);
    assert!(client.connection.has_ended());
}

/// C39 (RFC 9113 8.5): heard as what it is, so that it is refused in words.
#[test]
fn hears_connect_as_what_it_is() {
    let mut client = Client::new();
    let heard = client.send(&headers(1, 0, &[(":method", "CONNECT"), (":authority", "a:443")])).unwrap();
    assert!(matches!(heard[..], [Heard::Request { kind: Kind::Connect, .. }]));
}

/// C42 (RFC 8441): bytes go both ways; a HEADERS frame within is an error (RFC 9113 8.5).
#[test]
fn a_tunnel_carries_data_and_no_trailers() {
    let mut client = Client::new();
    let heard = client.send(&headers(1, 0, &TUNNEL)).unwrap();
    assert!(matches!(heard[..], [Heard::Request { kind: Kind::Tunnel, end: false, .. }]));
    client.connection.send_head(1, 200, |_| (), false).unwrap();
    assert_eq!(data_of(&client.send(&data(1, 0, b"hi")).unwrap()), b"hi");
    assert_eq!(client.connection.send_data(1, b"ho", false), Ok(2));
    let heard = client.send(&headers(1, END, &[("x", "y")])).unwrap();
    assert_eq!(heard, [Heard::Reset { stream: 1, code: ErrorCode::PROTOCOL_ERROR }]);
}

/// C41 (RFC 9113 10.5.1): read so that the connection goes on, not kept.
#[test]
fn a_head_that_is_too_large_is_heard_without_its_fields() {
    let mut client = Client::new();
    let long = "v".repeat(3000);
    let fields: Vec<_> = GET.into_iter().chain((0..6).map(|_| ("x", long.as_str()))).collect();
    let bytes = block(&fields);
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    let frames =
        [frame(kind::HEADERS, END, 1, first), frame(kind::CONTINUATION, flag::END_HEADERS, 1, rest)].concat();
    let heard = client.send(&frames).unwrap();
    assert_eq!(heard, [Heard::Request { stream: 1, end: true, kind: Kind::TooLarge, head: String::new() }]);
    client.get(3);
}

/// C31 (RFC 9113 3.4): what is not HTTP/2 is told so at once.
#[test]
fn refuses_another_preface_at_its_first_wrong_byte() {
    for wrong in ["GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSX", "P\0"] {
        let mut client = Client::silent(LIMITS);
        let last = wrong.len() - 1;
        if wrong.starts_with("PRI") {
            assert_eq!(client.send(&wrong.as_bytes()[..last]), Ok(vec![]));
            assert!(client.send(&wrong.as_bytes()[last..]).is_err());
        } else {
            assert!(matches!(client.send(wrong.as_bytes()), Err(ConnectionError::Protocol(_))));
        }
        assert_eq!(client.frames().last().unwrap().0.kind, kind::GOAWAY);
    }
}
