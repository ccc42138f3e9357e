//! The head of an application's response.

use crate::bytes::{decimal, skip_text};
use crate::connection::Options;
use crate::error::{FieldError, ResponseError};
use crate::field::{Field, Name};
use crate::method::Method;
use crate::section::{HeadLimits, Notes, Version, end_of_line, parse_fields, scan_for_end};
use crate::span::Span;

#[cfg(test)]
mod tests;

/// How the end of a response's body is known (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none, whatever the fields say: an answer to HEAD, or a 1xx, 204 or 304.
    #[default]
    None,
    /// As many bytes as Content-Length says, which may be 0.
    Length(u64),
    /// By the chunked coding.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// The head of a response: everything up to its empty line, as [`Span`]s of the buffer it was parsed from.
///
/// Made to be reused: [`ResponseHead::parse`] overwrites it and keeps what `fields` has allocated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status, 100 to 999.
    pub status: u16,
    /// The reason phrase; may be empty.
    pub reason: Span,
    /// The version the application speaks.
    pub version: Version,
    /// The field lines in their order.
    pub fields: Vec<Field>,
    /// How the end of the body is known.
    pub body: BodyLength,
    /// What Content-Length says, without a doubt, of a body that does not come: to HEAD or with a 304, what it would
    /// have been to a GET. Never with a 1xx or 204 (RFC 9110 8.6).
    pub promised: Option<u64>,
    /// Whether the application would use its connection again after this response. Never after a body that
    /// ends with the connection, nor after a 204, or an answer without a body, whose fields promise one all the
    /// same: some servers send it, and its bytes would pass for the next response.
    pub keep_alive: bool,
    /// What the application changes or would change the protocol to: the value of its only Upgrade field, when
    /// Connection names it and the version is 1.1 (RFC 9110 7.8).
    pub upgrade: Option<Span>,
    /// Length of the head in bytes, with the empty line that ends it.
    pub len: usize,
    options: Options,
}

impl ResponseHead {
    /// Parses a head from the beginning of `buf`, the answer to a request of `request_method`; `buf` may hold
    /// more than the head, or only a part of it. `scanned` is as for
    /// [`RequestHead::parse`](crate::RequestHead::parse): 0 for a new head, and then as it was left.
    ///
    /// Gives whether the head is complete. While it is not, what `self` holds means nothing.
    ///
    /// # Errors
    /// The first fault found: the response becomes a 502, and its connection must not be used again.
    #[inline]
    pub fn parse(
        &mut self,
        buf: &[u8],
        scanned: &mut usize,
        limits: &HeadLimits,
        request_method: Method,
    ) -> Result<bool, ResponseError> {
        let most = limits.bytes.min(u32::MAX as usize);
        let window = buf.get(..most).unwrap_or(buf);
        if *scanned == 0 {
            if self.parse_whole(window, limits, request_method)? {
                return Ok(true);
            }
            scan_for_end(window, scanned, 0)?;
        } else if scan_for_end(window, scanned, 0)? && self.parse_whole(window, limits, request_method)? {
            *scanned = 0;
            return Ok(true);
        }
        if buf.len() >= most { Err(ResponseError::HeadTooLarge) } else { Ok(false) }
    }

    /// Parses the head at the front of `buf` in one pass; gives whether it is complete.
    fn parse_whole(
        &mut self,
        buf: &[u8],
        limits: &HeadLimits,
        request_method: Method,
    ) -> Result<bool, ResponseError> {
        self.fields.clear();
        let Some(line_end) = self.parse_line(buf)? else { return Ok(false) };
        let Some((end, notes)) = parse_fields(buf, line_end, limits.fields, &mut self.fields)? else {
            return Ok(false);
        };
        self.options = notes.connection;
        let is_11 = self.version == Version::Http11;
        self.keep_alive = !self.options.close && (is_11 || self.options.keep_alive);
        self.upgrade = notes.upgrade.only().filter(|_| is_11 && self.options.upgrade);
        let framing = framing(buf, self.fields.as_slice(), &notes);
        let bodiless = matches!(self.status, 100..=199 | 204 | 304) || request_method == Method::Head;
        self.promised = match framing {
            Ok(BodyLength::Length(length)) if bodiless && !matches!(self.status, 100..=199 | 204) => {
                Some(length)
            }
            _ => None,
        };
        if bodiless {
            self.body = BodyLength::None;
            // Only HEAD and 304 may rightly tell of a body that does not come (RFC 9110 8.6).
            let promised = matches!(framing, Ok(BodyLength::Length(1..) | BodyLength::Chunked));
            self.keep_alive &= framing.is_ok() && !(self.status == 204 && promised);
        } else {
            self.body = framing?;
            self.keep_alive &= self.body != BodyLength::UntilClose;
        }
        self.len = end;
        Ok(true)
    }

