//! However the bytes are cut, what is heard and what is sent is the same.

use super::client::*;
use crate::error::{ConnectionError, ErrorCode};
use crate::frame::{flag, kind};

/// What became of some bytes: pieces of data joined, and the end of a body however it came.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    heard: Vec<Heard>,
    error: Option<ConnectionError>,
    sent: Vec<u8>,
}

fn outcome(input: &[u8], mut pieces: impl FnMut(usize) -> usize) -> Outcome {
    let mut client = Client::silent(LIMITS);
    let mut outcome = Outcome { heard: Vec::new(), error: None, sent: Vec::new() };
    let mut at = 0;
    while at < input.len() {
        let end = input.len().min(at + pieces(at).max(1));
        let mut heard = Vec::new();
        let result = client.send_for(&input[at..end], &mut heard);
        heard.into_iter().for_each(|heard| add(&mut outcome.heard, heard));
        if let Err(error) = result {
            outcome.error = Some(error);
            break;
        }
        at = end;
    }
    outcome.sent = std::mem::take(client.connection.out());
    outcome
}

fn add(all: &mut Vec<Heard>, next: Heard) {
    let Heard::Data { stream, bytes, end } = next else { return all.push(next) };
    let open = all.iter_mut().rev().find_map(|heard| match heard {
        Heard::Data { stream: same, bytes, end: false } if *same == stream => Some(bytes),
        _ => None,
    });
    match open {
        Some(open) => open.extend_from_slice(&bytes),
        None if !bytes.is_empty() => all.push(Heard::Data { stream, bytes, end: false }),
        None => {}
    }
    if end {
        all.push(Heard::End { stream });
    }
}

/// Frames of all kinds, most of them as they should be.
fn conversation(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = [PREFACE, &settings(&[(4, random.u32(..100_000))])].concat();
    let mut next = 1;
    for _ in 0..random.usize(1..40) {
        let open = if next > 1 { 1 + 2 * random.u32(..next / 2) } else { 1 };
        let most = if random.u8(..10) == 0 { 16_000 } else { 50 };
        let length = random.usize(..most);
        let end = if random.bool() { flag::END_STREAM } else { 0 };
        let piece = match random.u8(..14) {
            0..=3 => {
                let stream = next;
                next += 2 + 2 * u32::from(random.u8(..20) == 0);
                let value = "v".repeat(length);
                let fields = [&POST[..], &[("x", &value), ("cookie", "a=b"), ("cookie", "c=d")]].concat();
                let fields = block(&fields);
                let (first, rest) = fields.split_at(random.usize(..=fields.len()));
                [
                    frame(kind::HEADERS, end, stream, &first[..first.len().min(16_384)]),
                    frame(kind::CONTINUATION, flag::END_HEADERS, stream, &rest[..rest.len().min(16_384)]),
                ]
                .concat()
            }
            4..=6 => data(open, end, &vec![b'd'; length]),
            7 => {
                let padding = random.u8(..40);
                let payload = [&[padding], &vec![b'p'; length + usize::from(padding)][..]].concat();
                data(open, flag::PADDED | end, &payload)
            }
            8 => reset(open, ErrorCode::CANCEL),
            9 => window(if random.bool() { 0 } else { open }, random.u32(..70_000)),
            10 => frame(kind::PING, 0, 0, b"12345678"),
            11 => frame(random.u8(0x0a..), random.u8(..), open, &vec![0; length]),
            12 => headers(open, flag::END_STREAM, &[("x", "y")]),
            _ => frame(kind::GOAWAY, 0, 0, &vec![0; 8 + length]),
        };
        bytes.extend_from_slice(&piece);
    }
    if random.u8(..3) == 0 {
        let at = random.usize(PREFACE.len()..bytes.len());
        bytes[at] ^= 1 << random.u8(..8);
    }
    bytes
}

#[test]
fn any_cut_of_the_same_bytes_is_heard_as_the_same() {
    let mut random = fastrand::Rng::with_seed(5);
    let (mut whole, mut failed) = (0, 0);
    for _ in 0..600 {
        let input = conversation(&mut random);
        let expected = outcome(&input, |_| usize::MAX / 2);
        if expected.error.is_some() {
            failed += 1;
        } else {
            whole += 1;
        }
        let most = [1, 2, 9, 10, 100, 5000][random.usize(..6)];
        let mut cuts = random.clone();
        let cut = outcome(&input, |_| cuts.usize(1..=most));
        assert_eq!(cut, expected, "pieces of up to {most}");
    }
    assert!(whole > 100 && failed > 50, "{whole} whole, {failed} failed");
}
