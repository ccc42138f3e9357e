//! A header block becomes the head of an HTTP/1.1 request, or is malformed (RFC 9113 8.1 to 8.5, RFC 8441).
//!
//! Every byte is checked before it is written: nothing that stands in a field can end it, or become another.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::bytes::{AUTHORITY, NAME, TARGET, TOKEN, is_all, is_value};
use crate::connection::Kind;

mod trailers;

pub(crate) use trailers::Trailers;

/// Takes the fields of a request's header block and writes its head. Reused: it keeps what it has allocated.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// The head in HTTP/1 form.
    lines: Vec<u8>,
    /// The values of the pseudo-fields, one behind the other, until the request line is written.
    pseudo: Vec<u8>,
    /// Where they end in it; 0: not there. In the order of [`Pseudo`].
    values: [Option<(u32, u32)>; 5],
    /// The cookies, joined.
    cookies: Vec<u8>,
    fields: usize,
    most_fields: usize,
    /// What the request line said that it is, once it is written.
    kind: Option<Kind>,
    host: bool,
    length: Option<u64>,
    fault: Option<&'static str>,
}

/// What a whole head comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    pub(crate) kind: Kind,
    /// Content-Length.
    pub(crate) length: Option<u64>,
}

/// The pseudo-fields of a request (RFC 9113 8.3.1, RFC 8441 4).
#[derive(Clone, Copy)]
enum Pseudo {
    Method,
    Scheme,
    Authority,
    Path,
    Protocol,
}

impl Head {
    /// Forgets the last head; the next may have `most_fields`.
    pub(crate) fn begin(&mut self, most_fields: usize) {
        self.clear();
        self.values = [None; 5];
        (self.fields, self.most_fields) = (0, most_fields);
        (self.kind, self.host, self.length, self.fault) = (None, false, None, None);
    }

    fn clear(&mut self) {
        self.lines.clear();
        self.pseudo.clear();
        self.cookies.clear();
    }

    /// The head in HTTP/1 form.
    pub(crate) fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// Takes one field. After a fault, or one field too many, it ignores the others.
    #[inline]
    pub(crate) fn field(&mut self, name: &[u8], value: &[u8]) {
        if self.fault.is_some() || self.fields > self.most_fields {
            return;
        }
        let taken = match name {
            [b':', ..] => self.pseudo_field(name, value),
            _ => self.regular_field(name, value),
        };
        self.fault = taken.err();
    }

