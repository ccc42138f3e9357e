//! Which answers of applications are coded on their way to the client (RFC 9110 8.4), and what that changes in their heads.

use vestibule_coding::{Accepted, fits};
use vestibule_config::{Coding, Compress};
use vestibule_http1::{BodyLength, Name, ResponseHead, field};

use crate::request::Request;

/// What becomes of the body of an application's answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compression {
    /// The coding that it gets.
    pub coding: Option<Coding>,
    /// How long it then is, where that is known before its head is written.
    pub length: Option<u64>,
    vary: Vary,
    /// Whether the client has the answer by the name that its coded form goes by, and is told that it is still the same.
    is_known_coded: bool,
}

/// What there is to say of `Accept-Encoding` in `Vary` (RFC 9110 12.5.5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Vary {
    /// Nothing: all clients get the same, or it says so already.
    #[default]
    Silent,
    /// It is to be added to the first field.
    Joins,
    /// It becomes a field of its own.
    Alone,
}

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treated<'v> {
    /// It passes as it is.
    Same,
    /// It is left out.
    Gone,
    /// Its value is made of these.
    Joined([&'v [u8]; 3]),
}

/// What a weak tag ends with that stands for a strong one of the application. A tag that an application makes itself does not, and so we
/// know what to ask it for when the client comes back: Rack compares tags to the letter.
const MARK: &[u8] = b"~coded";

impl Compression {
    /// What becomes of the body behind `head`, the answer to `request`, on a route that says `compress`.
    ///
    /// Any status will do that has a page of its own: a form's 422 is one like others, what a redirect says nobody reads. Not what is
    /// coded already or must not be (`no-transform`, RFC 9111 5.2.2.6), parts of something, what is short, and types that do not shrink.
    #[must_use]
    pub fn of(compress: &Compress, request: &Request<'_>, (head, bytes): (&ResponseHead, &[u8])) -> Self {
        if compress.codings.is_empty() || matches!(head.status, 100..=199 | 204..=205 | 300..=303 | 305..=399)
        {
            return Compression::default();
        }
        let about = Answered::by(head, bytes);
        let is_revalidated = head.status == 304;
        // It varies as the whole does (RFC 9110 15.3.7), and stays what it is.
        let is_part = head.status == 206;
        let length = match head.body {
            BodyLength::Length(length) => Some(length),
            BodyLength::None => head.promised,
            BodyLength::Chunked | BodyLength::UntilClose => None,
        };
        let is_fit = match about.content_type {
            Some(kind) => fits(compress, kind),
            // Most leave it out of a 304, which has to vary as the 200 did (RFC 9110 15.4.5).
            None => is_revalidated,
        };
        if !is_fit
            || (about.is_fixed && !is_part)
            || (!is_revalidated && !is_part && length.is_some_and(|length| length < compress.least.max(1)))
        {
            return Compression::default();
        }
        let asked = AskedFor::by(request);
        let is_known_coded = is_revalidated && about.tag.is_some_and(|tag| asked.has_coded(tag));
        let is_coded = !is_revalidated && !is_part && !asked.is_fixed;
        let coding = if is_coded { asked.accepted.choose(&compress.codings) } else { None };
        Compression { coding, length: None, vary: about.vary, is_known_coded }
    }

    /// Whether the head passes as it is.
    #[inline]
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.coding.is_none() && self.vary == Vary::Silent && !self.is_known_coded
    }

    /// Whether this tells a client of the coded form that it has, whose length nobody knows.
    #[inline]
    #[must_use]
    pub fn is_of_coded(&self) -> bool {
        self.is_known_coded
    }

    /// How the end of the body is known, which is `plain` where it is not coded.
    #[inline]
    #[must_use]
    pub fn body(&self, plain: BodyLength) -> BodyLength {
        match (self.coding, plain) {
            (None, plain) | (_, plain @ BodyLength::None) => plain,
            (Some(_), _) => self.length.map_or(BodyLength::Chunked, BodyLength::Length),
        }
    }

    /// What becomes of a field of the answer; to be asked about each, in their order.
    pub fn treat<'v>(&mut self, name: &[u8], value: &'v [u8]) -> Treated<'v> {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        if is(b"vary") && self.vary == Vary::Joins {
            self.vary = Vary::Silent;
            return match value {
                b"" => Treated::Joined([b"Accept-Encoding", b"", b""]),
                value => Treated::Joined([value, b", Accept-Encoding", b""]),
            };
        }
        if is(b"etag") && (self.coding.is_some() || self.is_known_coded) {
            return match value {
                [b'W', b'/', ..] => Treated::Same,
                // What is coded is not the same to the letter (RFC 9110 8.8.1), and may be coded otherwise tomorrow.
                [b'"', tag @ .., b'"'] => Treated::Joined([b"W/\"", tag, b"~coded\""]),
                _ => Treated::Gone,
            };
        }
        // They tell of the bytes that were: their ranges (RFC 9110 14.3) and sums (RFC 9530 2, 3).
        let tells_of_bytes = || {
            is(b"accept-ranges")
                || is(b"content-md5")
                || is(b"digest")
                || is(b"content-digest")
                || is(b"repr-digest")
        };
        if self.coding.is_some() && tells_of_bytes() { Treated::Gone } else { Treated::Same }
    }

    /// The fields that the answer has beside its own, after all of those were treated that pass.
    pub fn added(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let coding = self.coding.map(|coding| ("Content-Encoding", coding.as_str()));
        let vary = (self.vary != Vary::Silent).then_some(("Vary", "Accept-Encoding"));
        coding.into_iter().chain(vary)
    }
}

