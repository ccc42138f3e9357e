//! Names and values as they stand in a header block (RFC 7541 5.2).

use std::ops::Range;

use super::{HpackError, huffman, integer};

/// A name or a value.
pub(super) enum Text<'a> {
    /// It is there as it is.
    Here(&'a [u8]),
    /// It was put together in the scratch memory.
    Scratch(Range<usize>),
    /// It is longer than anybody has use for: its length.
    TooLong(usize),
}

/// Memory for the texts of one field.
pub(super) struct Scratch {
    /// All of it, whether in use or not.
    pub(super) bytes: Vec<u8>,
    used: usize,
}

impl<'a> Text<'a> {
    /// Reads one off the front of `block`. One that has to be decoded is not kept when it is longer than `room`.
    ///
    /// # Errors
    /// It does not end within the block, or its Huffman code is wrong.
    #[inline]
    pub(super) fn read(block: &mut &'a [u8], room: usize, scratch: &mut Scratch) -> Result<Self, HpackError> {
        let is_coded = block.first().is_some_and(|byte| byte & 0x80 != 0);
        let length = integer::read(block, 7)? as usize;
        let (string, rest) = block.split_at_checked(length).ok_or(HpackError::Truncated)?;
        *block = rest;
        if !is_coded {
            return Ok(Text::Here(string));
        }
        // What may be too long is decoded twice, so that no memory is taken for it.
        if huffman::most_decoded(length) > room {
            let decoded = huffman::decoded_length(string)?;
            if decoded > room {
                return Ok(Text::TooLong(decoded));
            }
        }
        scratch.decode(string).map(Text::Scratch)
    }

    /// Its length in bytes.
    pub(super) fn length(&self) -> usize {
        match self {
            Text::Here(text) => text.len(),
            Text::Scratch(range) => range.len(),
            Text::TooLong(length) => *length,
        }
    }

    /// Its bytes, unless it is too long.
    #[inline]
    pub(super) fn bytes<'b>(&self, scratch: &'b Scratch) -> Option<&'b [u8]>
    where
        'a: 'b,
    {
        match self {
            Text::Here(text) => Some(text),
            Text::Scratch(range) => scratch.bytes.get(range.clone()),
            Text::TooLong(_) => None,
        }
    }
}

impl Scratch {
    /// Makes use of memory that was in use before.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Scratch { bytes, used: 0 }
    }

    /// Begins the next field: what was kept for the last is gone.
    #[inline]
    pub(super) fn reset(&mut self) {
        self.used = 0;
    }

    /// Keeps a copy.
    pub(super) fn copy(&mut self, text: &[u8]) -> Range<usize> {
        let start = self.used;
        self.room(text.len()).copy_from_slice(text);
        self.used += text.len();
        start..self.used
    }

    #[inline]
    fn decode(&mut self, string: &[u8]) -> Result<Range<usize>, HpackError> {
        let start = self.used;
        let length = huffman::decode(string, self.room(huffman::most_decoded(string.len())))?;
        self.used += length;
        Ok(start..self.used)
    }

    /// The next `length` bytes that are not in use.
    #[inline]
    fn room(&mut self, length: usize) -> &mut [u8] {
        let end = self.used + length;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[self.used..end]
    }
}
