//! What a decoder refuses, what it bears, and what comes back that was written.

use super::dynamic_table::DynamicTable;
use super::static_table::{ENTRIES, find, find_whole};
use super::{Decoder, HpackError, Outcome, encode_field, encode_no_table, encode_status, huffman, integer};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Decodes a block with as much room as it likes.
fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, HpackError> {
    let mut fields = Vec::new();
    let outcome = decoder.decode(block, usize::MAX, |name, value| {
        fields.push((name.to_vec(), value.to_vec()));
    })?;
    assert_eq!(outcome, Outcome::Whole);
    Ok(fields)
}

/// What is wrong with a block that is the first one of a connection.
fn fault(block: &[u8]) -> HpackError {
    decode(&mut Decoder::new(4096), block).expect_err("it is decoded")
}

/// A literal with a new name, added to the table.
fn added(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut block = vec![0x40];
    for text in [name, value] {
        integer::write(&mut block, 0, 7, text.len());
        block.extend_from_slice(text);
    }
    block
}

/// A literal that is not added, whose value has this Huffman code.
fn coded(code: &[u8]) -> Vec<u8> {
    let mut block = vec![0x04];
    integer::write(&mut block, 0x80, 7, code.len());
    block.extend_from_slice(code);
    block
}

#[test]
fn refuses_index_zero() {
    assert_eq!(fault(&[0x80]), HpackError::IndexZero);
    assert_eq!(fault(&[0x82, 0x80]), HpackError::IndexZero);
}

#[test]
fn refuses_an_index_beyond_the_tables() {
    assert_eq!(fault(&[0x80 | 62]), HpackError::BeyondTable(62));
    assert_eq!(fault(&[0xff, 0x00]), HpackError::BeyondTable(127));
    // As the name of a literal, of all three kinds.
    for block in [&[0x7f, 0x00, 0x00][..], &[0x0f, 47, 0x00], &[0x1f, 47, 0x00]] {
        assert!(matches!(fault(block), HpackError::BeyondTable(62 | 63)), "{block:?}");
    }
    // One that was there before it had to make room.
    let mut decoder = Decoder::new(64);
    assert!(decode(&mut decoder, &added(b"a", b"b")).is_ok());
    assert!(decode(&mut decoder, &[0x80 | 62]).is_ok());
    assert!(decode(&mut decoder, &added(b"a", &[b'b'; 31])).is_ok());
    assert_eq!(decode(&mut decoder, &[0x80 | 63]), Err(HpackError::BeyondTable(63)));
}

#[test]
fn takes_a_new_size_at_the_beginning_of_a_block_only() {
    let mut decoder = Decoder::new(4096);
    assert_eq!(decode(&mut decoder, &[0x20, 0x3f, 0xe1, 0x1f, 0x82]).map(|fields| fields.len()), Ok(1));
    assert_eq!(decode(&mut decoder, &[0x20]), Ok(Vec::new()));
    assert_eq!(fault(&[0x82, 0x20]), HpackError::LateSizeUpdate);
    assert_eq!(fault(&[0x20, 0x21, 0x22]), HpackError::TooManySizeUpdates);
}

#[test]
fn refuses_a_table_larger_than_its_settings_allow() {
    assert_eq!(fault(&[0x3f, 0xe2, 0x1f]), HpackError::SizeUpdateTooLarge { size: 4097, most: 4096 });
    let mut none = Decoder::new(0);
    assert_eq!(decode(&mut none, &[0x21]), Err(HpackError::SizeUpdateTooLarge { size: 1, most: 0 }));
    assert_eq!(decode(&mut none, &[0x20]), Ok(Vec::new()));
}

