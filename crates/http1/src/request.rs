//! The head of a request.

use crate::authority;
use crate::bytes::{NotDecimal, TARGET, TOKEN, decimal, skip_class};
use crate::connection::{Options, members};
use crate::error::RequestError;
use crate::field::{Field, Name};
use crate::method::Method;
use crate::path::write_canonical;
use crate::section::{HeadLimits, Notes, Version, end_of_line, parse_fields, scan_for_end};
use crate::span::Span;

#[cfg(test)]
mod tests;

/// Empty lines before a request line that are forgiven (RFC 9112 2.2): some clients end a body with one.
const LEADING_LINES: usize = 4;
/// Longest method taken; the longest registered one has 17 bytes.
const METHOD: usize = 32;

/// How the end of a request's body is known (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body, and nothing said so.
    #[default]
    None,
    /// As many bytes as Content-Length says, which may be 0.
    Length(u64),
    /// By the chunked coding.
    Chunked,
}

/// The head of a request: everything up to its empty line, as [`Span`]s of the buffer it was parsed from.
///
/// Made to be reused: [`RequestHead::parse`] overwrites it and keeps what `fields` has allocated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// The method, in the case it came in.
    pub method: Span,
    /// Which method it is.
    pub method_kind: Method,
    /// The request target as it came: `/path?query`, `http://host/path?query` or `*`.
    pub target: Span,
    /// Path and query of the target; `*` for `OPTIONS *`. See `path_is_root`.
    pub path_and_query: Span,
    /// Whether the target is an absolute one that has no path (`http://host`, `http://host?query`): a `/` is
    /// then to be thought before `path_and_query`, which is empty or begins with `?`. The methods
    /// [`RequestHead::path`] and [`RequestHead::write_path_and_query`] know.
    pub path_is_root: bool,
    /// The path as [`write_canonical`] has it; empty where it came so.
    canonical: Vec<u8>,
    /// The version the client speaks.
    pub version: Version,
    /// The field lines in their order.
    pub fields: Vec<Field>,
    /// Host and port the request is for: those of an absolute target, else those of Host (RFC 9112 3.2.2).
    /// Empty only in an HTTP/1.0 request that has neither.
    pub host: Span,
    /// How the end of the body is known.
    pub framing: Framing,
    /// Whether the client would use its connection again: unless it says `close` in HTTP/1.1, if it says
    /// `keep-alive` in HTTP/1.0 (RFC 9112 9.3).
    pub keep_alive: bool,
    /// What the client would change the protocol to: the value of its only Upgrade field, when Connection
    /// names it and the version is 1.1 (RFC 9110 7.8).
    pub upgrade: Option<Span>,
    /// Whether the client waits for a 100 before it sends the body (RFC 9110 10.1.1).
    pub expect_continue: bool,
    /// Whether it expects anything but that, which nobody here can meet (RFC 9110 10.1.1: 417). What an HTTP/1.0 client
    /// expects is ignored.
    pub expect_unknown: bool,
    /// Length of the head in bytes: with the empty line that ends it, and any before it.
    pub len: usize,
    options: Options,
}

impl RequestHead {
    /// Parses a head from the beginning of `buf`, which may hold more than the head, or only a part of it.
    ///
    /// `scanned` is 0 for a new head and is otherwise handed back as the call before left it, with the same
    /// bytes at the front of `buf`: however slowly a head comes in, its bytes are looked at a fixed number of
    /// times. It is 0 again when the head is complete.
    ///
    /// Gives whether the head is complete. While it is not, what `self` holds means nothing.
    ///
    /// # Errors
    /// The first fault found, as soon as it can be known, sometimes before the head is complete.
    #[inline]
    pub fn parse(
        &mut self,
        buf: &[u8],
        scanned: &mut usize,
        limits: &HeadLimits,
    ) -> Result<bool, RequestError> {
        let most = limits.bytes.min(u32::MAX as usize);
        let window = buf.get(..most).unwrap_or(buf);
        let first = first_line(window)?;
        // A head mostly comes whole: then one pass does it. Else wait for its end before trying again.
        if *scanned == 0 {
            if self.parse_whole(window, first, limits)? {
                return Ok(true);
            }
            scan_for_end(window, scanned, first)?;
        } else if self.parse_rest(window, scanned, first, limits)? {
            *scanned = 0;
            return Ok(true);
        }
        if buf.len() >= most { Err(too_large(window, first)) } else { Ok(false) }
    }

