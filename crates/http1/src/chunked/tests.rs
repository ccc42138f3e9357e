//! The chunked coding, whole, byte by byte and cut anywhere.

use super::*;

/// What a decoder makes of `pieces`: the data, and how many bytes it left after the end (`None` if not ended).
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(Vec<u8>, Option<usize>), ChunkError> {
    let mut decoder = ChunkDecoder::default();
    let (mut data, mut left) = (Vec::new(), 0);
    for piece in pieces {
        let mut pos = 0;
        loop {
            match decoder.next(piece, &mut pos)? {
                Chunk::Data(range) => {
                    assert!(!range.is_empty() && range.end == pos);
                    data.extend_from_slice(&piece[range]);
                }
                Chunk::More => {
                    assert_eq!(pos, piece.len(), "asked for more with input left");
                    break;
                }
                Chunk::End => {
                    left += piece.len() - pos;
                    break;
                }
            }
        }
    }
    Ok((data, decoder.is_done().then_some(left)))
}

/// Asserts that the body gives the same whole, byte by byte, cut in two anywhere, and cut at random; gives it.
#[track_caller]
fn decode_all_ways(body: &[u8]) -> Result<(Vec<u8>, Option<usize>), ChunkError> {
    let whole = decode([body]);
    assert_eq!(decode(body.chunks(1)), whole, "byte by byte: {:?}", String::from_utf8_lossy(body));
    for at in 0..body.len().min(300) {
        assert_eq!(decode([&body[..at], &body[at..]]), whole, "cut at {at}");
    }
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..20 {
        let (mut rest, mut pieces) = (body, Vec::new());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(random.usize(1..=rest.len().min(7)));
            pieces.push(piece);
            rest = after;
        }
        assert_eq!(decode(pieces), whole);
    }
    whole
}

#[track_caller]
fn refused(error: ChunkError, body: &[u8]) {
    assert_eq!(decode_all_ways(body), Err(error), "{:?}", String::from_utf8_lossy(body));
}

#[test]
fn gives_the_data_and_leaves_what_follows() {
    for (body, data, left) in [
        (&b"0\r\n\r\n"[..], &b""[..], 0),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello", 0),
        (b"5\r\nhello\r\n1\r\n \r\n05\r\nworld\r\n000\r\n\r\nGET /", b"hello world", 5),
        (b"A\r\n0123456789\r\na\r\nabcdefghij\r\n0\r\n\r\n", b"0123456789abcdefghij", 0),
        (b"0000000000000003\r\n\r\n\n\r\n0\r\n\r\n", b"\r\n\n", 0),
    ] {
        assert_eq!(decode_all_ways(body), Ok((data.to_vec(), Some(left))));
    }
}

#[test]
fn a_body_that_stops_short_is_never_done() {
    let body = b"5;x\r\nhello\r\n0\r\nA: b\r\n\r\n";
    for end in 0..body.len() {
        assert_eq!(decode([&body[..end]]).unwrap().1, None, "{end}");
    }
    assert_eq!(decode([&body[..]]).unwrap().1, Some(0));
}

#[test]
fn refuses_a_size_that_is_none() {
    for size in [
        "",
        " 5",
        "5 ",
        "5\t",
        "+5",
        "-5",
        "0x5",
        "5h",
        "x",
        ";a",
        "5_0",
        "5.0",
        "\0",
        "\"5\"",
        "5,5",
        "\u{665}",
        "00000000000000005",
        "10000000000000000",
        "ffffffffffffffff0",
    ] {
        refused(ChunkError::BadSize, format!("{size}\r\nhello\r\n0\r\n\r\n").as_bytes());
    }
    refused(ChunkError::BadSize, b"5\nhello\r\n0\r\n\r\n");
    refused(ChunkError::BadSize, b"5 ;a\r\nhello\r\n0\r\n\r\n");
    refused(ChunkError::BadSize, b"\r\n5\r\nhello\r\n0\r\n\r\n");
    refused(ChunkError::BadLine, b"5\rhello\r\n0\r\n\r\n");
    refused(ChunkError::BadLine, b"5\r\rhello\r\n0\r\n\r\n");
}

