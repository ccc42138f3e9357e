//! Host and port, as they stand in Host and in an absolute target.

use crate::bytes::{HOST, class, decimal};
use std::net::Ipv6Addr;

/// Whether `text` is a host with an optional port (RFC 3986 3.2.2, 3.2.3): a registered name, an IPv4 address or
/// an IPv6 address in brackets; then nothing, or a colon and a port of 0 to 65535 or none. No user, no comma.
pub(crate) fn is_valid(text: &[u8]) -> bool {
    if let Some(inner) = text.strip_prefix(b"[") {
        let Some(close) = memchr::memchr(b']', inner) else { return false };
        let (address, rest) = inner.split_at(close);
        return std::str::from_utf8(address).is_ok_and(|a| a.parse::<Ipv6Addr>().is_ok())
            && is_port(&rest[1..]);
    }
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        if class(byte) & HOST != 0 {
            at += 1;
        } else if byte == b'%' {
            if !matches!(text.get(at + 1..at + 3), Some(hex) if hex.iter().all(u8::is_ascii_hexdigit)) {
                return false;
            }
            at += 3;
        } else {
            break;
        }
    }
    at > 0 && is_port(&text[at..])
}

/// Whether `text` is what may follow a host: nothing, or a colon and a port.
fn is_port(text: &[u8]) -> bool {
    match text {
        [] | [b':'] => true,
        [b':', digits @ ..] => decimal(digits).is_ok_and(|port| port <= 65535),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_names_addresses_and_ports() {
        for good in [
            "a",
            "example.com",
            "EXAMPLE.com.",
            "my_host",
            "a:80",
            "a:",
            "a:0",
            "a:65535",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:443",
            "[2001:db8::1.2.3.4]",
            "xn--bcher-kva.example",
            "a%20b",
        ] {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
    }

    #[test]
    fn refuses_whatever_else() {
        for bad in [
            "",
            ":80",
            "a,b",
            "a b",
            " a",
            "u@a",
            "u:p@a",
            "a/p",
            "a?q",
            "a#f",
            "a\\b",
            "a:80:80",
            "a:65536",
            "a:99999",
            "a:x",
            "a:-1",
            "a:+1",
            "a:8 0",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]:x",
            "[a]",
            "[]",
            "[::1%25e]",
            "[fe80::1%eth0]",
            "[v1.x]",
            "a%",
            "a%2",
            "a%zz",
            "a\0.b",
            "a\t",
            "a\u{a0}",
            "a]",
            "http://a",
            "\"a\"",
            "<a>",
            "a:18446744073709551617",
        ] {
            assert!(!is_valid(bad.as_bytes()), "{bad:?}");
        }
        assert!(!is_valid(b"a\xa0"));
        assert!(!is_valid(b"[\xff]"));
    }
}
