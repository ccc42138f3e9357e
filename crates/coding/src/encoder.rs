//! A body that comes in pieces, in a coding.

use std::fmt;
use std::io::Write as _;

use brotli::CompressorWriter;
use flate2::{Compress, Compression, Crc, FlushCompress};
use vestibule_config::Coding;
use zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd_safe::{CCtx, InBuffer, OutBuffer};

use crate::deflate::{EMPTY_END, HEADER, deflate, write_trailer};
use crate::encoders::{Encoders, renew, zstd_context};
use crate::error::Error;

/// Writes one body in a coding, piece by piece.
///
/// It holds an engine, which is dear in memory, only while there is something to do, and the memory of what it has seen for as long as
/// [`rest`](Self::rest) is not called: after that the body goes on in a way that needs none.
pub struct Encoder {
    encoders: Encoders,
    coding: Coding,
    engine: Option<Engine>,
    sum: Crc,
    has_begun: bool,
    /// Whether what is written so far ends with a whole frame of zstd.
    is_whole: bool,
    /// Whether something was written since the last flush.
    is_due: bool,
}

impl Encoder {
    pub(crate) fn new(encoders: Encoders, coding: Coding) -> Self {
        Encoder {
            encoders,
            coding,
            engine: None,
            sum: Crc::new(),
            has_begun: false,
            is_whole: false,
            is_due: false,
        }
    }

    /// What it writes.
    #[must_use]
    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// Takes `data`. What it appends to `out` need not hold all of it: see [`flush`](Self::flush).
    ///
    /// # Errors
    /// When the body cannot be gone on with. It is then to be broken off, so that nobody takes it for whole.
    pub fn write(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if data.is_empty() {
            return Ok(());
        }
        self.begin(out);
        if self.coding == Coding::Gzip {
            self.sum.update(data);
        }
        let engine = match &mut self.engine {
            Some(engine) => engine,
            None => self.engine.insert(self.encoders.take(self.coding)?),
        };
        self.is_due = true;
        self.is_whole = false;
        engine.write(data, out).map_err(|why| Error { coding: self.coding, why })
    }

    /// Appends what there is of all that was written, so that the reader can read it now.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if !std::mem::take(&mut self.is_due) {
            return Ok(());
        }
        if let Some(engine) = &mut self.engine {
            engine.flush(out).map_err(|why| Error { coding: self.coding, why })?;
        }
        if self.encoders.are_scarce() { self.rest(out) } else { Ok(()) }
    }

    /// Whether something was written that no flush has followed.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.is_due
    }

    /// Whether it holds memory that [`rest`](Self::rest) would give back.
    #[must_use]
    pub fn can_rest(&self) -> bool {
        matches!(self.engine, Some(Engine::Deflate(_) | Engine::Zstd(_)))
    }

    /// Flushes, and gives back the memory that it needs while there is something to do. What comes later cannot refer to what came before,
    /// and is a little longer for that.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn rest(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if !self.can_rest() {
            return Ok(());
        }
        let failed = |why| Error { coding: self.coding, why };
        let Some(mut engine) = self.engine.take() else { return Ok(()) };
        let rested = match &mut engine {
            // Behind a flush the blocks of another encoder can follow.
            Engine::Deflate(_) if !self.is_due => Ok(()),
            Engine::Deflate(_) => engine.flush(out),
            // Frames may follow each other (RFC 8878 3).
            Engine::Zstd(_) | Engine::Brotli(_) => {
                self.is_whole = true;
                engine.finish(out)
            }
        };
        self.is_due = false;
        self.encoders.give(engine);
        rested.map_err(failed)
    }

    /// Appends the end.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.begin(out);
        let failed = |why| Error { coding: self.coding, why };
        match &mut self.engine {
            Some(engine) => engine.finish(out).map_err(failed)?,
            None if self.coding == Coding::Gzip => out.extend_from_slice(EMPTY_END),
            None if self.is_whole => {}
            None => {
                let engine = self.engine.insert(self.encoders.take(self.coding)?);
                engine.finish(out).map_err(failed)?;
            }
        }
        if self.coding == Coding::Gzip {
            write_trailer(out, &self.sum);
        }
        Ok(())
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.has_begun, true) && self.coding == Coding::Gzip {
            out.extend_from_slice(HEADER);
        }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take() {
            self.encoders.give(engine);
        }
        if self.coding == Coding::Brotli {
            self.encoders.end_brotli();
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder")
            .field("coding", &self.coding)
            .field("is_due", &self.is_due)
            .field("is_at_rest", &self.engine.is_none())
            .finish_non_exhaustive()
    }
}

