//! Input in which a byte can stand for a whole word of the language.
//!
//! A mutation of one byte then puts in a field name or a line end, which gets deeper than noise does. The words are
//! those of the dictionary that libFuzzer is given, so there is one list of them.

use std::borrow::Cow;

/// The words of a dictionary in libFuzzer's form: each line a string in quotes, with `\\`, `\"` and `\xNN`; `#` begins
/// a comment.
#[derive(Debug)]
pub(crate) struct Pieces(Vec<Vec<u8>>);

impl Pieces {
    pub(crate) fn of(dictionary: &str) -> Self {
        let quoted = |line: &str| line.trim().strip_prefix('"')?.strip_suffix('"').map(unescaped);
        Pieces(dictionary.lines().filter_map(quoted).collect())
    }

    /// `data` with every byte from 0x80 on replaced by the piece that it stands for. Without such bytes it is itself.
    pub(crate) fn expand<'a>(&self, data: &'a [u8]) -> Cow<'a, [u8]> {
        if data.is_ascii() {
            return Cow::Borrowed(data);
        }
        let mut out = Vec::with_capacity(data.len() * 4);
        for &byte in data {
            match usize::from(byte).checked_sub(0x80) {
                None => out.push(byte),
                Some(number) => out.extend_from_slice(&self.0[number % self.0.len()]),
            }
        }
        Cow::Owned(out)
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        (rest, _) = match (first, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digits = [*high, *low];
                let digits = str::from_utf8(&digits).expect("hexadecimal digits are ASCII");
                (after, out.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits")))
            }
            (b'\\', [byte, after @ ..]) => (after, out.push(*byte)),
            _ => (after, out.push(*first)),
        };
    }
    out
}
