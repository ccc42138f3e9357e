//! The PROXY protocol (HAProxy's `proxy-protocol.txt`, versions 1 and 2): what a proxy in front says about the client
//! before the client's first byte.
//!
//! Bytes in, meaning out: no socket, no allocation. Whoever calls this has made sure that the peer may say such things.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::{FromStr, Split};

/// Longest header of version 1, with its CRLF (2.1).
const MOST_LINE: usize = 107;
/// Longest header of version 2 that is taken. Its own length field goes to 64 KiB, for which nobody has a use: the
/// largest part is the common name of a client's certificate.
const MOST_BINARY: usize = 4096;

const LINE_START: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length (2.2).
const FIXED: usize = 16;

const TYPE_CRC32C: u8 = 0x03;
const TYPE_SSL: u8 = 0x20;
/// The bit of `PP2_TYPE_SSL` that says that the client came over TLS.
const CLIENT_SSL: u8 = 0x01;

/// What a whole header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Bytes that it takes; what follows is the client's.
    pub len: usize,
    /// The client's address. `None` when the connection is the proxy's own (`LOCAL`, a health check) or of a kind
    /// without such an address (`UNKNOWN`, `UNSPEC`, Unix sockets): then the connection's own address counts.
    pub source: Option<IpAddr>,
    /// Whether the client speaks TLS with the proxy.
    pub is_tls: bool,
}

/// Why bytes cannot become a header, whatever follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyHeaderError {
    /// They begin with something else.
    #[error("the connection does not begin with a PROXY protocol header")]
    Missing,
    /// Longer than 107 bytes (version 1) or 4 KiB (version 2).
    #[error("the PROXY protocol header is too long")]
    TooLong,
    /// Version 1: a word is missing, too much, or no protocol, address or port.
    #[error("the PROXY protocol line is malformed")]
    Line,
    /// Version 2: neither version 2, `LOCAL` nor `PROXY`.
    #[error("the PROXY protocol header has an unknown version or command")]
    Command,
    /// Version 2: an address family or transport that does not exist, or too few bytes for its addresses.
    #[error("the PROXY protocol header has an unknown address family, or too few bytes for its addresses")]
    Address,
    /// Version 2: an extension that ends outside of the header, or comes twice.
    #[error("an extension of the PROXY protocol header is malformed")]
    Extension,
    /// Version 2: the checksum that it carries is another.
    #[error("the PROXY protocol header does not have the checksum that it claims")]
    Checksum,
}

impl ProxyHeader {
    /// Reads the header at the start of `bytes`; `None` when more bytes are needed to tell. What is no header, or a
    /// malformed one, is an error as soon as the bytes show it, and never taken for a request.
    ///
    /// # Errors
    /// [`ProxyHeaderError`]: no further bytes will help.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, ProxyHeaderError> {
        match bytes.first() {
            None => Ok(None),
            Some(b'P') => parse_line(bytes),
            Some(b'\r') => parse_binary(bytes),
            Some(_) => Err(ProxyHeaderError::Missing),
        }
    }
}

/// Whether `bytes` begin with `start`, as far as they go.
fn begin_with(bytes: &[u8], start: &[u8]) -> bool {
    let len = bytes.len().min(start.len());
    bytes.get(..len) == start.get(..len)
}

/// Version 1: `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n`
fn parse_line(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    if !begin_with(bytes, LINE_START) {
        return Err(ProxyHeaderError::Missing);
    }
    let bytes = bytes.get(..MOST_LINE).unwrap_or(bytes);
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
        return if bytes.len() < MOST_LINE { Ok(None) } else { Err(ProxyHeaderError::TooLong) };
    };
    let line = bytes.get(LINE_START.len()..end).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.and_then(|line| str::from_utf8(line).ok()).ok_or(ProxyHeaderError::Line)?;
    let mut words = line.split(' ');
    let source = match words.next() {
        Some("TCP4") => Some(IpAddr::V4(source::<Ipv4Addr>(words)?)),
        Some("TCP6") => Some(IpAddr::V6(source::<Ipv6Addr>(words)?)),
        // What else stands there is to be ignored (2.1); a bare CR could end the line for somebody else.
        Some("UNKNOWN") if !line.contains('\r') => None,
        _ => return Err(ProxyHeaderError::Line),
    };
    Ok(Some(ProxyHeader { len: end + 1, source, is_tls: false }))
}