/// What does the work; one at a time for a body.
pub(crate) enum Engine {
    Deflate(Compress),
    Zstd(CCtx<'static>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
}

/// zlib-rs: shorter than zlib's 1, which nginx has, and quicker.
const DEFLATE_LEVEL: u32 = 2;

const ZSTD_LEVEL: i32 = 2;

/// 64 KiB: with the 1 MiB that zstd would take by itself, each stream costs 2 MiB and pages are no shorter.
const ZSTD_WINDOW: u32 = 16;

const BROTLI_LEVEL: u32 = 2;
const BROTLI_WINDOW: u32 = 16;

impl Engine {
    pub(crate) fn new(coding: Coding) -> Result<Self, Error> {
        Ok(match coding {
            Coding::Gzip => Engine::Deflate(Compress::new(Compression::new(DEFLATE_LEVEL), false)),
            Coding::Zstd => Engine::Zstd(
                zstd_context(ZSTD_LEVEL, Some(ZSTD_WINDOW)).map_err(|why| Error { coding, why })?,
            ),
            Coding::Brotli => {
                let writer = CompressorWriter::new(Vec::new(), 8 * 1024, BROTLI_LEVEL, BROTLI_WINDOW);
                Engine::Brotli(Box::new(writer))
            }
        })
    }

    pub(crate) fn write(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        match self {
            Engine::Deflate(engine) => deflate(engine, data, FlushCompress::None, out),
            Engine::Zstd(engine) => zstd(engine, data, ZSTD_EndDirective::ZSTD_e_continue, out),
            Engine::Brotli(engine) => brotli(engine, out, |engine| engine.write_all(data)),
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        match self {
            Engine::Deflate(engine) => deflate(engine, b"", FlushCompress::Sync, out),
            Engine::Zstd(engine) => zstd(engine, b"", ZSTD_EndDirective::ZSTD_e_flush, out),
            Engine::Brotli(engine) => brotli(engine, out, |engine| engine.flush()),
        }
    }

    /// Of brotli the end is all that may follow.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        match self {
            Engine::Deflate(engine) => deflate(engine, b"", FlushCompress::Finish, out),
            Engine::Zstd(engine) => zstd(engine, b"", ZSTD_EndDirective::ZSTD_e_end, out),
            Engine::Brotli(engine) => {
                let next = CompressorWriter::new(Vec::new(), 1, BROTLI_LEVEL, BROTLI_WINDOW);
                let mut engine = std::mem::replace(&mut **engine, next);
                std::mem::swap(engine.get_mut(), out);
                *out = engine.into_inner();
                Ok(())
            }
        }
    }

    /// Fit for another body, unless it cannot be.
    pub(crate) fn renewed(mut self) -> Option<Self> {
        let is_fit = match &mut self {
            Engine::Deflate(engine) => {
                engine.reset();
                true
            }
            Engine::Zstd(engine) => renew(engine),
            Engine::Brotli(_) => false,
        };
        is_fit.then_some(self)
    }
}

fn zstd(
    engine: &mut CCtx<'static>,
    data: &[u8],
    directive: ZSTD_EndDirective,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let mut input = InBuffer::around(data);
    loop {
        if out.capacity() - out.len() < 64 {
            out.reserve(64 + (data.len() - input.pos()) / 3);
        }
        let start = out.len();
        let mut output = OutBuffer::around_pos(out, start);
        let left =
            engine.compress_stream2(&mut output, &mut input, directive).map_err(zstd_safe::get_error_name)?;
        let is_done = match directive {
            ZSTD_EndDirective::ZSTD_e_continue => input.pos() == data.len(),
            ZSTD_EndDirective::ZSTD_e_flush | ZSTD_EndDirective::ZSTD_e_end => left == 0,
        };
        if is_done {
            return Ok(());
        }
    }
}

/// The writer has the bytes appended where they belong, without a copy.
fn brotli(
    engine: &mut CompressorWriter<Vec<u8>>,
    out: &mut Vec<u8>,
    act: impl FnOnce(&mut CompressorWriter<Vec<u8>>) -> std::io::Result<()>,
) -> Result<(), &'static str> {
    std::mem::swap(engine.get_mut(), out);
    let acted = act(engine);
    std::mem::swap(engine.get_mut(), out);
    acted.map_err(|_| "the encoder is in no state to go on")
}
