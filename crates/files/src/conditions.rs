//! Conditional requests (RFC 9110 13).

use std::time::{Duration, SystemTime};

use crate::answer::Asked;

/// What the conditions of a request say of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Send it.
    Send,
    /// 304: the client has it.
    Unchanged,
    /// 412: it is not what the client takes it for.
    Failed,
}

/// Evaluates them in the order of RFC 9110 13.2.2. `tag` is the entity tag of what would be sent.
pub(crate) fn evaluate(asked: &Asked<'_>, tag: &[u8], modified: SystemTime) -> Verdict {
    if let Some(tags) = asked.if_match {
        if !is_any(tags) && !members(tags).any(|one| is_strong(tag) && one == tag) {
            return Verdict::Failed;
        }
    } else if let Some(date) = asked.if_unmodified_since.and_then(date)
        && modified > date
    {
        return Verdict::Failed;
    }
    if let Some(tags) = asked.if_none_match {
        // Weakly: a cache that marked our tag as weak has the same file (RFC 9110 13.1.2).
        if is_any(tags) || members(tags).any(|one| opaque(one) == opaque(tag)) {
            return Verdict::Unchanged;
        }
    } else if let Some(date) = asked.if_modified_since.and_then(date)
        && modified <= date
    {
        return Verdict::Unchanged;
    }
    Verdict::Send
}

/// Whether a range may be sent: what `If-Range` names is what the file is still (RFC 9110 13.1.5). A date is one that tells two states
/// apart only if it is older than a second, and then only exactly (8.8.2.2).
pub(crate) fn may_range(asked: &Asked<'_>, tag: &[u8], modified: SystemTime) -> bool {
    match asked.if_range {
        None => true,
        Some(one) if one.starts_with(b"\"") || one.starts_with(b"W/") => is_strong(tag) && one == tag,
        Some(one) => {
            let age = SystemTime::now().duration_since(modified).unwrap_or_default();
            date(one) == Some(modified) && age > Duration::from_secs(2)
        }
    }
}

fn is_strong(tag: &[u8]) -> bool {
    !tag.starts_with(b"W/")
}

/// A tag without its mark of weakness.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

fn is_any(tags: &[u8]) -> bool {
    tags.trim_ascii() == b"*"
}

/// A date in any of the three forms (RFC 9110 5.6.7); one that is none is no condition.
fn date(value: &[u8]) -> Option<SystemTime> {
    str::from_utf8(value).ok().and_then(|text| httpdate::parse_http_date(text.trim()).ok())
}

/// The entity tags of a list, with their quotes. A comma may stand inside of one (RFC 9110 8.8.3).
fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        rest = rest.get(start..)?;
        let open = if rest.starts_with(b"W/") { 2 } else { 0 };
        if rest.get(open) != Some(&b'"') {
            return None;
        }
        let close = open + 1 + memchr::memchr(b'"', rest.get(open + 1..)?)?;
        let (tag, behind) = rest.split_at_checked(close + 1)?;
        rest = behind;
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    const DATE: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    const EARLIER: &str = "Tue, 14 Nov 2023 22:13:19 GMT";
    const LATER: &str = "Tue, 14 Nov 2023 22:13:21 GMT";

    fn modified() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }

    fn verdict(fields: &[(&str, &str)]) -> Verdict {
        let mut asked = Asked::default();
        for (name, value) in fields {
            let value = Some(value.as_bytes());
            match *name {
                "if-match" => asked.if_match = value,
                "if-none-match" => asked.if_none_match = value,
                "if-modified-since" => asked.if_modified_since = value,
                "if-unmodified-since" => asked.if_unmodified_since = value,
                other => panic!("{other}"),
            }
        }
        evaluate(&asked, b"\"a-1\"", modified())
    }

    #[test]
    fn compares_tags() {
        use Verdict::{Failed, Send, Unchanged};
        for (value, none_match, if_match) in [
            ("\"a-1\"", Unchanged, Send),
            ("W/\"a-1\"", Unchanged, Failed),
            ("*", Unchanged, Send),
            ("\"a-2\"", Send, Failed),
            ("\"x\", \"a-1\"", Unchanged, Send),
            ("\"x,y\",W/\"a-1\"", Unchanged, Failed),
            ("\"x, \"a-1\"", Send, Failed),
            ("a-1", Send, Failed),
            ("", Send, Failed),
        ] {
            assert_eq!(verdict(&[("if-none-match", value)]), none_match, "{value}");
            assert_eq!(verdict(&[("if-match", value)]), if_match, "{value}");
        }
    }

    #[test]
    fn a_weak_tag_is_good_for_a_304_alone() {
        let weak = b"W/\"a-1-gzip\"".as_slice();
        let asked = Asked { if_none_match: Some(weak), ..Asked::default() };
        assert_eq!(evaluate(&asked, weak, modified()), Verdict::Unchanged);
        let asked = Asked { if_match: Some(weak), ..Asked::default() };
        assert_eq!(evaluate(&asked, weak, modified()), Verdict::Failed);
        let asked = Asked { if_range: Some(weak), ..Asked::default() };
        assert!(!may_range(&asked, weak, modified()));
    }

    #[test]
    fn compares_dates() {
        use Verdict::{Failed, Send, Unchanged};
        for (value, modified_since, unmodified_since) in [
            (DATE, Unchanged, Send),
            (EARLIER, Send, Failed),
            (LATER, Unchanged, Send),
            ("Tuesday, 14-Nov-23 22:13:20 GMT", Unchanged, Send),
            ("Tue Nov 14 22:13:20 2023", Unchanged, Send),
            ("yesterday", Send, Send),
            ("", Send, Send),
        ] {
            assert_eq!(verdict(&[("if-modified-since", value)]), modified_since, "{value}");
            assert_eq!(verdict(&[("if-unmodified-since", value)]), unmodified_since, "{value}");
        }
    }

    #[test]
    fn tags_beat_dates_and_what_must_hold_comes_first() {
        use Verdict::{Failed, Send, Unchanged};
        assert_eq!(verdict(&[("if-none-match", "\"x\""), ("if-modified-since", LATER)]), Send);
        assert_eq!(verdict(&[("if-match", "\"a-1\""), ("if-unmodified-since", EARLIER)]), Send);
        assert_eq!(verdict(&[("if-match", "\"x\""), ("if-none-match", "\"a-1\"")]), Failed);
        assert_eq!(verdict(&[("if-unmodified-since", EARLIER), ("if-modified-since", LATER)]), Failed);
        assert_eq!(verdict(&[("if-match", "*"), ("if-none-match", "*")]), Unchanged);
        assert_eq!(verdict(&[]), Send);
    }

    #[test]
    fn a_range_is_of_the_same_file_or_none() {
        let may = |value: &str| {
            let asked = Asked { if_range: Some(value.as_bytes()), ..Asked::default() };
            may_range(&asked, b"\"a-1\"", modified())
        };
        assert!(may("\"a-1\"") && may(DATE));
        assert!(!may("W/\"a-1\"") && !may("\"a-2\"") && !may(LATER) && !may(EARLIER) && !may("what"));
        let now = SystemTime::UNIX_EPOCH
            + Duration::from_secs(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs());
        let text = httpdate::fmt_http_date(now);
        let asked = Asked { if_range: Some(text.as_bytes()), ..Asked::default() };
        assert!(!may_range(&asked, b"\"a-1\"", now), "it may change again within the second");
    }

    proptest! {
        #[test]
        fn reads_any_list(list in any::<Vec<u8>>()) {
            prop_assert!(members(&list).all(|tag| tag.ends_with(b"\"") && tag.len() >= 2));
        }
    }
}
