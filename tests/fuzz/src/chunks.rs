//! The chunked coding: decoded the same however it comes in, and giving back what was encoded.

use std::sync::LazyLock;

use vestibule_http1::{
    CHUNK_END, Chunk, ChunkDecoder, ChunkError, LAST_CHUNK, LAST_CHUNK_HEAD, chunk_head, write_trailers,
};

use super::cuts::cuts;
use super::lines::Lines;
use super::pieces::Pieces;

static PIECES: LazyLock<Pieces> = LazyLock::new(|| Pieces::of(include_str!("../http.dict")));

/// Checks `data` as a chunked body, the same with its bytes taken for words, and as a body to encode.
pub fn check(data: &[u8]) {
    check_text(data);
    let expanded = PIECES.expand(data);
    if expanded.len() != data.len() {
        check_text(&expanded);
    }
    comes_back_from_chunks(data);
}

/// What a decoder made of its input.
#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    body: Vec<u8>,
    /// The lines behind the body, when they were asked for.
    trailers: Vec<u8>,
    consumed: usize,
    end: Result<bool, ChunkError>,
}

/// Hands the text over up to each of `ends`, and each time only what was not consumed before, as a connection does.
fn decode(text: &[u8], ends: impl IntoIterator<Item = usize>) -> Decoded {
    let mut decoder = ChunkDecoder::default();
    decoder.keep_trailers();
    let mut decoded = Decoded { body: Vec::new(), trailers: Vec::new(), consumed: 0, end: Ok(false) };
    for end in ends {
        let buf = &text[decoded.consumed..end];
        let mut pos = 0;
        loop {
            let before = pos;
            let next = decoder.next(buf, &mut pos);
            assert!(before <= pos && pos <= buf.len(), "from {before} to {pos} of {}", buf.len());
            match next {
                Ok(Chunk::Data(range)) => {
                    assert!(!range.is_empty() && before <= range.start && range.end == pos, "{range:?}");
                    decoded.body.extend_from_slice(&buf[range]);
                }
                Ok(Chunk::More) => {
                    assert!(pos == buf.len() && !decoder.is_done(), "{pos} of {} used up", buf.len());
                    break;
                }
                Ok(Chunk::End) => {
                    assert!(decoder.is_done());
                    decoded.end = Ok(true);
                    break;
                }
                Err(error) => {
                    decoded.end = Err(error);
                    break;
                }
            }
        }
        decoded.consumed += pos;
        if decoded.end != Ok(false) {
            break;
        }
    }
    if decoded.end == Ok(true) {
        decoded.trailers = decoder.take_trailers();
    }
    decoded
}

fn check_text(text: &[u8]) {
    let expected = decode(text, [text.len()]);
    assert!(expected.body.len() <= expected.consumed && expected.consumed <= text.len());
    for at in cuts(text) {
        assert_eq!(decode(text, [at, text.len()]), expected, "cut at {at}: {}", text.escape_ascii());
        // A fault or an end that is there stays, whatever follows.
        let before = decode(text, [at]);
        assert!(expected.body.starts_with(&before.body));
        assert!(before.end == Ok(false) || before == expected, "up to {at}: {}", text.escape_ascii());
    }
    assert_eq!(decode(text, 0..=text.len()), expected, "byte by byte: {}", text.escape_ascii());
    if expected.end == Ok(true) {
        let coded = &text[..expected.consumed];
        assert_eq!(simply_decoded(coded).as_ref(), Some(&expected.body), "{}", coded.escape_ascii());
        assert!(coded.ends_with(&[&expected.trailers[..], b"\r\n"].concat()), "{}", coded.escape_ascii());
        passes_trailers_on(&expected.trailers);
    }
}

/// What is passed on of trailer fields is fields, none that frames or routes, and passing them on again changes nothing.
fn passes_trailers_on(lines: &[u8]) {
    let mut written = Vec::new();
    write_trailers(&mut written, lines);
    let coded = [LAST_CHUNK_HEAD, &written, b"\r\n"].concat();
    let again = decode(&coded, [coded.len()]);
    let shown = coded.escape_ascii().to_string();
    assert_eq!((again.end, again.consumed), (Ok(true), coded.len()), "{shown}");
    let mut twice = Vec::new();
    write_trailers(&mut twice, &again.trailers);
    assert!(again.trailers == written && twice == written, "{shown}");
    let read = Lines::of(&coded);
    assert!(read.fields.len() <= lines.split(|byte| *byte == b'\n').count(), "{shown}");
    for name in
        ["Content-Length", "Transfer-Encoding", "Host", "Connection", "Trailer", "Set-Cookie", "Cookie"]
    {
        assert_eq!(read.count(name), 0, "{name} in {shown}");
    }
    assert!(!read.fields.iter().any(|(name, _)| name.contains(&b'_')), "{shown}");
}

/// What the simplest reader makes of a chunked body that is exactly `text`.
fn simply_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    let mut rest = text;
    loop {
        let line;
        (line, rest) = split_line(rest)?;
        let digits = str::from_utf8(line.split(|byte| *byte == b';').next()?).ok()?;
        let size = usize::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
        if size == 0 {
            break;
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
    loop {
        let line;
        (line, rest) = split_line(rest)?;
        if line.is_empty() {
            return rest.is_empty().then_some(body);
        }
        line.iter().position(|byte| *byte == b':').filter(|colon| *colon > 0)?;
    }
}

/// The line before the first CRLF, in which nothing but the tab controls anything, and what is behind it.
fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.windows(2).position(|pair| pair == b"\r\n")?;
    let line = &text[..end];
    let is_clean = !line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t');
    is_clean.then_some((line, &text[end + 2..]))
}

/// Encodes `data` in chunks of uneven lengths; decoding gives it back and stops where the body ends.
fn comes_back_from_chunks(data: &[u8]) {
    let mut coded = Vec::new();
    let mut rest = data;
    while let [first, ..] = rest {
        let (chunk, after) = rest.split_at(rest.len().min(usize::from(*first) + 1));
        chunk_head(&mut coded, chunk.len());
        coded.extend_from_slice(chunk);
        coded.extend_from_slice(CHUNK_END);
        rest = after;
    }
    coded.extend_from_slice(LAST_CHUNK);
    let consumed = coded.len();
    coded.extend_from_slice(b"GET / HTTP/1.1\r\n");
    let expected = Decoded { body: data.to_vec(), trailers: Vec::new(), consumed, end: Ok(true) };
    assert_eq!(decode(&coded, [coded.len()]), expected);
    assert_eq!(decode(&coded, 0..=coded.len()), expected);
}
