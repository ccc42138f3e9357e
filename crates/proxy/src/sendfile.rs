//! Files that the application has us send in its place: `X-Sendfile` (a path), `X-Accel-Redirect` (an address).
//!
//! Its answer's head stays, its body is dropped, and its permit goes back before the first byte of the file is sent.

use std::future::poll_fn;
use std::os::unix::ffi::OsStrExt as _;
use std::task::Poll;

use vestibule_config::{Config, Sendfile};
use vestibule_files::{Kept, NotHanded};
use vestibule_http1::{Method, Name, ResponseHead, field};
use vestibule_upstream::Answer;

use crate::files::Conditions;
use crate::forward::is_of_this_hop;
use crate::request::Request;
use crate::respond;
use crate::stack::Response;
use crate::worker::Worker;

/// Pieces of a body that is dropped which are read so that its connection can be used again. A Rack server sends none at all.
const READ_OUT: usize = 4;

/// Tells the application that it may hand over files, as `Rack::Sendfile` understands it.
///
/// `X-Sendfile` is what works with any layout, since we know the directories by their own paths too. A Rack from before October 2025 does as it
/// is told here; a later one only as its own configuration says (Rails: `config.action_dispatch.x_sendfile_header`), and where that is
/// `X-Accel-Redirect` it takes the mapping from here.
pub(crate) fn announce(out: &mut Vec<u8>, places: &[Sendfile]) {
    if places.is_empty() {
        return;
    }
    field(out, b"X-Sendfile-Type", b"X-Sendfile");
    out.extend_from_slice(b"X-Accel-Mapping: ");
    let start = out.len();
    for place in places {
        let root = place.root.as_os_str().as_bytes();
        // It splits at these, and a line cannot hold a control character.
        let is_plain =
            |bytes: &[u8]| !bytes.iter().any(|byte| matches!(byte, b',' | b'=') || byte.is_ascii_control());
        if !is_plain(root) || !is_plain(place.from.as_bytes()) {
            continue;
        }
        if out.len() > start {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(root.strip_suffix(b"/").unwrap_or(root));
        out.extend_from_slice(b"/=");
        out.extend_from_slice(place.from.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// What the application names.
enum Named {
    Path(Vec<u8>),
    Address(Vec<u8>),
}

/// The file that `answer` hands over, or `answer` itself.
pub(crate) async fn take(
    (worker, config): (&Worker, &Config),
    places: &[Sendfile],
    request: &Request<'_>,
    answer: Answer,
) -> Response {
    // An answer that has no body, or parts of one, would have its client take the file for something else (RFC 9112 6.3).
    let may_be_file =
        |head: &ResponseHead| !places.is_empty() && !matches!(head.status, 100..=199 | 204..=206 | 304);
    let named =
        answer.head().filter(|(head, _)| may_be_file(head)).and_then(|(head, bytes)| named(head, bytes));
    let Some(named) = named else { return Response::Upstream(answer) };
    let Some((status, content_type, lines)) = answer.head().map(|(head, bytes)| kept(head, bytes)) else {
        return Response::Upstream(answer);
    };
    let_go(answer).await;
    let conditions = Conditions::of(request);
    let mut asked = conditions.asked(request.head.path(request.bytes), request);
    asked.method_is_head = request.head.method_kind == Method::Head;
    // What is conditional or in parts is what a GET asks for (RFC 9110 13.1, 14.2).
    if !matches!(request.head.method_kind, Method::Get | Method::Head) {
        asked = vestibule_files::Asked { path: asked.path, target: asked.target, ..Default::default() };
    }
    let kept = Kept { status, content_type: content_type.as_deref(), lines: &lines };
    let (outcome, field, name) = match &named {
        Named::Path(path) => {
            let outcome = worker.shelf.by_path(places, path, (&asked, kept), request.arrived).await;
            (outcome, "X-Sendfile", path)
        }
        Named::Address(address) => {
            let outcome = worker.shelf.by_address(places, address, (&asked, kept), request.arrived).await;
            (outcome, "X-Accel-Redirect", address)
        }
    };
    match outcome {
        Ok(answer) => Response::File(answer),
        Err(why) => {
            let name = String::from_utf8_lossy(name);
            tracing::warn!(field, %name, %why, "the application hands over what cannot be sent");
            let (status, why) = match why {
                NotHanded::NoMapping => {
                    (500, "the file that the application names is in no directory of `sendfile`")
                }
                NotHanded::Missing(_) => (404, "the file that the application names cannot be sent"),
            };
            Response::Own(respond::refused(config, status, why, request))
        }
    }
}

/// The file that a head names. An empty name is none.
fn named(head: &ResponseHead, bytes: &[u8]) -> Option<Named> {
    let mut path = None;
    for line in head.fields.iter().filter(|line| !line.value.of(bytes).is_empty()) {
        let value = || line.value.of(bytes).to_vec();
        match line.kind {
            Name::XSendfile => path = Some(Named::Path(value())),
            Name::XAccel if line.name.of(bytes).eq_ignore_ascii_case(b"x-accel-redirect") => {
                return Some(Named::Address(value()));
            }
            _ => {}
        }
    }
    path
}

/// The status of an application's answer, its type, and the other lines that go out with the file: all but those which say something
/// of the body that is dropped.
fn kept(head: &ResponseHead, bytes: &[u8]) -> (u16, Option<Vec<u8>>, Vec<u8>) {
    let mut lines = Vec::new();
    let nominates = head.nominates_fields();
    for line in &head.fields {
        let name = line.name.of(bytes);
        let is_dropped = is_of_this_hop(line.kind)
            || matches!(
                line.kind,
                Name::XAccel | Name::XAccelBuffering | Name::XSendfile | Name::ContentType | Name::Date
            )
            || (nominates && head.is_nominated(bytes, name))
            || OF_THE_BODY.iter().any(|known| name.eq_ignore_ascii_case(known));
        if !is_dropped {
            field(&mut lines, name, line.value.of(bytes));
        }
    }
    (head.status, head.field(bytes, Name::ContentType).map(<[u8]>::to_vec), lines)
}

/// Fields that the file has itself, or that its bytes would belie.
const OF_THE_BODY: [&[u8]; 9] = [
    b"etag",
    b"last-modified",
    b"accept-ranges",
    b"content-range",
    b"content-encoding",
    b"content-md5",
    b"digest",
    b"content-digest",
    b"repr-digest",
];

/// Lets the application go: if its body is over as good as at once, with a connection that can be used again.
async fn let_go(mut answer: Answer) {
    if answer.is_uploading() {
        return;
    }
    poll_fn(|cx| {
        for _ in 0..READ_OUT {
            if !matches!(answer.poll_data(cx), Poll::Ready(Ok(true))) {
                break;
            }
        }
        Poll::Ready(())
    })
    .await;
}