#[test]
fn refuses_integers_that_do_not_end_in_time_or_are_too_large() {
    // 2³² − 1 is the largest, and is then beyond the table.
    assert_eq!(fault(&[0xff, 0x80, 0xff, 0xff, 0xff, 0x0f]), HpackError::BeyondTable(u32::MAX));
    assert_eq!(fault(&[0xff, 0x81, 0xff, 0xff, 0xff, 0x0f]), HpackError::IntegerTooLarge);
    assert_eq!(fault(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), HpackError::IntegerTooLarge);
    // Zeros that add nothing, as many as there may be bytes, and one more.
    assert_eq!(fault(&[0xff, 0x80, 0x80, 0x80, 0x80, 0x00]), HpackError::BeyondTable(127));
    assert_eq!(fault(&[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), HpackError::IntegerTooLarge);
    assert_eq!(fault(&[0xff; 64]), HpackError::IntegerTooLarge);
}

#[test]
fn refuses_a_block_that_ends_inside_of_a_field() {
    let mut block = vec![0xff, 0x80, 0x80];
    assert_eq!(fault(&block), HpackError::Truncated);
    block = [added(b"name", b"value"), coded(&[0x1c, 0x64])].concat();
    // Where a field ends it is whole.
    let whole = [0, added(b"name", b"value").len(), block.len()];
    for end in 0..=block.len() {
        let decoded = decode(&mut Decoder::new(4096), &block[..end]);
        if whole.contains(&end) {
            assert!(decoded.is_ok(), "{end}");
        } else {
            assert_eq!(decoded, Err(HpackError::Truncated), "{end}");
        }
    }
    // A length that no block has.
    assert_eq!(fault(&[0x04, 0x7f, 0x80, 0xff, 0xff, 0xff, 0x0f]), HpackError::Truncated);
}

#[test]
fn refuses_the_end_of_string_inside_of_a_string() {
    assert_eq!(fault(&coded(&[0xff; 4])), HpackError::EndOfString);
    assert_eq!(fault(&coded(&[0xff, 0xff, 0xff, 0xfc])), HpackError::EndOfString);
    // Behind a symbol, at each place in a byte: `0` has five zeros.
    for before in 1..=16_usize {
        let mut bits = vec![false; before * 5];
        bits.extend([true; 30]);
        bits.resize(bits.len().div_ceil(8) * 8 + 64, true);
        let bytes = bits.chunks(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit)));
        assert_eq!(fault(&coded(&bytes.collect::<Vec<_>>())), HpackError::EndOfString, "{before}");
    }
}

#[test]
fn refuses_padding_that_is_too_long_or_not_all_ones() {
    // `0` and three bits, of which one after the other is not 1.
    assert_eq!(
        decode(&mut Decoder::new(0), &coded(&[0x07])).map(|fields| fields[0].1.clone()),
        Ok(b"0".into())
    );
    for byte in [0x03, 0x05, 0x06, 0x00] {
        assert_eq!(fault(&coded(&[byte])), HpackError::Padding, "{byte:#x}");
    }
    // Eight ones and more, which are no symbol yet.
    for code in [&[0xff][..], &[0xff, 0xff], &[0xff, 0xff, 0xff], &[0x07, 0xff], &[0x1c, 0x64, 0xff, 0xff]] {
        assert_eq!(fault(&coded(code)), HpackError::Padding, "{code:x?}");
    }
    // The beginning of a longer symbol, which is not all ones.
    assert_eq!(fault(&coded(&[0xfe])), HpackError::Padding);
    // Any number of bits up to seven behind a symbol: `0` has five bits, so all numbers come.
    for count in 0..16 {
        let zeros = vec![b'0'; count];
        assert_eq!(decode(&mut Decoder::new(0), &coded(&code(&zeros))), Ok(vec![(b":path".into(), zeros)]));
    }
}

/// The Huffman code of a text.
fn code(text: &[u8]) -> Vec<u8> {
    let mut out = vec![0; text.len() * 4];
    let length = huffman::encode(text, &mut out, |byte| byte).unwrap();
    out.truncate(length);
    out
}

#[test]
fn decodes_every_symbol_in_every_place() {
    for symbol in 0..=u8::MAX {
        for before in 0..9 {
            for after in 0..9 {
                let text = [vec![b'0'; before], vec![symbol], vec![b'B'; after]].concat();
                let mut out = vec![0; text.len()];
                assert_eq!(huffman::decode(&code(&text), &mut out), Ok(text.len()));
                assert_eq!(out, text);
                assert_eq!(huffman::decoded_length(&code(&text)), Ok(text.len()));
            }
        }
    }
}

#[test]
fn codes_only_where_it_is_shorter() {
    let field = |value: &[u8]| {
        let mut out = Vec::new();
        encode_field(&mut out, b"vary", value);
        out
    };
    // `X` has as many bits as a byte, `0` fewer, `\\` more; the name is 59 of the static table.
    assert_eq!(field(b"XXXXXXXX"), b"\x0f\x2c\x08XXXXXXXX");
    assert_eq!(field(b"00000000"), b"\x0f\x2c\x85\x00\x00\x00\x00\x00");
    assert_eq!(field(br"\\\\"), b"\x0f\x2c\x04\\\\\\\\");
    assert_eq!(field(b""), [0x80 | 59]);
    // Where the length of what is coded takes another byte, and one more.
    for length in [125, 126, 127, 128, 200, 201, 202, 203, 204, 205, 254, 255, 256, 300, 20_000, 30_000] {
        let value = vec![b'0'; length];
        let block = field(&value);
        assert!(block.len() < length * 5 / 8 + 7, "{length}: {}", block.len());
        assert_eq!(decode(&mut Decoder::new(0), &block), Ok(vec![(b"vary".into(), value)]), "{length}");
    }
}

