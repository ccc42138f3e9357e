//! HTTP/1 written.
//!
//! None of these checks what it is given: names and values come from a parsed head, where they were checked, or
//! from this program.

/// What follows the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
/// What ends a chunked body without trailer fields.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// What ends the data of a chunked body. Trailer fields may follow, and then an empty line.
pub const LAST_CHUNK_HEAD: &[u8] = b"0\r\n";

/// Appends the line that begins a chunk of `len` bytes: `1a` CRLF. [`CHUNK_END`] goes after the data. With a
/// `len` of 0 it would be the end of the body: use [`LAST_CHUNK`] for that.
pub fn chunk_head(out: &mut Vec<u8>, len: usize) {
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(len >> (digit * 4)) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the field line `name: value`.
#[inline]
pub fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends the field line `name: value` for a number.
#[inline]
pub fn number_field(out: &mut Vec<u8>, name: &[u8], value: u64) {
    field(out, name, itoa::Buffer::new().format(value).as_bytes());
}

/// Appends the status line, in HTTP/1.1 whatever the application spoke (RFC 9112 2.3). An empty `reason` becomes
/// the usual one.
#[inline]
pub fn status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(if reason.is_empty() { self::reason(status).as_bytes() } else { reason });
    out.extend_from_slice(b"\r\n");
}

/// The usual reason phrase of `status` (the registry of RFC 9110 16.2.1); empty for one that has none.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Chunk, ChunkDecoder};

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"x".to_vec();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn writes_sizes_in_hexadecimal() {
        for len in [0, 1, 9, 10, 15, 16, 26, 255, 256, 4096, 65535, 1 << 20, usize::MAX] {
            assert_eq!(written(|out| chunk_head(out, len)), format!("x{len:x}\r\n"));
        }
    }

    #[test]
    fn writes_chunks_that_the_decoder_reads_back() {
        let body = [b'b'; 300];
        let mut out = Vec::new();
        chunk_head(&mut out, body.len());
        out.extend_from_slice(&body);
        out.extend_from_slice(CHUNK_END);
        out.extend_from_slice(LAST_CHUNK);
        let (mut decoder, mut pos) = (ChunkDecoder::default(), 0);
        assert_eq!(decoder.next(&out, &mut pos), Ok(Chunk::Data(5..305)));
        assert_eq!(decoder.next(&out, &mut pos), Ok(Chunk::End));
        assert_eq!(pos, out.len());
    }

    #[test]
    fn writes_fields() {
        assert_eq!(written(|out| field(out, b"A-b", b"c d")), "xA-b: c d\r\n");
        assert_eq!(written(|out| number_field(out, b"N", u64::MAX)), "xN: 18446744073709551615\r\n");
    }

    #[test]
    fn writes_the_status_line_with_the_reason_given_or_the_usual_one() {
        assert_eq!(written(|out| status_line(out, 200, b"Fine")), "xHTTP/1.1 200 Fine\r\n");
        assert_eq!(written(|out| status_line(out, 503, b"")), "xHTTP/1.1 503 Service Unavailable\r\n");
        assert_eq!(written(|out| status_line(out, 999, b"")), "xHTTP/1.1 999 \r\n");
    }
}