/// What an answer's head says that decides.
struct Answered<'a> {
    content_type: Option<&'a [u8]>,
    tag: Option<&'a [u8]>,
    /// Whether its bytes are to stay as they are.
    is_fixed: bool,
    vary: Vary,
}

impl<'a> Answered<'a> {
    fn by(head: &ResponseHead, bytes: &'a [u8]) -> Self {
        let mut about = Answered { content_type: None, tag: None, is_fixed: false, vary: Vary::Alone };
        let mut says_all = false;
        for line in &head.fields {
            let (name, value) = (line.name.of(bytes), line.value.of(bytes));
            match line.kind {
                // With two it is anybody's guess what it is.
                Name::ContentType => about.is_fixed |= about.content_type.replace(value).is_some(),
                Name::Other => {
                    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
                    match name.len() {
                        4 if is(b"etag") => about.tag = Some(value),
                        4 if is(b"vary") => {
                            says_all |= has(value, b"accept-encoding") || has(value, b"*");
                            about.vary = Vary::Joins;
                        }
                        13 if is(b"content-range") => about.is_fixed = true,
                        13 if is(b"cache-control") => about.is_fixed |= has(value, b"no-transform"),
                        16 if is(b"content-encoding") => about.is_fixed = true,
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        if says_all {
            about.vary = Vary::Silent;
        }
        about
    }
}

/// What a request says that decides.
struct AskedFor<'r, 'a> {
    request: &'r Request<'a>,
    accepted: Accepted,
    /// Whether it wants the bytes as they are (RFC 9111 5.2.1.6).
    is_fixed: bool,
}

impl<'r, 'a> AskedFor<'r, 'a> {
    fn by(request: &'r Request<'a>) -> Self {
        let mut asked = AskedFor { request, accepted: Accepted::default(), is_fixed: false };
        for (name, value) in asked.fields() {
            if name.eq_ignore_ascii_case(b"accept-encoding") {
                asked.accepted = asked.accepted.and(value);
            } else if name.eq_ignore_ascii_case(b"cache-control") {
                asked.is_fixed |= has(value, b"no-transform");
            }
        }
        asked
    }

    fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let Request { head, bytes, .. } = *self.request;
        let fields = head.fields.iter().filter(|line| line.kind == Name::Other);
        fields.map(move |line| (line.name.of(bytes), line.value.of(bytes)))
    }

    /// Whether the client has the coded form of what goes by the strong tag `tag`.
    fn has_coded(&self, tag: &[u8]) -> bool {
        let [b'"', tag @ .., b'"'] = tag else { return false };
        let coded = [b"W/\"", tag, MARK, b"\""].concat();
        self.fields().any(|(name, value)| {
            is_condition(name) && value.windows(coded.len()).any(|window| window == coded)
        })
    }
}

/// Whether a list has the element `name`, given in lower case, whatever its argument.
pub(crate) fn has(list: &[u8], name: &[u8]) -> bool {
    list.split(|&byte| byte == b',').any(|element| {
        let element = element.split(|&byte| byte == b'=').next().unwrap_or_default();
        element.trim_ascii().eq_ignore_ascii_case(name)
    })
}

/// Whether a field of a request names tags that the application compares with its own. Not `If-Range`: parts of what was coded do not go
/// together with parts of what was not.
#[inline]
pub(crate) fn is_condition(name: &[u8]) -> bool {
    match name.len() {
        8 => name.eq_ignore_ascii_case(b"if-match"),
        13 => name.eq_ignore_ascii_case(b"if-none-match"),
        _ => false,
    }
}

/// Writes such a field with the tags as the application gave them. On routes that compress nothing too: the client may have them from when
/// that was otherwise.
pub(crate) fn write_condition(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let find = |value: &[u8]| {
        value.windows(MARK.len() + 1).position(|window| window.strip_prefix(MARK) == Some(b"\""))
    };
    let Some(mut at) = find(value) else { return field(out, name, value) };
    let mut restored = Vec::with_capacity(value.len());
    let mut rest = value;
    loop {
        let (before, mark) = rest.split_at(at);
        let opening = before.iter().rposition(|&byte| byte == b'"').unwrap_or(0);
        let (others, tag) = before.split_at(opening);
        match others.strip_suffix(b"W/") {
            Some(others) => restored.extend([others, tag, b"\""].concat()),
            None => restored.extend([before, MARK, b"\""].concat()),
        }
        rest = mark.get(MARK.len() + 1..).unwrap_or_default();
        match find(rest) {
            Some(next) => at = next,
            None => break,
        }
    }
    restored.extend_from_slice(rest);
    field(out, name, &restored);
}

#[cfg(test)]
mod tests;