    /// Parses the status line: version, one space, three digits, then a space and a reason or nothing.
    ///
    /// Gives the offset after it, or `None` if it is not complete.
    #[inline]
    fn parse_line(&mut self, buf: &[u8]) -> Result<Option<usize>, ResponseError> {
        self.version = match buf.get(..9) {
            Some(b"HTTP/1.1 ") => Version::Http11,
            Some(b"HTTP/1.0 ") => Version::Http10,
            None if b"HTTP/1.1 ".starts_with(buf) || b"HTTP/1.0 ".starts_with(buf) => return Ok(None),
            _ => return Err(ResponseError::BadStatusLine),
        };
        let Some(&[a, b, c]) = buf.get(9..12).and_then(|digits| digits.first_chunk::<3>()) else {
            return Ok(None);
        };
        if !(b'1'..=b'9').contains(&a) || !b.is_ascii_digit() || !c.is_ascii_digit() {
            return Err(ResponseError::BadStatusLine);
        }
        self.status = [a, b, c].iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        let start = match buf.get(12) {
            None => return Ok(None),
            Some(b' ') => 13,
            Some(b'\r' | b'\n') => 12,
            Some(_) => return Err(ResponseError::BadStatusLine),
        };
        let end = skip_text(buf, start);
        self.reason = Span::new(start, end);
        match end_of_line(buf, end) {
            Err(FieldError::BadValue) => Err(ResponseError::BadStatusLine),
            other => Ok(other?),
        }
    }

    /// Whether Connection names the field `name`, in any case, as one for this hop alone (RFC 9110 7.6.1).
    #[inline]
    pub fn is_nominated(&self, buf: &[u8], name: &[u8]) -> bool {
        self.options.nominates(&self.fields, buf, name)
    }

    /// Whether Connection names anything but `close`, `keep-alive` and `upgrade`.
    #[inline]
    pub fn nominates_fields(&self) -> bool {
        self.options.others
    }

    /// The value of the first field of that name.
    #[inline]
    pub fn field<'a>(&self, buf: &'a [u8], name: Name) -> Option<&'a [u8]> {
        self.fields.iter().find(|field| field.kind == name).map(|field| field.value.of(buf))
    }
}

/// How the fields frame a body (RFC 9112 6.3). Chunked in HTTP/1.0 is taken: Passenger answers so.
#[inline]
fn framing(buf: &[u8], fields: &[Field], notes: &Notes) -> Result<BodyLength, ResponseError> {
    let (length, coding) = (notes.content_length, notes.transfer_encoding);
    match (length.count, coding.count) {
        (0, 0) => Ok(BodyLength::UntilClose),
        (1.., 1..) => Err(ResponseError::TwoFramings),
        (0, 1) if coding.value.of(buf).eq_ignore_ascii_case(b"chunked") => Ok(BodyLength::Chunked),
        (0, _) => Err(ResponseError::UnknownTransferCoding),
        (count, 0) => {
            let read = |value: Span| decimal(value.of(buf)).map_err(|_| ResponseError::BadContentLength);
            let first = read(length.value)?;
            if count > 1 {
                for field in fields.iter().filter(|field| field.kind == Name::ContentLength) {
                    if read(field.value)? != first {
                        return Err(ResponseError::ContentLengthsDiffer);
                    }
                }
            }
            Ok(BodyLength::Length(first))
        }
    }
}
