//! Which media types are worth coding.

use vestibule_config::Compress;

/// Whether an answer with this `Content-Type` is to be coded: its type is one of `compress.types` (`text/html`, `text/*`), whatever its
/// parameters. Never a stream of events: each event has to be there at once, and many a client of it reads line by line.
#[must_use]
pub fn fits(compress: &Compress, content_type: &[u8]) -> bool {
    let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    if essence.is_empty() || essence.eq_ignore_ascii_case(b"text/event-stream") {
        return false;
    }
    compress.types.iter().any(|kind| match kind.as_bytes() {
        b"*" | b"*/*" => true,
        [kind @ .., b'*'] if kind.ends_with(b"/") => {
            essence.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind))
        }
        kind => essence.eq_ignore_ascii_case(kind),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_by_type_or_by_kind_whatever_the_case_and_the_parameters() {
        let compress = Compress::default();
        for fitting in
            ["text/html", "TEXT/HTML; charset=utf-8", "text/csv;header=present", "application/json ;x"]
        {
            assert!(fits(&compress, fitting.as_bytes()), "{fitting}");
        }
        for other in [
            "",
            "text",
            "image/png",
            "application/octet-stream",
            "x-text/html",
            "application/json5",
            ";text/html",
        ] {
            assert!(!fits(&compress, other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn never_a_stream_of_events() {
        let compress =
            Compress { types: vec!["*".to_owned(), "text/event-stream".to_owned()], ..Compress::default() };
        assert!(fits(&compress, b"image/bmp"));
        assert!(!fits(&compress, b"text/event-stream"));
        assert!(!fits(&compress, b"Text/Event-Stream; charset=utf-8"));
    }
}
