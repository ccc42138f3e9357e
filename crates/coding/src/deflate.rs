//! The frame around deflated data that makes it gzip (RFC 1952). It is ours so that deflated data of several encoders can stand in one.

use flate2::{Compress, Crc, FlushCompress, Status};

/// The beginning: deflated, no time, no name, no system.
pub(crate) const HEADER: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// A last block with nothing in it (RFC 1951 3.2.3: final, fixed codes, end of block).
pub(crate) const EMPTY_END: &[u8] = &[0x03, 0x00];

/// Writes the end: what the decoder finds out by whether all came.
pub(crate) fn write_trailer(out: &mut Vec<u8>, sum: &Crc) {
    out.extend_from_slice(&sum.sum().to_le_bytes());
    out.extend_from_slice(&sum.amount().to_le_bytes());
}

/// Deflates all of `data`, and does what `flush` says at its end.
pub(crate) fn deflate(
    engine: &mut Compress,
    mut data: &[u8],
    flush: FlushCompress,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    loop {
        // As much as the rest will probably need: text shrinks to a third and less.
        if out.capacity() - out.len() < 64 {
            out.reserve(64 + data.len() / 3);
        }
        let (taken, given) = (engine.total_in(), out.len());
        let status =
            engine.compress_vec(data, out, flush).map_err(|_| "the encoder is in no state to go on")?;
        // It takes no more than there is.
        let taken = usize::try_from(engine.total_in() - taken).unwrap_or(usize::MAX);
        data = data.get(taken..).unwrap_or_default();
        let has_room = out.len() < out.capacity();
        if status == Status::StreamEnd || (data.is_empty() && has_room && flush != FlushCompress::Finish) {
            return Ok(());
        }
        if taken == 0 && out.len() == given && has_room {
            return Err("the encoder makes no progress");
        }
    }
}