#[test]
fn finds_every_name_of_the_static_table_in_any_case() {
    for (at, (name, value)) in ENTRIES.iter().enumerate() {
        let first = ENTRIES.iter().position(|(other, _)| other == name).map(|at| at + 1);
        assert_eq!(find(name), first);
        assert_eq!(find(&name.to_ascii_uppercase()), first);
        assert_eq!(find_whole(first.unwrap(), value), Some(at + 1));
        assert_eq!(find(&name[1..]), None);
        assert_eq!(find(&[name, &b"-"[..]].concat()), None);
        // What the table says of it is what the decoder says.
        let index = 0x80 + (at as u8 + 1);
        assert_eq!(decode(&mut Decoder::new(0), &[index]), Ok(vec![(name.to_vec(), value.to_vec())]));
    }
    assert_eq!(find(b""), None);
    assert_eq!(find(b"x-frame-options"), None);
}

#[test]
fn writes_what_is_secret_so_that_nobody_adds_it_to_a_table() {
    for (name, is_secret) in [
        ("Set-Cookie", true),
        ("cookie", true),
        ("Authorization", true),
        ("proxy-authorization", true),
        ("content-type", false),
        ("x-secret", false),
    ] {
        let mut out = Vec::new();
        encode_field(&mut out, name.as_bytes(), b"a=b");
        assert_eq!(out[0] & 0xf0, if is_secret { 0x10 } else { 0x00 }, "{name}");
        let lower = name.to_ascii_lowercase().into_bytes();
        assert_eq!(decode(&mut Decoder::new(0), &out), Ok(vec![(lower, b"a=b".into())]));
    }
}

#[test]
fn writes_every_status() {
    for status in 100..=999 {
        let mut out = Vec::new();
        encode_status(&mut out, status);
        let is_known = matches!(status, 200 | 204 | 206 | 304 | 400 | 404 | 500);
        assert_eq!(out.len() == 1, is_known, "{status}");
        let digits = status.to_string().into_bytes();
        assert_eq!(decode(&mut Decoder::new(0), &out), Ok(vec![(b":status".into(), digits)]));
    }
}

#[test]
fn tells_that_it_has_no_table_at_the_beginning_of_a_block() {
    let mut out = Vec::new();
    encode_no_table(&mut out);
    encode_status(&mut out, 200);
    assert_eq!(out, [0x20, 0x88]);
    let mut decoder = Decoder::new(4096);
    assert!(decode(&mut decoder, &added(b"name", b"value")).is_ok());
    assert!(decode(&mut decoder, &out).is_ok());
    assert_eq!((decoder.table_size(), decoder.memory()), (0, 0));
}

#[test]
fn a_field_larger_than_the_table_empties_it() {
    let mut decoder = Decoder::new(100);
    for (value, size) in [(60, 96), (64, 100), (65, 0), (1, 37), (5000, 0)] {
        let block = added(b"name", &vec![b'v'; value]);
        assert_eq!(decode(&mut decoder, &block).map(|fields| fields[0].1.len()), Ok(value));
        assert_eq!(decoder.table_size(), size, "{value}");
    }
    // Also when it is coded, and nobody wants to see it.
    assert!(decode(&mut decoder, &added(b"name", b"value")).is_ok());
    let value = code(&[b'0'; 5000]);
    let mut block = vec![0x41];
    integer::write(&mut block, 0x80, 7, value.len());
    block.extend(value);
    assert_eq!(decoder.decode(&block, 50, |_, _| unreachable!()), Ok(Outcome::TooLarge));
    assert_eq!(decoder.table_size(), 0);
}

#[test]
fn a_new_entry_may_have_the_name_of_one_that_goes_for_it() {
    let mut decoder = Decoder::new(80);
    assert!(decode(&mut decoder, &added(b"a-long-name", b"value")).is_ok());
    // The name of the newest; there is room for one.
    let block = [0x7e, 0x03, b'n', b'e', b'w', 0xbe];
    let field = (b"a-long-name".to_vec(), b"new".to_vec());
    assert_eq!(decode(&mut decoder, &block), Ok(vec![field.clone(), field]));
    assert_eq!(decoder.table_size(), 46);
}

