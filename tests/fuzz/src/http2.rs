//! HTTP/2: any conversation is heard the same however it is cut, costs what is allowed, and no request in it is anything else
//! to HTTP/1, nor any body of another length than was said.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use vestibule_http1::{HeadLimits, RequestError, RequestHead};
use vestibule_http2::{Connection, ConnectionError, ErrorCode, Event, Kind, Limits, hpack};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const LIMITS: Limits =
    Limits { streams: 5, head: 4 << 10, fields: 20, body_window: 65_535, connection_window: 100_000 };
/// Frames that wait though nobody asked for them: 64 KiB, and the one that is too many.
const MOST_OWED: usize = (64 << 10) + 256;
/// What a connection may keep, beside what is to be written: a header block as it comes, its head, five streams, one table.
const MOST_MEMORY: usize = 48 << 10;

/// Checks `data` as what follows the preface, and as a list of frames and of what the server does between them.
pub fn check(data: &[u8]) {
    check_turns(&[Turn::Client([PREFACE, data].concat())]);
    check_turns(&turns(data));
}

/// One side's turn.
enum Turn {
    Client(Vec<u8>),
    Server { deed: u8, stream: u32, amount: usize },
}

/// Reads `data` as turns of four bytes: what is done, how, on which stream, with how much; a client's frame
/// takes as many bytes from `data` as its payload, but for a long body.
fn turns(mut data: &[u8]) -> Vec<Turn> {
    let mut turns = vec![Turn::Client([PREFACE, &frame(4, 0, 0, &[])].concat())];
    while let Some((&[what, how, stream, amount], rest)) = data.split_first_chunk::<4>() {
        data = rest;
        if what >= 0x80 {
            turns.push(Turn::Server {
                deed: what,
                stream: stream.into(),
                amount: usize::from(how) << (amount % 12),
            });
            continue;
        }
        let taken = if what % 16 == 13 { 0 } else { data.len().min(amount.into()) };
        let (payload, rest) = data.split_at(taken);
        data = rest;
        let bytes = match what % 16 {
            kind @ 0..=9 => frame(kind, how, stream.into(), payload),
            10 => frame(how, 0, stream.into(), payload),
            // A request that is as it should be up to here, with the two flags that matter.
            11 => frame(1, 4 | (how & 1), stream.into(), &[&request(how & 2 != 0), payload].concat()),
            12 => frame(
                1,
                4 | (how & 1),
                stream.into(),
                &[&request(how & 2 != 0), &field(payload)[..]].concat(),
            ),
            13 => frame(0, how & 1, stream.into(), &vec![b'd'; usize::from(amount) * 64]),
            14 => frame(8, 0, stream.into(), &(1u32 << (how % 31)).to_be_bytes()),
            _ => payload.to_vec(),
        };
        turns.push(Turn::Client(bytes));
    }
    turns
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn request(is_tunnel: bool) -> Vec<u8> {
    let mut block = Vec::new();
    hpack::encode_field(&mut block, b":method", if is_tunnel { b"CONNECT" } else { b"POST" });
    for (name, value) in [(&b":scheme"[..], &b"https"[..]), (b":path", b"/a"), (b":authority", b"a")] {
        hpack::encode_field(&mut block, name, value);
    }
    if is_tunnel {
        hpack::encode_field(&mut block, b":protocol", b"websocket");
    }
    block
}

/// A field that is not compressed, its name up to the first `=`.
fn field(text: &[u8]) -> Vec<u8> {
    let at = text.iter().position(|byte| *byte == b'=').unwrap_or(text.len());
    let (name, value) = (&text[..at], text.get(at + 1..).unwrap_or_default());
    let mut block = vec![0];
    for part in [name, value] {
        let part = &part[..part.len().min(126)];
        block.push(part.len() as u8);
        block.extend_from_slice(part);
    }
    block
}

/// What was heard: the bytes of a body as one, its end by itself.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Request(u32, bool, Kind, Vec<u8>),
    Data(u32, Vec<u8>),
    End(u32),
    Other(Event),
}

fn check_turns(turns: &[Turn]) {
    let expected = play(turns, |length| length);
    let mut step = 0;
    let cut = play(turns, |_| {
        step = step % 11 + 1;
        step
    });
    assert_eq!(cut, expected);
    check_lengths(&expected.0);
}

/// No body is longer than its Content-Length, and none ends short of it.
fn check_lengths(heard: &[Heard]) {
    let mut left = HashMap::new();
    for heard in heard {
        match heard {
            Heard::Request(stream, end, _, head) => {
                let head = head.escape_ascii().to_string();
                let length = head.split_once("\\r\\ncontent-length: ").map(|(_, rest)| {
                    rest.split("\\r")
                        .next()
                        .and_then(|digits| digits.parse::<usize>().ok())
                        .expect("a number")
                });
                assert!(!end || length.unwrap_or(0) == 0, "{head}");
                left.insert(stream, length);
            }
            Heard::Data(stream, bytes) => {
                if let Some(Some(left)) = left.get_mut(stream) {
                    *left = left.checked_sub(bytes.len()).expect("a body longer than its length");
                }
            }
            Heard::End(stream) => assert_eq!(left[stream].unwrap_or(0), 0, "a body shorter than its length"),
            Heard::Other(_) => {}
        }
    }
}

