//! Which of several codings a client takes (RFC 9110 12.5.3).

use vestibule_config::Coding;

/// The one of `offered` that the client wants most; among equals the first. `None` where it should get the file as it is.
pub(crate) fn choose(accept_encoding: &[u8], offered: impl Iterator<Item = Coding>) -> Option<Coding> {
    let mut best: Option<(u16, Coding)> = None;
    for coding in offered {
        let weight = weight(accept_encoding, coding.as_str());
        if weight > best.map_or(0, |(weight, _)| weight) {
            best = Some((weight, coding));
        }
    }
    best.filter(|&(weight, _)| weight >= identity(accept_encoding)).map(|(_, coding)| coding)
}

/// How much a client wants the file as it is: where it says nothing of that, less than anything that it names.
fn identity(accept_encoding: &[u8]) -> u16 {
    find(accept_encoding, "identity").unwrap_or(1)
}

fn weight(accept_encoding: &[u8], coding: &str) -> u16 {
    find(accept_encoding, coding)
        .or_else(|| find(accept_encoding, if coding == "gzip" { "x-gzip" } else { coding }))
        .or_else(|| find(accept_encoding, "*"))
        .unwrap_or(0)
}

/// The weight of `coding` in thousandths, where it is named.
fn find(accept_encoding: &[u8], coding: &str) -> Option<u16> {
    accept_encoding.split(|&byte| byte == b',').find_map(|member| {
        let mut parts = member.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        if !parts.next()?.eq_ignore_ascii_case(coding.as_bytes()) {
            return None;
        }
        let weight = parts.find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q=")));
        // One that is none is as good as none at all.
        Some(weight.map_or(1000, |weight| thousandths(weight).unwrap_or(0)))
    })
}

/// `0.5` as 500 (RFC 9110 12.4.2).
fn thousandths(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = match text {
        [whole, b'.', fraction @ ..] => (whole, fraction),
        [whole] => (whole, &b""[..]),
        _ => return None,
    };
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| u16::from(fraction.get(at).map_or(0, |digit| digit - b'0'));
    let behind = digit(0) * 100 + digit(1) * 10 + digit(2);
    match whole {
        b'0' => Some(behind),
        b'1' if behind == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_the_client_wants_most_and_among_equals_the_first() {
        use Coding::{Brotli, Gzip, Zstd};
        let all = [Brotli, Zstd, Gzip];
        for (accept, chosen) in [
            ("gzip, deflate, br, zstd", Some(Brotli)),
            ("gzip", Some(Gzip)),
            ("GZIP", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("", None),
            ("identity", None),
            ("deflate", None),
            ("*", Some(Brotli)),
            ("br;q=0, *", Some(Zstd)),
            ("br;q=0.5, gzip;q=0.9", Some(Gzip)),
            ("br ; q=0.001", Some(Brotli)),
            ("br;q=0", None),
            ("br;q=0.0001, gzip;q=2, zstd;q=x", None),
            ("identity, br;q=0.5", None),
            ("identity;q=0.5, br;q=0.5", Some(Brotli)),
            ("identity;q=0, br", Some(Brotli)),
        ] {
            assert_eq!(choose(accept.as_bytes(), all.into_iter()), chosen, "{accept}");
        }
        assert_eq!(choose(b"br, gzip", [Gzip].into_iter()), Some(Gzip));
        assert_eq!(choose(b"br", [].into_iter()), None);
    }
}
