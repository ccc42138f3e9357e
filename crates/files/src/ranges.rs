//! Parts of a file (RFC 9110 14).

use std::ops::Range;

/// Most ranges that are taken at once; who asks for more gets the whole file (RFC 9110 14.2).
const MOST: usize = 16;
/// Ranges that may overlap others before it is an attack: then the whole file is sent, once.
const MOST_OVERLAPS: usize = 2;

/// What a `Range` field means for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it: no range, none that we understand, or too many.
    Whole,
    /// These parts, at least one, none empty, none overlapping; in the order asked for, unless some overlapped.
    Parts(Vec<Range<u64>>),
    /// Nothing that there is: 416.
    Nothing,
}

/// What `field` means for a file of `length` bytes.
pub(crate) fn wanted(field: &[u8], length: u64) -> Wanted {
    let Some(set) = field.get(..6).filter(|unit| unit.eq_ignore_ascii_case(b"bytes=")).and(field.get(6..))
    else {
        return Wanted::Whole;
    };
    let mut parts: Vec<Range<u64>> = Vec::new();
    let mut count = 0;
    for spec in set.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        // A list may have empty members (RFC 9110 5.6.1.2).
        if spec.is_empty() {
            continue;
        }
        count += 1;
        if count > MOST {
            return Wanted::Whole;
        }
        match part(spec, length) {
            Spec::Satisfiable(part) => parts.push(part),
            Spec::Unsatisfiable => {}
            // What is no range says nothing (RFC 9110 14.2), and half a request answered is none.
            Spec::Invalid => return Wanted::Whole,
        }
    }
    match (count, parts.is_empty()) {
        (0, _) => Wanted::Whole,
        (_, true) => Wanted::Nothing,
        _ => apart(parts),
    }
}

enum Spec {
    Satisfiable(Range<u64>),
    Unsatisfiable,
    Invalid,
}

/// One of `0-499`, `500-`, `-500`.
fn part(spec: &[u8], length: u64) -> Spec {
    let Some(dash) = memchr::memchr(b'-', spec) else { return Spec::Invalid };
    let (first, last) = (spec.get(..dash).unwrap_or_default(), spec.get(dash + 1..).unwrap_or_default());
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => Spec::Invalid,
        (Some(first), Some(last)) if first < length => {
            Spec::Satisfiable(first..last.saturating_add(1).min(length))
        }
        (Some(first), None) if last.is_empty() && first < length => Spec::Satisfiable(first..length),
        (Some(_), Some(_)) => Spec::Unsatisfiable,
        (Some(_), None) if last.is_empty() => Spec::Unsatisfiable,
        (None, Some(0)) if first.is_empty() => Spec::Unsatisfiable,
        (None, Some(last)) if first.is_empty() && length > 0 => {
            Spec::Satisfiable(length.saturating_sub(last)..length)
        }
        // The last bytes of nothing are there, and no Content-Range can say so (RFC 9110 14.1.2, 14.4).
        _ => Spec::Invalid,
    }
}

/// A number; one that has no room is larger than any file.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(digits.iter().fold(0, add))
}

/// Has none of them overlap another: those that do become one (RFC 9110 15.3.7.2).
fn apart(mut parts: Vec<Range<u64>>) -> Wanted {
    let overlaps = |one: &Range<u64>, other: &Range<u64>| one.start < other.end && other.start < one.end;
    let count = parts
        .iter()
        .enumerate()
        .filter(|&(at, one)| {
            parts.iter().enumerate().any(|(other, range)| other != at && overlaps(one, range))
        })
        .count();
    if count > MOST_OVERLAPS {
        return Wanted::Whole;
    }
    if count > 0 {
        parts.sort_unstable_by_key(|part| part.start);
        let mut merged: Vec<Range<u64>> = Vec::with_capacity(parts.len());
        for part in parts {
            match merged.last_mut() {
                Some(last) if part.start < last.end => last.end = last.end.max(part.end),
                _ => merged.push(part),
            }
        }
        parts = merged;
    }
    Wanted::Parts(parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(field: &str, length: u64) -> Wanted {
        wanted(field.as_bytes(), length)
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init)] // a list of ranges is meant
    fn reads_ranges() {
        for (field, parts) in [
            ("bytes=0-0", vec![0..1]),
            ("bytes=0-99", vec![0..100]),
            ("BYTES=0-200", vec![0..100]),
            ("bytes=50-", vec![50..100]),
            ("bytes=-10", vec![90..100]),
            ("bytes=-1000", vec![0..100]),
            ("bytes=0-99999999999999999999999999", vec![0..100]),
            ("bytes=0-1, 5-6,,", vec![0..2, 5..7]),
            ("bytes=90-, 0-1", vec![90..100, 0..2]),
            ("bytes=0-9, 200-300", vec![0..10]),
            ("bytes=0-9,5-15", vec![0..16]),
            ("bytes=50-59, 0-9, 5-15", vec![0..16, 50..60]),
        ] {
            assert_eq!(of(field, 100), Wanted::Parts(parts), "{field}");
        }
    }

    #[test]
    fn what_is_no_range_says_nothing() {
        for field in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "items=0-1",
            "bytes=a-b",
            "bytes=5-1",
            "bytes=1",
            "bytes=-",
            "bytes=--1",
            "bytes=0-1,x",
            "bytes=0-1 2-3",
            "bytes= 0 - 1",
            "bytes=0x1-2",
            "bytes=+1-2",
        ] {
            assert_eq!(of(field, 100), Wanted::Whole, "{field}");
        }
    }

    #[test]
    fn what_there_is_not_cannot_be_sent() {
        for field in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=100-,200-300"] {
            assert_eq!(of(field, 100), Wanted::Nothing, "{field}");
        }
        assert_eq!(of("bytes=0-", 0), Wanted::Nothing);
        assert_eq!(of("bytes=-5", 0), Wanted::Whole);
    }

    #[test]
    fn no_request_makes_more_of_a_file_than_it_has() {
        let many = |count: usize| {
            let specs: Vec<String> = (0..count).map(|at| format!("{}-{}", 2 * at, 2 * at)).collect();
            format!("bytes={}", specs.join(","))
        };
        assert!(matches!(of(&many(MOST), 1000), Wanted::Parts(parts) if parts.len() == MOST));
        assert_eq!(of(&many(MOST + 1), 1000), Wanted::Whole);
        assert_eq!(of("bytes=0-,0-,0-", 100), Wanted::Whole, "the old attack on Apache");
    }

    proptest! {
        #[test]
        fn parts_are_inside_apart_and_never_more_than_all(field in "bytes=([0-9]{0,3}-[0-9]{0,3},? ?){0,20}", length in 0_u64..600) {
            if let Wanted::Parts(parts) = of(&field, length) {
                prop_assert!(!parts.is_empty() && parts.len() <= MOST);
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= length));
                prop_assert!(parts.iter().map(|part| part.end - part.start).sum::<u64>() <= length);
            }
        }

        #[test]
        fn reads_anything(field in any::<Vec<u8>>(), length in any::<u64>()) {
            let _ = wanted(&field, length);
            let _ = wanted(&[b"bytes=".as_slice(), &field].concat(), length);
        }
    }
}
