//! The chunked coding, read.

use crate::bytes::{TOKEN, class, is_text};
use crate::error::ChunkError;
use std::ops::Range;

/// Bytes of chunk extensions forgiven in one message. They are dropped, and a sender of more only makes work.
const EXTENSIONS: u32 = 4 * 1024;
/// Bytes of trailer fields forgiven. They are dropped too (RFC 9110 6.5.1) unless they are asked for.
const TRAILERS: u32 = 8 * 1024;
/// Most digits of a size: as many as 64 bits hold.
const DIGITS: u8 = 16;

/// What [`ChunkDecoder::next`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Bytes of the body, as a range of the buffer; never empty.
    Data(Range<usize>),
    /// All input is used up and the body goes on.
    More,
    /// The body is complete; what follows in the buffer is not part of it.
    End,
}

/// Takes a chunked body apart (RFC 9112 7.1), strictly: lines end in CRLF and nothing else, a size is nothing but
/// digits. Extensions are checked, counted and dropped, and so are trailer fields unless they are asked for.
///
/// It keeps all it needs between calls, so that the caller may drop whatever has been consumed.
#[derive(Clone, Debug, Default)]
pub struct ChunkDecoder {
    state: State,
    /// Bytes of the current chunk still to come.
    remaining: u64,
    digits: u8,
    extensions: u32,
    trailers: u32,
    /// The trailer fields' lines, when they are kept.
    kept: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

impl ChunkDecoder {
    /// Goes on at `buf[*pos..]` and moves `pos` past what it consumed. Ranges of data index `buf`.
    ///
    /// # Errors
    /// The first byte that is not as the coding wants it. Call no further then: the connection is lost.
    pub fn next(&mut self, buf: &[u8], pos: &mut usize) -> Result<Chunk, ChunkError> {
        while self.state != State::Done {
            let Some(&byte) = buf.get(*pos) else { return Ok(Chunk::More) };
            if self.state == State::Data {
                let start = *pos;
                let here = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(buf.len() - start);
                *pos += here;
                self.remaining -= here as u64;
                if self.remaining == 0 {
                    self.state = State::DataCr;
                }
                return Ok(Chunk::Data(start..start + here));
            }
            self.state = self.step(byte)?;
            *pos += 1;
        }
        Ok(Chunk::End)
    }

    /// From now on, keeps the trailer fields.
    pub fn keep_trailers(&mut self) {
        self.kept = Some(Vec::new());
    }

    /// The lines of the trailer fields, each with its CRLF, if they were to be kept: whole once the body is.
    pub fn take_trailers(&mut self) -> Vec<u8> {
        self.kept.take().unwrap_or_default()
    }

    /// Whether the body is complete.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes one byte that is not data; gives the state after it.
    #[inline]
    fn step(&mut self, byte: u8) -> Result<State, ChunkError> {
        Ok(match (self.state, byte) {
            (State::Size, _) => return self.step_size(byte),
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, _) => {
                self.extensions += 1;
                if self.extensions > EXTENSIONS {
                    return Err(ChunkError::ExtensionsTooLong);
                }
                if !is_text(byte) {
                    return Err(ChunkError::BadLine);
                }
                State::Extension
            }
            (State::SizeLf, b'\n') => {
                self.digits = 0;
                if self.remaining == 0 { State::TrailerStart } else { State::Data }
            }
            (State::SizeLf, _) => return Err(ChunkError::BadLine),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::DataCr | State::DataLf, _) => return Err(ChunkError::BadEnd),
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::EndLf, b'\n') => State::Done,
            (State::EndLf, _) => return Err(ChunkError::BadLine),
            (State::TrailerStart | State::TrailerName | State::TrailerValue | State::TrailerLf, _) => {
                return self.step_trailer(byte);
            }
            // `next` deals with these two itself; either is where it stays.
            (State::Data | State::Done, _) => self.state,
        })
    }

    /// A byte where a size stands. No white space is taken, not even before `;`: readers differ on it.
    #[inline]
    fn step_size(&mut self, byte: u8) -> Result<State, ChunkError> {
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b';' if self.digits > 0 => return Ok(State::Extension),
            b'\r' if self.digits > 0 => return Ok(State::SizeLf),
            _ => return Err(ChunkError::BadSize),
        };
        if self.digits == DIGITS {
            return Err(ChunkError::BadSize);
        }
        self.digits += 1;
        // The chunk before has left 0 here, and 16 digits shift nothing out of 64 bits.
        self.remaining = self.remaining << 4 | u64::from(value);
        Ok(State::Size)
    }

    /// A byte of a trailer field.
    fn step_trailer(&mut self, byte: u8) -> Result<State, ChunkError> {
        self.trailers += 1;
        if self.trailers > TRAILERS {
            return Err(ChunkError::TrailersTooLong);
        }
        if let Some(kept) = &mut self.kept {
            kept.push(byte);
        }
        match (self.state, byte) {
            (State::TrailerStart | State::TrailerName, _) if class(byte) & TOKEN != 0 => {
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, _) if is_text(byte) => Ok(State::TrailerValue),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            _ => Err(ChunkError::BadTrailer),
        }
    }
}

#[cfg(test)]
mod tests;
