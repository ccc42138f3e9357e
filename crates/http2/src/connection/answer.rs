//! What is sent on a stream (RFC 9113 4.2, 4.3, 6.9, 8.1).

use super::{Connection, Gone, StreamId};
use crate::field_block::FieldBlock;
use crate::flood::TINY;
use crate::frame::{self, FrameHead, HEAD, LONGEST, flag, kind};
use crate::hpack;
use crate::stream::{Answer, Stream};

impl Connection {
    /// Sends the head of an answer: an interim one (status 100 to 199, but never 101), any number of times, then the final
    /// one. `end` is for a final one alone: nothing follows it.
    ///
    /// # Errors
    /// The stream is gone, or has had its final head; or `status` is none that HTTP/2 has: below 100, 101, above 999.
    pub fn send_head(
        &mut self,
        stream: StreamId,
        status: u16,
        fields: impl FnOnce(&mut FieldBlock<'_>),
        end: bool,
    ) -> Result<(), Gone> {
        let found = self.sending(stream, Answer::Head)?;
        let is_final = status >= 200;
        if !(100..=999).contains(&status) || status == 101 || (end && !is_final) {
            return Err(Gone);
        }
        if is_final {
            found.answer = Answer::Body;
        }
        self.write_block(stream, Some(status), fields, end);
        Ok(())
    }

    /// Sends as much of `bytes` as one frame and both windows take, and `end` with the last of them. Gives how much.
    ///
    /// When it is less than one frame because a window is shut, or shuts with this, [`Event::Opened`](super::Event::Opened)
    /// comes when it is worth while to go on; to try again before does no harm. When it is less because of the size of a
    /// frame, go on at once. No bytes and `end` need no window.
    ///
    /// # Errors
    /// The stream is gone, has ended, or has had no final head.
    pub fn send_data(&mut self, stream: StreamId, bytes: &[u8], end: bool) -> Result<usize, Gone> {
        let most_frame = self.peer.max_frame.min(LONGEST);
        let all = self.send.available();
        let found = self.sending(stream, Answer::Body)?;
        if bytes.is_empty() && !end {
            return Ok(0);
        }
        let wanted = u32::try_from(bytes.len()).unwrap_or(u32::MAX).min(most_frame);
        let window = found.send.available().min(all);
        let length = wanted.min(window);
        let is_squeezed = length < wanted;
        // The window is shut now, or has just been shut: there is no word of it otherwise.
        found.waits = length as usize != bytes.len() && length == window;
        if length == 0 && !bytes.is_empty() {
            return Ok(0);
        }
        let now = bytes.get(..length as usize).unwrap_or_default();
        let ends = end && now.len() == bytes.len();
        found.send.take(length);
        self.send.take(length);
        let flags = if ends { flag::END_STREAM } else { 0 };
        self.out.reserve(HEAD + now.len());
        FrameHead { length, kind: kind::DATA, flags, stream }.write(&mut self.out);
        self.out.extend_from_slice(now);
        self.flood.sent_data(is_squeezed && length < TINY);
        if ends {
            self.end_answer(stream);
        }
        Ok(now.len())
    }

    /// Sends trailers, and with them ends the answer.
    ///
    /// # Errors
    /// The stream is gone, has ended, or has had no final head.
    pub fn send_trailers(
        &mut self,
        stream: StreamId,
        fields: impl FnOnce(&mut FieldBlock<'_>),
    ) -> Result<(), Gone> {
        self.sending(stream, Answer::Body)?;
        self.write_block(stream, None, fields, true);
        Ok(())
    }

    /// The stream, if it has come as far as `stage` and can be sent on.
    fn sending(&mut self, stream: StreamId, stage: Answer) -> Result<&mut Stream, Gone> {
        if self.failed.is_some() {
            return Err(Gone);
        }
        self.streams.get(stream).filter(|stream| stream.is_sending() && stream.answer == stage).ok_or(Gone)
    }

    fn write_block(
        &mut self,
        stream: StreamId,
        status: Option<u16>,
        fields: impl FnOnce(&mut FieldBlock<'_>),
        end: bool,
    ) {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; HEAD]);
        if self.peer.owes_no_table {
            hpack::encode_no_table(&mut self.out);
            self.peer.said_no_table();
        }
        if let Some(status) = status {
            hpack::encode_status(&mut self.out, status);
        }
        fields(&mut FieldBlock::new(&mut self.out));
        frame::frame_header_block(&mut self.out, start, stream, end, self.peer.max_frame);
        if end {
            self.end_answer(stream);
        }
    }

    fn end_answer(&mut self, stream: StreamId) {
        if let Some(found) = self.streams.get(stream) {
            (found.answer, found.waits) = (Answer::Ended, false);
        }
        self.flood.answered();
    }
}
