//! What a worker keeps, so that coding an answer allocates nothing as a rule.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use libdeflater::{CompressionLvl, Compressor};
use vestibule_config::Coding;
use zstd_safe::{CCtx, CParameter, ResetDirective};

use crate::encoder::{Encoder, Engine};
use crate::error::Error;

/// A body up to this many bytes may be coded in one go: that takes less than half a millisecond.
pub const MOST_WHOLE: usize = 128 * 1024;

/// Engines of each kind that wait for the next answer: 0.4 MiB each for gzip, 0.5 MiB for zstd.
const MOST_IDLE: usize = 4;

/// Answers that keep an engine, and with it the memory of what it has seen, from one piece to the next. Those beyond begin anew with each
/// piece: they are a little longer. 64 of them have up to 32 MiB.
const MOST_HELD: usize = 64;

/// Answers in brotli under way: their engines cannot be taken from them. 16 of them have up to 16 MiB.
const MOST_BROTLI: usize = 16;

/// The encoders of one worker. Clones are the same.
#[derive(Clone, Default)]
pub struct Encoders {
    kept: Rc<RefCell<Kept>>,
}

#[derive(Default)]
struct Kept {
    /// For bodies that are there as a whole.
    gzip: Option<Compressor>,
    zstd: Option<CCtx<'static>>,
    scratch: Vec<u8>,
    /// For those that come in pieces.
    deflates: Vec<Engine>,
    zstds: Vec<Engine>,
    held: usize,
    brotlis: usize,
}

impl Encoders {
    /// Appends `data`, all of a body, in `coding` to `out`. Quicker and shorter than in pieces.
    ///
    /// # Errors
    /// When memory is short. Nothing was appended then.
    pub fn whole(&self, coding: Coding, data: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let failed = |why| Error { coding, why };
        let mut kept = self.kept.borrow_mut();
        let Kept { gzip, zstd, scratch, .. } = &mut *kept;
        match coding {
            Coding::Gzip => {
                let engine = match gzip {
                    Some(engine) => engine,
                    None => {
                        let level =
                            CompressionLvl::new(GZIP_LEVEL).map_err(|_| failed("there is no such level"))?;
                        gzip.insert(Compressor::new(level))
                    }
                };
                let most = engine.gzip_compress_bound(data.len());
                if scratch.len() < most {
                    scratch.resize(most, 0);
                }
                let length = engine.gzip_compress(data, scratch).map_err(|_| failed("there is no room"))?;
                out.extend_from_slice(scratch.get(..length).unwrap_or_default());
            }
            Coding::Zstd => {
                let engine = match zstd {
                    Some(engine) => engine,
                    None => zstd.insert(zstd_context(ZSTD_WHOLE, None).map_err(failed)?),
                };
                let most = zstd_safe::compress_bound(data.len());
                scratch.clear();
                scratch.reserve(most);
                engine.compress2(scratch, data).map_err(|code| failed(zstd_safe::get_error_name(code)))?;
                out.extend_from_slice(scratch);
            }
            Coding::Brotli => {
                let mut engine = Engine::new(Coding::Brotli)?;
                let start = out.len();
                let coded = engine.write(data, out).and_then(|()| engine.finish(out));
                coded.inspect_err(|_| out.truncate(start)).map_err(failed)?;
            }
        }
        if scratch.capacity() > 2 * MOST_WHOLE {
            *scratch = Vec::new();
        }
        Ok(())
    }

    /// Begins with a body that comes in pieces. `None` when too many have one that cannot be shared: it is to go as it is.
    #[must_use]
    pub fn begin(&self, coding: Coding) -> Option<Encoder> {
        if coding == Coding::Brotli {
            let mut kept = self.kept.borrow_mut();
            if kept.brotlis >= MOST_BROTLI {
                return None;
            }
            kept.brotlis += 1;
        }
        Some(Encoder::new(self.clone(), coding))
    }

    /// An engine for `coding` that has seen nothing yet.
    pub(crate) fn take(&self, coding: Coding) -> Result<Engine, Error> {
        let mut kept = self.kept.borrow_mut();
        let idle = match coding {
            Coding::Gzip => kept.deflates.pop(),
            Coding::Zstd => kept.zstds.pop(),
            Coding::Brotli => None,
        };
        let engine = match idle {
            Some(engine) => engine,
            None => Engine::new(coding)?,
        };
        kept.held += 1;
        Ok(engine)
    }

    /// Takes an engine back.
    pub(crate) fn give(&self, engine: Engine) {
        let mut kept = self.kept.borrow_mut();
        kept.held -= 1;
        let idle = match engine {
            Engine::Deflate(_) => &mut kept.deflates,
            Engine::Zstd(_) => &mut kept.zstds,
            Engine::Brotli(_) => return,
        };
        if idle.len() < MOST_IDLE
            && let Some(engine) = engine.renewed()
        {
            idle.push(engine);
        }
    }

    pub(crate) fn end_brotli(&self) {
        self.kept.borrow_mut().brotlis -= 1;
    }

    /// Whether so many are held that none should be kept beyond a piece.
    pub(crate) fn are_scarce(&self) -> bool {
        self.kept.borrow().held > MOST_HELD
    }
}

impl fmt::Debug for Encoders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept.borrow();
        f.debug_struct("Encoders")
            .field("held", &kept.held)
            .field("brotlis", &kept.brotlis)
            .finish_non_exhaustive()
    }
}

const GZIP_LEVEL: i32 = 1;
const ZSTD_WHOLE: i32 = 2;

/// A context of zstd, with a window for bodies of unknown length.
pub(crate) fn zstd_context(level: i32, window: Option<u32>) -> Result<CCtx<'static>, &'static str> {
    let mut context = CCtx::try_create().ok_or("memory is short")?;
    let mut set = |parameter| context.set_parameter(parameter).map_err(zstd_safe::get_error_name);
    set(CParameter::CompressionLevel(level))?;
    if let Some(window) = window {
        set(CParameter::WindowLog(window))?;
    }
    Ok(context)
}

/// Makes a context fit for the next body.
pub(crate) fn renew(context: &mut CCtx<'static>) -> bool {
    context.reset(ResetDirective::SessionOnly).is_ok()
}