/// The source among the two addresses and two ports that `words` have to be.
fn source<A: FromStr>(mut words: Split<'_, char>) -> Result<A, ProxyHeaderError> {
    let mut address = || words.next()?.parse::<A>().ok();
    let (Some(source), Some(_destination)) = (address(), address()) else {
        return Err(ProxyHeaderError::Line);
    };
    let ports = [words.next(), words.next()];
    if ports.iter().all(|port| port.is_some_and(is_port)) && words.next().is_none() {
        Ok(source)
    } else {
        Err(ProxyHeaderError::Line)
    }
}

/// Whether it is a number from 0 to 65535 without a sign or leading zeros (2.1).
fn is_port(word: &str) -> bool {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    is_plain && word.parse::<u16>().is_ok()
}

/// Version 2 (2.2).
fn parse_binary(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    if !begin_with(bytes, SIGNATURE) {
        return Err(ProxyHeaderError::Missing);
    }
    let fixed = bytes.get(SIGNATURE.len()..FIXED);
    let Some(&[command, family, high, low]) = fixed else { return Ok(None) };
    let len = FIXED + usize::from(u16::from_be_bytes([high, low]));
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyHeaderError::Command),
    };
    if len > MOST_BINARY {
        return Err(ProxyHeaderError::TooLong);
    }
    let Some(whole) = bytes.get(..len) else { return Ok(None) };
    let own = ProxyHeader { len, source: None, is_tls: false };
    // The family and all that follows have no meaning where the proxy speaks for itself, or knows nothing.
    if is_local || family == 0x00 {
        return Ok(Some(own));
    }
    let rest = whole.get(FIXED..).unwrap_or_default();
    // Each over a stream or in datagrams: HTTP/3 ends at a proxy that speaks TCP with us.
    let (source, extensions) = match family {
        0x11 | 0x12 => match rest.split_first_chunk::<4>() {
            Some((source, rest)) => (Some(IpAddr::from(*source)), rest.get(8..)),
            None => (None, None),
        },
        0x21 | 0x22 => match rest.split_first_chunk::<16>() {
            Some((source, rest)) => (Some(IpAddr::from(*source)), rest.get(20..)),
            None => (None, None),
        },
        0x31 | 0x32 => (None, rest.get(216..)),
        _ => (None, None),
    };
    let is_tls = parse_extensions(whole, extensions.ok_or(ProxyHeaderError::Address)?)?;
    Ok(Some(ProxyHeader { len, source, is_tls }))
}

/// Goes through the type-length-value triples (2.2) at the end of `whole`; whether they say that the client uses TLS.
fn parse_extensions(whole: &[u8], mut rest: &[u8]) -> Result<bool, ProxyHeaderError> {
    let mut is_tls = None;
    while !rest.is_empty() {
        let (kind, value, after) = split_extension(rest)?;
        match kind {
            TYPE_SSL => {
                // One byte of bits, four of what the verification gave, then triples again.
                let (&bits, mut inner) = value
                    .split_first_chunk::<5>()
                    .and_then(|(fixed, inner)| Some((fixed.first()?, inner)))
                    .ok_or(ProxyHeaderError::Extension)?;
                while !inner.is_empty() {
                    inner = split_extension(inner)?.2;
                }
                if is_tls.replace(bits & CLIENT_SSL != 0).is_some() {
                    return Err(ProxyHeaderError::Extension);
                }
            }
            TYPE_CRC32C => {
                let claimed = value.try_into().map(u32::from_be_bytes);
                let claimed = claimed.map_err(|_| ProxyHeaderError::Extension)?;
                let place = whole.len() - after.len() - value.len();
                if crc32c(whole, place) != claimed {
                    return Err(ProxyHeaderError::Checksum);
                }
            }
            _ => {}
        }
        rest = after;
    }
    Ok(is_tls.unwrap_or(false))
}

/// Type and value of the first triple, and what follows it.
fn split_extension(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), ProxyHeaderError> {
    let (&[kind, high, low], rest) = bytes.split_first_chunk().ok_or(ProxyHeaderError::Extension)?;
    let len = usize::from(u16::from_be_bytes([high, low]));
    let (value, after) = rest.split_at_checked(len).ok_or(ProxyHeaderError::Extension)?;
    Ok((kind, value, after))
}

/// CRC-32C (RFC 9260 appendix A) of `bytes`, with zeros for the four at `place`, where it stands itself. Without a
/// table: once per connection, and a few dozen bytes.
fn crc32c(bytes: &[u8], place: usize) -> u32 {
    let step = |crc: u32, byte: u8| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg()))
    };
    let own = place..place + 4;
    !bytes.iter().enumerate().fold(!0, |crc, (at, &byte)| step(crc, if own.contains(&at) { 0 } else { byte }))
}

#[cfg(test)]
mod tests;
