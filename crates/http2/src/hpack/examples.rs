//! The examples of RFC 7541, appendix C.

use super::{Decoder, HpackError, Outcome, encode_field, huffman, integer};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter(|digit| !digit.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// Decodes a block; gives its fields as lines `name: value`.
fn decode(decoder: &mut Decoder, hex: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let outcome = decoder.decode(&bytes(hex), usize::MAX, |name, value| {
        lines.push(format!("{}: {}", name.escape_ascii(), value.escape_ascii()));
    });
    assert_eq!(outcome, Ok(Outcome::Whole), "{hex}");
    lines
}

/// What the dynamic table has, newest first: decoded by its indices.
fn table(decoder: &mut Decoder) -> Vec<String> {
    let mut lines = Vec::new();
    for index in 62_u8..=126 {
        let before = decoder.table_size();
        match decoder.decode(&[0x80 | index], usize::MAX, |name, value| {
            lines.push(format!("{}: {}", name.escape_ascii(), value.escape_ascii()));
        }) {
            Ok(outcome) => assert_eq!(outcome, Outcome::Whole),
            Err(error) => {
                assert_eq!(error, HpackError::BeyondTable(u32::from(index)));
                break;
            }
        }
        assert_eq!(decoder.table_size(), before);
    }
    lines
}

struct Step<'a> {
    block: &'a str,
    fields: &'a [&'a str],
    table: &'a [&'a str],
    size: usize,
}