    /// Goes on with a head of which `scanned` bytes were there before.
    fn parse_rest(
        &mut self,
        window: &[u8],
        scanned: &mut usize,
        first: usize,
        limits: &HeadLimits,
    ) -> Result<bool, RequestError> {
        let before = *scanned;
        if scan_for_end(window, scanned, first)? {
            return self.parse_whole(window, first, limits);
        }
        // A bad request line is refused when it is there, not when a head that may never end does.
        let news = window.get(before..).unwrap_or_default();
        if memchr::memchr(b'\n', news).is_some() {
            let line = window.get(first..).unwrap_or_default();
            if memchr::memchr(b'\n', line).is_some_and(|end| first + end >= before) {
                self.parse_whole(window, first, limits)?;
            }
        }
        Ok(false)
    }

    /// Parses the head whose request line begins at `first`, in one pass; gives whether it is complete.
    fn parse_whole(&mut self, buf: &[u8], first: usize, limits: &HeadLimits) -> Result<bool, RequestError> {
        self.fields.clear();
        let Some((line_end, absolute)) = self.parse_line(buf, first)? else { return Ok(false) };
        let Some((end, notes)) = parse_fields(buf, line_end, limits.fields, &mut self.fields)? else {
            return Ok(false);
        };
        self.host = host(buf, self.version, absolute, &notes)?;
        self.framing = framing(buf, self.version, &notes)?;
        self.options = notes.connection;
        if self.options.are_too_many() {
            return Err(RequestError::TooManyOptions);
        }
        let is_11 = self.version == Version::Http11;
        self.keep_alive = !self.options.close && (is_11 || self.options.keep_alive);
        self.upgrade = notes.upgrade.only().filter(|_| is_11 && self.options.upgrade);
        (self.expect_continue, self.expect_unknown) =
            if is_11 && notes.expect.count > 0 { expectations(buf, &self.fields) } else { (false, false) };
        self.len = end;
        Ok(true)
    }

