//! Heads and bodies cut anywhere, changed at random, and made of nothing but noise.

use crate::{
    Chunk, ChunkDecoder, HeadLimits, Method, RequestError, RequestHead, ResponseError, ResponseHead,
};
use std::time::{Duration, Instant};

const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 20 };

const REQUESTS: [&[u8]; 7] = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\nPOST http://b:80?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: X-A, close\r\nX-A: 1\r\n\r\nhello",
    b"GET /ws HTTP/1.1\r\nHost: [::1]:80\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n\x01\x02",
    b"PUT /a%20b?c HTTP/1.1\r\nHost:a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n0\r\n\r\n",
    b"OPTIONS * HTTP/1.0\r\nX_Y: \tz \r\nCookie: \x80\xff\tq=1; r=2\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD / HTTP/1.0\r\n\r\n",
];

const RESPONSES: [&[u8]; 5] = [
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 101 \r\nConnection: upgrade, X-B\r\nUpgrade: websocket\r\nX-B: 1\r\n\r\n\0\0",
    b"HTTP/1.1 304\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 7\r\n\r\n",
    b"HTTP/1.1 500 caf\xe9\r\n\r\nuntil the end",
];

const BODY: &[u8] = b"5;a=b\r\nhello\r\n00A\r\n0123456789\r\n0\r\nA: b\r\n\r\n";

/// Feeds `buf` up to each of `ends` in turn, as a caller would whose buffer grows.
fn request(buf: &[u8], ends: impl IntoIterator<Item = usize>) -> Result<Option<RequestHead>, RequestError> {
    let (mut head, mut scanned) = (RequestHead::default(), 0);
    for end in ends {
        if head.parse(&buf[..end], &mut scanned, &LIMITS)? {
            assert_eq!(scanned, 0);
            return Ok(Some(head));
        }
        assert!(scanned <= end);
    }
    Ok(None)
}

fn response(
    buf: &[u8],
    ends: impl IntoIterator<Item = usize>,
) -> Result<Option<ResponseHead>, ResponseError> {
    let (mut head, mut scanned) = (ResponseHead::default(), 0);
    for end in ends {
        if head.parse(&buf[..end], &mut scanned, &LIMITS, Method::Get)? {
            assert_eq!(scanned, 0);
            return Ok(Some(head));
        }
        assert!(scanned <= end);
    }
    Ok(None)
}

fn body(buf: &[u8]) {
    let (mut decoder, mut pos) = (ChunkDecoder::default(), 0);
    while let Ok(Chunk::Data(range)) = decoder.next(buf, &mut pos) {
        assert!(!range.is_empty() && range.end == pos && pos <= buf.len());
    }
}

/// Whole and in pieces the outcome must be one: the same head, a refusal, or a wait for more. What is refused may
/// be so for another of its faults, or, in pieces, only once it ends.
fn agrees(buf: &[u8], ends: &[usize]) {
    let text = String::from_utf8_lossy(buf);
    match (request(buf, [buf.len()]), request(buf, ends.iter().copied())) {
        (Ok(Some(whole)), Ok(Some(cut))) => {
            assert_eq!(format!("{whole:?}"), format!("{cut:?}"), "{text:?}");
            for field in &whole.fields {
                assert!(!field.name.is_empty() && field.value.end as usize <= whole.len);
            }
        }
        (Ok(None), Ok(None)) | (Err(_), Err(_) | Ok(None)) => {}
        (whole, cut) => panic!("{text:?} at {ends:?}: {whole:?}, in pieces {cut:?}"),
    }
    match (response(buf, [buf.len()]), response(buf, ends.iter().copied())) {
        (Ok(Some(whole)), Ok(Some(cut))) => assert_eq!(format!("{whole:?}"), format!("{cut:?}"), "{text:?}"),
        (Ok(None), Ok(None)) | (Err(_), Err(_) | Ok(None)) => {}
        (whole, cut) => panic!("{text:?} at {ends:?}: {whole:?}, in pieces {cut:?}"),
    }
}

