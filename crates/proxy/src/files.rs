//! Files as answers: what of a request they have to know.

use std::borrow::Cow;

use vestibule_config::{Config, Files};
use vestibule_files::{Asked, Found};
use vestibule_http1::{Method, Name};

use crate::compress::has;
use crate::request::Request;
use crate::respond;
use crate::stack::Response;
use crate::worker::Worker;

/// The answer of `files` to a request for `path`, as it was sent or rewritten. `None`: they have none, and it is not the `last` that is asked.
pub(crate) async fn answer(
    (worker, config): (&Worker, &Config),
    files: &Files,
    path: &[u8],
    request: &Request<'_>,
    last: bool,
) -> Option<Response> {
    let own = |status, why| Some(Response::Own(respond::refused(config, status, why, request)));
    if !matches!(request.head.method_kind, Method::Get | Method::Head) {
        return if last { Some(Response::Own(respond::only_read(config, request))) } else { None };
    }
    let conditions = Conditions::of(request);
    match worker.shelf.find(files, &conditions.asked(path, request), request.arrived).await {
        Found::File(answer) => Some(Response::File(answer)),
        Found::Refused(status, why) => own(status, why),
        Found::Nothing if last => own(404, "no such file"),
        Found::Nothing => None,
    }
}

/// The fields of a request that decide which answer from a file it gets.
#[derive(Debug, Default)]
pub(crate) struct Conditions<'a> {
    accept_encoding: Option<Cow<'a, [u8]>>,
    no_transform: bool,
    if_none_match: Option<Cow<'a, [u8]>>,
    if_match: Option<Cow<'a, [u8]>>,
    if_modified_since: Option<Cow<'a, [u8]>>,
    if_unmodified_since: Option<Cow<'a, [u8]>>,
    range: Option<Cow<'a, [u8]>>,
    if_range: Option<Cow<'a, [u8]>>,
}

impl<'a> Conditions<'a> {
    pub(crate) fn of(request: &Request<'a>) -> Self {
        let mut found = Self::default();
        for line in request.head.fields.iter().filter(|line| line.kind == Name::Other) {
            let name = line.name.of(request.bytes);
            // By the length alone most are told apart.
            let (known, place): (&[u8], _) = match name.len() {
                5 => (b"range", &mut found.range),
                8 if name.last().is_some_and(|last| last.eq_ignore_ascii_case(&b'h')) => {
                    (b"if-match", &mut found.if_match)
                }
                8 => (b"if-range", &mut found.if_range),
                13 if name.eq_ignore_ascii_case(b"cache-control") => {
                    found.no_transform |= has(line.value.of(request.bytes), b"no-transform");
                    continue;
                }
                13 => (b"if-none-match", &mut found.if_none_match),
                15 => (b"accept-encoding", &mut found.accept_encoding),
                17 => (b"if-modified-since", &mut found.if_modified_since),
                19 => (b"if-unmodified-since", &mut found.if_unmodified_since),
                _ => continue,
            };
            if !name.eq_ignore_ascii_case(known) {
                continue;
            }
            let value = line.value.of(request.bytes);
            match place {
                None => *place = Some(Cow::Borrowed(value)),
                // One list in several lines (RFC 9110 5.3); of what is no list this makes something that is not understood.
                Some(before) => {
                    let joined = before.to_mut();
                    joined.extend_from_slice(b", ");
                    joined.extend_from_slice(value);
                }
            }
        }
        found
    }

    /// What is asked for `path`.
    pub(crate) fn asked<'c>(&'c self, path: &'c [u8], request: &Request<'c>) -> Asked<'c> {
        Asked {
            method_is_head: request.head.method_kind == Method::Head,
            path,
            target: request.head.path_and_query.of(request.bytes),
            accept_encoding: self.accept_encoding.as_deref(),
            no_transform: self.no_transform,
            if_none_match: self.if_none_match.as_deref(),
            if_match: self.if_match.as_deref(),
            if_modified_since: self.if_modified_since.as_deref(),
            if_unmodified_since: self.if_unmodified_since.as_deref(),
            range: self.range.as_deref(),
            if_range: self.if_range.as_deref(),
        }
    }
}