    /// Parses the request line at `start`: method, one space, target, one space, version, CRLF.
    ///
    /// Gives the offset after it and the authority of an absolute target, or `None` if it is not complete.
    #[inline]
    fn parse_line(
        &mut self,
        buf: &[u8],
        start: usize,
    ) -> Result<Option<(usize, Option<Span>)>, RequestError> {
        let end = skip_class(buf, start, TOKEN);
        if end - start > METHOD {
            return Err(RequestError::MethodTooLong);
        }
        match buf.get(end) {
            None => return Ok(None),
            Some(b' ') if end > start => {}
            Some(b'\n') => return Err(crate::FieldError::BareLf.into()),
            Some(b'\r') if buf.len() == end + 1 => return Ok(None),
            Some(_) => return Err(RequestError::BadMethod),
        }
        self.method = Span::new(start, end);
        self.method_kind = Method::classify(self.method.of(buf));
        if self.method_kind == Method::Connect {
            return Err(RequestError::Connect);
        }

        let start = end + 1;
        let end = skip_class(buf, start, TARGET);
        match buf.get(end) {
            None => return Ok(None),
            Some(b' ') => {}
            Some(_) => return Err(RequestError::BadTarget),
        }
        self.target = Span::new(start, end);
        let absolute = self.split_target(buf)?;
        let mut canonical = std::mem::take(&mut self.canonical);
        canonical.clear();
        write_canonical(self.path(buf), &mut canonical);
        self.canonical = canonical;

        let start = end + 1;
        let end = start + 8;
        match buf.get(start..end) {
            Some(b"HTTP/1.1") => self.version = Version::Http11,
            Some(b"HTTP/1.0") => self.version = Version::Http10,
            Some(text) => return Err(bad_version(text, buf.get(end))),
            None => {
                let rest = buf.get(start..).unwrap_or_default();
                // Short of a version: fine while it may yet become one.
                let begun = rest.iter().zip(b"HTTP/").all(|(a, b)| a == b) && !rest.contains(&b'\r');
                return if begun { Ok(None) } else { Err(RequestError::BadVersion) };
            }
        }
        match end_of_line(buf, end) {
            Ok(next) => Ok(next.map(|next| (next, absolute))),
            Err(crate::FieldError::BadValue) => Err(RequestError::BadVersion),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells the forms of a target apart (RFC 9112 3.2), fills in path and query, gives an absolute one's host.
    #[inline]
    fn split_target(&mut self, buf: &[u8]) -> Result<Option<Span>, RequestError> {
        let target = self.target.of(buf);
        self.path_and_query = self.target;
        self.path_is_root = false;
        match target {
            [b'/', ..] => return Ok(None),
            b"*" if self.method_kind == Method::Options => return Ok(None),
            _ => {}
        }
        let scheme = [b"http://".as_slice(), b"https://"]
            .into_iter()
            .find(|scheme| target.get(..scheme.len()).is_some_and(|t| t.eq_ignore_ascii_case(scheme)))
            .ok_or(RequestError::BadTarget)?;
        let rest = target.get(scheme.len()..).unwrap_or_default();
        let length = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
        if !authority::is_valid(rest.get(..length).unwrap_or_default()) {
            return Err(RequestError::BadTarget);
        }
        let start = self.target.start as usize + scheme.len();
        let host = Span::new(start, start + length);
        self.path_and_query = Span { start: host.end, end: self.target.end };
        self.path_is_root = rest.get(length) != Some(&b'/');
        Ok(Some(host))
    }

    /// The path of the target, without its query: `/…`, or `*`.
    pub fn path<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        if self.path_is_root {
            return b"/";
        }
        let whole = self.path_and_query.of(buf);
        whole.get(..memchr::memchr(b'?', whole).unwrap_or(whole.len())).unwrap_or_default()
    }

    /// What the path means, however it is written: what routes are chosen by, and files are found by. See [`write_canonical`].
    pub fn canonical_path<'a>(&'a self, buf: &'a [u8]) -> &'a [u8] {
        if self.canonical.is_empty() { self.path(buf) } else { &self.canonical }
    }

    /// Whether it is OPTIONS for the server as a whole: `OPTIONS *`, or an absolute target without path and query, which
    /// means the same (RFC 9112 3.2.4).
    pub fn is_for_server(&self, buf: &[u8]) -> bool {
        let target = self.path_and_query.of(buf);
        self.method_kind == Method::Options && (target == b"*" || (self.path_is_root && target.is_empty()))
    }

    /// Appends the target to send on: path and query as they came, the host of an absolute target left out.
    /// An absolute target without path and query is `*` to OPTIONS (RFC 9112 3.2.4).
    #[inline]
    pub fn write_path_and_query(&self, buf: &[u8], out: &mut Vec<u8>) {
        if self.path_is_root {
            let server = self.method_kind == Method::Options && self.path_and_query.is_empty();
            out.push(if server { b'*' } else { b'/' });
        }
        out.extend_from_slice(self.path_and_query.of(buf));
    }

    /// Whether Connection names the field `name`, in any case, as one for this hop alone (RFC 9110 7.6.1).
    ///
    /// Nothing keeps a client from naming Host, Content-Length or a field this front-end adds: leave out what is
    /// named first, and write one's own fields after.
    #[inline]
    pub fn is_nominated(&self, buf: &[u8], name: &[u8]) -> bool {
        self.options.nominates(&self.fields, buf, name)
    }

    /// Whether Connection names anything but `close`, `keep-alive` and `upgrade`.
    #[inline]
    pub fn nominates_fields(&self) -> bool {
        self.options.others
    }

    /// Whether the client says that it takes trailer fields (RFC 9110 10.1.4).
    pub fn takes_trailers(&self, buf: &[u8]) -> bool {
        self.fields
            .iter()
            .filter(|field| field.kind == Name::Te)
            .flat_map(|field| field.value.of(buf).split(|&byte| byte == b','))
            .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    }

    /// The value of the first field of that name.
    #[inline]
    pub fn field<'a>(&self, buf: &'a [u8], name: Name) -> Option<&'a [u8]> {
        self.fields.iter().find(|field| field.kind == name).map(|field| field.value.of(buf))
    }
}

