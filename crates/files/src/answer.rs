//! What is asked for a file, and what is answered.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::conditions::{self, Verdict};
use crate::open_file::OpenFile;
use crate::ranges::{self, Wanted};
use crate::shelved::{Content, Variant};

/// What of a request matters here. Of several lines of one field, the values come joined by commas.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// HEAD, and not GET: other methods are not for files.
    pub method_is_head: bool,
    /// The path that is looked up, percent-encoded, without the query.
    pub path: &'a [u8],
    /// Path and query as the client knows them: where a directory's slash is missing, it is sent there with one.
    pub target: &'a [u8],
    /// `Accept-Encoding`
    pub accept_encoding: Option<&'a [u8]>,
    /// Whether `Cache-Control` says `no-transform`: nothing is coded for this one (RFC 9111 5.2.1.6).
    pub no_transform: bool,
    /// `If-None-Match`
    pub if_none_match: Option<&'a [u8]>,
    /// `If-Match`
    pub if_match: Option<&'a [u8]>,
    /// `If-Modified-Since`
    pub if_modified_since: Option<&'a [u8]>,
    /// `If-Unmodified-Since`
    pub if_unmodified_since: Option<&'a [u8]>,
    /// `Range`
    pub range: Option<&'a [u8]>,
    /// `If-Range`
    pub if_range: Option<&'a [u8]>,
}

/// What there is for a path.
#[derive(Debug)]
pub enum Found {
    /// An answer.
    File(Answer),
    /// Nothing, or nothing that may be seen: whatever else may answer is next.
    Nothing,
    /// Something, which cannot be sent: the status, and why, for the log.
    Refused(u16, &'static str),
}

/// The answer to a request for a file.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status: 200, 206, 304, 308, 412, 416.
    pub status: u16,
    /// The fields, whole lines, but for `Date`, `Connection` and `Content-Length`.
    pub lines: Bytes,
    /// `Content-Length`, for the answer to HEAD too; none with a 304.
    pub length: Option<u64>,
    /// What follows the head. None for HEAD.
    pub body: Body,
}

/// The body of an [`Answer`].
#[derive(Debug, Clone)]
pub enum Body {
    /// None.
    None,
    /// In memory, shared with the shelf.
    Memory(Bytes),
    /// One after the other, from a file.
    Disk {
        /// The file. What it has to be when the last part is sent, [`OpenFile::check`] says.
        file: Arc<OpenFile>,
        /// What is sent of it; never empty.
        parts: Vec<Part>,
    },
}

/// A part of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text between two ranges (multipart/byteranges).
    Text(Bytes),
    /// A range of the file, not empty.
    Range(Range<u64>),
}

impl Part {
    fn length(&self) -> u64 {
        match self {
            Part::Text(text) => text.len() as u64,
            Part::Range(range) => range.end - range.start,
        }
    }
}

impl Answer {
    /// One without a body: `length` is for HEAD and those that have none.
    fn bare(status: u16, lines: Bytes, length: Option<u64>) -> Self {
        Answer { status, lines, length, body: Body::None }
    }

    /// Where the slash is that a directory's path lacks. With 308, as all that we redirect: unlike 301 it is kept by what is no
    /// GET (RFC 9110 15.4.9), and for a GET it is the same.
    pub(crate) fn with_slash(target: &[u8]) -> Self {
        let path = memchr::memchr(b'?', target).unwrap_or(target.len());
        let (path, query) = target.split_at_checked(path).unwrap_or((target, b""));
        let lines = [b"Location: ", path, b"/", query, b"\r\n"].concat();
        Answer::bare(308, lines.into(), Some(0))
    }
}

/// The fields of an application's answer that a file's goes out with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instead<'a> {
    /// 200, or what else it said: then nothing is conditional.
    pub(crate) status: u16,
    pub(crate) content_type: Option<&'a [u8]>,
    /// The others, whole lines.
    pub(crate) lines: &'a [u8],
}

