//! Header blocks, written.
//!
//! No dynamic table: what it would save in answers, which differ from one another where they are long, is not worth its
//! memory for each connection, and nothing that one answer says can then be found out by the length of another
//! (RFC 7541 7.1).

use super::{huffman, integer, static_table};

/// The first byte of a field that is one of the static table's (RFC 7541 6.1), of one that is not to be added to a table
/// (6.2.2), and of one that nobody on the way may add to one (6.2.3).
const INDEXED: u8 = 0x80;
const LITERAL: u8 = 0x00;
const NEVER_INDEXED: u8 = 0x10;
/// The first byte of a change of the table's size (6.3).
const SIZE_UPDATE: u8 = 0x20;
/// The bit of a string that is Huffman-coded (5.2).
const CODED: u8 = 0x80;
/// A length from which on it takes more than one byte.
const ONE_BYTE: usize = 0x7f;

/// Appends `:status`, which has to be the first field of an answer.
pub fn encode_status(out: &mut Vec<u8>, status: u16) {
    let digits = [status / 100 % 10, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8);
    encode_field(out, b":status", &digits);
}

/// Appends a field. Its name may be in any case and is written in lower case (RFC 9113 8.2.1); both are otherwise
/// written as they are.
pub fn encode_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let Some(index) = static_table::find(name) else {
        out.push(LITERAL);
        write_text(out, name, |byte| byte.to_ascii_lowercase());
        write_text(out, value, |byte| byte);
        return;
    };
    if let Some(index) = static_table::find_whole(index, value) {
        integer::write(out, INDEXED, 7, index);
        return;
    }
    integer::write(out, if static_table::is_secret(index) { NEVER_INDEXED } else { LITERAL }, 4, index);
    write_text(out, value, |byte| byte);
}

/// Appends the news that the encoder has no table. It belongs before the first field of the next block, whenever the peer's
/// SETTINGS_HEADER_TABLE_SIZE is less than it was, or than the 4096 that it is at first (RFC 7541 4.2, RFC 9113 4.3.1).
pub fn encode_no_table(out: &mut Vec<u8>) {
    integer::write(out, SIZE_UPDATE, 5, 0);
}

/// Appends a name or a value, coded if that makes it shorter.
#[inline]
fn write_text(out: &mut Vec<u8>, text: &[u8], fold: impl Fn(u8) -> u8) {
    // It is coded to where it belongs if its length takes one byte; if that takes more, it moves.
    let start = out.len();
    out.resize(start + 1 + text.len(), 0);
    let coded = huffman::encode(text, &mut out[start + 1..], &fold).filter(|coded| *coded < text.len());
    let Some(coded) = coded else {
        out.truncate(start);
        integer::write(out, 0, 7, text.len());
        out.extend(text.iter().map(|byte| fold(*byte)));
        return;
    };
    out.truncate(start + 1 + coded);
    if coded < ONE_BYTE {
        out[start] = CODED | coded as u8;
    } else {
        let before = out.len();
        integer::write(out, CODED, 7, coded);
        let prefix = out.len() - before;
        out[start + 1..].rotate_right(prefix);
        out.remove(start);
    }
}