/// Whether the Expect fields hold `100-continue`, and whether they hold anything else (RFC 9110 10.1.1: a list).
#[cold]
fn expectations(buf: &[u8], fields: &[Field]) -> (bool, bool) {
    let values = fields.iter().filter(|field| field.kind == Name::Expect).map(|field| field.value.of(buf));
    let known = values.flat_map(members).map(|member| member.eq_ignore_ascii_case(b"100-continue"));
    known.fold((false, false), |(continues, unknown), is_known| (continues | is_known, unknown | !is_known))
}

/// Where the request line begins: after the empty lines that are forgiven.
#[inline]
fn first_line(buf: &[u8]) -> Result<usize, RequestError> {
    let mut at = 0;
    while buf.get(at..at + 2) == Some(b"\r\n") {
        at += 2;
        if at > 2 * LEADING_LINES {
            return Err(RequestError::EmptyLines);
        }
    }
    Ok(at)
}

/// Which limit a head broke that is longer than `buf`, the most it may have.
#[cold]
fn too_large(buf: &[u8], first: usize) -> RequestError {
    let head = buf.get(first..).unwrap_or_default();
    let method = skip_class(head, 0, TOKEN);
    if memchr::memchr(b'\n', head).is_some() {
        RequestError::HeadTooLarge
    } else if method > METHOD {
        RequestError::MethodTooLong
    } else {
        RequestError::TargetTooLong
    }
}

/// What is wrong with a version that is neither 1.0 nor 1.1: its form, or only its digits.
#[cold]
fn bad_version(text: &[u8], next: Option<&u8>) -> RequestError {
    match text {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() && matches!(next, None | Some(b'\r')) =>
        {
            RequestError::UnsupportedVersion
        }
        _ => RequestError::BadVersion,
    }
}

/// The host a request is for. Host must be there and valid even where an absolute target beats it.
#[inline]
fn host(buf: &[u8], version: Version, absolute: Option<Span>, notes: &Notes) -> Result<Span, RequestError> {
    let host = notes.host;
    match (host.count, version) {
        (0, Version::Http10) => {}
        (0, Version::Http11) => return Err(RequestError::NoHost),
        (1, Version::Http10) if host.value.is_empty() => {}
        (1, _) => {
            if !authority::is_valid(host.value.of(buf)) {
                return Err(RequestError::BadHost);
            }
        }
        _ => return Err(RequestError::RepeatedHost),
    }
    Ok(absolute.unwrap_or(host.value))
}

/// How the body is framed. Every doubt is an error: a doubt is how a request is smuggled (RFC 9112 6.1, 6.3, 11.2).
#[inline]
fn framing(buf: &[u8], version: Version, notes: &Notes) -> Result<Framing, RequestError> {
    let (length, coding) = (notes.content_length, notes.transfer_encoding);
    match (length.count, coding.count) {
        (0, 0) => Ok(Framing::None),
        (1, 0) => match decimal(length.value.of(buf)) {
            Ok(length) => Ok(Framing::Length(length)),
            Err(NotDecimal::Malformed) => Err(RequestError::BadContentLength),
            Err(NotDecimal::TooLarge) => Err(RequestError::ContentLengthTooLarge),
        },
        (_, 0) => Err(RequestError::RepeatedContentLength),
        (1.., _) => Err(RequestError::TwoFramings),
        (0, _) if version == Version::Http10 => Err(RequestError::TransferEncodingIn10),
        (0, 1) if coding.value.of(buf).eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (0, 1) => Err(RequestError::UnknownTransferCoding),
        (0, _) => Err(RequestError::RepeatedTransferEncoding),
    }
}
