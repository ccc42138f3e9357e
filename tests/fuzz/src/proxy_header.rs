//! The PROXY protocol: a header that says one thing, however it comes in, and never too late.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::LazyLock;

use vestibule_server::{ProxyHeader, ProxyHeaderError};

use super::pieces::Pieces;

/// The longest line of version 1, and the longest header of version 2 that is taken.
const MOST: [usize; 2] = [107, 4096];
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

static PIECES: LazyLock<Pieces> = LazyLock::new(|| Pieces::of(include_str!("../proxy_header.dict")));

/// Checks `data` as the beginning of a connection, the same behind the start of a line and of a version 2 header, and as
/// what a header of version 2 is made of.
pub fn check(data: &[u8]) {
    check_text(data);
    check_text(&[b"PROXY ", data].concat());
    if let [command, family, rest @ ..] = data {
        let len = (rest.len() as u16).to_be_bytes();
        check_text(&[SIGNATURE, &[*command, *family], &len, rest].concat());
    }
    let expanded = PIECES.expand(data);
    if expanded.len() != data.len() {
        check_text(&expanded);
    }
    comes_back_from_a_header(data);
}

fn check_text(text: &[u8]) {
    let shown = || text.escape_ascii().to_string();
    let whole = ProxyHeader::parse(text);
    // Each longer beginning is first waited for, then a header or refused, and stays what it became.
    let mut last = Ok(None);
    for end in 0..=text.len() {
        let parsed = ProxyHeader::parse(&text[..end]);
        match (last, parsed) {
            (Ok(None), _) | (Err(_), Err(_)) => {}
            _ => assert_eq!(last, parsed, "up to {end}: {}", shown()),
        }
        match parsed {
            Ok(None) => {
                let most = MOST[usize::from(!text.starts_with(b"P"))];
                assert!(end < most, "{end} bytes are waited behind: {}", shown());
            }
            Ok(Some(header)) if last == Ok(None) => assert_eq!(header.len, end, "{}", shown()),
            _ => {}
        }
        last = parsed;
    }
    assert_eq!(last.is_err(), whole.is_err());
    if let Ok(Some(header)) = whole {
        says_what_is_written(&header, &text[..header.len]);
    }
}

/// What was parsed is what the simplest reader finds.
fn says_what_is_written(header: &ProxyHeader, text: &[u8]) {
    let shown = text.escape_ascii().to_string();
    if let Some(rest) = text.strip_prefix(SIGNATURE) {
        assert!((16..=MOST[1]).contains(&text.len()), "{shown}");
        assert_eq!(text.len(), 16 + usize::from(rest[2]) * 256 + usize::from(rest[3]), "{shown}");
        let source = match (rest[0], rest[1]) {
            (0x21, 0x11 | 0x12) => Some(IpAddr::from(<[u8; 4]>::try_from(&rest[4..8]).expect("four bytes"))),
            (0x21, 0x21 | 0x22) => {
                Some(IpAddr::from(<[u8; 16]>::try_from(&rest[4..20]).expect("sixteen bytes")))
            }
            (0x21, 0x00 | 0x31 | 0x32) | (0x20, _) => None,
            other => panic!("{other:?} was taken: {shown}"),
        };
        assert_eq!(header.source, source, "{shown}");
        return;
    }
    assert!(text.len() <= MOST[0] && !header.is_tls, "{shown}");
    let line = text.strip_suffix(b"\r\n").unwrap_or_else(|| panic!("no end of line: {shown}"));
    assert!(!line.iter().any(|byte| matches!(byte, b'\r' | b'\n')), "{shown}");
    let words: Vec<_> = line.split(|byte| *byte == b' ').collect();
    assert_eq!(words[0], b"PROXY", "{shown}");
    match header.source {
        None => assert_eq!(words[1], b"UNKNOWN", "{shown}"),
        Some(source) => {
            assert_eq!(
                (words.len(), words[1]),
                (6, if source.is_ipv4() { &b"TCP4"[..] } else { b"TCP6" }),
                "{shown}"
            );
            let address =
                |word: &[u8]| str::from_utf8(word).ok().and_then(|word| word.parse::<IpAddr>().ok());
            assert_eq!(address(words[2]), Some(source), "{shown}");
            assert_eq!(address(words[3]).map(|other| other.is_ipv4()), Some(source.is_ipv4()), "{shown}");
            for port in &words[4..] {
                let number = str::from_utf8(port).ok().and_then(|port| port.parse::<u16>().ok());
                assert_eq!(
                    number.map(|number| number.to_string().into_bytes()).as_deref(),
                    Some(*port),
                    "{shown}"
                );
            }
        }
    }
}

/// Writes both versions for an address taken from `data`, version 2 with `data` as an extension and a checksum.
fn comes_back_from_a_header(data: &[u8]) {
    let Some(address) = data.first_chunk::<16>() else { return };
    let port = u16::from_be_bytes([address[0], address[1]]);
    let v6 = Ipv6Addr::from(*address);
    let source = if port.is_multiple_of(2) {
        IpAddr::V6(v6)
    } else {
        IpAddr::from([address[2], address[3], address[4], address[5]])
    };
    let kind = if source.is_ipv4() { "TCP4" } else { "TCP6" };

    let line = format!("PROXY {kind} {source} {source} {port} 443\r\n").into_bytes();
    let len = line.len();
    if len <= MOST[0] {
        let header = ProxyHeader { len, source: Some(source), is_tls: false };
        assert_eq!(ProxyHeader::parse(&[&line, data].concat()), Ok(Some(header)), "{}", line.escape_ascii());
    }

    let is_tls = data.len().is_multiple_of(2);
    let mut rest = match source {
        IpAddr::V4(source) => [source.octets(), source.octets()].concat(),
        IpAddr::V6(source) => [source.octets(), source.octets()].concat(),
    };
    rest.extend_from_slice(&[port.to_be_bytes(), port.to_be_bytes()].concat());
    extension(&mut rest, 0xe0, data);
    extension(&mut rest, 0x20, &[u8::from(is_tls), 0, 0, 0, 0, 0x21, 0, 3, b'1', b'.', b'3']);
    extension(&mut rest, 0x03, &[0; 4]);
    let family = if source.is_ipv4() { 0x11 } else { 0x21 };
    let mut header = [SIGNATURE, &[0x21, family], &(rest.len() as u16).to_be_bytes(), &rest].concat();
    let len = header.len();
    let sum = crc32c(&header);
    header[len - 4..].copy_from_slice(&sum.to_be_bytes());
    header.extend_from_slice(data);
    let expected = ProxyHeader { len, source: Some(source), is_tls };
    let expected = if len <= MOST[1] { Ok(Some(expected)) } else { Err(ProxyHeaderError::TooLong) };
    assert_eq!(ProxyHeader::parse(&header), expected, "{}", header.escape_ascii());
    if len <= MOST[1] {
        // Another address than the one that was summed up.
        header[16 + usize::from(address[15] % 12)] ^= 1 << (address[14] % 8);
        assert_eq!(ProxyHeader::parse(&header), Err(ProxyHeaderError::Checksum), "{}", header.escape_ascii());
    }
}

fn extension(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    out.push(kind);
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
}

/// CRC-32C (RFC 9260 appendix A), by a table: another way than the parser's.
fn crc32c(bytes: &[u8]) -> u32 {
    static TABLE: LazyLock<[u32; 256]> = LazyLock::new(|| {
        std::array::from_fn(|byte| {
            let shift = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
            (0..8).fold(byte as u32, shift)
        })
    });
    let step = |crc: u32, byte: &u8| (crc >> 8) ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize];
    !bytes.iter().fold(!0, step)
}