#[test]
fn a_request_is_the_same_cut_anywhere_and_byte_by_byte() {
    for text in REQUESTS {
        let whole = request(text, [text.len()]).unwrap().unwrap();
        let shown = format!("{whole:?}");
        for at in 0..text.len() {
            let cut = request(text, [at, text.len()]).unwrap().unwrap();
            assert_eq!(format!("{cut:?}"), shown, "cut at {at}");
            let complete = request(&text[..at], [at]).unwrap().is_some();
            assert_eq!(complete, at >= whole.len, "complete at {at} of {}", whole.len);
        }
        let slow = request(text, 0..=text.len()).unwrap().unwrap();
        assert_eq!(format!("{slow:?}"), shown);
    }
}

#[test]
fn a_response_is_the_same_cut_anywhere_and_byte_by_byte() {
    for text in RESPONSES {
        let whole = response(text, [text.len()]).unwrap().unwrap();
        let shown = format!("{whole:?}");
        for at in 0..text.len() {
            let cut = response(text, [at, text.len()]).unwrap().unwrap();
            assert_eq!(format!("{cut:?}"), shown, "cut at {at}");
            let complete = response(&text[..at], [at]).unwrap().is_some();
            assert_eq!(complete, at >= whole.len, "complete at {at} of {}", whole.len);
        }
        let slow = response(text, 0..=text.len()).unwrap().unwrap();
        assert_eq!(format!("{slow:?}"), shown);
    }
}

#[test]
fn changed_input_never_panics_and_never_depends_on_how_it_is_cut() {
    const TELLING: &[u8] = b"\r\n\t :;,/?#@[]%*\0\x7f\x80\xff019afGHT_";
    let mut random = fastrand::Rng::with_seed(42);
    let texts: Vec<&[u8]> = REQUESTS.into_iter().chain(RESPONSES).chain([BODY]).collect();
    for _ in 0..200_000 {
        let mut text = texts[random.usize(..texts.len())].to_vec();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..text.len());
            let byte = TELLING[random.usize(..TELLING.len())];
            match random.u8(..4) {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                2 if text.len() > 1 => drop(text.remove(at)),
                _ => {
                    let from = random.usize(..=at);
                    let again = text[from..at].to_vec();
                    text.splice(at..at, again);
                }
            }
        }
        body(&text);
        let (a, b) = (random.usize(..=text.len()), random.usize(..=text.len()));
        agrees(&text, &[a.min(b), a.max(b), text.len()]);
    }
}

#[test]
fn noise_never_panics() {
    let mut random = fastrand::Rng::with_seed(99);
    for round in 0..200_000 {
        let length = random.usize(..64);
        let text: Vec<u8> = match round % 2 {
            0 => (0..length).map(|_| random.u8(..)).collect(),
            _ => (0..length).map(|_| b"GET /HTP1.\r\n:aC 20;"[random.usize(..19)]).collect(),
        };
        body(&text);
        agrees(&text, &[random.usize(..=length), length]);
    }
}

#[test]
fn a_head_that_comes_byte_by_byte_costs_no_more_than_its_length() {
    // With a limit this high, work that grew with the square would be 5·10^11 steps: hours, not milliseconds.
    let limits = HeadLimits { bytes: 2 << 20, fields: 100 };
    let deadline = Instant::now() + Duration::from_secs(60);
    let filling = "x".repeat(1 << 20);

    let text = format!("GET /{filling} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
    let (mut head, mut scanned) = (RequestHead::default(), 0);
    for end in 0..text.len() {
        assert_eq!(head.parse(&text[..end], &mut scanned, &limits), Ok(false));
        assert!(scanned + 1 >= end && Instant::now() < deadline, "at {end}");
    }
    assert_eq!(head.parse(&text, &mut scanned, &limits), Ok(true));

    let text = format!("HTTP/1.1 200 OK\r\nX: {filling}\r\n\r\n").into_bytes();
    let (mut head, mut scanned) = (ResponseHead::default(), 0);
    for end in 0..text.len() {
        assert_eq!(head.parse(&text[..end], &mut scanned, &limits, Method::Get), Ok(false));
        assert!(scanned + 1 >= end && Instant::now() < deadline, "at {end}");
    }
    assert_eq!(head.parse(&text, &mut scanned, &limits, Method::Get), Ok(true));
}
