//! The head of a response: read the same however it comes in, and passed on in one form.

use std::sync::{Arc, LazyLock};

use vestibule_config::Config;
use vestibule_http1::{BodyLength, HeadLimits, Method, Name, ResponseError, ResponseHead, Version};
use vestibule_proxy::{AccessLog, Changed, Plan, Shared, Worker};
use vestibule_server::{Asked, write_head};
use vestibule_upstream::Store;

use super::growth::{Head, Parsed, grows_to_one_result, is_the_same_in_pieces, show};
use super::lines::{Lines, number};
use super::pieces::Pieces;

/// Low enough for fuzzing to meet them.
const LIMITS: HeadLimits = HeadLimits { bytes: 512, fields: 20 };
const CANONICAL_LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 40 };
/// An answer to HEAD has no body, whatever it says.
const METHODS: [Method; 2] = [Method::Get, Method::Head];

static PIECES: LazyLock<Pieces> = LazyLock::new(|| Pieces::of(include_str!("../http.dict")));

thread_local! {
    static WORKER: Worker = {
        let config = Arc::new(Config::default());
        let store = Store::new(&config.disk);
        Worker::new(0, Plan { shared: Arc::new(Shared::new(&config)), config, upstreams: Vec::new() }, store, Arc::default(), AccessLog::off())
    };
}

/// Checks a response's head, as `data` stands and with its bytes taken for words.
pub fn check(data: &[u8]) {
    check_text(data);
    let expanded = PIECES.expand(data);
    if expanded.len() != data.len() {
        check_text(&expanded);
    }
}

fn check_text(text: &[u8]) {
    // The method has a say only when the head is read.
    grows_to_one_result::<ResponseHead>(text);
    is_the_same_in_pieces::<ResponseHead>(text);
    for method in METHODS {
        if let Ok(Some(head)) = asked_for(text, method) {
            says_what_is_written(&head, text, method);
            is_passed_on_in_one_form(&head, text, method);
        }
    }
}

impl Head for ResponseHead {
    type Error = ResponseError;

    fn read(&mut self, text: &[u8], scanned: &mut usize) -> Result<bool, ResponseError> {
        self.parse(text, scanned, &LIMITS, Method::Get)
    }

    fn length(&self) -> usize {
        self.len
    }
}

fn asked_for(text: &[u8], method: Method) -> Parsed<ResponseHead> {
    let mut head = ResponseHead::default();
    Ok(head.parse(text, &mut 0, &LIMITS, method)?.then_some(head))
}

/// What was parsed is what the simplest reader finds in the text, and its body ends in one way.
fn says_what_is_written(head: &ResponseHead, text: &[u8], method: Method) {
    let shown = show(text);
    let lines = Lines::of(&text[..head.len]);
    let version = if head.version == Version::Http11 { "HTTP/1.1" } else { "HTTP/1.0" };
    let start = format!("{version} {}", head.status);
    assert!((100..=999).contains(&head.status), "{shown:?}");
    let reason = lines.first.strip_prefix(start.as_bytes()).expect("version and status");
    assert_eq!(reason.strip_prefix(b" ").unwrap_or_default(), head.reason.of(text), "{shown:?}");
    assert!(reason.is_empty() || reason.starts_with(b" "), "{shown:?}");

    assert_eq!(lines.fields.len(), head.fields.len(), "{shown:?}");
    for (found, (name, value)) in head.fields.iter().zip(&lines.fields) {
        assert!(found.name.start < found.name.end && found.name.end < found.value.start + 1, "{shown:?}");
        assert!(found.value.start <= found.value.end && found.value.end as usize <= head.len, "{shown:?}");
        assert_eq!((found.name.of(text), found.value.of(text)), (*name, *value), "{shown:?}");
        assert_eq!(found.kind, Name::classify(name), "{shown:?}");
    }

    let lengths: Vec<_> = lines.values("Content-Length").map(number).collect();
    let codings: Vec<_> = lines.values("Transfer-Encoding").collect();
    let is_bodiless = method == Method::Head || matches!(head.status, 100..=199 | 204 | 304);
    let right = match (head.body, lengths.as_slice(), codings.as_slice()) {
        (BodyLength::None, ..) => is_bodiless,
        _ if is_bodiless => false,
        (BodyLength::UntilClose, [], []) => !head.keep_alive,
        (BodyLength::Length(length), [_, ..], []) => lengths.iter().all(|found| *found == Some(length)),
        (BodyLength::Chunked, [], [coding]) => coding.eq_ignore_ascii_case(b"chunked"),
        _ => false,
    };
    assert!(right, "{:?} is the end of {shown:?}", head.body);
    // A connection on which two readers could find two answers is not used again.
    let is_clear = match (lengths.as_slice(), codings.as_slice()) {
        ([], [] | [_]) => true,
        ([first, ..], []) => first.is_some() && lengths.iter().all(|found| found == first),
        _ => false,
    };
    assert!(is_clear || !head.keep_alive, "kept after {shown:?}");
}

/// What the client gets parses again to the same answer, with a length that is one, and writing that again changes
/// nothing. Of the interim answers only 101 is written this way.
fn is_passed_on_in_one_form(head: &ResponseHead, text: &[u8], method: Method) {
    if matches!(head.status, 100 | 102..=199) {
        return;
    }
    for version in [Version::Http11, Version::Http10] {
        let asked = Asked {
            version,
            method,
            takes_trailers: false,
            hsts: None,
            changed: Changed::NONE,
            compression: vestibule_proxy::Compression::default(),
        };
        let sent = |head: &ResponseHead, bytes: &[u8]| {
            let mut out = Vec::new();
            WORKER.with(|worker| write_head(&mut out, (head, bytes), asked, true, worker));
            out
        };
        let out = sent(head, text);
        let shown = show(&out);
        let lines = Lines::of(&out);
        for name in ["TE", "Trailer", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate"] {
            assert_eq!(lines.count(name), 0, "{name} in {shown:?}");
        }
        let lengths: Vec<_> = lines.values("Content-Length").map(number).collect();
        let codings = lines.count("Transfer-Encoding");
        assert!(matches!(lengths.as_slice(), [] | [Some(_)]) && lengths.len() + codings <= 1, "{shown:?}");
        assert!(lengths.is_empty() || head.status != 204, "a 204 with a length: {shown:?}");
        assert!(codings == 0 || (version == Version::Http11 && head.body != BodyLength::None), "{shown:?}");
        assert!(lines.count("Connection") <= 1 && lines.count("Upgrade") <= 1, "{shown:?}");
        assert!(head.status == 101 || lines.count("Date") >= 1, "{shown:?}");

        let mut again = ResponseHead::default();
        let parsed = again.parse(&out, &mut 0, &CANONICAL_LIMITS, method);
        assert_eq!(parsed, Ok(true), "{shown:?} from {:?}", show(text));
        assert_eq!((again.len, again.status), (out.len(), head.status), "{shown:?}");
        let expected = match (head.body, version) {
            (BodyLength::None | BodyLength::Length(_), _) => head.body,
            (_, Version::Http11) => BodyLength::Chunked,
            (_, Version::Http10) => BodyLength::UntilClose,
        };
        assert_eq!(again.body, expected, "{shown:?} from {:?}", show(text));
        assert_eq!(show(&sent(&again, &out)), shown, "the second time is not as the first");
    }
}