    /// Ends the head; `end`: no body follows. `whole`: all fields of the block were handed on.
    pub(crate) fn finish(&mut self, end: bool, whole: bool) -> Result<Outline, &'static str> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if !whole || self.fields > self.most_fields {
            self.clear();
            return Ok(Outline { kind: Kind::TooLarge, length: None });
        }
        let kind = self.begin_fields()?;
        if !self.host {
            return Err("a request has neither :authority nor host");
        }
        if !self.cookies.is_empty() {
            write_line(&mut self.lines, b"cookie", &self.cookies);
        }
        if end && self.length.is_some_and(|length| length > 0) {
            return Err("a request without a body has a content-length");
        }
        if !end && self.length.is_none() && kind == Kind::Usual {
            write_line(&mut self.lines, b"transfer-encoding", b"chunked");
        }
        self.lines.extend_from_slice(b"\r\n");
        Ok(Outline { kind, length: self.length })
    }

    /// The memory that is allocated, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.lines.capacity() + self.pseudo.capacity() + self.cookies.capacity()
    }

    fn pseudo_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let which = match name {
            b":method" => Pseudo::Method,
            b":scheme" => Pseudo::Scheme,
            b":authority" => Pseudo::Authority,
            b":path" => Pseudo::Path,
            b":protocol" => Pseudo::Protocol,
            _ => return Err("a pseudo-field is none of a request's"),
        };
        if self.kind.is_some() {
            return Err("a pseudo-field stands behind another field");
        }
        let start = self.pseudo.len() as u32;
        self.pseudo.extend_from_slice(value);
        let place = self.values.get_mut(which as usize).ok_or("a pseudo-field is unknown")?;
        match place.replace((start, self.pseudo.len() as u32)) {
            None => Ok(()),
            Some(_) => Err("a pseudo-field stands there twice"),
        }
    }

    /// The value of a pseudo-field that is there.
    fn value(&self, which: Pseudo) -> Option<&[u8]> {
        let (start, end) = (*self.values.get(which as usize)?)?;
        self.pseudo.get(start as usize..end as usize)
    }

    /// Writes the request line, when the pseudo-fields are through, and what goes with it. Gives what kind of request it is.
    fn begin_fields(&mut self) -> Result<Kind, &'static str> {
        if let Some(kind) = self.kind {
            return Ok(kind);
        }
        // Empty as yet; lent out while the values are looked at.
        let mut lines = std::mem::take(&mut self.lines);
        let method = self.value(Pseudo::Method).ok_or(":method is missing")?;
        if !is_all(method, TOKEN) {
            return Err(":method is no token");
        }
        let authority = self.value(Pseudo::Authority);
        if authority.is_some_and(|authority| !is_all(authority, AUTHORITY)) {
            return Err(":authority is no host and port");
        }
        let protocol = self.value(Pseudo::Protocol);
        let kind = match (method, protocol) {
            (b"CONNECT", None) => {
                if self.value(Pseudo::Scheme).is_some() || self.value(Pseudo::Path).is_some() {
                    return Err("CONNECT has :scheme or :path");
                }
                write_request_line(&mut lines, method, authority.ok_or("CONNECT has no :authority")?);
                Kind::Connect
            }
            (b"CONNECT", Some(protocol)) => {
                if !protocol.split(|byte| *byte == b'/').all(|part| is_all(part, TOKEN)) {
                    return Err(":protocol is no protocol");
                }
                if authority.is_none() {
                    return Err(":protocol stands there without :authority");
                }
                write_request_line(&mut lines, b"GET", self.target(b"GET")?);
                Kind::Tunnel
            }
            (_, Some(_)) => return Err(":protocol stands there without CONNECT"),
            (_, None) => {
                write_request_line(&mut lines, method, self.target(method)?);
                Kind::Usual
            }
        };
        if let Some(authority) = authority {
            write_line(&mut lines, b"host", authority);
        }
        if let (Kind::Tunnel, Some(protocol)) = (kind, protocol) {
            write_line(&mut lines, b"connection", b"Upgrade");
            write_line(&mut lines, b"upgrade", protocol);
            if protocol.eq_ignore_ascii_case(b"websocket") {
                write_line(&mut lines, b"sec-websocket-key", &websocket_key()?);
            }
        }
        self.host = authority.is_some();
        self.lines = lines;
        self.kind = Some(kind);
        Ok(kind)
    }

    /// The target of any request but a usual CONNECT: :scheme has to be there too (RFC 9113 8.3.1).
    fn target(&self, method: &[u8]) -> Result<&[u8], &'static str> {
        let scheme = self.value(Pseudo::Scheme).ok_or(":scheme is missing")?;
        if !scheme.eq_ignore_ascii_case(b"https") && !scheme.eq_ignore_ascii_case(b"http") {
            return Err(":scheme is neither http nor https");
        }
        let path = self.value(Pseudo::Path).ok_or(":path is missing")?;
        let has_form = path.starts_with(b"/") || (path == b"*" && method == b"OPTIONS");
        if has_form && is_all(path, TARGET) { Ok(path) } else { Err(":path is malformed") }
    }

    fn regular_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let kind = self.begin_fields()?;
        self.fields += 1;
        check(name, value)?;
        match name {
            b"host" => return self.host_field(value),
            b"content-length" => {
                if kind == Kind::Tunnel {
                    return Err("a tunnel has a content-length");
                }
                let length = decimal(value).ok_or("content-length is no number")?;
                if self.length.replace(length).is_some() {
                    return Err("content-length stands there twice");
                }
            }
            b"cookie" => {
                // Split for the sake of compression (RFC 9113 8.2.3); one field again for HTTP/1.
                if !self.cookies.is_empty() && !value.is_empty() {
                    self.cookies.extend_from_slice(b"; ");
                }
                self.cookies.extend_from_slice(value);
                return Ok(());
            }
            // Ours stands there (RFC 8441 5.1: it means nothing in HTTP/2).
            b"sec-websocket-key" if kind == Kind::Tunnel => return Ok(()),
            _ => {}
        }
        write_line(&mut self.lines, name, value);
        Ok(())
    }

    /// Host may say again what :authority says, or say it alone (RFC 9113 8.3.1).
    fn host_field(&mut self, value: &[u8]) -> Result<(), &'static str> {
        match self.value(Pseudo::Authority) {
            Some(authority) if authority.eq_ignore_ascii_case(value) => Ok(()),
            Some(_) => Err("host differs from :authority"),
            None if self.host => Err("host stands there twice"),
            None if !is_all(value, AUTHORITY) => Err("host is no host and port"),
            None => {
                self.host = true;
                write_line(&mut self.lines, b"host", value);
                Ok(())
            }
        }
    }
}

/// Checks a field that is no pseudo-field, as a head and as trailers may have it (RFC 9113 8.2).
fn check(name: &[u8], value: &[u8]) -> Result<(), &'static str> {
    if !is_all(name, NAME) {
        return Err("a field's name is no token in lower case");
    }
    if !is_value(value) {
        return Err("a field's value has a control character, or white space around it");
    }
    match name {
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade"
        | b"http2-settings" => Err("a field belongs to an HTTP/1 connection"),
        b"te" if !value.eq_ignore_ascii_case(b"trailers") => Err("te is not trailers"),
        _ => Ok(()),
    }
}

fn write_request_line(lines: &mut Vec<u8>, method: &[u8], target: &[u8]) {
    lines.reserve(512); // most heads, in one piece
    lines.extend_from_slice(method);
    lines.push(b' ');
    lines.extend_from_slice(target);
    lines.extend_from_slice(b" HTTP/1.1\r\n");
}

#[inline]
fn write_line(lines: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    lines.reserve(name.len() + value.len() + 4);
    lines.extend_from_slice(name);
    lines.extend_from_slice(b": ");
    lines.extend_from_slice(value);
    lines.extend_from_slice(b"\r\n");
}

/// The number that `digits` writes: decimal digits only, at least one, of 64 bits.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

/// A fresh key for the handshake of RFC 6455 4.1, in base64: nobody on the way to the application knows it beforehand.
fn websocket_key() -> Result<[u8; 24], &'static str> {
    let (mut random, mut key) = ([0; 16], [0; 24]);
    getrandom::fill(&mut random).map_err(|_| "the system has no random bytes for a key")?;
    match STANDARD.encode_slice(random, &mut key) {
        Ok(24) => Ok(key),
        _ => Err("the key has another length"),
    }
}

#[cfg(test)]
mod tests;