/// Plays the turns, with the client's bytes in pieces; gives what was heard up to the end or an error.
fn play(turns: &[Turn], mut piece: impl FnMut(usize) -> usize) -> (Vec<Heard>, Option<ConnectionError>) {
    let mut now = Instant::now();
    let mut connection = Connection::new(LIMITS, now);
    let (mut heard, mut input) = (Vec::new(), Vec::new());
    // What stands in `out` because the server wanted it.
    let mut wanted = connection.out().len();
    for turn in turns {
        match turn {
            Turn::Client(bytes) => {
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    let (now_sent, later) = rest.split_at(piece(rest.len()).min(rest.len()));
                    rest = later;
                    input.extend_from_slice(now_sent);
                    if let Err(error) = receive(&mut connection, &mut input, now, &mut heard) {
                        assert!(connection.has_ended() && connection.receive(&[], now) == Err(error));
                        assert_eq!(kinds(connection.out()).last(), Some(&7), "no GOAWAY at the end");
                        return (heard, Some(error));
                    }
                }
            }
            Turn::Server { deed, stream, amount } => {
                let before = connection.out().len();
                if deed % 16 == 0 {
                    now += Duration::from_millis(*amount as u64);
                }
                serve(&mut connection, *deed, *stream, *amount);
                let after = connection.out().len();
                wanted = if after < before { 0 } else { wanted + after - before };
            }
        }
        let (out, memory) = (connection.out().len(), connection.memory());
        let kept = memory - connection.out().capacity();
        assert!(out - wanted.min(out) <= MOST_OWED, "{out} bytes wait, {wanted} of them are answers");
        assert!(kept <= MOST_MEMORY, "{kept} bytes are kept");
        assert!(connection.streams() <= LIMITS.streams as usize);
    }
    kinds(connection.out());
    (heard, None)
}

/// Does one of the things that a server does; whether it may does not matter.
fn serve(connection: &mut Connection, deed: u8, stream: u32, amount: usize) {
    let end = amount % 2 == 1;
    match deed % 16 {
        1 | 2 => {
            let status = [100, 103, 200, 404][amount % 4];
            let long = vec![b'v'; amount];
            let _ = connection.send_head(
                stream,
                status,
                |fields| fields.field(b"X", &long),
                deed.is_multiple_of(2),
            );
        }
        3 | 4 => {
            let bytes = vec![b'b'; amount];
            if let Ok(sent) = connection.send_data(stream, &bytes, end) {
                assert!(sent <= bytes.len() && sent <= 16_384);
            }
        }
        5 => {
            let _ = connection.send_trailers(stream, |fields| fields.number(b"x-sum", amount as u64));
        }
        6 => connection.reset(stream, ErrorCode::CANCEL),
        7 | 8 => connection.release(stream, amount),
        9 | 10 => connection.close(stream),
        11 => connection.go_away(ErrorCode::NO_ERROR, end),
        12 => connection.shrink(),
        13 | 14 => {
            kinds(connection.out());
            connection.out().clear();
        }
        _ => {}
    }
}

/// Hands the input over, and keeps what is not used up.
fn receive(
    connection: &mut Connection,
    input: &mut Vec<u8>,
    now: Instant,
    heard: &mut Vec<Heard>,
) -> Result<(), ConnectionError> {
    let mut start = 0;
    loop {
        let (used, event) = connection.receive(&input[start..], now)?;
        let bytes = &input[start..start + used];
        start += used;
        match event {
            None => break,
            Some(Event::Request { stream, end, kind }) => {
                let head = connection.head();
                check_head(head, kind);
                // A tunnel's key is another each time.
                let head = if kind == Kind::Tunnel { b"" } else { head };
                heard.push(Heard::Request(stream, end, kind, head.to_vec()));
            }
            Some(Event::Data { stream, bytes: place, end }) => {
                assert!(!place.is_empty());
                add(heard, stream, &bytes[place]);
                if end {
                    heard.push(Heard::End(stream));
                }
            }
            Some(Event::End { stream }) => heard.push(Heard::End(stream)),
            Some(other) => heard.push(Heard::Other(other)),
        }
    }
    input.drain(..start);
    assert!(input.len() < Connection::LONGEST_FRAME, "{} bytes are left", input.len());
    Ok(())
}

fn add(heard: &mut Vec<Heard>, stream: u32, bytes: &[u8]) {
    match heard.last_mut() {
        Some(Heard::Data(same, body)) if *same == stream => body.extend_from_slice(bytes),
        _ => heard.push(Heard::Data(stream, bytes.to_vec())),
    }
}

/// A head is one request to HTTP/1 too, to its end, or is refused there for what only HTTP/1 is strict about.
fn check_head(head: &[u8], kind: Kind) {
    let shown = head.escape_ascii().to_string();
    let mut request = RequestHead::default();
    let result = request.parse(head, &mut 0, &HeadLimits { bytes: LIMITS.head, fields: LIMITS.fields + 6 });
    match kind {
        Kind::TooLarge => assert_eq!(shown, ""),
        Kind::Connect => assert_eq!(result, Err(RequestError::Connect), "{shown}"),
        Kind::Usual | Kind::Tunnel => match result {
            Ok(whole) => {
                assert!(whole && request.len == head.len(), "{shown}");
                assert_eq!(request.upgrade.is_some(), kind == Kind::Tunnel, "{shown}");
            }
            Err(error) => assert!(
                matches!(error, RequestError::BadHost | RequestError::MethodTooLong),
                "{error}: {shown}"
            ),
        },
    }
}

/// The types of the frames that are to be written: nothing but whole frames.
fn kinds(mut out: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let Some((head, rest)) = out.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        kinds.push(head[3]);
        out = rest.get(length..).expect("a frame is cut off");
    }
    assert!(out.is_empty(), "{out:?}");
    kinds
}
