use super::*;

fn whole(bytes: &[u8]) -> ProxyHeader {
    ProxyHeader::parse(bytes).expect("a good header").expect("a whole header")
}

fn error(bytes: &[u8]) -> ProxyHeaderError {
    ProxyHeader::parse(bytes).expect_err("a bad header")
}

/// A header of version 2 with this command, family and rest.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

fn extension(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

const INET: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb];

fn inet6() -> Vec<u8> {
    let source: Ipv6Addr = "2001:db8::1".parse().unwrap();
    [&source.octets()[..], &[0; 16], &[0, 1, 0, 2]].concat()
}

/// Version 2 over IPv4 with these extensions.
fn extended(extensions: &[u8]) -> Vec<u8> {
    binary(0x21, 0x11, &[&INET[..], extensions].concat())
}

#[test]
fn reads_lines() {
    let cases = [
        ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", Some("192.0.2.1")),
        ("PROXY TCP4 255.255.255.255 0.0.0.0 0 65535\r\n", Some("255.255.255.255")),
        ("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", Some("2001:db8::1")),
        (
            "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            Some("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::1 80 443\r\n", Some("::ffff:192.0.2.1")),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None),
    ];
    for (text, source) in cases {
        let expected = ProxyHeader {
            len: text.len(),
            source: source.map(|source| source.parse().unwrap()),
            is_tls: false,
        };
        assert_eq!(whole(text.as_bytes()), expected, "{text}");
        // What follows is not its own.
        assert_eq!(whole(format!("{text}GET / HTTP/1.1\r\n\r\n").as_bytes()), expected, "{text}");
    }
}

#[test]
fn refuses_bad_lines() {
    let cases = [
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1\r\n",
        "PROXY TCP4\r\n",
        "PROXY \r\n",
        "PROXY  TCP4 192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY TCP4\t192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY TCP4 192.0.2.1\r198.51.100.1 1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY TCP5 192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100 1 2\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n",
        "PROXY TCP4 192.0.02.1 198.51.100.1 1 2\r\n",
        "PROXY TCP4 0xc0.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY TCP6 2001:db8::1%eth0 ::1 1 2\r\n",
        "PROXY TCP6 [2001:db8::1] ::1 1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 -1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 00 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 1 0x2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 1 \r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY UNKNOWN a\rb\r\n",
        "PROXY UNKNOWN \u{e9}\n",
    ];
    for text in cases {
        assert_eq!(error(text.as_bytes()), ProxyHeaderError::Line, "{text:?}");
    }
    assert_eq!(error(b"PROXY UNKNOWN \xff\r\n"), ProxyHeaderError::Line);
}

#[test]
fn refuses_what_is_no_header_at_its_first_byte_that_shows_it() {
    for text in ["GET / HTTP/1.1", "G", "\n", "\0", " PROXY", "proxy", "PUT / HTTP/1.1", "PROXYTCP4", "\r\nG"]
    {
        assert_eq!(error(text.as_bytes()), ProxyHeaderError::Missing, "{text:?}");
    }
    let mut signature = SIGNATURE.to_vec();
    signature[11] = b'\r';
    assert_eq!(error(&signature), ProxyHeaderError::Missing);
}

#[test]
fn bounds_a_line_at_107_bytes() {
    let mut line = b"PROXY UNKNOWN ".to_vec();
    line.resize(MOST_LINE - 2, b'x');
    assert_eq!(ProxyHeader::parse(&line), Ok(None));
    assert_eq!(whole(&[&line[..], b"\r\n"].concat()).len, MOST_LINE);
    assert_eq!(error(&[&line[..], b"x\r\n"].concat()), ProxyHeaderError::TooLong);
    line.resize(MOST_LINE, b'x');
    assert_eq!(error(&line), ProxyHeaderError::TooLong);
}

#[test]
fn reads_binary_headers() {
    let v4: IpAddr = "192.0.2.1".parse().unwrap();
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    let cases = [
        (binary(0x21, 0x11, &INET), Some(v4)),
        (binary(0x21, 0x12, &INET), Some(v4)),
        (binary(0x21, 0x21, &inet6()), Some(v6)),
        (binary(0x21, 0x22, &inet6()), Some(v6)),
        (binary(0x21, 0x31, &[b'/'; 216]), None),
        (binary(0x21, 0x32, &[b'/'; 216]), None),
        (binary(0x21, 0x00, &[]), None),
        (binary(0x21, 0x00, b"anything at all"), None),
        (binary(0x20, 0x00, &[]), None),
        // The family of what is local means nothing.
        (binary(0x20, 0x11, &INET), None),
        (binary(0x20, 0x11, &[]), None),
        (binary(0x20, 0xff, b"x"), None),
    ];
    for (bytes, source) in cases {
        let expected = ProxyHeader { len: bytes.len(), source, is_tls: false };
        assert_eq!(whole(&bytes), expected, "{bytes:x?}");
        assert_eq!(whole(&[&bytes[..], SIGNATURE].concat()), expected, "{bytes:x?}");
    }
}

#[test]
fn refuses_bad_binary_headers() {
    use ProxyHeaderError::{Address, Command, TooLong};
    for command in (0..=u8::MAX).filter(|command| !matches!(command, 0x20 | 0x21)) {
        assert_eq!(error(&binary(command, 0x11, &INET)), Command, "{command:x}");
    }
    let known = [0x00, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32];
    for family in (0..=u8::MAX).filter(|family| !known.contains(family)) {
        assert_eq!(error(&binary(0x21, family, &[0; 300])), Address, "{family:x}");
    }
    for (family, length) in [(0x11, 12), (0x12, 12), (0x21, 36), (0x22, 36), (0x31, 216), (0x32, 216)] {
        for short in [0, 1, length - 1] {
            assert_eq!(error(&binary(0x21, family, &vec![0; short])), Address, "{family:x} {short}");
        }
    }
    // Refused by what it announces, before it is there.
    let mut long = binary(0x21, 0x00, &[]);
    long[14..16].copy_from_slice(&4081_u16.to_be_bytes());
    assert_eq!(error(&long), TooLong);
    assert_eq!(whole(&binary(0x21, 0x00, &[0; 4080])).len, MOST_BINARY);
}

#[test]
fn knows_from_the_extension_whether_the_client_uses_tls() {
    let version = extension(0x21, b"TLSv1.3");
    let tls = |bits: u8, inner: &[u8]| extension(TYPE_SSL, &[&[bits, 0, 0, 0, 0][..], inner].concat());
    assert!(whole(&extended(&tls(0x01, &version))).is_tls);
    assert!(whole(&extended(&tls(0x07, &[]))).is_tls);
    assert!(whole(&extended(&[extension(0x01, b"h2"), tls(0x01, &version)].concat())).is_tls);
    // A certificate was shown once, but not on this connection, and none of it says TLS.
    assert!(!whole(&extended(&tls(0x06, &version))).is_tls);
    assert!(!whole(&extended(&extension(0x01, b"h2"))).is_tls);
    assert!(whole(&binary(0x21, 0x21, &[inet6(), tls(0x01, &[])].concat())).is_tls);
    assert!(whole(&binary(0x21, 0x31, &[vec![0; 216], tls(0x01, &[])].concat())).is_tls);
    assert!(!whole(&binary(0x20, 0x11, &[&INET[..], &tls(0x01, &[])].concat())).is_tls);
}

#[test]
fn refuses_bad_extensions() {
    let tls = extension(TYPE_SSL, &[1, 0, 0, 0, 0]);
    let cases = [
        vec![0x04],
        vec![0x04, 0],
        vec![0x04, 0, 1],
        vec![0x04, 0xff, 0xff, 0],
        extension(TYPE_SSL, &[]),
        extension(TYPE_SSL, &[1, 0, 0, 0]),
        extension(TYPE_SSL, &[1, 0, 0, 0, 0, 0x21]),
        extension(TYPE_SSL, &[1, 0, 0, 0, 0, 0x21, 0, 9, b'T']),
        [&tls[..], &tls].concat(),
        [&tls[..], &[0x04]].concat(),
        extension(TYPE_CRC32C, &[0; 3]),
        extension(TYPE_CRC32C, &[0; 5]),
    ];
    for bytes in cases {
        assert_eq!(error(&extended(&bytes)), ProxyHeaderError::Extension, "{bytes:x?}");
    }
}

#[test]
fn checks_the_checksum_where_there_is_one() {
    // The check value of CRC-32C's catalogue entry; `place` lies behind the bytes.
    assert_eq!(crc32c(b"123456789", 9), 0xE306_9283);
    let after = extension(0x04, b"padding");
    let mut bytes = extended(&[extension(TYPE_CRC32C, &[0; 4]), after.clone()].concat());
    let place = bytes.len() - after.len() - 4;
    let sum = crc32c(&bytes, place);
    bytes[place..place + 4].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(whole(&bytes).len, bytes.len());
    // The addresses, the sum itself, and what stands behind it.
    for at in (FIXED..FIXED + INET.len()).chain(place..place + 4).chain(bytes.len() - 7..bytes.len()) {
        let mut bad = bytes.clone();
        bad[at] ^= 0x10;
        assert_eq!(error(&bad), ProxyHeaderError::Checksum, "byte {at}");
    }
}

#[test]
fn asks_for_more_until_the_last_byte() {
    let tls = extension(TYPE_SSL, &[1, 0, 0, 0, 0]);
    let headers = [
        b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(),
        b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        binary(0x20, 0x00, &[]),
        extended(&tls),
        binary(0x21, 0x31, &[0; 216]),
    ];
    for header in headers {
        for len in 0..header.len() {
            assert_eq!(ProxyHeader::parse(&header[..len]), Ok(None), "{:?}", &header[..len]);
        }
        assert_eq!(whole(&header).len, header.len());
    }
}

/// What further bytes bring never changes what was said before.
#[test]
fn is_consistent_over_every_prefix_of_changed_headers() {
    let tls = extension(TYPE_SSL, &[1, 0, 0, 0, 0, 0x21, 0, 1, b'T']);
    let seeds = [
        b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nGET".to_vec(),
        [extended(&tls), b"GET".to_vec()].concat(),
    ];
    for seed in seeds {
        for at in 0..seed.len() {
            for byte in [0, b' ', b'\r', b'\n', 0x20, 0x7f, 0xff, seed[at] ^ 1] {
                let mut bytes = seed.clone();
                bytes[at] = byte;
                let last = ProxyHeader::parse(&bytes);
                for len in 0..bytes.len() {
                    match ProxyHeader::parse(&bytes[..len]) {
                        Ok(None) => {}
                        verdict => assert_eq!(verdict, last, "{:?}", &bytes[..len]),
                    }
                }
            }
        }
    }
}