/// Decodes one block after the other with one decoder, and looks at its table after each.
fn follow(size: u32, steps: &[Step<'_>]) {
    let mut decoder = Decoder::new(size);
    for step in steps {
        assert_eq!(decode(&mut decoder, step.block), step.fields);
        assert_eq!(table(&mut decoder), step.table);
        assert_eq!(decoder.table_size(), step.size);
    }
}

#[test]
fn integers_are_those_of_c_1() {
    // C.1.1 to C.1.3: 10 and 1337 with a prefix of 5 bits, 42 with one of 8.
    for (value, prefix, hex) in [(10, 5, "0a"), (1337, 5, "1f9a0a"), (42, 8, "2a")] {
        let mut out = Vec::new();
        integer::write(&mut out, 0, prefix, value);
        assert_eq!(out, bytes(hex));
        let mut rest = &out[..];
        assert_eq!(integer::read(&mut rest, prefix), Ok(value as u32));
        assert!(rest.is_empty());
    }
}

#[test]
fn fields_are_those_of_c_2() {
    // C.2.1: a literal that is added, with a new name.
    follow(
        4096,
        &[Step {
            block: "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            fields: &["custom-key: custom-header"],
            table: &["custom-key: custom-header"],
            size: 55,
        }],
    );
    // C.2.2 not added, C.2.3 never to be added, C.2.4 indexed.
    for (block, field) in [
        ("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path"),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret"),
        ("82", ":method: GET"),
    ] {
        follow(4096, &[Step { block, fields: &[field], table: &[], size: 0 }]);
    }
}

const FIRST: &[&str] = &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
const SECOND: &[&str] =
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"];
const THIRD: &[&str] = &[
    ":method: GET",
    ":scheme: https",
    ":path: /index.html",
    ":authority: www.example.com",
    "custom-key: custom-value",
];
const FIRST_TABLE: &[&str] = &[":authority: www.example.com"];
const SECOND_TABLE: &[&str] = &["cache-control: no-cache", ":authority: www.example.com"];
const THIRD_TABLE: &[&str] =
    &["custom-key: custom-value", "cache-control: no-cache", ":authority: www.example.com"];

#[test]
fn requests_are_those_of_c_3() {
    follow(
        4096,
        &[
            Step {
                block: "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                fields: FIRST,
                table: FIRST_TABLE,
                size: 57,
            },
            Step {
                block: "8286 84be 5808 6e6f 2d63 6163 6865",
                fields: SECOND,
                table: SECOND_TABLE,
                size: 110,
            },
            Step {
                block: "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
                fields: THIRD,
                table: THIRD_TABLE,
                size: 164,
            },
        ],
    );
}

#[test]
fn huffman_coded_requests_are_those_of_c_4() {
    follow(
        4096,
        &[
            Step {
                block: "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
                fields: FIRST,
                table: FIRST_TABLE,
                size: 57,
            },
            Step { block: "8286 84be 5886 a8eb 1064 9cbf", fields: SECOND, table: SECOND_TABLE, size: 110 },
            Step {
                block: "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
                fields: THIRD,
                table: THIRD_TABLE,
                size: 164,
            },
        ],
    );
}

const DATE: &str = "date: Mon, 21 Oct 2013 20:13:21 GMT";
const LATER: &str = "date: Mon, 21 Oct 2013 20:13:22 GMT";
const LOCATION: &str = "location: https://www.example.com";
const COOKIE: &str = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
const MOVED: &[&str] = &[":status: 302", "cache-control: private", DATE, LOCATION];
const MOVED_TABLE: &[&str] = &[LOCATION, DATE, "cache-control: private", ":status: 302"];
const TEMPORARY: &[&str] = &[":status: 307", "cache-control: private", DATE, LOCATION];
const TEMPORARY_TABLE: &[&str] = &[":status: 307", LOCATION, DATE, "cache-control: private"];
const OK: &[&str] =
    &[":status: 200", "cache-control: private", LATER, LOCATION, "content-encoding: gzip", COOKIE];
const OK_TABLE: &[&str] = &[COOKIE, "content-encoding: gzip", LATER];

/// With room for 256 bytes only, so that old entries go.
#[test]
fn answers_are_those_of_c_5() {
    follow(
        256,
        &[
            Step {
                block: "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 \
                        2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 \
                        6c65 2e63 6f6d",
                fields: MOVED,
                table: MOVED_TABLE,
                size: 222,
            },
            Step { block: "4803 3330 37c1 c0bf", fields: TEMPORARY, table: TEMPORARY_TABLE, size: 222 },
            Step {
                block: "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d \
                        54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 \
                        5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e \
                        3d31",
                fields: OK,
                table: OK_TABLE,
                size: 215,
            },
        ],
    );
}

#[test]
fn huffman_coded_answers_are_those_of_c_6() {
    follow(
        256,
        &[
            Step {
                block: "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 \
                        2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                fields: MOVED,
                table: MOVED_TABLE,
                size: 222,
            },
            Step { block: "4883 640e ffc1 c0bf", fields: TEMPORARY, table: TEMPORARY_TABLE, size: 222 },
            Step {
                block: "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab \
                        77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f \
                        9587 3160 65c0 03ed 4ee5 b106 3d50 07",
                fields: OK,
                table: OK_TABLE,
                size: 215,
            },
        ],
    );
}

/// What the examples of C.4 and C.6 code, coded by us.
#[test]
fn codes_strings_as_the_examples_do() {
    for (text, hex) in [
        ("www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"),
        ("no-cache", "a8eb10649cbf"),
        ("custom-key", "25a849e95ba97d7f"),
        ("custom-value", "25a849e95bb8e8b4bf"),
        ("302", "6402"),
        ("private", "aec3771a4b"),
        ("Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"),
        ("https://www.example.com", "9d29ad171863c78f0b97c8e9ae82ae43d3"),
        ("307", "640eff"),
        ("gzip", "9bd9ab"),
    ] {
        let mut out = [0; 64];
        let length = huffman::encode(text.as_bytes(), &mut out, |byte| byte);
        assert_eq!(length.map(|length| &out[..length]), Some(&bytes(hex)[..]), "{text}");
    }
}

#[test]
fn writes_fields_as_the_examples_do_where_they_add_nothing() {
    // C.2.4, and C.6.1 with the forms that are not added to a table in place of those that are.
    let mut out = Vec::new();
    encode_field(&mut out, b":method", b"GET");
    encode_field(&mut out, b"Cache-Control", b"private");
    assert_eq!(out, bytes("82 0f09 85aec3 771a4b"));
}