/// The answer that sends `variant`, or not, as the conditions and ranges of `asked` have it.
pub(crate) fn of(variant: &Variant, asked: &Asked<'_>, instead: Option<Instead<'_>>) -> Answer {
    let plain = instead.is_none_or(|instead| instead.status == 200);
    let length = variant.length;
    if plain {
        match conditions::evaluate(asked, &variant.tag, variant.modified) {
            Verdict::Send => {}
            Verdict::Unchanged => return Answer::bare(304, with_lines(instead, &variant.unchanged), None),
            Verdict::Failed => return Answer::bare(412, with_lines(instead, &Bytes::new()), Some(0)),
        }
    }
    let range = asked.range.filter(|_| {
        plain && !asked.method_is_head && conditions::may_range(asked, &variant.tag, variant.modified)
    });
    let content_type = instead.and_then(|instead| instead.content_type).unwrap_or(&variant.content_type);
    match range.map_or(Wanted::Whole, |range| ranges::wanted(range, length)) {
        Wanted::Nothing => {
            let line = format!("Content-Range: bytes */{length}\r\n");
            Answer::bare(416, with_lines(instead, &line.into()), Some(0))
        }
        Wanted::Whole => Answer {
            status: instead.map_or(200, |instead| instead.status),
            lines: match instead {
                None => variant.lines.clone(),
                Some(_) => all_lines(variant, content_type, instead, ""),
            },
            length: Some(length),
            body: match &variant.content {
                _ if asked.method_is_head || length == 0 => Body::None,
                Content::Memory(bytes) => Body::Memory(bytes.clone()),
                Content::Disk(file) => {
                    Body::Disk { file: Arc::clone(file), parts: vec![Part::Range(0..length)] }
                }
            },
        },
        Wanted::Parts(parts) => partial(variant, (content_type, instead), &parts),
    }
}

/// A 206 with one part, or with several (RFC 9110 15.3.7).
fn partial(
    variant: &Variant,
    (content_type, instead): (&[u8], Option<Instead<'_>>),
    ranges: &[Range<u64>],
) -> Answer {
    let size = variant.length;
    let place =
        |range: &Range<u64>| format!("Content-Range: bytes {}-{}/{size}\r\n", range.start, range.end - 1);
    let (lines, parts) = match ranges {
        [range] => {
            (all_lines(variant, content_type, instead, &place(range)), vec![Part::Range(range.clone())])
        }
        several => {
            // Not to be foreseen by who made the file, so that no part can pass for the end of itself.
            let boundary = format!("{:016x}", RandomState::new().build_hasher().finish());
            let mut parts = Vec::with_capacity(2 * several.len() + 1);
            for range in several {
                let mut text = format!("\r\n--{boundary}\r\nContent-Type: ").into_bytes();
                text.extend_from_slice(content_type);
                text.extend_from_slice(b"\r\n");
                text.extend_from_slice(place(range).as_bytes());
                text.extend_from_slice(b"\r\n");
                parts.push(Part::Text(text.into()));
                parts.push(Part::Range(range.clone()));
            }
            parts.push(Part::Text(format!("\r\n--{boundary}--\r\n").into()));
            let several = format!("multipart/byteranges; boundary={boundary}");
            (all_lines(variant, several.as_bytes(), instead, ""), parts)
        }
    };
    let length = parts.iter().map(Part::length).sum();
    let body = match &variant.content {
        Content::Disk(file) => Body::Disk { file: Arc::clone(file), parts },
        Content::Memory(bytes) => {
            let piece = |part: &Part| match part {
                Part::Text(text) => text.clone(),
                Part::Range(range) => slice(bytes, range),
            };
            match parts.as_slice() {
                [only] => Body::Memory(piece(only)),
                _ => Body::Memory(parts.iter().map(piece).collect::<Vec<Bytes>>().concat().into()),
            }
        }
    };
    Answer { status: 206, lines, length: Some(length), body }
}

fn slice(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(place(range.start)..place(range.end))
}

/// The application's lines, and these.
fn with_lines(instead: Option<Instead<'_>>, lines: &Bytes) -> Bytes {
    match instead {
        None => lines.clone(),
        Some(instead) => [instead.lines, lines].concat().into(),
    }
}

/// All lines of an answer with a body, `more` behind them.
fn all_lines(variant: &Variant, content_type: &[u8], instead: Option<Instead<'_>>, more: &str) -> Bytes {
    let before = instead.map_or(&b""[..], |instead| instead.lines);
    [b"Content-Type: ", content_type, b"\r\n", before, &variant.rest, more.as_bytes()].concat().into()
}