#[test]
fn takes_the_largest_size_without_overflow() {
    assert_eq!(decode_all_ways(b"ffffffffffffffff\r\nabc"), Ok((b"abc".to_vec(), None)));
    // The size that follows starts from nothing.
    assert_eq!(decode_all_ways(b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"), Ok((b"abcde".to_vec(), Some(0))));
}

#[test]
fn refuses_data_longer_or_shorter_than_its_size() {
    refused(ChunkError::BadEnd, b"4\r\nhello\r\n0\r\n\r\n");
    refused(ChunkError::BadEnd, b"6\r\nhello\r\n0\r\n\r\n");
    refused(ChunkError::BadEnd, b"5\r\nhello\n0\r\n\r\n");
    refused(ChunkError::BadEnd, b"5\r\nhello\r0\r\n\r\n");
    refused(ChunkError::BadEnd, b"5\r\nhello0\r\n\r\n");
    refused(ChunkError::BadEnd, b"5\r\nhello \n0\r\n\r\n");
}

#[test]
fn drops_extensions_and_bounds_them_over_the_whole_message() {
    let body = b"5;a=b;c=\"d;e\"\r\nhello\r\n0;x\t\xff\r\n\r\n";
    assert_eq!(decode_all_ways(body), Ok((b"hello".to_vec(), Some(0))));
    for bad in
        [&b"5;a\0\r\nhello"[..], b"5;a\n\r\nhello", b"5;a\x7f\r\nhello", b"5;a\rb\r\nhello", b"5;\x0b\r\n"]
    {
        refused(ChunkError::BadLine, bad);
    }
    let chunk = |length: usize| format!("1;{}\r\nx\r\n", "e".repeat(length));
    let half = EXTENSIONS as usize / 2;
    assert!(decode([format!("{}{}0\r\n\r\n", chunk(half), chunk(half)).as_bytes()]).is_ok());
    let over = format!("{}{}", chunk(half), chunk(half + 1));
    assert_eq!(decode([over.as_bytes()]), Err(ChunkError::ExtensionsTooLong));
    assert_eq!(decode(over.as_bytes().chunks(1)), Err(ChunkError::ExtensionsTooLong));
}

#[test]
fn drops_trailers_checks_them_and_bounds_them() {
    let body = b"1\r\nx\r\n0\r\nA: b\r\nContent-Length: 9\r\nEmpty:\r\n\r\nrest";
    assert_eq!(decode_all_ways(body), Ok((b"x".to_vec(), Some(4))));
    for bad in [
        &b"0\r\nNoColon\r\n\r\n"[..],
        b"0\r\n: v\r\n\r\n",
        b"0\r\n A: v\r\n\r\n",
        b"0\r\nA : v\r\n\r\n",
        b"0\r\nA: v\r\n w\r\n\r\n",
        b"0\r\nA: v\n\r\n",
        b"0\r\nA: v\rB: w\r\n\r\n",
        b"0\r\nA: v\rBC: w\r\n\r\n",
        b"0\r\nA: \0\r\n\r\n",
        b"0\r\nA\x80: v\r\n\r\n",
        b"0\r\n\n",
        b"0\r\nGET / HTTP/1.1\r\n\r\n",
    ] {
        refused(ChunkError::BadTrailer, bad);
    }
    refused(ChunkError::BadLine, b"0\r\n\rX");
    let long = format!("0\r\nA: {}\r\n\r\n", "x".repeat(TRAILERS as usize));
    assert_eq!(decode([long.as_bytes()]), Err(ChunkError::TrailersTooLong));
    let many = format!("0\r\n{}\r\n", "A: b\r\n".repeat(TRAILERS as usize / 4));
    assert_eq!(decode(many.as_bytes().chunks(1)), Err(ChunkError::TrailersTooLong));
}

#[test]
fn whatever_it_wrote_itself_it_reads_back_at_any_cut() {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..300 {
        let (mut body, mut data) = (Vec::new(), Vec::new());
        for _ in 0..random.usize(..6) {
            let chunk: Vec<u8> = (0..random.usize(1..40)).map(|_| random.u8(..)).collect();
            crate::chunk_head(&mut body, chunk.len());
            body.extend_from_slice(&chunk);
            body.extend_from_slice(crate::CHUNK_END);
            data.extend_from_slice(&chunk);
        }
        body.extend_from_slice(crate::LAST_CHUNK);
        assert_eq!(decode_all_ways(&body), Ok((data, Some(0))));
    }
}

#[test]
fn keeps_trailer_fields_when_asked_to_wherever_the_input_is_cut() {
    let body = b"3\r\nabc\r\n0\r\nA: b\r\nC:d\r\n\r\nrest";
    for cut in 0..body.len() {
        let mut decoder = ChunkDecoder::default();
        decoder.keep_trailers();
        let mut last = Chunk::More;
        for part in [&body[..cut], &body[cut..]] {
            let mut position = 0;
            while position < part.len() && last != Chunk::End {
                last = decoder.next(part, &mut position).unwrap();
            }
        }
        assert_eq!(last, Chunk::End, "{cut}");
        assert_eq!(decoder.take_trailers(), b"A: b\r\nC:d\r\n", "{cut}");
    }
}