/// An entry of 4 KiB, referred to ten thousand times: 40 MB, of which nobody gets to see more than was allowed.
#[test]
fn a_bomb_is_not_handed_on_beyond_its_bound() {
    let mut decoder = Decoder::new(4096);
    let value = vec![b'v'; 4000];
    let block = [added(b"bomb", &value), vec![0x80 | 62; 10_000]].concat();
    let (most, mut seen) = (64 * 1024, 0);
    let outcome = decoder.decode(&block, most, |name, value| seen += name.len() + value.len() + 32);
    assert_eq!(outcome, Ok(Outcome::TooLarge));
    assert!(seen <= most && seen > most - 4036, "{seen}");
    assert!(decoder.memory() <= 4096 + 1024 && decoder.table_size() == 4036, "{decoder:?}");
    // The table is in step: the next block is understood.
    assert_eq!(decode(&mut decoder, &[0x80 | 62]), Ok(vec![(b"bomb".into(), value)]));
}

/// Beyond the bound, a name that is referred to is not even copied, and a string not kept.
#[test]
fn what_is_beyond_the_bound_takes_no_memory() {
    let mut decoder = Decoder::new(4096);
    let name = vec![b'n'; 4000];
    let zeros = code(&vec![b'0'; 1_000_000]);
    let mut long = vec![0x0f, 47];
    integer::write(&mut long, 0x80, 7, zeros.len());
    long.extend(zeros);
    let block = [added(&name, b""), long.repeat(3)].concat();
    let mut seen = 0;
    assert_eq!(decoder.decode(&block, 5000, |_, _| seen += 1), Ok(Outcome::TooLarge));
    assert_eq!(seen, 1);
    assert!(decoder.memory() <= 4096 + 1024, "{decoder:?}");
    // What is wrong with such a string is found all the same.
    let last = block.len() - 1;
    let mut wrong = block;
    wrong[last] = 0;
    wrong[last - 1] = 0xfe;
    assert_eq!(decoder.decode(&wrong, 5000, |_, _| {}), Err(HpackError::Padding));
}

#[test]
fn a_list_may_be_as_large_as_it_may_be() {
    // Each counts 32 and its bytes (RFC 9113 10.5.1).
    let block = [0x82, 0x86, 0x84];
    let sizes = [7 + 3 + 32, 7 + 4 + 32, 5 + 1 + 32];
    for most in 0..=sizes.iter().sum::<usize>() + 1 {
        let mut seen = 0;
        let outcome = Decoder::new(0).decode(&block, most, |_, _| seen += 1);
        let fitting = (1..=sizes.len()).filter(|count| sizes[..*count].iter().sum::<usize>() <= most).count();
        assert_eq!(seen, fitting, "{most}");
        let is_whole = seen == sizes.len();
        assert_eq!(outcome, Ok(if is_whole { Outcome::Whole } else { Outcome::TooLarge }), "{most}");
    }
}

#[test]
fn a_table_takes_memory_with_its_first_entry_and_never_more_than_its_bound() {
    let mut table = DynamicTable::new(4096);
    assert_eq!(table.memory(), 0);
    table.insert(b"name", b"value");
    assert!(table.memory() < 1024, "{}", table.memory());
    let mut random = fastrand::Rng::with_seed(7541);
    for _ in 0..100_000 {
        let longest = *random.choice(&[1, 10, 100, 1000, 4100]).unwrap();
        let text = vec![b'x'; random.usize(0..longest)];
        let (name, value) = text.split_at(random.usize(0..=text.len()));
        table.insert(name, value);
        assert!(table.size() <= 4096);
        // The bytes, and of at most 128 entries where they end.
        assert!(table.memory() <= 4096 + 128 * 8, "{}", table.memory());
    }
}

#[test]
fn a_decoder_may_be_used_while_another_hands_on() {
    let block = {
        let mut out = Vec::new();
        encode_field(&mut out, b"x-one", b"0123456789");
        encode_field(&mut out, b"x-two", b"9876543210");
        out
    };
    let mut inner = Decoder::new(0);
    let mut lines = Vec::new();
    let outcome = Decoder::new(0).decode(&block, 1000, |name, value| {
        lines.push((name.to_vec(), value.to_vec()));
        lines.extend(decode(&mut inner, &block).unwrap());
        assert_eq!(lines[lines.len() - 3], (name.to_vec(), value.to_vec()));
    });
    assert_eq!((outcome, lines.len()), (Ok(Outcome::Whole), 6));
}
