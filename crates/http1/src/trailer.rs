//! Trailer fields on their way on (RFC 9110 6.5).

use crate::Name;
use crate::bytes::trim;

/// Writes those of `lines` (`Name: value` CRLF, as a chunked body ended with them) to `out` that may stand in a trailer.
///
/// Left out is what a recipient must know before the body (RFC 9110 6.5.1): framing, routing, what changes how the
/// request or the answer is treated, authentication, cookies; what belongs to one connection; and every name with an
/// underscore.
pub fn write_trailers(out: &mut Vec<u8>, lines: &[u8]) {
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        if may_trail(name) {
            crate::field(out, name, trim(value.get(1..).unwrap_or_default().trim_ascii_end()));
        }
    }
}

fn may_trail(name: &[u8]) -> bool {
    const NEVER: &[&[u8]] = &[
        b"age",
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-range",
        b"cookie",
        b"expires",
        b"location",
        b"pragma",
        b"range",
        b"set-cookie",
        b"strict-transport-security",
        b"vary",
        b"warning",
        b"www-authenticate",
    ];
    let begins =
        |prefix: &[u8]| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    Name::classify(name) == Name::Other
        && !name.contains(&b'_')
        && !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never))
        && !["if-", "access-control-", "x-accel-", "sec-", "proxy-"]
            .iter()
            .any(|prefix| begins(prefix.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_what_may_stand_behind_a_body_and_nothing_else() {
        let mut out = Vec::new();
        let lines = b"Server-Timing:  db;dur=53 \r\nContent-Length: 5\r\nX-Checksum:abc\r\nset-cookie: a=b\r\nTransfer-Encoding: chunked\r\n\
                      Host: a\r\nX_Y: 1\r\nIf-Match: 1\r\nEmpty:\r\n";
        write_trailers(&mut out, lines);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "Server-Timing: db;dur=53\r\nX-Checksum: abc\r\nEmpty: \r\n");
    }
}
